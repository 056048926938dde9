"""SIGKILL, again and again, to one rank or to everything, and each time another topology goes on: as if nothing had
been."""

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from curation.workspace import Workspace
from tests.curation.commands import command
from tests.training import launch
from training import layout
from training.folders import checkpoint_folder, checkpoint_steps
from training.manifest import read_manifest

pytest.importorskip("nanotron", reason="training needs nanotron: pip install nanotron==0.4")
pytestmark = [pytest.mark.full, pytest.mark.timeout(1800)]

STEPS = 300
CONFIG = launch.ENDLESS.replace("steps: 100000", f"steps: {STEPS}")
TOPOLOGIES: list[dict[str, Any]] = [
    {"data": 2, "tensor": 2, "pipeline": 2, "zero_stage": 1},
    {},
    {"data": 2, "tensor": 2, "pipeline": 2, "engine": "afab"},
    {"tensor": 2, "tensor_mode": "reduce_scatter"},
    {"data": 2, "zero_stage": 1, "recompute": True},
    {"pipeline": 2, "data": 2},
]


def documents(workspace: Path, run: str, step: int) -> list[dict[str, object]]:
    done = command("training.batch", run, str(step), "--workspace", workspace, "--format", "json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")] or json.loads(done.stdout)


def furthest(found: list[float], wanted: list[float]) -> float:
    """The largest difference."""
    return max(abs(a - b) for a, b in zip(found, wanted, strict=True))


def check_whole(workspace: Path, run: str) -> None:
    """Every checkpoint that can be seen can be read, all of it."""
    opened = Workspace(workspace)
    for step in checkpoint_steps(opened, run):
        folder = checkpoint_folder(opened, run, step)
        assert read_manifest(folder)["step"] == step
        for parameter in layout.parameters(folder).values():
            assert layout.read(parameter).isfinite().all()


def test_killed_again_and_again(made_workspace: Path, tmp_path: Path) -> None:
    config = launch.write_config(tmp_path / "c.yaml", CONFIG)
    calm, wild = (Path(shutil.copytree(made_workspace, tmp_path / name)) for name in ("calm", "wild"))
    launch.train(calm, config)
    wanted = launch.losses(launch.newest_run(calm))
    draw = random.Random(5)
    run = ""
    for number, split in enumerate(TOPOLOGIES):
        processes = split.get("data", 1) * split.get("tensor", 1) * split.get("pipeline", 1)
        log = tmp_path / f"{number}.log"
        begun = max(launch.metrics(launch.newest_run(wild)), default=0) if run else 0
        process = launch.start(wild, config, *launch.topology(**split), processes=processes, log=log)
        newest = wild / "runs" / run / f"metrics-{number + 1:04d}.jsonl"
        launch.wait_for(
            lambda newest=newest, number=number: (
                newest.exists() and newest.stat().st_size if number else launch.reached(wild, 5)()
            ),
            process,
            log,
        )
        time.sleep(draw.random())
        if processes > 1 and number % 2:
            ranks = psutil.Process(process.pid).children()
            os.kill(draw.choice(ranks).pid, signal.SIGKILL)
            assert process.wait(timeout=120) != 0
        else:
            launch.kill_all(process)
            for left in psutil.process_iter(["cmdline"]):  # torchrun's processes have groups of their own
                if str(wild) in (left.info["cmdline"] or []):
                    left.kill()
                    left.wait(60)
        run = launch.newest_run(wild).name
        check_whole(wild, run)
        assert max(launch.metrics(wild / "runs" / run)) >= begun
    launch.train(wild, config)  # the rest, in one process
    assert launch.newest_run(wild).name == run
    found = launch.losses(wild / "runs" / run)
    assert len(found) == STEPS
    assert len(list((wild / "runs" / run).glob("metrics-*.jsonl"))) == len(TOPOLOGIES) + 1  # all of them took part
    assert furthest(found, wanted) < 1e-5
    check_whole(wild, run)
    assert not list((wild / "runs" / run / "checkpoints").glob(".*"))
    other = launch.newest_run(calm).name
    for step in (1, STEPS // 2, STEPS):
        assert documents(wild, run, step) == documents(calm, other, step)


@pytest.mark.parametrize("processes", [1, 2])
def test_killed_between_writing_and_renaming(made_workspace: Path, tmp_path: Path, processes: int) -> None:
    config = launch.write_config(tmp_path / "c.yaml", CONFIG)
    calm, wild = (Path(shutil.copytree(made_workspace, tmp_path / name)) for name in ("calm", "wild"))
    launch.train(calm, config)
    split = launch.topology(data=processes)
    launch.train(
        wild,
        config,
        *split,
        processes=processes,
        module="tests.training.killed_at_rename",
        code=1 if processes > 1 else -9,
    )
    run = launch.newest_run(wild)
    assert checkpoint_steps(Workspace(wild), run.name) == [10, 20]
    assert [path.name for path in run.glob("checkpoints/.*")] == [".step-00000030.saving"]
    launch.train(wild, config, *split, processes=processes)
    assert launch.newest_run(wild) == run
    assert (
        max(abs(a - b) for a, b in zip(launch.losses(run), launch.losses(launch.newest_run(calm)), strict=True)) < 1e-5
    )
    assert not list(run.glob("checkpoints/.*"))
