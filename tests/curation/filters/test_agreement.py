"""Decisions beside those of datatrove's own filters, given the same words: on real pages, and number by number."""

import importlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.pipeline.filters import gopher_repetition_filter as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.filters import registry
from curation.filters.gopher_repetition import ngram_characters
from curation.lines import LinesConfig, remove_lines, repeats
from curation.words import Words, words_of
from tests.curation.real_pages import english_texts

REASONS = {
    "gopher_repetition": {
        "dup_para_frac": "repeated_paragraphs",
        "dup_para_char_frac": "repeated_paragraph_characters",
        "dup_line_frac": "repeated_lines",
        "dup_line_char_frac": "repeated_line_characters",
        **{f"top_{n}_gram": f"top_{n}_gram" for n in (2, 3, 4)},
        **{f"duplicated_{n}_n_grams": f"repeated_{n}_grams" for n in range(5, 11)},
    },
    "gopher_quality": {
        "gopher_short_doc": "too_few_words",
        "gopher_long_doc": "too_many_words",
        "gopher_below_avg_threshold": "words_too_short",
        "gopher_above_avg_threshold": "words_too_long",
        "gopher_too_many_hashes": "too_many_hashes",
        "gopher_too_many_ellipsis": "too_many_ellipses",
        "gopher_too_many_bullets": "too_many_bullet_lines",
        "gopher_too_many_end_ellipsis": "too_many_ellipsis_lines",
        "gopher_below_alpha_threshold": "too_few_letter_words",
        "gopher_enough_stop_words": "too_few_stop_words",
    },
    "c4": {
        "lorem_ipsum": "lorem_ipsum",
        "curly_bracket": "curly_bracket",
        "too_few_sentences": "too_few_sentences",
    },
    "fineweb": {
        "line_punct_ratio": "too_few_punctuated_lines",
        "short_line_ratio": "too_many_short_lines",
        "char_dup_ratio": "repeated_line_characters",
        "list_ratio": "too_many_newlines",
    },
}
"""Filter -> reason of datatrove -> ours."""

BLOCKS: dict[str, Callable[[], Any]] = {
    "gopher_repetition": GopherRepetitionFilter,
    "gopher_quality": GopherQualityFilter,
    "c4": lambda: C4QualityFilter(filter_no_terminal_punct=False),
    "fineweb": FineWebQualityFilter,
}

ACCEPTED: dict[str, dict[str, str]] = {name: {} for name in BLOCKS}
"""Filter -> beginning of a text on which the decision differs -> why that is right. None differs now."""


@pytest.fixture
def same_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let datatrove's filters split words as we do."""

    def split(text: str, language: str) -> list[str]:
        return words_of(Document(text=text, id="", metadata={"language": "eng_Latn"})).strings

    for name in ("gopher_repetition_filter", "gopher_quality_filter", "fineweb_quality_filter"):
        module = importlib.import_module(f"datatrove.pipeline.filters.{name}")
        monkeypatch.setattr(module, "split_into_words", split)


def english(text: str) -> Document:
    return Document(text=text, id="", metadata={"language": "eng_Latn"})


def theirs(block: Any, name: str, document: Document) -> str | None:
    """datatrove's reason in our words."""
    decision = block.filter(document)
    return None if decision is True else REASONS[name][decision[1]]


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_decisions_on_real_pages(shared: Path, same_words: None, name: str) -> None:
    if name == "c4":
        pytest.importorskip("spacy", reason="datatrove's C4 filter splits sentences with spaCy")
    block, ours = BLOCKS[name](), registry()[name]()
    texts = english_texts(shared / "crawl")
    differ = []
    reasons: Counter[str | None] = Counter()
    for text in texts:
        expected = theirs(block, name, english(text))
        scored = remove_lines(text, LinesConfig())[0] if name == "c4" else text  # its line rules are a step of ours
        found = ours.reason(ours.score(english(scored)))
        reasons[found] += 1
        if found != expected and not any(text.startswith(beginning) for beginning in ACCEPTED[name]):
            differ.append((text[:80], expected, found))
    assert not differ
    accepted = sum(any(text.startswith(beginning) for beginning in ACCEPTED[name]) for text in texts)
    assert accepted <= 0.005 * len(texts)
    assert len(texts) > 400
    assert len(reasons) > 1


# What a page may be made of, so that every rule has cases on both sides of its threshold.
_pieces = st.sampled_from(
    [
        *(
            "the",
            "of",
            "and",
            "mill",
            "Mill",
            "grinds",
            "internationalisation",
            "a",
            ".",
            "!",
            "?",
            "...",
            "…",
            "#",
            "-",
        ),
        *("•", "\n", "\n\n", " ", "2024", "“", "”", "x1", "the old mill and the river.", "- we have\n"),
    ]
)
_texts = st.lists(st.tuples(_pieces, st.integers(1, 40)), min_size=1, max_size=25).map(
    lambda pieces: " ".join(piece for piece, times in pieces for _ in range(times))
)


@pytest.mark.parametrize("name", sorted(set(BLOCKS) - {"c4"}))
@pytest.mark.usefixtures("same_words")
def test_decisions_on_made_up_pages(name: str) -> None:
    block, ours = BLOCKS[name](), registry()[name]()

    @settings(max_examples=150, deadline=None)
    @given(_texts)
    def compare(text: str) -> None:
        if text.isspace() or not any(map(str.isalnum, text)):
            return  # datatrove divides by zero, or says "empty"
        assert ours.reason(ours.score(english(text))) == theirs(block, name, english(text))

    compare()


_word = st.sampled_from(["A", "B", "Ab", "Abc", "Bcd", "Xyzzy"])  # no two runs of these look alike when joined


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.lists(_word, min_size=1, max_size=12), st.integers(1, 4)), max_size=6))
def test_characters_of_repeated_ngrams(runs: list[tuple[list[str], int]]) -> None:
    strings = [word for run, times in runs for _ in range(times) for word in run]
    words = Words(" ".join(strings), "eng_Latn")
    assert words.strings == strings
    grams = [reference.get_n_grams(strings, n) for n in (2, 3, 4)]
    tops = [reference.find_top_duplicate(each) if each else 0 for each in grams]
    assert ngram_characters(words) == tops + [reference.find_all_duplicate(strings, n) for n in range(5, 11)]


@given(st.lists(st.text("ab", max_size=2), max_size=12))
def test_repeated_lines(lines: list[str]) -> None:
    assert repeats(lines) == reference.find_duplicates(lines)


def test_lines_removed_from_real_pages(shared: Path) -> None:
    """The text that is left is datatrove's, but for lines in scripts that put no spaces between words, which
    count as one word there and go."""
    pytest.importorskip("spacy", reason="datatrove's C4 filter splits sentences with spaCy")
    for options in ({}, {"terminal_punctuation": True}):
        block = C4QualityFilter(filter_no_terminal_punct=bool(options), min_num_sentences=-1)
        config = LinesConfig(**options)
        removed = 0
        for text in english_texts(shared / "crawl"):
            left = english(text)
            if block.filter(left) is not True:
                continue
            found, count = remove_lines(text, config)
            removed += count
            kept = set(left.text.split("\n"))
            more = [line for line in found.split("\n") if line not in kept]
            assert all(any(ord(c) > 0x0E00 for c in line) for line in more), more
            assert "\n".join(line for line in found.split("\n") if line not in more) == left.text
        assert removed > 100
