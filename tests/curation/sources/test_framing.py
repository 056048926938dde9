"""How records are found in a file: all ways to pack them, lengths that lie, damage, ranges, size and speed."""

import random
import time
import tracemalloc
import zlib
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.sources.members import LOOKBACK_BYTES
from curation.sources.warc import read_arc, read_warc
from tests.curation.sources.archives import (
    Trickle,
    arc_header,
    arc_record,
    compress,
    flip,
    http_response,
    pack,
    pack_blocks,
    warc_page,
    warc_pages,
    warc_record,
)
from tests.curation.sources.reading import HTML, MAX, content, one, outcome, outcomes, read

# --- How records lie in a file ---


@pytest.mark.parametrize("compression", ["", "gzip", "zstd"])
def test_all_ways_to_pack_give_the_same_records(compression: str) -> None:
    pieces = warc_pages(40)
    whole = b"".join(pieces)
    plain = read(whole)
    assert outcomes(plain) == ["record_type"] + 40 * ["html"]
    data, offsets = pack(pieces, compression)
    each = read(data, compression)
    assert [record.position for record in each] == [(offset, 0) for offset in offsets]
    assert list(map(content, each)) == list(map(content, plain))
    if not compression:
        return
    single = read(compress(whole, compression), compression)
    assert [record.position for record in single] == [(0, index) for index in range(41)]
    assert list(map(content, single)) == list(map(content, plain))
    for block_bytes in (100, 1000, 5000):
        blocks = read(pack_blocks(whole, compression, block_bytes), compression)
        assert list(map(content, blocks)) == list(map(content, plain))
        positions = [record.position for record in blocks]
        assert positions == sorted(set(positions))


def test_short_reads_and_loose_separators() -> None:
    pieces = [warc_page(i)[:-4] + b"\r\n" * (i % 4) for i in range(1, 9)]
    assert outcomes(list(read_warc(Trickle(b"".join(pieces)), "", max_record_bytes=MAX))) == 8 * ["html"]
    data, offsets = pack([b"\r\n" + warc_page(i)[:-4] for i in range(4)], "gzip")
    assert [record.offset for record in read(data, "gzip")] == offsets
    assert read(b"") == []
    assert read(b"\r\n\r\n") == []


@pytest.mark.parametrize("compression", ["", "gzip", "zstd"])
@pytest.mark.parametrize("layout", ["each", "single", "blocks"])
@pytest.mark.parametrize("lie", [-30, -1, 1, 2, 3, 4, 5, 40, 100_000, 99_999_999_999, "x", "-5", None])
def test_lengths_that_lie(compression: str, layout: str, lie: int | str | None) -> None:
    block = http_response(HTML)
    length = len(block) + lie if isinstance(lie, int) else lie
    pieces = [warc_page(1), warc_page(2), warc_record(block, length=length), warc_page(4), warc_page(5)]
    truth = [warc_page(1), warc_page(2), warc_record(block), warc_page(4), warc_page(5)]
    whole = b"".join(pieces)
    data = {
        "each": pack(pieces, compression)[0],
        "single": compress(whole, compression),
        "blocks": pack_blocks(whole, compression, 200),
    }[layout]
    records = read(data, compression)
    assert list(map(content, records)) == list(map(content, read(b"".join(truth))))
    assert records[2].size == len(block)


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
@pytest.mark.parametrize("lie", [-3, 40, 99_999_999_999, None])
def test_in_a_member_of_its_own_the_member_is_the_truth(compression: str, lie: int | None) -> None:
    block = http_response(HTML)
    record = warc_record(block, length=None if lie is None else len(block) + lie)
    for piece in (record, record[:-4]):
        assert one(compress(piece, compression), compression=compression).body == HTML
    data, offsets = pack([warc_page(1), record, warc_page(3)], compression)
    assert outcomes(read(data, compression)) == 3 * ["html"]
    broken = data[: offsets[2]] + b"\xff" + data[offsets[2] + 1 :]
    assert outcomes(read(broken, compression)) == ["html", "html", "damaged"]


def test_the_last_record_of_a_bare_file() -> None:
    block = http_response(HTML)
    before = warc_page(1)
    too_long = read(before + warc_record(block, length=len(block) + 100))
    assert outcomes(too_long) == ["html", "truncated"]
    too_short = read(before + warc_record(block, length=len(block) - 10))
    assert too_short[1].body == HTML
    assert outcomes(read(before + warc_record(block, separator=b""))) == ["html", "html"]
    assert outcomes(read(before + warc_record(block, separator=b"\r"))) == ["html", "html"]


def test_archives_inside_records_stay_inside() -> None:
    nested = b"".join(warc_pages(5))
    outer = warc_record(http_response(nested, "application/octet-stream"))
    after = warc_page(9)
    for data, compression in [
        (outer + after, ""),
        (compress(outer + after, "gzip"), "gzip"),
        (compress(outer, "gzip") + compress(after, "gzip"), "gzip"),
    ]:
        assert [record.url for record in read(data, compression)][1:] == ["http://example.org/9"]
        small = read(data, compression, max_record_bytes=500)
        assert outcomes(small) == ["oversized", outcome(small[1])]


def test_garbage_between_records_is_one_record() -> None:
    one_, two = warc_page(1), warc_page(2)
    for junk in (b"junk", b"WARC/1.0\r\nno header", bytes(100), b"\xff" * 400_000, one_[50:300]):
        records = read(one_ + junk + two)
        assert outcomes(records) == ["html", "damaged", "html"]
        assert records[1].offset == len(one_)
        assert records[1].damage
        assert records[1].size == len(junk)
        packed = read(compress(one_ + junk + two, "gzip"), "gzip")
        assert [(r.position, outcome(r)) for r in packed] == [
            ((0, 0), "html"),
            ((0, 1), "damaged"),
            ((0, 2), "html"),
        ]
    assert outcomes(read(one_ + bytes(1_000_000))) == ["html"]
    assert outcomes(read(b"\0\0junk" + one_)) == ["damaged", "html"]
    assert outcomes(read(one_ + b"WARC/1.0\r\nWARC-Ty")) == ["html", "truncated"]
    assert outcomes(read(one_ + b"WA")) == ["html", "truncated"]


def test_a_checksum_failure_costs_only_a_record_that_is_alone() -> None:
    alone, offsets = pack([warc_page(1), warc_page(2), warc_page(3)], "gzip")
    broken = flip(alone, [8 * (offsets[2] - 1)])
    records = read(broken, "gzip")
    assert outcomes(records) == ["html", "checksum", "html"]
    assert (records[1].position, records[1].damage) == ((offsets[1], 0), True)
    assert records[1].url == "http://example.org/2"
    together = compress(warc_page(1) + warc_page(2), "gzip")
    records = read(flip(together, [8 * (len(together) - 1)]) + alone, "gzip")
    assert outcomes(records) == ["html", "html", "checksum"] + 3 * ["html"]
    assert records[2].position == (0, 2)


# --- Damage anywhere ---

PAGES = warc_pages(14)
WHOLE = b"".join(PAGES)
PLAIN_OFFSETS = pack(PAGES, "")[1]


@pytest.mark.parametrize("compression", ["", "gzip", "zstd"])
@given(data=st.data())
def test_a_cut_archive_of_one_record_a_member(compression: str, data: st.DataObject) -> None:
    archive, offsets = pack(PAGES, compression)
    cut = data.draw(st.integers(0, len(archive)))
    healthy = read(archive, compression)
    records = read(archive[:cut], compression)
    behind = 0 if compression else 4  # without its separator a record is whole
    whole = [r for r, end in zip(healthy, [*offsets[1:], len(archive)], strict=True) if end - behind <= cut]
    assert records[: len(whole)] == whole
    rest = records[len(whole) :]
    assert [(r.position, r.quarantined, r.damage, r.body) for r in rest] == [
        ((offsets[len(whole)], 0), "truncated", True, None) for _ in rest
    ]
    edge = offsets[len(whole)] if len(whole) < len(offsets) else cut
    assert len(rest) == (cut > edge)


@pytest.mark.parametrize("compression", ["", "gzip", "zstd"])
@given(data=st.data())
@settings(max_examples=settings().max_examples * 2)
def test_flipped_bits_cost_no_record_that_they_do_not_touch(compression: str, data: st.DataObject) -> None:
    archive, offsets = pack(PAGES, compression)
    bits = data.draw(st.lists(st.integers(0, 8 * len(archive) - 1), min_size=1, max_size=3))
    hits = Counter(max(i for i, offset in enumerate(offsets) if offset <= bit // 8) for bit in bits)
    # Where a record's length and the separator behind it are gone, nobody can tell where the next one begins.
    ends = {i for i, end in enumerate([*offsets[1:], len(archive)]) if any(end - 4 <= bit // 8 < end for bit in bits)}
    touched = set(hits) | {i + 1 for i in ends if hits[i] > 1 and i + 1 < len(offsets)}
    records = read(flip(archive, bits), compression)
    untouched = [r for i, r in enumerate(read(archive, compression)) if i not in touched]
    found = {record.position: record for record in records}
    assert [found.get(record.position) for record in untouched] == untouched
    spans = [range(offsets[i], [*offsets, len(archive)][i + 1]) for i in touched]
    assert all(any(r.offset in span for span in spans) for r in records if r not in untouched)
    outcomes(records)


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
@given(data=st.data())
def test_a_broken_single_member_gives_all_before_the_damage(compression: str, data: st.DataObject) -> None:
    archive = compress(WHOLE, compression)
    bit = data.draw(st.integers(80, 8 * len(archive) - 1))
    broken = data.draw(st.sampled_from([archive[: bit // 8], flip(archive, [bit])]))
    records = read(broken, compression)
    outcomes(records)
    assert sum(record.damage for record in records) <= 1 or len(broken) == len(archive)
    if compression == "gzip":
        decoder = zlib.decompressobj(-zlib.MAX_WBITS)
        readable = len(decoder.decompress(archive[10 : bit // 8]))
        whole = sum(end <= readable for end in [*PLAIN_OFFSETS[1:], len(WHOLE)])
        healthy = read(archive, compression)
        assert records[-1].damage or records == healthy  # a flip may say the same in other words
        if whole > 1:
            assert records[:whole] == healthy[:whole]


@given(st.binary(max_size=2000), st.sampled_from(["", "gzip", "zstd"]), st.booleans())
def test_any_bytes_are_read_to_their_end(noise: bytes, compression: str, packed: bool) -> None:
    data = compress(noise, compression) if packed else noise
    for reader in (read_warc, read_arc):
        outcomes(read(data, compression, reader))
        outcomes(read(pack([warc_page(1)], compression)[0] + data, compression, reader))


# --- Ranges ---


@pytest.mark.parametrize("compression", ["", "gzip", "zstd"])
@pytest.mark.parametrize("layout", ["each", "single", "blocks"])
@given(data=st.data())
def test_ranges_that_meet_give_each_record_once(compression: str, layout: str, data: st.DataObject) -> None:
    archive = {
        "each": pack(PAGES, compression)[0],
        "single": compress(WHOLE, compression),
        "blocks": pack_blocks(WHOLE, compression, 700),
    }[layout]
    bits = data.draw(st.lists(st.integers(0, 8 * len(archive) - 1), max_size=3))
    archive = flip(archive, bits)[: data.draw(st.sampled_from([len(archive), len(archive) - 100]))]
    cuts = data.draw(st.lists(st.integers(0, len(archive) + 10), max_size=5))
    # With damage in a bare file, two records before the start are enough to be in step.
    lookback = data.draw(st.sampled_from([0 if compression or not bits else 2500, 5000, LOOKBACK_BYTES]))
    edges = [0, *sorted(cuts), None]
    parts = [
        record
        for start, end in pairwise(edges)
        for record in read(archive, compression, start=start, end=end, lookback=lookback)
    ]
    assert parts == read(archive, compression)


def test_a_range_begins_at_the_first_record_at_or_after_its_start() -> None:
    for compression in ("", "gzip", "zstd"):
        archive, offsets = pack(PAGES, compression)
        for start in (offsets[3], offsets[3] - 1, offsets[2] + 1):
            in_range = read(archive, compression, start=start, end=offsets[6], lookback=0)
            assert [record.offset for record in in_range] == offsets[3:6]
        assert read(archive, compression, start=offsets[3] + 1, end=offsets[4], lookback=0) == []


@pytest.mark.parametrize("compression", ["", "gzip", "zstd"])
@given(data=st.data())
def test_arc_damage_and_ranges(compression: str, data: st.DataObject) -> None:
    bodies = [b"<html><p>" + b"some words " * (i * 3) for i in range(12)]
    pieces = [arc_header(), *(arc_record(http_response(b), f"http://example.org/{i}") for i, b in enumerate(bodies))]
    archive, offsets = pack(pieces, compression)
    healthy = read(archive, compression, read_arc)
    bit = data.draw(st.integers(0, 8 * len(archive) - 1))
    touched = max(i for i, offset in enumerate(offsets) if offset <= bit // 8)
    broken = flip(archive, [bit])
    records = read(broken, compression, read_arc)
    found = {record.position: record for record in records}
    expected = healthy[:touched] + healthy[touched + 1 :]
    assert [found.get(record.position) for record in expected] == expected
    cuts = sorted(data.draw(st.lists(st.integers(0, len(archive)), max_size=3)))
    edges = [0, *cuts, None]
    parts = []
    for start, end in pairwise(edges):
        parts += read(broken, compression, read_arc, start=start, end=end, lookback=3000)
    assert parts == records


# --- Size and speed ---


@pytest.mark.parametrize("layout", ["each", "single"])
def test_huge_records_need_no_memory(layout: str) -> None:
    huge = warc_record(http_response(b"<html>" + b"x" * 60_000_000))
    data = compress(huge, "gzip") + compress(warc_page(2), "gzip")
    if layout == "single":
        data = compress(huge + warc_page(2), "gzip")
    del huge
    tracemalloc.start()
    records = read(data, "gzip")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert outcomes(records) == ["oversized", "html"]
    assert peak < 8 << 20


@pytest.mark.parametrize("compression", ["", "gzip"])
def test_many_lies_cost_no_more_than_linear_time(compression: str) -> None:
    rng = random.Random(1)
    pieces = [warc_record(http_response(HTML), length=rng.choice([5_000_000, 10**12])) for _ in range(3000)]
    data = compress(b"".join(pieces), compression)
    begin = time.process_time()
    assert outcomes(read(data, compression))[:-1] == 2999 * ["html"]
    assert time.process_time() - begin < 2


@pytest.mark.parametrize("line", [b"WARC/1.0\r\nA:b\r\n", b"WARC/1.0\r\nA:bx"])
def test_many_broken_headers_are_one_stretch_and_cost_linear_time(line: bytes) -> None:
    data = line * 40_000
    begin = time.process_time()
    (record,) = read(data)
    assert (record.quarantined, record.size) == ("truncated", len(data))
    assert outcomes(read(warc_page(1) + data + warc_page(2))) == ["html", "damaged", "html"]
    assert time.process_time() - begin < 4
