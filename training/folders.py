"""Where a training run keeps its checkpoints, and what they are called."""

import re
from pathlib import Path

from curation.errors import UserError
from curation.workspace import Workspace

MANIFEST = "checkpoint.json"
"""Written last into a checkpoint's folder: its existence means that the checkpoint is whole."""

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
    """The folder of a checkpoint, given as that or as an id of the catalog.

    Raises:
        UserError: neither, or its files are gone.
    """
    path = Path(reference)
    if (path / MANIFEST).is_file():
        return path.absolute()
    rows = {row["checkpoint_id"]: row for row in workspace.rows("checkpoint")}
    if reference in rows:
        folder: Path = workspace.root / rows[reference]["path"]
        if (folder / MANIFEST).is_file():
            return folder
        raise UserError(f"checkpoint {reference}: its files are gone ({folder}); use a newer one of its run")
    if path.exists():
        raise UserError(f"{reference}: is no checkpoint ({MANIFEST} is missing); name the folder of one, or an id")
    newest = ", ".join(sorted(rows)[-5:]) or "none yet"
    raise UserError(f"{reference}: there is no such folder, and no checkpoint of that id; the newest: {newest}")
