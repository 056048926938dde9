"""A file as a stream of *members*: gzip members, zstd frames, or the bare file as one member.

Crawl archives are made of many small compressed members, one a record, so that one can start to read
anywhere. This module gives them one after the other, and goes on at the next good member where one is
broken. It knows nothing of what the members hold.
"""

from collections.abc import Callable, Iterator
from typing import BinaryIO

from curation.sources.decompress import (
    CHUNK_BYTES,
    Chunks,
    Decoder,
    Gzip,
    MemberError,
    Source,
    Zstd,
    bare_chunks,
)

__all__ = ["CHUNK_BYTES", "HEAD_BYTES", "LOOKBACK_BYTES", "Member", "MemberError", "open_members"]

HEAD_BYTES = 4096
"""How much of a member's data the test for a good head sees."""
LOOKBACK_BYTES = 4 << 20
"""How far before ``start`` a range begins to walk (compressed bytes). An archive stored inside a record of
an archive holds heads of its own, which a reader that jumps into the middle would take for real ones; one
that walks up to them from a real head steps over them, as a reader of the whole file does."""


class Member:
    """One member, read once from front to back."""

    __slots__ = ("_at", "_buffer", "_chunks", "end", "error", "offset")

    def __init__(self, offset: int, chunks: Chunks) -> None:
        self.offset = offset
        """Where it starts in the (compressed) file."""
        self.end: int | None = None
        """The offset just behind it, once all of it has been read and verified."""
        self.error: MemberError | None = None
        """What ended it early, once the decoder has come upon it (maybe before ``read`` raises it)."""
        self._chunks = chunks
        self._buffer = b""
        self._at = 0

    def read(self, n: int) -> bytes:
        """Between 1 and ``n`` bytes of data, ``b""`` at the end. Raises MemberError where it breaks off."""
        while self._at >= len(self._buffer):
            chunk = self._next_chunk()
            if chunk is None:
                if self.error is not None:
                    raise self.error
                return b""
            self._buffer, self._at = chunk, 0
        start = self._at
        self._at = start + n
        if start == 0 and n >= len(self._buffer):
            return self._buffer
        return self._buffer[start : self._at]

    def peek(self, n: int) -> bytes:
        """The next ``n`` bytes without taking them; fewer where the member ends or breaks off. No raise."""
        have = len(self._buffer) - self._at
        chunks = [self._buffer[self._at :]] if have < n else []
        while have < n and (chunk := self._next_chunk()) is not None:
            chunks.append(chunk)
            have += len(chunk)
        if len(chunks) > 1:
            self._buffer, self._at = b"".join(chunks), 0
        return self._buffer[self._at : self._at + n]

    def skip_rest(self) -> None:
        """Go to the end, keeping nothing. Raises MemberError where it breaks off."""
        while self.read(CHUNK_BYTES):
            pass

    def _next_chunk(self) -> bytes | None:
        if self.end is not None or self.error is not None:
            return None
        try:
            return next(self._chunks)
        except StopIteration as stop:
            self.end = stop.value
        except MemberError as error:
            self.error = error
        return None


def open_members(
    file: BinaryIO,
    compression: str,
    start: int = 0,
    end: int | None = None,
    is_head: Callable[[bytes], bool] | None = None,
    lookback: int = LOOKBACK_BYTES,
) -> Iterator[Member]:
    """The members of a seekable file whose compression is ``gzip``, ``zstd`` or ``""``.

    Read each member to its end (``read`` until ``b""``, or ``skip_rest``) before the next one is asked
    for; what is left is skipped. Damage surfaces as a MemberError from ``read``: once for each damaged
    stretch, at the member that it begins in, or at a member without data where no member begins at all.
    Iteration then goes on at the next good member. Zeros that pad the end of the file are no damage.

    A *good head* is a member's start whose first data (up to ``HEAD_BYTES``) satisfies ``is_head``; with
    None, one that decompresses without an error. ``start`` and ``end`` select the members from the first
    good head at or after ``start`` to just before the first good head at or after ``end``, so that ranges
    which meet give each member of the file exactly once, and members that merely continue what an
    earlier one began stay with it.

    An uncompressed file is one member, which begins at ``start`` and goes to the end of the file
    (whatever ``end`` says, as lines and records may cross it).

    ``lookback`` is for tests; see ``LOOKBACK_BYTES``. Raises ValueError for another ``compression``.
    """
    source = Source(file)
    if compression == "":
        yield Member(start, bare_chunks(source, start))
        return
    if end is not None and end <= start:
        return
    walk = _Walk(_decoder(compression, source), is_head)
    offset: int | None = 0
    if start > lookback:
        offset = walk.resync(start - lookback, end)
    inside = start == 0
    while offset is not None and (here := walk.decoder.next_start(offset)) is not None:
        if end is not None and here >= end and walk.is_good(here):
            return
        inside = inside or (here >= start and walk.is_good(here))
        member = Member(here, walk.decoder.chunks(here))
        if inside:
            yield member
        if (error := _finish(member)) is not None and inside:
            yield Member(here, _fail(error))
        offset = member.end if member.end is not None else walk.resync(here + 1)


def _decoder(compression: str, source: Source) -> Decoder:
    if compression == "gzip":
        return Gzip(source)
    if compression == "zstd":
        return Zstd(source)
    raise ValueError(f"compression is {compression!r}; it must be 'gzip', 'zstd' or ''")


def _finish(member: Member) -> MemberError | None:
    """Read to the end; an error that the caller has not met yet."""
    if member.end is None and member.error is None:
        try:
            member.skip_rest()
        except MemberError as error:
            return error
    return None


def _fail(error: MemberError) -> Chunks:
    yield from ()
    raise error


class _Walk:
    """Where members begin."""

    def __init__(self, decoder: Decoder, is_head: Callable[[bytes], bool] | None) -> None:
        self.decoder = decoder
        self._is_head = is_head

    def is_good(self, offset: int) -> bool:
        """Whether there is a good head at ``offset``."""
        member = Member(offset, self.decoder.chunks(offset))
        head = member.peek(HEAD_BYTES)
        if self._is_head is not None:
            return self._is_head(head)
        return member.error is None or (member.error.kind == "truncated" and head != b"")

    def resync(self, start: int, stop: int | None = None) -> int | None:
        """The first good head in [start, stop)."""
        source, magic = self.decoder.source, self.decoder.magic
        found = source.find(magic, start, stop)
        while found is not None and not self.is_good(found):
            found = source.find(magic, found + 1, stop)
        return found
