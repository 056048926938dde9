"""Ray, for real: a private cluster of two nodes on this machine."""

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.curation import inputs
from tests.curation.commands import check, command, curate, digests, kill_group, none_left, start, wait_for_parts
from tests.curation.executors import private_ray
from tests.curation.executors.private_ray import Cluster

NO_RAY = private_ray.why_not()
pytestmark = [
    pytest.mark.full,
    pytest.mark.timeout(900),
    pytest.mark.skipif(NO_RAY is not None, reason=f"no Ray: {NO_RAY}"),
]

SMOKE = ("--config", "smoke")
RAY = ("--execution.executor", "ray", "--execution.jobs.tasks", 2, "--execution.jobs.memory_gb", 1)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with private_ray.running() as running:
        yield running


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten tasks."""
    folder = tmp_path_factory.mktemp("source")
    for number in range(4):
        inputs.warc(folder / f"{number}.warc.gz", 500, first=1000 * number)
    inputs.jsonl(folder / "lines.jsonl", 100, first=9000)
    return folder


@pytest.fixture(scope="module")
def expected(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a run on this machine gives."""
    workspace = tmp_path_factory.mktemp("local") / "w"
    curate(workspace, source, *SMOKE)
    return digests(workspace)


def job_workers() -> list[psutil.Process]:
    """Workers of our jobs: what the fork servers below Ray's workers have forked."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if any("multiprocessing.forkserver" in word for word in line):
            ancestors = [parent.name() for parent in process.parents()]
            if any("ray" in name for name in ancestors):
                found.append(process)
    return found


def test_gives_the_bytes_of_a_local_run(
    cluster: Cluster, source: Path, expected: dict[str, str], tmp_path: Path
) -> None:
    curate(tmp_path / "w", source, *SMOKE, *RAY, env=cluster.environment)
    assert digests(tmp_path / "w") == expected
    check(tmp_path / "w")


def test_interrupted_jobs_commit_and_go_away(
    cluster: Cluster, source: Path, expected: dict[str, str], tmp_path: Path
) -> None:
    run = start("curation.run", source, *SMOKE, *RAY, "--workspace", tmp_path / "w", env=cluster.environment)
    wait_for_parts(tmp_path / "w", 1, run)
    at_work = job_workers()
    assert at_work
    kill_group(run, signal.SIGINT)
    _, errors = run.communicate(timeout=100)
    assert run.returncode == 130, errors
    assert none_left(at_work, 20)
    curate(tmp_path / "w", "--resume", "last")  # on this machine
    assert digests(tmp_path / "w") == expected


def test_no_work_goes_on_without_its_driver(
    cluster: Cluster, source: Path, expected: dict[str, str], tmp_path: Path
) -> None:
    run = start("curation.run", source, *SMOKE, *RAY, "--workspace", tmp_path / "w", env=cluster.environment)
    wait_for_parts(tmp_path / "w", 1, run)
    at_work = job_workers()
    assert at_work
    kill_group(run)
    run.wait()
    assert none_left(at_work, 30)
    curate(tmp_path / "w", "--resume", "last", *RAY, env=cluster.environment)
    assert digests(tmp_path / "w") == expected


def test_no_cluster_is_said(cluster: Cluster, source: Path, tmp_path: Path) -> None:
    elsewhere = ("--execution.ray.address", "127.0.0.1:9")
    done = command("curation.run", source, *SMOKE, *RAY, *elsewhere, "--workspace", tmp_path / "w")
    assert done.returncode == 2
    assert "execution.ray.address" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_work_of_a_killed_node_is_done_elsewhere(
    cluster: Cluster, source: Path, expected: dict[str, str], tmp_path: Path
) -> None:
    """Last, since the node stays dead."""
    run = start("curation.run", source, *SMOKE, *RAY, "--workspace", tmp_path / "w", env=cluster.environment)
    wait_for_parts(tmp_path / "w", 1, run)
    cluster.kill_node(1)
    _, errors = run.communicate(timeout=600)
    if run.returncode != 0:
        curate(tmp_path / "w", "--resume", "last", *RAY, env=cluster.environment)
    assert digests(tmp_path / "w") == expected, errors
    check(tmp_path / "w")
