"""A trial's losses, its processes, and how it ended."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from curation.records import Attempt, RunEnd, new_ulid, now
from curation.workspace import Workspace
from tests.curation.commands import ROOT, environment
from training.sweep import session
from training.sweep.trials import Losses, Outcome, last_error, outcome


def metrics(folder: Path, attempt: int, *rows: object) -> None:
    folder.mkdir(exist_ok=True)
    with (folder / f"metrics-{attempt:04d}.jsonl").open("a") as file:
        file.writelines(each if isinstance(each, str) else json.dumps(each) + "\n" for each in rows)


def validated(step: int, loss: float | None) -> dict[str, float | None]:
    return {"step": step, "validation/all": loss}


def test_losses_are_read_once_each_as_they_are_written(tmp_path: Path) -> None:
    losses = Losses(tmp_path / "run")
    assert losses.read() == []
    metrics(tmp_path / "run", 1, {"step": 4, "loss": 6.0}, validated(4, 5.5), '{"step": 8, "valid')
    assert losses.read() == [(4, 5.5)]
    metrics(tmp_path / "run", 1, 'ation/all": 5.25}\n')
    assert losses.read() == [(8, 5.25)]
    assert losses.read() == []
    # A killed attempt leaves half a line; the next does step 8 once more.
    metrics(tmp_path / "run", 1, '{"step": 12, "val')
    metrics(tmp_path / "run", 2, validated(8, 5.25), validated(12, None))
    ((step, loss),) = losses.read()
    assert (step, math.isnan(loss), losses.attempt) == (12, True, 2)
    assert [step for step, _ in Losses(tmp_path / "run").read()] == [4, 8, 12]


def ended(workspace: Workspace, run_id: str, attempt: int, status: str | None, why: str | None = None) -> None:
    began = Attempt(run_id=run_id, attempt=attempt, host="h", boot_id="b", pid=1, pid_created=0.0, started_at=now())
    workspace.write([began], name=f"{run_id}-{attempt}")
    if status is not None:
        end = RunEnd(run_id=run_id, attempt=attempt, status=status, exit_code=0, why=why, finished_at=now())
        workspace.write([end], name=f"{run_id}-{attempt}")


def test_records_tell_how_a_trial_ended(tmp_path: Path) -> None:
    workspace, log = Workspace(tmp_path / "W"), tmp_path / "log"
    ids = [new_ulid() for _ in range(5)]
    ended(workspace, ids[0], 1, "done")
    ended(workspace, ids[1], 1, "failed", "Diverged: step 3")
    ended(workspace, ids[2], 1, "interrupted")
    ended(workspace, ids[3], 1, "interrupted")
    ended(workspace, ids[3], 2, None)  # killed
    assert outcome(workspace, ids[0], 0, log) == Outcome("done", None)
    assert outcome(workspace, ids[1], 1, log) == Outcome("failed", "Diverged: step 3")
    assert outcome(workspace, ids[2], 130, log) == Outcome("killed", "exit code 130")
    assert outcome(workspace, ids[3], -9, log) == Outcome("killed", "signal 9")
    assert outcome(workspace, ids[2], None, log) is None
    assert outcome(workspace, ids[4], None, log) is None
    # One that was refused has no attempt on record.
    log.write_text("2026-01-01 00:00:00,000 INFO begins\n2026-01-01 00:00:00,000 ERROR model: is wrong\n")
    assert outcome(workspace, ids[4], 2, log) == Outcome("failed", "model: is wrong")
    assert outcome(workspace, ids[4], -15, log) == Outcome("killed", "signal 15")


def test_the_last_error_of_a_traceback(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert last_error(log) is None
    log.write_text("Traceback (most recent call last):\n  File x\n    raise MemoryError: no\nMemoryError: too much\n")
    assert last_error(log) == "MemoryError: too much"


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_a_child_ends_with_who_started_it_also_by_sigkill() -> None:
    command = [sys.executable, "-c", "import time; print('at work', flush=True); time.sleep(60)"]
    code = (
        "import os, subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-m', 'training.sweep.child', str(os.getpid()), *{command!r}])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment()
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    assert parent.stdout.readline() == "at work\n"
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    end = time.monotonic() + 10
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end, "it outlived its parent"
        time.sleep(0.05)


def test_a_child_of_somebody_else_does_not_begin() -> None:
    line = [sys.executable, "-m", "training.sweep.child", "1", sys.executable, "-c", "print('at work')"]
    done = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, env=environment(), check=False)
    assert (done.returncode, done.stdout) == (130, "")


def test_trials_at_once_share_cores_and_have_gpus_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    made = [session.environment({}, slot, jobs=4, processes=2, devices=8) for slot in range(4)]
    assert [each["CUDA_VISIBLE_DEVICES"] for each in made] == ["0,1", "2,3", "4,5", "6,7"]
    assert {each["OMP_NUM_THREADS"] for each in made} == {"2"}
    named = session.environment({"CUDA_VISIBLE_DEVICES": "3,5,6"}, 2, jobs=4, processes=1, devices=3)
    assert named["CUDA_VISIBLE_DEVICES"] == "6"
    assert session.environment({"CUDA_VISIBLE_DEVICES": "3,5,6"}, 3, 4, 1, 3)["CUDA_VISIBLE_DEVICES"] == "3"
    assert "CUDA_VISIBLE_DEVICES" not in session.environment({}, 1, jobs=2, processes=2, devices=2)
    assert session.environment({"OMP_NUM_THREADS": "5"}, 0, 1, 1, 0)["OMP_NUM_THREADS"] == "5"
