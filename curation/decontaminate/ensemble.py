"""Long items by MinHash: ``datasketch``'s LSH Ensemble, with documents indexed and items as queries.

An LSH Ensemble (Zhu et al. 2016, https://doi.org/10.14778/2994509.2994534) finds the sets that contain a share of a
query's. It needs all documents beforehand, so that it is for finished runs only, and it is here to be held against
the matcher of ``matching``: what it misses is printed.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from curation.decontaminate.units import item_units
from curation.words import Words, ngram_hashes

LONG = 200
"""Words of an item above which MinHash has enough to go on: of 200 words 198 sets of three are compared."""
NGRAM = 3
"""Words of a shingle: with one word in six changed (5/6)^3 = .58 of an item's shingles are left."""
THRESHOLD = 0.5
"""Least containment asked for: below the .58 of a near copy."""
PERMUTATIONS = 256
PARTITIONS = 16
DEPTH = 8
"""Partitions by size, and values in a band at most: datasketch's defaults; twice its hash values."""


Item = TypeVar("Item", bound=Hashable)


@dataclass(slots=True)
class Ensemble:
    """Documents by MinHash."""

    lsh: Any

    @classmethod
    def of(cls, documents: Iterable[tuple[str, Words]]) -> "Ensemble":
        """Index documents: (id, words).

        Documents without a shingle are in no answer.
        """
        from datasketch import MinHashLSHEnsemble

        entries = []
        for document, words in documents:
            shingles = np.unique(ngram_hashes(words.normal_W, NGRAM))
            if len(shingles):
                entries.append((document, _minhash(shingles), len(shingles)))
        lsh = MinHashLSHEnsemble(THRESHOLD, PERMUTATIONS, PARTITIONS, DEPTH)
        if entries:
            lsh.index(entries)
        return cls(lsh if entries else None)

    def query(self, text: str) -> set[str]:
        """Ids of documents that may hold half of an item's shingles."""
        units = item_units(text)
        shingles = np.unique(ngram_hashes(units[0], NGRAM)) if units else np.empty(0)
        if self.lsh is None or not len(shingles):
            return set()
        return set(self.lsh.query(_minhash(shingles), len(shingles)))


def _minhash(shingles: Any) -> Any:
    from datasketch import MinHash

    minhash = MinHash(PERMUTATIONS, hashfunc=int)  # the shingles are hashes already
    minhash.update_batch((shingles >> np.uint64(32)).tolist())
    return minhash


def recall(found: Mapping[Item, set[str]], expected: Mapping[Item, set[str]]) -> tuple[int, int, int]:
    """(pairs of item and document expected, of these found, found beside these)."""
    pairs = sum(map(len, expected.values()))
    hit = sum(len(found.get(item, set()) & documents) for item, documents in expected.items())
    return pairs, hit, sum(map(len, found.values())) - hit
