"""A Slurm of our own on this machine: a controller and two logical nodes, with its own munge key."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")
NODES = ("n1", "n2")


def why_not() -> str | None:
    """Why no Slurm can be started here; None if it can."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    missing = [name for name in PROGRAMS if shutil.which(name, path=path) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (Debian: slurm-wlm slurmctld slurmd slurm-client munge)"
    if os.geteuid() != 0:
        return "slurmd needs root"
    return None


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@dataclass(frozen=True)
class Cluster:
    """A running cluster."""

    folder: Path
    daemons: list["subprocess.Popen[bytes]"]

    @property
    def environment(self) -> dict[str, str]:
        """What Slurm's commands need to find it."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}

    def ask(self, *command: str) -> str:
        """Output of a command of Slurm."""
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, **self.environment}, timeout=30, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def steps(self) -> list[psutil.Process]:
        """Processes of jobs, those of our daemons apart: what runs with our configuration in its environment."""
        own = {os.getpid(), *(daemon.pid for daemon in self.daemons)}
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                environment = process.environ()
                ours = environment.get("SLURM_CONF") == self.environment["SLURM_CONF"] and "SLURM_JOB_ID" in environment
                if ours and process.pid not in own:
                    found.append(process)
        return found


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    """Start a cluster in ``folder`` and stop it in the end."""
    for name in ("state", "spool", "log"):
        (folder / name).mkdir(parents=True)
    sockets = folder / "s"
    sockets.mkdir(mode=0o755)
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    controller, *ports = free_ports(1 + len(NODES))
    host = socket.gethostname().split(".")[0]
    nodes = "\n".join(
        f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2 RealMemory=8000"
        for name, port in zip(NODES, ports, strict=True)
    )
    (folder / "slurm.conf").write_text(f"""
ClusterName=private
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={sockets}/m
CryptoType=crypto/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
KillWait=15
MaxArraySize=4
SchedulerParameters=sched_min_interval=100000,bf_interval=1
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld
SlurmdLogFile={folder}/log/slurmd.%n
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=60 State=UP
PartitionName=short Nodes=ALL MaxTime=1 State=UP
""")
    (folder / "cgroup.conf").write_text("CgroupPlugin=disabled\n")
    cluster = Cluster(folder, [])
    environment = {**os.environ, **cluster.environment}

    def start(*command: str) -> None:
        with (folder / "log" / f"{command[0]}.out").open("ab") as log:
            cluster.daemons.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))

    try:
        munge = ["--force", f"--key-file={key}", f"--socket={sockets}/m", f"--pid-file={folder}/munged.pid"]
        start("munged", "--foreground", *munge, f"--log-file={folder}/log/munged", f"--seed-file={folder}/munge.seed")
        _wait(lambda: (sockets / "m").exists(), "munged")
        start("slurmctld", "-D", "-f", environment["SLURM_CONF"])
        for name in NODES:
            start("slurmd", "-D", "-N", name, "-f", environment["SLURM_CONF"])
        _wait(lambda: _states(environment) == ["idle", "idle"], "slurmctld and slurmd")
        yield cluster
    finally:
        for process in cluster.steps():
            with contextlib.suppress(psutil.Error):
                process.kill()
        for daemon in reversed(cluster.daemons):
            daemon.terminate()
        for daemon in reversed(cluster.daemons):
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def _states(environment: dict[str, str]) -> list[str]:
    command = ["sinfo", "--noheader", "--Node", "--partition=main", "--format=%T"]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False).stdout.split()


def _wait(ready: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, f"{what} did not start in {seconds:.0f} s"
        time.sleep(0.1)
