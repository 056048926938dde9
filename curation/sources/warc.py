"""WARC (ISO 28500) and ARC archives as a stream of ``RawRecord``, one for every record, readable or not."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import BinaryIO

from curation.sources.framing import Format, Frame, read_frames
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
from curation.sources.members import LOOKBACK_BYTES
from curation.sources.record import Media, RawRecord
from curation.sources.sniff import looks_binary, looks_html

SNIFFED_BYTES = 8192
"""How much of a body tells whether it is HTML, text or something else."""

_HTML_TYPES = {"text/html", "application/xhtml+xml", "application/vnd.wap.xhtml+xml"}
_UNKNOWN_TYPES = {
    "application/octet-stream",
    "application/unknown",
    "application/x-unknown",
    "binary/octet-stream",
    "content/unknown",
    "unknown/unknown",
    "*/*",
}
"""Declared by servers that do not know (WHATWG MIME Sniffing, section 7, and what crawls hold)."""
_CODE_TYPE = re.compile(r"css|javascript|ecmascript|json|xml|rss|atom")


def read_warc(
    file: BinaryIO,
    compression: str,
    *,
    start: int = 0,
    end: int | None = None,
    max_record_bytes: int,
    lookback: int = LOOKBACK_BYTES,
) -> Iterator[RawRecord]:
    """Every record of a WARC file (``compression``: ``gzip``, ``zstd`` or ``""``), in file order.

    ``start`` and ``end`` select a range of bytes of the file; ranges that meet give each record exactly
    once (see ``framing.read_frames``). A record whose block, or whose body once decoded, exceeds
    ``max_record_bytes`` is quarantined. Raises OSError when the file cannot be read.
    """
    for frame in read_frames(
        file, compression, _Warc(), start=start, end=end, max_bytes=max_record_bytes, lookback=lookback
    ):
        yield _warc_record(frame, max_record_bytes)


def read_arc(
    file: BinaryIO,
    compression: str,
    *,
    start: int = 0,
    end: int | None = None,
    max_record_bytes: int,
    lookback: int = LOOKBACK_BYTES,
) -> Iterator[RawRecord]:
    """Every record of an ARC file, version 1 or 2; see ``read_warc``."""
    for frame in read_frames(
        file, compression, _Arc(), start=start, end=end, max_bytes=max_record_bytes, lookback=lookback
    ):
        yield _arc_record(frame, max_record_bytes)


class _Warc(Format):
    separator_bytes = 4
    overlap_bytes = 256

    _HEAD = re.compile(rb"WARC/\d\.\d{1,2}[ \t]{0,8}\r?\n[A-Za-z][A-Za-z0-9_\-]{0,60}[ \t]{0,8}:")
    _END = re.compile(rb"\n(?:\r?\n|(?=WARC/\d\.\d))")
    _SEPARATOR = re.compile(rb"\r?\n\r?\n")
    _SEPARATOR_AT_END = re.compile(rb"\r?\n\r?\n\Z")
    _LENGTH = re.compile(rb"\nContent-Length[ \t]*:[ \t]*(\d{1,18})[ \t]*\r?\n", re.I)

    def matches(self, data: bytes, at: int) -> bool:
        return self._HEAD.match(data, at) is not None

    def find(self, data: bytes, at: int, separated: bool) -> int:
        found = data.find(b"WARC/", at)
        while found >= 0:
            before = data[max(at, found - 4) : found]
            if (not separated or before.endswith((b"\n\r\n", b"\n\n"))) and self.matches(data, found):
                return found
            found = data.find(b"WARC/", found + 1)
        return -1

    def may_begin(self, data: bytes) -> bool:
        return b"WARC/".startswith(data[:5])

    def header_end(self, data: bytes, search_from: int, stop: int) -> int | None:
        found = self._END.search(data, search_from, stop)
        if found is None:
            return None
        return found.end() if len(found[0]) > 1 else 0

    def is_separator(self, data: bytes) -> bool:
        return self._SEPARATOR.match(data) is not None

    def strip(self, block: bytes | bytearray) -> bytes | bytearray:
        found = self._SEPARATOR_AT_END.search(block, max(0, len(block) - self.separator_bytes))
        return block[: found.start()] if found else block

    def length(self, header: bytes) -> int | None:
        found = self._LENGTH.search(header)
        return int(found[1]) if found else None


class _Arc(Format):
    """Internet Archive ARC: a line about the document, the block, and a line end."""

    separator_bytes = 1
    overlap_bytes = 4096

    _BEGIN = re.compile(rb"[A-Za-z][A-Za-z0-9+.\-]{0,30}:")
    _KNOWN = re.compile(rb"(?:https?|ftp|dns|file|filedesc|whois|gopher):", re.I)

    def matches(self, data: bytes, at: int) -> bool:
        # Of a line that is cut at its front, "ttp://..." must not pass.
        begin = self._BEGIN if at == 0 or data[at - 1] == 0x0A else self._KNOWN
        if not begin.match(data, at):
            return False
        line_end = data.find(b"\n", at, at + self.overlap_bytes)
        return line_end >= 0 and _parse_arc_line(data[at:line_end]) is not None

    def find(self, data: bytes, at: int, separated: bool) -> int:
        found = data.find(b"\n", at)
        while found >= 0:
            if self.matches(data, found + 1):
                return found + 1
            found = data.find(b"\n", found + 1)
        return -1

    def may_begin(self, data: bytes) -> bool:
        return self._KNOWN.match(data) is not None

    def header_end(self, data: bytes, search_from: int, stop: int) -> int | None:
        return data.find(b"\n", search_from, stop) + 1 or None

    def is_separator(self, data: bytes) -> bool:
        return data.startswith((b"\n", b"\r\n"))

    def strip(self, block: bytes | bytearray) -> bytes | bytearray:
        return block[:-1] if block.endswith(b"\n") else block

    def length(self, header: bytes) -> int | None:
        line = _parse_arc_line(header)
        return line.length if line else None


@dataclass(frozen=True, slots=True)
class _ArcLine:
    url: bytes
    date: str
    content_type: str
    status: int | None
    length: int


def _parse_arc_line(line: bytes) -> _ArcLine | None:
    """``URL IP date type length`` (version 1), or with ``status checksum location offset file`` before the
    length (version 2). URL and type may hold spaces, whatever the format says."""
    parts = line.strip().split(b" ")
    at = next((i for i in range(2, len(parts) - 1) if _ARC_DATE.fullmatch(parts[i])), 0)
    if not at or not _ARC_LENGTH.fullmatch(parts[-1]):
        return None
    rest = parts[at + 1 : -1]
    status = None
    if len(rest) >= 6 and rest[-2].isdigit():
        status = int(rest[-5]) if _ARC_STATUS.fullmatch(rest[-5]) else None
        rest = rest[:-5]
    return _ArcLine(
        b" ".join(parts[: at - 1]),
        parts[at].decode(),
        b" ".join(rest).decode("latin-1"),
        status,
        int(parts[-1]),
    )


_ARC_DATE = re.compile(rb"[12]\d{7,16}")
_ARC_LENGTH = re.compile(rb"\d{1,18}")
_ARC_STATUS = re.compile(rb"[1-9]\d\d")


def _warc_record(frame: Frame, max_bytes: int) -> RawRecord:
    record = RawRecord(frame.offset, frame.index, frame.size)
    fields = _fields(frame.header)
    record.url = _url(fields.get(b"warc-target-uri", b""))
    record.crawled_at = parse_date(fields.get(b"warc-date", b"").decode("latin-1"))
    declared = fields.get(b"content-type", b"").decode("latin-1")
    record.content_type = media_type(declared)
    record.charset = charset_of(declared)
    kind = fields.get(b"warc-type", b"").strip().lower()
    if frame.quarantined:
        _quarantine_damage(record, frame)
    elif kind == b"response":
        _take_response(record, frame, max_bytes)
    elif kind == b"conversion":
        record.charset = record.charset or "utf-8"
        _take_body(record, frame, HttpHead(), max_bytes)
        record.media = record.media and "text"
    elif kind == b"resource" and _is_document(record):
        _take_body(record, frame, HttpHead(), max_bytes)
    else:
        record.rejected = "record_type"
    return record


def _arc_record(frame: Frame, max_bytes: int) -> RawRecord:
    record = RawRecord(frame.offset, frame.index, frame.size)
    if line := _parse_arc_line(frame.header):
        record.url = _url(line.url)
        record.crawled_at = parse_date(line.date)
        record.content_type = media_type(line.content_type)
        record.charset = charset_of(line.content_type)
        record.http_status = line.status
    if frame.quarantined:
        _quarantine_damage(record, frame)
    else:
        _take_response(record, frame, max_bytes)
    return record


def _quarantine_damage(record: RawRecord, frame: Frame) -> None:
    record.quarantined, record.detail, record.damage = frame.quarantined, frame.detail, True


def _take_response(record: RawRecord, frame: Frame, max_bytes: int) -> None:
    """A response with its HTTP header, or of a protocol without one (FTP, HTTP/0.9; not DNS)."""
    head = HttpHead()
    is_http = record.content_type == "application/http" or has_status_line(frame.block)
    if is_http:
        head = parse_head(frame.block)
        record.http_status, record.content_type, record.charset = head.status, head.content_type, head.charset
    elif not _has_document_url(record):
        record.rejected = "record_type"
        return
    status = record.http_status
    is_success = 200 <= status <= 299 if status is not None else not is_http
    if is_success or frame.oversized:
        _take_body(record, frame, head, max_bytes)
    else:
        record.rejected = "redirect" if status is not None and 300 <= status <= 399 else "http_error"


def _take_body(record: RawRecord, frame: Frame, head: HttpHead, max_bytes: int) -> None:
    if frame.oversized:
        record.quarantined = "oversized"
        record.detail = f"{frame.size} bytes; {max_bytes} are allowed"
        return
    try:
        body = decode_body(head, frame.block[head.size :], max_bytes)
    except (OversizedError, UndecodableError) as error:
        record.quarantined = "oversized" if isinstance(error, OversizedError) else "undecodable"
        record.detail = str(error)
        return
    if not body or body.isspace():
        record.rejected = "empty"
        return
    record.media = _media(record.content_type, body[:SNIFFED_BYTES])
    if record.media:
        record.body = body
    else:
        record.rejected = "not_html"


def _media(declared: str | None, head: bytes) -> Media:
    """What a body is, by its declared type and its first bytes; ``""`` for what is no document."""
    if looks_html(head):
        return "html"
    if looks_binary(head):
        return ""
    if declared in _HTML_TYPES:
        return "html"
    if declared is None or declared in _UNKNOWN_TYPES:
        return "html" if looks_html(head, weak=True) else "text"
    return "text" if declared.startswith("text/") and not _CODE_TYPE.search(declared) else ""


def _has_document_url(record: RawRecord) -> bool:
    return record.url is not None and record.url.lower().startswith(("http:", "https:", "ftp:", "file:"))


def _is_document(record: RawRecord) -> bool:
    """Whether a resource record is one by its address and type."""
    declared = record.content_type or ""
    is_text = declared in _HTML_TYPES or (declared.startswith("text/") and not _CODE_TYPE.search(declared))
    return is_text and _has_document_url(record)


def _fields(header: bytes) -> dict[bytes, bytes]:
    """The fields of a WARC header that matter here, names in lower case; the first of several of a name."""
    fields: dict[bytes, bytes] = {}
    for name, value in _FIELD.findall(header):
        fields.setdefault(name.lower(), b" ".join(value.split()) if b"\n" in value else value)
    return fields


_FIELD = re.compile(
    rb"\n(WARC-Type|WARC-Target-URI|WARC-Date|Content-Type)[ \t]*:[ \t]*([^\r\n]*(?:\r?\n[ \t]+[^\r\n]*)*)", re.I
)


def _url(value: bytes) -> str | None:
    try:
        url = value.decode("utf-8")
    except UnicodeDecodeError:
        url = value.decode("latin-1")
    url = _CONTROL.sub("", url.strip())
    if url.startswith("<") and url.endswith(">"):  # as the grammar of WARC 1.0 has it
        url = url[1:-1].strip()
    return url or None


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DATE = re.compile(
    r"(\d{4})(?:-?(\d\d)(?:-?(\d\d)(?:[T ]?(\d\d):?(\d\d)(?::?(\d\d)(?:[.,]?(\d{1,9}))?)?)?)?)?"
    r"\s*(?:Z|([+-])(\d\d):?(\d\d))?",
    re.ASCII | re.IGNORECASE,
)


def parse_date(text: str) -> datetime | None:
    """A date of WARC (W3C-DTF, any precision) or ARC (``YYYYMMDDhhmmss``) in UTC; None for anything else."""
    if len(text) == 20 and text[10] == "T" and text[19] == "Z":  # nearly all of them, and ten times faster
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            pass
    match = _DATE.fullmatch(text.strip())
    if not match:
        return None
    year, month, day, hour, minute, second = (int(match[i] or (1 if i < 4 else 0)) for i in range(1, 7))
    microsecond = int((match[7] or "").ljust(6, "0")[:6])
    offset = timedelta(hours=int(match[9] or 0), minutes=int(match[10] or 0))
    try:
        local = datetime(year, month, day, hour, minute, 59 if second == 60 else second, microsecond, UTC)
        return local + offset if match[8] == "-" else local - offset
    except (ValueError, OverflowError):
        return None
