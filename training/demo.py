"""``python -m training.demo``: goes on where ``curation.demo`` ends: tokenizer, tokens, a small Llama, a sample."""

import argparse
import sys
from pathlib import Path

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
    print(
        f"\nNext, for example:\n  python -m training.batch {run} {STEPS} --text --workspace {options.workspace}\n"
        f"  python -m training.export {checkpoint} demo-model --workspace {options.workspace}"
    )
    return EXIT_DONE


def newest(workspace: Workspace, kind: str) -> str | None:
    """The id of the newest finished run of a kind."""
    if not workspace.exists:
        return None
    _, found = ask(workspace, _NEWEST.replace("?", f"'{kind}'"))
    return str(found[0][0]) if found else None


if __name__ == "__main__":
    sys.exit(main())
