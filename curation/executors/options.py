"""Options of the executors. Nothing here changes a byte of the result."""

from dataclasses import dataclass, field
from typing import Literal

from curation.errors import UserError


@dataclass(frozen=True)
class JobsConfig:
    """Jobs on a cluster, of whichever kind. A job works through some tasks of a stage."""

    tasks: int = 4
    """Tasks that a job works through. More of them start fewer jobs (each costs some seconds to start), fewer
    of them spread the work better."""
    workers: int = 1
    """Worker processes of a job, and cores that are asked for it."""
    memory_gb: int = 2
    """Memory that is asked for each worker, in GiB."""
    at_once: int = 0
    """Jobs that may run at the same time; 0: as many as the cluster takes."""

    def __post_init__(self) -> None:
        for name in ("tasks", "workers", "memory_gb"):
            if getattr(self, name) < 1:
                raise UserError(f"execution.jobs.{name}: {getattr(self, name)} is not at least 1")
        if self.at_once < 0:
            raise UserError(f"execution.jobs.at_once: {self.at_once} is negative")


@dataclass(frozen=True)
class SlurmConfig:
    """How jobs are submitted to Slurm."""

    partition: str = ""
    """Partition; empty: the cluster's default."""
    time: str = "24:00:00"
    """Time limit of a job, in sbatch's notation. A job that reaches it commits, and its tasks go on in another."""
    qos: str = ""
    """Quality of service; empty: the default of the account."""
    sbatch_args: dict[str, str] = field(default_factory=dict)
    """More options of sbatch, by their long names: ``{account: a, constraint: icelake}``."""
    env_command: str = ""
    """Shell commands before each job, to load modules or to activate an environment."""
    python: str = ""
    """Python on the nodes; empty: the interpreter that runs this command, by its path."""
    max_array_size: int = 0
    """Jobs in an array; 0 asks the cluster (MaxArraySize). Work beyond it goes into several arrays."""

    def __post_init__(self) -> None:
        lines = {"partition": self.partition, "time": self.time, "qos": self.qos, "python": self.python}
        lines |= {f"sbatch_args.{name}": f"{name}{value}" for name, value in self.sbatch_args.items()}
        for name, value in lines.items():
            if not str(value).isprintable():
                raise UserError(f"execution.slurm.{name}: {value!r} has a line break or control character")
        if not self.time:
            raise UserError("execution.slurm.time: is empty; give a limit such as 12:00:00")
        if self.max_array_size < 0:
            raise UserError(f"execution.slurm.max_array_size: {self.max_array_size} is negative")


@dataclass(frozen=True)
class RayConfig:
    """Which Ray cluster does the work. Its token, where it wants one, is taken from the environment
    (RAY_AUTH_MODE, RAY_AUTH_TOKEN), never from a file that is stored with the run."""

    address: str = "auto"
    """``host:port`` of the cluster's head; ``auto``: RAY_ADDRESS, or the cluster that this machine is part of."""


@dataclass(frozen=True)
class ExecutionConfig:
    """How the work is done. Nothing here changes a byte of the result, and a resume may change it all."""

    executor: Literal["local", "slurm", "ray"] = "local"
    """Where tasks run: on this machine, or as jobs of a cluster whose nodes see the workspace and the input
    under the same paths."""
    workers: int = 0
    """Worker processes on this machine; 0 takes one for each processor core that this process may use."""
    jobs: JobsConfig = field(default_factory=JobsConfig)
    """Jobs on Slurm or Ray."""
    slurm: SlurmConfig = field(default_factory=SlurmConfig)
    """Options for Slurm."""
    ray: RayConfig = field(default_factory=RayConfig)
    """Options for Ray."""

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise UserError(f"execution.workers: {self.workers} is negative")
