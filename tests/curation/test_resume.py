"""Stopped at any moment, a run loses nothing, repeats nothing, and leaves no process behind."""

import contextlib
import json
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.curation import inputs
from tests.curation.commands import (
    ask,
    check,
    command,
    curate,
    digests,
    family,
    kill_group,
    none_left,
    reasons,
    start,
    wait_for_parts,
    workers,
)

SMOKE = ("--config", "smoke")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough work for a few seconds."""
    folder = tmp_path_factory.mktemp("source")
    for number in range(4):
        inputs.warc(folder / f"{number}.warc.gz", 700, first=1000 * number)
    inputs.jsonl(folder / "lines.jsonl", 300, first=9000)
    return folder


@pytest.fixture(scope="module")
def expected(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What an undisturbed run gives."""
    workspace = tmp_path_factory.mktemp("undisturbed") / "w"
    curate(workspace, source, *SMOKE)
    check(workspace)
    return digests(workspace)


def status(workspace: Path) -> str:
    return str(ask(workspace, "SELECT status FROM run")[0]["status"])


def test_a_killed_worker_is_replaced(source: Path, expected: dict[str, str], tmp_path: Path) -> None:
    workspace = tmp_path / "w"
    run = start("curation.run", source, *SMOKE, "--workspace", workspace)
    wait_for_parts(workspace, 2, run)
    victims = workers(run)
    assert victims
    for victim in victims:
        victim.kill()
    _, errors = run.communicate(timeout=120)
    assert run.returncode == 0, errors
    assert "SIGKILL" in errors
    assert digests(workspace) == expected
    check(workspace)


def test_a_killed_group_shows_as_dead_and_resumes(source: Path, expected: dict[str, str], tmp_path: Path) -> None:
    workspace = tmp_path / "w"
    run = start("curation.run", source, *SMOKE, "--workspace", workspace)
    wait_for_parts(workspace, 2, run)
    relatives = family(run)
    kill_group(run)
    run.wait()
    assert none_left(relatives)
    assert status(workspace) == "dead"
    curate(workspace, "--resume", "last")
    assert digests(workspace) == expected
    assert status(workspace) == "done"
    assert len(ask(workspace, "SELECT * FROM attempt")) == 2
    check(workspace)


def test_no_process_stays_when_the_main_process_is_killed(source: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "w"
    run = start("curation.run", source, *SMOKE, "--workspace", workspace)
    wait_for_parts(workspace, 1, run)
    relatives = family(run)
    assert relatives
    run.kill()
    run.wait()
    assert none_left(relatives)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_by_the_user(
    source: Path, expected: dict[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    workspace = tmp_path / "w"
    run = start("curation.run", source, *SMOKE, "--workspace", workspace)
    wait_for_parts(workspace, 2, run)
    relatives = family(run)
    if number == signal.SIGINT:
        kill_group(run, number)  # as a terminal does
    else:
        run.send_signal(number)
    _, errors = run.communicate(timeout=30)
    assert run.returncode == 130
    assert "--resume" in errors
    assert "Traceback" not in errors
    assert none_left(relatives)
    assert status(workspace) == "interrupted"

    refused = command("curation.run", "--workspace", workspace, "--resume", "last", "--language.threshold", 0.9)
    assert refused.returncode == 2
    assert "language.threshold: " in refused.stderr
    curate(workspace, "--resume", "last", "--execution.workers", 1)
    assert digests(workspace) == expected


def test_a_record_that_kills_twice_is_quarantined(tmp_path: Path) -> None:
    """The worker really dies of a record: here by a patch that a site module brings into every process."""
    (tmp_path / "patch").mkdir()
    (tmp_path / "patch" / "sitecustomize.py").write_text(
        "import importlib.abc, importlib.util, os, signal, sys\n"
        "class Finder(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name != 'curation.sources.content': return None\n"
        "        sys.meta_path.remove(self)\n"
        "        spec = importlib.util.find_spec(name)\n"
        "        execute = spec.loader.exec_module\n"
        "        def patched(module):\n"
        "            execute(module)\n"
        "            resolve = module.resolve\n"
        "            def deadly(record):\n"
        "                if record.url == 'http://lines.example/7': os.kill(os.getpid(), signal.SIGKILL)\n"
        "                return resolve(record)\n"
        "            module.resolve = deadly\n"
        "        spec.loader.exec_module = patched\n"
        "        return spec\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    inputs.jsonl(tmp_path / "lines.jsonl", 100)
    workspace = tmp_path / "w"
    curate(workspace, tmp_path / "lines.jsonl", *SMOKE, env={"PYTHONPATH": str(tmp_path / "patch")})
    found = reasons(workspace)
    assert found[("quarantined", "killed_worker")] == 1
    assert found[("kept", "")] == 99
    (row,) = ask(workspace, "SELECT record_offset FROM quarantine WHERE reason = 'killed_worker'")
    with (tmp_path / "lines.jsonl").open("rb") as file:
        file.seek(row["record_offset"])
        assert json.loads(file.readline())["url"] == "http://lines.example/7"
    check(workspace)


def test_disk_full_then_resume(source: Path, expected: dict[str, str], tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    workspace = disk / "w"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("mounting a small file system needs root")
    try:
        ballast = disk / "ballast"
        run = start("curation.run", source, *SMOKE, "--workspace", workspace)
        wait_for_parts(workspace, 1, run)
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        _, errors = run.communicate(timeout=60)
        assert run.returncode == 2, errors
        assert "No space left" in errors
        assert "--resume" in errors
        assert "Traceback" not in errors
        assert not [path for path in workspace.rglob("*.tmp") if path.stat().st_size]
        ballast.unlink()
        curate(workspace, "--resume", "last")
        assert digests(workspace) == expected
        check(workspace)
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_changed_input_is_not_resumed(source: Path, tmp_path: Path) -> None:
    copy = tmp_path / "in"
    shutil.copytree(source, copy)
    workspace = tmp_path / "w"
    run = start("curation.run", copy, *SMOKE, "--workspace", workspace)
    wait_for_parts(workspace, 1, run)
    kill_group(run)
    run.wait()
    with (copy / "lines.jsonl").open("a") as file:
        file.write('{"text": "one more"}\n')
    done = command("curation.run", "--workspace", workspace, "--resume", "last")
    assert done.returncode == 2
    assert "lines.jsonl" in done.stderr


def test_a_run_at_work_is_not_resumed(source: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "w"
    run = start("curation.run", source, *SMOKE, "--workspace", workspace)
    wait_for_parts(workspace, 1, run)
    run_id = next((workspace / "runs").iterdir()).name
    done = command("curation.run", "--workspace", workspace, "--resume", run_id)
    kill_group(run)
    run.wait()
    assert done.returncode == 2
    assert "at work" in done.stderr


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, float]:
    """(input, workspace of an undisturbed run, its seconds): more work, for the slow proofs."""
    folder = tmp_path_factory.mktemp("large")
    for number in range(16):
        inputs.warc(folder / "in" / f"{number}.warc.gz", 900, first=1000 * number)
    began = time.monotonic()
    curate(folder / "w", folder / "in", *SMOKE)
    return folder / "in", folder / "w", time.monotonic() - began


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_twenty_random_kills_in_a_row(large: tuple[Path, Path, float], tmp_path: Path) -> None:
    folder, undisturbed, _ = large
    chance = random.Random(7)
    workspace = tmp_path / "w"
    for _ in range(20):
        begun = (workspace / "records" / "run").is_dir() and any((workspace / "records" / "run").iterdir())
        assert not begun or status(workspace) != "done", "too little work: it was done before the twentieth kill"
        arguments: list[object] = ["--resume", "last"] if begun else [folder, *SMOKE]
        run = start("curation.run", *arguments, "--workspace", workspace)
        time.sleep(chance.uniform(0.2, 1.8))
        relatives = family(run)
        if chance.random() < 0.5:
            for worker in workers(run):
                worker.kill()
            time.sleep(chance.uniform(0.0, 0.3))
        kill_group(run)
        run.wait()
        assert none_left(relatives)
    if status(workspace) != "done":  # else the last kill came too late
        curate(workspace, "--resume", "last")
    assert digests(workspace) == digests(undisturbed)
    check(workspace)


def committed_records(workspace: Path) -> int:
    """How many raw records the parts of a run hold so far."""
    manifests = workspace.glob("runs/*/scratch/parts/*/*.json")
    return sum(sum(json.loads(manifest.read_bytes())["read"].values()) for manifest in manifests)


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_killed_at_90_percent_a_resume_takes_less_than_a_quarter(
    large: tuple[Path, Path, float], tmp_path: Path
) -> None:
    folder, undisturbed, whole = large
    (total,) = ask(undisturbed, "SELECT sum(records)::BIGINT AS n FROM raw_file")
    workspace = tmp_path / "w"
    run = start("curation.run", folder, *SMOKE, "--workspace", workspace)
    while committed_records(workspace) < 0.9 * total["n"]:
        assert run.poll() is None
        time.sleep(0.02)
    kill_group(run)
    run.wait()
    began = time.monotonic()
    curate(workspace, "--resume", "last")
    resumed = time.monotonic() - began
    print(f"whole {whole:.1f} s, resumed {resumed:.1f} s")
    assert digests(workspace) == digests(undisturbed)
    assert resumed < whole / 4
