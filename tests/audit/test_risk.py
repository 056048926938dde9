"""The statistics of removal: exact p-values, sites, lengths, and how often nothing is flagged."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import hypergeom

from audit.lengths import match_length
from audit.risk import Comparison, Layout, exact_test, rate_interval
from curation.statistics import Strata

Array = np.ndarray[Any, Any]


def by_convolution(strata: Strata) -> float:
    """The exact p-value, written plainly."""
    chance = np.ones(1)
    size, events = strata.exposed_S + strata.others_S, strata.exposed_events_S + strata.other_events_S
    for drawn, some, everything in zip(strata.exposed_S, events, size, strict=True):
        chance = np.convolve(chance, hypergeom.pmf(np.arange(drawn + 1), everything, some, drawn))
    observed = int(strata.exposed_events_S.sum())
    return min(1.0, 2 * float(min(chance[: observed + 1].sum(), chance[observed:].sum())))


@pytest.mark.parametrize("largest", [8, 40, 400])
def test_p_values_are_those_of_the_exact_distribution(largest: int) -> None:
    """Through the Fourier transform, the convolution and the three moments, in the far tail too."""
    chance = np.random.default_rng(largest)
    small = 0
    for _ in range(300):
        S = chance.integers(1, 120)
        size = chance.integers(2, largest + 1, S)
        drawn, events = chance.integers(0, size + 1), chance.integers(0, size // 2 + 1)
        a = np.array(
            [chance.hypergeometric(m, n - m, k) if k else 0 for m, n, k in zip(events, size, drawn, strict=True)]
        )
        most = np.minimum(drawn, events)
        a = np.minimum(
            most, a + np.round(chance.choice([0, 0.1, 0.3, 0.6]) * (most - a) + chance.random(S) * 0.2).astype(int)
        )
        strata = Strata(a * 1.0, drawn * 1.0, (events - a) * 1.0, (size - drawn) * 1.0)
        expected = by_convolution(strata)
        small += 1e-7 < expected < 1e-3
        if expected > 1e-7:
            assert np.log10(exact_test(strata) / expected) == pytest.approx(0, abs=0.02 if expected > 1e-4 else 0.3)
    assert small > 4


def p_value(removed_N: Array, exposed_N: Array, site_N: Array, words_N: Array) -> float:
    strata = match_length(removed_N, {"words": words_N}, "f")
    comparison = Comparison(removed_N, strata.strata_N, site_N, np.arange(len(removed_N)))
    return comparison.risk(np.flatnonzero(exposed_N), 0.05).p_value


@pytest.mark.parametrize(
    ("documents", "share_removed", "share_exposed", "sites", "kind"),
    [
        (600, 0.1, 0.1, 0, "random"),
        (2000, 0.003, 0.02, 0, "random"),
        (600, 0.2, 0.1, 60, "random"),
        (1000, 0.2, 0.1, 50, "whole sites"),
        (1000, 0.2, 0.1, 5, "whole sites"),
        (1000, 0.2, 0.1, 50, "rates of sites"),
        (1000, 0.2, 0.1, 5, "rates of sites"),
    ],
)
def test_what_has_nothing_to_do_with_a_group_is_flagged_at_most_as_often_as_stated(
    documents: int, share_removed: float, share_exposed: float, sites: int, kind: str
) -> None:
    """Over 250 seeds: removal at random, of whole sites, and at each site's own rate, while sites differ in how often
    they mention the group, and one of them has a quarter of all documents."""
    chance = np.random.default_rng(documents + sites)
    below = rare = told = 0
    for _ in range(250):
        site_N = np.full(documents, -1)
        exposed_N = chance.random(documents) < share_exposed
        rate_N = np.full(documents, share_removed)
        if sites:
            site_N = chance.integers(0, sites, documents)
            site_N[: documents // 4] = 0
            exposed_N = chance.random(documents) < chance.beta(0.5, 5, sites)[site_N]
            whole = (chance.random(sites) < share_removed).astype(float)
            rate_N = {"random": rate_N, "whole sites": whole[site_N],
                      "rates of sites": chance.beta(0.4, 1.6, sites)[site_N]}[kind]  # fmt: skip
        removed_N = chance.random(documents) < rate_N
        p = p_value(removed_N, exposed_N, site_N, chance.lognormal(5, 0.8, documents).astype(int) + 3)
        told += not np.isnan(p)
        below += p < 0.05
        rare += p < 0.01
    assert told > 100
    assert below <= 22  # of 250 at 5 %: more with a probability below .005
    assert rare <= 8  # at 1 %: below .005


@pytest.mark.full
def test_far_tails_hold_over_many_seeds() -> None:
    """5,000 seeds of whole sites dropped: corrected p-values live in the tail."""
    chance = np.random.default_rng(1)
    found = []
    for _ in range(5000):
        site_N = np.repeat(np.arange(200), 5)
        exposed_N = chance.random(1000) < chance.beta(0.5, 5, 200)[site_N]
        removed_N = (chance.random(200) < 0.2)[site_N]
        found.append(p_value(removed_N, exposed_N, site_N, chance.lognormal(5, 0.8, 1000).astype(int) + 3))
    assert np.mean(np.array(found) < 0.05) < 0.06
    assert np.mean(np.array(found) < 0.001) < 0.003


@pytest.mark.parametrize("least", [10, 25, 50, 100, 200, 400])
def test_a_filter_on_length_leaves_nothing_to_blame(least: int) -> None:
    chance = np.random.default_rng(least)
    exposed_N = chance.random(3000) < 0.2
    words_N = np.where(exposed_N, chance.lognormal(4.2, 0.6, 3000), chance.lognormal(5.2, 0.7, 3000)).astype(int) + 5
    found = match_length(words_N < least, {"words": words_N}, "f")
    if (words_N < least).sum() > 50:
        assert found.decisive
        assert found.exact
    assert not p_value(words_N < least, exposed_N, np.full(3000, -1), words_N) < 0.05


def test_power_is_not_given_away() -> None:
    """Forty documents of six hundred, removed half as often again as others, are found mostly."""
    chance = np.random.default_rng(3)
    hits = 0
    for _ in range(40):
        exposed_N = chance.random(3000) < 0.05
        removed_N = chance.random(3000) < np.where(exposed_N, 0.35, 0.15)
        hits += p_value(removed_N, exposed_N, np.full(3000, -1), chance.lognormal(5, 0.8, 3000).astype(int)) < 0.01
    assert hits > 32


def test_one_large_site_says_no_more_than_one_document() -> None:
    removed_N = np.arange(1000) < 400
    layout = Layout(removed_N, np.zeros(1000, dtype=int), np.where(removed_N, -1, np.arange(1000)))
    _, p, independent = layout.compare(np.arange(0, 400, 2))
    assert p > 0.2
    assert independent < 1e-9


def test_intervals_of_rates_widen_with_sites_that_agree() -> None:
    removed = np.repeat([True, False], 50)
    low, high = rate_interval(removed, np.arange(100))
    assert (low, high) == pytest.approx((0.404, 0.596), abs=0.001)
    wide = rate_interval(removed, np.repeat(np.arange(4), 25))
    assert wide[0] < low < high < wide[1]
