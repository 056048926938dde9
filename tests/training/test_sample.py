"""``training.sample``: a trained checkpoint goes on with a prompt."""

from pathlib import Path

import pytest

from tests.curation.commands import command
from tests.training import launch

pytest.importorskip("nanotron", reason="training needs nanotron: pip install nanotron==0.4")


def test_a_checkpoint_writes_what_it_has_learned(workspace: Path, tmp_path: Path) -> None:
    steps = ("--batch.steps", "150", "--validation.every", "0", "--checkpoints.every", "0")
    run = launch.run_of(launch.train(workspace, launch.write_config(tmp_path / "c.yaml"), *steps))
    arguments = (f"{run}-00000150", "The miller", "--workspace", workspace, "--tokens", "20")
    first = command("training.sample", *arguments, "--temperature", "0")
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("The miller")
    assert command("training.sample", *arguments, "--temperature", "0").stdout == first.stdout
    three = command("training.sample", *arguments, "--number", "3", "--seed", "4")
    assert three.stdout.count("---") == 3
    assert len(set(three.stdout.split("---\n"))) == 4  # all different, and the empty end
    for wrong, error in (
        ((*arguments, "--tokens", "40"), "more than the model's 32"),
        ((*arguments, "--temperature", "0", "--number", "2"), "--number"),
        (("no-such", "The miller", "--workspace", workspace), "which is no folder either"),
        ((f"{run}-00000150", "", "--workspace", workspace), "PROMPT"),
    ):
        done = command("training.sample", *wrong)
        assert done.returncode == 2
        assert error in done.stderr
