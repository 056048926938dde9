"""Which tokens, and so which documents, are in which step.

A dataset's training stream of T tokens has (T - 1) // S sequences: sequence k is the tokens [k S, k S + S + 1), of
which the first S are read and the last S predicted. In each epoch a dataset's sequences come in another pseudo-random
order; which dataset a sample comes from is told by its place in a low-discrepancy sequence, so that every stretch of a
run has the weights asked for. Both are computed for any sample from its index alone: nothing is stored, nothing is
replayed, and a run that goes on, on however many processes, sees what it would have seen. Neither torch nor nanotron is
imported.
"""

import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple, Protocol

import numpy as np

from curation.errors import UserError

Array = np.ndarray[Any, Any]

_ROUNDS = 6
"""Of the Feistel network; four make a pseudo-random permutation of ideal round functions (Luby and Rackoff 1988,
https://doi.org/10.1137/0217022), ours are hashes of 64 bits."""
_WHOLE = 1 << 64
"""Places in the sequence that chooses datasets are multiples of 1 / this."""
_GOLDEN = 0x9E3779B97F4A7C15
"""2^64 / golden ratio: the step of the sequence with the lowest discrepancy among the multiples of one number (Knuth,
TAOCP 3, 6.4)."""


class Stream(Protocol):
    """A row of tokens, as ``curation.tokens.read.TokenStream``."""

    @property
    def tokens(self) -> int:
        """How many there are."""

    def read(self, start: int, end: int) -> Array:
        """int64 [end - start]."""

    def documents(self, start: int, end: int) -> Sequence[Any]:
        """The documents that have a token in [start, end), with ``token_start`` and ``token_end``."""


@dataclass(frozen=True)
class Source:
    """A dataset of the mixture."""

    dataset_id: str
    stream: Stream
    weight: float


class Sample(NamedTuple):
    """A sequence of a step."""

    dataset: int
    """Index into the sources."""
    sequence: int
    """Which of its sequences, from 0."""
    epoch: int
    """How often the dataset has been gone through before, from 0."""


class Part(NamedTuple):
    """The tokens that a document has in a step."""

    dataset_id: str
    document: Any
    """As the stream gives it."""
    tokens: int
    """How many of its tokens the step reads; over several sequences, where they are near each other."""
    epoch: int


class Order:
    """The samples of a run, by their index from 0. Step s, from 1, has those of [(s - 1) G, s G)."""

    def __init__(self, sources: Sequence[Source], sequence_length: int, global_batch_size: int, seed: int) -> None:
        """
        Args:
            sources: the mixture; weights are relative to each other.
            sequence_length: S, tokens that a sequence predicts.
            global_batch_size: G, sequences of a step.
            seed: of everything.

        Raises:
            UserError: a dataset has no single sequence.
        """
        self.sources, self.sequence_length, self.seed = tuple(sources), sequence_length, seed
        self.global_batch_size = global_batch_size
        self.sequences = [max(0, source.stream.tokens - 1) // sequence_length for source in self.sources]
        for source, count in zip(self.sources, self.sequences, strict=True):
            if count == 0:
                raise UserError(
                    f"data.datasets: {source.dataset_id} has {source.stream.tokens} tokens to train on, too few for "
                    f"one sequence of {sequence_length} (batch.sequence_length) and the token behind it"
                )
        # In fractions, so that they are the same on every machine.
        sums = [*itertools.accumulate(Fraction(source.weight) for source in self.sources)]
        self._borders = [int(_WHOLE * each / sums[-1]) for each in sums[:-1]]
        self._phase = _hash64(f"{seed}/mixture")

    @property
    def fingerprint(self) -> str:
        """sha256 of all that the order depends on: another one is another order, or other data."""
        facts = [[source.dataset_id, source.stream.tokens, source.weight] for source in self.sources]
        plain = json.dumps([facts, self.sequence_length, self.global_batch_size, self.seed])
        return hashlib.sha256(plain.encode()).hexdigest()

    # ---- samples ----

    def samples(self, first: int, count: int) -> list[Sample]:
        """The samples of [first, first + count)."""
        datasets = self._datasets(first, count)
        ordinals = np.zeros(count, dtype=np.int64)
        for index, before in enumerate(self._before(first)):
            mine = datasets == index
            ordinals[mine] = before + np.arange(int(mine.sum()))
        found = []
        for dataset, ordinal in zip(datasets.tolist(), ordinals.tolist(), strict=True):
            size = self.sequences[dataset]
            epoch, place = divmod(ordinal, size)
            key = f"{self.seed}/{self.sources[dataset].dataset_id}/{epoch}"
            found.append(Sample(dataset, permuted(place, size, key), epoch))
        return found

    def step_samples(self, step: int) -> list[Sample]:
        """The samples of a step, which is numbered from 1."""
        if step < 1:
            raise UserError(f"step {step}: steps are numbered from 1")
        return self.samples((step - 1) * self.global_batch_size, self.global_batch_size)

    def rows(self, step: int, replica: int, replicas: int, micro: int) -> Iterator[list[Sample]]:
        """The micro-batches of one replica in a step: the m-th has the samples m R B + r B + [0, B) of the step, for R
        replicas and micro-batches of B. Which samples a step has does not depend on either."""
        samples = self.step_samples(step)
        for begin in range(replica * micro, len(samples), replicas * micro):
            yield samples[begin : begin + micro]

    def _datasets(self, first: int, count: int) -> Array:
        if not self._borders:
            return np.zeros(count, dtype=np.int64)
        index = np.arange(first, first + count, dtype=np.uint64)
        with np.errstate(over="ignore"):
            place = index * np.uint64(_GOLDEN) + np.uint64(self._phase)
        return np.searchsorted(np.array(self._borders, dtype=np.uint64), place, side="right")

    def _before(self, first: int) -> list[int]:
        """How many of the samples [0, first) are of each dataset."""
        below = [_count_below(first, border, self._phase) for border in self._borders]
        return [end - begin for begin, end in itertools.pairwise((0, *below, first))]

    # ---- tokens and documents ----

    def span(self, sample: Sample) -> tuple[int, int]:
        """[start, end) of a sample's tokens in the stream of its dataset."""
        start = sample.sequence * self.sequence_length
        return start, start + self.sequence_length + 1

    def tokens(self, samples: Sequence[Sample]) -> Array:
        """int64 [B, S + 1]: the tokens of samples."""
        ids_BT = np.empty((len(samples), self.sequence_length + 1), dtype=np.int64)
        for row, sample in zip(ids_BT, samples, strict=True):
            row[:] = self.sources[sample.dataset].stream.read(*self.span(sample))
        return ids_BT

    def documents(self, step: int) -> list[Part]:
        """The documents that a step reads, in the order of the data."""
        return self.sample_documents(self.step_samples(step))

    def sample_documents(self, samples: Sequence[Sample]) -> list[Part]:
        """The documents that samples read (the token behind a sequence, which is predicted alone, counts as read)."""
        found: dict[tuple[int, str, int], Part] = {}
        for sample in sorted(samples):
            start, end = self.span(sample)
            source = self.sources[sample.dataset]
            for document in source.stream.documents(start, end):
                tokens = min(end, document.token_end) - max(start, document.token_start)
                key = (sample.dataset, document.document_id, sample.epoch)
                if key in found:
                    tokens += found[key].tokens
                found[key] = Part(source.dataset_id, document, tokens, sample.epoch)
        return list(found.values())


def _count_below(count: int, border: int, phase: int) -> int:
    """How many of the first ``count`` places of the sequence that chooses datasets are below ``border``. Such are those
    where x // 2^64 differs from (x - border) // 2^64; both are summed without going along them."""
    return _floor_sum(count, phase + _WHOLE) - _floor_sum(count, phase + _WHOLE - border)


def _floor_sum(count: int, offset: int) -> int:
    """The sum of (golden i + offset) // 2^64 over i in [0, count): lattice points below a line, counted in the steps of
    the Euclidean algorithm (Graham, Knuth and Patashnik, Concrete Mathematics, 3.5)."""
    total, modulus, slope = 0, _WHOLE, _GOLDEN
    while True:
        whole, slope = divmod(slope, modulus)
        total += whole * (count * (count - 1) // 2)
        whole, offset = divmod(offset, modulus)
        total += whole * count
        highest = slope * count + offset
        if highest < modulus:
            return total
        count, offset = divmod(highest, modulus)
        modulus, slope = slope, modulus


def permuted(place: int, size: int, key: str) -> int:
    """Where a pseudo-random permutation of [0, size) sends ``place``.

    A balanced Feistel network on the smallest even number of bits that holds ``size``, walked on from values that are
    out of range (cycle walking, Black and Rogaway 2002, https://doi.org/10.1007/3-540-45760-7_9): four steps at most on
    average.
    """
    half = max(1, (max(size - 1, 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    keys = _round_keys(key)
    while True:
        left, right = place >> half, place & mask
        for round_key in keys:
            left, right = right, left ^ (_mix(right ^ round_key) & mask)
        place = (left << half) | right
        if place < size:
            return place


def _mix(value: int) -> int:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014, https://doi.org/10.1145/2660193.2660195)."""
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
    return value ^ (value >> 31)


_KEYS: dict[str, tuple[int, ...]] = {}


def _round_keys(key: str) -> tuple[int, ...]:
    if key not in _KEYS:
        if len(_KEYS) > 1024:
            _KEYS.clear()
        _KEYS[key] = tuple(_hash64(f"{key}/{number}") for number in range(_ROUNDS))
    return _KEYS[key]


def _hash64(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
