"""Terms in texts, hostile ones included."""

import time
import unicodedata
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.matching import Matcher, words_in
from curation.terms import Term, identity_terms

ENGLISH = Matcher(identity_terms("eng"))


def names(text: str, matcher: Matcher = ENGLISH) -> list[str]:
    return [matcher.names[name].partition(":")[2] for name, _ in matcher.find(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Black women met.", ["black", "woman"]),
        ("A black dress, a blind test, an old house.", []),
        ("African-American voters", ["black", "american"][:1]),
        ("Polish food", ["polish"]),
        ("polish the shoes", []),
        ("Latin American music, North American birds", ["latino"]),
        ("anti-Muslim laws, MUSLIMS, muslim's", ["muslim", "muslim", "muslim"]),
        ("black. People came", []),
        ("It fell on deaf ears.", []),
        ("womanly mangrove gayety", []),
        ("The Indian Ocean and the Indian cook", ["indian"]),
        ("people of colour; PEOPLE OF COLOR", ["black", "black"]),
    ],
)
def test_english(text: str, expected: list[str]) -> None:
    assert names(text) == expected


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("spa", "Las mujeres gitanas y los judíos", ["woman", "roma", "jewish"]),
        ("spa", "una cita a ciegas en la montaña rusa", []),
        ("fra", "l'homme et l’Algérienne", ["man", "algerian"]),
        ("fra", "un dialogue de sourds", []),
        ("deu", "Türkische Muslim*innen und Jüdinnen", ["turkish", "muslim", "jewish"]),
        ("deu", "die Deutsche Bahn", []),
    ],
)
def test_other_languages(language: str, text: str, expected: list[str]) -> None:
    assert names(text, Matcher(identity_terms(language))) == expected


def test_accents_written_apart_count_as_one_letter() -> None:
    spanish = Matcher(identity_terms("spa"))
    assert names(unicodedata.normalize("NFD", "musulmán"), spanish) == ["muslim"]


def test_ambiguous_terms_are_found_only_when_asked_for() -> None:
    assert names("The old black car", Matcher(identity_terms("eng"), ambiguous=True)) == ["old", "black"]


def test_spans_point_at_the_mention() -> None:
    text, spans = ENGLISH.spans("Two Muslim women, one African-American.")
    assert [text[begin:end] for _, begin, end in spans] == ["Muslim", "women", "African-American"]


def naive(terms: Sequence[Term], words: Sequence[str]) -> list[tuple[str, int]]:
    """The same rule, written without tables: for each kind from left to right the longest term."""
    found = []
    for kind in {term.kind for term in terms}:
        place = 0
        while place < len(words):
            fitting = [
                term
                for term in terms
                if term.kind == kind
                and (wanted := term.text.split(" "))
                and [word if term.match == "case" else word.casefold() for word in words[place : place + len(wanted)]]
                == wanted
            ]
            if fitting:
                best = max(fitting, key=lambda term: len(term.text.split(" ")))
                if best.name:
                    found.append((best.name, place))
                place += len(best.text.split(" "))
            else:
                place += 1
    return sorted(found, key=lambda each: each[1])


TERMS = [
    Term("a", "a:one", "any", "x"),
    Term("a", "a:two", "any", "x y"),
    Term("a", "", "shield", "x y z"),
    Term("a", "a:three", "case", "Y"),
    Term("b", "b:one", "any", "y"),
    Term("b", "b:two", "any", "y x"),
]


@given(st.lists(st.sampled_from(["x", "y", "z", "X", "Y", ".", "w"]), max_size=30))
def test_it_agrees_with_the_rule_written_plainly(words: list[str]) -> None:
    matcher = Matcher(TERMS)
    found = [(matcher.names[name], place) for name, place in matcher.find(" ".join(words))]
    assert sorted(found) == sorted(naive(TERMS, words))


@given(st.text(max_size=300))
def test_any_text_is_read(text: str) -> None:
    places = [place for _, place in ENGLISH.find(text)]
    assert places == sorted(places)
    assert all(place < len(words_in(text)) for place in places)


@pytest.mark.parametrize(
    "hostile",
    ["women ", "black ", "a\u0301", "\u0301", "x", "african american ", "- ", "Black people of ", "\u202e\x00 "],
)
def test_time_grows_with_length_alone(hostile: str) -> None:
    size = 2_000_000
    begun = time.perf_counter()
    for _ in ENGLISH.find((hostile * size)[:size]):
        pass
    assert time.perf_counter() - begun < 10
