"""``python -m training.export``: a checkpoint as a Hugging Face folder, and back."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from curation.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_USAGE, UserError
from curation.storage import open_workspace
from curation.workspace import Workspace
from training.convert import TOKENIZER, export_checkpoint, import_model
from training.folders import find_checkpoint
from training.manifest import read_manifest

EPILOG = """\
examples:
  python -m training.export RUN-00000200 news-model --workspace W
      a checkpoint of the catalog, of whatever topology, as a folder that transformers loads, tokenizer included
  python -m training.export W/runs/RUN/checkpoints/step-00000200 news-model --tokenizer news-tokenizer
      a checkpoint by its folder
  python -m training.export --from-hf SmolLM2-135M smol
      the other way: initial weights for python -m training.pretrain --initialise-from smol

Rows of the embedding beyond the tokenizer's tokens are kept, so that probabilities are those of training;
--trim-vocabulary cuts them off. Those that --from-hf has added are cut off again.
"""


def find_tokenizer(workspace: Workspace, checkpoint: Path, given: str | None) -> Path | None:
    """The folder of a checkpoint's tokenizer: as given (``none``: without), beside it, or that of its data.

    Raises:
        UserError: it cannot be found.
    """
    if given is not None:
        if given != "none" and not Path(given).is_dir():
            raise UserError(f"--tokenizer {given}: no such folder; name one with a tokenizer.json, or none")
        return None if given == "none" else Path(given)
    if (checkpoint / TOKENIZER).is_dir():
        return checkpoint / TOKENIZER
    dataset = read_manifest(checkpoint).get("facts", {}).get("tokenizer")
    if dataset is None:
        raise UserError(f"{checkpoint}: does not say what its tokenizer is; name its folder with --tokenizer, or none")
    from curation.tokens.read import open_token_dataset

    try:
        return open_token_dataset(workspace, dataset).tokenizer_folder
    except UserError as error:
        raise UserError(
            f"{checkpoint}: its tokenizer is that of dataset {dataset}; {error}; or use --tokenizer"
        ) from error


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m training.export",
        description="A checkpoint as a Hugging Face folder, and back.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT", help="id in the catalog, or folder; of a model with --from-hf"
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to make")
    parser.add_argument("--workspace", default="workspace", help="folder (default: ./workspace)")
    parser.add_argument("--from-hf", action="store_true", help="make a checkpoint out of a Hugging Face folder")
    parser.add_argument("--tokenizer", metavar="FOLDER", help="of the tokenizer; none: export the model alone")
    parser.add_argument("--trim-vocabulary", action="store_true", help="cut off rows that no token has")
    parser.add_argument(
        "--vocab-multiple", type=int, default=64, metavar="N", help="with --from-hf: model.vocab_multiple (default: 64)"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code."""
    options = build_parser().parse_args(argv)
    try:
        if options.from_hf:
            rows = import_model(Path(options.checkpoint), options.out, options.vocab_multiple)
            print(f"{options.out}: a checkpoint with {rows:,} rows of the embedding")
            print(f"next: python -m training.pretrain --initialise-from {options.out}")
        else:
            workspace = open_workspace(options.workspace)
            checkpoint = find_checkpoint(workspace, options.checkpoint)
            tokenizer = find_tokenizer(workspace, checkpoint, options.tokenizer)
            rows = export_checkpoint(checkpoint, options.out, tokenizer, options.trim_vocabulary)
            print(f"{options.out}: a Hugging Face model with {rows:,} rows of the embedding")
            print(f"next: transformers.AutoModelForCausalLM.from_pretrained({str(options.out)!r})")
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        print("interrupted; nothing was made", file=sys.stderr)
        return EXIT_INTERRUPTED
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
