"""The catalog is a disposable view: complete, incremental, and never in anybody's way."""

import dataclasses
import multiprocessing
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from curation import processes
from curation.catalog import compaction, open_catalog, refresh, rows
from curation.catalog.query import ask
from curation.catalog.store import MOST_FRESH, refresh_lock
from curation.errors import UserError
from curation.records import FilterCount, Run, RunEnd, Tombstone
from curation.workspace import Workspace


def a_run(run_id: str) -> Run:
    return Run(
        run_id=run_id,
        run_kind="curate",
        config="{}",
        config_hash="0",
        versions="{}",
        created_at=datetime(2026, 1, 2, tzinfo=UTC),
    )


def tombstone(name: str) -> Tombstone:
    at = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    return Tombstone(tombstone_id=name, what="url", value="http://x/", why='it\'s "quoted"', requested_at=at)


def count(workspace: Workspace, table: str = "tombstone") -> int:
    with open_catalog(workspace) as connection:
        return int(rows(connection, f"SELECT count(*) AS n FROM {table}")[0]["n"])


def test_refresh_ingests_each_record_once(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.write([tombstone("a")])
    assert refresh(workspace) == 1
    assert refresh(workspace) == 0
    workspace.write([tombstone("b"), tombstone("c")])
    assert refresh(workspace) == 1
    assert count(workspace) == 3


def test_values_come_back(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.write([tombstone("a")])
    with open_catalog(workspace) as connection:
        (row,) = rows(connection, "SELECT * FROM tombstone")
    assert row["why"] == 'it\'s "quoted"'
    assert row["requested_at"] == datetime(2026, 1, 2, 3, 4, 5, 6)


def test_a_lost_damaged_or_foreign_catalog_is_rebuilt(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.write([tombstone("a")])
    refresh(workspace)
    workspace.catalog.unlink()
    assert count(workspace) == 1
    workspace.catalog.write_bytes(b"not a database")
    assert count(workspace) == 1
    assert refresh(workspace, rebuild=True) == 1


def test_compaction_repeats_nothing_in_an_old_or_a_new_catalog(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    for number in range(20):
        workspace.write([tombstone(str(number))])
    refresh(workspace)
    compaction.compact(workspace, "tombstone", least=20)
    assert count(workspace) == 20
    refresh(workspace, rebuild=True)
    assert count(workspace) == 20
    workspace.write([tombstone("late")])
    assert count(workspace) == 21


def test_a_half_done_compaction_repeats_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(tmp_path)
    for number in range(20):
        workspace.write([tombstone(str(number))])
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *arguments, **options: None)  # killed before it removed any
        compaction.compact(workspace, "tombstone", least=20)
    assert len(list(workspace.record_files())) == 21
    assert count(workspace) == 20
    refresh(workspace, rebuild=True)
    assert count(workspace) == 20


def test_few_new_records_are_read_beside_the_file_and_many_refresh_it(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.write([tombstone("a")])
    assert count(workspace) == 1
    before = workspace.catalog.stat().st_ino
    workspace.write([tombstone("b")])
    assert count(workspace) == 2
    assert workspace.catalog.stat().st_ino == before
    for number in range(MOST_FRESH):
        workspace.write([tombstone(str(number))])
    assert count(workspace) == MOST_FRESH + 2
    assert workspace.catalog.stat().st_ino != before


def test_readers_wait_for_no_refresh(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.write([tombstone("a")])
    assert count(workspace) == 1
    for number in range(MOST_FRESH + 1):
        workspace.write([tombstone(str(number))])
    with refresh_lock(workspace):  # as if another process were at it for ever
        assert count(workspace) == MOST_FRESH + 2


def test_run_status_is_what_happened(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    at = datetime.now(UTC)
    workspace.write([a_run(name) for name in ("done", "running", "killed", "elsewhere", "resumed")])
    for name in ("done", "running", "resumed"):
        workspace.write([processes.this_process(name, 1)])
    for name, how in (("done", "done"), ("resumed", "interrupted")):
        workspace.write([RunEnd(run_id=name, attempt=1, status=how, exit_code=0, finished_at=at)])
    workspace.write([processes.this_process("resumed", 2)])
    here = processes.this_process("killed", 1)
    workspace.write([dataclasses.replace(here, pid=2**22 + 1)])
    workspace.write([dataclasses.replace(here, run_id="elsewhere", host="another")])
    beat = workspace.heartbeat_path("elsewhere")
    beat.parent.mkdir(parents=True)
    beat.touch()
    with open_catalog(workspace) as connection:
        status = {row["run_id"]: row["status"] for row in rows(connection, "SELECT run_id, status FROM run")}
    assert status == {
        "done": "done",
        "running": "running",
        "killed": "dead",
        "elsewhere": "running",
        "resumed": "running",
    }


def test_no_workspace_is_a_clear_error_and_makes_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no workspace at"), open_catalog(Workspace(tmp_path / "none")):
        pass
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    "sql",
    ["DELETE FROM c.tombstone", "SELECT 1; SELECT 2", "COPY tombstone TO 'x.csv'", "ATTACH 'x.db'", ""],
)
def test_sql_changes_nothing(tmp_path: Path, sql: str) -> None:
    workspace = Workspace(tmp_path)
    workspace.write([tombstone("a")])
    with pytest.raises(UserError, match="one SELECT"):
        ask(workspace, sql)


def test_sql_reaches_no_file_outside(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    workspace.write([tombstone("a")])
    secret = tmp_path / "secret.csv"
    secret.write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="SQL"):
        ask(workspace, f"SELECT * FROM read_csv('{secret}')")
    with pytest.raises(UserError, match="SQL"):
        ask(workspace, f"SELECT * FROM '{secret}'")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_parquet('{}')",
        "SELECT (SELECT max(text) FROM parquet_scan('{}'))",
        "WITH a AS (SELECT * FROM '{}') SELECT * FROM a",
        "SELECT * FROM read_blob('{}')",
        "SELECT * FROM query('SELECT 1')",
    ],
)
def test_sql_reads_no_shard_past_the_view(tmp_path: Path, sql: str) -> None:
    workspace = Workspace(tmp_path)
    workspace.write([tombstone("a")])
    with pytest.raises(UserError, match="not a table of the catalog"):
        ask(workspace, sql.format(workspace.shards / "r" / "kept" / "x.parquet"))
    assert ask(workspace, "WITH n AS (SELECT unnest([1, 2]) AS x) SELECT sum(x) FROM n")[1] == [(3,)]
    assert ask(workspace, "DESCRIBE SELECT * FROM tombstone")[1]


def test_sql_errors_are_for_people(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.write([tombstone("a")])
    with pytest.raises(UserError, match="no_such_table"):
        ask(workspace, "SELECT * FROM no_such_table")


def write_for_a_while(root: str, seconds: float, name: str, told: Any) -> None:
    """Write facts as fast as a busy pipeline would; tell the number and the longest wait."""
    workspace, longest, number = Workspace(root), 0.0, 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        fact = FilterCount(run_id=name, step="s", reason="r", language="und", documents=number, bytes=0, stored=True)
        workspace.write([fact])
        longest = max(longest, time.monotonic() - began)
        number += 1
        time.sleep(0.01)
    told.put(("writer", number, longest))


def read_for_a_while(root: str, seconds: float, told: Any) -> None:
    """Ask as a dashboard would; tell the number of answers and the longest wait. Counts never fall."""
    workspace, longest, answers, last = Workspace(root), 0.0, 0, 0
    count(workspace, "filter_count")  # loads the libraries
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        found = count(workspace, "filter_count")
        longest = max(longest, time.monotonic() - began)
        assert found >= last
        last, answers = found, answers + 1
        time.sleep(0.05)
    told.put(("reader", answers, longest))


def concurrency(root: Path, seconds: float) -> tuple[int, int, float, float]:
    """Two writers and three readers: (records written, answers, longest write, longest read in seconds)."""
    workspace = Workspace(root)
    workspace.write([a_run("first")])
    context = multiprocessing.get_context("spawn")
    told: Any = context.Queue()
    processes = [
        context.Process(target=write_for_a_while, args=(str(root), seconds, f"w{n}", told)) for n in range(2)
    ] + [context.Process(target=read_for_a_while, args=(str(root), seconds, told)) for _ in range(3)]
    for process in processes:
        process.start()
    results = [told.get(timeout=seconds + 60) for _ in processes]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    written = sum(number for kind, number, _ in results if kind == "writer")
    answers = sum(number for kind, number, _ in results if kind == "reader")
    longest = {kind: max(w for k, _, w in results if k == kind) for kind in ("writer", "reader")}
    assert count(workspace, "filter_count") == written
    return written, answers, longest["writer"], longest["reader"]


def test_writers_and_readers_at_once_lose_nothing(tmp_path: Path) -> None:
    written, answers, _, _ = concurrency(tmp_path, seconds=4)
    assert written > 50
    assert answers >= 3


@pytest.mark.full
def test_a_minute_of_writers_and_readers_waits_less_than_a_second(tmp_path: Path) -> None:
    written, answers, longest_write, longest_read = concurrency(tmp_path, seconds=60)
    print(f"{written} written, {answers} answers, longest write {longest_write:.3f} s, read {longest_read:.3f} s")
    assert longest_write < 1
    assert longest_read < 1
