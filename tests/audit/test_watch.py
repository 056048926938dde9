"""Watching a training run: each checkpoint audited once, whoever is killed when."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from audit.claims import Claims
from audit.recorded import model_audits, results_path
from curation.catalog import open_catalog, rows
from curation.errors import EXIT_DONE, EXIT_SOME_FAILED, EXIT_USAGE
from curation.workspace import Workspace
from training.folders import checkpoint_folder
from training.recording import claimed_checkpoints

ROOT = Path(__file__).resolve().parents[2]
_ENV = {**os.environ, "OMP_NUM_THREADS": "1"}
_ASKED = ("--probes", "pairs", "--limit", "24", "--poll", "0.3")


def _watch(workspace: Path, run_id: str, *more: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "audit.watch", run_id, "--workspace", str(workspace), *_ASKED, *more]
    return subprocess.Popen(
        command, cwd=ROOT, env=_ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


class Writer:
    """A process that writes checkpoints."""

    def __init__(self, workspace: Path, number: int, seconds: float) -> None:
        command = [sys.executable, "-m", "tests.audit.checkpoints", str(workspace), str(number), str(seconds)]
        self.process = subprocess.Popen(command, cwd=ROOT, env=_ENV, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.run_id = self.process.stdout.readline().strip()
        assert len(self.run_id) == 26


@pytest.fixture
def writer_of(tmp_path: Path) -> Iterator[Any]:
    started: list[Writer] = []

    def begin(number: int, seconds: float) -> Writer:
        started.append(Writer(tmp_path / "W", number, seconds))
        return started[-1]

    yield begin
    for each in started:
        each.process.kill()
        each.process.wait()


def _done(workspace: Workspace) -> list[str]:
    return [each.subject[1] for each in model_audits(workspace) if each.status == "done"]


def _wait_for(condition: Any, seconds: float = 120.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come to this"
        time.sleep(0.05)


def _check_once_each(workspace: Workspace, run_id: str, number: int) -> None:
    """As many audits as checkpoints, and of each the findings of one audit."""
    audits = model_audits(workspace)
    assert len(audits) == number
    assert {each.status for each in audits} == {"done"}
    assert sorted(each.subject[1] for each in audits) == [f"{run_id}-{step:08d}" for step in range(1, number + 1)]
    with open_catalog(workspace) as connection:
        counted = rows(
            connection,
            "SELECT subject_id, metric, language, group_name, count(*) AS n FROM finding GROUP BY ALL HAVING n <> 1",
        )
        assert counted == []
        assert rows(connection, "SELECT count(DISTINCT subject_id) AS n FROM finding") == [{"n": number}]
    for each in audits:
        assert results_path(workspace, each.run_id, "pairs").is_file()
    assert claimed_checkpoints(workspace) == set()


@pytest.mark.timeout(400)
def test_a_killed_watcher_is_gone_on_with(writer_of: Any, tmp_path: Path) -> None:
    writer = writer_of(3, 0.1)
    workspace = Workspace(tmp_path / "W")
    first = _watch(tmp_path / "W", writer.run_id)
    _wait_for(lambda: any((tmp_path / "W" / "audits").glob("*/parts/*")) or _done(workspace))
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    second = _watch(tmp_path / "W", writer.run_id)
    out, err = second.communicate(timeout=300)
    assert second.returncode == EXIT_DONE, err
    assert "next: " in out
    _check_once_each(workspace, writer.run_id, 3)


@pytest.mark.full
@pytest.mark.timeout(900)
def test_ten_checkpoints_while_it_is_killed_twice(writer_of: Any, tmp_path: Path) -> None:
    writer = writer_of(10, 2.0)
    workspace = Workspace(tmp_path / "W")
    for audited in (2, 5):
        watcher = _watch(tmp_path / "W", writer.run_id)
        _wait_for(lambda so_far=audited: len(_done(workspace)) >= so_far, 300)
        os.kill(watcher.pid, signal.SIGKILL)  # the audit that it has begun must not outlive it, and not be lost
        watcher.wait()
    both = [_watch(tmp_path / "W", writer.run_id) for _ in range(2)]
    for watcher in both:
        _, err = watcher.communicate(timeout=600)
        assert watcher.returncode == EXIT_DONE, err
    _check_once_each(workspace, writer.run_id, 10)


@pytest.mark.timeout(300)
def test_a_checkpoint_that_cannot_be_read_holds_nothing_up(writer_of: Any, tmp_path: Path) -> None:
    writer = writer_of(2, 0.0)
    writer.process.wait()
    workspace = Workspace(tmp_path / "W")
    for broken in checkpoint_folder(workspace, writer.run_id, 1).rglob("*.safetensors"):
        broken.write_bytes(b"no weights")
    watcher = _watch(tmp_path / "W", writer.run_id, "--once")
    out, err = watcher.communicate(timeout=200)
    assert watcher.returncode == EXIT_SOME_FAILED, err
    assert "step 2: audited" in out
    assert "- pairs: pairs whose stereotypical sentence" in out
    assert "1 could not be" in out
    assert "step 1 could not be audited" in err
    assert _done(workspace) == [f"{writer.run_id}-00000002"]
    assert claimed_checkpoints(workspace) == set()


def test_what_cannot_be_watched_is_refused(tmp_path: Path) -> None:
    from audit.watch import main

    assert main(["x", "--workspace", str(tmp_path)]) == EXIT_USAGE
    assert main(["x", "--workspace", str(tmp_path), "--suite", "none"]) == EXIT_USAGE


# ---- claims ----------------------------------------------------------------------------------------


def test_a_piece_of_work_has_one_run_for_ever(tmp_path: Path) -> None:
    claims = Claims(Workspace(tmp_path))
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(claims.run_of("a"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert claims.run_of("b") != found[0]


def test_a_lease_has_one_holder(tmp_path: Path) -> None:
    claims = Claims(Workspace(tmp_path))
    run_id = claims.run_of("a")
    with claims.lease("a", run_id) as mine:
        assert mine
        with claims.lease("a", run_id) as second:
            assert not second
    with claims.lease("a", run_id) as again:
        assert again


def _race(folder: str, begin: Any, gate: Any, won: Any) -> None:
    claims = Claims(Workspace(folder))
    run_id = claims.run_of("a")
    begin.wait()
    with claims.lease("a", run_id) as mine:
        if mine:
            with won.get_lock():
                won.value += 1
        gate.wait()  # nobody lets go before all have tried


def test_of_several_processes_one_gets_the_lease(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    for number in range(3):
        begin, gate, won = context.Barrier(4), context.Barrier(4), context.Value("i", 0)
        processes = [
            context.Process(target=_race, args=(str(tmp_path / str(number)), begin, gate, won)) for _ in range(4)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
            assert process.exitcode == 0
        assert won.value == 1


def test_the_lease_of_a_dead_holder_is_taken_over(tmp_path: Path) -> None:
    claims = Claims(Workspace(tmp_path), lease_seconds=1000.0)
    run_id = claims.run_of("a")
    code = (
        "import os, sys; from audit.claims import Claims; from curation.workspace import Workspace\n"
        "claims = Claims(Workspace(sys.argv[1]))\n"
        "with claims.lease('a', sys.argv[2]) as mine:\n    assert mine\n    os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path), run_id], cwd=ROOT, check=True)
    with claims.lease("a", run_id) as mine:
        assert mine


@pytest.mark.parametrize(("age", "taken"), [(5.0, False), (500.0, True)])
def test_a_holder_on_another_machine_is_dead_when_it_no_longer_renews(tmp_path: Path, age: float, taken: bool) -> None:
    claims = Claims(Workspace(tmp_path), lease_seconds=60.0)
    run_id = claims.run_of("a")
    path = tmp_path / "audits" / "claims" / "a" / "lease-000001.json"
    holder = {"run_id": run_id, "attempt": 1, "host": "elsewhere", "boot_id": "x", "pid": 1, "pid_created": 1.0}
    path.write_text(json.dumps(holder))
    os.utime(path, (time.time() - age,) * 2)
    with claims.lease("a", run_id) as mine:
        assert mine is taken
