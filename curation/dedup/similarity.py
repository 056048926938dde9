"""Shingles, MinHash signatures, bands, and Jaccard similarity: arrays in, arrays out.

Array suffixes: ``N`` documents, ``S`` shingles of one document, ``F`` shingles of many one after the other,
``K`` hash values of a signature, ``P`` pairs.
"""

from typing import Any

import numpy as np

from curation.words import ngram_hashes

Array = np.ndarray[Any, Any]

SIGNATURE_SEED = 1
_BAND_SALT = 0xA0761D6478BD642F
_AT_ONCE = 2048


def shingles(normal_W: Array, ngram: int) -> Array:
    """The set of ``ngram``-word shingles as sorted uint32 hashes; a shorter text is one shingle.

    32 bits make two different shingles of a pair of documents equal about n^2 / 2^32 times: once in 4,000
    pairs of documents of 1,000 words, which changes their similarity by a thousandth.
    """
    if not len(normal_W):
        return np.empty(0, dtype=np.uint32)
    hashes = ngram_hashes(normal_W, min(ngram, len(normal_W)))
    unique: Array = np.unique((hashes >> np.uint64(32)).astype(np.uint32))
    return unique


def signatures(shingles_F: Array, offsets: Array, hashes: int) -> Array:
    """MinHash signatures (Broder 1997), uint32 of shape [N, hashes].

    rensa's implementation: on texts of 400 shingles 7 microseconds a document for 112 hashes, seven times as fast as
    NumPy and nine times as fast as datasketch, and as exact (``benchmarks/dedup.py``).

    Args:
        shingles_F: shingles of all documents, each with at least one.
        offsets: uint64 of shape [N + 1], where each document's begin and end.
    """
    from rensa import RMinHash

    signature_NK = np.empty((len(offsets) - 1, hashes), dtype=np.uint32)
    for low in range(0, len(signature_NK), _AT_ONCE):  # rensa hands its numbers over as Python objects
        bounds = offsets[low : low + _AT_ONCE + 1].astype(np.uint64)
        values = shingles_F[int(bounds[0]) : int(bounds[-1])].astype(np.uint64)
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(values, bounds - bounds[0], hashes, SIGNATURE_SEED)
        signature_NK[low : low + _AT_ONCE] = np.array(matrix.to_rows(), dtype=np.uint32)
    return signature_NK


def band_keys(signatures_NK: Array, bands: int, rows: int) -> Array:
    """uint64 of shape [bands, N]: equal where two signatures agree in all rows of the band."""
    multiplier, shift = np.uint64(0x9E3779B97F4A7C15), np.uint64(29)
    parts = signatures_NK[:, : bands * rows].reshape(len(signatures_NK), bands, rows).astype(np.uint64)
    keys = np.full((len(signatures_NK), bands), _BAND_SALT, dtype=np.uint64)
    for row in range(rows):
        keys ^= parts[:, :, row]
        keys *= multiplier
        keys ^= keys >> shift
    return np.ascontiguousarray(keys.T)


def match_probability(jaccard: float, bands: int, rows: int) -> float:
    """Probability that two documents of this similarity agree in at least one band: 1 - (1 - J^r)^b
    (Leskovec, Rajaraman, Ullman: Mining of Massive Datasets, section 3.4.2)."""
    return float(1 - (1 - jaccard**rows) ** bands)


def match_curve(bands: int, rows: int, threshold: float) -> str:
    """A table for people: how likely a pair is to be compared, and what then happens to it."""
    lines = ["jaccard   compared   then"]
    for jaccard in sorted({*(step / 20 for step in range(8, 20)), 1.0}):
        outcome = "removed" if jaccard >= threshold else "kept"
        lines.append(f"{jaccard:7.2f}{100 * match_probability(jaccard, bands, rows):9.1f} %   {outcome}")
    return "\n".join(lines)


def jaccard(left_S: Array, right_S: Array) -> float:
    """|A and B| / |A or B| of two sets given as sorted arrays without repeats; 0 for two empty ones."""
    shared = len(np.intersect1d(left_S, right_S, assume_unique=True))
    union = len(left_S) + len(right_S) - shared
    return shared / union if union else 0.0


def jaccards(lefts: list[Array], rights: list[Array]) -> Array:
    """``jaccard`` of many pairs at once, float64 of shape [P]."""
    if not lefts:
        return np.empty(0)
    sizes = np.array([len(a) + len(b) for a, b in zip(lefts, rights, strict=True)], dtype=np.int64)
    both = [each for pair in zip(lefts, rights, strict=True) for each in pair]
    values = np.concatenate(both).astype(np.uint64)
    values |= np.repeat(np.arange(len(sizes), dtype=np.uint64), sizes) << np.uint64(32)
    values.sort()
    repeated = values[1:][values[1:] == values[:-1]] >> np.uint64(32)
    shared = np.bincount(repeated.astype(np.int64), minlength=len(sizes))
    union = sizes - shared
    found: Array = np.divide(shared, union, out=np.zeros(len(sizes)), where=union > 0)
    return found
