"""What needs no cluster: grouping, blame for lost jobs, writers that overtake one another, errors."""

import dataclasses
import os
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from curation.config import CurationConfig, config_hash, from_dict, to_dict
from curation.errors import UserError
from curation.executors import ray, slurm
from curation.executors.common import StopSignal, TaskFailed
from curation.executors.jobs import MOST_LOST_WITHOUT_PROGRESS, Driver, RunTasks
from curation.executors.options import ExecutionConfig, JobsConfig
from curation.journal import Journal
from curation.pipeline import load_poison
from curation.plan import RunFolder
from curation.progress import Progress
from curation.workspace import Workspace, write_durably


class LostJobs:
    """A cluster that loses every job: it leaves the record ``at_work`` in the journal of each task."""

    at_work: tuple[int, int, int] | None = None
    submitted: int = 0

    def __init__(self, step: RunTasks) -> None:
        self.step = step

    def submit(self) -> None:
        type(self).submitted += 1

    def unfinished(self) -> bool:
        for rank in (rank for job in self.step.jobs for rank in job):
            journal = Journal(self.step.folder.journal(self.step.stage, rank))
            if self.at_work is not None:
                journal.working(*self.at_work, 0)
        return False

    def cancel(self, stop: StopSignal) -> None:
        raise AssertionError("nothing is left to cancel")

    def finished(self) -> None:
        return

    def last_words(self) -> str:
        return ""


def driver(folder: RunFolder, jobs: type[LostJobs], weights: list[int], **options: Any) -> Driver:
    execution = ExecutionConfig(executor="slurm", jobs=JobsConfig(**options))
    config = dataclasses.replace(CurationConfig(), execution=execution)
    progress = Progress(terminal=False)
    progress.start("extract", sum(weights))
    return Driver(jobs, folder, "extract", config, weights, StopSignal(), progress)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(Workspace(tmp_path), "01RUN")


def test_tasks_are_dealt_out_by_weight(folder: RunFolder) -> None:
    made = driver(folder, LostJobs, [5, 1, 4, 2, 3], tasks=2)
    made.todo = {0, 1, 2, 3, 4}
    assert made._grouped() == [[0, 3], [2, 1], [4]]


def test_a_record_that_two_lost_jobs_had_in_work_is_quarantined(folder: RunFolder) -> None:
    class Jobs(LostJobs):
        at_work = (0, 1234, 5)

    with pytest.raises(TaskFailed, match=r"lost with its job 3 times.*resume"):
        driver(folder, Jobs, [1]).run([0])
    assert Jobs.submitted == MOST_LOST_WITHOUT_PROGRESS
    assert load_poison(folder, 0).records == {(0, 1234, 5): "killed_worker"}


@pytest.mark.parametrize("at_work", [None, (0, 1234, 5)])
def test_no_record_is_blamed_by_an_old_journal(folder: RunFolder, at_work: tuple[int, int, int] | None) -> None:
    """A job that had not begun, and a journal (seen over a network) of a record that is committed."""
    folder.parts(0).mkdir(parents=True)
    manifest = {"after": [0, 2000, 0], "read": {}}
    (folder.parts(0) / "000000.json").write_bytes(orjson.dumps(manifest))
    with pytest.raises(TaskFailed):
        driver(folder, type("Jobs", (LostJobs,), {"at_work": at_work}), [1]).run([0])
    assert load_poison(folder, 0).records == {}


def test_of_two_writers_the_first_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_durably(tmp_path / "a", b"first", replace=False)
    with pytest.raises(FileExistsError):
        write_durably(tmp_path / "a", b"second", replace=False)

    def no_links(*arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    write_durably(tmp_path / "b", b"first", replace=False)
    with pytest.raises(FileExistsError):
        write_durably(tmp_path / "b", b"second", replace=False)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"first", "b": b"first"}


def test_the_executor_is_no_part_of_what_a_run_is() -> None:
    one, other = to_dict(CurationConfig()), to_dict(CurationConfig())
    other["execution"] |= {"executor": "slurm", "jobs": {**other["execution"]["jobs"], "tasks": 9}}
    assert config_hash(one) == config_hash(other)
    assert from_dict(other).execution.jobs.tasks == 9


@pytest.mark.parametrize(
    ("execution", "named"),
    [
        ({"executor": "kubernetes"}, "executor"),
        ({"jobs": {"tasks": 0}}, "execution.jobs.tasks"),
        ({"jobs": {"at_once": -1}}, "execution.jobs.at_once"),
        ({"slurm": {"time": ""}}, "execution.slurm.time"),
        ({"slurm": {"partition": "a\n#SBATCH --uid=0"}}, "execution.slurm.partition"),
        ({"slurm": {"sbatch_args": {"account": "a\nb"}}}, "execution.slurm.sbatch_args.account"),
    ],
)
def test_wrong_options_are_named(execution: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=named):
        from_dict({"execution": execution})


def test_without_slurm_or_ray_it_is_said_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"sbatch, squeue.*login node"):
        slurm.require_tools()
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install 'open-curation\[ray\]'"):
        ray.connect("auto")
