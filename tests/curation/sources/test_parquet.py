import io
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.sources import parquet
from curation.sources.pages import Chunk, chunks, pages
from curation.sources.parquet import read_parquet, row_groups
from curation.sources.record import QUARANTINED, RawRecord

LIMIT = 1 << 20


def write(table: pa.Table | dict[str, Any], **options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), out, **options)
    return out.getvalue()


def read(data: bytes, **options: Any) -> list[RawRecord]:
    options.setdefault("max_record_bytes", LIMIT)
    records = list(read_parquet(io.BytesIO(data), **options))
    positions = [record.position for record in records]
    assert positions == sorted(set(positions)), "positions must ascend"
    for record in records:
        states = (record.text is not None, bool(record.rejected), bool(record.quarantined))
        assert sum(states) == 1
        assert not record.quarantined or (record.quarantined in QUARANTINED and record.detail)
    return records


def summary(records: list[RawRecord]) -> list[tuple[int, str]]:
    return [(r.offset, r.text if r.text is not None else r.quarantined or r.rejected) for r in records]


ROWS = ["one", None, "", "vier", "funf"]


@pytest.mark.parametrize(
    "kind",
    [
        pa.string(),
        pa.large_string(),
        pa.binary(),
        pa.large_binary(),
        pa.string_view(),
        pa.dictionary(pa.int32(), pa.string()),
        pa.dictionary(pa.int8(), pa.binary()),
    ],
    ids=str,
)
@pytest.mark.parametrize("rows_in_group", [2, 100])
def test_rows_of_any_kind_of_string(kind: pa.DataType, rows_in_group: int) -> None:
    binary = "binary" in str(kind)
    plain = [v.encode() if v is not None and binary else v for v in ROWS]
    values = pa.array(plain).cast(kind.value_type if pa.types.is_dictionary(kind) else kind)
    column = values.dictionary_encode() if pa.types.is_dictionary(kind) else values
    data = write(pa.table({"text": column}), row_group_size=rows_in_group)
    expected = [(0, "one"), (1, "no_text"), (2, "empty"), (3, "vier"), (4, "funf")]
    assert summary(read(data)) == expected
    assert read(data)[3].size == 4


def test_facts_and_unread_columns() -> None:
    data = write(
        {
            "id": [1],
            "content": ["body text"],
            "url": pa.array(["http://a/"]).dictionary_encode(),
            "timestamp": pa.array([datetime(2020, 1, 2, 3, 4, 5)], pa.timestamp("ns")),
            "date": [date(2019, 5, 6)],
            "title": [b"T\xff"],
            "embedding": [[0.5] * 100],
            "metadata": [{"author": "Ann", "secret": "s", "url": "http://nested/"}],
        }
    )
    (record,) = read(data)
    assert (record.text, record.url, record.author) == ("body text", "http://a/", "Ann")
    assert record.crawled_at == datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert record.date == "2019-05-06"
    assert record.title == "T\ufffd"


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo"])
def test_timestamps(unit: str, zone: str | None) -> None:
    column = pa.array([datetime(2020, 1, 2, 3, 4, 5)], pa.timestamp(unit)).cast(pa.timestamp(unit, zone))
    (record,) = read(write({"text": ["a"], "crawl_date": column}))
    assert record.crawled_at == datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "column",
    [
        pa.array([2**62], pa.timestamp("ms")),
        pa.array([-(2**62)], pa.timestamp("us")),
        pa.array([2**31 - 1], pa.date32()),
        pa.array([float("nan")]),
        pa.array([[1, 2]]),
        pa.array([None], pa.null()),
        pa.array(["x" * 100_000]),
    ],
    ids=lambda c: str(c.type),
)
def test_absurd_facts_are_left_out(column: pa.Array) -> None:
    (record,) = read(write({"text": ["a"], "timestamp": column, "url": column, "date": column}))
    assert (record.text, record.crawled_at, record.url, record.date) == ("a", None, None, None)


def test_text_is_taken_row_by_row_from_the_first_column_that_has_it() -> None:
    data = write({"html": ["<p>x", "<p>y"], "text": ["a", None], "body": pa.array([None, None], pa.string())})
    first, second = read(data)
    assert (first.text, first.media) == ("a", "")
    assert (second.text, second.media) == ("<p>y", "html")


def test_a_configured_column_is_the_only_one() -> None:
    data = write({"text": ["a"], "prose": ["p"]})
    assert summary(read(data, text_field="prose")) == [(0, "p")]
    assert summary(read(data, text_field="other")) == [(0, "no_text")]


@pytest.mark.parametrize(
    "table", [{"other": [1, 2]}, {"text": [1, 2]}, {"text": [["a"], ["b"]]}, {"text": [{"x": 1}, None]}]
)
def test_rows_without_text_are_counted(table: dict[str, Any]) -> None:
    assert summary(read(write(table))) == [(0, "no_text"), (1, "no_text")]


def test_no_rows_no_columns() -> None:
    assert read(write({"text": pa.array([], pa.string())})) == []
    assert read(write(pa.table({}))) == []


def test_names_twice_and_names_with_dots() -> None:
    twice = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    assert summary(read(write(twice))) == [(0, "a")]
    assert summary(read(write({"text": ["a"], "metadata.url": ["http://a/"], "text.x": ["b"]}))) == [(0, "a")]


def test_charsets() -> None:
    rows = ["日本語の長い文章です。".encode("shift_jis") * 5, "plain é".encode(), "caf\xe9 noir".encode("latin-1")]
    first, second, third = read(write({"text": pa.array(rows)}))
    assert first.text == "日本語の長い文章です。" * 5
    assert (second.text, second.charset) == ("plain é", None)
    assert (third.text, third.charset) == ("café noir", "windows-1252")


def test_oversized_rows_cost_themselves() -> None:
    data = write({"text": ["a", "x" * (LIMIT + 1), "b"]}, compression="zstd")
    assert summary(read(data)) == [(0, "a"), (1, "oversized"), (2, "b")]
    assert read(data)[1].size == LIMIT + 1
    assert not read(data)[1].damage


def test_a_dictionary_value_that_many_rows_share_is_not_multiplied() -> None:
    data = write({"text": pa.array(["x" * 500_000] * 200).dictionary_encode()})
    before = pa.total_allocated_bytes()
    peak = 0
    for record in read_parquet(io.BytesIO(data), max_record_bytes=LIMIT):
        assert record.size == 500_000
        peak = max(peak, pa.total_allocated_bytes() - before)
    assert peak < 16 << 20


# ---- damage ----

TEXTS = [f"row {n} " + "abcdefgh"[n % 8] * 90 for n in range(400)]


def plain_file(**options: Any) -> bytes:
    options = {"compression": "none", "use_dictionary": False, "row_group_size": 100, "data_page_size": 1000} | options
    return write({"text": TEXTS}, write_batch_size=10, **options)


def chunk(data: bytes, group: int) -> Chunk:
    found = chunks(io.BytesIO(data))[group][0]
    assert found is not None
    return found


@pytest.mark.parametrize("checksums", [False, True])
@pytest.mark.parametrize("trust", [False, True])
def test_a_broken_page_costs_the_rest_of_its_row_group(checksums: bool, trust: bool) -> None:
    data = bytearray(plain_file(compression="zstd", write_page_checksum=checksums))
    found = list(pages(io.BytesIO(bytes(data)), chunk(bytes(data), 1)))
    assert [page.values for page in found] == [10] * 10
    end = chunk(bytes(data), 2).start
    data[end - 60 : end] = bytes(60)  # in the last pages of the second row group
    records = read(bytes(data), trust_footer=trust)
    (damage,) = [record for record in records if record.damage]
    assert (damage.quarantined, "row group 1" in damage.detail) == ("damaged", True)
    assert 180 <= damage.offset < 200
    assert [r.text for r in records if not r.damage] == TEXTS[: damage.offset] + TEXTS[200:]
    for cut in (0, 50, 150, damage.offset, damage.offset + 1, 195, 200, 399, 400):
        parts = read(bytes(data), end=cut, trust_footer=trust) + read(bytes(data), start=cut, trust_footer=trust)
        assert summary(parts) == summary(records)


@pytest.mark.parametrize("keep", [0, 3, 8, 100, 0.3, 0.9, -1, -4, -8, -9, -40])
def test_a_truncated_file_is_one_damaged_record(keep: float) -> None:
    data = plain_file()
    cut = data[: int(keep * len(data)) if isinstance(keep, float) else keep]
    (record,) = read(cut)
    assert (record.position, record.quarantined, record.damage) == ((0, 0), "damaged", True)
    assert read(cut, start=1) == []
    assert row_groups(io.BytesIO(cut)) == []


@given(st.integers(0, 1 << 20), st.integers(1, 255))
def test_any_flipped_byte_is_survived(at: int, flip: int) -> None:
    data = bytearray(plain_file(compression="snappy"))
    data[at % len(data)] ^= flip
    read(bytes(data))


@given(st.binary(max_size=64))
def test_any_footer_is_survived(noise: bytes) -> None:
    read(b"PAR1" + noise + len(noise).to_bytes(4, "little") + b"PAR1")


def test_errors_of_the_disk_are_no_damage() -> None:
    class Failing(io.BytesIO):
        def read(self, n: int | None = -1) -> bytes:
            if self.tell() < 30_000:
                raise OSError(5, "Input/output error")
            return super().read(n)

    with pytest.raises(OSError, match="Input/output"):
        list(read_parquet(Failing(plain_file()), max_record_bytes=LIMIT))


# ---- pages ----


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("dictionary", [False, True])
def test_pages_are_found(version: str, dictionary: bool) -> None:
    data = plain_file(data_page_version=version, use_dictionary=dictionary)
    about = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(2).column(0)
    place = chunk(data, 2)
    assert place == Chunk(
        about.dictionary_page_offset or about.data_page_offset,
        about.total_compressed_size,
        about.total_uncompressed_size,
    )
    found = list(pages(io.BytesIO(data), place))
    assert sum(page.values for page in found) == 100
    assert all(page.bytes > 0 for page in found)
    assert about.total_uncompressed_size - 300 * len(found) < sum(page.bytes for page in found)
    assert sum(page.bytes for page in found) < about.total_uncompressed_size


@given(st.binary(max_size=200))
def test_any_page_header_is_survived(data: bytes) -> None:
    list(pages(io.BytesIO(data), Chunk(0, len(data), 0)))
    chunks(io.BytesIO(data + len(data).to_bytes(4, "little") + b"PAR1"))


@pytest.mark.parametrize("dictionary", [False, True])
def test_pages_that_are_too_large_are_not_read(monkeypatch: pytest.MonkeyPatch, dictionary: bool) -> None:
    texts = [f"small {n}" for n in range(100)] + ["y" * 40_000] + [f"tiny {n}" for n in range(50)]
    data = write(
        {"text": texts}, use_dictionary=dictionary, write_batch_size=10, data_page_size=100, row_group_size=130
    )
    monkeypatch.setattr(parquet, "MAX_PAGE_BYTES", 30_000)
    records = read(data)
    (bad,) = [record for record in records if record.quarantined]
    assert (bad.quarantined, bad.damage) == ("oversized", True)
    assert bad.offset == (0 if dictionary else 100)  # a dictionary is read before the first row
    assert [r.text for r in records if r.text] == texts[: bad.offset] + texts[130:]
    for cut in (0, 50, 100, 101, 120, 130, 131):
        assert summary(read(data, end=cut) + read(data, start=cut)) == summary(records)


# ---- ranges ----


@given(st.lists(st.integers(0, 30), max_size=3), st.integers(1, 12))
def test_ranges_that_meet_give_each_row_once(cuts: list[int], rows_in_group: int) -> None:
    data = write({"text": [str(n) for n in range(25)]}, row_group_size=rows_in_group)
    parts: list[tuple[int, str]] = []
    bounds = [0, *sorted(cuts), None]
    for start, end in pairwise(bounds):
        assert start is not None
        parts += summary(read(data, start=start, end=end))
    assert parts == [(n, str(n)) for n in range(25)]


def test_row_groups() -> None:
    groups = row_groups(io.BytesIO(plain_file()))
    assert [rows for rows, _ in groups] == [100] * 4
    assert all(9000 < size < 15_000 for _, size in groups)
    assert chunks(io.BytesIO(b"")) == chunks(io.BytesIO(bytes(20))) == []
