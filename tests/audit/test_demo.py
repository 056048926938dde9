"""``make demo`` as far as it audits."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.curation.commands import ROOT, command, environment


def test_without_a_trained_model_it_says_what_to_do_first(tmp_path: Path) -> None:
    done = command("audit.demo", "--workspace", tmp_path / "W")
    assert done.returncode == 2
    assert "first: python -m training.demo" in done.stderr


@pytest.mark.full
@pytest.mark.timeout(900)
def test_the_whole_demo_audits_its_checkpoints(tmp_path: Path) -> None:
    shown = ""
    for module in ("curation.demo", "training.demo", "audit.demo"):
        line = [sys.executable, "-m", module, "--workspace", str(tmp_path / "W")]
        done = subprocess.run(line, capture_output=True, text=True, env=environment(), cwd=ROOT, check=False)
        assert done.returncode == 0, done.stderr
        shown = done.stdout
    assert "step 160: audited" in shown
    assert "step 320: audited" in shown
    assert "In words, bias alone:" in shown
    assert "B: smollm2" in shown
