"""Where a training run keeps its checkpoints, and what they are called."""

import re
from pathlib import Path

from curation.errors import UserError, unknown_name
from curation.workspace import Workspace
from training.manifest import MANIFEST

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
        if match and (path / MANIFEST).exists():
            found.append(int(match[1]))
    return sorted(found)


def find_checkpoint(workspace: Workspace, reference: str) -> Path:
    """The folder of a checkpoint: by its path, or by its id in the workspace's catalog.

    Raises:
        UserError: there is none, or it is gone; the newest are listed.
    """
    path = Path(reference)
    if (path / MANIFEST).is_file():
        return path.absolute()
    if path.is_dir():
        raise UserError(f"{reference}: is no checkpoint ({MANIFEST} is missing); name the folder of one, or an id")
    known = {row["checkpoint_id"]: row for row in workspace.rows("checkpoint")}
    gone = {row["checkpoint_id"] for row in workspace.rows("checkpoint_removal")}
    if reference in gone:
        raise UserError(f"checkpoint {reference}: was removed from disk (checkpoints.keep_last); name another")
    if reference not in known:
        here = [name for name in sorted(known) if name not in gone][-5:]
        raise unknown_name("checkpoint, which is no folder either,", reference, here or ["none yet"])
    folder = workspace.root / str(known[reference]["path"])
    if not (folder / MANIFEST).is_file():
        raise UserError(f"checkpoint {reference}: its files are gone ({folder}); name another")
    return folder
