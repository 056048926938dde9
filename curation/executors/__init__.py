"""Running the tasks of a stage: on this machine, on Slurm, or on Ray.

Whoever runs them, a task is the same datatrove pipeline, its completion is datatrove's mark in the stage's
folder, and a supervisor (``local.py``) on the machine where it runs watches it. So a run can change its
executor with every resume.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from curation.executors.common import Interrupted, StopSignal, TaskFailed, incomplete
from curation.executors.local import Supervisor, cores, warm_up

if TYPE_CHECKING:
    from curation.config import CurationConfig
    from curation.plan import RunFolder
    from curation.progress import Progress

__all__ = ["Interrupted", "StopSignal", "TaskFailed", "run_stage", "warm_up"]


def run_stage(
    folder: "RunFolder",
    stage: str,
    config: "CurationConfig",
    weights: Sequence[int],
    stop: StopSignal,
    progress: "Progress",
) -> None:
    """Run all tasks of a stage that are not complete, where ``config.execution`` says.

    Args:
        weights: bytes of each task; the heaviest start first, and progress is told in them.

    Raises:
        Interrupted: the user stopped the run.
        TaskFailed: a task cannot go on; the message says why.
        UserError: the cluster cannot be used as configured.
    """
    todo = incomplete(folder, stage, len(weights))
    progress.start(stage, sum(weights), sum(weights) - sum(weights[rank] for rank in todo))
    if todo:
        _run(folder, stage, config, weights, stop, progress, todo)
    progress.finish()


def _run(
    folder: "RunFolder",
    stage: str,
    config: "CurationConfig",
    weights: Sequence[int],
    stop: StopSignal,
    progress: "Progress",
    todo: list[int],
) -> None:
    if (folder.scratch / "cluster.json").exists():
        from curation.executors.slurm import clear_leftovers

        clear_leftovers(folder, stop)
    executor = config.execution.executor
    if executor == "local":
        workers = max(1, config.execution.workers or cores())
        Supervisor(folder, stage, config, weights, stop, progress, workers).run(todo)
        return
    from curation.executors.jobs import Driver

    if executor == "slurm":
        from curation.executors.slurm import SlurmJobs

        Driver(SlurmJobs, folder, stage, config, weights, stop, progress).run(todo)
    else:
        from curation.executors.ray import RayJobs

        Driver(RayJobs, folder, stage, config, weights, stop, progress).run(todo)
