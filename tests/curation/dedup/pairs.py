"""A corpus for whole runs: readable pages, among them pairs of known similarity."""

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.curation import inputs
from tests.curation.dedup.planted import edited, prose, shingle_set, true_jaccard, words_in

LEVELS = (0.3, 0.4, 0.5, 0.6, 0.65, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
WORDS = inputs.WORDS["en"].split()


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pages and how like they are."""

    left: str
    right: str
    jaccard: float
    """True similarity of 5-word shingles, found from the texts."""


@dataclass(frozen=True, slots=True)
class Planted:
    """The corpus."""

    texts: dict[str, str]
    """URL -> text."""
    pairs: list[Pair]
    """Each page is in one pair at most."""
    same_url: list[Pair]
    """Pages whose URLs are one but for ``www.`` and a slash."""


def similarity(left: str, right: str) -> float:
    """True Jaccard similarity of two texts' word 5-grams."""
    return true_jaccard(shingle_set(words_in(left), 5), shingle_set(words_in(right), 5))


def written(words: Sequence[str], shout: bool = False) -> str:
    """Words as sentences; shouted they have other case, marks and white space."""
    sentences = [words[begin : begin + 14] for begin in range(0, len(words), 14)]
    if shout:
        return "\n".join(f"{' - '.join([' '.join(each[:5]).upper(), ' '.join(each[5:])])}!" for each in sentences)
    return " ".join(f"{' '.join(each).capitalize()}." for each in sentences)


def planted(seed: int, scale: int = 16) -> Planted:
    """``scale`` pairs for each level below .9, and more than twice as many above; half as many pages of one URL."""
    chance = random.Random(seed)
    texts: dict[str, str] = {}

    def add(words: Sequence[str], url: str | None = None, shout: bool = False) -> str:
        url = url or f"http://host{chance.randrange(40)}.example/{len(texts)}"
        texts[url] = written(words, shout)
        return url

    def pair(left: str, right: str) -> Pair:
        return Pair(left, right, similarity(texts[left], texts[right]))

    pairs = []
    for level in LEVELS:
        for _ in range(scale if level < 0.9 else 5 * scale // 2):
            base = prose(chance, 200, WORDS)  # two edits make .903, one makes .950
            other = edited(base, level, chance, vocabulary=WORDS)
            pairs.append(pair(add(base), add(other, shout=level == 1)))
    same_url = []
    for number in range(scale // 2):
        left = add(prose(chance, 100, WORDS), f"http://site.example/page/{number}")
        same_url.append(pair(left, add(prose(chance, 100, WORDS), f"https://www.site.example/page/{number}/")))
    for _ in range(3 * scale):
        add(prose(chance, 120, WORDS))
    return Planted(texts, pairs, same_url)


def write_jsonl(path: Path, urls: Iterable[str], texts: dict[str, str]) -> None:
    """The pages with these URLs, one a line, in this order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"url": url, "text": texts[url]}) + "\n" for url in urls), encoding="utf-8")
