"""Records: written whole or not at all, idempotent by name, compacted without loss."""

import json
import os
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from curation import records
from curation.records import ULID_PATTERN, Tombstone
from curation.workspace import RecordFile, Workspace, read_rows


def tombstone(number: int) -> Tombstone:
    return Tombstone(
        tombstone_id=f"t{number:05d}",
        what="url",
        value=f"https://example.com/{number}",
        why="test",
        requested_at=datetime(2026, 1, 2, 3, 4, 5, number, tzinfo=UTC),
    )


def all_rows(workspace: Workspace) -> list[dict[str, object]]:
    """Rows as the catalog sees them: each once, whatever files repeat it."""
    seen: dict[tuple[str, str, str], dict[str, object]] = {}
    for file in workspace.record_files():
        for source, row in read_rows(file):
            seen[(file.kind, source, json.dumps(row, sort_keys=True))] = row
    return list(seen.values())


def test_ulids_sort_by_time_and_do_not_repeat() -> None:
    early, late = records.new_ulid(1_000.0), records.new_ulid(2_000.0)
    assert early < late
    assert all(ULID_PATTERN.fullmatch(ulid) for ulid in (early, late))
    assert len({records.new_ulid(1_000.0) for _ in range(1_000)}) == 1_000


def test_single_and_many_rows_come_back_the_same(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.write([tombstone(1)])
    workspace.write([tombstone(2), tombstone(3)])
    suffixes = sorted(file.suffix for file in workspace.record_files())
    assert suffixes == ["json", "parquet"]
    expected = sorted((records.to_row(tombstone(n)) for n in (1, 2, 3)), key=str)
    assert sorted(all_rows(workspace), key=str) == expected


def test_named_write_is_idempotent(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.write([tombstone(1)], name="fixed")
    workspace.write([tombstone(2)], name="fixed")
    assert [row["tombstone_id"] for row in all_rows(workspace)] == ["t00001"]


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(tmp_path)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        workspace.write([tombstone(1)])
    assert list((workspace.records / "tombstone").iterdir()) == []


def test_unknown_fields_are_ignored_and_missing_ones_null(tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    path.write_text('{"schema": 0, "tombstone_id": "x", "colour": "red"}')
    ((name, row),) = read_rows(RecordFile("tombstone", "old", str(tmp_path), "json"))
    assert name == "old"
    assert row["tombstone_id"] == "x"
    assert row["what"] is None
    assert "colour" not in row


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_text('{"schema":')
    with pytest.raises(ValueError, match=r"bad\.json is not a readable record"):
        read_rows(RecordFile("tombstone", "bad", str(tmp_path), "json"))


def test_many_writers_at_once(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)

    def write_fifty(start: int) -> None:
        for number in range(start, start + 50):
            workspace.write([tombstone(number)])

    threads = [threading.Thread(target=write_fifty, args=(start,)) for start in (0, 100, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(all_rows(workspace)) == 150


def test_column_types_are_plain() -> None:
    assert records.columns("dataset")["tokens"] is int
    assert records.columns("dataset")["created_at"] is datetime
    assert records.columns("attempt")["pid_created"] is float
    assert records.columns("quarantine")["detail"] is str
