"""Equal keys: documents with the same URL, or with the same text."""

from typing import Any

import numpy as np

from curation.dedup.corpus import Corpus

Array = np.ndarray[Any, Any]


def key_range(index: int, count: int) -> tuple[int, int]:
    """Slice ``index`` of ``count`` of the 64-bit keys: [low, high)."""
    return (index << 64) // count, ((index + 1) << 64) // count


def gather(corpus: Corpus, name: str, slice_: tuple[int, int], gone: Array, near: bool = False) -> tuple[Array, Array]:
    """(keys, document numbers) of a column within a slice of the keys, sorted by key, then by number.

    Of held documents only those are gathered whose key one of the run's own has, so that memory is bounded
    by the run and not by the workspace.

    Args:
        gone: bool [own documents]: what earlier steps have removed.
        near: leave out held documents whose signatures were made otherwise.
    """
    low, high = np.uint64(slice_[0]), np.uint64(slice_[1] - 1)
    keys_held: list[Array] = []
    numbers_held: list[Array] = []
    own_keys: list[Array] = [np.empty(0, dtype=np.uint64)]
    own_numbers: list[Array] = [np.empty(0, dtype=np.uint64)]
    sorted_keys: Array | None = None
    for segment, first, end, number in corpus.stretches():
        if segment.held and near and not segment.near:
            continue
        keys = corpus.column(segment, name, first, end)
        mask = (keys != 0) & (keys >= low) & (keys <= high)
        if segment.held:
            if sorted_keys is None:
                sorted_keys = np.unique(np.concatenate(own_keys))
            mask &= corpus.visible(segment, first, end)
            mask &= _among(keys, sorted_keys)
        else:
            mask &= ~gone[number : number + end - first]
        chosen = np.flatnonzero(mask)
        (keys_held if segment.held else own_keys).append(keys[chosen])
        (numbers_held if segment.held else own_numbers).append(chosen.astype(np.uint64) + np.uint64(number))
    if numbers_held and name == "text":  # the one key that the index keeps of removed documents
        numbers = np.concatenate(numbers_held)
        present = corpus.represented(numbers)
        keys_held, numbers_held = [np.concatenate(keys_held)[present]], [numbers[present]]
    all_keys = np.concatenate([*own_keys, *keys_held])
    all_numbers = np.concatenate([*own_numbers, *numbers_held])
    order = np.argsort(all_keys, kind="stable")  # numbers ascend already
    return all_keys[order], all_numbers[order]


def _among(values: Array, sorted_values: Array) -> Array:
    if not len(sorted_values):
        return np.zeros(len(values), dtype=bool)
    places = np.minimum(np.searchsorted(sorted_values, values), len(sorted_values) - 1)
    found: Array = sorted_values[places] == values
    return found


def equal_keys(corpus: Corpus, name: str, slice_: tuple[int, int], gone: Array) -> tuple[Array, Array]:
    """(numbers to remove, number of the document that each repeats), ascending, uint64.

    A held document stays before any own one, else the smallest id.
    """
    keys, numbers = gather(corpus, name, slice_, gone)
    starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))[: len(keys)]
    sizes = np.diff(np.append(starts, len(keys)))
    repeated = np.repeat(sizes > 1, sizes)
    numbers, sizes = numbers[repeated], sizes[sizes > 1]
    if not len(numbers):
        return np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.uint64)
    ascending = np.sort(numbers)
    ids = corpus.ids(ascending)
    order = np.lexsort((ids[:, 1], ids[:, 0], ascending < corpus.own))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    ranks = rank[np.searchsorted(ascending, numbers)]
    first = np.repeat(np.minimum.reduceat(ranks, np.append(0, np.cumsum(sizes)[:-1])), sizes)
    goes = (numbers < corpus.own) & (ranks != first)
    removed, leaders = numbers[goes], ascending[order[first[goes]]]
    ascend = np.argsort(removed)
    return removed[ascend], leaders[ascend]
