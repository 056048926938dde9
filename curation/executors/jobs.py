"""Tasks of a stage as jobs of a cluster: what a job does, and the driver that waits for jobs.

On its node a job is a local supervisor over its tasks: killed workers and poisonous records are dealt with
there, by the same rules as on one machine. What is left to the driver is the loss of whole jobs (a node that
fails, a time limit, a job cancelled by hand): the tasks of a lost job go into new jobs. The two speak through
files in the run's folder only: completions, journals, parts, and the reason why a job gave up.
"""

import dataclasses
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from datatrove.data import DocumentsPipeline
from datatrove.pipeline.base import PipelineStep

from curation.errors import EXIT_INTERRUPTED, UserError
from curation.executors.common import History, Interrupted, StopSignal, TaskFailed, incomplete
from curation.executors.local import Supervisor, warm_up
from curation.records import new_ulid
from curation.workspace import write_durably

if TYPE_CHECKING:
    from curation.config import CurationConfig
    from curation.plan import RunFolder
    from curation.progress import Progress

MOST_LOST_WITHOUT_PROGRESS = 3
"""A task whose job is lost this often without a step forward ends the run."""
SHORTEST_POLL_SECONDS = 0.2
LONGEST_POLL_SECONDS = 5.0
"""The driver looks at the shared folder and asks the cluster this often, more rarely the longer a stage takes."""


class RunTasks(PipelineStep):
    """The one step of a job: supervises the job's tasks, each of which is a pipeline of its own.

    Its rank is the number of the job.
    """

    type = "job"
    name = "tasks"

    def __init__(
        self,
        folder: "RunFolder",
        stage: str,
        config: "CurationConfig",
        weights: Sequence[int],
        jobs: list[list[int]],
    ) -> None:
        super().__init__()
        self.folder, self.stage, self.config = folder, stage, config
        self.weights, self.jobs = weights, jobs
        self.logs = folder.stage(stage) / "logs" / f"jobs-{new_ulid()}"
        """Where the cluster's own logs of these jobs go."""

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """Do the job; what goes wrong for good is left in the run's folder, for the driver."""
        from curation.progress import Progress, setup_logging

        setup_logging()
        warm_up()
        left = set(incomplete(self.folder, self.stage, len(self.weights)))
        todo = [task for task in self.jobs[rank] if task in left]
        workers = self.config.execution.jobs.workers
        with StopSignal(insistent=False).watch() as stop:
            progress = Progress(terminal=False)
            progress.start(self.stage, sum(self.weights[task] for task in todo))
            try:
                Supervisor(self.folder, self.stage, self.config, self.weights, stop, progress, workers).run(todo)
            except Interrupted:
                for task in todo:  # stopped in order: no record is to blame
                    self.folder.journal(self.stage, task).unlink(missing_ok=True)
                sys.exit(EXIT_INTERRUPTED)
            except (TaskFailed, UserError, OSError) as error:
                self.failure(rank).parent.mkdir(parents=True, exist_ok=True)
                write_durably(self.failure(rank), str(error).encode())
                raise
            progress.finish()
        yield from ()

    def failure(self, job: int) -> Path:
        """Where a job leaves the reason why it gave up."""
        return self.folder.scratch / "failures" / self.logs.name / f"{job:05d}"

    def why(self) -> str | None:
        """The reason that some job has left, if any."""
        for path in sorted(self.failure(0).parent.glob("[0-9]*")):
            return path.read_text(errors="replace")
        return None


class Jobs(Protocol):
    """The jobs of a ``RunTasks`` step on some cluster."""

    def submit(self) -> None:
        """Hand them to the cluster. Raises UserError where it refuses."""

    def unfinished(self) -> bool:
        """Whether any job is waiting or at work. Raises TaskFailed where one can never start."""

    def cancel(self, stop: StopSignal) -> None:
        """Take back what waits, let what is at work commit and end, and wait for that."""

    def finished(self) -> None:
        """All tasks are complete, or no job is left."""

    def last_words(self) -> str:
        """What the log of a lost job ends with, as far as it is known."""


class Driver:
    """Runs tasks as jobs until all are complete."""

    def __init__(
        self,
        launch: Callable[[RunTasks], Jobs],
        folder: "RunFolder",
        stage: str,
        config: "CurationConfig",
        weights: Sequence[int],
        stop: StopSignal,
        progress: "Progress",
    ) -> None:
        self.launch, self.folder, self.stage, self.config = launch, folder, stage, config
        self.weights, self.stop, self.progress = weights, stop, progress
        self.begun = time.monotonic()
        self.todo: set[int] = set()
        self.histories: dict[int, History] = {}
        self.done_weight = 0
        self.done_documents = 0

    def run(self, todo: Sequence[int]) -> None:
        """Run these ranks; raises as ``run_stage`` does."""
        self.todo = set(todo)
        self.histories = {rank: History(self.folder, self.stage, rank) for rank in todo}
        for rank in todo:  # of an earlier attempt
            self.folder.journal(self.stage, rank).unlink(missing_ok=True)
        while self.todo:
            step = RunTasks(self.folder, self.stage, self.config, self.weights, self._grouped())
            jobs = self.launch(step)
            try:
                jobs.submit()
                while self.todo and jobs.unfinished():
                    self._look(step)
                    self.stop.check()
                    elapsed = time.monotonic() - self.begun
                    time.sleep(min(LONGEST_POLL_SECONDS, max(SHORTEST_POLL_SECONDS, 0.05 * elapsed)))
                self._look(step)
            except BaseException:
                jobs.cancel(self.stop)
                raise
            jobs.finished()
            for rank in sorted(self.todo):
                self._lost(rank, jobs)

    def _grouped(self) -> list[list[int]]:
        """Tasks by job, the heaviest first: job n gets the tasks n, n + jobs, n + 2 jobs, ..."""
        ranks = sorted(self.todo, key=lambda rank: (-self.weights[rank], rank))
        jobs = -(-len(ranks) // self.config.execution.jobs.tasks)
        return [ranks[number::jobs] for number in range(jobs)]

    def _look(self, step: RunTasks) -> None:
        """Take note of completed tasks, show progress, and fail where a job has given up."""
        left = self.todo & set(incomplete(self.folder, self.stage, len(self.weights)))
        for rank in self.todo - left:
            self.done_weight += self.weights[rank]
            self.done_documents += self.histories[rank].entry().documents
        self.todo = left
        weight, documents = self.done_weight, self.done_documents
        for rank in self.todo:
            entry = self.histories[rank].entry()
            weight += min(entry.bytes_done, self.weights[rank])
            documents += entry.documents
        self.progress.update(weight, documents)
        if (why := step.why()) is not None:
            raise TaskFailed(why)

    def _lost(self, rank: int, jobs: Jobs) -> None:
        """A job ended and left this task undone: it goes into another job, if that makes sense."""
        history = self.histories[rank]
        entry = history.entry()
        if entry.state != "starting" and self.stage == "extract" and history.committed(entry):
            entry = dataclasses.replace(entry, state="starting")  # an old view of the journal, over a network
        history.died(entry)
        if history.deaths >= MOST_LOST_WITHOUT_PROGRESS:
            raise TaskFailed(
                f"{self.stage} task {rank} was lost with its job {history.deaths} times without a step forward; "
                f"look into {self.folder.stage(self.stage) / 'logs'}, put right what ends the jobs "
                "(execution.jobs.memory_gb? execution.slurm.time?), and resume, with any executor"
                f"{jobs.last_words()}"
            )
        self.progress.note(f"the job of {self.stage} task {rank} ended before its work; the task starts again")


def node_python_path() -> str:
    """PYTHONPATH for the nodes: this checkout, before whatever stands there now."""
    root = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
