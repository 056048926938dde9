"""Stretches of an archive that are read in one go, with their place in the file and what ended them."""

import re
from collections.abc import Callable
from typing import BinaryIO

from curation.sources.decompress import CHUNK_BYTES, MemberError, Source
from curation.sources.members import HEAD_BYTES, Member, open_members

NOT_NEWLINE = re.compile(rb"[^\r\n]")
NOT_PADDING = re.compile(rb"[^\r\n\0]")


class Run:
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
        """Where the next byte lies."""
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
        """The next ``n`` bytes, fewer at the end, without moving on."""
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

    def at_end(self, content: re.Pattern[bytes] = NOT_NEWLINE) -> bool:
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
        """Offset and index for a frame in the member at ``offset``."""
        self._frame_index = self._frame_index + 1 if offset == self._frame_offset else 0
        self._frame_offset = offset
        return offset, self._frame_index


class PlainRun(Run):
    """An uncompressed file from some position on."""

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
        """Up to ``n`` bytes at any position, at little cost."""
        return self._source.probe(position, n)


class Members:
    """The members of a file, one ahead."""

    def __init__(self, file: BinaryIO, compression: str, end: int | None, is_head: Callable[[bytes], bool]) -> None:
        self._file = file
        self._compression = compression
        self._end = end
        self._is_head = is_head
        self.next: Member | None = None

    def open(self, start: int, lookback: int) -> None:
        """Begin (again) at ``start``; as in ``open_members``."""
        self._iterator = open_members(self._file, self._compression, start, self._end, self._is_head, lookback)
        self.advance()

    def advance(self) -> None:
        self.next = next(self._iterator, None)

    def next_is_head(self) -> bool:
        return self.next is not None and self._is_head(self.next.peek(HEAD_BYTES))


class MemberRun(Run):
    """The data of one member, or of several where records lie across their borders."""

    def __init__(self, members: Members) -> None:
        super().__init__()
        self._members = members
        self._begin()

    def _begin(self) -> None:
        self._member = self._members.next
        assert self._member is not None, "a run begins only where there is a member"
        self.head_offset = self._member.offset
        """Where its first member starts."""
        self.members_read = 1
        """How many members it has come to."""
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
