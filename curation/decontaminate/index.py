"""The index of items on disk: arrays in one file, mapped into memory and shared by all processes.

Array suffixes: ``F`` units of all sequences one after the other, ``S`` sequences, ``P`` pieces, ``G`` different
n-grams, ``H`` postings, ``I`` items. A *sequence* is the units of one or more items, a *piece* a part of it short
enough to be compared as a whole.
"""

import json
import mmap
import struct
from pathlib import Path
from typing import Any

import numpy as np

from curation.errors import UserError

Array = np.ndarray[Any, Any]

VERSION = 1
"""Of the file and of the rules that made it; part of the file's name."""
_MAGIC = b"items\x00" + VERSION.to_bytes(2, "little")
_HEADER = struct.Struct("=8sQQ")  # magic, bytes of the table of contents, bytes of the file
_ALIGNED = 64

ARRAYS = {
    "units_F": np.uint32,  # upper half of the hash of each unit
    "bits_F": np.uint8,  # units.telling_bits
    "piece_F": np.uint32,  # piece of each unit
    "sequence_P": np.uint32,  # sequence of each piece
    "begins_P": np.uint32,  # where each piece begins in F; one more: the end
    "pieces_S": np.uint32,  # first piece of each sequence; one more: the end
    "scale_S": np.uint8,  # index in units.SCALES
    "grams_G": np.uint64,  # ascending hashes of n-grams
    "common_G": np.bool_,  # runs that many items share
    "postings_G": np.uint32,  # where the postings of each n-gram begin in H; one more: the end
    "places_H": np.uint32,  # index in F
    "seen": np.uint8,  # one bit for the first bits of each n-gram's hash
    "items_S": np.uint32,  # where the items of each sequence begin in item_S; one more: the end
    "item": np.uint32,  # items of all sequences
    "names_I": np.uint64,  # where the name of each item begins in names; one more: the end
    "names": np.uint8,  # JSON: [set, item id]
}


def seen_bits(grams: int) -> int:
    """How many first bits of a hash tell in ``seen`` whether an n-gram may be there: 16 bits for each, so that one in
    16 others passes."""
    return max(6, grams.bit_length() + 4)


def pack(facts: dict[str, Any], arrays: dict[str, Array]) -> bytes:
    """The bytes of an index.

    Args:
        facts: what is known beside the arrays; JSON.
    """
    contents: dict[str, Any] = {"facts": facts, "arrays": {}}
    parts, at = [], 0
    for name, dtype in ARRAYS.items():
        data = np.ascontiguousarray(arrays[name], dtype=dtype).tobytes()
        contents["arrays"][name] = [at, len(arrays[name])]
        padding = -len(data) % _ALIGNED
        parts += [data, bytes(padding)]
        at += len(data) + padding
    table = json.dumps(contents).encode()
    table += b" " * (-(_HEADER.size + len(table)) % _ALIGNED)
    return b"".join([_HEADER.pack(_MAGIC, len(table), _HEADER.size + len(table) + at), table, *parts])


class Index:
    """An index, mapped into memory: pages are read when looked at, and shared by all processes."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            UserError: the file is not there (any more), or is damaged.
        """
        try:
            with path.open("rb") as file:
                magic, size, total = _HEADER.unpack(file.read(_HEADER.size).ljust(_HEADER.size, b"\0"))
                if magic != _MAGIC or total != path.stat().st_size:
                    raise UserError(f"{path}: no index of items, or one cut short; delete it and resume")
                contents = json.loads(file.read(size))
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except FileNotFoundError as error:
            raise UserError(f"{path}: the index of items is gone; resume the run, which makes it anew") from error
        self.path = path
        self.facts: dict[str, Any] = contents["facts"]
        begin = _HEADER.size + size
        self._arrays: dict[str, Array] = {
            name: np.frombuffer(mapped, dtype=ARRAYS[name], count=count, offset=begin + at)
            for name, (at, count) in contents["arrays"].items()
        }
        self.units_F, self.piece_F = self._arrays["units_F"], self._arrays["piece_F"]
        self.bits_F = self._arrays["bits_F"]
        self.sequence_P, self.begins_P = self._arrays["sequence_P"], self._arrays["begins_P"]
        self.pieces_S, self.scale_S = self._arrays["pieces_S"], self._arrays["scale_S"]
        self.places_H = self._arrays["places_H"]
        self._shift = np.uint64(64 - seen_bits(len(self._arrays["grams_G"])))

    @property
    def letters(self) -> bool:
        """Whether any item has letters of a script without spaces."""
        return bool(self.facts["letters"])

    @property
    def lengths(self) -> dict[str, bool]:
        """n -> whether n-grams of it are runs, of which one is enough, rather than seeds."""
        lengths: dict[str, bool] = self.facts["lengths"]
        return lengths

    def may_hold(self, grams: Array) -> Array:
        """bool: whether an n-gram may be here; one in 16 that are not passes."""
        first = (grams >> self._shift).astype(np.int64)
        bits: Array = self._arrays["seen"][first >> 3] >> (first & 7).astype(np.uint8) & 1
        return bits.view(np.bool_)

    def find(self, grams: Array) -> Array:
        """int64 row in G of each n-gram, -1 where it is not here."""
        table = self._arrays["grams_G"]
        rows = np.searchsorted(table, grams)
        rows[rows == len(table)] = 0
        found: Array = np.where(table[rows] == grams, rows, -1) if len(table) else np.full(len(grams), -1)
        return found

    def postings(self, rows_G: Array) -> tuple[Array, Array]:
        """(index in ``rows_G``, place in F) of each posting of these n-grams."""
        begins = self._arrays["postings_G"][rows_G].astype(np.int64)
        counts = self._arrays["postings_G"][rows_G + 1].astype(np.int64) - begins
        which = np.repeat(np.arange(len(rows_G)), counts)
        ends = np.cumsum(counts)
        return which, self.places_H[np.arange(len(which)) + (begins - ends + counts)[which]].astype(np.int64)

    def is_common(self, rows_G: Array) -> Array:
        """bool: whether many items share a run."""
        common: Array = self._arrays["common_G"][rows_G]
        return common

    def items_of(self, sequence: int) -> list[int]:
        """The items that a sequence is."""
        begin, end = self._arrays["items_S"][sequence : sequence + 2].tolist()
        items: list[int] = self._arrays["item"][begin:end].tolist()
        return items

    def name(self, item: int) -> tuple[str, str]:
        """(set, item id) of an item."""
        begin, end = self._arrays["names_I"][item : item + 2].tolist()
        item_set, item_id = json.loads(self._arrays["names"][begin:end].tobytes())
        return item_set, item_id

    def size(self, sequence: int) -> int:
        """Units of a sequence."""
        first, last = self.pieces_S[sequence : sequence + 2]
        return int(self.begins_P[last]) - int(self.begins_P[first])
