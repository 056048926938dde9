"""Shingles, signatures, bands and similarity, beside plain Python sets and datasketch."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from datasketch import LeanMinHash, MinHash
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.dedup import similarity
from curation.dedup.similarity import (
    SIGNATURE_SEED,
    band_keys,
    jaccard,
    jaccards,
    match_curve,
    match_probability,
    shingles,
    signatures,
)
from curation.words import word_hash
from tests.curation.dedup.planted import shingle_set, true_jaccard

Array = np.ndarray[Any, Any]
WORDS = st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), max_size=40)
SETS = st.frozensets(st.one_of(st.integers(0, 30), st.integers(2**32 - 20, 2**32 - 1)), max_size=40)


def hashed(words: list[str]) -> Array:
    return np.array([word_hash(word) for word in words], dtype=np.uint64)


def as_array(values: frozenset[int]) -> Array:
    return np.array(sorted(values), dtype=np.uint32)


def related(chance: np.random.Generator, size: int, wanted: float) -> tuple[Array, Array, float]:
    """Two random sets of about this similarity, and what it is."""
    shared = round(2 * size * wanted / (1 + wanted))
    pool = chance.choice(2**32, 2 * size - shared, replace=False).astype(np.uint32)
    left, right = np.sort(pool[:size]), np.sort(np.concatenate([pool[:shared], pool[size:]]))
    return left, right, jaccard(left, right)


def signed(sets: list[Array], hashes: int) -> Array:
    offsets = np.concatenate(([0], np.cumsum([len(each) for each in sets]))).astype(np.uint64)
    return signatures(np.concatenate(sets), offsets, hashes)


# ---- shingles and similarity ------------------------------------------------------------------


@given(WORDS, WORDS, st.integers(1, 7))
def test_shingles_are_runs_of_words(left: list[str], right: list[str], ngram: int) -> None:
    """Equal exactly where the words are, whatever their place, so that similarity is that of sets of runs."""
    one, two = shingles(hashed(left), ngram), shingles(hashed(right), ngram)
    runs = shingle_set(left, ngram), shingle_set(right, ngram)
    assert (len(one), len(two)) == (len(runs[0]), len(runs[1]))
    assert one.dtype == np.uint32
    assert (one[1:] > one[:-1]).all()
    assert jaccard(one, two) == true_jaccard(*runs)


def test_a_text_shorter_than_a_shingle_is_one() -> None:
    assert shingles(hashed([]), 5).tolist() == []
    assert shingles(hashed(["a", "b"]), 5).tolist() == shingles(hashed(["a", "b"]), 9).tolist()
    assert len(shingles(hashed(["a", "b"]), 5)) == 1
    assert shingles(hashed(["a", "b"]), 5).tolist() != shingles(hashed(["b", "a"]), 5).tolist()


@given(SETS, SETS)
def test_jaccard(left: frozenset[int], right: frozenset[int]) -> None:
    union = len(left | right)
    expected = len(left & right) / union if union else 0.0
    assert jaccard(as_array(left), as_array(right)) == expected
    assert jaccard(as_array(right), as_array(left)) == expected


@given(st.lists(st.tuples(SETS, SETS), max_size=20))
def test_many_at_once_as_one_by_one(pairs: list[tuple[frozenset[int], frozenset[int]]]) -> None:
    lefts, rights = [as_array(left) for left, _ in pairs], [as_array(right) for _, right in pairs]
    assert jaccards(lefts, rights).tolist() == [jaccard(*pair) for pair in zip(lefts, rights, strict=True)]


# ---- signatures -------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97])
def test_estimates_are_unbiased(wanted: float) -> None:
    """Equal hash values are counted over 400 pairs of 128: their share is within 5 standard errors of the true
    similarity, and their spread at most that of a binomial, as if the hash values were independent."""
    chance = np.random.default_rng(round(wanted * 100))
    pairs = [related(chance, 150, wanted) for _ in range(400)]
    signature_NK = signed([each for left, right, _ in pairs for each in (left, right)], 128)
    true = pairs[0][2]
    estimates = (signature_NK[::2] == signature_NK[1::2]).mean(axis=1)
    error = math.sqrt(true * (1 - true) / 128)
    assert abs(estimates.mean() - true) <= 5 * error / math.sqrt(len(pairs)) + 1e-9
    assert estimates.std() <= 1.1 * error


def test_each_hash_value_is_unbiased() -> None:
    """No single hash function of the signature is worse than the others."""
    chance = np.random.default_rng(3)
    pairs = [related(chance, 60, 0.5) for _ in range(1500)]
    signature_NK = signed([each for left, right, _ in pairs for each in (left, right)], 112)
    share_K = (signature_NK[::2] == signature_NK[1::2]).mean(axis=0)
    true = pairs[0][2]
    assert np.abs(share_K - true).max() < 5 * math.sqrt(true * (1 - true) / len(pairs))


def test_a_signature_does_not_depend_on_its_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = np.random.default_rng(1)
    sets = [np.unique(chance.integers(0, 2**32, chance.integers(1, 50), dtype=np.uint32)) for _ in range(300)]
    together = signed(sets, 112)
    assert together.shape == (300, 112)
    for number, each in enumerate(sets):
        assert (signed([each], 112)[0] == together[number]).all()
    monkeypatch.setattr(similarity, "_AT_ONCE", 7)
    assert (signed(sets, 112) == together).all()
    assert (signed(sets[::-1], 112)[::-1] == together).all()


def test_signatures_of_nothing() -> None:
    assert signatures(np.empty(0, dtype=np.uint32), np.zeros(1, dtype=np.uint64), 12).shape == (0, 12)


@pytest.mark.parametrize("wanted", [0.1, 0.4, 0.7, 0.95])
def test_estimates_as_of_datasketch(wanted: float) -> None:
    """On the same sets both estimate the same; read by datasketch, our signatures estimate what we say."""
    chance = np.random.default_rng(round(100 * wanted))
    pairs = [related(chance, 100, wanted) for _ in range(60)]
    true, error = pairs[0][2], math.sqrt(pairs[0][2] * (1 - pairs[0][2]) / 112)
    ours, theirs = [], []
    for left, right, _ in pairs:
        own = signed([left, right], 112)
        read = [LeanMinHash(seed=SIGNATURE_SEED, hashvalues=each, scheme="affine32") for each in own]
        ours.append(float((own[0] == own[1]).mean()))
        assert read[0].jaccard(read[1]) == ours[-1]
        made = []
        for each in (left, right):
            made.append(MinHash(num_perm=112, hashfunc=int))
            made[-1].update_batch(each.tolist())
        theirs.append(float(made[0].jaccard(made[1])))
    assert abs(np.mean(ours) - np.mean(theirs)) < 4 * error * math.sqrt(2 / len(pairs))
    assert max(abs(one - true) for one in ours) < 5 * error
    assert np.std(ours) < 1.25 * np.std(theirs), "ours are no worse"


# ---- bands ------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 2**32 - 1), st.data())
def test_band_keys_are_equal_where_bands_are(bands: int, rows: int, seed: int, data: st.DataObject) -> None:
    chance = np.random.default_rng(seed)
    values = chance.integers(0, data.draw(st.sampled_from([2, 3, 2**32])), (12, bands * rows + 1), dtype=np.uint64)
    signature_NK = values.astype(np.uint32)
    keys = band_keys(signature_NK, bands, rows)
    assert keys.shape == (bands, 12)
    for band in range(bands):
        parts = [tuple(each) for each in signature_NK[:, band * rows : (band + 1) * rows].tolist()]
        for one in range(12):
            for two in range(12):
                assert (keys[band, one] == keys[band, two]) == (parts[one] == parts[two])


def test_the_order_of_the_rows_counts() -> None:
    signature_NK = np.array([[1, 2, 3, 4], [2, 1, 4, 3], [0, 0, 0, 0]], dtype=np.uint32)
    keys = band_keys(signature_NK, 2, 2)
    assert len(np.unique(keys[0])) == 3
    assert len(np.unique(keys[1])) == 3
    assert (keys != 0).all(), "0 means that there is no key"


@pytest.mark.parametrize(("bands", "rows", "wanted"), [(14, 8, 0.75), (14, 8, 0.65), (9, 13, 0.9), (28, 4, 0.4)])
def test_match_probability_is_what_happens(bands: int, rows: int, wanted: float) -> None:
    chance = np.random.default_rng(bands)
    pairs = [related(chance, 120, wanted) for _ in range(1500)]
    signature_NK = signed([each for left, right, _ in pairs for each in (left, right)], bands * rows)
    keys = band_keys(signature_NK, bands, rows)
    share = (keys[:, ::2] == keys[:, 1::2]).any(axis=0).mean()
    expected = match_probability(pairs[0][2], bands, rows)
    assert 0.1 < expected < 0.999
    assert abs(share - expected) < 4.5 * math.sqrt(expected * (1 - expected) / len(pairs))


@given(st.integers(1, 60), st.integers(1, 20))
def test_match_probability_at_the_ends(bands: int, rows: int) -> None:
    assert match_probability(0.0, bands, rows) == 0.0
    assert match_probability(1.0, bands, rows) == 1.0
    values = [match_probability(step / 20, bands, rows) for step in range(21)]
    assert all(low <= high for low, high in pairwise(values))
    assert match_probability(0.5, 1, rows) == pytest.approx(0.5**rows)
    assert match_probability(0.5, bands, 1) == pytest.approx(1 - 0.5**bands)


def test_the_curve_for_people() -> None:
    lines = match_curve(14, 8, 0.7).splitlines()[1:]
    table = {float(line.split()[0]): (float(line.split()[1]), line.split()[-1]) for line in lines}
    assert list(table) == sorted(table)
    assert table[1.0] == (100.0, "removed")
    assert table[0.65][1] == "kept"
    assert table[0.7][1] == "removed"
    for jaccard_, (percent, _) in table.items():
        assert percent == pytest.approx(100 * (1 - (1 - jaccard_**8) ** 14), abs=0.051)
