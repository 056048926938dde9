"""WARC and ARC: kinds of records, lies, damage, ranges, and agreement with warcio on real crawls."""

import gzip
import random
import time
import tracemalloc
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from warcio.archiveiterator import ArchiveIterator

from curation.sources.members import LOOKBACK_BYTES
from curation.sources.record import RawRecord
from curation.sources.warc import parse_date, read_arc, read_warc
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

MAX = 10 << 20
PDF = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj"
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
HTML = b"<!DOCTYPE html><html><body>Text</body></html>"
RSS = b'<?xml version="1.0"?><rss version="2.0"><channel></channel></rss>'


def read(
    data: bytes, compression: str = "", reader: Callable[..., object] = read_warc, **options: object
) -> list[RawRecord]:
    options.setdefault("max_record_bytes", MAX)
    return list(reader(BytesIO(data), compression, **options))  # type: ignore[call-overload]


def outcome(record: RawRecord) -> str:
    """The one thing that became of a record; asserts that it is one."""
    states = [bool(record.rejected), bool(record.quarantined), record.body is not None]
    assert sum(states) == 1, record
    assert (record.media != "") == (record.body is not None)
    assert record.damage <= bool(record.quarantined)
    return record.rejected or record.quarantined or record.media


def one(data: bytes, **options: object) -> RawRecord:
    (record,) = read(data, **options)  # type: ignore[arg-type]
    outcome(record)
    return record


def outcomes(records: list[RawRecord]) -> list[str]:
    return [outcome(record) for record in records]


def content(record: RawRecord) -> tuple[object, ...]:
    """A record without its place."""
    return (record.url, record.body, record.rejected, record.quarantined, record.media, record.crawled_at)


# --- Agreement with warcio ---


@pytest.mark.parametrize("compression", ["gzip", "", "zstd"])
def test_real_crawls_read_as_warcio_reads_them(shared: Path, compression: str) -> None:
    for path in sorted((shared / "crawl").glob("*.warc.gz")):
        with path.open("rb") as file:
            records = list(read_warc(file, "gzip", max_record_bytes=MAX))
        if compression != "gzip":
            again = gzip.decompress(path.read_bytes())
            packed = compress(again, compression)
            assert list(map(content, read(packed, compression))) == list(map(content, records))
            continue
        with path.open("rb") as file:
            theirs = ArchiveIterator(file)
            for ours, other in zip(records, theirs, strict=True):
                payload = other.content_stream().read()
                outcome(ours)
                assert ours.position == (theirs.get_record_offset(), 0)
                assert ours.size == int(other.rec_headers.get_header("Content-Length"))
                url = other.rec_headers.get_header("WARC-Target-URI")
                assert ours.url == (url.strip("<>") if url else None)
                if other.rec_type == "response":
                    assert str(ours.http_status) == other.http_headers.get_statuscode()
                if ours.body is not None:
                    assert ours.body == payload


# --- What becomes of a record ---


def test_a_response_carries_all_that_is_known_of_it() -> None:
    record = one(warc_record(http_response(HTML), url="<http://example.org/a b>"))
    assert record.body == HTML
    assert record.url == "http://example.org/a b"
    assert record.crawled_at == datetime(2021, 3, 4, 5, 6, 7, tzinfo=UTC)
    assert (record.http_status, record.content_type, record.charset) == (200, "text/html", "utf-8")
    assert (record.media, record.position, record.size) == ("html", (0, 0), len(http_response(HTML)))


@pytest.mark.parametrize(
    ("status_line", "expected"),
    [
        (b"HTTP/1.1 200 OK", "html"),
        (b"HTTP/1.1 206 Partial Content", "html"),
        (b"HTTP/2 203", "html"),
        (b"HTTP/1.1 301 Moved Permanently", "redirect"),
        (b"HTTP/1.1 304 Not Modified", "redirect"),
        (b"HTTP/1.1 404 Not Found", "http_error"),
        (b"HTTP/1.1 503", "http_error"),
        (b"HTTP/1.1 999 No", "http_error"),
        (b"HTTP/1.1 100 Continue", "http_error"),
        (b"HTTP/1.1 OK", "http_error"),
        (b"Server: x", "http_error"),
    ],
)
def test_http_status(status_line: bytes, expected: str) -> None:
    record = one(warc_record(http_response(HTML, status_line=status_line)))
    assert outcome(record) == expected
    assert record.content_type == "text/html"
    assert record.url == "http://example.org/"


@pytest.mark.parametrize(
    ("declared", "body", "expected"),
    [
        ("text/html", b"no tags at all", "html"),
        ("text/html", PDF, "not_html"),
        ("text/html; charset=utf-8", PNG, "not_html"),
        ("text/html", b"PK\x03\x04" + bytes(30), "not_html"),
        ("text/html", "<p>é</p>".encode("utf-16"), "html"),
        ("application/xhtml+xml", b'<?xml version="1.0"?><html/>', "html"),
        ("text/plain", b"just text", "text"),
        ("text/plain", HTML, "html"),
        ("text/plain", PNG, "not_html"),
        ("text/markdown", b"# Title", "text"),
        ("application/octet-stream", HTML, "html"),
        ("application/octet-stream", b"<p>No document type.", "html"),
        ("application/octet-stream", PDF, "not_html"),
        (None, HTML, "html"),
        (None, b"<div>Some</div>", "html"),
        (None, b"some text", "text"),
        (None, PNG, "not_html"),
        ("nonsense", b"some text", "text"),
        ("image/png", PNG, "not_html"),
        ("image/png", HTML, "html"),
        ("image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not_html"),
        ("application/pdf", PDF, "not_html"),
        ("application/json", b'{"a": "<html>"}', "not_html"),
        ("application/json", HTML, "html"),
        ("text/css", b"body { color: red }", "not_html"),
        ("text/javascript", b"document.write('<html>')", "not_html"),
        ("application/rss+xml", RSS, "not_html"),
        ("text/xml", RSS, "not_html"),
        ("application/xml", b'<?xml version="1.0"?><!DOCTYPE html><html></html>', "html"),
        ("font/woff2", b"wOF2" + bytes(40), "not_html"),
        ("text/html", b"", "empty"),
        ("text/plain", b" \r\n\t ", "empty"),
        ("image/png", b"", "empty"),
    ],
)
def test_media_type(declared: str | None, body: bytes, expected: str) -> None:
    record = one(warc_record(http_response(body, declared)))
    assert outcome(record) == expected
    assert record.body == (body if expected in ("html", "text") else None)


@pytest.mark.parametrize(
    ("kind", "content_type", "url", "expected"),
    [
        ("warcinfo", "application/warc-fields", None, "record_type"),
        ("request", "application/http; msgtype=request", "http://example.org/", "record_type"),
        ("metadata", "text/html", "http://example.org/", "record_type"),
        ("revisit", "application/http; msgtype=response", "http://example.org/", "record_type"),
        ("", "text/html", "http://example.org/", "record_type"),
        ("response", "text/dns", "dns:example.org", "record_type"),
        ("response", "text/html", "ftp://example.org/", "html"),
        ("resource", "text/html; charset=utf-8", "http://example.org/", "html"),
        ("resource", "application/xhtml+xml", "https://example.org/", "html"),
        ("resource", "text/plain", "file:///a.txt", "html"),
        ("resource", "text/plain", "metadata://gnu.org/wget", "record_type"),
        ("resource", "application/json", "http://example.org/", "record_type"),
        ("resource", "image/png", "http://example.org/", "record_type"),
        ("resource", "text/css", "http://example.org/", "record_type"),
        ("resource", "text/html", None, "record_type"),
        ("Response", "text/html", "http://example.org/", "html"),
    ],
)
def test_record_types(kind: str, content_type: str, url: str | None, expected: str) -> None:
    record = one(warc_record(HTML, kind=kind, content_type=content_type, url=url))
    assert outcome(record) == expected
    assert record.content_type == content_type.partition(";")[0]


def test_conversion_records_are_text() -> None:
    record = one(warc_record("Süßes <html>".encode(), kind="conversion", content_type="text/plain"))
    assert (outcome(record), record.charset, record.body) == ("text", "utf-8", "Süßes <html>".encode())
    assert outcome(one(warc_record(b"\n", kind="conversion", content_type="text/plain"))) == "empty"


def test_encodings_are_undone_and_broken_ones_quarantined() -> None:
    encoded = [b"Content-Encoding: gzip"]
    assert one(warc_record(http_response(gzip.compress(HTML), headers=encoded))).body == HTML
    assert one(warc_record(http_response(HTML, headers=encoded))).body == HTML
    broken = one(warc_record(http_response(gzip.compress(HTML)[:10] + b"\xff" * 30, headers=encoded)))
    assert (outcome(broken), broken.damage) == ("undecodable", False)
    bomb = one(warc_record(http_response(gzip.compress(bytes(MAX + 1)), headers=encoded)))
    assert (outcome(bomb), bomb.damage) == ("oversized", False)
    assert bomb.url == "http://example.org/"


@pytest.mark.parametrize("compression", ["", "gzip", "zstd"])
def test_records_that_are_too_large_are_skipped(compression: str) -> None:
    big = b"<html>" + b"x" * 300_000
    pieces = [warc_page(1), warc_page(2, big), warc_record(big, kind="metadata"), warc_page(4)]
    expected = ["html", "oversized", "record_type", "html"]
    records = read(pack(pieces, compression)[0], compression, max_record_bytes=200_000)
    assert outcomes(records) == expected
    assert (records[1].http_status, records[1].damage) == (200, False)
    assert records[1].size == len(http_response(big))
    assert outcomes(read(compress(b"".join(pieces), compression), compression, max_record_bytes=200_000)) == expected
    exact = read(warc_page(2, big), max_record_bytes=len(http_response(big)))
    assert outcomes(exact) == ["html"]


# --- Headers ---


def test_headers_of_all_kinds() -> None:
    block = http_response(HTML)
    header = (
        b"WARC/1.1 \r\nwarc-type:response\r\nWARC-Target-URI: http://example.org/\r\n  long/path\r\n"
        b"WARC-Target-URI: http://example.org/second\r\nno field\r\nContent-Length : %d\r\n\r\n" % len(block)
    )
    record = one(header + block + b"\r\n\r\n")
    assert (record.body, record.url) == (HTML, "http://example.org/ long/path")
    block = block.replace(b"\r\n", b"\n")
    lines = warc_record(block).replace(b"\r\n", b"\n")
    assert [record.body for record in read(lines + lines)] == [HTML, HTML]
    strange = one(warc_record(url="http://example.org/\0\x01\u00e9"))
    assert strange.url == "http://example.org/\u00e9"
    assert one(warc_record(headers=[b"X: " + b"y" * 60_000])).media == "html"
    assert outcomes(read(warc_record(headers=[b"X: " + b"y" * 70_000]) + warc_page(1))) == ["damaged", "html"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2021-03-04T05:06:07Z", datetime(2021, 3, 4, 5, 6, 7, tzinfo=UTC)),
        ("2021-03-04T05:06:07.123456789Z", datetime(2021, 3, 4, 5, 6, 7, 123456, tzinfo=UTC)),
        ("2021-03-04T05:06:07.5Z", datetime(2021, 3, 4, 5, 6, 7, 500000, tzinfo=UTC)),
        ("2021-03-04T05:06Z", datetime(2021, 3, 4, 5, 6, tzinfo=UTC)),
        ("2021-03-04", datetime(2021, 3, 4, tzinfo=UTC)),
        ("2021-03", datetime(2021, 3, 1, tzinfo=UTC)),
        (" 2021 ", datetime(2021, 1, 1, tzinfo=UTC)),
        ("2021-03-04T05:06:07+02:00", datetime(2021, 3, 4, 3, 6, 7, tzinfo=UTC)),
        ("2021-03-04 05:06:07", datetime(2021, 3, 4, 5, 6, 7, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("20010203040506", datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)),
        ("200102030405", datetime(2001, 2, 3, 4, 5, tzinfo=UTC)),
        ("20010203040506789", datetime(2001, 2, 3, 4, 5, 6, 789000, tzinfo=UTC)),
        ("2021-13-04T05:06:07Z", None),
        ("2021-02-30", None),
        ("0000", None),
        ("0001-01-01T00:00:00+10:00", None),
        ("2021-03-04T05:06:07Zjunk", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_dates(text: str, expected: datetime | None) -> None:
    assert parse_date(text) == expected


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


def by_url(records: list[RawRecord]) -> list[tuple[object, ...]]:
    return [(record.position, *content(record)) for record in records if record.body is not None]


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
    touched = {max(i for i, offset in enumerate(offsets) if offset <= bit // 8) for bit in bits}
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
    options = {"lookback": data.draw(st.sampled_from([0 if compression or not bits else 2500, 5000, LOOKBACK_BYTES]))}
    edges = [0, *sorted(cuts), None]
    parts = [
        record
        for start, end in zip(edges, edges[1:], strict=False)
        for record in read(archive, compression, start=start, end=end, **options)
    ]
    assert parts == read(archive, compression)


def test_a_range_begins_at_the_first_record_at_or_after_its_start() -> None:
    for compression in ("", "gzip", "zstd"):
        archive, offsets = pack(PAGES, compression)
        for start in (offsets[3], offsets[3] - 1, offsets[2] + 1):
            in_range = read(archive, compression, start=start, end=offsets[6], lookback=0)
            assert [record.offset for record in in_range] == offsets[3:6]
        assert read(archive, compression, start=offsets[3] + 1, end=offsets[4], lookback=0) == []


# --- ARC ---


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("compression", ["", "gzip"])
def test_arc(version: int, compression: str) -> None:
    pieces = [
        arc_header(version),
        arc_record(http_response(HTML), version=version),
        arc_record(http_response(HTML, "text/plain"), "http://example.org/a b", "text/html; charset=x", version=version),
        arc_record(http_response(status_line=b"HTTP/1.0 404"), version=version, status=404),
        arc_record(b"20010203040506\nexample.org. 1 IN A 192.0.2.1\n", "dns:example.org", "text/dns", version=version),
        arc_record(HTML, version=version),
        arc_record(http_response(PNG, "image/png"), content_type="no-type", version=version),
        arc_record(b"", version=version),
    ]
    records = read(pack(pieces, compression)[0], compression, read_arc)
    assert outcomes(records) == [
        "record_type", "html", "html", "http_error", "record_type", "html", "not_html", "empty",
    ]  # fmt: skip
    assert records[1].body == HTML
    assert records[1].crawled_at == datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)
    assert records[2].url == "http://example.org/a b"
    assert records[3].http_status == 404
    assert records[5].http_status == (200 if version == 2 else None)
    assert [record.offset for record in records] == pack(pieces, compression)[1]


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
    for start, end in zip(edges, edges[1:], strict=False):
        parts += read(broken, compression, read_arc, start=start, end=end, lookback=3000)
    assert parts == records


def test_arc_against_warcio() -> None:
    pieces = [arc_header(), *(arc_record(url=f"http://example.org/{i}") for i in range(5))]
    data = pack(pieces, "gzip")[0]
    theirs = [(r.rec_headers.get_header("uri"), r.content_stream().read()) for r in ArchiveIterator(BytesIO(data))]
    ours = [(r.url, r.body) for r in read(data, "gzip", read_arc)]
    assert ours[1:] == theirs[1:]
    assert len(ours) == len(theirs)


# --- Size and speed ---


@pytest.mark.parametrize("layout", ["each", "single"])
def test_huge_records_need_no_memory(layout: str) -> None:
    huge = warc_record(http_response(b"<html>" + b"x" * 150_000_000))
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


def test_many_broken_headers_cost_no_more_than_linear_time() -> None:
    data = b"WARC/1.0\r\nA:b\r\n" * 60_000
    begin = time.process_time()
    assert outcomes(read(data)) == ["truncated"] or len(read(data)) == 60_000
    assert time.process_time() - begin < 4
