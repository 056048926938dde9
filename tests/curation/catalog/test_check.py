"""``catalog check`` finds what is wrong; ``catalog gc`` removes what has to go."""

import shutil
import time
from pathlib import Path

import pytest

from curation.catalog.check import check
from curation.catalog.gc import collect
from curation.records import DatasetShard, FilterCount
from curation.workspace import Workspace
from tests.curation import inputs
from tests.curation.commands import ask, command, curate, digests, kill_group, start, wait_for_parts

SMOKE = ("--config", "smoke")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a finished run that kept, rejected and quarantined."""
    folder = tmp_path_factory.mktemp("checked")
    inputs.warc(folder / "in" / "a.warc.gz", 12)
    inputs.jsonl(folder / "in" / "b.jsonl", 30, first=1000)
    curate(folder / "w", folder / "in", *SMOKE, "--read.max_bad_share", 1)
    assert check(Workspace(folder / "w")) == []
    return folder / "w"


@pytest.fixture
def copy(original: Path, tmp_path: Path) -> Workspace:
    """A copy of it to spoil."""
    shutil.copytree(original, tmp_path / "w")
    return Workspace(tmp_path / "w")


def a_shard(workspace: Workspace, kind: str) -> Path:
    return next(workspace.shards.glob(f"*/{kind}/*.parquet"))


def test_a_changed_shard(copy: Workspace) -> None:
    path = a_shard(copy, "kept")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    (problem,) = check(copy)
    assert "sha256" in problem
    assert path.name in problem


def test_a_missing_shard(copy: Workspace) -> None:
    a_shard(copy, "rejected").unlink()
    assert any("missing" in problem for problem in check(copy))


def test_accounts_that_do_not_add_up(copy: Workspace) -> None:
    (run,) = ask(copy.root, "SELECT run_id FROM run")
    invented = FilterCount(run_id=run["run_id"], step="s", reason="r", language="und", documents=3, bytes=0)
    copy.write([invented])
    problems = check(copy)
    assert any("raw records, but" in problem for problem in problems)
    assert any("s/r/und: 0 rows in rejected shards, 3 counted" in problem for problem in problems)
    assert command("curation.catalog", "check", "--workspace", copy.root).returncode == 1


def test_a_reference_to_nothing(copy: Workspace) -> None:
    copy.write([DatasetShard(dataset_id="nobody", shard_id="nowhere")])
    problems = check(copy)
    assert any("dataset_shard.dataset_id = nobody" in problem for problem in problems)
    assert any("dataset_shard.shard_id = nowhere" in problem for problem in problems)


def test_gc_of_a_healthy_workspace_changes_no_shard(copy: Workspace, original: Path) -> None:
    collect(copy)
    assert digests(copy.root) == digests(original)
    assert check(copy) == []


def test_gc_takes_taken_down_text_out_of_an_unfinished_run_too(tmp_path: Path) -> None:
    for number in range(3):
        inputs.warc(tmp_path / "in" / f"{number}.warc.gz", 700, first=1000 * number)
    workspace = Workspace(tmp_path / "w")
    run = start("curation.run", tmp_path / "in", *SMOKE, "--workspace", workspace.root)
    wait_for_parts(workspace.root, 2, run)
    time.sleep(0.2)
    kill_group(run)
    run.wait()
    where = ("--workspace", workspace.root)
    assert command("curation.dataset", "takedown", "--domain", "example", "--why", "asked", *where).returncode == 0
    assert command("curation.catalog", "gc", *where).returncode == 0
    assert not list(workspace.root.glob("runs/*/scratch/parts"))
    curate(workspace.root, "--resume", "last")
    assert ask(workspace.root, "SELECT count(*) AS n FROM document") == [{"n": 0}]
    assert check(workspace) == []
    texts = ask(workspace.root, "SELECT count(*) AS n FROM filter_count WHERE step = 'takedown'")
    assert texts[0]["n"] > 0
