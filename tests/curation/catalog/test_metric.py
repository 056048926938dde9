"""The view ``metric`` over the lines that training runs write."""

import json
from pathlib import Path

from curation.catalog import open_catalog, rows
from curation.workspace import Workspace


def lines(
    workspace: Workspace, run_id: str, attempt: int, steps: list[dict[str, float | None]], tail: str = ""
) -> None:
    folder = workspace.run_folder(run_id)
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(step) + "\n" for step in steps)
    (folder / f"metrics-{attempt:04d}.jsonl").write_text(text + tail)


def metric(workspace: Workspace) -> list[tuple[object, ...]]:
    with open_catalog(workspace) as connection:
        found = rows(connection, "SELECT * FROM metric ORDER BY run_id, step, name")
    return [tuple(row.values()) for row in found]


def test_empty_without_training(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.records.mkdir(parents=True)
    assert metric(workspace) == []


def test_the_newest_attempt_at_a_step_counts(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "it's a workspace")
    workspace.records.mkdir(parents=True)
    lines(workspace, "A", 1, [{"step": 1, "loss": 3.0}, {"step": 2, "loss": 2.5}, {"step": 3, "loss": 2.0}])
    lines(workspace, "A", 2, [{"step": 3, "loss": 2.25, "validation/web@1/eng_Latn": 2.5}])
    lines(workspace, "B", 1, [{"step": 1, "loss": None}])
    assert metric(workspace) == [
        ("A", 1, 1, "loss", 3.0),
        ("A", 1, 2, "loss", 2.5),
        ("A", 2, 3, "loss", 2.25),
        ("A", 2, 3, "validation/web@1/eng_Latn", 2.5),
        ("B", 1, 1, "loss", None),
    ]


def test_a_line_that_is_cut_off_costs_itself_alone(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.records.mkdir(parents=True)
    lines(workspace, "A", 1, [{"step": 1, "loss": 3.0}], tail='{"step": 2, "lo')
    assert metric(workspace) == [("A", 1, 1, "loss", 3.0)]
