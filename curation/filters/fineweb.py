"""Lists, menus and tables that look like pages: the three rules that FineWeb found, and datatrove's fourth."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from datatrove.data import Document
from datatrove.utils.text import TERMINAL_PUNCTUATION

from curation.lines import lines_of
from curation.words import words_of


@dataclass(frozen=True)
class FineWeb:
    """Removes documents whose lines are not those of prose.

    Rules and thresholds are those of FineWeb (Penedo et al. 2024, section 3.6,
    https://arxiv.org/abs/2406.17557), counted as datatrove counts them: over lines that are not blank.
    ``null`` turns a rule off. All scores are 0 for a text without lines, or without words.
    """

    name: ClassVar[str] = "fineweb"
    scores: ClassVar[Mapping[str, type]] = {
        "punctuated_lines": float,
        "short_lines": float,
        "repeated_line_characters": float,
        "newlines_per_word": float,
    }
    scored_with: ClassVar[tuple[str, ...]] = ("short_line_length",)
    prose_only: ClassVar[bool] = True
    keeps: ClassVar[tuple[str, ...]] = (
        "The old mill stands at the bend of the river, where it has stood for three hundred years.\n"
        "Nobody grinds corn there any more, but on Sundays its wheel still turns for visitors.",
    )
    rejects: ClassVar[Mapping[str, str]] = {
        "Everything for your garden, and for the house behind it": "too_few_punctuated_lines",
        "Home.\nAbout us.\nContact.": "too_many_short_lines",
        "We grind corn on every day of the week but Sunday.\n" * 2: "repeated_line_characters",
        "Nobody grinds corn here on Sundays.\n\n\n\n\nChildren watch how its stones turn.": "too_many_newlines",
    }

    min_punctuated_lines: float | None = 0.12
    """Least share of lines that end with a mark that ends sentences, in any script (FineWeb: 0.12)."""
    short_line_length: int = 30
    """Lines of at most this many characters are short (FineWeb: 30)."""
    max_short_lines: float | None = 0.67
    """Largest share of short lines (FineWeb: 0.67)."""
    max_repeated_line_characters: float | None = 0.01
    """Largest share of the characters in lines that have come before (FineWeb: 0.1 in the paper, 0.01 in
    the recipe that made it, https://github.com/huggingface/datatrove/blob/main/examples/fineweb.py)."""
    max_newlines_per_word: float | None = 0.3
    """Most newlines for each word, punctuation marks counted as words (datatrove)."""

    def score(self, document: Document) -> dict[str, Any]:
        """Shares of lines, of characters, and newlines for each word."""
        lines = lines_of(document)
        count = len(lines.visible)
        newlines = document.text.count("\n")
        words = len(words_of(document))
        punctuated = sum(line[-1] in TERMINAL_PUNCTUATION for line in lines.visible)
        short = sum(len(line) <= self.short_line_length for line in lines.visible)
        return {
            "punctuated_lines": punctuated / count if count else 0.0,
            "short_lines": short / count if count else 0.0,
            "repeated_line_characters": lines.visible_repeats[1] / (len(document.text) - newlines) if count else 0.0,
            "newlines_per_word": newlines / words if words else 0.0,
        }

    def reason(self, scores: dict[str, Any]) -> str | None:
        """Compare with the thresholds, in datatrove's order."""
        if self.min_punctuated_lines is not None and scores["punctuated_lines"] < self.min_punctuated_lines:
            return "too_few_punctuated_lines"
        if self.max_short_lines is not None and scores["short_lines"] > self.max_short_lines:
            return "too_many_short_lines"
        most = self.max_repeated_line_characters
        if most is not None and scores["repeated_line_characters"] > most:
            return "repeated_line_characters"
        if self.max_newlines_per_word is not None and scores["newlines_per_word"] > self.max_newlines_per_word:
            return "too_many_newlines"
        return None
