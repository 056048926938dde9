"""A Ray cluster of our own on this machine: a head and a second node, each a real ``ray start``."""

import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.curation.commands import ROOT
from tests.curation.executors.private_slurm import free_ports

START_SECONDS = 90.0


def why_not() -> str | None:
    """Why no Ray can be started here; None if it can."""
    return None if importlib.util.find_spec("ray") else "not installed (pip install 'open-curation[ray]')"


@dataclass
class Cluster:
    """A running cluster."""

    folder: Path
    address: str
    token: str
    nodes: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """What a driver and a joining node need."""
        return {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self.token,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
            "RAY_ADDRESS": self.address,
        }

    def start_node(self, *arguments: str) -> None:
        """``ray start`` in a session of its own."""
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1"]
        command += ["--object-store-memory=80000000", "--memory=4000000000", "--disable-usage-stats", *arguments]
        environment = {**os.environ, **self.environment}
        del environment["RAY_ADDRESS"]
        with (self.folder / f"node{len(self.nodes)}.log").open("wb") as log:
            process = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment, cwd=ROOT, start_new_session=True
            )
        self.nodes.append(process)

    def processes(self, node: int) -> list[psutil.Process]:
        """All processes of a node."""
        own = psutil.Process(self.nodes[node].pid)
        return [own, *own.children(recursive=True)]

    def kill_node(self, node: int) -> None:
        """A node fails, with all that runs on it."""
        for process in self.processes(node):
            with contextlib.suppress(psutil.Error):
                process.kill()

    def alive(self) -> int:
        """Nodes that are up."""
        code = "import ray; ray.init('auto', log_to_driver=False, logging_level=50);"
        code += "print(sum(node['Alive'] for node in ray.nodes()))"
        environment = {**os.environ, **self.environment}
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
        )
        return int(done.stdout or 0)


@contextlib.contextmanager
def running() -> Iterator[Cluster]:
    """Start a cluster of two nodes with a core each, and stop it in the end."""
    folder = Path(tempfile.mkdtemp(prefix="ray-"))  # short: sockets lie below
    port, client = free_ports(2)
    cluster = Cluster(folder, f"127.0.0.1:{port}", secrets.token_hex(32))
    head = ["--head", f"--port={port}", f"--ray-client-server-port={client}", "--include-dashboard=false"]
    try:
        cluster.start_node(*head, "--node-ip-address=127.0.0.1", f"--temp-dir={folder}/t")
        _wait_for(cluster, 1)
        cluster.start_node(f"--address={cluster.address}", "--node-ip-address=127.0.0.1")
        _wait_for(cluster, 2)
        yield cluster
    finally:
        for node in reversed(cluster.nodes):
            if node.poll() is None:
                processes = [*psutil.Process(node.pid).children(recursive=True)]
                node.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    node.wait(15)
                for process in processes:
                    with contextlib.suppress(psutil.Error):
                        process.kill()
                node.kill()
                node.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(cluster: Cluster, nodes: int) -> None:
    end = time.monotonic() + START_SECONDS
    while cluster.alive() < nodes:
        logs = "".join(path.read_text(errors="replace") for path in cluster.folder.glob("*.log"))
        assert cluster.nodes[-1].poll() is None, logs
        assert time.monotonic() < end, f"no {nodes} nodes in {START_SECONDS:.0f} s\n{logs}"
        time.sleep(0.5)
