"""Slurm, for real: a private cluster of two logical nodes on this machine."""

import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.curation import inputs, s3_server
from tests.curation.commands import check, command, curate, digests, kill_group, none_left, start, wait_for_parts
from tests.curation.executors import private_slurm
from tests.curation.executors.private_slurm import Cluster

NO_SLURM = private_slurm.why_not()
pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(NO_SLURM is not None, reason=f"no Slurm: {NO_SLURM}"),
]

SMOKE = ("--config", "smoke")
SLURM = ("--execution.executor", "slurm", "--execution.slurm.time", "30", "--execution.jobs.memory_gb", 1)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with private_slurm.running(tmp_path_factory.mktemp("slurm")) as running:
        yield running


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven tasks."""
    folder = tmp_path_factory.mktemp("source")
    for number in range(3):
        inputs.warc(folder / f"{number}.warc.gz", 300, first=1000 * number)
    inputs.jsonl(folder / "lines.jsonl", 100, first=9000)
    return folder


@pytest.fixture(scope="module")
def expected(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a run on this machine gives."""
    workspace = tmp_path_factory.mktemp("local") / "w"
    curate(workspace, source, *SMOKE)
    return digests(workspace)


def begin(cluster: Cluster, source: Path, workspace: Path, *more: object) -> "subprocess.Popen[str]":
    """Start a run on the cluster, and wait until its jobs have committed something."""
    run = start("curation.run", source, *SMOKE, *SLURM, *more, "--workspace", workspace, env=cluster.environment)
    wait_for_parts(workspace, 1, run)
    return run


def test_gives_the_bytes_of_a_local_run_though_jobs_are_killed(
    cluster: Cluster, source: Path, expected: dict[str, str], tmp_path: Path
) -> None:
    """Four jobs in two arrays, since the cluster is said to take arrays of two."""
    arrays = ("--execution.jobs.tasks", 2, "--execution.slurm.max_array_size", 2, "--execution.jobs.at_once", 2)
    run = begin(cluster, source, tmp_path / "w", *arrays)
    jobs = cluster.steps()
    assert jobs
    for process in jobs:
        process.kill()
    _, errors = run.communicate(timeout=250)
    assert run.returncode == 0, errors
    assert "starts again" in errors
    assert digests(tmp_path / "w") == expected
    check(tmp_path / "w")
    logs = next((tmp_path / "w").glob("runs/*/stages/extract/logs"))
    assert len(list(logs.glob("task_*.log"))) == 7
    assert len({path.name.partition("_")[0] for path in logs.glob("jobs-*/*_*.out")}) > 2


def test_interrupted_jobs_commit_and_go_away(
    cluster: Cluster, source: Path, expected: dict[str, str], tmp_path: Path
) -> None:
    run = begin(cluster, source, tmp_path / "w")
    jobs = cluster.steps()
    kill_group(run, signal.SIGINT)  # as a terminal does
    _, errors = run.communicate(timeout=150)
    assert run.returncode == 130, errors
    assert "--resume" in errors
    assert none_left(jobs)
    assert not cluster.ask("squeue", "--noheader")
    curate(tmp_path / "w", "--resume", "last")  # on this machine
    assert digests(tmp_path / "w") == expected


def test_jobs_whose_driver_was_killed_are_found(
    cluster: Cluster, source: Path, expected: dict[str, str], tmp_path: Path
) -> None:
    run = begin(cluster, source, tmp_path / "w")
    kill_group(run)
    run.wait()
    jobs = cluster.steps()
    assert jobs
    nowhere = {"PATH": os.path.dirname(psutil.Process().exe())}
    refused = command("curation.run", "--workspace", tmp_path / "w", "--resume", "last", env=nowhere)
    assert refused.returncode == 2
    assert "scancel --name=curate-" in refused.stderr
    curate(tmp_path / "w", "--resume", "last", env=cluster.environment)
    assert none_left(jobs)
    assert digests(tmp_path / "w") == expected


def test_what_slurm_refuses_is_said(cluster: Cluster, tmp_path: Path) -> None:
    inputs.jsonl(tmp_path / "lines.jsonl", 10)
    arguments = [tmp_path / "lines.jsonl", *SMOKE, *SLURM, "--workspace", tmp_path / "w"]
    wrong = command("curation.run", *arguments, "--execution.slurm.partition", "nowhere", env=cluster.environment)
    assert wrong.returncode == 2
    assert "'nowhere'" in wrong.stderr
    assert "nvalid partition" in wrong.stderr
    assert "Traceback" not in wrong.stderr
    resume = ["--resume", "last", "--workspace", tmp_path / "w", *SLURM]
    never = command("curation.run", *resume, "--execution.slurm.partition", "short", env=cluster.environment)
    assert never.returncode == 2
    assert "PartitionTimeLimit" in never.stderr
    time.sleep(0.1)
    assert not cluster.ask("squeue", "--noheader")


@pytest.mark.full
def test_a_workspace_on_object_storage(
    cluster: Cluster, source: Path, expected: dict[str, str], tmp_path: Path
) -> None:
    """Nodes read input from S3 and put shards there; they share the working folder."""
    with s3_server.bucket(tmp_path / "home") as bucket:
        bucket.put_folder(source, "raw")
        curate(bucket.url("w"), bucket.url("raw"), *SMOKE, *SLURM, env=cluster.environment)
        stored = {key.split("/", 3)[3]: hashlib.sha256(bucket.get(key)).hexdigest() for key in bucket.keys("w/shards/")}
        check(bucket.url("w"))
    assert stored == expected
