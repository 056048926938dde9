"""Which sequences a model computes together: those that begin alike in one row, rows of like length in one batch.

In a packed row the shared beginning is computed once; each branch sees it and itself alone, at the positions that it
would have by itself, so that every token's probability is what it is unpacked. Shapes: B rows, S tokens of a row.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Ids = tuple[int, ...]

FEWEST_SAVED = 8
"""Tokens that joining a row must save: less is not worth a mask."""
LEAST_SAVED = 0.25
"""Share of a sequence's tokens that joining a row must save."""
LONGEST_PACKED = 768
"""Tokens of a packed row, beyond which branches that do not see each other cost more than they save; rows whose first
sequence is longer than half of it may be twice as long as that."""


@dataclass(frozen=True, slots=True)
class Row:
    """What is computed in one row."""

    shared: Ids
    branches: tuple[Ids, ...]
    """What each goes on with; the last token of none of them is put in."""
    members: tuple[int, ...]
    """Which sequence each branch is of."""

    @property
    def length(self) -> int:
        """Tokens put in."""
        return len(self.shared) + sum(len(branch) - 1 for branch in self.branches)


def common(left: Ids, right: Ids) -> int:
    """Tokens with which both begin."""
    for place, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return place
    return min(len(left), len(right))


def pack(sequences: Sequence[Ids], packed: bool = True) -> list[Row]:
    """Rows for sequences of two tokens at least, which differ from each other.

    Sorted, those that begin alike are neighbours; each joins the row before it as long as that saves enough.
    """
    order = sorted(range(len(sequences)), key=sequences.__getitem__)
    rows: list[Row] = []
    group: list[int] = []
    shared, branch_tokens = 0, 0
    for member in order:
        ids = sequences[member]
        length = len(ids) - 1
        if group and packed:
            # The last token is not put in, hence cannot be shared.
            both = min(shared, common(sequences[group[-1]], ids), length)
            saved = both - (shared - both) * (len(group) - 1)
            total = branch_tokens + (shared - both) * len(group) + length
            limit = max(LONGEST_PACKED, 2 * (len(sequences[group[0]]) - 1))
            if saved >= max(FEWEST_SAVED, LEAST_SAVED * length) and total <= limit:
                branch_tokens += (shared - both) * len(group) + length - both
                shared = both
                group.append(member)
                continue
        if group:
            rows.append(_row(sequences, group, shared))
        group, shared, branch_tokens = [member], length, 0
    if group:
        rows.append(_row(sequences, group, shared))
    return rows


def _row(sequences: Sequence[Ids], group: Sequence[int], shared: int) -> Row:
    first = sequences[group[0]]
    return Row(first[:shared], tuple(sequences[member][shared:] for member in group), tuple(group))


def batches(rows: Sequence[Row], tokens: int) -> Iterator[list[Row]]:
    """Rows of like length together, the longest first, at most so many tokens with padding, or one row.

    Rows with branches, which need a mask, are never with those without."""
    for several in (False, True):
        here = sorted((row for row in rows if (len(row.branches) > 1) == several), key=lambda row: -row.length)
        begin = 0
        while begin < len(here):
            end = begin + max(1, tokens // here[begin].length)
            yield here[begin:end]
            begin = end


@dataclass(frozen=True, slots=True)
class Batch:
    """What is put into a model."""

    ids_BS: Array
    positions_BS: Array | None
    mask_BSS: Array | None
    """Which token sees which; None: each all before it, which hides padding too, as that is on the right."""


def laid_out(rows: Sequence[Row]) -> Batch:
    """The arrays of a batch. Padding sees itself, since a softmax over nothing is no number."""
    width = max(row.length for row in rows)
    ids_BS = np.zeros((len(rows), width), dtype=np.int64)
    if all(len(row.branches) == 1 for row in rows):
        for number, row in enumerate(rows):
            ids_BS[number, : row.length] = (row.shared + row.branches[0])[:-1]
        return Batch(ids_BS, None, None)
    positions_BS = np.zeros_like(ids_BS)
    mask_BSS = np.zeros((len(rows), width, width), dtype=bool)
    mask_BSS[:] = np.eye(width, dtype=bool)
    for number, row in enumerate(rows):
        end = len(row.shared)
        ids_BS[number, :end] = row.shared
        positions_BS[number, :end] = np.arange(end)
        mask_BSS[number, :end, :end] = np.tri(end, dtype=bool)
        mask_BSS[number, end : row.length, : len(row.shared)] = True
        for branch in row.branches:
            begin, end = end, end + len(branch) - 1
            ids_BS[number, begin:end] = branch[:-1]
            positions_BS[number, begin:end] = len(row.shared) + np.arange(end - begin)
            mask_BSS[number, begin:end, begin:end] = np.tri(end - begin, dtype=bool)
    return Batch(ids_BS, positions_BS, mask_BSS)


def places(row: Row) -> list[Array]:
    """For each branch, the column that predicts token 1, 2, ... of its sequence."""
    shared = len(row.shared)
    found = []
    end = shared
    for branch in row.branches:
        begin, end = end, end + len(branch) - 1
        found.append(np.concatenate((np.arange(shared), np.arange(begin, end))))
    return found
