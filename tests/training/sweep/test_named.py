"""Runs under a given id: how trials are begun and found again."""

import json
from pathlib import Path

import pytest

from curation.errors import UserError
from curation.records import new_ulid
from curation.workspace import Workspace
from tests.training.sweep.small_sweep import BASE
from training.options import parse
from training.recording import new_run
from training.resume import choose_named, identity_hash
from training.runs import pruned_path, why_pruned


def parse_with(*options: str) -> tuple[str | None, str | None]:
    request = parse(["--data.datasets", "[{dataset: a}]", *options])
    return request.run_id, request.parent


def test_the_command_line_names_a_run_and_its_parent() -> None:
    run_id, parent = new_ulid(), new_ulid()
    assert parse_with("--run-id", run_id, "--parent", parent) == (run_id, parent)
    assert parse_with() == (None, None)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--run-id", "trial"), "--run-id trial: is no ULID"),
        (("--run-id", "../../../../../../../../etc"), "is no ULID"),
        (("--parent", "01M89M5GH522SJ2C6M2BA1S3EW"), "give that as well"),
        (("--run-id", "01M89M5GH522SJ2C6M2BA1S3EW", "--resume", "never"), "goes on by itself"),
    ],
)
def test_wrong_names_are_refused(options: tuple[str, ...], told: str) -> None:
    with pytest.raises(UserError, match=told):
        parse_with(*options)


def test_a_named_run_begins_once_and_then_goes_on(tmp_path: Path) -> None:
    workspace, run_id, parent = Workspace(tmp_path / "W"), new_ulid(), new_ulid()
    described = {"config": json.loads(json.dumps(BASE)), "order": "o"}
    start = choose_named(workspace, "pretrain", run_id, parent, described)
    assert (start.run_id, start.attempt, start.new, start.parent) == (run_id, 1, True, parent)
    run = new_run(run_id, "pretrain", described, identity_hash(described), 0, parent)
    workspace.write([run], name=run_id)
    again = choose_named(workspace, "pretrain", run_id, parent, described)
    assert (again.run_id, again.new, again.done) == (run_id, False, False)
    with pytest.raises(UserError, match="of another --parent"):
        choose_named(workspace, "pretrain", run_id, None, described)
    with pytest.raises(UserError, match="another kind"):
        choose_named(workspace, "finetune", run_id, parent, described)
    with pytest.raises(UserError, match="order"):
        choose_named(workspace, "pretrain", run_id, parent, described | {"order": "p"})


def test_an_attempt_is_pruned_and_not_those_after_it(tmp_path: Path) -> None:
    workspace, run_id = Workspace(tmp_path / "W"), new_ulid()
    assert why_pruned(workspace, run_id, 1) is None
    workspace.run_folder(run_id).mkdir(parents=True)
    pruned_path(workspace, run_id, 1).write_text("behind")
    assert why_pruned(workspace, run_id, 1) == "behind"
    assert why_pruned(workspace, run_id, 2) is None
