"""Candidate pairs out of buckets: who is compared with whom, and how work grows."""

from pathlib import Path

import numpy as np
import pytest

from curation.dedup import buckets
from curation.dedup.buckets import candidate_pairs, similarities, unpack
from curation.dedup.columns import save_columns
from curation.dedup.corpus import Corpus, Segment
from curation.dedup.keys import key_range
from curation.dedup.similarity import jaccard

ALL = (0, 2**64)


def saved(folder: Path, own: list[int], held: list[int], near: bool = True) -> Corpus:
    """A corpus whose documents have these keys in band 1, and other keys in bands 0 and 2."""
    segments = []
    for name, keys in (("own", own), ("held", held)):
        count = len(keys)
        bands = np.array([range(1, count + 1), keys, range(7, 7 + count)], dtype=np.uint64)
        save_columns(folder / name, {"bands": bands, "ids": np.zeros((count, 2), dtype=np.uint64)})
        segments.append(Segment(str(folder / name), count, name == "held", near or name == "own"))
    return Corpus(segments)


def pairs(corpus: Corpus, slices: int = 1, gone: tuple[int, ...] = ()) -> list[tuple[int, int]]:
    mask = np.isin(np.arange(corpus.own), gone)
    found = [candidate_pairs(corpus, 1, key_range(index, slices), mask) for index in range(slices)]
    return sorted(pair for each in found for pair in zip(*(side.tolist() for side in unpack(each)), strict=True))


def test_each_with_the_first_and_the_one_before(tmp_path: Path) -> None:
    key = 2**63 + 5
    corpus = saved(tmp_path, [key, 3, key, 0, 3, key, key, 0, 9], [])
    assert pairs(corpus) == [(0, 2), (0, 5), (0, 6), (1, 4), (2, 5), (5, 6)]
    assert pairs(corpus, slices=3) == pairs(corpus)
    assert pairs(corpus, gone=(0, 4)) == [(2, 5), (2, 6), (5, 6)]


def test_own_ones_with_some_held_ones(tmp_path: Path) -> None:
    """Held documents are not compared with each other, and of many in a bucket eight are looked at."""
    corpus = saved(tmp_path, [5, 6, 5], [6, 5, 5, 8, *[6] * 20])
    found = pairs(corpus)
    assert [pair for pair in found if pair[1] < 3] == [(0, 2)]
    assert [pair for pair in found if pair[1] in (4, 5)] == [(0, 4), (0, 5), (2, 4), (2, 5)]
    assert [high for low, high in found if low == 1] == [3, 7, 8, 9, 10, 11, 12, 13]
    assert len(found) == 1 + 4 + 8


def test_other_signatures_are_left_out(tmp_path: Path) -> None:
    assert pairs(saved(tmp_path, [5, 5], [5, 5], near=False)) == [(0, 1)]


@pytest.mark.parametrize(("own", "held"), [([], []), ([0, 0], [0]), ([4], []), ([4, 5], [6])])
def test_nothing_to_compare(tmp_path: Path, own: list[int], held: list[int]) -> None:
    assert pairs(saved(tmp_path, own, held)) == []


def test_work_grows_with_the_bucket_and_not_with_its_pairs(tmp_path: Path) -> None:
    found = {}
    for count in (1000, 4000):
        corpus = saved(tmp_path / str(count), [7] * count, [7] * count)
        found[count] = len(pairs(corpus))
    assert found[1000] == 2 * 999 - 1 + 8 * 1000
    assert found[4000] == 2 * 3999 - 1 + 8 * 4000


def test_similarities_some_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = np.random.default_rng(4)
    sets = [np.unique(chance.integers(0, 30, chance.integers(0, 25), dtype=np.uint32)) for _ in range(40)]
    offsets = np.concatenate(([0], np.cumsum([len(each) for each in sets]))).astype(np.uint64)
    save_columns(tmp_path / "x", {"offsets": offsets, "shingles": np.concatenate(sets)})
    corpus = Corpus([Segment(str(tmp_path / "x"), 40)])
    low, high = chance.integers(0, 40, 300), chance.integers(0, 40, 300)
    expected = [jaccard(sets[one], sets[two]) for one, two in zip(low.tolist(), high.tolist(), strict=True)]
    for volume in (1, 60, 2**20):
        monkeypatch.setattr(buckets, "_BATCH_SHINGLES", volume)
        assert similarities(corpus, low, high).tolist() == expected
    assert similarities(corpus, low[:0], high[:0]).tolist() == []
