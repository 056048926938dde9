"""An archive's bytes as a stream of frames: a record's header and its block, whatever befell the file.

What WARC and ARC have in common: records follow one another, each says its block's length, and they lie in
the bare file, or in compressed members, mostly one a member. Lengths may lie, members may be broken, bytes
may be missing or added. Everything that can still be read is found, and each stretch that cannot be read is
one frame that says so.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from curation.sources.members import (
    CHUNK_BYTES,
    HEAD_BYTES,
    LOOKBACK_BYTES,
    Member,
    MemberError,
    Source,
    open_members,
)

MAX_HEADER_BYTES = 64 << 10
"""A record header longer than this is taken for damage."""
PREFIX_BYTES = 64 << 10
"""How much is kept of a block that is too large."""

_NOT_NEWLINE = re.compile(rb"[^\r\n]")
_NOT_PADDING = re.compile(rb"[^\r\n\0]")


class Format(Protocol):
    """What the framing must know of a format."""

    separator_bytes: int
    """The least that separates a block from the next record."""
    overlap_bytes: int
    """The longest match of ``find`` and ``matches``."""

    def matches(self, data: bytes, at: int) -> bool:
        """Whether a record's header begins at ``at``."""

    def find(self, data: bytes, at: int, separated: bool) -> int:
        """The first place from ``at`` where a header begins (if ``separated``: behind a separator); or -1."""

    def may_begin(self, data: bytes) -> bool:
        """Whether ``data`` may be the first bytes of a header, or of a part of one."""

    def header_end(self, data: bytes, at: int, stop: int) -> int:
        """Just behind the header that begins at ``at``, -1 when its end does not lie before ``stop``."""

    def is_separator(self, data: bytes) -> bool:
        """Whether ``data`` begins with what separates two records."""

    def strip(self, block: bytes | bytearray) -> bytes | bytearray:
        """A block without the separator behind it."""

    def length(self, header: bytes) -> int | None:
        """The block length that a header states; None without a sensible one."""


@dataclass(slots=True)
class Frame:
    """One record, or one damaged stretch."""

    offset: int
    index: int
    header: bytes = b""
    block: bytes = b""
    """Only the first ``PREFIX_BYTES`` when oversized; empty when it could not be read whole."""
    size: int = 0
    """Bytes of the block, or of what is there of it."""
    oversized: bool = False
    quarantined: str = ""
    """damaged, truncated or checksum"""
    detail: str = ""


class _Run:
    """Bytes that are read in one go: from a good head to the next one, to damage, or to the file's end.

    In an uncompressed file all of it is one run. Positions count decompressed bytes.
    """

    def __init__(self) -> None:
        self.buffer = b""
        self.at = 0
        self.pulled = 0
        """Position just behind the buffer."""
        self.error: MemberError | None = None
        """Why the run ended, if because of damage."""
        self.at_file_end = False
        """Whether it ended with the file."""
        self.lengths_lie = False
        """Whether a record of this run has stated a wrong length."""
        self._frame_offset, self._frame_index = -1, 0

    def pull(self) -> bytes | None:
        """The next piece; None at the run's end."""
        raise NotImplementedError

    def rewind(self, position: int) -> None:
        """Go back to ``position``."""
        raise NotImplementedError

    def offset_of(self, position: int) -> int:
        """The file offset of what holds ``position``."""
        raise NotImplementedError

    @property
    def position(self) -> int:
        return self.pulled - len(self.buffer) + self.at

    def fill(self, n: int) -> int:
        """Have ``n`` bytes in the buffer, fewer only at the end; how many there are."""
        have = len(self.buffer) - self.at
        while have < n:
            piece = self.pull()
            if piece is None:
                return have
            self.buffer = self.buffer[self.at :] + piece if have else piece
            self.at = 0
            self.pulled += len(piece)
            have += len(piece)
        return have

    def peek(self, n: int) -> bytes:
        self.fill(n)
        return self.buffer[self.at : self.at + n]

    def take(self, n: int, keep: int) -> tuple[bytes, int]:
        """Move on by ``n`` bytes (fewer at the end): the first ``keep`` of them, and how many there were."""
        if len(self.buffer) - self.at >= n:
            start = self.at
            self.at += n
            return self.buffer[start : start + min(n, keep)], n
        kept = bytearray()
        left = n
        while left and self.fill(1):
            step = min(left, len(self.buffer) - self.at)
            if len(kept) < keep:
                kept += memoryview(self.buffer)[self.at : self.at + min(step, keep - len(kept))]
            self.at += step
            left -= step
        return bytes(kept), n - left

    def give_back(self, data: bytes) -> None:
        """Undo a ``take`` that kept all of ``data``."""
        self.buffer = data + self.buffer[self.at :]
        self.at = 0

    def at_end(self, content: re.Pattern[bytes] = _NOT_NEWLINE) -> bool:
        """Whether nothing but line ends is left; steps over them."""
        while self.fill(1):
            if found := content.search(self.buffer, self.at):
                self.at = found.start()
                return False
            self.at = len(self.buffer)
        return True

    def place(self) -> tuple[int, int]:
        """Offset and index for a frame that begins here; to be called once for each."""
        return self.place_at(self.offset_of(self.position))

    def place_at(self, offset: int) -> tuple[int, int]:
        self._frame_index = self._frame_index + 1 if offset == self._frame_offset else 0
        self._frame_offset = offset
        return offset, self._frame_index


class _PlainRun(_Run):
    def __init__(self, file: BinaryIO, start: int) -> None:
        super().__init__()
        self._source = Source(file)
        self.pulled = start

    def pull(self) -> bytes | None:
        piece = self._source.read(self.pulled, CHUNK_BYTES)
        self.at_file_end = not piece
        return piece or None

    def rewind(self, position: int) -> None:
        self.buffer, self.at, self.pulled = b"", 0, position

    def offset_of(self, position: int) -> int:
        return position

    def place_at(self, offset: int) -> tuple[int, int]:
        return offset, 0

    def bytes_at(self, position: int, n: int) -> bytes:
        return self._source.read(position, n)


class _Members:
    """The members of a file, one ahead."""

    def __init__(self, file: BinaryIO, compression: str, end: int | None, form: Format) -> None:
        self._file = file
        self._compression = compression
        self._end = end
        self._form = form
        self.next: Member | None = None

    def is_head(self, data: bytes) -> bool:
        return self._form.matches(data, len(data) - len(data.lstrip(b"\r\n")))

    def open(self, start: int, lookback: int) -> None:
        self._iterator = open_members(self._file, self._compression, start, self._end, self.is_head, lookback)
        self.advance()

    def advance(self) -> None:
        self.next = next(self._iterator, None)

    def next_is_head(self) -> bool:
        return self.next is not None and self.is_head(self.next.peek(HEAD_BYTES))


class _MemberRun(_Run):
    def __init__(self, members: _Members) -> None:
        super().__init__()
        self._members = members
        self._begin()

    def _begin(self) -> None:
        self._member = self._members.next
        assert self._member is not None, "a run begins only where there is a member"
        self.head_offset = self._member.offset
        self.members_read = 1
        self._starts = [(0, self.head_offset)]  # of its members: position, and offset in the file

    def pull(self) -> bytes | None:
        while self._member is not None:
            try:
                if piece := self._member.read(CHUNK_BYTES):
                    return piece
            except MemberError as error:
                self.error = error
            self._members.advance()
            following = self._members.next
            self.at_file_end = following is None
            if following is None or self.error is not None or self._members.next_is_head():
                self._member = None
            else:
                self._member = following
                self.members_read += 1
                self._starts.append((self.pulled, following.offset))
        return None

    def rewind(self, position: int) -> None:
        self._members.open(self.head_offset, lookback=0)
        self.buffer, self.at, self.pulled, self.error = b"", 0, 0, None
        self._begin()
        self.take(position, keep=0)

    def offset_of(self, position: int) -> int:
        while len(self._starts) > 1 and self._starts[1][0] <= position:
            del self._starts[0]
        return self._starts[0][1]


def read_frames(
    file: BinaryIO,
    compression: str,
    form: Format,
    *,
    start: int = 0,
    end: int | None = None,
    max_bytes: int,
    lookback: int = LOOKBACK_BYTES,
) -> Iterator[Frame]:
    """Every record and every damaged stretch of a file, in order of (offset, index).

    ``start`` and ``end``: as in ``open_members``; uncompressed, what begins at an offset in [start, end).
    Ranges that meet give each frame exactly once. A block above ``max_bytes`` is skipped, not stored.
    """
    if compression:
        members = _Members(file, compression, end, form)
        members.open(start, lookback)
        while members.next is not None:
            yield from _frames(_MemberRun(members), form, max_bytes)
        return
    origin = start - lookback - form.separator_bytes
    run = _PlainRun(file, max(0, origin))
    if origin > 0:
        _skip_to_head(run, form, separated=True)
    for frame in _frames(run, form, max_bytes):
        if end is not None and frame.offset >= end:
            return
        if frame.offset >= start:
            yield frame


def _frames(run: _Run, form: Format, max_bytes: int) -> Iterator[Frame]:
    reported = False
    while not run.at_end():
        frame = Frame(*run.place())
        if header := _take_header(run, form):
            frame.header = header
            _take_block(run, form, frame, max_bytes)
        elif not _take_garbage(run, form, frame):
            break
        if run.at_end() and (error := run.error) is not None:
            alone = error.offset == frame.offset and frame.index == 0
            if frame.quarantined or alone:  # else it was read whole before the damage
                frame.quarantined, frame.detail, frame.block = error.kind, error.detail, b""
                reported = True
        yield frame
    if run.error is not None and not reported:
        error = run.error
        yield Frame(*run.place_at(error.offset), quarantined=error.kind, detail=error.detail)


def _take_header(run: _Run, form: Format) -> bytes:
    """The header that begins here; ``b""`` (and nothing taken) if none does."""
    size = max(1024, form.overlap_bytes)
    while True:
        have = run.fill(size)
        if not form.matches(run.buffer, run.at):
            return b""
        header_end = form.header_end(run.buffer, run.at, run.at + min(have, MAX_HEADER_BYTES))
        if header_end >= 0:
            return run.take(header_end - run.at, keep=MAX_HEADER_BYTES)[0]
        if have < size or size >= MAX_HEADER_BYTES:
            return b""
        size *= 4


def _take_block(run: _Run, form: Format, frame: Frame, max_bytes: int) -> None:
    declared = form.length(frame.header)
    start = run.position
    if declared is not None and _may_be_true(run, form, declared):
        keep = declared if declared <= max_bytes else PREFIX_BYTES
        frame.block, frame.size = run.take(declared, keep)
        frame.oversized = declared > max_bytes
        if frame.size == declared and _ends_here(run, form, frame):
            return
        if frame.size == len(frame.block):
            run.give_back(frame.block)
        else:
            run.rewind(start)
        run.lengths_lie = True
    _search_end(run, form, frame, declared, max_bytes)


def _may_be_true(run: _Run, form: Format, declared: int) -> bool:
    """Whether it is worth it to read a block of the stated length before looking for its end.

    Once a length has lied, it no longer is in compressed data; in a bare file a look at the place where
    the block should end settles it. So a file full of lies costs no more time than its size warrants.
    """
    if not run.lengths_lie:
        return True
    if not isinstance(run, _PlainRun):
        return False
    tail = run.bytes_at(run.position + declared - 1, 1 + form.overlap_bytes)
    return tail != b"" and _bytes_between(run, form, tail[:1], tail[1:]) is not None


def _bytes_between(run: _Run, form: Format, before: bytes, tail: bytes) -> int | None:
    """How many bytes that are no line ends separate a block from what comes after; None: it does not end.

    ``before`` is the block's last byte, ``tail`` is what follows it, up to ``overlap_bytes``. A separator is enough, for what follows it
    may be damaged; so is the next record, or the end of a bare file, behind a damaged separator.
    """
    at_end = len(tail) < form.overlap_bytes
    if form.is_separator(tail) or (at_end and not tail.strip(b"\r\n")):
        return 0
    if at_end and isinstance(run, _PlainRun) and len(tail) <= form.separator_bytes:
        return len(tail)
    places = range(form.separator_bytes + 1)
    return next((at for at in places if form.matches(before + tail, len(before) + at)), None)


def _ends_here(run: _Run, form: Format, frame: Frame) -> bool:
    tail = run.peek(form.overlap_bytes)
    between = _bytes_between(run, form, b"?" if frame.oversized else frame.block[-1:], tail)
    if between is None:
        return False
    run.take(between, keep=0)
    newlines = tail[: len(tail) - len(tail.lstrip(b"\r\n"))][: form.separator_bytes]
    at_member_end = newlines == tail and isinstance(run, _MemberRun)
    if not frame.oversized and (at_member_end or form.matches(tail, len(newlines))):
        # A stated length that is a little too large counts (a part of) the separator.
        around = frame.block[-form.separator_bytes :] + newlines
        surplus = len(around) - len(newlines) - len(form.strip(around))
        if surplus > 0:
            frame.block = frame.block[:-surplus]
            frame.size = len(frame.block)
    return True


def _search_end(run: _Run, form: Format, frame: Frame, declared: int | None, max_bytes: int) -> None:
    """Take the block up to where the next record begins, whatever its header says."""
    tail = run.peek(form.overlap_bytes)
    if form.matches(tail, len(tail) - len(tail.lstrip(b"\r\n"))):
        frame.block, frame.size, frame.oversized = b"", 0, False
        return
    kept, size, found = _skip_to_head(run, form, separated=True, keep=max_bytes + form.separator_bytes)
    block = form.strip(kept) if size == len(kept) else kept
    frame.size = len(block) if size == len(kept) else size
    frame.oversized = frame.size > max_bytes
    frame.block = bytes(block[:PREFIX_BYTES]) if frame.oversized else bytes(block)
    if found:
        return
    short = declared is not None and size < declared
    if isinstance(run, _MemberRun):
        own = frame.index == 0 and frame.offset == run.head_offset
        if run.error is not None:
            if not (own and run.members_read == 2 and run.error.offset != frame.offset):
                frame.quarantined, frame.detail = run.error.kind, run.error.detail
        elif short and run.at_file_end and not (own and run.members_read == 1):
            frame.quarantined = "truncated"
    elif short:
        frame.quarantined = "truncated"
    elif len(kept) == len(block):
        frame.quarantined = "damaged"
    if frame.quarantined:
        frame.detail = frame.detail or f"no end of the record: {size} bytes are there, {declared} stated"
        frame.block = b""


def _take_garbage(run: _Run, form: Format, frame: Frame) -> bool:
    """Go on to the next record; False if there was nothing but zeros up to the end of the run."""
    begin, first = run.position, run.peek(16)
    if run.at_end(_NOT_PADDING):
        return False
    found = run.position > begin and form.matches(run.peek(form.overlap_bytes), 0)
    if not found:
        run.take(1, keep=0)
        found = _skip_to_head(run, form, separated=False)[2]
    frame.size = run.position - begin
    cut = not found and run.error is None and run.at_file_end and form.may_begin(first)
    frame.quarantined = "truncated" if cut else "damaged"
    frame.detail = f"{frame.size} bytes that are no record"
    return True


def _skip_to_head(run: _Run, form: Format, *, separated: bool, keep: int = 0) -> tuple[bytearray, int, bool]:
    """Move on to the next record's header, or to the run's end.

    Returns the first ``keep`` bytes passed over, how many there were, and whether a header was found.
    """
    kept, size = bytearray(), 0
    while True:
        found = form.find(run.buffer, run.at, separated)
        have = len(run.buffer) - run.at
        step = found - run.at if found >= 0 else max(0, have - form.overlap_bytes)
        if found < 0 and step == 0:
            if run.fill(have + 1) > have:
                continue
            step = have
        kept += run.take(step, keep - len(kept))[0]
        size += step
        if found >= 0 or run.fill(1) == 0:
            return kept, size, found >= 0
