"""The documents of the index that are most like a given one, by signature and then by shingles.

For one question a pass over the signature column is what costs least: on one core it reads and compares 5 million
signatures of 112 hashes a second (a million documents in 0.2 s), a block at a time, so that memory is the same for
any index (measured: 0 bytes between 0.2 and 1 million documents). ``datasketch.MinHashLSH`` 2.0 takes in 13,000
documents a second, 400 times slower, and keeps 9 kB of each. Bands would also miss some of what the whole signature
shows (datasketch's own choice for Jaccard .5, favouring recall, is 28 bands of 4: 84 %), and the candidates that
they would save cost less to verify (17 microseconds) than to insert (75). The tests hold the pass against
datasketch: it finds what LSH finds.

Array suffixes: ``N`` documents of a block, ``K`` hash values of a signature, ``S`` shingles.
"""

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from curation.dedup.columns import Columns, open_columns
from curation.dedup.corpus import Corpus, Segment
from curation.dedup.similarity import jaccard, signatures
from curation.dedup.sketch import id_array, id_text

Array = np.ndarray[Any, Any]

BLOCK = 4096
"""Signatures compared at once, 2 MB."""

_DEVIATIONS = 3.0
"""How far below the wanted similarity an estimate may lie, in standard deviations sqrt(J (1 - J) / K) of MinHash
(Broder 1997): 1 in 700 at the threshold itself lies lower."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A document of the index, and how like it is to what was asked for."""

    id: str
    run_id: str
    estimate: float
    """Share of equal hash values of the signatures."""
    jaccard: float
    """True Jaccard similarity of the shingles."""
    duplicate_of: str | None
    """What it was removed for, where it was removed."""


@dataclass(frozen=True, slots=True)
class Found:
    """The answer to ``nearest``."""

    neighbours: list[Neighbour]
    compared: int
    """Documents whose signatures were compared."""
    skipped: tuple[str, ...]
    """Runs whose shingles are of another number of words, so that nothing can be compared."""


def ngrams(segments: Sequence[Segment]) -> set[int]:
    """Words in a shingle, as the files of the index have it."""
    return {open_columns(each.path).meta["ngram"] for each in segments}


def find_document(segments: Sequence[Segment], document_id: str) -> tuple[int, Array] | None:
    """(words in a shingle, shingles) of a document that counts; of several sketches the newest run's."""
    wanted = id_array([document_id])[0]
    for segment in reversed(segments):
        corpus, columns = Corpus([segment]), open_columns(segment.path)
        for _, low, high, _ in corpus.stretches():
            same = (columns.read("ids", low, high) == wanted).all(axis=1) & corpus.visible(segment, low, high)
            for row in np.flatnonzero(same).tolist():
                return columns.meta["ngram"], corpus.shingles(low + row)
    return None


def nearest(
    segments: Sequence[Segment],
    shingles_of: Callable[[int], Array | None],
    threshold: float,
    limit: int,
    without: str | None = None,
) -> Found:
    """The most similar documents, at most ``limit`` with a true Jaccard similarity of at least ``threshold``,
    the most similar first; memory does not grow with the index.

    Args:
        segments: files of the index, as ``held_segments`` lists them.
        shingles_of: words in a shingle -> shingles of the text; None where they are not known.
        without: id of a document to leave out.
    """
    best: list[tuple[float, float, int, Neighbour]] = []
    queries: dict[tuple[int, int], Array] = {}
    compared = 0
    skipped = set()
    excluded = -1 if without is None else int(without, 16)
    for segment in segments:
        columns = open_columns(segment.path)
        run_id = Path(segment.path).parent.name
        wanted_S = shingles_of(columns.meta["ngram"])
        if wanted_S is None or not len(wanted_S):
            skipped.add(run_id)
            continue
        query_K = _signature(queries, columns.meta, wanted_S)
        corpus = Corpus([segment])
        for low in range(0, segment.documents, BLOCK):
            high = min(low + BLOCK, segment.documents)
            visible = corpus.visible(segment, low, high)
            compared += int(np.count_nonzero(visible))
            equal = np.count_nonzero(columns.read("signature", low, high) == query_K, axis=1)
            estimates = np.where(visible, equal / len(query_K), -1.0)
            likely = np.flatnonzero(estimates >= _lowest_estimate(threshold, len(query_K)))
            for row in likely[np.argsort(-estimates[likely], kind="stable")].tolist():
                least = best[0][0] if len(best) == limit else threshold
                if estimates[row] < _lowest_estimate(least, len(query_K)):
                    break
                number = low + row
                similarity = jaccard(wanted_S, corpus.shingles(number))
                if similarity < threshold:
                    continue
                place = int(id_text(columns.read("ids", number, number + 1)[0]), 16)
                if place != excluded:
                    entry = _neighbour(columns, number, run_id, float(estimates[row]), similarity)
                    _keep(best, (similarity, entry.estimate, -place, entry), limit)
    return Found([entry for *_, entry in sorted(best, reverse=True)], compared, tuple(sorted(skipped)))


def _signature(made: dict[tuple[int, int], Array], meta: Mapping[str, int], wanted_S: Array) -> Array:
    """The signature of the text, as long as those of the file are."""
    key = (meta["ngram"], meta["bands"] * meta["rows"])
    if key not in made:
        made[key] = signatures(wanted_S, np.array([0, len(wanted_S)]), key[1])[0]
    return made[key]


def _lowest_estimate(least: float, hashes: int) -> float:
    """The estimate below which a similarity of at least ``least`` is not looked for."""
    return max(1 / hashes, least - _DEVIATIONS * float(np.sqrt(least * (1 - least) / hashes)))


def _neighbour(columns: Columns, row: int, run_id: str, estimate: float, similarity: float) -> Neighbour:
    own, leader = (id_text(columns.read(name, row, row + 1)[0]) for name in ("ids", "leader"))
    return Neighbour(own, run_id, estimate, similarity, None if leader == own else leader)


def _keep(best: list[tuple[float, float, int, Neighbour]], entry: Any, limit: int) -> None:
    if len(best) < limit:
        heapq.heappush(best, entry)
    else:
        heapq.heappushpop(best, entry)
