"""Where a training run keeps its checkpoints, and what they are called."""

import re
from pathlib import Path

from curation.workspace import Workspace

_STEP = re.compile(r"step-(\d{8,})")


def checkpoints_folder(workspace: Workspace, run_id: str) -> Path:
    """All checkpoints of a run."""
    return workspace.run_folder(run_id) / "checkpoints"


def checkpoint_folder(workspace: Workspace, run_id: str, step: int) -> Path:
    """The checkpoint behind a step."""
    return checkpoints_folder(workspace, run_id) / f"step-{step:08d}"


def checkpoint_id(run_id: str, step: int) -> str:
    """Its name in the catalog: the same whoever records it."""
    return f"{run_id}-{step:08d}"


def checkpoint_steps(workspace: Workspace, run_id: str) -> list[int]:
    """Steps of the whole checkpoints on disk, in order."""
    found = []
    for path in checkpoints_folder(workspace, run_id).glob("step-*"):
        match = _STEP.fullmatch(path.name)
        if match and (path / "checkpoint.json").exists():
            found.append(int(match[1]))
    return sorted(found)
