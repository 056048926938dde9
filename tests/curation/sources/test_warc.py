"""WARC and ARC: kinds of records, media types, headers, and agreement with warcio on real crawls."""

import gzip
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pytest
from warcio.archiveiterator import ArchiveIterator

from curation.sources.warc import parse_date, read_arc, read_warc
from tests.curation.sources.archives import (
    arc_header,
    arc_record,
    compress,
    http_response,
    pack,
    warc_page,
    warc_record,
)
from tests.curation.sources.reading import HTML, MAX, content, one, outcome, outcomes, read

PDF = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj"
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
RSS = b'<?xml version="1.0"?><rss version="2.0"><channel></channel></rss>'


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


# --- ARC ---


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("compression", ["", "gzip"])
def test_arc(version: int, compression: str) -> None:
    pieces = [
        arc_header(version),
        arc_record(http_response(HTML), version=version),
        arc_record(
            http_response(HTML, "text/plain"), "http://example.org/a b", "text/html; charset=x", version=version
        ),
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


def test_arc_against_warcio() -> None:
    pieces = [arc_header(), *(arc_record(url=f"http://example.org/{i}") for i in range(5))]
    data = pack(pieces, "gzip")[0]
    theirs = [(r.rec_headers.get_header("uri"), r.content_stream().read()) for r in ArchiveIterator(BytesIO(data))]
    ours = [(r.url, r.body) for r in read(data, "gzip", read_arc)]
    assert ours[1:] == theirs[1:]
    assert len(ours) == len(theirs)
