"""What every kind of training asks ``training.session`` for."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from curation.errors import UserError
from curation.storage import open_workspace
from curation.workspace import Workspace
from training.config import PretrainConfig
from training.data import RunData


class Preparation(Protocol):
    """What rank 0 does when a run is about to begin."""

    def __call__(self, folder: Path) -> list[tuple[str, float]]:
        """Prepare a run, whose folder this is; returns the ids and weights of its datasets. It may be called again,
        when the run is gone on with."""


@dataclass(frozen=True)
class Job:
    """A training run as every kind of training asks for it."""

    workspace: Workspace
    kind: str
    config: PretrainConfig
    """Resolved: sizes of the model, steps."""
    data: RunData
    described: Mapping[str, Any]
    """As it is put on record; what of it decides the weights, decides which run this is (``training.resume``)."""
    rows: int
    """Of the embedding."""
    prepare: Preparation
    resume: str = "auto"
    weights: Path | None = None
    """A checkpoint whose weights it begins with."""
    run_id: str | None = None
    """The run, begun or gone on with under this id; then ``resume`` is not looked at."""
    parent: str | None = None
    """The run that made the weights, or that this one belongs to."""
    pair_weight: float = 0.0
    validate_first: bool = False
    """Also before the first step, as what it begins with has learned something already."""
    refused: int = 0
    """Inputs that are left out: the command then ends with exit code 1."""


def world_size() -> int:
    """Processes that there are to be."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def open_training_workspace(name: str) -> Workspace:
    """The workspace, if one can train in it.

    Raises:
        UserError: it is not a folder.
    """
    workspace = open_workspace(name)
    if not workspace.local:
        raise UserError(f"--workspace {workspace.name}: training needs a folder that all its processes see")
    return workspace
