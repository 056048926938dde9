"""Shards depend on the documents alone: not on parts, and each is written whole or not at all."""

import itertools
import os
import tempfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation import shards
from curation.shards import PartWriter, ShardFacts, plan_shards, write_shard

SCORES = {"length": {"characters": int}}

documents = st.lists(
    st.tuples(
        st.sampled_from(["kept", "rejected"]),
        st.sampled_from(["eng_Latn", "deu_Latn"]),
        st.integers(0, 3000),
    ),
    min_size=1,
    max_size=60,
)


def row(number: int, kind: str, language: str, size: int) -> dict[str, Any]:
    decided = {"step": "language", "reason": "low_score"} if kind == "rejected" else {}
    return {
        "id": f"{number:032x}",
        "raw_file_id": f"{number // 10:064x}",
        "record_offset": number * 100,
        "record_index": 0,
        "language": language,
        "language_score": 0.5,
        "length": {"characters": size},
        "text": "é" * size,
        **decided,
    }


def shards_of(rows: list[tuple[str, str, int]], cuts: list[int], folder: Path, most: int) -> dict[str, bytes]:
    """Write rows as parts cut at the given places, then as shards; name -> bytes."""
    pieces = []
    bounds = sorted({0, len(rows), *(cut % (len(rows) + 1) for cut in cuts)})
    for number, (start, end) in enumerate(itertools.pairwise(bounds)):
        writer = PartWriter(SCORES)
        for position in range(start, end):
            kind, language, size = rows[position]
            writer.add(kind, row(position, kind, language, size))  # type: ignore[arg-type]
        path = folder / f"part-{number:03d}.parquet"
        pieces += [(str(path), piece) for piece in writer.write(path)]
    made = {}
    for job in plan_shards(pieces, most):
        facts = write_shard(job, folder, SCORES, 3)
        if facts is not None:
            path = folder / f"{facts.name}.parquet"
            assert shards.file_sha256(path) == facts.sha256
            assert facts.bytes == path.stat().st_size
            made[facts.name] = path.read_bytes()
    return made


@settings(max_examples=25, deadline=None)
@given(documents, st.lists(st.integers(0, 1000), max_size=5), st.integers(3_000, 20_000))
def test_bytes_do_not_depend_on_parts(rows: list[tuple[str, str, int]], cuts: list[int], most: int) -> None:
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        whole = shards_of(rows, [], Path(first), most)
        cut = shards_of(rows, cuts, Path(second), most)
        assert whole == cut
        stored = []
        for name in sorted(whole):
            table = pq.read_table(Path(first) / f"{name}.parquet", partitioning=None)
            assert table.schema.names[-1] == "text"
            assert ("step" in table.schema.names) == name.startswith("rejected/")
            stored += table.column("id").to_pylist()
        assert sorted(stored) == [f"{number:032x}" for number in range(len(rows))]


def test_order_and_size_of_shards(tmp_path: Path) -> None:
    made = shards_of([("kept", "eng_Latn", 500)] * 50, [], tmp_path, 10 * (1000 + shards.ROW_WEIGHT))
    assert list(made) == [f"kept/eng_Latn-{n:05d}" for n in range(5)]
    offsets = []
    for name in made:
        offsets += pq.read_table(tmp_path / f"{name}.parquet").column("record_offset").to_pylist()
    assert offsets == sorted(offsets)


def test_row_groups_do_not_depend_on_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "ROW_GROUP_WEIGHT", 5_000)
    rows = [("kept", "eng_Latn", 100 * (n % 17)) for n in range(200)]
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    made = shards_of(rows, [], first, 10**9)
    assert made == shards_of(rows, list(range(0, 200, 7)), second, 10**9)
    assert pq.ParquetFile(first / "kept" / "eng_Latn-00000.parquet").num_row_groups > 5


def test_a_full_disk_leaves_no_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = PartWriter(SCORES)
    writer.add("kept", row(0, "kept", "eng_Latn", 10))
    pieces = [(str(tmp_path / "part.parquet"), piece) for piece in writer.write(tmp_path / "part.parquet")]
    (job,) = plan_shards(pieces, 10**6)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_shard(job, tmp_path, SCORES, 3)
    assert list((tmp_path / "kept").iterdir()) == []


def test_facts_survive_a_round_trip(tmp_path: Path) -> None:
    facts = ShardFacts("kept/x-00000", "kept", "x", "00", 1, 2, 3, {"f": 1})
    shards.save_facts(tmp_path / "a" / "1.json", facts)
    shards.save_facts(tmp_path / "a" / "2.json", None)
    assert shards.load_facts([tmp_path / "a" / "1.json", tmp_path / "a" / "2.json"]) == [facts]
