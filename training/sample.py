"""``python -m training.sample CHECKPOINT PROMPT``: what a checkpoint goes on to write."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from curation.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_USAGE, UserError
from curation.storage import open_workspace
from training.text import escaped

EPILOG = """\
examples:
  python -m training.sample RUN-00000200 "The old bridge" --workspace W
      one continuation, drawn with seed 0
  python -m training.sample RUN-00000200 "The old bridge" --number 5 --temperature 0.7 --seed 1 --workspace W
  python -m training.sample news-model "The old bridge" --temperature 0
      a Hugging Face folder; the likeliest token each time
  python -m training.sample RUN-00000030 "Who mends the bridge?" --chat --workspace W
      what a fine-tuned checkpoint answers: the prompt is put into its chat template

Text is shown with control characters escaped.
"""
_ANSWER = "\ue0f2"
"""Of private use: stands for an answer."""


def sample(
    model_folder: Path,
    prompt: str,
    tokens: int = 60,
    number: int = 1,
    temperature: float = 0.8,
    seed: int = 0,
    chat: bool = False,
) -> list[str]:
    """Continuations of a prompt.

    Args:
        model_folder: a Hugging Face folder with a tokenizer.
        tokens: at most so many each; a document may end earlier.
        temperature: logits are divided by it; 0 takes the likeliest token each time.
        seed: of what is drawn.
        chat: answers to it instead, as the tokenizer's chat template asks for one.

    Raises:
        UserError: the prompt is empty, or with ``tokens`` longer than the model's context; there is no template.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    model = AutoModelForCausalLM.from_pretrained(model_folder).eval()
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    asked, ending = _asked(tokenizer, prompt) if chat else (prompt, "")
    ids_1S = tokenizer(asked, return_tensors="pt", add_special_tokens=False)["input_ids"].to(model.device)
    length, context = ids_1S.shape[1], model.config.max_position_embeddings
    if length == 0:
        raise UserError("PROMPT: has no token; give a word at least")
    if length + tokens > context:
        raise UserError(f"PROMPT: its {length} tokens and --tokens {tokens} are more than the model's {context}; lower")
    torch.manual_seed(seed)
    drawn = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature > 0 else {"do_sample": False}
    if temperature <= 0 and number > 1:
        raise UserError("--number: without a temperature all continuations are the same; give one")
    with torch.inference_mode():
        found_NS = model.generate(
            ids_1S,
            attention_mask=torch.ones_like(ids_1S),
            max_new_tokens=tokens,
            num_return_sequences=number,
            pad_token_id=tokenizer.eos_token_id,
            tokenizer=tokenizer,
            stop_strings=[ending] if ending else None,
            **drawn,
        )
    found = [str(tokenizer.decode(row[length:], skip_special_tokens=not ending)) for row in found_NS]
    return [each.partition(ending)[0].strip() if ending else each for each in found]


def _asked(tokenizer: Any, prompt: str) -> tuple[str, str]:
    """A chat up to where the assistant begins, and what ends its turn."""
    from training.chat.templates import ChatTemplate, TemplateRefusal

    if not isinstance(tokenizer.chat_template, str):
        raise UserError("--chat: the tokenizer has no chat template; leave it out, or fine-tune the checkpoint first")
    template = ChatTemplate(tokenizer.chat_template, dict(tokenizer.special_tokens_map))
    question = [{"role": "user", "content": prompt}]
    try:
        text, ((_, end),) = template.answers([*question, {"role": "assistant", "content": _ANSWER}])
        return template.render(question, prompt=True), text[:end].partition(_ANSWER)[2].strip()
    except TemplateRefusal as refusal:
        raise UserError(f"--chat: {refusal.what}") from refusal


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m training.sample",
        description="Let a checkpoint go on with a prompt.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="id in the catalog, folder, or Hugging Face folder")
    parser.add_argument("prompt", metavar="PROMPT", help="how the text begins")
    parser.add_argument("--workspace", default="workspace", help="folder (default: ./workspace)")
    parser.add_argument("--tokens", type=int, default=60, metavar="N", help="at most so many (default: 60)")
    parser.add_argument("--number", type=int, default=1, metavar="N", help="continuations (default: 1)")
    parser.add_argument("--temperature", type=float, default=0.8, metavar="T", help="0: the likeliest (default: 0.8)")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn (default: 0)")
    parser.add_argument("--chat", action="store_true", help="ask with the chat template, and show the answer alone")
    parser.add_argument("--tokenizer", metavar="FOLDER", help="of a checkpoint that does not know its own")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code."""
    options = build_parser().parse_args(argv)
    try:
        for name in ("tokens", "number"):
            if getattr(options, name) < 1:
                raise UserError(f"--{name} {getattr(options, name)}: must be at least 1")
        with tempfile.TemporaryDirectory() as scratch:
            folder = _model_folder(options, Path(scratch))
            wanted = (options.tokens, options.number, options.temperature, options.seed, options.chat)
            found = sample(folder, options.prompt, *wanted)
        for each in found:
            shown = each if options.chat else f"{options.prompt}{each}"
            print("\n".join(str(escaped(line)) for line in shown.split("\n")))
            if options.number > 1:
                print("---")
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stderr.close()  # whoever read has had enough
        return EXIT_DONE
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    print(
        f"next: python -m training.export {options.checkpoint} FOLDER --workspace {options.workspace}", file=sys.stderr
    )
    return EXIT_DONE


def _model_folder(options: argparse.Namespace, scratch: Path) -> Path:
    """A Hugging Face folder of what is asked for."""
    from training.convert import export_checkpoint
    from training.export import find_tokenizer
    from training.folders import find_checkpoint
    from training.manifest import MANIFEST

    given = Path(options.checkpoint)
    if (given / "config.json").is_file() and not (given / MANIFEST).is_file():
        return given
    workspace = open_workspace(options.workspace)
    checkpoint = find_checkpoint(workspace, options.checkpoint)
    tokenizer = find_tokenizer(workspace, checkpoint, options.tokenizer)
    if tokenizer is None:
        raise UserError(f"{options.checkpoint}: sampling needs its tokenizer; name its folder with --tokenizer")
    export_checkpoint(checkpoint, scratch / "model", tokenizer, trim=True)
    return scratch / "model"


if __name__ == "__main__":
    sys.exit(main())
