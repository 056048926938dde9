"""JSON Lines, one document a line, of any size and in any state: one bad line costs one line."""

import codecs
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, BinaryIO, Protocol

import orjson

from curation.charset import Undecodable, decode
from curation.sources.fields import take_fields
from curation.sources.members import CHUNK_BYTES, Member, MemberError, open_members
from curation.sources.record import RawRecord

MAX_CONTAINERS = 2_000_000
"""The most ``[`` and ``{`` in a line. Parsed, each takes up to 90 bytes, so that a line of a few million
would take more memory than a worker has; the largest documents with braces in their text have fewer."""

_UTF8_BOM = b"\xef\xbb\xbf"


def read_jsonl(
    file: BinaryIO,
    compression: str,
    *,
    start: int = 0,
    end: int | None = None,
    max_record_bytes: int,
    text_field: str = "",
) -> Iterator[RawRecord]:
    """A record for every line that is not blank, in file order.

    The offset of a record is that of its line where the file is not compressed; else that of the gzip
    member or zstd frame in which the line begins, and ``index`` is the number of the line among those that
    begin there. In UTF-16 and UTF-32 offsets are 0, and ``index`` is the number of the line in the file.

    Args:
        file: seekable.
        compression: ``gzip``, ``zstd`` or ``""``.
        start, end: give the records whose offset is in [start, end); they need not be offsets of lines,
            and ranges that meet give each record once. In compressed files all before ``start`` is
            decompressed, too, since lines may span members.
        max_record_bytes: longer lines are quarantined, and not held in memory.
        text_field: the field that holds the text; ``""`` takes the first of the usual ones that does.

    Raises:
        OSError: the file cannot be read.
    """
    for offset, index, line in _lines(file, compression, start, end, max_record_bytes):
        record = RawRecord(offset, index)
        if isinstance(line, bytes):
            if not line or line.isspace():
                continue
            record.size = len(line)
            _take_line(record, line, text_field)
        elif isinstance(line, int):
            record.size = line
            record.quarantined = "oversized"
            record.detail = f"a line of {line:,} bytes; read.max_record_bytes is {max_record_bytes:,}"
        else:
            record.quarantined, record.detail, record.damage = line.kind, line.detail, True
        yield record


# ---- one line ----


def _take_line(record: RawRecord, line: bytes, text_field: str) -> None:
    if len(line) > MAX_CONTAINERS and line.count(b"[") + line.count(b"{") > MAX_CONTAINERS:
        record.quarantined = "oversized"
        record.detail = f"a line with more than {MAX_CONTAINERS:,} arrays and objects"
        return
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        try:
            value = _parse_leniently(line, record)
        except Undecodable as error:
            record.quarantined, record.detail = "undecodable", str(error)
            return
        except RecursionError:
            record.quarantined, record.detail = "bad_json", "nested too deeply"
            return
        except json.JSONDecodeError as error:
            record.quarantined, record.detail = "bad_json", f"{error.msg} at character {error.pos}"
            return
    if isinstance(value, dict):
        take_fields(record, value, text_field)
    else:
        record.quarantined = "not_object"
        record.detail = f"the line is {_JSON_KINDS[type(value)]}, not an object"


_JSON_KINDS = {
    type(None): "null", bool: "true or false", int: "a number", float: "a number", str: "a string", list: "an array",
}  # fmt: skip


def _parse_leniently(line: bytes, record: RawRecord) -> Any:
    """What orjson refuses and is readable all the same: a BOM, bytes that are not UTF-8, NaN, lone
    surrogates, raw control characters, numbers of any length."""
    line = line.removeprefix(_UTF8_BOM)
    try:
        text = line.decode()
    except UnicodeDecodeError:
        text, record.charset = decode(line)
    # Numbers matter only as Unix times; a float of any number of digits takes linear time.
    return json.loads(text, strict=False, parse_int=float)


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        return False


# ---- lines of a file ----

_Line = tuple[int, int, bytes | int | MemberError]
"""(offset, index, the line without its end; or its size where that is too large; or what is broken)."""


class _Stream(Protocol):
    """What ``_split`` needs of a member."""

    offset: int

    def read(self, n: int) -> bytes: ...


def _lines(file: BinaryIO, compression: str, start: int, end: int | None, limit: int) -> Iterator[_Line]:
    if encoding := _wide_encoding(file, compression):
        lines = _split(_transcoded(file, compression, encoding), limit, by_offset=False)
    elif compression:
        lines = _split(open_members(file, compression), limit, by_offset=False)
    else:
        # The byte before ``start`` tells whether a line begins there: what it belongs to is left out below.
        lines = _split(open_members(file, "", max(0, start - 1)), limit, by_offset=True)
    for line in lines:
        if end is not None and line[0] >= end:
            return
        if line[0] >= start:
            yield line


class _Pending:
    """The line at hand, of which more may come. Too long a line is measured and not kept."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.begin: tuple[int, int] | None = None
        self.doubtful = False
        """It is the first after damage: the rest of a line, maybe, whose beginning is lost."""
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size <= self.limit:
            self._pieces.append(piece)
        else:
            self._pieces.clear()

    def finish(self, whole: bool = True) -> Iterator[_Line]:
        """The line, unless there is none, or it is part of damage (not ``whole``, or doubtful, and no object)."""
        line = self._size if self._size > self.limit else b"".join(self._pieces)
        begin, sure = self.begin, whole and not self.doubtful
        self._pieces, self._size, self.begin, self.doubtful = [], 0, None, False
        if begin is not None and (sure or (isinstance(line, bytes) and _is_object(line))):
            yield *begin, line


def _split(streams: Iterable[_Stream], limit: int, by_offset: bool) -> Iterator[_Line]:
    """The lines of members that follow one another.

    Args:
        by_offset: give the byte at which a line begins, else the member and the number of the line in it.
    """
    pending = _Pending(limit)
    offset, index = -1, 0
    for stream in streams:
        if stream.offset != offset:
            offset, index = stream.offset, 0
        while True:
            try:
                chunk = stream.read(CHUNK_BYTES)
            except MemberError as error:
                yield from pending.finish(whole=False)
                yield offset, index, error
                index += 1
                pending.doubtful = True
                break
            if not chunk:
                break
            lines = chunk.split(b"\n")
            last = lines.pop()
            if lines:
                if pending.begin is None:
                    pending.begin = offset, index
                    index += not by_offset
                pending.add(lines[0])
                yield from pending.finish()
                if by_offset:
                    offset += len(lines[0]) + 1
                for line in islice(lines, 1, None):
                    yield offset, index, line if len(line) <= limit else len(line)
                    if by_offset:
                        offset += len(line) + 1
                    else:
                        index += 1
            if last:
                if pending.begin is None:
                    pending.begin = offset, index
                    index += not by_offset
                pending.add(last)
                if by_offset:
                    offset += len(last)
    yield from pending.finish()


# ---- UTF-16 and UTF-32 ----


def _wide_encoding(file: BinaryIO, compression: str) -> str:
    """The encoding if it is UTF-16 or UTF-32, told by the first characters, else ``""``."""
    member = next(open_members(file, compression), None)
    head = member.peek(4) if member else b""
    for bom, encoding in _WIDE_BOMS:
        if head.startswith(bom):
            return encoding
    # Without a BOM the zeros around two ASCII characters tell (RFC 4627, section 3).
    return _ZEROS.get(tuple(byte == 0 for byte in head), "")


_WIDE_BOMS = (
    (b"\xff\xfe\0\0", "utf-32-le"),
    (b"\0\0\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_ZEROS: dict[tuple[bool, ...], str] = {
    (False, True, True, True): "utf-32-le",
    (True, True, True, False): "utf-32-be",
    (False, True, False, True): "utf-16-le",
    (True, False, True, False): "utf-16-be",
}


class _Transcoded:
    """A member as UTF-8."""

    offset = 0

    def __init__(self, member: Member, decoder: codecs.IncrementalDecoder) -> None:
        self._member, self._decoder = member, decoder

    def read(self, n: int) -> bytes:
        while chunk := self._member.read(n):
            if text := self._decoder.decode(chunk):
                return text.encode()
        return b""


def _transcoded(file: BinaryIO, compression: str, encoding: str) -> Iterator[_Transcoded]:
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    for member in open_members(file, compression):
        yield _Transcoded(member, decoder)
        if member.error is not None:
            decoder.reset()
