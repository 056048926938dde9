"""Look a document up in the index of items.

Array suffixes as in ``index``, and ``W`` units of the document.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, islice, pairwise
from typing import Any, Literal, NamedTuple

import numpy as np

from curation.decontaminate.compiling import LONGEST_PIECE
from curation.decontaminate.index import Index
from curation.decontaminate.near import BLOCK, Found, find_pieces
from curation.decontaminate.units import SCALES, places
from curation.words import Words, ngram_hashes

Array = np.ndarray[Any, Any]

MOST_MATCHES = 1000
"""Matches of a document that are told; all are counted."""

How = Literal["whole", "run", "near"]


class Match(NamedTuple):
    """An item in a document."""

    item_set: str
    item_id: str
    overlap: float
    """Share of the item that is there, 0 to 1: of its runs of 13 words for ``run``; for ``near`` 1 less the changes for
    each of its words, of the pieces of a long item that are there."""
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
    covers: tuple[tuple[int, int], ...] = ()
    """Its stretches, where other text is between its parts."""

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
        spans: set[tuple[int, int]] = set()
        for hit in equal:
            known = reach.get(hit.begin // BLOCK)
            if hit.how == "whole" or known is None or known[hit.begin % BLOCK] < hit.end:
                standing.append(hit)
                spans.update(hit.covers or [(hit.begin, hit.end)])
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


def _near_hits(index: Index, units_W: Array, at: Array, rows: Array) -> list[_Hit]:
    """Items that are here with few of their units changed, or none."""
    hits = []
    found: dict[int, dict[int, Found]] = defaultdict(dict)
    for each in find_pieces(index, (units_W >> np.uint64(32)).astype(np.uint32), at, rows):
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


def _joined(index: Index, sequence: int, pieces: list[Found]) -> _Hit:
    """The hit of a sequence of which these pieces are here."""
    size, first = index.size(sequence), int(index.pieces_S[sequence])
    offsets = [int(index.begins_P[each.piece]) - int(index.begins_P[first]) for each in pieces]
    there = sum(int(index.begins_P[each.piece + 1] - index.begins_P[each.piece]) - each.changes for each in pieces)
    starts = {each.begin - offset for each, offset in zip(pieces, offsets, strict=True)}
    how: How = "whole" if there == size and len(starts) == 1 else "near"
    covers: list[tuple[int, int]] = []
    for begin, end in sorted((each.begin, each.end) for each in pieces):
        if covers and begin <= covers[-1][1] + LONGEST_PIECE // 4:  # a few words may have been added between them
            begin, end = covers[-1][0], max(end, covers.pop()[1])
        covers.append((begin, end))
    ends = max(end for _, end in covers)
    return _Hit(sequence, there / size, how, covers[0][0], ends, tuple(covers))
