"""An audit of a model: cases of its probes, results on disk as they come, findings on record; killed, it goes on.

Results are written in parts of some seconds' work, a part whole or not at all; what a killed audit had finished is
never asked again. Findings of a probe are written when its last part is there.
"""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit.config import Asked, AuditConfig, asked_probes
from audit.contaminated import contaminated_items
from audit.figures import Found, add_findings, figures, maker
from audit.places import NotThere, Places, read_cases
from audit.probes import find_probe
from audit.probes.base import Case, Probe
from audit.recorded import KIND, results_path
from audit.results import join_parts, read_items, write_results
from audit.sampling import sample
from curation.catalog import open_catalog, rows
from curation.errors import UserError
from curation.findings import Findings
from curation.progress import Progress, log
from curation.recorded import config_hash, recorded_run
from curation.records import CheckpointClaim, now
from curation.workspace import Workspace

if TYPE_CHECKING:
    from audit.model import Model

PART_TOKENS = 16384
"""Tokens of the cases of a part: some ten seconds for 135 M parameters on one core."""


@dataclass(frozen=True)
class Planned:
    """A probe with the cases that it is to be run on."""

    probe: Probe
    cases: Sequence[Case]
    available: int
    """Cases of its data."""
    missing: str | None
    """Why it cannot be run."""


@dataclass(frozen=True)
class Done:
    """A probe that was run, or was not."""

    probe: Probe
    found: Sequence[Found]
    items: int
    missing: str | None


def plan(config: AuditConfig, places: Places) -> list[Planned]:
    """Read and sample the cases of all probes, before anything long begins.

    Raises:
        UserError: no such probe; data that is malformed.
    """
    return [_planned(asked, config.seed, places) for asked in asked_probes(config)]


def _planned(asked: Asked, seed: int, places: Places) -> Planned:
    probe = find_probe(asked.name).with_seed(seed)
    try:
        cases = read_cases(probe, places)
    except NotThere as error:
        return Planned(probe, (), 0, str(error))
    return Planned(probe, sample(cases, asked.limit, seed), len(cases), None)


def audit(
    workspace: Workspace, model: "Model", config: AuditConfig, planned: Sequence[Planned], run_id: str | None = None
) -> tuple[str, list[Done]]:
    """Run probes on a model, on record.

    Args:
        run_id: begin under this id, or go on with it; None: go on with the unfinished audit that was asked the same,
            if there is one.

    Returns:
        Id of the run, and what each probe found.

    Raises:
        UserError: the model cannot be asked what a probe asks.
        OSError: disk full.
    """
    asked = {
        "audit": "model",
        "subject_kind": model.source.kind,
        "subject": model.source.id,
        "weights_sha256": model.source.weights_sha256,
        "seed": config.seed,
        "probes": [
            {
                "name": each.probe.name,
                "version": each.probe.version,
                "items": len(each.cases),
                "available": each.available,
                "cases": config_hash({"cases": [[case.id, case.unit] for case in each.cases]}),
            }
            for each in planned
        ],
    }
    packages = ("numpy", "scipy", "torch", "transformers", "tokenizers")
    before = _unfinished(workspace, asked) if run_id is None else (run_id, _attempts(workspace, run_id))
    if run_id is not None:
        _check_same(workspace, run_id, asked)
    if before and before[1]:
        log.info("going on with audit %s", before[0])
    parent = _training_run(workspace, model)
    with recorded_run(workspace, KIND, asked, parent, config.seed, packages, before) as run_id:
        if model.source.kind == "checkpoint":
            claim = CheckpointClaim(checkpoint_id=model.source.id, run_id=run_id, claimed_at=now())
            workspace.write([claim], name=run_id)
        done = []
        for number, each in enumerate(planned):
            done.append(_run(workspace, run_id, model, each, f"{each.probe.name} ({number + 1} of {len(planned)})"))
    return run_id, done


def _run(workspace: Workspace, run_id: str, model: "Model", planned: Planned, stage: str) -> Done:
    probe = planned.probe
    findings = Findings(maker(probe), model.source, run_id)
    if planned.missing is not None:
        for metric in probe.metrics:
            findings.not_run(metric.name, planned.missing)
        findings.write(workspace, f"{run_id}-{probe.name}")
        return Done(probe, (), 0, planned.missing)
    path = results_path(workspace, run_id, probe.name)
    if not path.is_file():
        _score(workspace, path, model, planned, stage)
    items = read_items(path)
    found = figures(probe, items)
    add_findings(findings, found, probe.scorer_of(planned.cases))
    findings.write(workspace, f"{run_id}-{probe.name}")
    return Done(probe, found, len(items), None)


def _score(workspace: Workspace, path: Path, model: "Model", planned: Planned, stage: str) -> None:
    folder = path.parent / "parts" / path.stem
    contaminated = contaminated_items(workspace, model.source, planned.probe.name)
    parts = list(_parts(planned.probe, model, planned.cases))
    files = [folder / f"{number:05d}.parquet" for number in range(len(parts))]
    progress, done = Progress(), 0
    before = sum(len(cases) for cases, file in zip(parts, files, strict=True) if file.is_file())
    progress.start(stage, len(planned.cases), before, unit=" items")
    try:
        for cases, file in zip(parts, files, strict=True):
            if not file.is_file():
                write_results(file, planned.probe, planned.probe.run(model, cases), contaminated)
                done += len(cases)
                progress.tell(done, f"{before + done:,} of {len(planned.cases):,} items")
        join_parts(files, path)
    except BaseException:
        progress.abandon()
        raise
    progress.finish(f"{len(planned.cases):,} items")
    shutil.rmtree(folder)


def _parts(probe: Probe, model: "Model", cases: Sequence[Case]) -> Iterator[Sequence[Case]]:
    """Cases in runs of some ``PART_TOKENS`` tokens, the same each time."""
    part: list[Case] = []
    tokens = 0
    for case in cases:
        part.append(case)
        tokens += probe.tokens(model, [case]) * probe.slowness
        if tokens >= PART_TOKENS:
            yield part
            part, tokens = [], 0
    if part:
        yield part


# ---- the catalog -----------------------------------------------------------------------------------


def _unfinished(workspace: Workspace, asked: dict[str, Any]) -> tuple[str, int] | None:
    """(id, attempts) of the newest dead run that was asked the same."""
    if not workspace.exists:
        return None
    with open_catalog(workspace) as connection:
        found = rows(
            connection,
            "SELECT run_id, status FROM run WHERE kind = ? AND config_hash = ? ORDER BY run_id DESC",
            [KIND, config_hash(asked)],
        )
    newest = next((row for row in found if row["status"] in ("dead", "failed", "interrupted")), None)
    if newest is None:
        return None
    return newest["run_id"], _attempts(workspace, newest["run_id"])


def _check_same(workspace: Workspace, run_id: str, asked: dict[str, Any]) -> None:
    """An audit that was begun must be gone on with as it was begun: parts of its results may be there."""
    for row in workspace.rows("run"):
        if row["run_id"] == run_id and row["config_hash"] != config_hash(asked):
            raise UserError(
                f"--run-id {run_id}: this run was asked for something else (model, probes or their data have changed); "
                "leave --run-id out to begin another"
            )


def _attempts(workspace: Workspace, run_id: str) -> int:
    return sum(1 for row in workspace.rows("attempt") if row["run_id"] == run_id)


def _training_run(workspace: Workspace, model: "Model") -> str | None:
    if model.source.kind != "checkpoint":
        return None
    found = (row["run_id"] for row in workspace.rows("checkpoint") if row["checkpoint_id"] == model.source.id)
    return next(found, None)
