"""Compaction: at any moment every record is there, and repeats can be told."""

from pathlib import Path

import pytest

from curation.catalog import compaction
from curation.workspace import Workspace
from tests.curation.test_records import all_rows, tombstone


def test_compaction_loses_and_repeats_nothing(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    for number in range(30):
        workspace.write([tombstone(number)])
    before = sorted(all_rows(workspace), key=str)
    assert compaction.compact(workspace, "tombstone", least=31) == 0
    assert compaction.compact(workspace, "tombstone", least=30) == 30
    assert sorted(all_rows(workspace), key=str) == before
    assert [file.suffix for file in workspace.record_files()] == ["parquet"]


def test_a_half_done_compaction_repeats_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(tmp_path)
    for number in range(10):
        workspace.write([tombstone(number)])
    before = sorted(all_rows(workspace), key=str)
    monkeypatch.setattr(Path, "unlink", lambda *arguments, **options: None)  # killed before it removed any
    compaction.compact(workspace, "tombstone", least=10)
    assert len(list(workspace.record_files())) == 11
    assert sorted(all_rows(workspace), key=str) == before
