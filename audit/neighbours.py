"""Words beside mentions of groups, and those that are characteristic of each."""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from audit.facts import Finder
from audit.matching import words_in
from curation.errors import UserError

WINDOW = 5
"""Words to each side of a mention."""
MOST_PAIRS = 2_000_000
"""Pairs of group and word held for a language; beyond, pairs seen once go (as lossy counting does; Manku and Motwani
2002, https://doi.org/10.1016/B978-155860869-6/50038-X)."""
MOST_WORDS = 200_000
"""Words of a text that are looked at."""


class NeighbourFinder(Finder):
    """Finds mentions, and counts on the way in how many documents a word stands beside a name."""

    def __init__(self, ambiguous: bool = False) -> None:
        super().__init__(ambiguous)
        self.beside: dict[str, Counter[tuple[str, str]]] = {}
        """Language -> (name, word) -> documents."""

    def mentions(self, row: dict[str, Any]) -> Mapping[str, int]:
        """Name -> mentions in a document."""
        matcher = self.matcher(row["language"] or "und")
        if matcher is None:
            return {}
        places = [(matcher.names[name], place) for name, place in matcher.find(row["text"])]
        found = Counter(name for name, _ in places)
        if places:
            words = words_in(row["text"][: 16 * MOST_WORDS])[:MOST_WORDS]
            pairs = {
                (name, word.casefold())
                for name, place in places
                for word in words[max(0, place - WINDOW) : place] + words[place + 1 : place + 1 + WINDOW]
                if len(word) > 1 and word.isalpha()
            }
            counts = self.beside.setdefault(row["language"], Counter())
            counts.update(pairs)
            if len(counts) > MOST_PAIRS:
                self.beside[row["language"]] = Counter({pair: n for pair, n in counts.items() if n > 1})
        return found


def characteristic(counts: Mapping[tuple[str, str], int], name: str, most: int) -> list[tuple[str, float, int]]:
    """(word, z, documents) of the words that stand beside a name more than beside other names.

    z is the log-odds ratio over its standard error, with the words beside all names as an informative Dirichlet prior
    (Monroe, Colaresi, Quinn 2008, https://doi.org/10.1093/pan/mpn018); words above 1.96 in two documents or more are
    told.
    """
    if most < 0:
        raise UserError(f"--words {most}: 0 or more")
    everywhere: Counter[str] = Counter()
    here: dict[str, int] = {}
    for (each, word), count in counts.items():
        everywhere[word] += count
        if each == name:
            here[word] = count
    total, mine = sum(everywhere.values()), sum(here.values())
    others = total - mine
    found = []
    for word, count in here.items():
        prior = everywhere[word] / total * 100
        a, b = count + prior, everywhere[word] - count + prior
        odds = math.log(a / (mine + 100 - a)) - math.log(b / (others + 100 - b))
        z = odds / math.sqrt(1 / a + 1 / b)
        if z > 1.96 and count > 1:
            found.append((word, z, count))
    return sorted(found, key=lambda each: (-each[1], each[0]))[:most]
