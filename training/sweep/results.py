"""What a sweep has found: a table, the best configuration, and a drawing."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curation.workspace import Workspace, write_durably
from training.sweep.space import Space


@dataclass(frozen=True)
class TrialResult:
    """A trial as it is on record."""

    number: int
    trial_id: str
    run_id: str
    values: dict[str, Any]
    status: str
    """``done``, ``pruned``, ``failed`` or ``unfinished``."""
    value: float | None
    """Loss over everything held out."""
    step: int | None
    why: str | None


def trial_results(workspace: Workspace, sweep_run_id: str) -> list[TrialResult]:
    """The trials of a sweep, by number."""
    ends = {row["trial_id"]: row for row in workspace.rows("trial_end") if row["sweep_run_id"] == sweep_run_id}
    unfinished = {"status": "unfinished", "value": None, "step": None, "why": None}
    found = []
    for row in workspace.rows("trial"):
        if row["sweep_run_id"] != sweep_run_id:
            continue
        end = ends.get(row["trial_id"], unfinished)
        facts = {name: end[name] for name in unfinished}
        values = json.loads(row["parameters"])
        found.append(TrialResult(row["number"], row["trial_id"], row["run_id"], values, **facts))
    return sorted(found, key=lambda trial: trial.number)


def best_of(trials: Sequence[TrialResult]) -> TrialResult | None:
    """The finished trial with the lowest loss; None: none has finished."""
    done = [trial for trial in trials if trial.status == "done" and trial.value is not None]
    return min(done, key=lambda trial: (trial.value, trial.number), default=None)


def shown_values(space: Space, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a trial as people read them: of a mixture the share of each dataset."""
    shown = {name: value for name, value in values.items() if not name.startswith("mixture.")}
    if "mixture" in space.names:
        shares = space.shares(values)
        shown |= {f"mixture.{e.dataset}": s for e, s in zip(space.base.data.datasets, shares, strict=True)}
    return shown


def table(space: Space, trials: Sequence[TrialResult]) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Columns and rows, the best first, then those that were pruned, by how far they came, then the others."""
    columns: list[str] = []
    rows = []
    for trial in sorted(trials, key=_rank):
        shown = shown_values(space, trial.values)
        columns = ["trial", "status", "validation_loss", "step", *shown, "run_id", "why"]
        rows.append((trial.number, trial.status, trial.value, trial.step, *shown.values(), trial.run_id, trial.why))
    return columns, rows


def _rank(trial: TrialResult) -> tuple[int, int, float, int]:
    order = ["done", "pruned", "unfinished", "failed"].index(trial.status)
    loss = math.inf if trial.value is None else trial.value
    return order, -(trial.step or 0) if trial.status == "pruned" else 0, loss, trial.number


def write_tsv(path: Path, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Write a table, a line a row, numbers in full.

    Raises:
        OSError: disk full.
    """
    lines = ["\t".join(columns)]
    for row in rows:
        cells = ("" if each is None else " ".join(str(each).split()) for each in row)
        lines.append("\t".join(cells))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, ("\n".join(lines) + "\n").encode())


def rounded(rows: Sequence[tuple[Any, ...]], width: int = 60) -> list[tuple[Any, ...]]:
    """Rows for the screen."""

    def short(cell: Any) -> Any:
        if isinstance(cell, float):
            return f"{cell:.4g}" if abs(cell) < 0.1 or abs(cell) >= 1e4 else f"{cell:.4f}"
        if isinstance(cell, str) and len(cell) > width:
            return cell[: width - 1] + "…"
        return cell

    return [tuple(map(short, row)) for row in rows]
