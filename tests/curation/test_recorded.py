"""Commands that begin, work and end in one process are on record, however they end."""

from pathlib import Path

import pytest

from curation.catalog.check import check
from curation.recorded import recorded_run
from curation.records import Finding, ProbeMetric, new_ulid
from curation.workspace import Workspace
from tests.curation.commands import ask


def test_each_end_is_recorded(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with recorded_run(workspace, "audit", {"a": 1}, seed=3, packages=("numpy",)) as done:
        (row,) = ask(tmp_path, "SELECT * FROM run")
        assert (row["status"], row["kind"], row["seed"]) == ("running", "audit", 3)
        assert '"numpy"' in row["versions"]
    with pytest.raises(ZeroDivisionError), recorded_run(workspace, "audit", {}, parent=done):
        raise ZeroDivisionError("by zero")
    with pytest.raises(KeyboardInterrupt), recorded_run(workspace, "audit", {}, parent=done):
        raise KeyboardInterrupt
    rows = ask(tmp_path, "SELECT status, exit_code, why, parent_run_id FROM run ORDER BY run_id")
    assert [(row["status"], row["exit_code"]) for row in rows] == [("done", 0), ("failed", 2), ("interrupted", 130)]
    assert rows[1]["why"] == "ZeroDivisionError: by zero"
    assert rows[1]["parent_run_id"] == done
    assert check(workspace) == []


def test_findings_without_their_run_subject_or_meaning_are_wrong(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with recorded_run(workspace, "audit", {}) as run_id:
        facts = {"version": "1", "metric": "m", "status": "scored", "value": 1.0, "finding_id": new_ulid()}
        workspace.write([Finding(run_id=run_id, subject_kind="run", subject_id="none", probe_id="p", **facts)])  # type: ignore[arg-type]
    problems = check(workspace)
    assert any("finding.probe_id = p is in no row of probe_metric" in line for line in problems)
    assert any("about run none" in line for line in problems)
    metric = ProbeMetric(
        probe_id="p", version="1", metric="m", ideal=1.0, unit="ratio", probe_kind="data", source="s", license="l"
    )
    workspace.write([metric], name="p-1-m")
    workspace.write([metric], name="p-1-m")  # as a second audit does
    assert ask(tmp_path, "SELECT probe_id, kind, ideal FROM probe_metric") == [
        {"probe_id": "p", "kind": "data", "ideal": 1.0}
    ]
    assert len(check(workspace)) == 1
