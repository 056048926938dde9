"""Jobs on Ray, through datatrove's executor for what a job does.

datatrove's own loop over Ray runs each task in a pool inside an actor, which hangs when a pool's process is
killed and cannot be stopped in order. Here a job is a plain Ray task, and the driver is ours.
"""

import os
import signal
import socket
from collections.abc import Callable
from typing import Any

from datatrove.executor.ray import RayPipelineExecutor
from datatrove.utils.logging import logger

from curation.errors import UserError
from curation.executors.common import StopSignal, TaskFailed
from curation.executors.jobs import RunTasks, node_python_path
from curation.executors.local import GRACE_SECONDS
from curation.progress import log

GIGABYTE = 2**30
CONNECT_SECONDS = 10.0


class RayJobs:
    """The jobs of a step, as tasks of Ray."""

    def __init__(self, step: RunTasks) -> None:
        jobs = step.config.execution.jobs
        connect(step.config.execution.ray.address)
        logger.disable("datatrove.executor")  # it warns of folders that nodes may not share: see the README
        self.executor = RayPipelineExecutor(
            pipeline=[step],
            tasks=len(step.jobs),
            cpus_per_task=jobs.workers,
            mem_per_cpu_gb=jobs.memory_gb,
            logging_dir=str(step.logs),
        )
        self.at_once = jobs.at_once or len(step.jobs)
        self.waiting = list(range(len(step.jobs)))
        self.running: dict[Any, int] = {}

    def submit(self) -> None:
        """Hand over as many jobs as may run at once."""
        import ray

        needs = {"CPU": self.executor.cpus_per_task, "memory": self._memory()}
        list_nodes: Callable[[], list[dict[str, Any]]] = ray.nodes
        nodes = [node["Resources"] for node in list_nodes() if node["Alive"]]
        if not any(all(node.get(name, 0) >= least for name, least in needs.items()) for node in nodes):
            log.warning(
                "no node of the Ray cluster has %d cores and %d GiB for a job now: jobs wait until one joins "
                "(or ask for less: execution.jobs.workers, execution.jobs.memory_gb)",
                needs["CPU"],
                needs["memory"] // GIGABYTE,
            )
        self.work = ray.remote(_work).options(
            num_cpus=self.executor.cpus_per_task,
            memory=self._memory(),
            max_retries=0,  # a lost job's tasks are put together anew
            name=self.executor.pipeline[0].stage,
        )
        self.executor_ref = ray.put(self.executor)
        self._fill()

    def _memory(self) -> int:
        return int(self.executor.mem_per_cpu_gb * self.executor.cpus_per_task * GIGABYTE)

    def _fill(self) -> None:
        while self.waiting and len(self.running) < self.at_once:
            job = self.waiting.pop(0)
            self.running[self.work.remote(self.executor_ref, job)] = job

    def unfinished(self) -> bool:
        """Take note of jobs that have ended and start others in their place."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        if self.running:
            ended, _ = ray.wait(list(self.running), num_returns=len(self.running), timeout=0.1)
            for reference in ended:
                job = self.running.pop(reference)
                try:
                    ray.get(reference)
                except RayTaskError as error:
                    # What is a task's own fault the job has left in the run's folder; this is Python's: code that
                    # the node cannot import, say.
                    why = self.executor.pipeline[0].why()
                    raise TaskFailed(why or f"job {job} failed on its node:\n{error}") from error
                except RayError as error:
                    log.warning("a job was lost: %s", str(error).strip().partition("\n")[0])
        self._fill()
        return bool(self.running)

    def cancel(self, stop: StopSignal) -> None:
        """Let jobs commit and end; kill those that do not, or all on a second Ctrl-C."""
        import ray

        self.waiting.clear()
        references = list(self.running)
        for reference in references:
            ray.cancel(reference, force=False)
        seconds = 0.0
        while references and seconds < 2 * GRACE_SECONDS and not stop.at_once:
            _, references = ray.wait(references, num_returns=len(references), timeout=0.2)
            seconds += 0.2
        for reference in references:
            ray.cancel(reference, force=True)
        self.running.clear()

    def finished(self) -> None:
        """Ray keeps no jobs beyond their driver: nothing is to be remembered."""

    def last_words(self) -> str:
        """Ray keeps the output of its workers to itself."""
        return ""


def connect(address: str) -> None:
    """Join the cluster as its driver, unless that is done.

    Raises:
        UserError: Ray is not installed, or there is no such cluster.
    """
    try:
        import ray
    except ModuleNotFoundError as error:
        raise UserError(
            "execution.executor ray: Ray is not installed here; install it (pip install 'open-curation[ray]')"
        ) from error
    if ray.is_initialized():
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    named = os.environ.get("RAY_ADDRESS", "") if address == "auto" else address
    try:
        if ":" in named:  # Ray itself would try for minutes
            host, _, port = named.rpartition("://")[2].rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
        ray.init(
            address=address,
            runtime_env={"env_vars": {"PYTHONPATH": node_python_path()}},
            log_to_driver=False,
            configure_logging=False,
        )
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise UserError(
            f"execution.ray.address: no Ray cluster to work with at {named or address!r} ({_first_line(error)}); "
            "start one (ray start --head), or name its head host:port; where it wants a token, set "
            "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN"
        ) from error
    finally:
        for number, handler in handlers.items():  # Ray puts its own in their place
            signal.signal(number, handler)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _work(executor: RayPipelineExecutor, job: int) -> None:
    """The body of a job, on its node."""
    try:
        executor._run_for_rank(job)
    except SystemExit:  # stopped in order; Ray would take it for a crash of its worker
        return
