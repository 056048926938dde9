"""Jobs on Slurm, through datatrove's executor: one array (or several) for the tasks of a stage.

Jobs are known by their name, which is the run's, so that jobs whose driver was killed are found again.
"""

import shlex
import shutil
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from datatrove.executor.slurm import SlurmPipelineExecutor
from datatrove.utils.logging import logger

from curation.errors import UserError
from curation.executors.common import StopSignal, TaskFailed
from curation.executors.jobs import RunTasks, node_python_path
from curation.progress import log

if TYPE_CHECKING:
    from curation.plan import RunFolder

NEVER_STARTS = frozenset(
    "AccountNotAllowed BadConstraints DependencyNeverSatisfied InvalidAccount InvalidQOS JobHeldAdmin JobHeldUser "
    "NodeDown PartitionInactive PartitionNodeLimit PartitionTimeLimit QOSNotAllowed "
    "QOSMaxWallDurationPerJobLimit QOSMaxCpuPerJobLimit QOSMaxMemoryPerJob AssocMaxWallDurationPerJobLimit "
    "AssocMaxCpuPerJobLimit AssocMaxMemPerJob JobHoldMaxRequeue".split()
)
"""Reasons for which a job waits until somebody changes something (squeue(1), "JOB REASON CODES")."""
ASK_SECONDS = 600.0
"""How often a cluster that does not answer, or that lets jobs wait, is mentioned."""
CANCEL_SECONDS = 90.0
"""How long cancelled jobs may take to be gone: Slurm itself kills them after KillWait, 30 s by default."""
DEFAULT_MAX_ARRAY_SIZE = 1001
TOOLS = ("sbatch", "squeue", "scancel", "scontrol")


class SlurmJobs(SlurmPipelineExecutor):
    """The jobs of a step, as an array of Slurm."""

    def __init__(self, step: RunTasks) -> None:
        options, jobs = step.config.execution.slurm, step.config.execution.jobs
        require_tools()
        super().__init__(
            pipeline=[step],
            tasks=len(step.jobs),
            time=options.time,
            partition=options.partition,
            cpus_per_task=jobs.workers,
            mem_per_cpu_gb=jobs.memory_gb,
            workers=jobs.at_once or -1,
            job_name=job_name(step.folder),
            qos=options.qos,  # datatrove's default, "normal", does not exist on every cluster
            env_command=options.env_command,
            sbatch_args={str(name): str(value) for name, value in options.sbatch_args.items()},
            max_array_size=options.max_array_size or _max_array_size(),
            # Arrays after the first wait for it only where the number of jobs at once is limited.
            max_array_launch_parallel=not jobs.at_once,
            logging_dir=str(step.logs),
            slurm_logs_folder=str(step.logs),
            requeue_signals=None,
            mail_type="NONE",
            srun_args={"cpus-per-task": str(jobs.workers)},  # not handed down since Slurm 22.05
        )
        self.python = options.python or sys.executable
        self.python_path = node_python_path()
        self._told_at = time.monotonic()

    def submit(self) -> None:
        """Submit the array."""
        folder = self.pipeline[0].folder
        folder.save("cluster", {"executor": "slurm", "name": self.job_name})  # before there is anything to cancel
        logger.disable("datatrove.executor")  # its log lines are for users of datatrove
        try:
            self.launch_job()
        except subprocess.CalledProcessError as error:
            said = _ask("sbatch", "--test-only", f"{self.slurm_logs_folder}/launch_script.slurm").stderr.strip()
            raise UserError(
                f"Slurm takes no jobs with these options (exit code {error.returncode} of sbatch): "
                f"{said or 'see above'}; put execution.slurm right (partition {self.partition or 'default'!r}, "
                f"time {self.time!r}, qos {self.qos or 'default'!r}) and resume"
            ) from error

    def unfinished(self) -> bool:
        """Whether squeue shows any of the jobs."""
        done = _squeue(self.job_name)
        waited = time.monotonic() - self._told_at
        if done.returncode != 0:
            if waited > ASK_SECONDS:
                self._told_at = time.monotonic()
                log.warning("squeue does not answer (%s); jobs go on meanwhile", done.stderr.strip())
            return True
        lines = [line.split("|") for line in done.stdout.splitlines() if line]
        waiting = Counter(reason for state, reason, _ in lines if state in ("PENDING", "REQUEUE_HOLD", "SPECIAL_EXIT"))
        for state, reason, job in lines:
            if reason in NEVER_STARTS or state in ("REQUEUE_HOLD", "SPECIAL_EXIT"):
                raise TaskFailed(
                    f"Slurm will not start job {job}: {state}, reason {reason}; put execution.slurm right, or ask "
                    "those who run the cluster, and resume"
                )
        if waiting and len(lines) == waiting.total() and waited > ASK_SECONDS:
            self._told_at = time.monotonic()
            log.info("no job runs; waiting in the queue: %s", ", ".join(f"{n} for {why}" for why, n in waiting.items()))
        return bool(lines)

    def cancel(self, stop: StopSignal) -> None:
        """scancel: Slurm sends SIGTERM, upon which jobs commit, and kills after KillWait."""
        cancel(self.pipeline[0].folder, self.job_name, stop)

    def finished(self) -> None:
        """No job has anything left to do."""
        _forget(self.pipeline[0].folder)

    def last_words(self) -> str:
        """The end of the newest log that a lost job has left."""
        written = sorted(self.pipeline[0].logs.glob("*_*.out"), key=lambda path: path.stat().st_mtime)
        for path in reversed(written):
            lines = [line for line in path.read_text(errors="replace").splitlines() if line.strip()]
            return "".join(f"\n  {line[:300]}" for line in [f"{path.name} ends with:", *lines[-4:]])
        return ""

    # ---- what datatrove asks for ----

    def launch_merge_stats(self) -> None:
        """No job for that: each task has its statistics in the stage's folder."""

    def get_sbatch_args(self, max_array: int = 1) -> dict[str, Any]:
        """As datatrove's, without an empty partition, which sbatch would refuse."""
        arguments = super().get_sbatch_args(max_array)
        return {name: value for name, value in arguments.items() if value or name != "partition"}

    def get_launch_file_contents(self, sbatch_args: dict[str, Any], run_script: str) -> str:
        """The batch script: our interpreter rather than whatever is first on the node's PATH."""
        start = f"{shlex.quote(self.python)} -m datatrove.tools.launch_pickled_pipeline"
        run = run_script.replace("launch_pickled_pipeline", start)
        path = f"export PYTHONPATH={shlex.quote(self.python_path)}"
        return str(super().get_launch_file_contents(sbatch_args, f"{path}; {run}"))


def job_name(folder: "RunFolder") -> str:
    """The name of all jobs of a run."""
    return f"curate-{folder.run_id}"


def require_tools() -> None:
    """Raise UserError unless Slurm's commands are there."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        raise UserError(
            f"execution.executor slurm: {', '.join(missing)} not found; run on a login node of the cluster, "
            "or take --execution.executor local"
        )


def cancel(folder: "RunFolder", name: str, stop: StopSignal) -> None:
    """Cancel all jobs of a run, and wait until they are gone; on a second Ctrl-C kill them and do not wait.

    Raises:
        TaskFailed: they are still there after ``CANCEL_SECONDS``.
    """
    _ask("scancel", f"--name={name}")
    deadline = time.monotonic() + CANCEL_SECONDS
    while (left := _squeue(name)).returncode != 0 or left.stdout.strip():
        if stop.at_once:
            _ask("scancel", "--signal=KILL", "--full", f"--name={name}")
            return
        if time.monotonic() > deadline:
            raise TaskFailed(
                f"jobs named {name} do not go away ({left.stderr.strip() or left.stdout.strip()}); look at "
                f"squeue --name={name}, and resume when it is empty"
            )
        time.sleep(0.3)
    _forget(folder)


def _forget(folder: "RunFolder") -> None:
    (folder.scratch / "cluster.json").unlink(missing_ok=True)


def clear_leftovers(folder: "RunFolder", stop: StopSignal) -> None:
    """Cancel jobs that an earlier attempt at the run has left, whose driver was killed.

    Raises:
        UserError: there may be such jobs, and Slurm's commands are not there to tell.
    """
    left = folder.load("cluster")
    if left is None or left["executor"] != "slurm":
        return
    if any(shutil.which(tool) is None for tool in TOOLS):
        raise UserError(
            f"jobs named {left['name']} of an earlier attempt may still be at work, and Slurm's commands are not "
            f"on this machine: cancel them on the cluster (scancel --name={left['name']}), delete "
            f"{folder.scratch / 'cluster.json'}, and resume"
        )
    cancel(folder, left["name"], stop)


def _squeue(name: str) -> "subprocess.CompletedProcess[str]":
    return _ask("squeue", "--noheader", f"--name={name}", "--format=%T|%r|%i")


def _ask(*command: str) -> "subprocess.CompletedProcess[str]":
    """Run a command of Slurm; one that hangs (the controller is being restarted, say) is one that failed."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"{command[0]} took longer than 60 s")


def _max_array_size() -> int:
    """The cluster's MaxArraySize: the largest index of an array is below it."""
    for line in _ask("scontrol", "show", "config").stdout.splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "MaxArraySize" and value.strip().isdigit():
            return max(1, int(value))
    return DEFAULT_MAX_ARRAY_SIZE
