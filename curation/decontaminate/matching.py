"""Look a document up in the index of items.

Array suffixes as in ``index``, and ``W`` units of the document, ``C`` candidates.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, islice, pairwise
from typing import Any, Literal, NamedTuple

import numpy as np

from curation.decontaminate.compiling import LONGEST_PIECE
from curation.decontaminate.edits import closest
from curation.decontaminate.index import Index
from curation.decontaminate.units import SCALES, TELLING, changes_allowed, places
from curation.words import Words, ngram_hashes

Array = np.ndarray[Any, Any]

BLOCK = 1024
"""Units of a document that are looked at together, so that its words say something about where an item may be, and
time grows with its length."""
OVERLAP = 2 * LONGEST_PIECE
"""Units that a block has in common with the next: more than a piece with all changes."""
MOST_COMPARED = 200
"""Candidates of a block that are compared with shifted words, the most promising first. Real pages have none to
three; the bound is for hostile ones."""
MOST_PLACES = 32
"""Places in a block at which one seed is looked at."""
AT_ONCE = 2**14
MOST_MATCHES = 1000
"""Matches of a document that are told; all are counted."""

How = Literal["whole", "run", "near"]


class Match(NamedTuple):
    """An item in a document."""

    item_set: str
    item_id: str
    overlap: float
    """Share of the item that is there, 0 to 1: of its n-grams for ``run``, of its words, in order, for ``near``."""
    how: How
    """``whole``: word for word; ``run``: 13 or more words of a longer item in a row; ``near``: all of it, or a piece
    of a long one, with at most one word in six changed, removed or added."""
    begin: int
    end: int
    """Where in the document's text, as offsets of characters."""

    @property
    def exact(self) -> bool:
        """Whether the whole item is there, word for word."""
        return self.how == "whole"


@dataclass(slots=True)
class _Hit:
    """A sequence in a document; ``begin`` and ``end`` in units."""

    sequence: int
    overlap: float
    how: How
    begin: int
    end: int

    @property
    def rank(self) -> tuple[bool, float, int, int]:
        """Better hits first."""
        return self.how != "whole", -self.overlap, self.begin - self.end, self.begin


def find(index: Index, words: Words) -> tuple[int, list[Match]]:
    """(how many items a document holds, the best ``MOST_MATCHES`` of them, best first).

    Args:
        words: of the document, as ``units.document_words`` splits it.
    """
    units_W = words.normal_W
    hits = _hits(index, units_W)
    if not hits:
        return 0, []
    best: dict[int, _Hit] = {}
    for hit in _standing(hits):
        for item in index.items_of(hit.sequence):
            best.setdefault(item, hit)
    told = list(islice(best.items(), MOST_MATCHES))
    bounds = dict(_bounds(words, {each for _, hit in told for each in (hit.begin, hit.end - 1)}))
    return len(best), [
        Match(*index.name(item), hit.overlap, hit.how, bounds[hit.begin][0], bounds[hit.end - 1][1])
        for item, hit in told
    ]


def _bounds(words: Words, wanted: set[int]) -> Iterator[tuple[int, tuple[int, int]]]:
    return ((number, place) for number, place in enumerate(places(words)) if number in wanted)


def _standing(hits: list[_Hit]) -> list[_Hit]:
    """Hits, best first, without those at the place of a better one: of a template's items, which differ in a word, the
    verbatim one counts, else the closest; equally close ones all count."""
    standing: list[_Hit] = []
    reach: dict[int, Array] = {}  # by the stretch of the document: where the longest better hit so far ends
    for _, equal in groupby(sorted(hits, key=lambda each: each.rank), key=lambda each: each.rank[:2]):
        spans = set()
        for hit in equal:
            known = reach.get(hit.begin // BLOCK)
            if hit.how == "whole" or known is None or known[hit.begin % BLOCK] < hit.end:
                standing.append(hit)
                spans.add((hit.begin, hit.end))
        for begin, end in spans:
            for stretch in range(begin // BLOCK, (end - 1) // BLOCK + 1):
                known = reach.setdefault(stretch, np.zeros(BLOCK, dtype=np.int64))
                known = known[max(0, begin - stretch * BLOCK) :]
                np.maximum(known, end, out=known)
    return standing


# ---- n-grams ----------------------------------------------------------------------------------


def _hits(index: Index, units_W: Array) -> list[_Hit]:
    seeds: list[tuple[Array, Array]] = []
    runs: list[tuple[Array, Array]] = []
    for n, is_run in index.lengths.items():
        grams = ngram_hashes(units_W, int(n))
        at = np.flatnonzero(index.may_hold(grams))
        if not len(at):
            continue
        rows = index.find(grams[at])
        found = rows >= 0
        if found.any():
            (runs if is_run else seeds).append((at[found], rows[found]))
    hits = []
    for at, rows in runs:
        hits += _run_hits(index, at, rows)
    if seeds:
        at, rows = (np.concatenate(each) for each in zip(*seeds, strict=True))
        hits += _near_hits(index, units_W, at, rows)
    return hits


def _run_hits(index: Index, at: Array, rows: Array) -> list[_Hit]:
    """Long items of which a run is here.

    A run that many items share (``compiling.COMMON``) counts only where half of an item is here.
    """
    unique, first = np.unique(rows, return_index=True)
    which, place_H = index.postings(unique)
    piece_H = index.piece_F[place_H]
    sequence_H = index.sequence_P[piece_H].astype(np.int64)
    diagonal_H = at[first][which] - (place_H - index.begins_P[index.pieces_S[sequence_H]])
    common_H = index.is_common(unique)[which]
    order = np.argsort(sequence_H, kind="stable")
    bounds = np.flatnonzero(np.append(True, np.diff(sequence_H[order]) != 0)).tolist()
    hits = []
    for begin, end in pairwise([*bounds, len(order)]):
        chosen = order[begin:end]
        sequence = int(sequence_H[chosen[0]])
        run = SCALES[index.scale_S[sequence]].run
        overlap = (end - begin) / (index.size(sequence) - run + 1)
        if overlap >= 0.5 or not common_H[chosen].all():
            shifts, counts = np.unique(diagonal_H[chosen], return_counts=True)
            together = chosen[diagonal_H[chosen] == shifts[counts.argmax()]]
            places = at[first][which[together]]
            hits.append(_Hit(sequence, overlap, "run", int(places.min()), int(places.max()) + run))
    return hits


# ---- near copies ------------------------------------------------------------------------------


class _Found(NamedTuple):
    """A piece in a document; ``begin`` and ``end`` in units."""

    piece: int
    changes: int
    begin: int
    end: int


def _near_hits(index: Index, units_W: Array, at: Array, rows: Array) -> list[_Hit]:
    """Items that are here with at most ``Scale.changed`` of their units changed, or unchanged."""
    units = (units_W >> np.uint64(32)).astype(np.uint32)
    order = np.argsort(at, kind="stable")
    at, rows = at[order], rows[order]
    found: dict[int, dict[int, _Found]] = defaultdict(dict)
    hits = []
    for begin, end in pairwise([*np.flatnonzero(np.append(True, np.diff(at // BLOCK) != 0)).tolist(), len(at)]):
        low = int(at[begin]) // BLOCK * BLOCK
        for each in _in_block(index, units, low, at[begin:end], rows[begin:end]):
            sequence = int(index.sequence_P[each.piece])
            first, last = index.pieces_S[sequence : sequence + 2].tolist()
            if last - first > 1:
                known = found[sequence].setdefault(each.piece, each)
                if each.changes < known.changes:
                    found[sequence][each.piece] = each
                continue
            size = index.size(sequence)
            how: How = "near" if each.changes else "whole"
            hits.append(_Hit(sequence, (size - each.changes) / size, how, each.begin, each.end))
    return hits + [_joined(index, sequence, list(pieces.values())) for sequence, pieces in found.items()]


def _joined(index: Index, sequence: int, pieces: list[_Found]) -> _Hit:
    """The hit of a sequence of which these pieces are here."""
    size, first = index.size(sequence), int(index.pieces_S[sequence])
    offsets = [int(index.begins_P[each.piece]) - int(index.begins_P[first]) for each in pieces]
    there = sum(int(index.begins_P[each.piece + 1] - index.begins_P[each.piece]) - each.changes for each in pieces)
    starts = {each.begin - offset for each, offset in zip(pieces, offsets, strict=True)}
    how: How = "whole" if there == size and len(starts) == 1 else "near"
    return _Hit(sequence, there / size, how, min(each.begin for each in pieces), max(each.end for each in pieces))


def _in_block(index: Index, units: Array, low: int, at: Array, rows: Array) -> Iterator[_Found]:
    """Pieces that have a seed in a block of the document, which begins at ``low``."""
    unique, inverse = np.unique(rows, return_inverse=True)
    which, place_H = index.postings(unique)
    piece_H = index.piece_F[place_H]
    pieces = np.unique(piece_H).astype(np.int64)
    # All but a few of its units must be somewhere around.
    bag = np.zeros(2**16, dtype=np.bool_)
    bag[units[max(0, low - OVERLAP) : low + BLOCK + OVERLAP] & np.uint32(0xFFFF)] = True
    size_C = index.begins_P[pieces + 1].astype(np.int64) - index.begins_P[pieces]
    sure_C, most_C = changes_allowed(size_C, index.scale_S[index.sequence_P[pieces]])
    there_C = _sums(bag[index.units_F[_ranges(index.begins_P[pieces], size_C)] & np.uint32(0xFFFF)], size_C)
    kept = there_C >= size_C - most_C
    if not kept.any():
        return
    pieces, size_C, sure_C, most_C, there_C = (each[kept] for each in (pieces, size_C, sure_C, most_C, there_C))
    number_H = np.searchsorted(pieces, piece_H)
    number_H[number_H == len(pieces)] = 0
    chosen = pieces[number_H] == piece_H
    which, number_H, offset_H = which[chosen], number_H[chosen], (place_H - index.begins_P[piece_H])[chosen]
    candidate, diagonal = _diagonals(which, number_H, offset_H, at, inverse)
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
        yield _Found(int(pieces[candidate[each]]), int(changes[each]), int(begin_C[each]), int(end_C[each]))
    done = set(candidate[close].tolist())
    left: dict[int, list[int]] = defaultdict(list)
    for number, shift in zip(candidate[~close].tolist(), diagonal[~close].tolist(), strict=True):
        if number not in done:
            left[number].append(shift)
    promising = sorted(left, key=lambda number: (-there_C[number] / size_C[number], number))
    for number in promising[:MOST_COMPARED]:
        piece = int(pieces[number])
        pattern = index.units_F[index.begins_P[piece] : index.begins_P[piece + 1]].tolist()
        for begin, end in _windows(left[number], len(pattern), int(sure_C[number])):
            found = _compare(pattern, units[max(0, begin) : end].tolist(), int(sure_C[number]))
            if found:
                changed, first, last = found[0], max(0, begin) + found[1], max(0, begin) + found[2]
                if not ((begin_C[verbatim] <= first) & (end_C[verbatim] >= last)).any():
                    yield _Found(piece, changed, first, last)


def _compare(pattern: list[int], window: list[int], most: int) -> tuple[int, int, int] | None:
    """``edits.closest`` where it finds at most so many changes."""
    around = set(window)
    if sum(unit in around for unit in pattern) < len(pattern) - most:
        return None
    found = closest(pattern, window)
    return found if found[0] <= most else None


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
