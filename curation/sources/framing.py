"""An archive's bytes as a stream of frames: a record's header and its block, whatever befell the file.

What WARC and ARC have in common: records follow one another, each says its block's length, and they lie in
the bare file, or in compressed members, mostly one a member. Lengths may lie, members may be broken, bytes
may be missing or added. Everything that can still be read is found, and each stretch that cannot be read is
one frame that says so.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from curation.sources.members import LOOKBACK_BYTES
from curation.sources.runs import NOT_PADDING, MemberRun, Members, PlainRun, Run

MAX_HEADER_BYTES = 64 << 10
"""A record header longer than this is taken for damage."""
PREFIX_BYTES = 64 << 10
"""How much is kept of a block that is too large."""


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

    def header_end(self, data: bytes, search_from: int, stop: int) -> int | None:
        """Just behind the first place in between where a header ends; None without one, 0 if another
        header begins before."""

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
        members = Members(file, compression, end, lambda head: form.matches(head, _line_ends(head)))
        members.open(start, lookback)
        while members.next is not None:
            yield from _frames(MemberRun(members), form, max_bytes)
        return
    origin = start - lookback - form.separator_bytes
    run = PlainRun(file, max(0, origin))
    if origin > 0:
        _skip_to_head(run, form, separated=True, stop=end)
    for frame in _frames(run, form, max_bytes):
        if end is not None and frame.offset >= end:
            return
        if frame.offset >= start:
            yield frame


def _frames(run: Run, form: Format, max_bytes: int) -> Iterator[Frame]:
    reported = False
    while not run.at_end():
        frame = Frame(*run.place())
        if header_size := _header_size(run, form)[0]:
            frame.header = run.take(header_size, keep=header_size)[0]
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


def _line_ends(data: bytes) -> int:
    """How many bytes at the front are line ends."""
    return len(data) - len(data.lstrip(b"\r\n"))


def _header_size(run: Run, form: Format, no_end_before: int = 0) -> tuple[int, int]:
    """Bytes of the header that begins here, 0 if none does; and the position up to which no header ends.

    Given again for the next place, the latter saves it from searching the same bytes once more.
    """
    size = max(1024, form.overlap_bytes)
    while True:
        have = min(run.fill(size), MAX_HEADER_BYTES)
        if not form.matches(run.buffer, run.at):
            return 0, no_end_before
        search_from = max(run.at, run.at + no_end_before - run.position)
        header_end = form.header_end(run.buffer, search_from, run.at + have)
        if header_end is not None:
            return max(0, header_end - run.at), no_end_before
        no_end_before = max(no_end_before, run.position + have - 16)
        if have < size:
            return 0, no_end_before
        size *= 4


def _take_block(run: Run, form: Format, frame: Frame, max_bytes: int) -> None:
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


def _may_be_true(run: Run, form: Format, declared: int) -> bool:
    """Whether it is worth it to read a block of the stated length before looking for its end.

    Once a length has lied, it no longer is in compressed data; in a bare file a look at the place where
    the block should end settles it. So a file full of lies costs no more time than its size warrants.
    """
    if not run.lengths_lie:
        return True
    if not isinstance(run, PlainRun):
        return False
    tail = run.bytes_at(run.position + declared - 1, 1 + form.overlap_bytes)
    return tail != b"" and _bytes_between(run, form, tail[:1], tail[1:]) is not None


def _bytes_between(run: Run, form: Format, before: bytes, tail: bytes) -> int | None:
    """How many bytes that are no line ends separate a block from what comes after; None: it does not end.

    ``before`` is the block's last byte, ``tail`` is what follows it, up to ``overlap_bytes``. A separator
    is enough, for what follows it may be damaged; so is the next record, or the end of a bare file, behind
    a damaged separator.
    """
    at_end = len(tail) < form.overlap_bytes
    if form.is_separator(tail) or (at_end and not tail.strip(b"\r\n")):
        return 0
    if at_end and isinstance(run, PlainRun) and len(tail) <= form.separator_bytes:
        return len(tail)
    places = range(form.separator_bytes + 1)
    return next((at for at in places if form.matches(before + tail, len(before) + at)), None)


def _ends_here(run: Run, form: Format, frame: Frame) -> bool:
    tail = run.peek(form.overlap_bytes)
    between = _bytes_between(run, form, b"?" if frame.oversized else frame.block[-1:], tail)
    if between is None:
        return False
    run.take(between, keep=0)
    newlines = tail[: min(_line_ends(tail), form.separator_bytes)]
    at_member_end = newlines == tail and isinstance(run, MemberRun)
    if not frame.oversized and (at_member_end or form.matches(tail, len(newlines))):
        # A stated length that is a little too large counts (a part of) the separator.
        around = frame.block[-form.separator_bytes :] + newlines
        surplus = len(around) - len(newlines) - len(form.strip(around))
        if surplus > 0:
            frame.block = frame.block[:-surplus]
            frame.size = len(frame.block)
    return True


def _search_end(run: Run, form: Format, frame: Frame, declared: int | None, max_bytes: int) -> None:
    """Take the block up to where the next record begins, whatever its header says."""
    tail = run.peek(form.overlap_bytes)
    if form.matches(tail, _line_ends(tail)):
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
    if isinstance(run, MemberRun):
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


def _take_garbage(run: Run, form: Format, frame: Frame) -> bool:
    """Go on to the next record; False if there was nothing but zeros up to the end of the run."""
    begin, first = run.position, run.peek(16)
    if run.at_end(NOT_PADDING):
        return False
    found = run.position > begin and form.matches(run.peek(form.overlap_bytes), 0)
    header_size = no_end_before = 0
    while True:
        if found:
            header_size, no_end_before = _header_size(run, form, no_end_before)
        if header_size or run.take(1, keep=0)[1] == 0:
            break
        found = _skip_to_head(run, form, separated=False)[2]
    frame.size = run.position - begin
    cut = not header_size and run.error is None and run.at_file_end and form.may_begin(first)
    frame.quarantined = "truncated" if cut else "damaged"
    frame.detail = f"{frame.size} bytes that are no record"
    return True


def _skip_to_head(
    run: Run, form: Format, *, separated: bool, keep: int = 0, stop: int | None = None
) -> tuple[bytearray, int, bool]:
    """Move on to the next record's header, or to the run's end (or somewhere behind position ``stop``).

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
        if found >= 0 or run.fill(1) == 0 or (stop is not None and run.position >= stop):
            return kept, size, found >= 0
