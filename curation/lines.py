"""The lines of a document: the rules by which C4 removes some, and lines split once for all filters."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from datatrove.data import Document
from datatrove.utils.text import TERMINAL_PUNCTUATION


@dataclass(frozen=True)
class LinesConfig:
    """Which lines of web pages are removed, as for C4 (Raffel et al. 2020, section 2.2,
    https://jmlr.org/papers/v21/20-074.html) and in its code
    (https://github.com/tensorflow/datasets/blob/master/tensorflow_datasets/text/c4_utils.py).

    Only the text of HTML pages and of WET records is cleaned, never plain text, Markdown, JSONL, Parquet or
    source code, whose short lines belong to them. Blank lines go with the short ones, as in C4.
    """

    enabled: bool = True
    """Whether lines are removed at all."""
    max_word_length: int = 1000
    """Lines with a longer word (characters between white space) go, unless the word is in a script without
    spaces. 1000 is from C4's code."""
    min_words: int = 3
    """Lines with fewer words go, unless they are in a script without spaces between words (Chinese, Japanese,
    Thai, ...). 3 is from the paper; 0 keeps all, blank lines too."""
    terminal_punctuation: bool = False
    """Keep only lines that end as a sentence does. C4 did; FineWeb found that this rule alone removes about
    30 % of tokens, and left it out (https://arxiv.org/abs/2406.17557, section 3.5)."""
    remove_citations: bool = True
    """Take Wikipedia's marks such as [3], [edit] and [citation needed] out of the lines (C4's code)."""
    remove_javascript: bool = True
    """Lines that name JavaScript go: they are warnings that it should be turned on (the paper)."""
    remove_policy: bool = True
    """Lines about cookies, terms of use and privacy go (C4's code)."""


_CITATION = re.compile(r"\[\d*]|\[edit]|\[citation needed]")
_POLICY = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
_ENDS = (*sorted(TERMINAL_PUNCTUATION), '"', "'")
_UNSPACED = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u1950-\u19ff\u1a20-\u1aaf\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\ua000-\ua4cf\ua980-\ua9df\uaa60-\uaa7f\uaa80-\uaadf\uf900-\ufaff\uff66-\uff9d\U0001b000-\U0001b16f"
    "\U00020000-\U0003ffff]"
)
"""Letters of scripts that put no spaces between words: Thai, Lao, Tibetan, Burmese, Khmer, Tai, Kana, Han, Yi,
Javanese."""
_WORD = re.compile(r"\S+")


def remove_lines(text: str, config: LinesConfig) -> tuple[str, int]:
    """The text without the lines that go, and how many that were (blank ones not counted).

    The order of the rules is that of datatrove's ``C4QualityFilter``, and so is the text that is left. A line
    that holds what costs a page its place in C4 ("lorem ipsum", a curly bracket) is not removed by a rule
    that comes later: the filter ``c4`` must see it.
    """
    lowered = text.lower()
    citations = config.remove_citations and "[" in text
    javascript = config.remove_javascript and "javascript" in lowered
    policy = [phrase for phrase in _POLICY if phrase in lowered] if config.remove_policy else []
    most_splits = config.min_words - 1
    kept = []
    removed = 0
    for stripped in map(str.strip, text.splitlines()):
        line = _CITATION.sub("", stripped) if citations else stripped
        if (
            (len(stripped) > config.max_word_length and _has_long_word(stripped, config.max_word_length))
            or (config.terminal_punctuation and (not line.endswith(_ENDS) or line.endswith("...")))
            or (
                most_splits >= 0
                and len(stripped.split(None, most_splits)) <= most_splits
                and not _UNSPACED.search(stripped)
            )
            or ((javascript or policy) and _names_one(line, javascript, policy))
        ):
            removed += stripped != ""
        else:
            kept.append(line)
    return "\n".join(kept).strip(), removed


def _has_long_word(line: str, longest: int) -> bool:
    return any(
        match.end() - match.start() > longest and not _UNSPACED.search(match.group()) for match in _WORD.finditer(line)
    )


def _names_one(line: str, javascript: bool, policy: Sequence[str]) -> bool:
    lowered = line.lower()
    if "lorem ipsum" in lowered:
        return False
    if javascript and "javascript" in lowered:
        return True
    return "{" not in line and any(phrase in lowered for phrase in policy)


class Lines:
    """What filters ask of the lines of one text."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def filled(self) -> list[str]:
        """Lines between newlines, without those that are empty."""
        return [line for line in self.text.split("\n") if line]

    @cached_property
    def visible(self) -> list[str]:
        """... and without those that are only white space."""
        return [line for line in self.filled if not line.isspace()]

    @cached_property
    def visible_repeats(self) -> tuple[int, int]:
        """``repeats`` of ``visible``."""
        return repeats(self.visible)

    @cached_property
    def filled_repeats(self) -> tuple[int, int]:
        """``repeats`` of ``filled``."""
        return self.visible_repeats if len(self.filled) == len(self.visible) else repeats(self.filled)


def repeats(lines: Sequence[str]) -> tuple[int, int]:
    """(how many of the lines have come before, characters of these)."""
    different = set(lines)
    return len(lines) - len(different), sum(map(len, lines)) - sum(map(len, different))


_last = Lines("")


def lines_of(document: Document) -> Lines:
    """The lines of a document, split once: the last document's are remembered, as filters ask in turn."""
    global _last
    held = _last
    if held.text is not document.text:
        held = _last = Lines(document.text)
    return held
