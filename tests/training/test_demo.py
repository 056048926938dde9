"""``make demo`` as far as it trains."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.curation.commands import ROOT, command, environment
from training.demo import STEPS
from training.options import parse

pytest.importorskip("nanotron", reason="training needs nanotron: pip install nanotron==0.4")


def test_it_names_the_last_step_of_its_configuration() -> None:
    assert parse(["--config", "demo"]).config.batch.steps == STEPS


def test_without_a_curated_crawl_it_says_what_to_do_first(tmp_path: Path) -> None:
    done = command("training.demo", "--workspace", tmp_path / "W")
    assert done.returncode == 2
    assert "first: python -m curation.demo" in done.stderr


@pytest.mark.full
def test_the_whole_demo_within_three_minutes(tmp_path: Path) -> None:
    began = time.monotonic()
    shown = ""
    for module in ("curation.demo", "training.demo"):
        line = [sys.executable, "-m", module, "--workspace", str(tmp_path / "W")]
        done = subprocess.run(line, capture_output=True, text=True, env=environment(), cwd=ROOT, check=False)
        assert done.returncode == 0, done.stderr
        shown += done.stdout
    assert time.monotonic() - began < 180
    table = shown.partition("step   loss\n")[2].partition("\n\n")[0]
    losses = [float(row.split()[1]) for row in table.splitlines()]
    assert losses[0] > 7
    assert losses[-1] < 5.7
    assert "\nThis module" in shown
    assert "refused" not in shown
    table = shown.partition("step  held_out_loss\n")[2].partition("\n\n")[0]
    held_out = [float(row.split()[1]) for row in table.splitlines()]
    assert held_out[-1] < 0.8 * held_out[0]
    assert "says: " in shown.rpartition("--chat")[2]
