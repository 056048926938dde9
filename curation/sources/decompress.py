"""gzip and zstd data, decompressed step by step in bounded memory and verified, whatever a file claims."""

import zlib
from collections.abc import Generator, Iterator
from io import BytesIO
from typing import BinaryIO, Literal

import zstandard
from isal import igzip_lib, isal_zlib

Damage = Literal["damaged", "truncated", "checksum"]
Chunks = Generator[bytes, None, int]
"""Decompressed pieces of one member; its return value is the offset just behind the member."""

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


class Source:
    """Reads at any place of a file, through one buffer: steps of a few bytes cost no system call."""

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

    def probe(self, offset: int, n: int) -> bytes:
        """The same for a far place that is looked at once: reads no more, and keeps the buffer."""
        at = offset - self._base
        if at >= 0 and at + n <= len(self._data):
            return self._data[at : at + n]
        self._file.seek(offset)
        self._file_at = -1
        data = b""
        while len(data) < n and (piece := self._file.read(n - len(data))):
            data += piece
        return data

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


def bare_chunks(source: Source, position: int) -> Chunks:
    while chunk := source.read(position, CHUNK_BYTES):
        position += len(chunk)
        yield chunk
    return position


class Decoder:
    """What gzip and zstd have in common: the bytes that a member begins with, and its data."""

    magic: bytes

    def __init__(self, source: Source) -> None:
        self.source = source

    def chunks(self, offset: int) -> Chunks:
        """The data of the member at ``offset``; one member at a time. Raises MemberError where it breaks off."""
        raise NotImplementedError

    def next_start(self, offset: int) -> int | None:
        """Where the member at ``offset`` starts, after what is no member; None at the end of the file."""
        first = self.source.read(offset, 1)
        if not first or (first == b"\0" and self.source.only_zeros(offset)):
            return None
        return offset

    def _no_member(self, offset: int, head: bytes) -> MemberError:
        """The error for bytes that do not begin with the magic ones."""
        if self.magic.startswith(head):
            return MemberError("truncated", offset, "the file ends inside the first bytes of a member")
        return MemberError("damaged", offset, f"no compressed member begins here (found {head.hex()})")


class Gzip(Decoder):
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
            raise self._no_member(offset, head[:3])
        flags = head[3] if len(head) == 10 else 0
        if len(head) == 10 and flags == 0:
            return 10
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


class Zstd(Decoder):
    """RFC 8878, with the dictionary frame of the IIPC's "Use of Zstandard in WARC files" 1.0.

    Frames are walked block by block: no block puts out more than 128 KiB, whatever a hostile file
    promises, and the end of a frame is known without decompressing ahead.
    """

    magic = b"\x28\xb5\x2f\xfd"

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self._dictionary_error: MemberError | None = None
        dictionary = None
        try:
            if content := self._dictionary():
                dictionary = zstandard.ZstdCompressionDict(content)
        except MemberError as error:
            self._dictionary_error = MemberError(error.kind, 0, f"zstd dictionary: {error.detail}")
        self._decompressor = zstandard.ZstdDecompressor(dict_data=dictionary, max_window_size=MAX_WINDOW_BYTES)

    def _dictionary(self) -> bytes:
        """The dictionary in the file's first frame, maybe a frame itself; empty without one."""
        head = self.source.read(0, 8)
        if len(head) < 8 or head[:4] != b"\x5d\x2a\x4d\x18":
            return b""
        size = int.from_bytes(head[4:], "little")
        content = self.source.read(8, min(size, MAX_DICTIONARY_BYTES + 1))
        if content.startswith(self.magic):
            unpacked = bytearray()
            for chunk in Zstd(Source(BytesIO(content))).chunks(0):
                unpacked += chunk
                if len(unpacked) > MAX_DICTIONARY_BYTES:
                    break
            content = bytes(unpacked)
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
            raise self._no_member(offset, head[:4])
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


def decompressed(source: Source) -> Iterator[bytes]:
    """A whole file from its first byte, in pieces: gzip or zstd by its magic number, else as it is.

    Raises:
        MemberError: compressed data is damaged.
    """
    decoder = next((each(source) for each in (Gzip, Zstd) if source.read(0, 4).startswith(each.magic)), None)
    if decoder is None:
        yield from bare_chunks(source, 0)
        return
    start: int | None = 0
    while start is not None:
        start = decoder.next_start((yield from decoder.chunks(start)))
