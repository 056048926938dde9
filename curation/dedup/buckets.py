"""Candidate pairs: documents whose signatures agree in a whole band."""

from typing import Any

import numpy as np

from curation.dedup.corpus import Corpus
from curation.dedup.keys import gather
from curation.dedup.similarity import jaccards

Array = np.ndarray[Any, Any]

_MOST_HELD = 8
"""Held documents of one bucket that each own document is compared with."""
_BATCH_SHINGLES = 2**20


def candidate_pairs(corpus: Corpus, band: int, slice_: tuple[int, int], gone: Array) -> Array:
    """uint64 ``low << 32 | high`` of the pairs of document numbers to compare, sorted; ``low`` is an own one.

    In a bucket of many each document is compared with the first and with the one before it, not with all:
    work grows with documents, not with pairs. What that misses other bands find, or ``cluster.neighbours``.
    """
    keys, numbers = gather(corpus, f"band_{band}", slice_, gone, near=True)
    if len(keys) < 2:
        return np.empty(0, dtype=np.uint64)
    starts = np.concatenate(([True], keys[1:] != keys[:-1]))
    first = np.maximum.accumulate(np.where(starts, np.arange(len(keys)), 0))
    own = numbers < corpus.own
    inner = np.flatnonzero(~starts & own)
    pairs = [_pack(numbers[first[inner]], numbers[inner]), _pack(numbers[inner - 1], numbers[inner])]
    held = np.flatnonzero(~starts & ~own)
    if len(held):
        # Numbers ascend inside a bucket, so that the held ones follow the own ones.
        own_count = np.bincount(first[own], minlength=len(keys))
        for place in held.tolist():
            begin = int(first[place])
            end = begin + int(own_count[begin])
            if place - end < _MOST_HELD:
                pairs.append(_pack(numbers[begin:end], np.full(end - begin, numbers[place])))
    found: Array = np.unique(np.concatenate(pairs))
    return found


def _pack(low: Array, high: Array) -> Array:
    packed: Array = (low << np.uint64(32)) | high
    return packed


def unpack(pairs: Array) -> tuple[Array, Array]:
    """(low, high) document numbers of packed pairs, uint64."""
    return pairs >> np.uint64(32), pairs & np.uint64(0xFFFFFFFF)


def similarities(corpus: Corpus, low: Array, high: Array) -> Array:
    """True Jaccard similarity of each pair, float64, some shingles in memory at a time."""
    result = np.empty(len(low))
    begin = 0
    held: dict[int, Array] = {}
    volume = 0
    lefts: list[Array] = []
    rights: list[Array] = []

    def load(number: int) -> Array:
        nonlocal volume
        if number not in held:
            held[number] = corpus.shingles(number)
            volume += len(held[number])
        return held[number]

    for place, (one, two) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
        lefts.append(load(one))
        rights.append(load(two))
        volume += len(lefts[-1]) + len(rights[-1])
        if volume >= _BATCH_SHINGLES:
            result[begin : place + 1] = jaccards(lefts, rights)
            begin, volume = place + 1, 0
            held.clear()
            lefts.clear()
            rights.clear()
    result[begin:] = jaccards(lefts, rights)
    return result
