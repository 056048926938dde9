"""Lines of web pages: which go, which stay, and which documents are looked at."""

from typing import Any

import pytest
from datatrove.data import Document
from hypothesis import given
from hypothesis import strategies as st

from curation.config import CurationConfig
from curation.lines import LinesConfig, lines_of, remove_lines
from curation.steps.annotate import CleanLines

LINE = "The old mill stands at the bend of the river."


@pytest.mark.parametrize(
    ("line", "left"),
    [
        (f"  {LINE}\t", LINE),
        ("About us", None),
        ("", None),
        ("x" * 1001 + " is one word too long", None),
        ("x" * 1000 + " is as long as can be", "x" * 1000 + " is as long as can be"),
        ("字" * 1200, "字" * 1200),  # a paragraph without spaces is no long word,
        ("首页", "首页"),  # and its words are not counted
        ("ホーム", "ホーム"),
        ("หน้าแรก", "หน้าแรก"),
        ("The mill[1] was built[edit] in 1650[citation needed].", "The mill was built in 1650."),
        ("Please turn on JavaScript to see the mill.", None),
        ("This page uses Cookies to remember the mill.", None),
        ("Our privacy policy is a short one.", None),
        # Rules of the filter c4 come before; it must see these lines.
        ("Lorem ipsum needs javascript and a privacy policy.", "Lorem ipsum needs javascript and a privacy policy."),
        ("{ the cookie policy }", "{ the cookie policy }"),
        ("{ turn on javascript }", None),
        ("no full stop in this line", "no full stop in this line"),
    ],
)
def test_one_line_of_a_page(line: str, left: str | None) -> None:
    text, removed = remove_lines(f"{LINE}\n{line}\n{LINE}", LinesConfig())
    assert text == "\n".join(each for each in (LINE, left, LINE) if each is not None)
    assert removed == (left is None and line != "")


def test_options_turn_rules_off_and_on() -> None:
    text = f"Home\n\nSet javascript[2] on\nRead our terms of use\n{'x' * 1001}\n{LINE}\nWait for it..."
    off = LinesConfig(
        max_word_length=10**6, min_words=0, remove_citations=False, remove_javascript=False, remove_policy=False
    )
    assert remove_lines(text, off) == (text, 0)
    assert remove_lines(text, LinesConfig(terminal_punctuation=True)) == (LINE, 5)
    assert remove_lines("これは水車です。\n水車", LinesConfig(terminal_punctuation=True)) == ("これは水車です。", 1)


@given(st.text("ab .\n[]{}1字", max_size=80))
def test_what_is_left_stays_when_cleaned_again(text: str) -> None:
    plain = LinesConfig(remove_citations=False)
    once, removed = remove_lines(text, plain)
    assert remove_lines(once, plain) == (once, 0)
    assert removed <= text.count("\n") + 1


def document(text: str, **meta: Any) -> Document:
    known = {"media": "html", "content_type": "text/html", "http_status": 200}
    return Document(text=text, id="x", metadata=known | meta)


def clean(given: Document, **options: Any) -> Document:
    (done,) = CleanLines(CurationConfig(lines=LinesConfig(**options))).run([given])
    return done


TEXT = f"Home\n{LINE}\n\n* x\n{LINE}"


@pytest.mark.parametrize(
    ("meta", "cleaned"),
    [
        ({}, True),
        ({"media": "text", "content_type": "text/plain", "http_status": None}, True),  # a WET record
        ({"media": "text", "content_type": "text/plain"}, False),  # a page of plain text
        ({"media": "text", "content_type": None, "http_status": None}, False),  # JSONL, Parquet, Markdown, text
        ({"media": "code", "content_type": None, "http_status": None}, False),
        ({"step": "read", "reason": "empty"}, False),
    ],
)
def test_only_text_of_web_pages_is_cleaned(meta: dict[str, Any], cleaned: bool) -> None:
    done = clean(document(TEXT, **meta))
    assert done.text == (f"{LINE}\n{LINE}" if cleaned else TEXT)
    assert done.metadata["lines_removed"] == (2 if cleaned else 0)
    assert clean(document(TEXT, **meta), enabled=False).text == TEXT


def test_a_page_without_a_line_left_is_rejected_and_keeps_its_text() -> None:
    done = clean(document("Home\nAbout us\n"))
    assert done.text == "Home\nAbout us\n"
    assert (done.metadata["step"], done.metadata["reason"]) == ("lines", "no_lines")
    assert done.metadata["lines_removed"] == 2


def test_lines_are_split_once_and_never_those_of_another_text() -> None:
    first, second = document("a\n \n\nb\na"), document("c")
    assert lines_of(first) is lines_of(first)
    assert lines_of(first).filled == ["a", " ", "b", "a"]
    assert lines_of(first).visible == ["a", "b", "a"]
    assert lines_of(second).filled == ["c"]
    assert lines_of(first).visible_repeats == (1, 1)
