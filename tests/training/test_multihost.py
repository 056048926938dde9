"""Two hosts, made of network namespaces with a virtual link between them: each has addresses of its own, and reaches
the other through the link alone. They share the file system, as hosts of a cluster do."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.curation.commands import ROOT, environment
from tests.training import launch

pytest.importorskip("nanotron", reason="training needs nanotron: pip install nanotron==0.4")
pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("ip") is None, reason="network namespaces need root and iproute2"
    ),
]
HOSTS = ("octest-a", "octest-b")
ADDRESSES = ("10.77.3.1", "10.77.3.2")


def ip(*arguments: str, check: bool = True) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if check and done.returncode:
        pytest.skip(f"no network namespaces here: ip {' '.join(arguments)}: {done.stderr.strip()}")


@pytest.fixture
def hosts() -> Iterator[tuple[str, str]]:
    """Names of two namespaces, linked."""
    for host in HOSTS:
        ip("netns", "del", host, check=False)
    try:
        for host in HOSTS:
            ip("netns", "add", host)
        ip("link", "add", "veth", "netns", HOSTS[0], "type", "veth", "peer", "name", "veth", "netns", HOSTS[1])
        for host, address in zip(HOSTS, ADDRESSES, strict=True):
            ip("-n", host, "addr", "add", f"{address}/24", "dev", "veth")
            ip("-n", host, "link", "set", "veth", "up")
            ip("-n", host, "link", "set", "lo", "up")
        yield HOSTS
    finally:
        for host in HOSTS:
            kill_host(host)
            ip("netns", "del", host, check=False)


def kill_host(host: str) -> None:
    """SIGKILL to every process on it."""
    found = subprocess.run(["ip", "netns", "pids", host], capture_output=True, text=True, check=True)
    for pid in map(int, found.stdout.split()):
        os.kill(pid, signal.SIGKILL)


def start_host(
    hosts: tuple[str, str], rank: int, port: int, workspace: Path, config: Path, log: Path
) -> subprocess.Popen[str]:
    """The line that the README gives, on one of the hosts."""
    master = ("--nnodes=2", f"--node_rank={rank}", f"--master_addr={ADDRESSES[0]}", f"--master_port={port}")
    options = ("--config", config, "--workspace", workspace, *launch.topology(data=2, zero_stage=1))
    command = launch.line(1, "training.pretrain", options, master)
    with log.open("w") as file:
        return subprocess.Popen(
            ["ip", "netns", "exec", hosts[rank], *command],
            stdout=file,
            stderr=file,
            text=True,
            env=environment({"GLOO_SOCKET_IFNAME": "veth"}),
            cwd=ROOT,
            start_new_session=True,
        )


def test_a_host_dies_and_the_run_goes_on(hosts: tuple[str, str], workspace: Path, tmp_path: Path) -> None:
    config = launch.write_config(tmp_path / "c.yaml", launch.ENDLESS)
    other = Path(shutil.copytree(workspace, tmp_path / "undisturbed"))
    wanted = launch.losses(launch.run_until(other, config, 60))
    logs = [tmp_path / f"{host}.log" for host in hosts]
    both = [start_host(hosts, rank, 29621, workspace, config, logs[rank]) for rank in (0, 1)]
    launch.wait_for(launch.reached(workspace, 25), both[0], logs[0])
    kill_host(hosts[1])
    assert both[0].wait(timeout=180) != 0, "a host alone cannot go on"
    run = launch.newest_run(workspace)
    both = [start_host(hosts, rank, 29622, workspace, config, logs[rank]) for rank in (0, 1)]
    launch.wait_for(launch.reached(workspace, 60), both[0], logs[0])
    for process in both:
        process.send_signal(signal.SIGTERM)
    for process in both:
        process.wait(timeout=180)
    assert launch.newest_run(workspace) == run
    assert min(launch.metrics_of_attempt(run, 2)) in (11, 21)
    found = launch.losses(run)
    assert max(abs(a - b) for a, b in zip(found[:60], wanted[:60], strict=True)) < 1e-5
