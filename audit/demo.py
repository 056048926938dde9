"""``python -m audit.demo``: goes on where ``training.demo`` ends: audits its checkpoints and SmolLM2, and compares."""

import argparse
import sys
from pathlib import Path

from curation.demo.__main__ import run_shown
from curation.errors import EXIT_DONE, EXIT_USAGE
from curation.workspace import Workspace
from training import smollm2
from training.demo import STEPS, newest
from training.folders import checkpoint_id

_ASKED = ("--probes", "pairs,perplexity", "--limit", "160")
"""Shipped probes, with as many items as take SmolLM2 half a minute on one core."""


def main(arguments: list[str] | None = None) -> int:
    """Runs the demo; returns the exit code of the first command that fails."""
    parser = argparse.ArgumentParser(
        prog="python -m audit.demo",
        description="Audit the checkpoints of the demo's training run, and SmolLM2 beside them.",
    )
    parser.add_argument("--workspace", type=Path, default=Path("workspace-demo"), metavar="W", help="of the demo")
    options = parser.parse_args(arguments)
    where = ["--workspace", str(options.workspace)]
    run = newest(Workspace(options.workspace), "pretrain")
    if run is None:
        print("error: nothing is trained here; first: python -m training.demo", file=sys.stderr)
        return EXIT_USAGE
    for words in (
        ["-m", "audit.watch", run, "--once", *_ASKED],
        ["-m", "audit.run", "--checkpoint", smollm2.NAME, *_ASKED],
        ["-m", "audit.compare", checkpoint_id(run, STEPS), smollm2.NAME, "--examples", "2"],
    ):
        print(flush=True)
        if code := run_shown([sys.executable, *words, *where]):
            return code
    print(
        f"\nNext, for example:\n  python -m audit.run --list\n"
        f"  python -m audit.run --checkpoint {smollm2.NAME} --suite quick --estimate --workspace {options.workspace}"
    )
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
