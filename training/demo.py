"""``python -m training.demo``: goes on where ``curation.demo`` ends: tokenizer, tokens, a small Llama, and chats."""

import argparse
import json
import sys
from pathlib import Path

from curation.catalog import open_catalog, rows
from curation.catalog.query import ask
from curation.demo.__main__ import run_shown
from curation.errors import EXIT_DONE, EXIT_USAGE
from curation.workspace import Workspace
from training.folders import checkpoint_id

PROCESSES = 2
VOCABULARY = 2048
STEPS = 320
"""As in ``configs/demo.yaml``."""
PROMPT = "This module"
QUESTION = "What is Module zipfile about?"

_NEWEST = "SELECT run_id FROM run WHERE kind = ? AND status = 'done' ORDER BY run_id DESC LIMIT 1"
_LOSSES = (
    "SELECT step, round(value, 3) AS loss FROM metric WHERE name = 'loss' AND run_id = '{run}' "
    "AND (step = 1 OR step % 40 = 0) ORDER BY step"
)
_LINEAGE = (
    "SELECT c.step, d.name AS dataset, count(DISTINCT t.shard_id) AS shards, any_value(f.uri) AS raw_file "
    "FROM checkpoint c JOIN run_dataset rd USING (run_id) JOIN dataset d USING (dataset_id) "
    "JOIN token_shard t USING (dataset_id) JOIN shard_source s ON s.shard_id = t.shard_id "
    "JOIN raw_file f USING (raw_file_id) WHERE c.run_id = '{run}' GROUP BY ALL ORDER BY ALL"
)
_HELD_OUT = (
    "SELECT step, round(value, 3) AS held_out_loss FROM metric WHERE name = 'validation/all' AND run_id = '{run}' "
    "ORDER BY step"
)
_PAGES = (
    "SELECT title, split_part(text, chr(10), 2) AS line FROM document WHERE shard_kind = 'kept' "
    "AND url LIKE 'http://demo.example/docs/%' AND starts_with(text, title || chr(10)) AND length(line) >= 20 "
    "AND regexp_matches(line, '^[A-Z][a-z ]') AND length(title) <= 60 ORDER BY id"
)


def main(arguments: list[str] | None = None) -> int:
    """Runs the demo; returns the exit code of the first command that fails."""
    parser = argparse.ArgumentParser(
        prog="python -m training.demo",
        description="Train a tokenizer and a small Llama on the demo's curated crawl, in two processes.",
    )
    parser.add_argument("--workspace", type=Path, default=Path("workspace-demo"), metavar="W", help="of the demo")
    options = parser.parse_args(arguments)
    where = ["--workspace", str(options.workspace)]
    workspace = Workspace(options.workspace)
    curated = newest(workspace, "curate")
    if curated is None:
        print("error: nothing is curated here; first: python -m curation.demo", file=sys.stderr)
        return EXIT_USAGE
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={PROCESSES}"]
    name = f"demo-bpe-{VOCABULARY}"
    for words in (
        ["-m", "curation.dataset", "create", "demo", "--run", curated],
        ["-m", "curation.tokens", "train", "demo", "--vocab-size", str(VOCABULARY), "--name", name],
        ["-m", "curation.tokens", "encode", "demo", "--tokenizer", name, "--validation-share", "0.05"],
        [*launcher, "-m", "training.pretrain", "--config", "demo"],
    ):
        print(flush=True)
        if code := run_shown([sys.executable, *words, *where]):
            return code
    run = newest(workspace, "pretrain") or ""
    checkpoint = checkpoint_id(run, STEPS)
    for words in (
        ["-m", "curation.catalog", "sql", _LOSSES.format(run=run)],
        ["-m", "curation.catalog", "sql", _LINEAGE.format(run=run)],
        ["-m", "training.sample", checkpoint, PROMPT],
    ):
        print(flush=True)
        if code := run_shown([sys.executable, *words, *where]):
            return code
    if code := finetune(workspace, checkpoint, launcher, where):
        return code
    print(
        f"\nNext, for example:\n  python -m training.batch {run} {STEPS} --text --workspace {options.workspace}\n"
        f"  python -m training.export {checkpoint} demo-model --workspace {options.workspace}"
    )
    return EXIT_DONE


def finetune(workspace: Workspace, checkpoint: str, launcher: list[str], where: list[str]) -> int:
    """Fine-tune on questions about pages, and show an answer before and after; the exit code."""
    learned, held_out = write_chats(workspace)
    command = ["-m", "training.finetune", "--config", "demo-finetune", "--base", checkpoint]
    files = ["--data.files", f"[{learned}]", "--data.validation_files", f"[{held_out}]"]
    asked = f"User: {QUESTION}\nAssistant:"
    for words in (
        ["-m", "training.sample", checkpoint, asked, "--temperature", "0.3", "--tokens", "40"],
        [*launcher, *command, *files],
    ):
        print(flush=True)
        if code := run_shown([sys.executable, *words, *where]):
            return code
    run = newest(workspace, "finetune") or ""
    (newest_checkpoint,) = [
        row["checkpoint_id"] for row in workspace.rows("checkpoint") if row["run_id"] == run and row["step"] > 0
    ]
    for words in (
        ["-m", "curation.catalog", "sql", _HELD_OUT.format(run=run)],
        ["-m", "training.sample", newest_checkpoint, QUESTION, "--chat", "--temperature", "0.3", "--tokens", "40"],
    ):
        print(flush=True)
        if code := run_shown([sys.executable, *words, *where]):
            return code
    return EXIT_DONE


def write_chats(workspace: Workspace) -> tuple[Path, Path]:
    """Files of questions and answers made from the titles and first lines of the demo's pages: to learn from, and one
    in ten held out."""
    with open_catalog(workspace, documents=True) as connection:
        pages = rows(connection, _PAGES)
    folder = workspace.root / "chats"
    folder.mkdir(exist_ok=True)
    paths = folder / "demo-chats.jsonl", folder / "demo-held-out.jsonl"
    for held_out, path in enumerate(paths):
        chats = [
            {"prompt": f"What is {page['title']} about?", "response": f"{page['title']} says: {page['line'][:100]}"}
            for number, page in enumerate(pages)
            if (number % 10 == 0) == bool(held_out)
        ]
        path.write_text("".join(json.dumps(chat) + "\n" for chat in chats), encoding="utf-8")
    return paths


def newest(workspace: Workspace, kind: str) -> str | None:
    """The id of the newest finished run of a kind."""
    if not workspace.exists:
        return None
    _, found = ask(workspace, _NEWEST.replace("?", f"'{kind}'"))
    return str(found[0][0]) if found else None


if __name__ == "__main__":
    sys.exit(main())
