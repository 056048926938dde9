"""Streams of tokens: what is read, and whose it is, against the plainest reading of the same."""

import itertools
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.tokens import layout
from curation.tokens.read import TokenShardFacts, TokenStream

EOS = 0
LENGTHS = st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=12), min_size=1, max_size=5)


def stream_of(folder: Path, lengths: list[list[int]], size: int, hidden: set[int], rows_a_group: int) -> TokenStream:
    """Shards of documents of these lengths (tokens, the last one included); token ids count up over all."""
    shards = []
    numbers, documents = itertools.count(1), itertools.count()
    for number, shard in enumerate(lengths):
        path = folder / f"{number:06d}-eng_Latn.ds"
        tokens = [each for n in shard for each in (*itertools.islice(numbers, n - 1), EOS)]
        ends = list(itertools.accumulate(shard))
        np.array(tokens, layout.token_dtype(size)).tofile(path)
        np.array(ends, "<u8").tofile(layout.index_path(str(path)))
        names = list(itertools.islice(documents, len(shard)))
        rows = [
            {
                "document_id": f"d{name}",
                "shard_id": f"s{number}",
                "raw_file_id": "f",
                "record_offset": name,
                "record_index": 0,
                "language": "eng_Latn",
                "token_start": end - n,
                "token_end": end,
            }
            for name, n, end in zip(names, shard, ends, strict=True)
        ]
        table = pa.Table.from_pylist(rows, schema=layout.documents_schema())
        pq.write_table(table, layout.documents_path(str(path)), row_group_size=rows_a_group)
        gone = tuple(
            (end - n, end) for name, n, end in zip(names, shard, ends, strict=True) if name in hidden
        )  # as takedown has it
        shards.append(
            TokenShardFacts(f"t{number}", f"s{number}", path, "train", "eng_Latn", len(shard), ends[-1], size, gone)
        )
    return TokenStream(shards, EOS)


@settings(max_examples=60, deadline=None)
@given(
    lengths=LENGTHS,
    size=st.sampled_from([2, 4]),
    hidden=st.sets(st.integers(0, 20)),
    rows_a_group=st.integers(1, 5),
    data=st.data(),
)
def test_any_stretch(
    lengths: list[list[int]], size: int, hidden: set[int], rows_a_group: int, data: st.DataObject
) -> None:
    flat = [n for shard in lengths for n in shard]
    numbers = itertools.count(1)
    expected: list[int] = []
    places = []
    for document, n in enumerate(flat):
        tokens = [*itertools.islice(numbers, n - 1), EOS]
        places.append((document, len(expected), len(expected) + n))
        expected += [EOS] * n if document in hidden else tokens
    with tempfile.TemporaryDirectory() as folder:
        stream = stream_of(Path(folder), lengths, size, hidden, rows_a_group)
        assert stream.tokens == len(expected)
        for _ in range(4):
            start = data.draw(st.integers(0, len(expected)))
            end = data.draw(st.integers(start, len(expected)))
            read = stream.read(start, end)
            assert read.dtype == np.int64
            assert read.tolist() == expected[start:end]
            rows = stream.documents(start, end)
            wanted = [place for place in places if max(place[1], start) < min(place[2], end)]
            assert [(row.token_start, row.token_end) for row in rows] == [place[1:] for place in wanted]
            assert [row.document_id for row in rows] == [f"d{place[0]}" for place in wanted]
            assert [row.shard_id for row in rows] == [f"s{_shard(lengths, place[0])}" for place in wanted]


def _shard(lengths: list[list[int]], document: int) -> int:
    ends = list(itertools.accumulate(map(len, lengths)))
    return next(number for number, end in enumerate(ends) if document < end)


def test_outside_is_an_error(tmp_path: Path) -> None:
    stream = stream_of(tmp_path, [[3, 2], [4]], 2, set(), 2)
    for start, end in ((-1, 2), (0, 10), (5, 4)):
        for ask in (stream.read, stream.documents):
            with pytest.raises(IndexError, match="is not within the 9 tokens"):
                ask(start, end)
    assert stream.read(9, 9).shape == (0,)
    assert stream.documents(3, 3) == []


def test_an_empty_stream() -> None:
    stream = TokenStream([], EOS)
    assert stream.tokens == 0
    assert stream.read(0, 0).tolist() == []


def test_only_the_row_groups_that_are_needed_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = stream_of(tmp_path, [[2] * 100], 2, set(), 10)
    read = []
    real = pq.ParquetFile.read_row_group

    def spied(self: pq.ParquetFile, number: int) -> pa.Table:
        read.append(number)
        return real(self, number)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", spied)
    assert [row.document_id for row in stream.documents(37, 43)] == ["d18", "d19", "d20", "d21"]
    assert read == [1, 2]


@given(share=st.floats(0, 1), more=st.floats(0, 1), seed=st.integers(0, 5), names=st.lists(st.text(max_size=5)))
def test_a_larger_share_holds_out_the_same_and_more(share: float, more: float, seed: int, names: list[str]) -> None:
    for name in names:
        if layout.is_held_out(name, min(share, more), seed):
            assert layout.is_held_out(name, max(share, more), seed)


def test_the_share_is_what_was_asked_for() -> None:
    for seed in (0, 1):
        held_out = [layout.is_held_out(f"document {n}", 0.1, seed) for n in range(20_000)]
        assert abs(sum(held_out) / 20_000 - 0.1) < 0.01
    assert not any(layout.is_held_out(str(n), 0.0, 0) for n in range(100))
    other = [layout.is_held_out(f"document {n}", 0.1, 0) for n in range(20_000)]
    assert 0.05 < np.mean(np.array(held_out)[np.array(other)]) < 0.15  # another seed is independent


def test_four_bytes_from_65536_tokens_on() -> None:
    assert [layout.token_bytes(n) for n in (256, 65_535, 65_536, 200_000)] == [2, 2, 4, 4]
