"""Pages that are no text: the quality rules of Gopher."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, ClassVar

from datatrove.data import Document

from curation.words import words_of

UNSPACED_SCRIPTS = frozenset(
    "Bali Hang Hani Hans Hant Hira Java Jpan Kana Khmr Kore Lana Laoo Mymr Tale Talu Tavt Thai Tibt Yiii".split()
)
"""Scripts (ISO 15924) that put no spaces between words, or whose characters are whole syllables or words."""

DOES_NOT_APPLY = -1
"""The score of a rule that makes no sense in the document's language."""


@dataclass(frozen=True)
class GopherQuality:
    """Removes documents whose words and lines are not those of prose.

    Rules and thresholds are those of Gopher (Rae et al. 2021, section A1.1, https://arxiv.org/abs/2112.11446),
    counted as datatrove counts them. ``null`` turns a rule off. Two rules depend on the language:

    - ``mean_word_length`` is -1, and its rule does not apply, in scripts that put no spaces between words or
      write a syllable in a character: Chinese, Japanese, Korean, Thai, Lao, Khmer, Burmese, Tibetan, ...
    - ``stop_words`` is -1, and its rule does not apply, in languages without a list in ``stopwords.csv``.

    All other scores are 0 for a text without words, or without lines.
    """

    name: ClassVar[str] = "gopher_quality"
    scores: ClassVar[Mapping[str, type]] = {
        "words": int,
        "mean_word_length": float,
        "hashes_per_word": float,
        "ellipses_per_word": float,
        "bullet_lines": float,
        "ellipsis_lines": float,
        "letter_words": float,
        "stop_words": int,
    }
    prose_only: ClassVar[bool] = True
    keeps: ClassVar[tuple[str, ...]] = (
        "The old mill stands at the bend of the river, and we have been there with all of our friends. " * 3,
    )
    rejects: ClassVar[Mapping[str, str]] = {
        "The mill is closed on Mondays.": "too_few_words",
        "a b c d e of the " * 10: "words_too_short",
        "the Gartenbaugenossenschaftsversammlung of " * 20: "words_too_long",
        "the # mill and # the # river " * 10: "too_many_hashes",
        "the mill ... and the river ... " * 10: "too_many_ellipses",
        "- to the old mill\n" * 20: "too_many_bullet_lines",
        "we have seen the old mill near the bend of the river that flows with ...\n" * 20: "too_many_ellipsis_lines",
        "the sum of 1200 3400 5600 7800 9100 " * 20: "too_few_letter_words",
        "Mühlen klappern rauschend neben ruhigen Bächen. " * 20: "too_few_stop_words",
    }

    min_words: int | None = 50
    """Documents with fewer words (punctuation not counted) go (Gopher: 50)."""
    max_words: int | None = 100_000
    """Documents with more words go (Gopher: 100,000)."""
    min_mean_word_length: float | None = 3.0
    """Least mean length of words, in characters (Gopher: 3)."""
    max_mean_word_length: float | None = 10.0
    """Largest mean length of words, in characters (Gopher: 10)."""
    max_hashes_per_word: float | None = 0.1
    """Most hash signs for each word or punctuation mark (Gopher: 0.1)."""
    max_ellipses_per_word: float | None = 0.1
    """Most ellipses, ``...`` or ``…``, for each word or punctuation mark (Gopher: 0.1)."""
    max_bullet_lines: float | None = 0.9
    """Largest share of lines that begin with a bullet, ``•`` or ``-`` (Gopher: 0.9)."""
    max_ellipsis_lines: float | None = 0.3
    """Largest share of lines that end with an ellipsis (Gopher: 0.3)."""
    min_letter_words: float | None = 0.8
    """Least share of words with a letter, punctuation marks counted as words (Gopher: 0.8)."""
    min_stop_words: int | None = 2
    """Least number of different words from the language's list (Gopher: 2 of the, be, to, of, and, that,
    have, with)."""

    def score(self, document: Document) -> dict[str, Any]:
        """Counts of words, and shares of words and lines."""
        text = document.text
        words = words_of(document)
        count = len(words)
        language = document.metadata.get("language") or "und"
        plain = count - int(words.symbol_W.sum())
        if language[-4:] in UNSPACED_SCRIPTS:
            mean_length = float(DOES_NOT_APPLY)
        elif plain:
            mean_length = int(words.lengths_W[~words.symbol_W].sum()) / plain
        else:
            mean_length = 0.0
        listed = stop_words().get(language)
        lines = text.splitlines()
        bullets = sum(line.lstrip().startswith(("•", "-")) for line in lines)
        ellipses = text.count("...") + text.count("…")
        ellipsis_lines = sum(line.rstrip().endswith(("...", "…")) for line in lines) if ellipses else 0
        return {
            "words": plain,
            "mean_word_length": mean_length,
            "hashes_per_word": text.count("#") / count if count else 0.0,
            "ellipses_per_word": ellipses / count if count else 0.0,
            "bullet_lines": bullets / len(lines) if lines else 0.0,
            "ellipsis_lines": ellipsis_lines / len(lines) if lines else 0.0,
            "letter_words": int(words.letter_W.sum()) / count if count else 0.0,
            "stop_words": DOES_NOT_APPLY if listed is None else len(listed.intersection(words.strings)),
        }

    def reason(self, scores: dict[str, Any]) -> str | None:
        """Compare with the thresholds, in datatrove's order."""
        rules = (
            ("words", self.min_words, self.max_words, "too_few_words", "too_many_words"),
            (
                *("mean_word_length", self.min_mean_word_length, self.max_mean_word_length),
                *("words_too_short", "words_too_long"),
            ),
            ("hashes_per_word", None, self.max_hashes_per_word, "", "too_many_hashes"),
            ("ellipses_per_word", None, self.max_ellipses_per_word, "", "too_many_ellipses"),
            ("bullet_lines", None, self.max_bullet_lines, "", "too_many_bullet_lines"),
            ("ellipsis_lines", None, self.max_ellipsis_lines, "", "too_many_ellipsis_lines"),
            ("letter_words", self.min_letter_words, None, "too_few_letter_words", ""),
            ("stop_words", self.min_stop_words, None, "too_few_stop_words", ""),
        )
        for score, least, most, too_little, too_much in rules:
            value = scores[score]
            if value == DOES_NOT_APPLY:
                continue
            if least is not None and value < least:
                return too_little
            if most is not None and value > most:
                return too_much
        return None


@cache
def stop_words() -> Mapping[str, frozenset[str]]:
    """Language (``eng_Latn``) -> its frequent words, those of ``stopwords.csv``."""
    lines = (files("curation.filters") / "stopwords.csv").read_text("utf-8").splitlines()
    return {row["language"]: frozenset(row["words"].split()) for row in csv.DictReader(lines)}
