"""HTTP responses as crawlers stored them: the header block, and the body with its encodings undone.

Nothing that a server or a crawler says is relied on. Crawlers undo transfer and content encodings but keep
the headers that announce them, servers announce encodings that they do not use, and archives hold bodies
that were cut. So an encoding is undone where the bytes show it, and what can be decoded is kept.
"""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO

import brotli

from curation.sources.members import CHUNK_BYTES, MemberError, open_members
from curation.sources.sniff import looks_binary

MAX_HEADER_BYTES = 64 << 10
"""Where a header block that has no end is cut; no common server or client accepts longer ones."""
MAX_ENCODINGS = 4
"""The most content encodings of one body that are undone."""

_STATUS_LINE = re.compile(rb"[\s\0]{0,16}(?:HTTP(?:/\d+(?:\.\d+)?)?|ICY)[ \t]+(\d{3})(?!\d)[^\n]*\n?", re.I)
_BROKEN_STATUS_LINE = re.compile(rb"HTTP/[^\n]*\n?", re.I)
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]*:(.*)", re.S)
_CHUNK_SIZE = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]{0,4096})?\r?\n")
_CHARSET = re.compile(r"""charset\s*=\s*["']?\s*([^\s"';,]+)""", re.I)
_MEDIA_TYPE = re.compile(r"\s*([\w!#$&^.+\-*]+/[\w!#$&^.+\-*]+)")
_SNIFFED_BYTES = 1024


class OversizedError(Exception):
    """A body is larger than allowed once its content encodings are undone."""


class UndecodableError(Exception):
    """A content encoding is broken from the start, or one that cannot be undone."""


@dataclass(slots=True)
class HttpHead:
    """The header block of a response."""

    status: int | None = None
    """None without a status line that makes sense."""
    fields: list[tuple[str, str]] = field(default_factory=list)
    """Names in lower case, values stripped, in the order sent."""
    size: int = 0
    """Where the body begins in the block."""

    def values(self, name: str) -> list[str]:
        """All values of a field, in the order sent."""
        return [value for key, value in self.fields if key == name]

    def codings(self, name: str) -> list[str]:
        """A field's comma-separated tokens, lower case, in the order that they were applied."""
        return [token.strip().lower() for value in self.values(name) for token in value.split(",")]

    @property
    def content_type(self) -> str | None:
        """The media type, lower case, without parameters; of several, the last valid one."""
        return next(filter(None, map(media_type, reversed(self.values("content-type")))), None)

    @property
    def charset(self) -> str | None:
        """The charset parameter of the content type."""
        return next(filter(None, map(charset_of, reversed(self.values("content-type")))), None)


def media_type(value: str) -> str | None:
    """The media type in a Content-Type's value, lower case, without parameters."""
    match = _MEDIA_TYPE.match(value)
    return match[1].lower() if match else None


def charset_of(value: str) -> str | None:
    """The charset parameter in a Content-Type's value, lower case."""
    match = _CHARSET.search(value)
    return match[1].lower() if match else None


def has_status_line(block: bytes) -> bool:
    """Whether ``block`` begins as an HTTP response does."""
    return _STATUS_LINE.match(block) is not None


def parse_head(block: bytes) -> HttpHead:
    """The header block at the start of ``block``. Never raises.

    Accepted besides RFC 9112: versions like ``HTTP/2``, ``ICY``, lines that end in LF, folded fields,
    lines that are no field (skipped), 1xx responses before the real one, no status line, no header at all,
    and a body that begins with a tag where the empty line is missing.
    """
    head = HttpHead()
    at = 0
    while status_line := _STATUS_LINE.match(block, at, at + MAX_HEADER_BYTES):
        head = HttpHead(status=int(status_line[1]))
        at = _read_fields(block, status_line.end(), head)
        if head.status is None or head.status >= 200 or not _STATUS_LINE.match(block, at, at + 4096):
            break
    else:
        broken = _BROKEN_STATUS_LINE.match(block, 0, MAX_HEADER_BYTES)
        if broken or _FIELD.match(block[:256]):
            at = _read_fields(block, broken.end() if broken else 0, head)
    head.size = at
    return head


def _read_fields(block: bytes, at: int, head: HttpHead) -> int:
    """Append the fields that begin at ``at``; where the body begins."""
    stop = min(len(block), at + MAX_HEADER_BYTES)
    while at < stop:
        end = block.find(b"\n", at, stop)
        after = stop if end < 0 else end + 1
        line = block[at:after].rstrip(b"\r\n")
        if not line:
            return after
        if line[:1] in b" \t" and head.fields:
            name, value = head.fields[-1]
            head.fields[-1] = (name, f"{value} {_text(line)}".strip())
        elif match := _FIELD.match(line):
            head.fields.append((match[1].decode("ascii").lower(), _text(match[2])))
        elif line.lstrip().startswith(b"<"):
            return at
        at = after
    return at


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8").strip()
    except UnicodeDecodeError:
        return value.decode("latin-1").strip()


def decode_body(head: HttpHead, body: bytes, max_bytes: int) -> bytes:
    """``body`` with its transfer and content encodings undone.

    An encoding that the bytes do not show is taken for already undone; a body that breaks off or is broken
    further on yields what comes before. Raises OversizedError beyond ``max_bytes``, and UndecodableError.
    """
    if not any(name in ("content-encoding", "transfer-encoding") for name, _ in head.fields):
        return body
    transfer = head.codings("transfer-encoding")
    if "chunked" in transfer:
        body = _unchunk(body)
    codings = [name for name in head.codings("content-encoding") + transfer if name in _DECODERS]
    if len(codings) > MAX_ENCODINGS:
        raise UndecodableError(f"{len(codings)} content encodings, of which {MAX_ENCODINGS} are accepted")
    for name in reversed(codings):
        body = _decode(name, body, max_bytes)
    unknown = set(head.codings("content-encoding")) & _NOT_DECODED
    if unknown and looks_binary(body[:_SNIFFED_BYTES]):
        raise UndecodableError(f"content encoding {min(unknown)!r} is not supported")
    return body


def _unchunk(body: bytes) -> bytes:
    """RFC 9112, 7.1, if the body is really chunked: a size line, and a line end behind the first chunk."""
    out = bytearray()
    at = 0
    while match := _CHUNK_SIZE.match(body, at):
        start, size = match.end(), int(match[1], 16)
        end = start + size
        if size == 0 and (at > 0 or body[start : start + 2].strip() == b""):
            return bytes(out)
        after = end + (2 if body[end : end + 2] == b"\r\n" else 1)
        is_cut = end >= len(body) and match[0].endswith(b"\r\n")
        if size == 0 or not (is_cut or body[after - 1 : after] == b"\n"):
            break
        out += memoryview(body)[start:end]
        at = after
    if at == 0:
        return body
    return bytes(out + memoryview(body)[at:])  # broken chunks: what follows is kept as it is


def _decode(name: str, body: bytes, max_bytes: int) -> bytes:
    if not body:
        return body
    out = bytearray()
    problem = ""
    try:
        for piece in _DECODERS[name](body):
            out += piece
            if len(out) > max_bytes:
                raise OversizedError(f"more than {max_bytes} bytes once its {name} encoding is undone")
    except _NotEncodedError:
        return body
    except (MemberError, zlib.error, brotli.error) as error:
        problem = str(error)
    if problem and (not out or name in ("br", "deflate")) and not looks_binary(body[:_SNIFFED_BYTES]):
        return body  # plain text, whatever the header says: these two have no magic bytes to tell
    if problem and not out:
        raise UndecodableError(f"content encoding {name}: {problem}")
    return bytes(out)


class _NotEncodedError(Exception):
    """The body is not encoded in the way that its header says."""


def _gunzip(body: bytes) -> Iterator[bytes]:
    if not body.startswith(b"\x1f\x8b"):
        raise _NotEncodedError
    yield from _members(body, "gzip")


def _unzstd(body: bytes) -> Iterator[bytes]:
    if body[:4] != b"\x28\xb5\x2f\xfd" and body[1:4] != b"\x2a\x4d\x18":
        raise _NotEncodedError
    yield from _members(body, "zstd")


def _members(body: bytes, compression: str) -> Iterator[bytes]:
    """All members up to the first damage, which is raised if there is nothing before it."""
    for member in open_members(BytesIO(body), compression):
        while chunk := member.read(CHUNK_BYTES):
            yield chunk


def _inflate(body: bytes) -> Iterator[bytes]:
    """``deflate`` is zlib data by RFC 9110, 8.4.1.2, raw deflate data from some servers, gzip from others."""
    if body.startswith(b"\x1f\x8b"):
        yield from _members(body, "gzip")
        return
    is_zlib = len(body) > 1 and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0
    decoder = zlib.decompressobj(zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS)
    step = 512  # zlib gives nothing of a step in which it finds an error
    for at in range(0, len(body), step):
        data = body[at : at + step]
        while data and not decoder.eof:
            yield decoder.decompress(data, CHUNK_BYTES)
            data = decoder.unconsumed_tail
    if not decoder.eof:
        yield decoder.flush()
        raise zlib.error("the data ends too early")


def _unbrotli(body: bytes) -> Iterator[bytes]:
    decoder = brotli.Decompressor()
    step = 4096
    for at in range(0, len(body), step):
        piece = decoder.process(body[at : at + step], output_buffer_limit=CHUNK_BYTES)
        while piece or not decoder.can_accept_more_data():
            yield piece
            piece = decoder.process(b"", output_buffer_limit=CHUNK_BYTES)
        if decoder.is_finished():
            return
    raise brotli.error("the data ends too early")


_DECODERS = {
    "gzip": _gunzip,
    "x-gzip": _gunzip,
    "deflate": _inflate,
    "br": _unbrotli,
    "zstd": _unzstd,
}
_NOT_DECODED = {"compress", "x-compress", "sdch", "dcb", "dcz", "exi", "pack200-gzip", "aes128gcm"}
