"""How large the pages of a Parquet file are, from their headers alone.

Arrow decompresses a page as a whole, into a buffer as large as the page's header says. So what reading a
row group takes is known only from these headers, which lie between the pages, and not from the footer.
And of a broken footer pyarrow can show the row groups, but not what is in them: asked for a column, it may
end the process. So this module reads both by itself, in Thrift's compact protocol.

https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

MAX_FOOTER_BYTES = 8 << 20
"""Larger footers (50,000 column chunks and more) are not looked into: it would take seconds."""
_FIRST_READ_BYTES = 8 << 10
_MAX_HEADER_BYTES = 16 << 20  # as in Arrow


@dataclass(frozen=True, slots=True)
class Chunk:
    """A column in a row group: where it lies, and its size decompressed, as the footer has it."""

    start: int
    length: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a column chunk."""

    values: int
    """Of data pages, nulls included: rows where the column is not repeated. 0 for dictionaries."""
    bytes: int
    """Decompressed size."""


def chunks(file: BinaryIO) -> list[list[Chunk | None]]:
    """The chunks of each row group, one a leaf column, None where the footer makes no sense; nothing of a
    footer that is too large, or no footer."""
    file.seek(0, os.SEEK_END)
    end = file.tell() - 8
    file.seek(max(0, end))
    size = int.from_bytes(file.read(4), "little")
    if not 0 < size <= min(MAX_FOOTER_BYTES, end):
        return []
    file.seek(end - size)
    try:
        footer = _CompactReader(file.read(size)).struct()
    except (IndexError, ValueError):
        return []
    return [
        [_chunk(_struct(column).get(_META_DATA)) for column in _list(_struct(group).get(_COLUMNS))]
        for group in _list(footer.get(_ROW_GROUPS))
    ]


def pages(file: BinaryIO, chunk: Chunk) -> Iterator[Page]:
    """The pages of a column chunk, as far as their headers make sense."""
    position = chunk.start
    while position < chunk.start + chunk.length:
        header = _read_header(file, position)
        if header is None:
            return
        fields, size = header
        stored, full = _size(fields.get(_PAGE_COMPRESSED)), _size(fields.get(_PAGE_UNCOMPRESSED))
        if stored < 0 or full < 0:
            return
        data = _struct(fields.get(_DATA_PAGE)) or _struct(fields.get(_DATA_PAGE_V2))
        yield Page(max(0, _size(data.get(_NUM_VALUES))), full)
        position += size + stored


# Field numbers of FileMetaData, RowGroup, ColumnChunk, ColumnMetaData, PageHeader, DataPageHeader(V2).
_ROW_GROUPS = 4
_COLUMNS = 1
_META_DATA = 3
_UNCOMPRESSED, _COMPRESSED, _DATA_OFFSET, _DICTIONARY_OFFSET = 6, 7, 9, 11
_PAGE_UNCOMPRESSED, _PAGE_COMPRESSED, _DATA_PAGE, _DATA_PAGE_V2 = 2, 3, 5, 8
_NUM_VALUES = 1


def _chunk(value: Any) -> Chunk | None:
    fields = _struct(value)
    start, dictionary = _size(fields.get(_DATA_OFFSET)), _size(fields.get(_DICTIONARY_OFFSET))
    length, full = _size(fields.get(_COMPRESSED)), _size(fields.get(_UNCOMPRESSED))
    if 0 < dictionary < start:
        start = dictionary
    return Chunk(start, length, full) if min(start, length, full) >= 0 else None


def _struct(value: Any) -> dict[int, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _size(value: Any) -> int:
    return value if isinstance(value, int) else -1


def _read_header(file: BinaryIO, position: int) -> tuple[dict[int, Any], int] | None:
    """(fields, size in bytes); None where there is no header."""
    size = _FIRST_READ_BYTES
    while True:
        file.seek(position)
        data = file.read(size)
        reader = _CompactReader(data)
        try:
            return reader.struct(), reader.at
        except IndexError:
            if len(data) < size or size >= _MAX_HEADER_BYTES:
                return None
            size *= 16
        except ValueError:
            return None


class _CompactReader:
    """Raises IndexError where the data ends too early, ValueError where it is nonsense."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """Field number -> value; texts as None."""
        fields: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._zigzag()
            kind = head & 15
            fields[number] = kind == 1 if kind in (1, 2) else self._value(kind, depth + 1)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if depth > 16:
            raise ValueError("nested deeper than any metadata")
        if kind in (1, 2, 3):  # one byte; booleans are so in lists only
            return self._byte()
        if kind in (4, 5, 6):
            return self._zigzag()
        if kind in (7, 8):
            length = 8 if kind == 7 else self._varint()
            self.at += length
            if self.at > len(self._data):
                raise IndexError
            return None
        if kind in (9, 10):
            head = self._byte()
            count = head >> 4 if head >> 4 < 15 else self._varint()
            if count > len(self._data) - self.at:  # no item takes less than a byte
                raise IndexError
            return [self._value(head & 15, depth + 1) for _ in range(count)]
        if kind == 12:
            return self.struct(depth)
        raise ValueError(f"type {kind} is in no metadata of Parquet")

    def _byte(self) -> int:
        self.at += 1
        return self._data[self.at - 1]

    def _varint(self) -> int:
        value = shift = 0
        while (byte := self._byte()) & 0x80:
            value |= (byte & 0x7F) << shift
            shift += 7
            if shift > 63:
                raise ValueError("no number is that long")
        return value | byte << shift

    def _zigzag(self) -> int:
        value = self._varint()
        return value >> 1 ^ -(value & 1)
