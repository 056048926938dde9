"""The agreement engine: known phrases of each language, and what holds of any."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.pairs.grammar import (
    DETERMINERS,
    Case,
    Features,
    Gender,
    Modifier,
    Noun,
    Number,
    attach,
    choose,
    german_ending,
    phrase,
    sentence,
    word_spans,
    words,
)
from curation.errors import UserError

NACHBAR = Noun("Nachbar{,in,n,innen}", weak="Nachbarn")
MANN = Noun("{Mann,Frau,Männer,Frauen}")
HOMME = Noun("{homme,femme,hommes,femmes}")
VOISIN = Noun("voisin{,e,s,es}")
VECINO = Noun("vecin{o,a,os,as}")
JUDIO = Modifier("judí{o,a,os,as}")
JUIF = Modifier("jui{f,ve,fs,ves}")
GUEST = Noun("guest{,,s,s}", "n")

genders = st.sampled_from(["m", "f"])
numbers = st.sampled_from(["sg", "pl"])
cases = st.sampled_from(["nom", "acc", "dat"])
determiners = st.sampled_from(DETERMINERS)
forms = st.text(alphabet="abcdefghijklmnopqrstuvwxyzéñü", min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("determiner", "gender", "number", "case", "expected"),
    [
        ("the", "m", "sg", "nom", "der jüdische Nachbar"),
        ("the", "m", "sg", "acc", "den jüdischen Nachbarn"),
        ("the", "m", "sg", "dat", "dem jüdischen Nachbarn"),
        ("the", "f", "sg", "dat", "der jüdischen Nachbarin"),
        ("the", "m", "pl", "dat", "den jüdischen Nachbarn"),
        ("a", "m", "sg", "nom", "ein jüdischer Nachbar"),
        ("a", "m", "sg", "acc", "einen jüdischen Nachbarn"),
        ("a", "f", "sg", "acc", "eine jüdische Nachbarin"),
        ("a", "f", "sg", "dat", "einer jüdischen Nachbarin"),
        ("a", "m", "pl", "nom", "jüdische Nachbarn"),
        ("this", "f", "sg", "nom", "diese jüdische Nachbarin"),
        ("this", "m", "sg", "dat", "diesem jüdischen Nachbarn"),
        ("this", "f", "pl", "acc", "diese jüdischen Nachbarinnen"),
    ],
)
def test_german(determiner: str, gender: Gender, number: Number, case: Case, expected: str) -> None:
    assert phrase("deu", determiner, NACHBAR, Modifier("jüdisch"), Features(gender, number), case) == expected


def test_german_neuter_and_plural_dative() -> None:
    child = Noun("Kind{,,er,er}", "n")
    assert phrase("deu", "a", child, Modifier("blind"), Features("n")) == "ein blindes Kind"
    assert phrase("deu", "the", child, Modifier("blind"), Features("n", "pl"), "dat") == "den blinden Kindern"
    assert phrase("deu", "the", MANN, Modifier(after="mit Hund"), Features("m", "pl"), "dat") == "den Männern mit Hund"
    assert phrase("deu", "a", MANN, Modifier(before="trans"), Features("f"), "dat") == "einer trans Frau"


@pytest.mark.parametrize(
    ("determiner", "noun", "gender", "number", "expected"),
    [
        ("the", HOMME, "m", "sg", "l'homme juif"),
        ("the", HOMME, "f", "sg", "la femme juive"),
        ("this", HOMME, "m", "sg", "cet homme juif"),
        ("this", VOISIN, "m", "sg", "ce voisin juif"),
        ("this", HOMME, "m", "pl", "ces hommes juifs"),
        ("a", VOISIN, "f", "sg", "une voisine juive"),
        ("a", VOISIN, "f", "pl", "des voisines juives"),
        ("the", Noun("{héros,héroïne}"), "m", "sg", "le héros juif"),
        ("the", Noun("{héros,héroïne}"), "f", "sg", "l'héroïne juive"),
        ("this", Noun("{handicapé,handicapée}"), "m", "sg", "ce handicapé juif"),
    ],
)
def test_french(determiner: str, noun: Noun, gender: Gender, number: Number, expected: str) -> None:
    assert phrase("fra", determiner, noun, JUIF, Features(gender, number)) == expected


@pytest.mark.parametrize(
    ("language", "before", "following", "expected"),
    [
        ("fra", "près de ", "le voisin", "près du voisin"),
        ("fra", "près de ", "l'homme", "près de l'homme"),
        ("fra", "près de ", "la femme", "près de la femme"),
        ("fra", "près de ", "les femmes", "près des femmes"),
        ("fra", "À ", "les hommes", "Aux hommes"),
        ("fra", "à ", "le voisin", "au voisin"),
        ("fra", "on sait que ", "un voisin", "on sait qu'un voisin"),
        ("fra", "on sait que ", "le voisin", "on sait que le voisin"),
        ("fra", "près de ", "une voisine", "près d'une voisine"),
        ("spa", "cerca de ", "el vecino", "cerca del vecino"),
        ("spa", "A ", "el vecino", "Al vecino"),
        ("spa", "cerca de ", "la vecina", "cerca de la vecina"),
        ("spa", "cerca de ", "ella", "cerca de ella"),
        ("spa", "para ", "el vecino", "para el vecino"),
        ("deu", "bei ", "dem Mann", "beim Mann"),
        ("deu", "zu ", "der Frau", "zur Frau"),
        ("deu", "von ", "dem Mann", "vom Mann"),
        ("deu", "neben ", "dem Mann", "neben dem Mann"),
        ("deu", "von ", "diesem Mann", "von diesem Mann"),
        ("eng", "to ", "the man", "to the man"),
    ],
)
def test_contraction(language: str, before: str, following: str, expected: str) -> None:
    assert attach(language, before, following) == expected


def test_english_and_spanish() -> None:
    for adjective, expected in [
        ("atheist", "an atheist guest"),
        ("Hindu", "a Hindu guest"),
        ("honest", "an honest guest"),
        ("European", "a European guest"),
        ("unimportant", "an unimportant guest"),
        ("Ugandan", "a Ugandan guest"),
        ("one-armed", "a one-armed guest"),
    ]:
        assert phrase("eng", "a", GUEST, Modifier(adjective), Features("n")) == expected
    assert phrase("eng", "this", GUEST, Modifier(after="with a hat"), Features("n", "pl")) == "these guests with a hat"
    assert phrase("eng", "a", GUEST, Modifier("Hindu"), Features("n", "pl")) == "Hindu guests"
    assert phrase("spa", "this", VECINO, JUDIO, Features("m")) == "este vecino judío"
    assert phrase("spa", "a", VECINO, JUDIO, Features("f", "pl")) == "unas vecinas judías"
    assert phrase("spa", "the", Noun("persona{,,s,s}", "f"), JUDIO, Features("f")) == "la persona judía"


@given(forms, forms, forms, forms, genders, numbers)
def test_the_form_chosen_is_the_one_that_agrees(a: str, b: str, c: str, d: str, gender: Gender, number: Number) -> None:
    expected = {("m", "sg"): a, ("f", "sg"): b, ("m", "pl"): c, ("f", "pl"): d}[gender, number]
    assert choose(f"x{{{a},{b},{c},{d}}}y", Features(gender, number)) == f"x{expected}y"


@pytest.mark.parametrize(
    ("text", "features"),
    [("{his,her}", Features("n")), ("{o,a}", Features("m", "pl")), ("{a}", Features("m")), ("{a,b", Features("m"))],
)
def test_a_form_that_is_not_there_is_refused(text: str, features: Features) -> None:
    with pytest.raises(UserError, match=re.escape(repr(text))):
        choose(text, features)


def test_languages_without_neuter_refuse_it() -> None:
    for language in ("fra", "spa"):
        with pytest.raises(UserError, match="m or f"):
            phrase(language, "the", Noun("x"), Modifier(), Features("n"))
    with pytest.raises(UserError, match="no determiner 'my'"):
        phrase("eng", "my", GUEST, Modifier(), Features("n"))


@given(determiners, genders, numbers, cases)
def test_german_strong_endings_are_shown_once(determiner: str, gender: Gender, number: Number, case: Case) -> None:
    """Article or adjective shows gender and case, never both: after an ending of der, the adjective has -e or -en."""
    features = Features(gender, number)
    text = phrase("deu", determiner, NACHBAR, Modifier("jüdisch"), features, case)
    article = text.split()[0]
    ending = german_ending(determiner, features, case)
    assert f"jüdisch{ending} " in text
    if article.endswith(("r", "m", "n", "s")) and article != "ein":
        assert ending in ("e", "en")
    if article == "ein":
        assert ending in ("er", "es")


@given(st.sampled_from(["eng", "spa", "fra", "deu"]), determiners, genders, numbers, forms, forms)
def test_a_phrase_begins_with_its_determiner_and_has_its_noun(
    language: str, determiner: str, gender: Gender, number: Number, noun: str, after: str
) -> None:
    text = phrase(language, determiner, Noun(noun), Modifier(after=after), Features(gender, number))
    assert text == text.strip()
    assert "  " not in text
    assert f"{noun}" in text
    assert text.endswith(f" {after}")
    if language == "fra" and "'" in text:
        assert noun[0] in "aeiouyéüh"


@given(forms, forms)
def test_french_elides_before_vowels_alone(noun: str, before: str) -> None:
    text = phrase("fra", "the", Noun(noun), Modifier(), Features("m"))
    assert text.startswith("l'") == (
        noun[0] in "aeiouéü" or (noun[0] == "h" and "'" in text) or (noun[0] == "y" and "'" in text)
    )
    assert attach("fra", f"{before} de ", text) in (f"{before} du {noun}", f"{before} de l'{noun}")


@given(st.lists(forms, min_size=1, max_size=6))
def test_words_are_where_their_spans_are(parts: list[str]) -> None:
    text = sentence(", ".join(parts) + ".")
    assert [text[start:end] for start, end in word_spans(text)] == words(text)
    assert len(words(text)) == len(parts)
    assert text[0] == text[0].upper()


def test_words_end_at_an_apostrophe() -> None:
    assert words("L'homme n'est pas semi-sourd, non.") == ["L'", "homme", "n'", "est", "pas", "semi-sourd", "non"]
