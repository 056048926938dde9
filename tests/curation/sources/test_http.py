"""HTTP responses as crawlers stored them."""

import gzip
import tracemalloc
import zlib
from contextlib import suppress

import brotli
import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from curation.sources.http import (
    HttpHead,
    OversizedError,
    UndecodableError,
    charset_of,
    decode_body,
    has_status_line,
    media_type,
    parse_head,
)

TEXT = b"<html><body>" + b"Some text, and more of it. " * 500 + b"</body></html>"
MAX = 1 << 20


def raw_deflate(data: bytes) -> bytes:
    encoder = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    return encoder.compress(data) + encoder.flush()


ENCODERS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "Deflate ": raw_deflate,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}
CODINGS = pytest.mark.parametrize("coding", ENCODERS)


def encoded(*codings: str, transfer: str = "") -> HttpHead:
    fields = [("content-encoding", coding) for coding in codings]
    return HttpHead(200, [*fields, ("transfer-encoding", transfer)] if transfer else fields)


def chunked(data: bytes, size: int = 1000, extension: bytes = b"", trailer: bytes = b"") -> bytes:
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    body = b"".join(b"%x%s\r\n%s\r\n" % (len(piece), extension, piece) for piece in pieces)
    return body + b"0\r\n" + trailer + b"\r\n"


# --- The header block ---


@pytest.mark.parametrize(
    ("block", "status", "fields", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody", 200, [("a", "b")], b"body"),
        (b"HTTP/1.0 404 Not Found\nA: b\n\nbody", 404, [("a", "b")], b"body"),
        (b"HTTP/2 200\r\na:b\r\n\r\nbody", 200, [("a", "b")], b"body"),
        (b"HTTP/2.0 200 \r\na : b\r\n\r\n\r\nbody", 200, [("a", "b")], b"\r\nbody"),
        (b"ICY 200 OK\r\nicy-name:x\r\n\r\nbody", 200, [("icy-name", "x")], b"body"),
        (b"http/1.1 301\r\n\r\n", 301, [], b""),
        (b"\r\nHTTP/1.1  200  OK\r\n\r\nbody", 200, [], b"body"),
        (b"HTTP/1.1 200 OK\r\nA: b\r\n\tc\r\n  d\r\nE: f\r\n\r\n", 200, [("a", "b c d"), ("e", "f")], b""),
        (b"HTTP/1.1 200 OK\r\nno field\r\nA: b\r\n\r\nbody", 200, [("a", "b")], b"body"),
        (b"HTTP/1.1 200 OK\r\nA: caf\xc3\xa9\r\nB: caf\xe9\r\n\r\n", 200, [("a", "café"), ("b", "café")], b""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n\r\nbody", 200, [("a", "b")], b"body"),
        (b"A: b\r\nC: d\r\n\r\nbody", None, [("a", "b"), ("c", "d")], b"body"),
        (b"<html>a: b\n\nc", None, [], b"<html>a: b\n\nc"),
        (b"HTTP/1.1 200 OK\r\nA: b\r\n<html>\n\nx", 200, [("a", "b")], b"<html>\n\nx"),
        (b"HTTP/1.1 2000 OK\r\nA: b\r\n\r\nbody", None, [("a", "b")], b"body"),
        (b"HTTP/1.1 200 OK\r\nA: cut of", 200, [("a", "cut of")], b""),
        (b"HTTP/1.1 200 OK", 200, [], b""),
        (b"", None, [], b""),
    ],
)
def test_header_variants(block: bytes, status: int | None, fields: list[tuple[str, str]], body: bytes) -> None:
    head = parse_head(block)
    assert (head.status, head.fields, block[head.size :]) == (status, fields, body)


def test_a_header_without_end_is_cut() -> None:
    head = parse_head(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 100_000)
    assert 60_000 < head.size < 70_000
    one_line = parse_head(b"HTTP/1.1 200 OK\r\nA: " + b"b" * 1_000_000)
    assert one_line.size < 70_000


@given(st.binary(max_size=300))
@example(b"HTTP/1.1 999\n \n\n")
def test_any_bytes_have_a_head(block: bytes) -> None:
    for start in (b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100\r\n\r\nHTTP/1.1 103\r\n\r\n"):
        head = parse_head(start + block)
        assert 0 <= head.size <= len(start + block)
        if head.status is not None:
            assert has_status_line(start + block)


def test_content_type_and_charset() -> None:
    head = HttpHead(200, [("content-type", "text/html"), ("content-type", ' Text/HTML ;x=y; CharSet = "UTF-8"')])
    assert (head.content_type, head.charset) == ("text/html", "utf-8")
    two = HttpHead(200, [("content-type", "text/html;charset=utf-8"), ("content-type", "text/html")])
    assert (two.content_type, two.charset) == ("text/html", "utf-8")
    broken = HttpHead(200, [("content-type", "application/xml"), ("content-type", "charset='koi8-r'")])
    assert (broken.content_type, broken.charset) == ("application/xml", "koi8-r")
    assert HttpHead().content_type is None
    assert media_type("text") is None
    assert charset_of("text/html; charset=") is None


# --- Content encodings ---


@CODINGS
def test_content_encodings_are_undone(coding: str) -> None:
    assert decode_body(encoded(coding), ENCODERS[coding](TEXT), MAX) == TEXT


@CODINGS
def test_encodings_already_undone_are_left_alone(coding: str) -> None:
    for body in (TEXT, b"plain text", b"x", b"", "žluťoučký kůň".encode()):
        assert decode_body(encoded(coding), body, MAX) == body


@CODINGS
def test_what_a_cut_body_holds_is_kept(coding: str) -> None:
    text = b" ".join(b"%d" % (i * i) for i in range(40_000))  # zstd gives whole blocks of 128 KiB only
    body = ENCODERS[coding](text)
    got = decode_body(encoded(coding), body[: len(body) - 6], MAX)
    assert len(got) > 100_000
    assert text.startswith(got)


def test_a_cut_gzip_body_yields_all_that_can_be_decoded() -> None:
    body = gzip.compress(bytes(range(256)) * 40)
    for cut in (len(body) - 1, len(body) - 8):
        assert decode_body(encoded("gzip"), body[:cut], MAX) == bytes(range(256)) * 40


@CODINGS
@given(st.data())
def test_broken_bodies_yield_bytes_or_a_typed_error(coding: str, data: st.DataObject) -> None:
    body = bytearray(ENCODERS[coding](TEXT))
    for at in data.draw(st.lists(st.integers(0, len(body) - 1), max_size=3)):
        body[at] ^= data.draw(st.integers(1, 255))
    with suppress(UndecodableError, OversizedError):
        decode_body(encoded(coding), bytes(body), MAX)


def test_gzip_that_is_broken_from_the_start_is_undecodable() -> None:
    with pytest.raises(UndecodableError, match="gzip"):
        decode_body(encoded("gzip"), gzip.compress(TEXT)[:10] + b"\xff" * 50, MAX)
    with pytest.raises(UndecodableError, match="br"):
        decode_body(encoded("br"), b"\xff\x01\x02" * 50, MAX)


def test_several_encodings_are_undone_last_first() -> None:
    body = brotli.compress(gzip.compress(zlib.compress(TEXT)))
    assert decode_body(encoded("deflate, gzip", "br"), body, MAX) == TEXT
    assert decode_body(encoded("identity, gzip"), gzip.compress(TEXT), MAX) == TEXT
    with pytest.raises(UndecodableError, match="5 content encodings"):
        decode_body(encoded("gzip", "gzip", "gzip", "gzip", "gzip"), TEXT, MAX)


def test_gzip_bodies_of_several_members_and_with_trailing_bytes() -> None:
    body = gzip.compress(TEXT) + gzip.compress(b"more") + b"junk"
    assert decode_body(encoded("gzip"), body, MAX) == TEXT + b"more"


def test_deflate_that_is_gzip() -> None:
    assert decode_body(encoded("deflate"), gzip.compress(TEXT), MAX) == TEXT


def test_encodings_that_are_not_supported() -> None:
    assert decode_body(encoded("compress"), TEXT, MAX) == TEXT
    assert decode_body(encoded("utf-8"), TEXT, MAX) == TEXT
    with pytest.raises(UndecodableError, match="'compress'"):
        decode_body(encoded("compress"), b"\x1f\x9d\x90" + bytes(range(200)), MAX)


@CODINGS
def test_bombs_are_stopped_early(coding: str) -> None:
    bomb = ENCODERS[coding](bytes(30_000_000))
    tracemalloc.start()
    with pytest.raises(OversizedError, match="1048576"):
        decode_body(encoded(coding), bomb, MAX)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20
    exact = ENCODERS[coding](bytes(MAX))
    assert len(decode_body(encoded(coding), exact, MAX)) == MAX


# --- Transfer encodings ---


@given(st.binary(max_size=5000), st.integers(1, 2000))
def test_chunks_are_joined(data: bytes, size: int) -> None:
    head = encoded(transfer="chunked")
    assert decode_body(head, chunked(data, size), MAX) == data
    assert decode_body(head, chunked(data, size, b' ;name="x"', b"Trailer: y\r\n"), MAX) == data or not data
    assert decode_body(head, chunked(data, size).replace(b"\r\n", b"\n"), MAX) == data or b"\r\n" in data


@pytest.mark.parametrize(
    "body", [TEXT, b"plain", b"", b"a text\r\n", b"beef\r\nis a word", b"0\nis a number", b"12\n34\n56\n"]
)
def test_a_body_without_chunks_is_left_alone(body: bytes) -> None:
    assert decode_body(encoded(transfer="chunked"), body, MAX) == body or body.startswith(b"beef\r\n")


def test_cut_and_broken_chunks() -> None:
    head = encoded(transfer="chunked")
    body = chunked(TEXT)
    assert decode_body(head, body[:-5], MAX) == TEXT
    assert decode_body(head, body[:3000], MAX) == TEXT[: 3000 - 3 * 5 - 2 * 2]
    broken = body[: 2 * 1007] + b"zz" + body[2 * 1007 + 2 :]
    assert decode_body(head, broken, MAX)[:2000] == TEXT[:2000]
    assert TEXT[2100:2900] in decode_body(head, broken, MAX)


def test_transfer_and_content_encodings_together() -> None:
    body = chunked(gzip.compress(brotli.compress(TEXT)), 7)
    assert decode_body(encoded("br", transfer="gzip, chunked"), body, MAX) == TEXT
    assert decode_body(encoded("gzip", transfer="Chunked"), chunked(gzip.compress(TEXT)), MAX) == TEXT


def test_many_tiny_chunks_take_linear_memory() -> None:
    body = chunked(b"x" * 50_000, 2)
    tracemalloc.start()
    assert decode_body(encoded(transfer="chunked"), body, MAX) == b"x" * 50_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20
