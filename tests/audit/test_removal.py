"""Planted filters over documents in memory: what is blamed on whom."""

import random
import re
import zlib
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from audit.facts import Finder, facts_of
from audit.removal import Options, Row, compare_all, gaps
from tests.audit import texts

Decide = Callable[[str], str | None]


def audit(
    documents: Sequence[str],
    decide: Decide,
    language: str = "eng_Latn",
    domain: Callable[[int], str | None] = lambda number: f"site{number}.example",
    options: Options | None = None,
) -> list[Row]:
    """Rows of an audit of a filter ``f`` that gives each text a reason or None."""
    rows = [
        {
            "id": f"{zlib.crc32(text.encode()):08x}{number:024x}",
            "text": text,
            "language": language,
            "domain": domain(number),
            "duplicate_of": None,
            "step": "f" if decide(text) else None,
            "reason": decide(text),
        }
        for number, text in enumerate(documents)
    ]
    return compare_all(facts_of(rows, Finder(), ["f"]), options or Options())


def flagged(rows: Sequence[Row], factor: str = "group", alpha: float = 0.05) -> set[str]:
    return {row.name for row in rows if row.factor == factor and row.p_adjusted < alpha}


def mentions(pattern: str) -> Decide:
    return lambda text: "pattern" if pattern in text.lower() else None


@pytest.mark.parametrize(
    ("language", "pattern", "name"),
    [
        ("eng", "muslim", "religion:muslim"),
        ("eng", "women", "gender:woman"),
        ("spa", "gitan", "ethnicity:roma"),
        ("spa", "gais", "sexual_orientation:gay"),
        ("fra", "sourdes", "disability:deaf"),
        ("deu", "jüdisch", "religion:jewish"),
    ],
)
@pytest.mark.parametrize("sites", [None, 1, 3, 40, 10_000])
def test_a_filter_against_one_group_is_found(language: str, pattern: str, name: str, sites: int | None) -> None:
    """However many sites there are: each document its own, few, or none known."""
    documents = [text for text, _ in texts.documents(language, 300, seed=1)]

    def domain(number: int) -> str | None:
        return None if sites is None else f"site{number % sites}.example"

    rows = audit(documents, mentions(pattern), f"{language}_Latn", domain)
    assert flagged(rows) == {name}
    (row,) = (row for row in rows if row.factor == "group" and row.name == name)
    assert row.risk is not None
    assert row.risk.low > 1
    assert (row.risk.removed, row.risk.others_removed) == (row.n, 0)


@pytest.mark.parametrize("extra", ["adds a sentence", "replaces a sentence"])
def test_texts_of_one_length_do_not_hide_a_group(extra: str) -> None:
    """All other texts have exactly as many words, so that length would explain the filter as well."""
    words = "one two three four five six seven eight nine ten".split()
    chance = random.Random(3)
    plain = [" ".join(chance.choice(words) for _ in range(168)) + "." for _ in range(300)]
    sentence = " The Muslim community met."
    cut = 0 if extra == "adds a sentence" else 30
    documents = [text[: len(text) - cut] + sentence if n % 5 == 0 else text for n, text in enumerate(plain)]
    assert flagged(audit(documents, mentions("muslim"))) == {"religion:muslim"}


@pytest.mark.parametrize("least", [10, 20, 30, 50, 80, 120, 200])
@pytest.mark.parametrize("unit", ["words", "characters", "words and marks", "letters"])
def test_a_filter_on_length_is_not_blamed_on_who_writes_short_texts(least: int, unit: str) -> None:
    chance = random.Random(5)
    documents = []
    for number in range(1500):
        short = number % 4 == 0
        text = texts.text("eng", chance, (), 1 if short else 3)
        words = (text * 20).split()
        length = max(4, int(chance.lognormvariate(3.2 if short else 4.4, 0.6)))
        lead = "The gay singers met. " if short else ""
        documents.append(lead + " ".join(chance.choices(words, k=length)))

    def decide(text: str) -> str | None:
        size = {
            "words": len(text.split()),
            "characters": len(text) // 6,
            "words and marks": len(re.findall(r"\w+|[^\w\s]", text)),
            "letters": sum(map(str.isalpha, text)) // 5,
        }[unit]
        return "short" if size < least else None

    rows = audit(documents, decide)
    assert not flagged(rows)
    removed = sum(decide(text) is not None for text in documents)
    if 50 < removed < 1450:
        assert flagged(rows, "length")


def test_a_long_text_filter_is_not_blamed_on_who_writes_long_texts() -> None:
    chance = random.Random(6)
    documents = []
    for number in range(1500):
        long = number % 4 == 0
        length = int(chance.lognormvariate(5.0 if long else 4.2, 0.7)) + 5
        words = (texts.text("eng", chance, (), 3) * 40).split()
        documents.append(("The gay singers met. " if long else "") + " ".join(chance.choices(words, k=length)))
    rows = audit(documents, lambda text: "long" if len(text.split()) > 150 else None)
    assert not flagged(rows)


def test_a_group_that_is_removed_is_found_beside_a_filter_on_length() -> None:
    documents = [text for text, _ in texts.documents("eng", 600, seed=2)]

    def decide(text: str) -> str | None:
        if len(text.split()) < 120:
            return "short"
        return "pattern" if "jewish" in text.lower() else None

    rows = audit(documents, decide)
    assert flagged(rows) == {"religion:jewish"}
    assert {row.reason for row in rows if row.name == "religion:jewish" and row.p_adjusted < 0.05} == {"", "pattern"}


@pytest.mark.parametrize("first", ["pattern", "random"])
def test_reasons_of_one_step_are_not_blamed_for_each_other(first: str) -> None:
    """A reason at random is neither blamed for the documents that another reason takes, nor does it favour them."""
    documents = [text for text, _ in texts.documents("eng", 900, seed=7)]

    def decide(text: str) -> str | None:
        chosen = zlib.crc32(text.encode()) % 5 == 0
        hit = "muslim" in text.lower()
        if first == "pattern":
            return "pattern" if hit else "random" if chosen else None
        return "random" if chosen else "pattern" if hit else None

    rows = audit(documents, decide)
    assert not [row.name for row in rows if row.reason == "random" and row.p_adjusted < 0.05]
    assert {row.name for row in rows if row.reason == "pattern" and row.p_adjusted < 0.05} == {"religion:muslim"}


def test_one_large_site_that_is_dropped_is_named_as_a_site_and_blames_no_group() -> None:
    documents = [text for text, _ in texts.documents("eng", 500, seed=8)]
    site = [texts.text("eng", random.Random(n), ["religion:muslim"], 5 + n % 20) for n in range(150)]
    everything = documents + site

    def domain(number: int) -> str:
        return "mosque-news.example" if number >= 500 else f"site{number}.example"

    dropped = set(site)
    rows = audit(everything, lambda text: "block_list" if text in dropped else None, domain=domain)
    assert flagged(rows, "domain") == {"mosque-news.example"}
    assert not flagged(rows)
    assert "religion:muslim" in {row.name for row in rows if row.scored and "few sites" in str(row.why)}


def test_many_sites_of_one_group_that_are_dropped_blame_the_group() -> None:
    """What is not seen inside any site, since whole sites go."""
    chance = random.Random(9)
    documents, domains = [], []
    for site in range(120):
        for _ in range(6):
            names = ["sexual_orientation:gay"] if site % 3 == 0 else []
            documents.append(texts.text("eng", chance, names, chance.randint(5, 25)))
            domains.append(f"site{site}.example")
    rows = audit(documents, lambda text: "block_list" if " gay " in text else None, domain=domains.__getitem__)
    assert flagged(rows) == {"sexual_orientation:gay"}


def test_over_and_under_removal_are_told_apart() -> None:
    documents = [text for text, _ in texts.documents("eng", 900, seed=10)]

    def decide(text: str) -> str | None:
        return None if "women" in text or zlib.crc32(text.encode()) % 3 else "random"

    (row,) = (row for row in audit(documents, decide) if row.name == "gender:woman")
    assert row.risk is not None
    assert row.p_adjusted < 0.05
    assert row.risk.high < 1


def test_small_groups_are_hidden_with_a_reason_and_never_zero() -> None:
    documents = [text for text, _ in texts.documents("eng", 300, seed=1, share=0.02)]
    rows = [row for row in audit(documents, mentions("muslim")) if row.factor == "group"]
    assert rows
    small = [row for row in rows if row.n < 20]
    assert small
    assert all(row.risk is None and "--min-group 20" in str(row.why) for row in small)
    shown = audit(documents, mentions("muslim"), options=Options(min_group=3))
    assert "religion:muslim" in flagged(shown)


def test_a_random_filter_is_flagged_no_more_than_stated() -> None:
    """Over seeds: the chance of any flag anywhere, all factors together, stays under alpha."""
    documents = [text for text, _ in texts.documents("eng", 250, seed=11)]
    alarms = 0
    for seed in range(60):
        rate = 2 + seed % 12

        def decide(text: str, seed: int = seed, rate: int = rate) -> str | None:
            return "random" if zlib.crc32(f"{seed} {text}".encode()) % rate == 0 else None

        rows = audit(documents, decide, domain=lambda number: f"site{number % 90}.example")
        alarms += any(row.p_adjusted < 0.05 for row in rows)
    assert alarms <= 7  # of 60 at 5 %: more with a probability of .02


def test_languages_domains_lengths_and_dialects_are_compared_too() -> None:
    chance = random.Random(12)
    documents = [texts.text("eng", chance, (), chance.randint(5, 25)) for _ in range(600)]
    documents = [text + (" They was finna go home." if n % 6 == 0 else "") for n, text in enumerate(documents)]
    rows = audit(documents, mentions("finna"), domain=lambda number: f"site{number % 4}.example")
    assert flagged(rows, "dialect") == {"dialect:african_american_english"}
    assert {row.factor for row in rows} == {"dialect", "domain", "length"}


def test_worst_group_and_gap() -> None:
    documents = [text for text, _ in texts.documents("eng", 400, seed=13)]
    found = {gap.dimension: gap for gap in gaps(audit(documents, mentions("muslim")))}
    assert found["religion"].worst.name == "religion:muslim"
    assert found["religion"].best.name == "religion:jewish"
    assert found["religion"].value > 0.5


def test_documents_in_a_language_without_a_list_are_still_compared_by_site() -> None:
    documents = [f"Слово {n} и ещё {n * n} слов о реке и мельнице." for n in range(200)]
    rows = audit(documents, lambda text: "f" if int(text.split()[1]) % 4 == 0 else None, "rus_Cyrl",
                 domain=lambda number: f"site{number % 4}.example")  # fmt: skip
    assert flagged(rows, "domain")
    assert not [row for row in rows if row.factor == "group"]


def test_nothing_to_audit() -> None:
    assert audit([], mentions("x")) == []
    assert not any(row.scored for row in audit(["One text about women."], mentions("women")))
    assert np.isnan(audit(["One text about women."] * 50, mentions("women"))[0].p_adjusted)
