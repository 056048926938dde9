"""Near copies of pieces in a document: candidates by shared n-grams, then by shared words, then word by word.

Array suffixes as in ``index``, and ``C`` candidates.
"""

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from curation.decontaminate.compiling import LONGEST_PIECE
from curation.decontaminate.edits import closest
from curation.decontaminate.index import Index
from curation.decontaminate.units import TELLING, changes_allowed

Array = np.ndarray[Any, Any]

BLOCK = 1024
"""Units of a document that are looked at together, so that its words say something about where an item may be, and
time grows with its length."""
OVERLAP = 2 * LONGEST_PIECE
"""Units that a block has in common with the next: more than a piece with all changes."""
CELL = (BLOCK + 2 * OVERLAP) // 32
"""Units of a stretch in which the units of a piece are looked for first."""
MOST_COMPARED = 200
"""Candidates of a block that are compared with shifted words, the most promising first. Real pages have six
on average beside 56,000 published items; the bound is for hostile ones."""
MOST_PLACES = 32
"""Places in a block at which one seed is looked at."""
AT_ONCE = 2**14

_LOW = np.uint32(2**14 - 1)


class Found(NamedTuple):
    """A piece in a document; ``begin`` and ``end`` in units."""

    piece: int
    changes: int
    begin: int
    end: int


def find_pieces(index: Index, units: Array, at: Array, rows: Array) -> Iterator[Found]:
    """Pieces that are here with at most ``units.changes_allowed`` changes: in each block of the document the first
    verbatim place of each, and the closest other one that is not within a verbatim piece.

    Args:
        units: uint32 of the document.
        at, rows: where its seeds are, and their rows in the index.
    """
    order = np.argsort(at, kind="stable")
    at, rows = at[order], rows[order]
    for begin, end in pairwise([*np.flatnonzero(np.append(True, np.diff(at // BLOCK) != 0)).tolist(), len(at)]):
        yield from _in_block(index, units, int(at[begin]) // BLOCK * BLOCK, at[begin:end], rows[begin:end])


def _in_block(index: Index, units: Array, low: int, at: Array, rows: Array) -> Iterator[Found]:
    """Pieces that have a seed in a block of the document, which begins at ``low``."""
    unique, inverse = np.unique(rows, return_inverse=True)
    which, place_H = index.postings(unique)
    piece_H = index.piece_F[place_H]
    pieces = np.unique(piece_H).astype(np.int64)
    cells = _Cells(units, low)
    size_C = index.begins_P[pieces + 1].astype(np.int64) - index.begins_P[pieces]
    sure_C, most_C = changes_allowed(size_C, index.scale_S[index.sequence_P[pieces]])
    kept = cells.holds(index, pieces, size_C) >= size_C - most_C
    if not kept.any():
        return
    pieces, size_C, sure_C, most_C = (each[kept] for each in (pieces, size_C, sure_C, most_C))
    number_H = np.searchsorted(pieces, piece_H)
    number_H[number_H == len(pieces)] = 0
    chosen = pieces[number_H] == piece_H
    which, number_H, offset_H = which[chosen], number_H[chosen], (place_H - index.begins_P[piece_H])[chosen]
    candidate, diagonal = _diagonals(which, number_H, offset_H, at, inverse)
    there = cells.holds(index, pieces[candidate], size_C[candidate], diagonal, most_C[candidate])
    kept = there >= size_C[candidate] - most_C[candidate]
    if not kept.any():
        return
    candidate, diagonal, there = candidate[kept], diagonal[kept], there[kept]
    equal, bits = _equal(index, units, pieces[candidate], size_C[candidate], diagonal)
    changes = size_C[candidate] - equal
    close = (changes <= sure_C[candidate]) | ((changes <= most_C[candidate]) & (bits >= TELLING))
    begin_C, end_C = np.maximum(diagonal, 0), np.minimum(diagonal + size_C[candidate], len(units))
    verbatim = changes == 0
    close &= verbatim | ~_inside(begin_C, end_C, verbatim)
    # Of each piece its first verbatim place, and the closest of the others.
    order = np.flatnonzero(close)[np.lexsort((diagonal[close], changes[close], candidate[close]))]
    kind = 2 * candidate[order] + (changes[order] > 0)
    for each in order[np.flatnonzero(np.append(True, np.diff(kind) != 0))] if len(order) else ():
        yield Found(int(pieces[candidate[each]]), int(changes[each]), int(begin_C[each]), int(end_C[each]))
    done = set(candidate[close].tolist())
    left: dict[int, list[int]] = defaultdict(list)
    promise: dict[int, float] = defaultdict(float)
    share = there / size_C[candidate]
    for number, shift, held in zip(*(each[~close].tolist() for each in (candidate, diagonal, share)), strict=True):
        if number not in done:
            left[number].append(shift)
            promise[number] = max(promise[number], held)
    promising = sorted(left, key=lambda number: (-promise[number], number))
    for number in promising[:MOST_COMPARED]:
        piece = int(pieces[number])
        own = slice(index.begins_P[piece], index.begins_P[piece + 1])
        pattern, bits = index.units_F[own].tolist(), index.bits_F[own].tolist()
        for begin, end in _windows(left[number], len(pattern), int(most_C[number])):
            begin = max(0, begin)
            found = _compare(pattern, bits, units[begin:end].tolist(), int(sure_C[number]), int(most_C[number]))
            if found:
                changed, first, last = found[0], begin + found[1], begin + found[2]
                if not ((begin_C[verbatim] <= first) & (end_C[verbatim] >= last)).any():
                    yield Found(piece, changed, first, last)


class _Cells:
    """In which stretches of a block and its surroundings each unit stands, as bits. 16,384 units are told apart, so
    that one in ten may seem to be where it is not."""

    def __init__(self, units: Array, low: int) -> None:
        self.first = max(0, low - OVERLAP)
        around = units[self.first : low + BLOCK + OVERLAP]
        self.bits = np.zeros(2**14, dtype=np.uint32)
        np.bitwise_or.at(self.bits, around & _LOW, np.uint32(1) << (np.arange(len(around), dtype=np.uint32) // CELL))

    def holds(self, index: Index, pieces: Array, sizes: Array, begins: Array | None = None, most: Any = 0) -> Array:
        """How many units of each piece stand here; with ``begins``, where a piece may begin, and ``most`` units to
        either side of that, only those around."""
        parts = []
        for low in range(0, len(pieces), AT_ONCE):
            part = slice(low, low + AT_ONCE)
            bits = self.bits[index.units_F[_ranges(index.begins_P[pieces[part]], sizes[part])] & _LOW]
            if begins is not None:
                first = np.clip((begins[part] - most[part] - self.first) // CELL, 0, 31)
                last = np.clip((begins[part] + sizes[part] + most[part] - self.first) // CELL, 0, 31)
                wanted = ((1 << (last + 1)) - (1 << first)).astype(np.uint32)
                bits = bits & np.repeat(wanted, sizes[part])
            parts.append(_sums(bits != 0, sizes[part]))
        return np.concatenate(parts)


def _compare(
    pattern: list[int], bits: list[int], window: list[int], sure: int, most: int
) -> tuple[int, int, int] | None:
    """``edits.closest`` where it finds few enough changes: so many for sure, and at most so many if what is there tells
    enough."""
    around = set(window)
    if sum(unit in around for unit in pattern) < len(pattern) - most:
        return None
    found = closest(pattern, window)
    if found[0] > sure:
        there = set(window[found[1] : found[2]])
        told = sum(bit for unit, bit in zip(pattern, bits, strict=True) if unit in there)
        if found[0] > most or told < TELLING:
            return None
    return found


def _inside(begins: Array, ends: Array, verbatim: Array) -> Array:
    """bool: whether each stretch lies within one of those that are verbatim."""
    order = np.lexsort((~verbatim, -ends, begins))
    reach = np.maximum.accumulate(np.where(verbatim, ends, 0)[order])
    inside = np.empty(len(order), dtype=np.bool_)
    inside[order] = reach >= ends[order]
    return inside


def _diagonals(which: Array, number_H: Array, offset_H: Array, at: Array, row_of: Array) -> tuple[Array, Array]:
    """(candidate, place in the document where it would begin) of each seed, each pair once.

    Seeds that stand in a block more than ``MOST_PLACES`` times are only used for candidates that have no other: of
    these the rarest one, which is enough for what is verbatim.

    Args:
        which, number_H, offset_H: row, candidate, and offset of the seed in it.
        at, row_of: place and row of each seed in the document.
    """
    counts = np.bincount(row_of)
    rank = np.lexsort((counts[which], number_H))
    rarest = np.zeros(len(which), dtype=np.bool_)
    rarest[rank[np.flatnonzero(np.append(True, np.diff(number_H[rank]) != 0))]] = True
    used = rarest | (counts[which] <= MOST_PLACES)
    which, number_H, offset_H = which[used], number_H[used], offset_H[used]
    by_row = at[np.argsort(row_of, kind="stable")]
    begins = np.cumsum(counts) - counts
    expanded = np.repeat(np.arange(len(which)), counts[which])
    diagonal = by_row[_ranges(begins[which], counts[which])] - offset_H[expanded]
    pairs = np.unique(np.stack([number_H[expanded], diagonal]), axis=1)
    return pairs[0], pairs[1]


def _windows(diagonals: list[int], size: int, most: int) -> Iterator[tuple[int, int]]:
    """Stretches of the document around places where a piece may begin; those that overlap are one."""
    begin, end = diagonals[0] - most, diagonals[0] + size + most
    for diagonal in diagonals[1:]:
        if diagonal - most > end:
            yield begin, end
            begin = diagonal - most
        end = diagonal + size + most
    yield begin, end


def _ranges(begins: Array, sizes: Array) -> Array:
    """The numbers of each range, one after the other."""
    ends = np.cumsum(sizes)
    total = int(ends[-1]) if len(ends) else 0
    numbers: Array = np.arange(total) + np.repeat(begins.astype(np.int64) - ends + sizes, sizes)
    return numbers


def _sums(values: Array, sizes: Array) -> Array:
    """The sum of each stretch of these sizes, none of which is 0."""
    sums: Array = np.add.reduceat(values, np.cumsum(sizes) - sizes, dtype=np.int64)
    return sums


def _equal(index: Index, units: Array, pieces: Array, sizes: Array, diagonals: Array) -> tuple[Array, Array]:
    """How many units of each piece stand where they would if nothing were added or removed, and their bits."""
    parts = []
    for low in range(0, len(pieces), AT_ONCE):
        part = slice(low, low + AT_ONCE)
        places = _ranges(diagonals[part], sizes[part])
        inside = (places >= 0) & (places < len(units))
        own = _ranges(index.begins_P[pieces[part]], sizes[part])
        same = inside & (units[np.where(inside, places, 0)] == index.units_F[own])
        parts.append(np.stack([_sums(same, sizes[part]), _sums(same * index.bits_F[own], sizes[part])]))
    equal, bits = np.concatenate(parts, axis=1)
    return equal, bits
