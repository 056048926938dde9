"""``python -m training.batch RUN STEP``: the documents of a step of a recorded run."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from curation.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_USAGE, UserError
from curation.storage import open_workspace
from curation.workspace import Workspace
from training.text import escaped

if TYPE_CHECKING:
    from training.chat.data import ChatData

EPILOG = """\
examples:
  python -m training.batch RUN 120 --workspace W
      every document of step 120, and how many of its tokens the step reads
  python -m training.batch RUN 120 --sample 3 --text --workspace W
      those of its fourth sequence, with the text that was read
  python -m training.batch FINETUNING-RUN 7 --workspace W
      the lines of its files of chats
  python -m training.batch RUN 120 --format json --workspace W
      for programs: one object a line
"""

MOST_TEXT = 100
"""Characters of an excerpt."""


def step_documents(
    workspace: Workspace, run_id: str, step: int, sample: int | None = None, text: bool = False
) -> list[dict[str, Any]]:
    """The documents of a step, a row for each in a dataset and epoch, in the order of the data.

    Args:
        sample: one sequence of the step alone, from 0.
        text: also an excerpt of what the step reads of each, with control characters escaped; nothing of what is taken
            down.

    Raises:
        UserError: no such run, step or sequence, or the run's data is not what it was.
    """
    from training.data import TrainingData
    from training.runs import load_run, open_run_data

    run = load_run(workspace, run_id)
    batch = run.config.batch
    if not 1 <= step <= batch.steps:
        raise UserError(f"step {step}: run {run_id} has the steps 1 to {batch.steps}")
    if sample is not None and not 0 <= sample < batch.global_batch_size:
        raise UserError(f"--sample {sample}: a step has the sequences 0 to {batch.global_batch_size - 1}")
    data = open_run_data(workspace, run)
    if not isinstance(data, TrainingData):
        return _lines(data, step, sample, text)
    samples = data.order.step_samples(step)
    if sample is not None:
        samples = samples[sample : sample + 1]
    parts = data.order.sample_documents(samples)
    names = {dataset.dataset_id: f"{dataset.name}@{dataset.version}" for dataset in data.datasets}
    urls = _urls(workspace, {part.document.shard_id for part in parts}, {part.document.document_id for part in parts})
    found = [
        {
            "dataset": names[part.dataset_id],
            "document_id": part.document.document_id,
            "shard_id": part.document.shard_id,
            "raw_file_id": part.document.raw_file_id,
            "record_offset": part.document.record_offset,
            "language": part.document.language,
            "tokens": part.tokens,
            "epoch": part.epoch,
            "url": escaped(urls.get(part.document.document_id)),
        }
        for part in parts
    ]
    if text:
        excerpts = _excerpts(data, samples)
        for row, part in zip(found, parts, strict=True):
            row["text"] = excerpts[part.dataset_id, part.document.document_id, part.epoch]
    return found


def _lines(data: "ChatData", step: int, sample: int | None, text: bool) -> list[dict[str, Any]]:
    """The lines of chats that a step reads, a row for each, in the order of its sequences."""
    found = []
    for part in data.parts(step, sample):
        row: dict[str, Any] = {
            "file": escaped(str(part.file)),
            "line": part.line,
            "document_id": part.document_id,
            "raw_file_id": part.raw_file_id,
            "record_offset": part.record_offset,
            "tokens": part.tokens,
            "learned": part.learned,
            "epoch": part.epoch,
        }
        if text and part.hidden:
            row["text"] = ""
        elif text:
            with part.file.open("rb") as file:
                file.seek(part.record_offset)
                row["text"] = str(escaped(file.readline().decode("utf-8").strip()))[:MOST_TEXT]
        found.append(row)
    if not found:
        raise UserError(f"--sample {sample}: is a blank, which fills up the last step; name another")
    return found


def _urls(workspace: Workspace, shard_ids: set[str], document_ids: set[str]) -> dict[str, str]:
    """Document id -> URL, of those that have one and are not taken down."""
    from curation.catalog import open_catalog, rows
    from curation.catalog.query import create_document_view

    with open_catalog(workspace, locked=False) as connection:
        sql = "SELECT DISTINCT current_shard_id FROM current_shard WHERE list_contains(?, shard_id)"
        current = [row["current_shard_id"] for row in rows(connection, sql, [sorted(shard_ids)])]
        create_document_view(workspace, connection, current)
        sql = "SELECT id, url FROM document WHERE url IS NOT NULL AND list_contains(?, id)"
        return {row["id"]: row["url"] for row in rows(connection, sql, [sorted(document_ids)])}


def _excerpts(data: Any, samples: Sequence[Any]) -> dict[tuple[str, str, int], str]:
    """(dataset, document, epoch) -> the beginning of what the samples read of it."""
    from curation.tokens.tokenizer import read_folder

    tokenizer = read_folder("tokenizer", data.datasets[0].tokenizer_folder)
    found: dict[tuple[str, str, int], str] = {}
    for sample in sorted(samples):
        source = data.order.sources[sample.dataset]
        start, end = data.order.span(sample)
        for document in source.stream.documents(start, end):
            key = (source.dataset_id, document.document_id, sample.epoch)
            if key not in found:
                first, last = max(start, document.token_start), min(end, document.token_end)
                ids = source.stream.read(first, min(last, first + MOST_TEXT)).tolist()
                kept = [each for each in ids if each != data.eos_id]
                found[key] = str(escaped(tokenizer.decode([kept])[0]))[:MOST_TEXT]
    return found


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m training.batch",
        description="List the documents of a step of a training run.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", metavar="RUN", help="id of the run")
    parser.add_argument("step", type=int, metavar="STEP", help="from 1")
    parser.add_argument("--workspace", default="workspace", help="folder or URL (default: ./workspace)")
    parser.add_argument("--sample", type=int, metavar="N", help="only this sequence of the step, from 0")
    parser.add_argument(
        "--text", action="store_true", help="also the beginning of what the step reads of each document"
    )
    parser.add_argument("--format", choices=("table", "csv", "json"), default="table", help="how to print rows")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code."""
    from curation.catalog.__main__ import print_rows

    options = build_parser().parse_args(argv)
    try:
        workspace = open_workspace(options.workspace)
        found = step_documents(workspace, options.run, options.step, options.sample, options.text)
        print_rows(list(found[0]), [tuple(row.values()) for row in found], options.format)
        if options.format == "table":
            print(f"\n{len(found)} documents, {sum(row['tokens'] for row in found):,} tokens")
            sql = f"SELECT * FROM document WHERE id = '{found[0]['document_id']}'"
            print(f'next: python -m curation.catalog sql "{sql}" --workspace {options.workspace}')
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stderr.close()  # whoever read has had enough
        return EXIT_DONE
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
