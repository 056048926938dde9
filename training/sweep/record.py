"""The run of a sweep, or of a range test, as it is on record: which one a command goes on with."""

import dataclasses
import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from curation.config import differences
from curation.errors import UserError, unknown_name
from curation.records import Run, new_ulid
from curation.workspace import Workspace
from training.recording import new_run
from training.sweep.config import FREE


@dataclass(frozen=True)
class Begin:
    """Which run an attempt is at."""

    run_id: str
    attempt: int
    run: Run | None
    """To be put on record; None: it is."""
    done: bool = False
    """It came to its end before."""


def identity(described: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a description that decides what a trial is."""
    return {name: value for name, value in described.items() if name not in FREE}


def identity_hash(described: Mapping[str, Any]) -> str:
    """sha256 of the canonical JSON of ``identity``."""
    return hashlib.sha256(json.dumps(identity(described), sort_keys=True).encode()).hexdigest()


def choose(workspace: Workspace, kind: str, resume: str, described: Mapping[str, Any], seed: int) -> Begin:
    """What ``--resume`` means: ``never`` a new run, ``auto`` the newest unfinished one of the same configuration, or a
    new one where there is none; or a run by its id, done or not.

    Args:
        kind: ``sweep`` or ``range``.
        described: the resolved configuration.

    Raises:
        UserError: no such run, or it has another configuration.
    """
    runs = {row["run_id"]: row for row in workspace.rows("run") if row["run_kind"] == kind}
    done = {row["run_id"] for row in workspace.rows("run_end") if row["status"] == "done"}
    wanted = identity_hash(described)
    if resume in ("auto", "never"):
        same = [run_id for run_id, row in runs.items() if row["config_hash"] == wanted and run_id not in done]
        run_id = max(same, default=None) if resume == "auto" else None
    elif resume in runs:
        run_id = resume
        changed = differences(identity(json.loads(runs[run_id]["config"])), identity(described))
        if changed:
            raise UserError(
                f"--resume {run_id}: the configuration differs from the one it began with; put that back, or start "
                "another (--resume never):\n  " + "\n  ".join(changed)
            )
    else:
        raise unknown_name(f"{kind} for --resume", resume, [*sorted(runs)[-5:], "auto", "never"])
    if run_id is None:
        run = new_run(new_ulid(), kind, described, wanted, seed)
        versions = json.loads(run.versions) | {"optuna": importlib.metadata.version("optuna")}
        return Begin(run.run_id, 1, dataclasses.replace(run, versions=json.dumps(versions)))
    attempts = [int(row["attempt"]) for row in workspace.rows("attempt") if row["run_id"] == run_id]
    return Begin(run_id, 1 + max(attempts, default=0), None, run_id in done)
