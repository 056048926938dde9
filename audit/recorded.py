"""Audits on record: which models were audited, and where the results of their probes are."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from audit.harness import PREFIX, HarnessTask
from audit.probes import find_probe
from audit.probes.base import Probe
from audit.results import read_items
from audit.source import Source
from curation.catalog import open_catalog, rows
from curation.errors import UserError
from curation.workspace import Workspace

KIND = "audit"


@dataclass(frozen=True, slots=True)
class Recorded:
    """An audit of a model."""

    run_id: str
    status: str
    config: Mapping[str, Any]

    @property
    def subject(self) -> tuple[str, str]:
        """Kind and id of what was audited."""
        return self.config["subject_kind"], self.config["subject"]


def model_audits(workspace: Workspace) -> list[Recorded]:
    """All audits of models, newest first."""
    with open_catalog(workspace) as connection:
        found = rows(connection, "SELECT run_id, status, config FROM run WHERE kind = ? ORDER BY run_id DESC", [KIND])
    read = (Recorded(row["run_id"], row["status"], json.loads(row["config"])) for row in found)
    return [each for each in read if each.config.get("audit") == "model"]


def results_path(workspace: Workspace, run_id: str, probe: str) -> Path:
    """Where the results of a probe are; what no file name should hold (``lm_eval:``) is percent-encoded."""
    return workspace.root / "audits" / run_id / f"{quote(probe, safe='')}.parquet"


@dataclass(frozen=True)
class Audited:
    """A model with the newest results of each probe that it was audited with."""

    source: Source
    results: Mapping[str, Path]
    versions: Mapping[str, str]
    """Probe -> its version then."""

    def probe(self, name: str) -> Probe:
        """The probe that the results of this name are of; that of a task of lm-evaluation-harness as it was then.

        Raises:
            UserError: its results cannot be read.
        """
        if not name.startswith(PREFIX):
            return find_probe(name)
        return HarnessTask(name, self.versions[name], list(read_items(self.results[name]).measures))


def find_audited(workspace: Workspace, reference: str) -> Audited:
    """What is on record of a model.

    Args:
        reference: id of an audit, of a checkpoint, or of a model that is not in the workspace (``smollm2``, or the name
            of its folder); a folder of a checkpoint.

    Raises:
        UserError: it was never audited, or names several models; says how to audit it.
    """
    audits = [each for each in model_audits(workspace) if each.status == "done"]
    chosen = [each for each in audits if each.run_id == reference] or list(_about(workspace, audits, reference))
    subjects = sorted({each.subject for each in chosen})
    if not subjects:
        known = ", ".join(dict.fromkeys(each.subject[1] for each in audits)) or "none yet"
        raise UserError(
            f"{reference}: no finished audit of it here; python -m audit.run --checkpoint {reference}; audited: {known}"
        )
    if len(subjects) > 1:
        raise UserError(f"{reference}: may be {' or '.join(each[1] for each in subjects)}; give the whole id")
    results: dict[str, Path] = {}
    versions: dict[str, str] = {}
    for each in chosen:
        for probe in each.config["probes"]:
            path = results_path(workspace, each.run_id, probe["name"])
            if probe["name"] not in results and path.is_file():
                results[probe["name"]], versions[probe["name"]] = path, probe["version"]
    kind, subject = subjects[0]
    return Audited(Source(kind, subject, reference, chosen[0].config["weights_sha256"]), results, versions)  # type: ignore[arg-type]


def _about(workspace: Workspace, audits: list[Recorded], reference: str) -> Iterator[Recorded]:
    names = {reference, Path(reference).name}
    folder = Path(reference)
    if folder.is_dir():
        resolved = str(folder.resolve())
        names |= {
            row["checkpoint_id"]
            for row in workspace.rows("checkpoint")
            if row.get("path") and str((workspace.root / row["path"]).resolve()) == resolved
        }
    for each in audits:
        kind, subject = each.subject
        if subject in names or (kind == "model" and subject.rpartition("-")[0] in names):
            yield each
