"""Contract of the lists: a new line in a file is tested the day it is added."""

from collections import Counter

import pytest

from audit.matching import Matcher, words_in
from curation.filters.gopher_quality import stop_words
from curation.terms import DIMENSIONS, MATCHES, attribute_terms, dialect_terms, expand, identity_terms, languages

LANGUAGES = languages()


def test_four_languages_at_least() -> None:
    assert {"eng", "spa", "fra", "deu"} <= set(LANGUAGES)


def test_braces_are_written_out() -> None:
    assert expand("musulm{án,ana}") == ["musulmán", "musulmana"]
    assert expand("person{a,as} negr{a,as}") == ["persona negra", "persona negras", "personas negra", "personas negras"]
    assert expand("senior{,s}") == ["senior", "seniors"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_group_is_in_every_language(language: str) -> None:
    groups = {term.name for term in identity_terms(language) if term.name and term.match in ("any", "case")}
    assert groups == {term.name for term in identity_terms("eng") if term.name}


@pytest.mark.parametrize("language", LANGUAGES)
def test_identity_terms_keep_to_the_rules(language: str) -> None:
    terms = identity_terms(language)
    assert len(terms) > 300
    seen: dict[tuple[str, str], str] = {}
    for term in terms:
        assert term.kind in DIMENSIONS, term
        assert term.match in MATCHES, term
        assert (term.match == "shield") == (not term.name), term
        assert " ".join(words_in(term.text)) == term.text, f"{term}: write words as a text has them, with single spaces"
        assert not set(term.text) & set("{}|"), term
        key = (term.kind, term.text if term.match == "case" else term.text.casefold())
        assert key not in seen, f"{term} stands there twice, before in {seen[key]}"
        seen[key] = term.name
        if " " not in term.text:
            assert term.text.casefold() not in stop_words()[f"{language}_Latn"], term


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_term_is_found_under_its_name(language: str) -> None:
    """Also in capitals at the start of a sentence, and beside marks; longer terms go before."""
    terms = [term for term in identity_terms(language) if term.match in ("any", "case")]
    matcher = Matcher(identity_terms(language))
    for term in terms:
        forms = [term.text] if term.match == "case" else [term.text, term.text.capitalize(), term.text.upper()]
        for form in forms:
            found = {matcher.names[name] for name, _ in matcher.find(f"Abc, ({form}); xyz")}
            assert term.name in found, (term, form, found)


@pytest.mark.parametrize("language", LANGUAGES)
def test_attributes_and_dialects(language: str) -> None:
    identity = {term.text for term in identity_terms(language) if term.match in ("any", "case")}
    attributes, dialects = attribute_terms(language), dialect_terms(language)
    assert {term.name for term in attributes} == {term.name for term in attribute_terms("eng")}
    assert len({term.name for term in dialects}) >= 2
    for terms in (attributes, dialects):
        assert [text for text, count in Counter(term.text for term in terms).items() if count > 1] == []
        for term in terms:
            assert term.text not in identity, term
            assert " ".join(words_in(term.text)).lower() == term.text, term
            assert term.text not in stop_words()[f"{language}_Latn"], term


def test_a_language_without_lists_has_none() -> None:
    assert identity_terms("cmn_Hani") == attribute_terms("cmn_Hani") == dialect_terms("cmn_Hani") == ()
    assert identity_terms("python") == ()
    assert identity_terms("../../x") == ()
