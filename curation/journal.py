"""The journal of the record in work: what a worker was at when it was killed.

A worker writes into a small shared mapping, which the kernel keeps when the process is killed; the
supervisor reads it to see progress and, after a death, which record to blame.
"""

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_LAYOUT = struct.Struct("<Bqqqqq")  # state, file number, offset, index, documents, bytes done
State = Literal["starting", "reading", "working"]
_STATES: tuple[State, ...] = ("starting", "reading", "working")


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a worker is: reading on behind a record, or working on one."""

    state: State = "starting"
    file: int = 0
    offset: int = 0
    index: int = 0
    documents: int = 0
    """Records finished in this attempt."""
    bytes_done: int = 0

    @property
    def record(self) -> tuple[State, int, int, int]:
        """Identity of the record in work."""
        return (self.state, self.file, self.offset, self.index)


class Journal:
    """The writing side, in the worker."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(_LAYOUT.size))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _LAYOUT.size)
        self._documents = 0

    def working(self, file: int, offset: int, index: int, bytes_done: int) -> None:
        """A record is about to be worked on."""
        _LAYOUT.pack_into(self._map, 0, 2, file, offset, index, self._documents, bytes_done)

    def finished(self) -> None:
        """The record is done; the reader goes on behind it."""
        self._documents += 1
        self._map[0] = 1
        struct.pack_into("<q", self._map, 1 + 3 * 8, self._documents)

    def opened(self, file: int, offset: int) -> None:
        """A span of a file is about to be read, from ``offset`` on."""
        _LAYOUT.pack_into(self._map, 0, 1, file, offset, -1, self._documents, 0)


def read_entry(path: Path) -> Entry:
    """The reading side, in the supervisor; a journal not yet there reads as starting."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Entry()
    if len(data) < _LAYOUT.size:
        return Entry()
    state, file, offset, index, documents, bytes_done = _LAYOUT.unpack(data)
    return Entry(_STATES[state], file, offset, index, documents, bytes_done)
