"""Which run a command goes on with, and from which checkpoint.

A run is the same run while what decides its weights is the same: ``identity``. How it is split over processes, when it
is validated and which checkpoints it keeps may change between two attempts.
"""

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curation.catalog.query import STALE_SECONDS
from curation.config import differences
from curation.errors import UserError, unknown_name
from curation.processes import is_alive
from curation.records import new_ulid
from curation.workspace import Workspace
from training.folders import checkpoint_folder, checkpoint_steps, find_checkpoint
from training.manifest import read_manifest

_FREE = ("parallelism", "validation", "checkpoints", "guard")


@dataclass(frozen=True)
class Start:
    """Where an attempt begins."""

    run_id: str
    attempt: int
    new: bool
    """Whether the run has to be put on record."""
    checkpoint: Path | None
    """What it goes on from; None: the first step."""
    done: bool = False
    """The run has come to its end before: nothing is left to do."""
    parent: str | None = None
    """The run that the checkpoint of a new run comes from."""


def identity(described: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a run's description that decides its weights.

    Args:
        described: as in the run's record, see ``training.runs``.
    """
    plain: dict[str, Any] = copy.deepcopy(dict(described))
    plain.pop("places", None)  # where inputs are; what they are stands elsewhere
    config = plain["config"]
    for name in _FREE:
        config.pop(name, None)
    config["batch"].pop("micro_batch_size", None)
    return plain


def identity_hash(described: Mapping[str, Any]) -> str:
    """sha256 of the canonical JSON of ``identity``."""
    canonical = json.dumps(identity(described), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def choose(workspace: Workspace, kind: str, resume: str, described: Mapping[str, Any]) -> Start:
    """What ``--resume`` means here: ``never`` a new run, ``auto`` the newest unfinished one that is the same, or a new
    one where there is none; a run by its id; or a checkpoint, by id or folder, from which a new run branches off with
    its optimizer and its place in the data.

    Args:
        kind: ``pretrain``, say.
        described: what the command asks for, as it would be put on record.

    Raises:
        UserError: no such run, another configuration, or it is at work.
    """
    if resume == "never":
        return Start(new_ulid(), 1, True, None)
    runs = {row["run_id"]: row for row in workspace.rows("run") if row["run_kind"] == kind}
    done = {row["run_id"] for row in workspace.rows("run_end") if row["status"] == "done"}
    if resume == "auto":
        wanted = identity_hash(described)
        same = [run_id for run_id, row in runs.items() if row["config_hash"] == wanted and run_id not in done]
        if not same:
            return Start(new_ulid(), 1, True, None)
        run_id = max(same)
    elif resume in runs:
        run_id = resume
        changed = differences(identity(json.loads(runs[run_id]["config"])), identity(described))
        if changed:
            raise UserError(
                f"--resume {run_id}: the configuration differs from the one it began with; put that back, or start a "
                "new run (--resume never):\n  " + "\n  ".join(changed)
            )
    else:
        return _branch(workspace, resume, described, [*sorted(runs)[-5:], "auto", "never", "a checkpoint"])
    attempts = [row for row in workspace.rows("attempt") if row["run_id"] == run_id]
    if run_id not in done:
        _refuse_running(workspace, run_id, attempts)
    steps = checkpoint_steps(workspace, run_id)
    checkpoint = checkpoint_folder(workspace, run_id, steps[-1]) if steps else None
    attempt = 1 + max((int(row["attempt"]) for row in attempts), default=0)
    return Start(run_id, attempt, False, checkpoint, run_id in done)


def choose_named(
    workspace: Workspace, kind: str, run_id: str, parent: str | None, described: Mapping[str, Any]
) -> Start:
    """The run of this id, gone on with or, if there is none, new: for who starts runs and must find them again.

    Args:
        parent: the run that a new one belongs to.

    Raises:
        UserError: it is of another kind, has another configuration, or is at work.
    """
    known = next((row for row in workspace.rows("run") if row["run_id"] == run_id), None)
    if known is None:
        return Start(run_id, 1, True, None, parent=parent)
    if known["run_kind"] != kind or known["parent_run_id"] != parent:
        raise UserError(f"--run-id {run_id}: is a run of another kind, or of another --parent; give an unused id")
    return choose(workspace, kind, run_id, described)


def _branch(workspace: Workspace, resume: str, described: Mapping[str, Any], valid: Sequence[str]) -> Start:
    """A new run that goes on from a checkpoint of another."""
    try:
        folder = find_checkpoint(workspace, resume)
    except UserError:
        raise unknown_name("run or checkpoint for --resume", resume, valid) from None
    manifest = read_manifest(folder)
    facts, batch = manifest.get("facts", {}), described["config"]["batch"]
    if "run_id" not in facts:
        raise UserError(f"--resume {resume}: has no place in any data, as it was imported; use --initialise-from")
    if facts["data_position"] != manifest["step"] * batch["global_batch_size"]:
        raise UserError(
            f"batch.global_batch_size: {batch['global_batch_size']}, but {resume} was trained with another; a run "
            "goes on with the same, or begins with --initialise-from"
        )
    if manifest["step"] >= batch["steps"]:
        raise UserError(f"batch.steps: {batch['steps']}, and {resume} has done {manifest['step']}; ask for more")
    return Start(new_ulid(), 1, True, folder, parent=facts["run_id"])


def _refuse_running(workspace: Workspace, run_id: str, attempts: Sequence[dict[str, Any]]) -> None:
    ended = {row["attempt"] for row in workspace.rows("run_end") if row["run_id"] == run_id}
    newest = max(attempts, key=lambda row: int(row["attempt"]), default=None)
    if newest is None or newest["attempt"] in ended:
        return
    beat = workspace.beats([run_id]).get(run_id)
    if is_alive(newest, beat, STALE_SECONDS):
        raise UserError(
            f"run {run_id} is at work on host {newest['host']} (process {newest['pid']}); stop it, or start another "
            "with --resume never"
        )
