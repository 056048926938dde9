"""All sketches that a run compares, numbered: its own documents first, then those the workspace holds.

Document numbers follow the canonical order of the parts, so that they depend on nothing but the input. Every
method reads a bounded stretch at a time.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from curation.dedup.columns import open_columns

Array = np.ndarray[Any, Any]

STRETCH = 2**18
"""Rows read at once."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One file of sketches."""

    path: str
    documents: int
    held: bool = False
    """Whether the workspace holds these documents already."""
    near: bool = True
    """Whether its signatures were made as the run makes them."""
    sources: tuple[int, ...] = ()
    """Sources (raw files) whose documents do not count, since the run reads them itself."""
    rows: tuple[int, ...] = ()
    """Rows that do not count, since they are taken down."""


def rows_among(ids_N2: Array, wanted_M2: Array) -> Array:
    """bool [N]: which ids are among the wanted."""
    pair = np.dtype([("high", np.uint64), ("low", np.uint64)])
    found: Array = np.isin(
        np.ascontiguousarray(ids_N2).view(pair).ravel(), np.ascontiguousarray(wanted_M2).view(pair).ravel()
    )
    return found


class Corpus:
    """Random and sequential access to the sketches of a run and of what it is compared with."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self.segments = [each for each in segments if each.documents]
        sizes = [each.documents for each in self.segments]
        self.bases = [int(base) for base in np.concatenate(([0], np.cumsum(sizes, dtype=np.int64)))]
        self.own = sum(each.documents for each in self.segments if not each.held)
        """Documents of the run itself; numbers below this are its own."""

    def __len__(self) -> int:
        return self.bases[-1]

    def stretches(self) -> Iterator[tuple[Segment, int, int, int]]:
        """(segment, first row, end row, number of the first row), in order."""
        for segment, base in zip(self.segments, self.bases, strict=False):
            for low in range(0, segment.documents, STRETCH):
                yield segment, low, min(low + STRETCH, segment.documents), base + low

    def column(self, segment: Segment, name: str, low: int, high: int) -> Array:
        """Rows [low, high) of a column; ``band_3`` is the third band."""
        columns = open_columns(segment.path)
        if name.startswith("band_"):
            start = int(name[5:]) * segment.documents
            return columns.flat("bands", start + low, start + high)
        return columns.read(name, low, high)

    def visible(self, segment: Segment, low: int, high: int) -> Array:
        """bool: which rows count."""
        mask = np.ones(high - low, dtype=bool)
        if segment.sources:
            mask = ~np.isin(self.column(segment, "source", low, high), segment.sources)
        if segment.rows:
            rows = np.array(segment.rows, dtype=np.int64)
            mask[rows[(rows >= low) & (rows < high)] - low] = False
        return mask

    def _place(self, number: int) -> tuple[Segment, int]:
        index = bisect_right(self.bases, number) - 1
        return self.segments[index], number - self.bases[index]

    def ids(self, numbers: Array, name: str = "ids") -> Array:
        """uint64 [len(numbers), 2]: ids (or ``leader`` of held documents), given by ascending number."""
        found = np.empty((len(numbers), 2), dtype=np.uint64)
        ends = np.searchsorted(numbers, self.bases)
        for index, segment in enumerate(self.segments):
            low, high = int(ends[index]), int(ends[index + 1])
            for start in range(low, high, STRETCH):
                rows = numbers[start : min(start + STRETCH, high)].astype(np.int64) - self.bases[index]
                first, last = int(rows[0]), int(rows[-1]) + 1
                if last - first <= 8 * STRETCH:
                    block = self.column(segment, name, first, last)[rows - first]
                else:
                    block = np.concatenate([self.column(segment, name, int(row), int(row) + 1) for row in rows])
                found[start : start + len(rows)] = block
        return found

    def shingles(self, number: int) -> Array:
        """The shingles of one document."""
        segment, row = self._place(number)
        columns = open_columns(segment.path)
        low, high = columns.read("offsets", row, row + 2)
        return columns.read("shingles", int(low), int(high))

    def comparable(self, numbers: Array) -> Array:
        """bool: whose shingles are of as many words as those of the run's own documents."""
        same = [
            each.near or open_columns(each.path).meta["ngram"] == open_columns(self.segments[0].path).meta["ngram"]
            for each in self.segments
        ]
        found: Array = np.array(same, dtype=bool)[np.searchsorted(self.bases, numbers, side="right") - 1]
        return found

    def represented(self, numbers: Array) -> Array:
        """bool: of held documents, given by ascending number, those whose ``stand_ins`` are held, too, and
        count. What was removed for a document that is taken down, or that the run reads itself, does not."""
        leaders = self.ids(numbers, "leader")
        removed = np.flatnonzero((leaders != self.ids(numbers)).any(axis=1))
        present = np.ones(len(numbers), dtype=bool)
        if not len(removed):
            return present
        wanted = leaders[removed]
        present[removed] = False
        for _, ids in self._kept(wanted):
            present[removed] |= rows_among(wanted, ids)
        return present

    def _kept(self, wanted_M2: Array) -> Iterator[tuple[Array, Array]]:
        """(numbers, ids) of the held documents with one of these ids that count and were not removed."""
        for segment, low, high, first in self.stretches():
            if segment.held:
                ids = self.column(segment, "ids", low, high)
                kept = (ids == self.column(segment, "leader", low, high)).all(axis=1)
                chosen = np.flatnonzero(kept & rows_among(ids, wanted_M2))
                chosen = chosen[self.visible(segment, low, high)[chosen]]
                yield chosen + first, ids[chosen]

    def stand_ins(self, numbers: Array) -> tuple[Array, Array]:
        """(ids uint64 [n, 2], similarity float64 [n]) of the documents that stand for these, given by ascending
        number: themselves, unless the workspace holds one that was itself removed as a duplicate."""
        ids, jaccard = self.ids(numbers), np.ones(len(numbers))
        for place in np.flatnonzero(numbers >= self.own).tolist():
            segment, row = self._place(int(numbers[place]))
            ids[place] = self.column(segment, "leader", row, row + 1)[0]
            jaccard[place] = self.column(segment, "leader_jaccard", row, row + 1)[0]
        return ids, jaccard

    def standing(self, numbers: Array) -> Array:
        """int64: numbers, where they have one, of the documents that ``stand_ins`` names."""
        found: Array = numbers.astype(np.int64)
        held = np.flatnonzero(numbers >= self.own)
        leaders = self.ids(numbers[held], "leader")
        removed = (leaders != self.ids(numbers[held])).any(axis=1)
        places: dict[bytes, list[int]] = {}
        for place, leader in zip(held[removed].tolist(), leaders[removed], strict=True):
            places.setdefault(leader.tobytes(), []).append(place)
        if places:
            for kept, ids in self._kept(leaders[removed]):
                for number, each in zip(kept.tolist(), ids, strict=True):
                    found[places[each.tobytes()]] = number
        return found
