"""Running the tasks of a stage."""

from curation.executors.local import Interrupted, StopSignal, TaskFailed, run_stage, warm_up

__all__ = ["Interrupted", "StopSignal", "TaskFailed", "run_stage", "warm_up"]
