"""Which chats share a sequence, and which sequence is in which step: told from indices alone, as ``training.order``."""

import bisect
import hashlib
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from training.chat.examples import Example
from training.order import permuted

Array = np.ndarray[Any, Any]
Row = tuple[int, ...]
"""Indices of examples."""


def pack(examples: Sequence[Example], longest: int, seed: int, packing: bool) -> list[Row]:
    """Sequences of at most ``longest`` tokens that have every example once.

    Best fit, the longest first (Johnson 1973: at most 11/9 of the fewest bins, and some); among those of a length in an
    order that the seed decides. The lines of a pair stay together. Without packing each example, or pair, is alone.
    """
    units = _units(examples)
    shuffled = [units[permuted(place, len(units), f"{seed}/pack")] for place in range(len(units))]
    if not packing:
        return shuffled
    sizes = [sum(examples[index].tokens for index in unit) for unit in shuffled]
    rows: list[list[int]] = []
    spaces: list[int] = []  # sorted
    open_rows: dict[int, list[int]] = {}  # space left -> rows
    for place in sorted(range(len(shuffled)), key=lambda place: -sizes[place]):
        at = bisect.bisect_left(spaces, sizes[place])
        if at == len(spaces):
            rows.append([])
            row, space = len(rows) - 1, longest
        else:
            space = spaces[at]
            row = open_rows[space].pop()
            if not open_rows[space]:
                del spaces[at], open_rows[space]
        rows[row] += shuffled[place]
        left = space - sizes[place]
        if left not in open_rows:
            bisect.insort(spaces, left)
        open_rows.setdefault(left, []).append(row)
    return [tuple(row) for row in rows]


def _units(examples: Sequence[Example]) -> list[Row]:
    units: list[list[int]] = []
    pairs: dict[str, list[int]] = {}
    for index, example in enumerate(examples):
        if example.pair is None:
            units.append([index])
        elif example.pair in pairs:
            pairs[example.pair].append(index)
        else:
            pairs[example.pair] = [index]
            units.append(pairs[example.pair])
    return [tuple(unit) for unit in units]


class ChatOrder:
    """The sequences of a run by index; step s, from 1, has those of [(s - 1) G, s G)."""

    def __init__(self, rows: Sequence[Row], global_batch_size: int, seed: int, epochs: int | None) -> None:
        """
        Args:
            rows: example indices of each sequence.
            global_batch_size: G.
            epochs: after so many the rest of the last step is blank; None: it goes on for ever.
        """
        self.packed, self.global_batch_size, self.seed, self.epochs = tuple(rows), global_batch_size, seed, epochs

    @property
    def steps(self) -> int:
        """Of one epoch, or of all, the last one filled up with blanks."""
        return -(-len(self.packed) * (self.epochs or 1) // self.global_batch_size)

    def row(self, index: int) -> tuple[int, int] | None:
        """(row, epoch) of a sequence of the run; None: a blank."""
        epoch, place = divmod(index, len(self.packed))
        if self.epochs is not None and epoch >= self.epochs:
            return None
        return permuted(place, len(self.packed), f"{self.seed}/chats/{epoch}"), epoch

    def step_rows(self, step: int) -> list[tuple[int, int] | None]:
        """Those of a step."""
        first = (step - 1) * self.global_batch_size
        return [self.row(index) for index in range(first, first + self.global_batch_size)]

    def shares(self, step: int, replica: int, replicas: int, micro: int) -> Iterator[list[tuple[int, int] | None]]:
        """The micro-batches of one replica, as ``training.order.Order.rows``."""
        rows = self.step_rows(step)
        for begin in range(replica * micro, len(rows), replicas * micro):
            yield rows[begin : begin + micro]


def fingerprint(examples: Sequence[Example], facts: Sequence[object]) -> str:
    """sha256 of all that decides what is learned when."""
    digest = hashlib.sha256(repr(list(facts)).encode())
    for each in examples:
        digest.update(repr((each.tokens, each.weight, each.pair)).encode())
        digest.update(np.ascontiguousarray(each.ids, dtype="<i4").tobytes())
        digest.update(each.mask.tobytes())
    return digest.hexdigest()


class Layout:
    """Sequences as arrays."""

    def __init__(
        self,
        examples: Sequence[Example],
        rows: Sequence[Row],
        longest: int,
        pad_id: int,
        hidden: Collection[int] = (),
    ) -> None:
        """
        Args:
            longest: tokens of a sequence.
            pad_id: what is where nothing else is.
            hidden: indices of examples that leave their place blank.
        """
        self.examples, self.packed, self.longest, self.pad_id = tuple(examples), tuple(rows), longest, pad_id
        self.hidden = frozenset(hidden)
        self._half = {self.examples[index].pair for index in self.hidden} - {None}

    @cached_property
    def segmented(self) -> bool:
        """Whether any sequence has several examples."""
        return any(len(row) > 1 for row in self.packed)

    @cached_property
    def weighted(self) -> bool:
        """Whether any example counts more or less than others."""
        return any(each.weight != 1 for each in self.examples)

    @cached_property
    def learned(self) -> Array:
        """int64: tokens of each sequence that are learned."""
        each = np.array([int(example.mask.sum()) for example in self.examples], dtype=np.int64)
        each[list(self.hidden)] = 0
        return np.array([int(each[list(row)].sum()) for row in self.packed], dtype=np.int64)

    def fill(self, rows: Sequence[int | None], pairs: bool) -> tuple[Array, Array, Array | None, Array | None]:
        """ids, mask or weights, segments, sides, [B, S + 1] each, of some sequences; None is a blank.

        Args:
            pairs: whether the sides of pairs are wanted.
        """
        shape = (len(rows), self.longest)
        ids_BT = np.full(shape, self.pad_id, dtype=np.int64)
        mask_BT: Array = np.zeros(shape, dtype=np.float32 if self.weighted else np.bool_)
        segments_BT, sides_BT = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        sides: dict[str, int] = {}
        given = 0
        for place, number in enumerate(rows):
            start = 0
            for segment, index in enumerate(() if number is None else self.packed[number], 1):
                example = self.examples[index]
                within = slice(start, start + example.tokens)
                start += example.tokens
                if index in self.hidden:
                    continue
                ids_BT[place, within] = example.ids
                mask_BT[place, within] = example.mask * (example.weight if self.weighted else True)
                segments_BT[place, within] = segment
                if example.pair is not None and example.pair not in self._half:
                    # The second line of a pair gets the number behind the first's, and takes its entry away: the same
                    # pair may be there once more, in the next epoch.
                    side = sides.pop(example.pair, 0) + 1
                    if side == 1:
                        side, given = given + 1, given + 2
                        sides[example.pair] = side
                    sides_BT[place, within] = side
        return ids_BT, mask_BT, segments_BT if self.segmented else None, sides_BT if pairs and given else None
