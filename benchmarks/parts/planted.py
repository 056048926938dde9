"""Documents with near-duplicates at known Jaccard similarities, and what a deduplication made of them.

Usage: python -m benchmarks.parts.planted OUTPUT.jsonl DOCUMENTS

Writes lines ``{"id", "text"}``, ids from 0, in an order that tells nothing, and beside them ``OUTPUT.pairs.json``:
the planted pairs as ``[id, id, similarity]``. The same arguments give the same bytes. Texts have 100 to 1,000 words,
400 on average, drawn from a vocabulary as natural language is (Zipf), in sentences; a fifth of them belong to pairs.
The similarity is that of the sets of five-word shingles of the lower-cased words, counted by Python's own sets.
"""

import json
import re
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

LEVELS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
"""Similarities wanted of pairs; each pair has nearly its level's."""
PAIRED = 0.2
NGRAM = 5
VOCABULARY = 50_000

_WORD = re.compile(r"\w+")
_SYLLABLES = [first + vowel for first in "bdfghklmnprstvwz" for vowel in ("a", "e", "i", "o", "u", "ai", "ea", "ou")]

Pairs = Sequence[tuple[int, int, float]]


def shingles(text: str) -> set[tuple[str, ...]]:
    """Five-word shingles of a text."""
    words = _WORD.findall(text.lower())
    return set(zip(*(words[start:] for start in range(NGRAM)), strict=False))


def jaccard(one: str, other: str) -> float:
    """True similarity of two texts."""
    left, right = shingles(one), shingles(other)
    return len(left & right) / len(left | right)


class Texts:
    """Texts by number, all different; each can have a copy."""

    def __init__(self) -> None:
        random = np.random.default_rng(0)
        lengths = 1 + random.integers(1, 4, VOCABULARY)
        picks = random.integers(0, len(_SYLLABLES), (VOCABULARY, 4))
        words = ("".join(_SYLLABLES[i] for i in row[:length]) for row, length in zip(picks, lengths, strict=True))
        self.vocabulary = [*dict.fromkeys(words)]
        weights = 1 / np.arange(10, len(self.vocabulary) + 10)
        self.cumulative = np.cumsum(weights / weights.sum())

    def _words(self, random: np.random.Generator, count: int) -> list[str]:
        drawn = np.searchsorted(self.cumulative, random.random(count))
        return [self.vocabulary[i] for i in drawn.tolist()]

    def original(self, number: int) -> str:
        """A text."""
        return sentences(self._original(np.random.default_rng((1, number))))

    def _original(self, random: np.random.Generator) -> list[str]:
        return self._words(random, int(np.clip(random.lognormal(5.85, 0.55), 100, 1000)))

    def copy(self, number: int, level: float) -> str:
        """A copy of a text, whose similarity to it is about ``level``: words are exchanged far enough apart that
        each costs five shingles, or, for one in three and where there is no room for that, a whole stretch."""
        words = self._original(np.random.default_rng((1, number)))
        random = np.random.default_rng((2, number))
        total = len(words) - NGRAM + 1
        broken = round(total * (1 - level) / (1 + level))
        room = np.arange(NGRAM, len(words) - NGRAM, NGRAM)
        if broken // NGRAM <= len(room) and random.random() < 2 / 3:
            for place in random.permutation(room)[: broken // NGRAM].tolist():
                words[place] = self._words(random, 1)[0]
        elif broken:
            length = max(1, broken - NGRAM + 1)
            begin = int(random.integers(0, len(words) - length + 1))
            words[begin : begin + length] = self._words(random, length)
        return sentences(words)


def sentences(words: Sequence[str]) -> str:
    """Words as sentences and paragraphs; where these end depends on the words near by alone."""
    pieces: list[str] = []
    begins = True
    for word in words:
        code = sum(map(ord, word))
        pieces.append(word.capitalize() if begins else word)
        begins = code % 13 == 0
        pieces.append(".\n" if code % 91 == 0 else ". " if begins else ", " if code % 29 == 1 else " ")
    return "".join(pieces).strip()


def write(path: Path, documents: int) -> None:
    """Write documents and pairs."""
    texts = Texts()
    copies = int(documents * PAIRED / 2)
    originals = documents - copies
    order = np.random.default_rng(documents).permutation(documents).tolist()
    place = {number: id_ for id_, number in enumerate(order)}
    pairs = []
    with path.open("w", encoding="utf-8") as file:
        for id_, number in enumerate(order):
            if number < originals:
                text = texts.original(number)
            else:
                base = number - originals
                text = texts.copy(base, LEVELS[base % len(LEVELS)])
                pairs.append((place[base], id_, jaccard(texts.original(base), text)))
            file.write(json.dumps({"id": id_, "text": text}) + "\n")
    pairs_path(path).write_text(json.dumps(pairs), "utf-8")


def pairs_path(path: Path) -> Path:
    """Where the pairs of a corpus are."""
    return path.with_suffix(".pairs.json")


def score(pairs: Pairs, removed: Collection[int], threshold: float) -> dict[str, Any]:
    """What removing these documents means.

    Returns:
        ``recall`` by level and for all pairs at or above .9 and the threshold; ``precision``: of the removed documents
        those whose partner is there still and as similar as the threshold; ``both``: pairs of which nothing is left;
        ``below_half``: removed with a similarity to the partner below .5, or without a partner.
    """
    gone = set(removed)
    found: dict[float, list[bool]] = {level: [] for level in LEVELS}
    right = both = half = 0
    for one, other, similarity in pairs:
        hits = (one in gone) + (other in gone)
        level = min(LEVELS, key=lambda each: abs(each - similarity))
        found[level].append(hits > 0)
        both += hits == 2
        right += hits == 1 and similarity >= threshold
        half += hits if similarity < 0.5 else 0
    half += len(gone) - sum((one in gone) + (other in gone) for one, other, _ in pairs)

    def recall(least: float) -> float:
        hits = [(one in gone) or (other in gone) for one, other, similarity in pairs if similarity >= least]
        return round(sum(hits) / len(hits), 4) if hits else float("nan")

    return {
        "removed": len(gone),
        "recall_by_level": {str(level): round(sum(hits) / len(hits), 3) for level, hits in found.items() if hits},
        "recall_9": recall(0.9),
        "recall_threshold": recall(threshold),
        "precision": round(right / len(gone), 4) if gone else float("nan"),
        "both": both,
        "below_half": half,
    }


def load_pairs(path: Path) -> Pairs:
    """Pairs of a corpus."""
    return [(one, other, similarity) for one, other, similarity in json.loads(pairs_path(path).read_text("utf-8"))]


def main() -> None:
    """Write the files."""
    write(Path(sys.argv[1]), int(sys.argv[2]))


if __name__ == "__main__":
    main()
