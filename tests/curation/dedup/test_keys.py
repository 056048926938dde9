"""Equal keys, beside a dictionary."""

import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.dedup.columns import save_columns
from curation.dedup.corpus import Corpus, Segment
from curation.dedup.keys import equal_keys, gather, key_range

ALL = (0, 2**64)
BOUNDS = [0, 1, 2**63 - 1, 2**63, 2**64 - 1]


@given(st.integers(1, 300), st.sampled_from([*BOUNDS, 2**62, 12345678901234567890]))
def test_slices_hold_every_key_once(count: int, key: int) -> None:
    ranges = [key_range(index, count) for index in range(count)]
    assert (ranges[0][0], ranges[-1][1]) == ALL
    assert all(one[1] == two[0] for one, two in pairwise(ranges))
    assert sum(low <= key < high for low, high in ranges) == 1


def saved(folder: Path, rows: list[tuple[int, int]], cut: int, held: int) -> Corpus:
    """A corpus of (id, key) rows in three files, the last of which holds ``held`` rows of an earlier run."""
    segments = []
    own = len(rows) - held
    for name, (low, high) in {"a": (0, min(cut, own)), "b": (min(cut, own), own), "h": (own, len(rows))}.items():
        ids = np.array([[0, each] for each, _ in rows[low:high]], dtype=np.uint64).reshape(-1, 2)
        keys = np.array([key for _, key in rows[low:high]], dtype=np.uint64)
        columns = {"ids": ids, "url": keys, "text": keys, "leader": ids, "leader_jaccard": np.ones(len(ids))}
        save_columns(folder / name, columns)
        segments.append(Segment(str(folder / name), high - low, name == "h"))
    return Corpus(segments)


@settings(deadline=None, max_examples=60)
@given(
    keys=st.lists(st.sampled_from([*BOUNDS, 7, 8]), max_size=25),
    cut=st.integers(0, 25),
    held=st.integers(0, 10),
    slices=st.integers(1, 4),
    seed=st.integers(0, 999),
)
def test_the_first_of_equal_keys_stays(
    tmp_path_factory: pytest.TempPathFactory, keys: list[int], cut: int, held: int, slices: int, seed: int
) -> None:
    chance = random.Random(seed)
    rows = list(zip(chance.sample(range(1000), len(keys)), keys, strict=True))
    held = min(held, len(rows))
    own = len(rows) - held
    corpus = saved(tmp_path_factory.mktemp("keys"), rows, cut, held)
    gone = np.array([chance.random() < 0.2 for _ in range(own)], dtype=bool)
    for name in ("url", "text"):
        found: dict[int, int] = {}
        for index in range(slices):
            removed, leaders = equal_keys(corpus, name, key_range(index, slices), gone)
            assert (np.diff(removed.astype(np.int64)) > 0).all()
            found |= dict(zip(removed.tolist(), leaders.tolist(), strict=True))
        expected = {}
        there = [n for n in range(len(rows)) if rows[n][1] and not (n < own and gone[n])]
        for number in there:
            equal = [n for n in there if rows[n][1] == rows[number][1]]
            first = min(equal, key=lambda n: (n < own, rows[n][0]))
            if number < own and number != first:
                expected[number] = first
        assert found == expected


def test_of_held_keys_only_those_are_gathered_that_are_wanted(tmp_path: Path) -> None:
    """Memory is bounded by the run, not by the workspace."""
    rows = [(1, 5), (2, 6), *((n, n) for n in range(100, 200)), (3, 5)]
    corpus = saved(tmp_path, rows, 1, 101)
    keys, numbers = gather(corpus, "url", ALL, np.zeros(2, dtype=bool))
    assert keys.tolist() == [5, 5, 6]
    assert numbers.tolist() == [0, 102, 1]


def test_nothing_equal(tmp_path: Path) -> None:
    for rows in ([], [(1, 0), (2, 0)], [(1, 5), (2, 6)]):
        corpus = saved(tmp_path / str(len(rows)), list(rows), 1, 0)
        found: tuple[Any, Any] = equal_keys(corpus, "url", ALL, np.zeros(len(rows), dtype=bool))
        assert [each.tolist() for each in found] == [[], []]
