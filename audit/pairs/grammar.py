"""Agreement in English, Spanish, French and German: what the sentences of ``audit.pairs`` need, and no more.

Forms stand in the data, written out in braces and chosen by the gender and number of the person: nothing is stemmed,
so that a reviewer reads what will be printed. ``choose`` says in which order. Rules are only for what depends on
neighbours: articles, elision and contraction, ``a`` or ``an``, and the endings of German adjectives.
"""

import re
from dataclasses import dataclass
from typing import Literal

from curation.errors import UserError

Gender = Literal["m", "f", "n"]
Number = Literal["sg", "pl"]
Case = Literal["nom", "acc", "dat"]

LANGUAGES = ("deu", "eng", "fra", "spa")
DETERMINERS = ("the", "a", "this")

_BRACES = re.compile(r"\{([^{}]*)\}")
_WORD = re.compile(r"[^\s'.,;:!?]+'?")
_VOWELS = "aeiouyàâäéèêëîïôöùûüœæ"
_H_ASPIRATED = re.compile(
    r"(handicap|haut|hongrois|hollandais|honteu|héros\b|harcel|huit|onz|oui\b|y[aeo])", re.IGNORECASE
)
_SAID_WITH_A_CONSONANT = re.compile(r"(uni(?!nt|mp|nf)|us[eu]|uga|ukr|eu|one\b|one-|once|ut[aio])", re.IGNORECASE)
_SAID_WITH_A_VOWEL = re.compile(r"(hour|honest|honou?r|heir)", re.IGNORECASE)

_SPANISH = {
    "the": {"m": ("el", "los"), "f": ("la", "las")},
    "a": {"m": ("un", "unos"), "f": ("una", "unas")},
    "this": {"m": ("este", "estos"), "f": ("esta", "estas")},
}
_FRENCH = {
    "the": {"m": ("le", "les"), "f": ("la", "les")},
    "a": {"m": ("un", "des"), "f": ("une", "des")},
    "this": {"m": ("ce", "ces"), "f": ("cette", "ces")},
}
_GERMAN_DER = {
    "nom": {"m": "der", "f": "die", "n": "das", "pl": "die"},
    "acc": {"m": "den", "f": "die", "n": "das", "pl": "die"},
    "dat": {"m": "dem", "f": "der", "n": "dem", "pl": "den"},
}
_GERMAN_THIS = {
    "nom": {"m": "dieser", "f": "diese", "n": "dieses", "pl": "diese"},
    "acc": {"m": "diesen", "f": "diese", "n": "dieses", "pl": "diese"},
    "dat": {"m": "diesem", "f": "dieser", "n": "diesem", "pl": "diesen"},
}
_GERMAN_EIN = {
    "nom": {"m": "ein", "f": "eine", "n": "ein", "pl": ""},
    "acc": {"m": "einen", "f": "eine", "n": "ein", "pl": ""},
    "dat": {"m": "einem", "f": "einer", "n": "einem", "pl": ""},
}
_GERMAN_CONTRACTED = {"von dem": "vom", "zu dem": "zum", "bei dem": "beim", "an dem": "am", "zu der": "zur"}


@dataclass(frozen=True, slots=True)
class Features:
    """What words agree with."""

    gender: Gender
    number: Number = "sg"


@dataclass(frozen=True, slots=True)
class Noun:
    """The head of a phrase: ``vecin{o,a,os,as}``."""

    forms: str
    gender: Gender | None = None
    """For a noun of one gender whoever is meant (``persona``); None: the forms have both."""
    weak: str = ""
    """German: the masculine singular in other cases than the nominative (``Nachbarn``); empty: as it is."""


@dataclass(frozen=True, slots=True)
class Modifier:
    """What names the group beside a noun; all empty: the noun says it itself (man, woman)."""

    adjective: str = ""
    """With forms in braces; German: the stem (``jüdisch``), to which the ending is added."""
    before: str = ""
    """In front of the noun, invariable also in German: ``trans``."""
    after: str = ""
    """Behind the noun: ``en silla de ruedas``; with forms in braces where they differ (``in a wheelchair``)."""


def choose(text: str, features: Features) -> str:
    """A text with the form that agrees in place of each pair of braces.

    Two forms are masculine and feminine singular (``{his,her}``); three, with a neutral or neuter one
    (``{his,her,their}``); four, masculine and feminine singular, masculine and feminine plural (``{o,a,os,as}``), of
    which a neutral person takes the masculine ones.

    Raises:
        UserError: there is no form for these features.
    """

    def form(match: re.Match[str]) -> str:
        forms = match[1].split(",")
        place = "mfn".index(features.gender)
        if len(forms) == 4:
            return forms[(place % 2) + (2 if features.number == "pl" else 0)]
        if len(forms) not in (2, 3) or place >= len(forms) or features.number == "pl":
            raise UserError(
                f"{text!r}: no form in {match[0]} for gender {features.gender}, number {features.number}; "
                "write {m,f}, {m,f,n} or {m,f,m plural,f plural}"
            )
        return forms[place]

    chosen = _BRACES.sub(form, text)
    if "{" in chosen or "}" in chosen:
        raise UserError(f"{text!r}: a brace without its other one")
    return chosen


def words(text: str) -> list[str]:
    """The words of a text; an apostrophe ends one (``l'homme`` is two), a hyphen does not, stops belong to none."""
    return _WORD.findall(text)


def word_spans(text: str) -> list[tuple[int, int]]:
    """Where each of ``words`` lies, (start, end) in characters."""
    return [match.span() for match in _WORD.finditer(text)]


def starts_with_vowel(language: str, text: str) -> bool:
    """Whether a text begins as French elision, or English ``an``, asks for."""
    if language == "fra":
        return text[:1].lower() in _VOWELS + "h" and not _H_ASPIRATED.match(text)
    if _SAID_WITH_A_VOWEL.match(text):
        return True
    return text[:1].lower() in "aeiou" and not _SAID_WITH_A_CONSONANT.match(text)


def phrase(
    language: str, determiner: str, noun: Noun, modifier: Modifier, features: Features, case: Case = "nom"
) -> str:
    """A noun phrase: ``phrase("deu", "a", Nachbar, Modifier("jüdisch"), Features("m"), "dat")`` is
    "einem jüdischen Nachbarn".

    Raises:
        UserError: a form that is not there; a determiner or language that is unknown.
    """
    if language not in LANGUAGES or determiner not in DETERMINERS:
        raise UserError(f"no determiner {determiner!r} in {language!r}; languages: {', '.join(LANGUAGES)}")
    head = choose(noun.forms, features)
    after = choose(modifier.after, features)
    if language == "deu":
        head = _german_noun(noun, head, features, case)
        adjective = modifier.adjective and modifier.adjective + german_ending(determiner, features, case)
        before = [_german_article(determiner, features, case), modifier.before, adjective]
        return " ".join(filter(None, [*before, head, after]))
    adjective = choose(modifier.adjective, features)
    if language == "eng":
        described = " ".join(filter(None, [modifier.before, adjective, head, after]))
        return f"{_english_article(determiner, features, described)} {described}".strip()
    described = " ".join(filter(None, [modifier.before, head, adjective, after]))
    if language == "fra":
        return _french(determiner, features, described)
    if features.gender == "n":
        raise UserError(f"{noun.forms!r}: Spanish nouns are m or f")
    return f"{_SPANISH[determiner][features.gender][features.number == 'pl']} {described}"


def attach(language: str, before: str, following: str) -> str:
    """Text and the noun phrase behind it, contracted: de + el is del, que + un is qu'un, bei + dem is beim."""
    if language == "spa" and following.startswith("el ") and re.search(r"\b(de|a) $", before, re.IGNORECASE):
        return before[:-1] + following[1:]
    if language == "fra":
        return _french_attached(before, following)
    if language == "deu":
        for apart, together in _GERMAN_CONTRACTED.items():
            preposition, article = apart.split()
            if re.search(rf"\b{preposition} $", before) and following.startswith(article + " "):
                return before[: -len(preposition) - 1] + together + following[len(article) :]
    return before + following


def sentence(text: str) -> str:
    """With a capital letter first."""
    return text[:1].upper() + text[1:]


def german_ending(determiner: str, features: Features, case: Case) -> str:
    """The ending of an attributive adjective: weak behind der and dieser, mixed behind ein, strong without article."""
    if features.number == "pl":
        return ("en" if case == "dat" else "e") if determiner == "a" else "en"
    if case == "dat" or (case == "acc" and features.gender == "m"):
        return "en"
    if determiner == "a":
        return {"m": "er", "f": "e", "n": "es"}[features.gender]
    return "e"


def _german_article(determiner: str, features: Features, case: Case) -> str:
    table = {"the": _GERMAN_DER, "this": _GERMAN_THIS, "a": _GERMAN_EIN}[determiner]
    return table[case]["pl" if features.number == "pl" else features.gender]


def _german_noun(noun: Noun, head: str, features: Features, case: Case) -> str:
    if features.number == "pl":
        return head if case != "dat" or head.endswith(("n", "s")) else head + "n"
    return noun.weak if noun.weak and features.gender == "m" and case != "nom" else head


def _english_article(determiner: str, features: Features, following: str) -> str:
    if determiner == "the":
        return "the"
    if determiner == "this":
        return "these" if features.number == "pl" else "this"
    if features.number == "pl":
        return ""
    return "an" if starts_with_vowel("eng", following) else "a"


def _french(determiner: str, features: Features, described: str) -> str:
    if features.gender == "n":
        raise UserError(f"{described!r}: French nouns are m or f")
    article = _FRENCH[determiner][features.gender][features.number == "pl"]
    if features.number == "sg" and starts_with_vowel("fra", described):
        if determiner == "the":
            return f"l'{described}"
        if article == "ce":
            article = "cet"
    return f"{article} {described}"


def _french_attached(before: str, following: str) -> str:
    for article, contracted in (("le ", {"de": "du", "à": "au"}), ("les ", {"de": "des", "à": "aux"})):
        if following.startswith(article):
            for preposition, together in contracted.items():
                found = re.search(rf"(?:^|(?<=\s)){preposition} $", before, re.IGNORECASE)
                if found:
                    first = together.capitalize() if found[0][0].isupper() else together
                    return f"{before[: found.start()]}{first} {following[len(article) :]}"
    if re.search(r"\b(de|que|lorsque|puisque) $", before, re.IGNORECASE) and starts_with_vowel("fra", following):
        return before[:-2] + "'" + following
    return before + following
