"""Builders of archives for tests: WARC and ARC records, HTTP responses, and ways to compress them."""

import gzip
import struct
import zlib
from collections.abc import Iterable, Sequence
from io import BytesIO

import zstandard


def http_response(
    body: bytes = b"<html><body><p>Some text.</p></body></html>",
    content_type: str | None = "text/html; charset=utf-8",
    status_line: bytes = b"HTTP/1.1 200 OK",
    headers: Iterable[bytes] = (),
) -> bytes:
    """The block of a response: status line, header, body."""
    lines = [status_line, *headers]
    if content_type is not None:
        lines.append(b"Content-Type: " + content_type.encode("latin-1"))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def warc_record(
    block: bytes | None = None,
    kind: str = "response",
    url: str | None = "http://example.org/",
    date: str | None = "2021-03-04T05:06:07Z",
    content_type: str | None = "application/http; msgtype=response",
    length: int | str | None = -1,
    headers: Iterable[bytes] = (),
    version: bytes = b"WARC/1.0",
    separator: bytes = b"\r\n\r\n",
) -> bytes:
    """One record with the separator behind it; ``length`` -1 states the true one, None states none."""
    block = http_response() if block is None else block
    lines = [version, b"WARC-Type: " + kind.encode()]
    if url is not None:
        lines.append(b"WARC-Target-URI: " + url.encode())
    if date is not None:
        lines.append(b"WARC-Date: " + date.encode())
    if content_type is not None:
        lines.append(b"Content-Type: " + content_type.encode())
    lines.extend(headers)
    if length is not None:
        lines.append(b"Content-Length: " + str(len(block) if length == -1 else length).encode())
    return b"\r\n".join(lines) + b"\r\n\r\n" + block + separator


def warc_page(number: int, body: bytes | None = None) -> bytes:
    """A response record that differs from those with other numbers in URL and body."""
    if body is None:
        words = " ".join(f"word{(number * k * k) % 9973}" for k in range(1, 12 + number % 50))
        body = f"<html><body><h1>Page {number}</h1><p>{words}</p></body></html>".encode()
    return warc_record(http_response(body), url=f"http://example.org/{number}")


def warc_pages(count: int) -> list[bytes]:
    """A warcinfo record and ``count`` response records."""
    info = b"software: test\r\n"
    first = warc_record(info, kind="warcinfo", url=None, content_type="application/warc-fields")
    return [first, *(warc_page(number) for number in range(count))]


def arc_header(version: int = 1) -> bytes:
    """The first record of an ARC file."""
    fields = "URL IP-address Archive-date Content-type"
    if version == 2:
        fields += " Result-code Checksum Location Offset Filename"
    block = f"{version} 0 Test\n{fields} Archive-length\n".encode()
    return arc_record(block, url="filedesc://test.arc", content_type="text/plain", version=version)


def arc_record(
    block: bytes | None = None,
    url: str = "http://example.org/",
    content_type: str = "text/html",
    date: str = "20010203040506",
    version: int = 1,
    status: int = 200,
    length: int | None = None,
) -> bytes:
    """One record with the line end behind it."""
    block = http_response() if block is None else block
    more = f" {status} - - 0 test.arc" if version == 2 else ""
    length = len(block) if length is None else length
    return f"{url} 192.0.2.1 {date} {content_type}{more} {length}\n".encode() + block + b"\n"


def gzip_member(data: bytes, level: int = 6) -> bytes:
    """One gzip member, the same at any time."""
    return gzip.compress(data, level, mtime=0)


def gzip_member_with_everything(data: bytes) -> bytes:
    """One gzip member whose header has every optional field of RFC 1952."""
    raw = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    extra = b"ab\x02\x00xy"
    head = b"\x1f\x8b\x08\x1e\0\0\0\0\0\x03" + struct.pack("<H", len(extra)) + extra + b"name\0comment\0"
    head += struct.pack("<H", zlib.crc32(head) & 0xFFFF)
    return head + raw.compress(data) + raw.flush() + struct.pack("<II", zlib.crc32(data), len(data))


def zstd_frame(data: bytes, checksum: bool = True, dictionary: bytes | None = None, level: int = 3) -> bytes:
    """One zstd frame."""
    dict_data = zstandard.ZstdCompressionDict(dictionary) if dictionary is not None else None
    return zstandard.ZstdCompressor(level=level, write_checksum=checksum, dict_data=dict_data).compress(data)


def skippable_frame(content: bytes, magic: int = 0x184D2A50) -> bytes:
    """A zstd frame that readers skip; magic 0x184D2A5D holds the dictionary of a .warc.zst."""
    return struct.pack("<II", magic, len(content)) + content


def compress(piece: bytes, compression: str) -> bytes:
    """``piece`` as one member."""
    if compression == "gzip":
        return gzip_member(piece)
    return zstd_frame(piece) if compression == "zstd" else piece


def pack(pieces: Iterable[bytes], compression: str) -> tuple[bytes, list[int]]:
    """One member for each piece; the archive, and where each member starts."""
    out, offsets = bytearray(), []
    for piece in pieces:
        offsets.append(len(out))
        out += compress(piece, compression)
    return bytes(out), offsets


def pack_blocks(data: bytes, compression: str, block_bytes: int) -> bytes:
    """Members of a fixed data size, as bgzip and pigz write them: records lie across their borders."""
    return pack((data[at : at + block_bytes] for at in range(0, len(data), block_bytes)), compression)[0]


def flip(data: bytes, bits: Sequence[int]) -> bytes:
    """``data`` with some bits turned over."""
    out = bytearray(data)
    for bit in bits:
        out[bit // 8] ^= 1 << bit % 8
    return bytes(out)


class Trickle(BytesIO):
    """A file whose reads give less than asked for, as sockets and some remote files do."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size, 1000) if size is not None and size >= 0 else 1000)
