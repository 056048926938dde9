"""What a tokenizer does to texts: numbers of each document, and ratios of their sums.

Array suffixes: ``N`` documents.
"""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from curation.statistics import Estimate, bootstrap
from curation.tokens.tokenizer import Tokenizer
from curation.words import Words

Array = np.ndarray[Any, Any]

COUNTS = ("tokens", "words", "characters", "bytes", "split", "unknown", "lost", "lost_characters")
"""Numbers of a document: ``split`` words of more than one token, ``unknown`` tokens, whether decoding what was encoded
gives another text (``lost``), and how many characters then are not there any more, wherever they stand."""
MIN_UNITS = 10
"""With fewer documents, or terms, a figure has no interval: so few cannot tell how much they vary."""
_MOST_WORDS = 2**18


class Probe:
    """A tokenizer, and what is remembered of words."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        unknown = tokenizer.special.get("unk_token") or json.loads(tokenizer.json)["model"].get("unk_token")
        self._unknown = tokenizer.model.token_to_id(unknown) if unknown else None
        self._split: dict[tuple[bool, str], bool] = {}

    def counts(self, text: str, words: Sequence[tuple[bool, str]]) -> tuple[list[int], list[int]]:
        """(the numbers of a document in the order of ``COUNTS``, its token ids)."""
        (ids,) = self.tokenizer.encode([text])
        (decoded,) = self.tokenizer.decode([ids])
        gone = 0 if decoded == text else sum((Counter(text) - Counter(decoded)).values())
        counts = [len(ids), len(words), len(text), len(text.encode()), sum(self._is_split(words))]
        return [*counts, ids.count(self._unknown) if self._unknown is not None else 0, int(decoded != text), gone], ids

    def _is_split(self, words: Sequence[tuple[bool, str]]) -> list[bool]:
        """Whether each word, after a space or not, takes more than one token. (A space before it may be a part of its
        token, or one of its own.)"""
        if len(self._split) > _MOST_WORDS:
            self._split.clear()
        new = [word for word in dict.fromkeys(words) if word not in self._split]
        lengths = self.lengths([word for _, word in new])
        spaced = self.lengths([f" {word}" if after else word for after, word in new])
        self._split.update((word, min(pair) > 1) for word, *pair in zip(new, lengths, spaced, strict=True))
        return [self._split[word] for word in words]

    def lengths(self, texts: list[str]) -> list[int]:
        """Tokens of each text."""
        return [len(ids) for ids in self.tokenizer.encode(texts)]


def words_of(text: str, language: str) -> list[tuple[bool, str]]:
    """(whether white space stands before it, word) for each word of a text, punctuation marks among them."""
    found, place = [], 0
    for word in Words(text, language).strings:
        start = text.find(word, place)
        found.append((start > 0 and text[start - 1].isspace(), word))
        place = start + len(word) if start >= 0 else place
    return found


@dataclass
class Counts:
    """The numbers of some documents."""

    rows: list[list[int]] = field(default_factory=list)
    used: set[int] = field(default_factory=set)
    """Token ids that occur."""

    def add(self, counts: list[int], ids: list[int]) -> None:
        """One document."""
        self.rows.append(counts)
        self.used.update(ids)

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> Array:
        """int64 [N]."""
        return np.array([row[COUNTS.index(name)] for row in self.rows], dtype=np.int64)

    def ratio(self, above: str, below: str) -> "Ratio | None":
        """Sum over sum, None where there is nothing below."""
        return ratio(self.column(above), self.column(below))


@dataclass(frozen=True)
class Ratio:
    """A ratio of sums over units."""

    value: float
    linear_N: Array
    """float64 [N]: linearised values, whose mean is the ratio and varies as it does (Woodruff 1971,
    https://doi.org/10.1080/01621459.1971.10482279)."""

    def estimate(self) -> Estimate:
        """With its bootstrap interval, unbounded of few units."""
        n = len(self.linear_N)
        return bootstrap(self.linear_N) if n >= MIN_UNITS else Estimate(self.value, -math.inf, math.inf, n, "none")

    @property
    def error(self) -> float:
        """Standard error; infinite of few units."""
        n = len(self.linear_N)
        return float(self.linear_N.std(ddof=1)) / math.sqrt(n) if n >= MIN_UNITS else math.inf


def ratio(above_N: Array, below_N: Array) -> Ratio | None:
    """Sum of the one over the sum of the other, None where that is 0."""
    total = below_N.sum()
    if not total:
        return None
    value = float(above_N.sum() / total)
    return Ratio(value, value + (above_N - value * below_N) * (len(below_N) / total))


def premium(one: Ratio, best: Ratio) -> Estimate | None:
    """How many times as much as the best served (1 for itself), the interval from the errors of the logarithms
    (delta method), as if the best were known to be the best. None where the best is 0.

    Petrov et al. 2023 (https://arxiv.org/abs/2305.15425) define the premium on parallel sentences, Ahia et al. 2023
    (https://aclanthology.org/2023.emnlp-main.614) compare costs alike; texts of a corpus are not parallel, so what is
    compared is tokens a word, or a character. Scripts whose characters say more (Han, say) look dearer by character,
    languages that write words together dearer by word.
    """
    n = len(one.linear_N)
    if not best.value:
        return None
    if one is best:
        return Estimate(1.0, 1.0, 1.0, n, "the best served")
    value = one.value / best.value
    if not one.value or not math.isfinite(one.error + best.error):
        return Estimate(value, -math.inf, math.inf, n, "none")
    reach = 1.959964 * math.hypot(one.error / one.value, best.error / best.value)
    return Estimate(value, value / math.exp(reach), value * math.exp(reach), n, "delta method on the logarithm")
