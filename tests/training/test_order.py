"""The order of the data: nothing is missed or seen twice in an epoch, weights hold everywhere, nothing is replayed."""

import math
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import UserError
from training.order import _GOLDEN, Order, Sample, Source, _count_below, permuted

ROOT = Path(__file__).resolve().parents[2]


class Document(NamedTuple):
    document_id: str
    token_start: int
    token_end: int


class Row:
    """A stream of ``tokens`` tokens, each its own place; documents of ten tokens, the third's of one."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens
        ends = [end for ten in range(0, tokens, 10) for end in ((ten + 9, ten + 10) if ten == 20 else (ten + 10,))]
        self.ends = sorted({min(end, tokens) for end in ends})

    def read(self, start: int, end: int) -> Any:
        assert 0 <= start <= end <= self.tokens
        return np.arange(start, end)

    def documents(self, start: int, end: int) -> list[Document]:
        starts = [0, *self.ends[:-1]]
        rows = [Document(f"d{low}", low, high) for low, high in zip(starts, self.ends, strict=True)]
        return [row for row in rows if row.token_start < end and row.token_end > start]


def order(*tokens: int, weights: tuple[float, ...] = (), length: int = 8, batch: int = 4, seed: int = 0) -> Order:
    weights = weights or (1.0,) * len(tokens)
    sources = [Source(f"s{i}", Row(count), weights[i]) for i, count in enumerate(tokens)]
    return Order(sources, length, batch, seed)


# ---- permutations ----


@pytest.mark.parametrize("size", [*range(1, 40), 63, 64, 65, 255, 256, 257, 1000, 4096, 4097])
def test_a_permutation_reaches_each_place_once(size: int) -> None:
    for key in ("a", "b"):
        assert sorted(permuted(place, size, key) for place in range(size)) == list(range(size))


@given(st.integers(1, 10**15), st.data())
def test_permutations_of_any_size_stay_within_and_tell_places_apart(size: int, data: st.DataObject) -> None:
    places = data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=20, unique=True))
    there = [permuted(place, size, "k") for place in places]
    assert len(set(there)) == len(places)
    assert all(0 <= each < size for each in there)


def test_permutations_look_random() -> None:
    """Over many keys each place goes everywhere equally often, and neighbours are not neighbours."""
    size, keys = 12, 6000
    table = np.zeros((size, size))
    for key in range(keys):
        for place in range(size):
            table[place, permuted(place, size, f"{key}")] += 1
    expected = keys / size
    chi2 = ((table - expected) ** 2 / expected).sum()
    freedom = (size - 1) ** 2
    assert abs(chi2 - freedom) < 5 * math.sqrt(2 * freedom)
    there = np.array([permuted(place, 5000, "k") for place in range(5000)])
    assert abs(np.corrcoef(np.arange(5000), there)[0, 1]) < 0.07
    assert abs(np.corrcoef(there[:-1], there[1:])[0, 1]) < 0.07
    assert np.mean(np.abs(np.diff(there)) == 1) < 0.005


# ---- samples ----


def test_an_epoch_has_each_sequence_once_and_the_next_in_another_order() -> None:
    made = order(8 * 50 + 1)
    assert made.sequences == [50]
    first, second = made.samples(0, 50), made.samples(50, 50)
    for epoch, samples in enumerate((first, second)):
        assert sorted(each.sequence for each in samples) == list(range(50))
        assert {each.epoch for each in samples} == {epoch}
    assert [each.sequence for each in first] != [each.sequence for each in second] != list(range(50))


def test_a_sequence_needs_the_token_behind_it() -> None:
    assert order(9).sequences == [1]
    assert order(16).sequences == [1]
    assert order(17).sequences == [2]
    with pytest.raises(UserError, match="s1 has 8 tokens"):
        order(100, 8)


def test_seed_and_dataset_decide_the_order() -> None:
    orders = {tuple(order(900, seed=seed).samples(0, 100)) for seed in range(3)}
    assert len(orders) == 3
    both = order(900, 900).samples(0, 200)
    one, other = ([each.sequence for each in both if each.dataset == i] for i in (0, 1))
    assert one[:50] != other[:50]


@given(st.integers(0, 2**64), st.integers(0, 2**64 - 1), st.integers(0, 300))
def test_places_below_a_border_are_counted_without_going_along(border: int, phase: int, count: int) -> None:
    there = sum((phase + index * _GOLDEN) % 2**64 < border for index in range(count))
    assert _count_below(count, border, phase) == there


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=5),
    st.integers(0, 400),
    st.integers(0, 10**12),
    st.integers(0, 9),
)
def test_any_stretch_is_part_of_the_one_sequence(weights: list[float], begin: int, far: int, seed: int) -> None:
    made = order(*range(20, 20 + 7 * len(weights), 7), weights=tuple(weights), seed=seed)
    whole = made.samples(0, 500)
    assert made.samples(begin, 60) == whole[begin : begin + 60]
    assert made.samples(0, 1) == whole[:1]
    assert [*made.samples(far, 20), *made.samples(far + 20, 20)] == made.samples(far, 40)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0.01, 10), min_size=2, max_size=5), st.integers(0, 10**9), st.integers(0, 9))
def test_every_stretch_has_the_weights_asked_for(weights: list[float], begin: int, seed: int) -> None:
    """A low-discrepancy sequence is off by O(log n) samples, random choice by O(sqrt n)."""
    count = 2000
    made = order(*[1000] * len(weights), weights=tuple(weights), seed=seed)
    seen = Counter(each.dataset for each in made.samples(begin, count))
    for index, weight in enumerate(weights):
        assert abs(seen[index] - count * weight / sum(weights)) < 8


def test_datasets_follow_their_own_order_in_a_mixture() -> None:
    """Each goes through all its sequences, whatever is mixed with it."""
    made = order(8 * 7 + 1, 8 * 90 + 1, weights=(1.0, 3.0))
    mine = [each for each in made.samples(0, 200) if each.dataset == 0]
    assert [each.epoch for each in mine[:21]] == [0] * 7 + [1] * 7 + [2] * 7
    assert sorted(each.sequence for each in mine[7:14]) == list(range(7))


def test_late_steps_cost_no_more() -> None:
    """What came before is not gone through: 10^15 samples would take years."""
    made = order(1000, 500, weights=(0.3, 0.7))
    samples = made.step_samples(10**15)
    assert len(samples) == 4


# ---- steps ----


@pytest.mark.parametrize(("replicas", "micro"), [(1, 1), (1, 4), (2, 2), (4, 1), (3, 4), (12, 1), (1, 12)])
def test_a_step_has_the_same_samples_in_every_topology(replicas: int, micro: int) -> None:
    made = order(900, 300, batch=12)
    step = made.step_samples(5)
    assert step == made.samples(48, 12)
    found: dict[int, Sample] = {}
    for replica in range(replicas):
        batches = list(made.rows(5, replica, replicas, micro))
        assert [len(batch) for batch in batches] == [micro] * (12 // (replicas * micro))
        for number, batch in enumerate(batches):
            for place, sample in enumerate(batch):
                found[number * replicas * micro + replica * micro + place] = sample
    assert [found[index] for index in range(12)] == step


def test_steps_begin_at_one() -> None:
    assert order(100).step_samples(1) == order(100).samples(0, 4)
    with pytest.raises(UserError, match="from 1"):
        order(100).step_samples(0)


def test_tokens_are_those_of_the_sequence_and_the_one_behind() -> None:
    made = order(900, 300)
    samples = made.step_samples(3)
    ids_BT = made.tokens(samples)
    assert ids_BT.shape == (4, 9)
    assert ids_BT.dtype == np.int64
    for row, sample in zip(ids_BT, samples, strict=True):
        assert row.tolist() == list(range(sample.sequence * 8, sample.sequence * 8 + 9))


def test_documents_have_all_tokens_of_a_step() -> None:
    made = order(203, 101, batch=16)
    for step in (1, 2, 7):
        samples = made.step_samples(step)
        parts = made.documents(step)
        wanted: Counter[tuple[str, str, int]] = Counter()
        for sample in samples:
            source = made.sources[sample.dataset]
            for token in range(sample.sequence * 8, sample.sequence * 8 + 9):
                (document,) = source.stream.documents(token, token + 1)
                wanted[source.dataset_id, document.document_id, sample.epoch] += 1
        found = {(part.dataset_id, part.document.document_id, part.epoch): part.tokens for part in parts}
        assert found == wanted
        assert sum(found.values()) == 16 * 9
        assert len(found) == len(parts)


def test_the_fingerprint_tells_of_every_change() -> None:
    made = [
        order(900, 300),
        order(901, 300),
        order(900, 300, weights=(1.0, 2.0)),
        order(900, 300, length=9),
        order(900, 300, batch=5),
        order(900, 300, seed=1),
        order(300, 900),
    ]
    assert len({each.fingerprint for each in made}) == len(made)
    assert order(900, 300).fingerprint == made[0].fingerprint


def test_the_order_is_the_same_on_every_machine() -> None:
    """Another value here is another order of every run that is to go on."""
    made = order(8 * 1000 + 1, 8 * 70 + 1, weights=(0.6, 0.4), seed=17)
    assert [tuple(each) for each in made.samples(10**6, 5)] == [
        (1, 33, 5714),
        (0, 728, 600),
        (1, 28, 5714),
        (0, 785, 600),
        (0, 133, 600),
    ]


def test_neither_torch_nor_nanotron_is_loaded() -> None:
    code = (
        "import sys, training.order, training.checks, training.options, training.plan, training.sizes;"
        "print([m for m in ('torch', 'nanotron', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
