"""PMI of groups with attribute words, where it is known; and words beside groups."""

import random
from collections import Counter
from typing import Any

import numpy as np
import pytest

from audit.associations import associate
from audit.neighbours import NeighbourFinder, characteristic
from tests.audit import texts

CRIME = {"eng": "A robbery was in the news.", "spa": "Hubo un robo en el barrio.", "fra": "Un vol a eu lieu.",
         "deu": "Es gab einen Diebstahl."}  # fmt: skip


def rows(language: str, share: float, elsewhere: float, sites: int = 10_000, count: int = 600) -> list[dict[str, Any]]:
    """Documents with a sentence on crime: behind a mention with one probability, elsewhere with another."""
    chance = random.Random(f"{language}{share}{elsewhere}")
    found = []
    for number in range(count):
        lines = [chance.choice(texts.ORDINARY[language]) for _ in range(8)]
        mention = texts.MENTIONS[language]["religion:muslim"] if number % 3 == 0 else ""
        if mention:
            lines.insert(4, mention)
            if chance.random() < share:
                lines.insert(5, CRIME[language])
        elif chance.random() < elsewhere:
            lines.insert(4, CRIME[language])
        found.append({"text": " ".join(lines), "language": f"{language}_Latn", "domain": f"s{number % sites}.example"})
    return found


@pytest.mark.parametrize("language", sorted(CRIME))
@pytest.mark.parametrize("window", [15, 0])
def test_a_planted_association_is_found_in_every_language(language: str, window: int) -> None:
    found, without = associate(rows(language, 0.9, 0.1), window, 20, draws=200)
    crime = {(each.group, each.attribute): each for each in found}["religion:muslim", "crime"]
    assert not without
    assert crime.p_adjusted < 0.05
    assert crime.low > 0


def test_no_association_is_flagged_where_there_is_none_and_its_interval_holds_0() -> None:
    alarms = covered = 0
    for seed in range(40):
        chance = np.random.default_rng(seed)
        documents = [
            {
                "text": " ".join(chance.permutation([*texts.ORDINARY["eng"], *["The women met."] * (seed % 2 + 1),
                                                     *["A robbery."] * int(chance.integers(0, 3))])),
                "language": "eng_Latn", "domain": f"s{number // 3}.example",
            }
            for number in range(150)
        ]  # fmt: skip
        found, _ = associate(documents, 10, 20, draws=200)
        (crime,) = (each for each in found if each.group == "gender:woman" and each.attribute == "crime")
        alarms += crime.p_value < 0.05
        covered += crime.low <= 0 <= crime.high
    assert alarms <= 5
    assert covered >= 34


def test_one_site_is_no_evidence_and_small_counts_are_hidden() -> None:
    documents = rows("eng", 0.0, 0.0, count=300)
    one = texts.MENTIONS["eng"]["religion:muslim"] + " " + CRIME["eng"]
    documents += [{"text": one, "language": "eng_Latn", "domain": "one.example"}] * 100
    found, _ = associate(documents, 10, 20, draws=200)
    crime = {(each.group, each.attribute): each for each in found}["religion:muslim", "crime"]
    assert not crime.p_adjusted < 0.05
    few, _ = associate(rows("eng", 0.9, 0.1, count=30), 10, 20, draws=100)
    assert all(np.isnan(each.pmi) and each.why for each in few)


def test_a_language_without_lists_is_named() -> None:
    found, without = associate([{"text": "слово", "language": "rus_Cyrl", "domain": None}], 10, 20)
    assert found == []
    assert without == {"rus_Cyrl": 1}


def test_words_beside_a_group_are_those_that_others_have_less_of() -> None:
    finder = NeighbourFinder()
    for text, _ in texts.documents("deu", 200, share=0.3):
        finder.mentions({"text": text, "language": "deu_Latn"})
    counts = finder.beside["deu_Latn"]
    assert isinstance(counts, Counter)
    words = [word for word, *_ in characteristic(counts, "religion:jewish", 4)]
    assert "bäckerei" in words
    assert "und" not in words
