"""How large the pages of a Parquet column are, from their headers alone.

Arrow decompresses a page as a whole, into a buffer as large as the page's header says. So what reading a
row group takes is known only from these headers, which lie between the pages, and not from the footer.
https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift (PageHeader)
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

_FIRST_READ_BYTES = 8 << 10
_MAX_HEADER_BYTES = 16 << 20  # as in Arrow


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a column chunk."""

    values: int
    """Of data pages, nulls included: rows where the column is not repeated. 0 for dictionaries."""
    bytes: int
    """Decompressed size."""


def pages(file: BinaryIO, start: int, length: int) -> Iterator[Page]:
    """The pages in the ``length`` bytes from ``start`` on, as far as their headers make sense."""
    position = start
    while position < start + length:
        header = _read_header(file, position)
        if header is None:
            return
        fields, size = header
        data = fields.get(_DATA) or fields.get(_DATA_V2) or {}
        stored, full, values = fields.get(_COMPRESSED), fields.get(_UNCOMPRESSED), data.get(_NUM_VALUES, 0)
        if not (isinstance(stored, int) and isinstance(full, int) and stored >= 0 and full >= 0):
            return
        yield Page(values if isinstance(values, int) else 0, full)
        position += size + stored


_UNCOMPRESSED, _COMPRESSED, _DATA, _DATA_V2 = 2, 3, 5, 8
_NUM_VALUES = 1


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
    """Thrift's compact protocol, as much of it as headers use. Raises IndexError where the data ends.

    https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """Field number -> value; texts and lists as None."""
        if depth > 8:
            raise ValueError("nested deeper than any header")
        fields: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._zigzag()
            fields[number] = self._value(head & 15, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (1, 2):
            return kind == 1
        if kind == 3:
            return self._byte()
        if kind in (4, 5, 6):
            return self._zigzag()
        if kind in (7, 8):
            length = 8 if kind == 7 else self._varint()
            self.at += length
            if self.at > len(self._data):
                raise IndexError
            return None
        if kind == 12:
            return self.struct(depth + 1)
        raise ValueError(f"type {kind} is in no header")

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
