"""Pages that say the same again and again: the repetition rules of Gopher."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from datatrove.data import Document

from curation.lines import lines_of, repeats
from curation.words import Words, words_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOP = (2, 3, 4)
"""Lengths of n-grams of which the most frequent one counts."""
REPEATED = (5, 6, 7, 8, 9, 10)
"""Lengths of n-grams of which all repeated ones count."""

_PARAGRAPH_BREAK = re.compile(r"\n{2,}")


@dataclass(frozen=True)
class GopherRepetition:
    """Removes documents with too many repeated lines, paragraphs or n-grams of words.

    Rules and thresholds are those of Gopher (Rae et al. 2021, table A1, https://arxiv.org/abs/2112.11446),
    counted as datatrove counts them. ``null`` turns a rule off. All scores are shares between 0 and about 1,
    and 0 for an empty text.
    """

    name: ClassVar[str] = "gopher_repetition"
    scores: ClassVar[Mapping[str, type]] = {
        "repeated_paragraphs": float,
        "repeated_paragraph_characters": float,
        "repeated_lines": float,
        "repeated_line_characters": float,
        **{f"top_{n}_gram": float for n in TOP},
        **{f"repeated_{n}_grams": float for n in REPEATED},
    }
    prose_only: ClassVar[bool] = True
    keeps: ClassVar[tuple[str, ...]] = (
        "The old mill stands at the bend of the river, where it has stood for three hundred years.\n"
        "Nobody grinds corn there any more, but on Sundays its wheel still turns for visitors.\n"
        "Children like to watch how slowly the great stones move, and how loudly everything rattles.",
    )
    rejects: ClassVar[Mapping[str, str]] = {
        "One paragraph here.\n\nOne paragraph here.\n\nOne paragraph here.": "repeated_paragraphs",
        "Home\nAbout us\nHome\nHome\nContact": "repeated_lines",
        "buy now buy now buy now buy now today": "top_2_gram",
    }

    max_repeated_paragraphs: float | None = 0.30
    """Largest share of paragraphs that have come before in the document (Gopher, table A1)."""
    max_repeated_paragraph_characters: float | None = 0.20
    """Largest share of the characters in paragraphs that have come before (Gopher, table A1)."""
    max_repeated_lines: float | None = 0.30
    """Largest share of lines that have come before (Gopher, table A1)."""
    max_repeated_line_characters: float | None = 0.20
    """Largest share of the characters in lines that have come before (Gopher, table A1)."""
    max_top_2_gram: float | None = 0.20
    """Largest share of the characters in the most frequent pair of words (Gopher, table A1)."""
    max_top_3_gram: float | None = 0.18
    """The same for three words."""
    max_top_4_gram: float | None = 0.16
    """The same for four words."""
    max_repeated_5_grams: float | None = 0.15
    """Largest share of the characters in runs of five words that have come before (Gopher, table A1)."""
    max_repeated_6_grams: float | None = 0.14
    """The same for six words."""
    max_repeated_7_grams: float | None = 0.13
    """The same for seven words."""
    max_repeated_8_grams: float | None = 0.12
    """The same for eight words."""
    max_repeated_9_grams: float | None = 0.11
    """The same for nine words."""
    max_repeated_10_grams: float | None = 0.10
    """The same for ten words."""

    def score(self, document: Document) -> dict[str, Any]:
        """Shares of what is repeated."""
        text = document.text
        if not text:
            return dict.fromkeys(self.scores, 0.0)
        paragraphs = _PARAGRAPH_BREAK.split(text.strip()) if "\n\n" in text else [text]
        repeated_paragraphs, paragraph_characters = repeats(paragraphs)
        lines = lines_of(document)
        repeated_lines, line_characters = lines.filled_repeats
        # A text that begins or ends with newlines has an empty line there; two of them are a repetition.
        edges = text.startswith("\n") + text.endswith("\n")
        figures = [
            repeated_paragraphs / len(paragraphs),
            paragraph_characters / len(text),
            (repeated_lines + (edges == 2)) / (len(lines.filled) + edges),
            line_characters / len(text),
            *(characters / len(text) for characters in ngram_characters(words_of(document))),
        ]
        return dict(zip(self.scores, figures, strict=True))

    def reason(self, scores: dict[str, Any]) -> str | None:
        """The first share above its threshold, in Gopher's order; its name is the reason."""
        for score in self.scores:
            most = getattr(self, f"max_{score}")
            if most is not None and scores[score] > most:
                return score
        return None


def ngram_characters(words: Words) -> list[int]:
    """Characters of the most frequent 2-, 3- and 4-gram, all its places together, spaces between words
    included; and characters of the 5- to 10-grams that have come before, read from the beginning, without
    overlap (behind one that is found, reading goes on; only what is read is remembered).

    The next longer n-gram can repeat only where the shorter one does, so that most of the work is the pairs.
    """
    hashes_W = words.hashes_W
    count = len(hashes_W)
    ends_W = np.zeros(count + 1, dtype=np.int32)  # 32 bits: texts of one letter a word need much memory
    np.cumsum(words.lengths_W, out=ends_W[1:])
    figures = []
    places = np.arange(max(0, count - 1), dtype=np.int32)  # where the n-gram at hand may repeat, ascending
    keys = hashes_W[:-1]
    for n in range(TOP[0], REPEATED[-1] + 1):
        places = places[: np.searchsorted(places, count - n, side="right")]
        keys = _extend(keys[: len(places)], hashes_W[places + n - 1])
        top = int(ends_W[n]) + n - 1 if count >= n else 0  # the first n-gram, if none comes again
        read_again = 0
        if len(places):
            order = np.argsort(keys)
            ordered = keys[order]
            starts = np.concatenate(([0], np.flatnonzero(ordered[1:] != ordered[:-1]) + 1))
            del ordered
            sizes = np.concatenate((starts[1:], [len(places)])) - starts
            most = int(sizes.max())
            if n in TOP and most > 1:
                first = int(places[np.minimum.reduceat(order, starts)[sizes == most].min()])
                top = most * int(ends_W[first + n] - ends_W[first] + n - 1)
            group = np.empty(len(places), dtype=np.int32)
            group[order] = np.repeat(np.arange(len(starts), dtype=np.int32), sizes)
            del order
            again = sizes[group] > 1
            places, keys = places[again], keys[again]
            if n in REPEATED:
                read_again = _read_again(places, group[again], len(starts), ends_W, n)
        figures.append(top if n in TOP else read_again)
    return figures


def _extend(keys: "NDArray[np.uint64]", next_words: "NDArray[np.uint64]") -> "NDArray[np.uint64]":
    """Keys of n-grams that are one word longer."""
    mixed = keys * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    mixed += next_words
    return mixed


def _read_again(
    places: "NDArray[np.int32]", group: "NDArray[np.int32]", groups: int, ends_W: "NDArray[np.int32]", n: int
) -> int:
    """Characters of the repeated n-grams, read as ``ngram_characters`` says; ``places`` hold them all."""
    if not len(places):
        return 0
    behind = np.searchsorted(places, places + n).data  # memory views give Python numbers, and copy nothing
    sizes = (ends_W[places + n] - ends_W[places]).data
    members = group.data
    seen = bytearray(groups)
    characters = at = 0
    while at < len(members):
        if seen[members[at]]:
            characters += sizes[at]
            at = behind[at]
        else:
            seen[members[at]] = 1
            at += 1
    return characters
