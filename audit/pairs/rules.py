"""Slips of grammar that must not be in any sentence, told from the text alone and not as ``grammar.py`` makes it."""

import re
from collections.abc import Iterator
from functools import cache

from audit.pairs.grammar import Features, choose
from audit.pairs.read import AXES, read_words

_GENERAL = (
    (r"^[^A-ZÀÂÄÉÈÊÎÔÖÜÁÍÓÚ]", "no capital letter first"),
    (r"[^.]$", "no full stop at the end"),
    (r"  | [.,]|[<>{}|]|\.\.|^\s", "spaces or marks that do not belong there"),
    (r"\b(\w+) \1\b", "a word twice"),
)
_LANGUAGE = {
    "eng": (
        (r"\b[Aa] (?!uni|use|eu|one\b|one-)[aeiouAEIOU]", "a before a vowel"),
        (r"\b[Aa]n (?!hour|honest|heir)[^aeiouAEIOU]", "an before a consonant"),
        (r"\b(a|an|this) (\S+ )?(men|women|people)\b", "a plural after a singular"),
        (r"\b(muslim|christian|jewish|hindu|buddhist|asian|hispanic|arab|mexican|german|nigerian)\b", "no capital"),
    ),
    "spa": (
        (r"\b([Dd]e|[Aa]) el\b", "not contracted"),
        (r"\by i|\bo o", "y before i, o before o"),
        (r"\b(el|los|un|unos|este|estos) (persona|mujer)", "gender"),
        (r"\b(Cristian|Musulm|Jud|Hind|Budist|Español|Alem|Colombian|Marroqu)", "a capital"),
    ),
    "fra": (
        (r"\b[Dd]e les?\b|\bà les?\b", "not contracted"),
        (r"\b([LlDdNnSs]e|[Ll]a|[Qq]ue|[Cc]e|[Jj]e) (?=[aeiouâàéèêëîïôûœAEIOUÉ]|hom|hin|hé[^r]|hi)", "not elided"),
        (r"\b[Cc]e (?=homme|étudiant|employé)|\b[Cc]et (?=[bcdfgjklmnpqrstvw])", "ce or cet"),
        (r"' ", "a space after an apostrophe"),
        (r"\b(Chrétien|Musulman|Jui[fv]|Hindou|Bouddhis|Allemand|Français|Algérien|Portugais)", "a capital"),
    ),
    "deu": (
        (r"\b(von|zu|bei) dem\b|\bzu der\b", "not contracted"),
        (r"\b(Christlich|Muslimisch|Jüdisch|Deutsch|Türkisch|Polnisch|Schwul|Lesbisch)", "a capital"),
        (r"\bschwarze", "Schwarz has a capital here"),
    ),
}  # fmt: skip

Rule = tuple[re.Pattern[str], str]


def slips(language: str, text: str) -> list[str]:
    """What is wrong with a sentence, in words; empty: nothing that these rules know."""
    return [f"{why}: {found[0]!r}" for pattern, why in _rules(language) if (found := pattern.search(text))]


@cache
def _rules(language: str) -> tuple[Rule, ...]:
    written = [*_GENERAL, *_LANGUAGE[language], *_agreement(language)]
    return tuple((re.compile(pattern), why) for pattern, why in written)


def _agreement(language: str) -> Iterator[tuple[str, str]]:
    """Rules about articles and adjectives beside the nouns of the data."""
    if language == "eng":
        return
    masculine, feminine, weak = _nouns(language)
    his, hers = "|".join(masculine), "|".join(feminine)
    if language == "deu":
        yield from _german(his, hers, "|".join(weak))
        return
    male = {"spa": "[Ee]l|[Uu]n|[Ee]ste", "fra": "[Ll]e|[Uu]n|[Cc]et?"}[language]
    female = {"spa": "[Ll]a|[Uu]na|[Ee]sta", "fra": "[Ll]a|[Uu]ne|[Cc]ette"}[language]
    yield rf"\b({male}) ({hers})\b", "a masculine article before a feminine noun"
    yield rf"\b({female}) ({his})\b", "a feminine article before a masculine noun"
    if language == "spa":
        groups = "cristian|jud[ií]|musulm|ate|negr|blanc|asiátic|latin|gitan|colombian|alem|cieg|sord|neurotípic"
        yield rf"\b({hers}) ({groups})(o|án)\b", "a masculine adjective after a feminine noun"
        yield rf"\b({his}) ({groups})(a|ana)\b", "a feminine adjective after a masculine noun"
    else:
        male_forms = (
            "chrétien|musulman|juif|hindou|noir|blanc|français|algérien|allemand|portugais|handicapé|voyant|sourd"
        )
        female_forms = (
            "chrétienne|musulmane|juive|hindoue|noire|blanche|française|algérienne|allemande|portugaise|sourde"
        )
        yield (
            rf"\b({hers}) ({male_forms}|entendant|bisexuel|hétérosexuel)\b",
            "a masculine adjective after a feminine noun",
        )
        yield rf"\b({his}) ({female_forms}|bisexuelle|hétérosexuelle)\b", "a feminine adjective after a masculine noun"


def _german(his: str, hers: str, weak: str) -> Iterator[tuple[str, str]]:
    adjective = r"(?!trans\b|cis\b)[\w-]+"
    yield (
        rf"\b([Ee]in|[Ee]inen|[Ee]inem|[Dd]iesem|[Dd]iesen|[Dd]em|[Dd]en|[Dd]as) ({adjective} )?({hers})\b",
        "a feminine noun",
    )
    yield rf"\b([Ee]ine|[Ee]iner) ({adjective} )?({his})\b", "a masculine noun"
    yield rf"\b[Ee]in {adjective}(?<!er) ({his})\b", "an ending after ein"
    yield rf"\b([Dd]er|[Dd]ieser) {adjective}(?<!e) ({his})\b", "an ending after der"
    yield (
        rf"\b([Dd]em|[Dd]en|[Ee]inem|[Ee]inen|[Dd]iesem|[Dd]iesen) {adjective}(?<!en) ({his})\b",
        "an ending after dem or den",
    )
    yield (
        rf"\b([Dd]em|[Dd]en|[Ee]inem|[Ee]inen|[Dd]iesem|[Dd]iesen) ({adjective} )?({weak})\b",
        "a noun that ends in -n here",
    )
    yield rf"\b([Dd]er|[Dd]ieser|[Ee]iner) {adjective}(?<!en) ({hers})\b", "an ending in the feminine dative"
    yield rf"\b([Dd]ie|[Ee]ine|[Dd]iese) {adjective}(?<!e) ({hers})\b", "an ending in the feminine nominative"


@cache
def _nouns(language: str) -> tuple[list[str], list[str], list[str]]:
    """(masculine singular forms, feminine singular forms, German nouns with a weak form); no form of both genders."""
    masculine, feminine, weak = set(), set(), set()
    for axis in AXES:
        for noun in read_words(language, axis).heads.values():
            forms = [choose(noun.forms, Features(gender)) for gender in ("m", "f")]
            plural = {choose(noun.forms, Features(gender, "pl")) for gender in ("m", "f")}
            if noun.gender is None and forms[0] != forms[1]:
                masculine |= {forms[0]}
                feminine |= {forms[1]} - plural
            if noun.weak:
                weak |= {forms[0]}
    return sorted(masculine), sorted(feminine), sorted(weak)
