"""A file as a stream of *members*: gzip members, zstd frames, or the bare file as one member.

Crawl archives are made of many small compressed members, one a record, so that one can start to read
anywhere. This module decompresses them one after the other in bounded memory, verifies their checksums,
and goes on at the next good member where one is broken. It knows nothing of what the members hold.
"""

import zlib
from collections.abc import Callable, Generator, Iterator
from io import BytesIO
from typing import BinaryIO, Literal

import zstandard
from isal import igzip_lib, isal_zlib

Damage = Literal["damaged", "truncated", "checksum"]
Chunks = Generator[bytes, None, int]
"""Decompressed pieces of one member; its return value is the offset just behind the member."""

HEAD_BYTES = 4096
"""How much of a member's data the test for a good head sees."""
LOOKBACK_BYTES = 4 << 20
"""How far before ``start`` a range begins to walk (compressed bytes). An archive stored inside a record of
an archive holds heads of its own, which a reader that jumps into the middle would take for real ones; one
that walks up to them from a real head steps over them, as a reader of the whole file does."""
CHUNK_BYTES = 128 << 10
"""The most that one step of decompression puts out."""
FEED_BYTES = 64 << 10
"""The most compressed data given to the decoder at once; members start with less, most being small."""
FIRST_FEED_BYTES = 2 << 10
MAX_WINDOW_BYTES = 128 << 20
"""The largest zstd window that is accepted: the default limit of the reference decoder."""
MAX_DICTIONARY_BYTES = 16 << 20
"""The largest zstd dictionary that is accepted, decompressed; those in use have 0.1 to 1 MB."""

_BLOCK_BYTES = 256 << 10
_MAX_GZIP_NAME_BYTES = 64 << 10
_MAX_ZSTD_BLOCK_BYTES = 128 << 10  # RFC 8878, 3.1.1.2.4


class MemberError(Exception):
    """A member cannot be read (further).

    ``kind`` is ``damaged`` (broken structure), ``truncated`` (the file ends inside the member) or
    ``checksum`` (all data was read, but it is not what was written); ``offset`` is the member's own.
    """

    def __init__(self, kind: Damage, offset: int, detail: str) -> None:
        super().__init__(f"{kind} at byte {offset}: {detail}")
        self.kind: Damage = kind
        self.offset = offset
        self.detail = detail


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
        yield Member(start, _bare_chunks(source, start))
        return
    if end is not None and end <= start:
        return
    codec = _codec(compression, source, is_head)
    offset: int | None = 0
    if start > lookback:
        offset = codec.resync(start - lookback, end)
    inside = start == 0
    while offset is not None and (here := codec.next_start(offset)) is not None:
        if end is not None and here >= end and codec.is_good(here):
            return
        inside = inside or (here >= start and codec.is_good(here))
        member = Member(here, codec.chunks(here))
        if inside:
            yield member
        offset = yield from _finish(member, codec, inside)


def _finish(member: Member, codec: "_Codec", inside: bool) -> Generator[Member, None, int | None]:
    """Where to go on. An error that the caller has not met yet is shown to it in a member of its own."""
    if member.end is None and member.error is None:
        try:
            member.skip_rest()
        except MemberError as error:
            if inside:
                yield Member(member.offset, _fail(error))
    return member.end if member.end is not None else codec.resync(member.offset + 1)


def _fail(error: MemberError) -> Chunks:
    yield from ()
    raise error


class Source:
    """Random reads from a file through one buffer, so that steps of a few bytes cost no system call."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._base = 0
        self._data = b""
        self._file_at = -1

    def read(self, offset: int, n: int) -> bytes:
        """``n`` bytes at ``offset``, fewer only where the file ends."""
        at = offset - self._base
        if at >= 0 and at + n <= len(self._data):
            return self._data[at : at + n]
        kept = self._data[at:] if 0 <= at <= len(self._data) else b""
        pieces, have = [kept], len(kept)
        if self._file_at != offset + have:
            self._file.seek(offset + have)
        while have < n:
            piece = self._file.read(max(n - have, _BLOCK_BYTES))
            if not piece:
                break
            pieces.append(piece)
            have += len(piece)
        self._base, self._data = offset, b"".join(pieces)
        self._file_at = offset + have
        return self._data[:n]

    def find(self, pattern: bytes, start: int, stop: int | None = None) -> int | None:
        """The first offset in [start, stop) where ``pattern`` lies."""
        while stop is None or start < stop:
            block = self.read(start, _BLOCK_BYTES)
            at = block.find(pattern)
            if at >= 0:
                return start + at if stop is None or start + at < stop else None
            if len(block) < _BLOCK_BYTES:
                return None
            start += len(block) - len(pattern) + 1
        return None

    def only_zeros(self, offset: int) -> bool:
        """True when nothing but zeros (or nothing at all) lies between ``offset`` and the file's end."""
        while block := self.read(offset, _BLOCK_BYTES):
            if block.count(0) != len(block):
                return False
            offset += len(block)
        return True


def _bare_chunks(source: Source, position: int) -> Chunks:
    while chunk := source.read(position, CHUNK_BYTES):
        position += len(chunk)
        yield chunk
    return position


class _Codec:
    """What gzip and zstd have in common: magic bytes to look for, and a way to decompress from there."""

    magic: bytes

    def __init__(self, source: Source, is_head: Callable[[bytes], bool] | None) -> None:
        self.source = source
        self._is_head = is_head

    def chunks(self, offset: int) -> Chunks:
        raise NotImplementedError

    def next_start(self, offset: int) -> int | None:
        """Where the member at ``offset`` starts, after what is no member; None at the end of the file."""
        first = self.source.read(offset, 1)
        if not first or (first == b"\0" and self.source.only_zeros(offset)):
            return None
        return offset

    def is_good(self, offset: int) -> bool:
        member = Member(offset, self.chunks(offset))
        head = member.peek(HEAD_BYTES)
        if self._is_head is not None:
            return self._is_head(head)
        return member.error is None or (member.error.kind == "truncated" and head != b"")

    def resync(self, start: int, stop: int | None = None) -> int | None:
        """The first good head in [start, stop)."""
        found = self.source.find(self.magic, start, stop)
        while found is not None and not self.is_good(found):
            found = self.source.find(self.magic, found + 1, stop)
        return found

    def no_member(self, offset: int, head: bytes) -> MemberError:
        """The error for bytes that do not begin with the magic ones."""
        if self.magic.startswith(head):
            return MemberError("truncated", offset, "the file ends inside the first bytes of a member")
        return MemberError("damaged", offset, f"no compressed member begins here (found {head.hex()})")


def _codec(compression: str, source: Source, is_head: Callable[[bytes], bool] | None) -> _Codec:
    if compression == "gzip":
        return _Gzip(source, is_head)
    if compression == "zstd":
        return _Zstd(source, is_head)
    raise ValueError(f"compression is {compression!r}; it must be 'gzip', 'zstd' or ''")


class _Gzip(_Codec):
    """RFC 1952. Data goes through ISA-L; zlib takes over where that fails.

    ISA-L keeps back output that precedes an error or the end of a cut file, zlib fed in small steps does
    not, and so everything readable is given. Checksums are verified here, for neither does it for raw
    deflate data, and only raw data tells exactly where it ends.
    """

    magic = b"\x1f\x8b\x08"

    def chunks(self, offset: int) -> Chunks:
        body = position = offset + self._header_bytes(offset)
        decoder = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_DEFLATE)
        crc = length = 0
        feed = FIRST_FEED_BYTES
        while not decoder.eof:
            data = b""
            if decoder.needs_input:
                data = self.source.read(position, feed)
                position += len(data)
                feed = min(4 * feed, FEED_BYTES)
            try:
                chunk = decoder.decompress(data, CHUNK_BYTES)
            except igzip_lib.IsalError:  # type: ignore[misc]  # its stub does not say that it is a type
                return (yield from self._careful_chunks(offset, body, length))
            if chunk:
                crc = isal_zlib.crc32(chunk, crc)
                length += len(chunk)
                yield chunk
            elif not data and not decoder.eof:
                return (yield from self._careful_chunks(offset, body, length))
        return self._check(offset, position - len(decoder.unused_data), crc, length)

    def _careful_chunks(self, offset: int, body: int, given: int) -> Chunks:
        """The same data again, without the first ``given`` bytes, up to the very byte that is broken."""
        decoder = zlib.decompressobj(-zlib.MAX_WBITS)
        crc = length = 0
        position, data, step = body, b"", FEED_BYTES
        while not decoder.eof:
            fresh = data or self.source.read(position, step)
            position += 0 if data else len(fresh)
            before = decoder.copy()
            try:
                chunk = decoder.decompress(fresh, CHUNK_BYTES)
            except zlib.error as error:
                if step == 1:
                    detail = f"broken deflate data near byte {position} ({error})"
                    raise MemberError("damaged", offset, detail) from None
                decoder, position, data, step = before, position - len(fresh), b"", max(1, step // 32)
                continue
            if not fresh and not chunk:
                raise MemberError("truncated", offset, f"the file ends at byte {position} inside a member")
            data = decoder.unconsumed_tail
            crc = zlib.crc32(chunk, crc)
            length += len(chunk)
            if chunk and length > given:
                yield chunk[max(0, len(chunk) - (length - given)) :]
        return self._check(offset, position - len(decoder.unused_data), crc, length)

    def _check(self, offset: int, position: int, crc: int, length: int) -> int:
        trailer = self.source.read(position, 8)
        if len(trailer) < 8:
            raise MemberError("truncated", offset, "the file ends inside a member's checksum")
        if trailer != crc.to_bytes(4, "little") + (length & 0xFFFFFFFF).to_bytes(4, "little"):
            raise MemberError("checksum", offset, "the member's CRC-32 or length does not match its data")
        return position + 8

    def _header_bytes(self, offset: int) -> int:
        head = self.source.read(offset, 10)
        if head[:3] != self.magic:
            raise self.no_member(offset, head[:3])
        flags = head[3] if len(head) == 10 else 0
        if flags & 0b1110_0000:
            raise MemberError("damaged", offset, "reserved gzip flags are set")
        length = 10
        if flags & 0b0100:  # extra field, with its length before it
            length += 2 + int.from_bytes(self.source.read(offset + length, 2), "little")
        for flag in (0b1000, 0b1_0000):  # name, comment
            if flags & flag:
                text = self.source.read(offset + length, _MAX_GZIP_NAME_BYTES)
                if b"\0" not in text and len(text) == _MAX_GZIP_NAME_BYTES:
                    raise MemberError("damaged", offset, "the gzip header's file name has no end")
                length += text.find(b"\0") + 1 or len(text) + 1
        if flags & 0b0010:  # checksum of the header
            length += 2
        if len(head) < 10 or len(self.source.read(offset + length - 1, 1)) < 1:
            raise MemberError("truncated", offset, "the file ends inside a gzip header")
        return length


class _Zstd(_Codec):
    """RFC 8878, with the dictionary frame of the IIPC's "Use of Zstandard in WARC files" 1.0.

    Frames are walked block by block: no block puts out more than 128 KiB, whatever a hostile file
    promises, and the end of a frame is known without decompressing ahead.
    """

    magic = b"\x28\xb5\x2f\xfd"

    def __init__(self, source: Source, is_head: Callable[[bytes], bool] | None) -> None:
        super().__init__(source, is_head)
        self._dictionary_error: MemberError | None = None
        dictionary = None
        try:
            if content := self._dictionary():
                dictionary = zstandard.ZstdCompressionDict(content)
        except MemberError as error:
            self._dictionary_error = MemberError(error.kind, 0, f"zstd dictionary: {error.detail}")
        self._decompressor = zstandard.ZstdDecompressor(
            dict_data=dictionary, max_window_size=MAX_WINDOW_BYTES
        )

    def _dictionary(self) -> bytes:
        """The dictionary in the file's first frame, maybe a frame itself; empty without one."""
        head = self.source.read(0, 8)
        if len(head) < 8 or head[:4] != b"\x5d\x2a\x4d\x18":
            return b""
        size = int.from_bytes(head[4:], "little")
        content = self.source.read(8, min(size, MAX_DICTIONARY_BYTES + 1))
        if content.startswith(self.magic):
            packed = Member(0, _Zstd(Source(BytesIO(content)), None).chunks(0))
            content = packed.peek(MAX_DICTIONARY_BYTES + 1)
            if packed.error is not None:
                raise packed.error
        elif len(content) < size:
            raise MemberError("truncated", 0, "the file ends inside it")
        if len(content) > MAX_DICTIONARY_BYTES:
            raise MemberError("damaged", 0, f"it is larger than {MAX_DICTIONARY_BYTES} bytes")
        return content

    def next_start(self, offset: int) -> int | None:
        """As above, after skippable frames; one that is cut off or broken counts as a member."""
        if self._dictionary_error is not None and offset == 0:
            return 0
        while True:
            head = self.source.read(offset, 8)
            if len(head) < 8 or head[1:4] != b"\x2a\x4d\x18" or head[0] & 0xF0 != 0x50:
                return super().next_start(offset)
            after = offset + 8 + int.from_bytes(head[4:], "little")
            if not self.source.read(after - 1, 1):
                return offset
            offset = after

    def chunks(self, offset: int) -> Chunks:
        if offset == 0 and self._dictionary_error is not None:
            raise self._dictionary_error
        head = self.source.read(offset, 18)
        if head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50:
            raise MemberError("truncated", offset, "the file ends inside a skippable frame")
        if head[:4] != self.magic:
            raise self.no_member(offset, head[:4])
        try:
            with_checksum = zstandard.get_frame_parameters(head).has_checksum
            position = offset + zstandard.frame_header_size(head)
            decoder = self._decompressor.decompressobj()
            decoder.decompress(head[: position - offset])
            last = False
            while not last:
                block, last = self._block(offset, position)
                position += len(block)
                if chunk := decoder.decompress(block):
                    yield chunk
        except zstandard.ZstdError as error:
            kind: Damage = "truncated" if len(head) < 18 else "damaged"
            raise MemberError(kind, offset, f"broken zstd frame ({error})") from None
        if not with_checksum:
            return position
        checksum = self.source.read(position, 4)
        if len(checksum) < 4:
            raise MemberError("truncated", offset, "the file ends inside a frame's checksum")
        try:
            decoder.decompress(checksum)
        except zstandard.ZstdError:
            detail = "the frame's checksum does not match its data"
            raise MemberError("checksum", offset, detail) from None
        return position + 4

    def _block(self, offset: int, position: int) -> tuple[bytes, bool]:
        """The block at ``position`` with its 3-byte header, and whether it is the frame's last."""
        header = int.from_bytes(self.source.read(position, 3), "little")
        last, kind, size = header & 1, header >> 1 & 3, header >> 3
        if kind == 3 or size > _MAX_ZSTD_BLOCK_BYTES:
            raise MemberError("damaged", offset, f"no valid zstd block at byte {position}")
        stored = 3 + (1 if kind == 1 else size)
        block = self.source.read(position, stored)
        if len(block) < stored:
            raise MemberError("truncated", offset, f"the file ends inside the frame, after byte {position}")
        return block, bool(last)
