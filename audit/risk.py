"""Is what befalls a group more than chance? Removal of documents that mention a group beside other documents that are
alike in language and length, where documents of one site are alike as well.

Array suffixes: ``N`` documents, ``S`` strata, ``U`` units (sites, or copies of one document), ``E`` exposed documents.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from curation.statistics import Strata, detectable_difference, risk_ratio, wilson

Array = np.ndarray[Any, Any]

_EXACT_UP_TO = 60.0
"""Variance of the count above which three moments describe it: a p-value of 1e-7 is then right within a factor of 2."""
_CIRCLE = 512
"""Places of the discrete Fourier transform: 66 standard deviations of what is summed by it."""
_LEAST_P = 1e-14
"""What rounding lets be told from 0."""


class Layout:
    """Documents, which of them were removed, and what they are compared within.

    Args:
        removed_N: bool.
        strata_N: documents are compared inside a stratum only; any integers.
        several_units_N: ways in which documents depend on one another (sites, copies): documents of one unit do; any
            integers.
    """

    def __init__(self, removed_N: Array, strata_N: Array, *several_units_N: Array) -> None:
        _, strata_N = np.unique(strata_N, return_inverse=True)
        size_S = np.bincount(strata_N)
        removed_S = np.bincount(strata_N, weights=removed_N)
        self.telling_N: Array = ((removed_S > 0) & (removed_S < size_S))[strata_N]
        """Documents of strata where some are removed and some are not: the others say nothing."""
        self._position_N = np.cumsum(self.telling_N) - 1
        _, self._strata_N = np.unique(strata_N[self.telling_N], return_inverse=True)
        self._removed_N = removed_N[self.telling_N].astype(np.float64)
        count = len(self._removed_N)
        self._size_S = np.bincount(self._strata_N).astype(np.float64)
        self._removed_S = np.bincount(self._strata_N, weights=self._removed_N, minlength=len(self._size_S))
        self._surplus_N = (
            self._removed_N - (self._removed_S / self._size_S)[self._strata_N] if count else self._removed_N
        )
        units = [np.unique(units_N[self.telling_N], return_inverse=True)[1] for units_N in several_units_N]
        self._repeated = [units_N for units_N in units if count and units_N.max() + 1 < count]
        """Units of which any has several documents."""

    def compare(self, exposed_E: Array) -> tuple[Strata, float, float]:
        """Exposed documents (indexes) beside the others: counts inside strata, and the two-sided p-value that the
        one has nothing to do with the other, NaN where no stratum tells; and what it would be if all documents were
        independent.

        The p-value is the largest of two or more. The exact one conditions on all margins (Fisher's test over strata;
        Mehta, Patel, Gray 1985, https://doi.org/10.2307/2288562) and holds for rare events, but takes documents as
        independent. The other sums the same score over units and takes their spread from the units themselves (Liang
        and Zeger 1986, https://doi.org/10.1093/biomet/73.1.13), with as many degrees of freedom as there are units
        that carry the sum (as effective sample sizes: Kish 1965; Carter, Schnepel, Steigerwald 2017,
        https://doi.org/10.1162/REST_a_00639): a single large site, however large, says as much as one document.
        """
        here = self._position_N[exposed_E[self.telling_N[exposed_E]]]
        S = len(self._size_S)
        exposed_S = np.bincount(self._strata_N[here], minlength=S).astype(np.float64)
        events_S = np.bincount(self._strata_N[here], weights=self._removed_N[here], minlength=S)
        strata = Strata(events_S, exposed_S, self._removed_S - events_S, self._size_S - exposed_S)
        if not ((exposed_S > 0) & (exposed_S < self._size_S)).any():
            return strata, math.nan, math.nan
        p_value = exact_test(strata)
        clustered = (self._clustered(here, exposed_S, units_N) for units_N in self._repeated)
        return strata, max([p_value, *clustered]), p_value

    def _clustered(self, here: Array, exposed_S: Array, units_N: Array) -> float:
        expected_N = (exposed_S / self._size_S)[self._strata_N] * self._surplus_N
        units = int(units_N.max()) + 1
        score_U = np.bincount(units_N[here], weights=self._surplus_N[here], minlength=units)
        score_U = score_U - np.bincount(units_N, weights=expected_N, minlength=units)
        return clustered_p_value(score_U)


def clustered_p_value(score_U: Array) -> float:
    """Two-sided p-value that scores of independent units have the sum 0 (see ``Layout.compare``)."""
    from scipy.stats import t

    squares = float(np.sum(score_U**2))
    if squares <= 1e-20:
        return 1.0
    effective = squares**2 / float(np.sum(score_U**4))
    if effective <= 1.5:
        return 1.0
    return float(2 * t.sf(abs(score_U.sum()) / math.sqrt(squares), effective - 1))


def exact_test(strata: Strata) -> float:
    """Two-sided p-value, twice the smaller tail, of the number of events among the exposed, given the margins of every
    stratum: a sum of independent hypergeometric numbers. Exact while that sum varies little; else from its mean,
    variance and skewness (Pearson type III, with a correction for continuity)."""
    a, n1 = strata.exposed_events_S, strata.exposed_S
    size, events = n1 + strata.others_S, a + strata.other_events_S
    varies = (n1 > 0) & (n1 < size) & (events > 0) & (events < size)
    a, n1, size, events = a[varies], n1[varies], size[varies], events[varies]
    if not len(a):
        return 1.0
    observed, mean = round(float(a.sum())), float(np.sum(n1 * events / size))
    variance_S = n1 * (size - n1) * events * (size - events) / (size**2 * (size - 1))
    variance = float(variance_S.sum())
    if variance > _EXACT_UP_TO:
        third_S = variance_S * (size - 2 * events) * (size - 2 * n1) / (size * np.maximum(1, size - 2))
        below, above = _tails(observed, mean, variance, float(third_S.sum()))
    else:
        least, chance = _distribution(n1.astype(int), events.astype(int), size.astype(int))
        place = observed - least
        below = float(chance[: max(0, place + 1)].sum())
        above = float(chance[max(0, place) :].sum())
    return float(min(1.0, max(2 * min(below, above), _LEAST_P)))


def _tails(observed: int, mean: float, variance: float, third: float) -> tuple[float, float]:
    """(P(at most as many), P(at least as many)) of a number with these central moments."""
    from scipy.stats import pearson3

    spread = math.sqrt(variance)
    shape = pearson3(third / variance**1.5)
    return float(shape.cdf((observed + 0.5 - mean) / spread)), float(shape.sf((observed - 0.5 - mean) / spread))


def _distribution(n1_S: Array, events_S: Array, size_S: Array) -> tuple[int, Array]:
    """(least number, probabilities from it on) of a sum of independent hypergeometric numbers of small variance."""
    single = (n1_S == 1) | (events_S == 1)
    share, times = np.unique(n1_S[single] * events_S[single] / size_S[single], return_counts=True)
    angle = 2 * np.pi * np.arange(_CIRCLE // 2 + 1) / _CIRCLE
    middle = int(np.dot(share, times)) - _CIRCLE // 2
    transform = np.exp(-1j * angle * -middle)
    for begin in range(0, len(share), 1024):
        part = share[begin : begin + 1024, None]
        transform = transform * np.exp(times[begin : begin + 1024] @ np.log(1 - part + part * np.exp(-1j * angle)))
    chance, least = np.maximum(np.fft.irfft(transform, _CIRCLE), 0.0), middle
    shapes = np.stack([size_S[~single], events_S[~single], n1_S[~single]])
    shapes, repeats = np.unique(shapes, axis=1, return_counts=True)
    for (size, events, n1), many in zip(shapes.T, repeats, strict=True):
        low, high = max(0, n1 + events - size), min(n1, events)
        one, shift = _trimmed(_hypergeometric(np.arange(low, high + 1), size, events, n1))
        for _ in range(many):
            chance, cut = _trimmed(np.convolve(chance, one))
            least += low + shift + cut
    return least, chance


def _hypergeometric(number: Array, size: int, events: int, drawn: int) -> Array:
    """Probabilities of so many events among those drawn."""
    from scipy.special import gammaln

    def log_choose(n: Any, k: Any) -> Any:
        return gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)

    ways = log_choose(events, number) + log_choose(size - events, drawn - number) - log_choose(size, drawn)
    chance: Array = np.exp(ways)
    return chance


def _trimmed(chance: Array) -> tuple[Array, int]:
    """Without the ends that weigh nothing, and how many are gone in front."""
    heavy = np.flatnonzero(chance > 1e-20)
    return (chance[heavy[0] : heavy[-1] + 1], int(heavy[0])) if len(heavy) else (chance, 0)


@dataclass(frozen=True, slots=True)
class Risk:
    """Removal of documents that mention a group, beside that of the others."""

    n: int
    others: int
    removed: int
    others_removed: int
    rate: float
    rate_low: float
    rate_high: float
    others_rate: float
    ratio: float
    """Of the two rates among documents that are alike (Mantel-Haenszel); NaN: nothing to compare."""
    low: float
    high: float
    method: str
    p_value: float
    """NaN: no document is like one of the group and had another fate."""
    p_independent: float
    """The smallest p-value if documents of one site were independent, which they are not."""
    mde: float
    """Least ratio above 1 that so many documents would have shown."""


class Comparison:
    """All comparisons of one outcome (removed at a step, for a reason) among some documents.

    Two questions are asked where sites have several documents. *Between* documents of all sites, units are sites:
    finds what happens to many sites alike, and is not impressed by one, nor by many copies of one text. *Within*
    sites, documents are compared with others of their own site, and units are documents (copies of one another count
    once): finds what happens on few sites, and does not see what happens to whole ones. Either may answer; the smaller
    p-value counts, doubled (Bonferroni). Where no site has two documents, or there is one site only, one question is
    left.
    """

    def __init__(self, removed_N: Array, strata_N: Array, domain_N: Array, unit_N: Array) -> None:
        """
        Args:
            strata_N: language and length.
            domain_N: -1: none; such documents are units by themselves.
        """
        self.removed_N, count = removed_N, len(removed_N)
        single = np.arange(count) + (int(domain_N.max(initial=0)) + 1)
        site_N = np.where(domain_N < 0, single, domain_N)
        self._site_N = site_N
        self.layouts: list[tuple[str, Layout]] = []
        sites = len(np.unique(site_N))
        if sites > 1 or count < 2:
            self.layouts.append(("between sites", Layout(removed_N, strata_N, site_N, unit_N)))
        if sites < count:
            _, strata_N = np.unique(strata_N, return_inverse=True)
            both_N = (domain_N.astype(np.int64) + 1) * (int(strata_N.max(initial=0)) + 1) + strata_N
            self.layouts.append(("within sites", Layout(removed_N, both_N, unit_N)))

    def risk(self, exposed_E: Array, alpha: float) -> Risk:
        """Compare the exposed documents (indexes) with all others."""
        removed_E = self.removed_N[exposed_E]
        n, removed = len(exposed_E), int(removed_E.sum())
        others, others_removed = len(self.removed_N) - n, int(self.removed_N.sum()) - removed
        rate, others_rate = removed / n, others_removed / others if others else math.nan
        low, high = rate_interval(removed_E, self._site_N[exposed_E])
        tried = [(name, *layout.compare(exposed_E)) for name, layout in self.layouts]
        telling = [each for each in tried if not math.isnan(each[2])]
        if not telling:
            nan = math.nan
            return Risk(
                n, others, removed, others_removed, rate, low, high, others_rate, nan, nan, nan, "", nan, nan, nan
            )
        independent = min(each[3] for each in telling)
        name, strata, p_value, _ = min(telling, key=lambda each: each[2])
        p_value = min(1.0, p_value * len(telling))
        found = risk_ratio(strata).estimate
        ratio_low, ratio_high = _wider(found.value, found.low, found.high, p_value)
        events = float(strata.exposed_events_S.sum() + strata.other_events_S.sum())
        base = events / float(strata.exposed_S.sum() + strata.others_S.sum())
        units = len(np.unique(self._site_N[exposed_E])) if name == "between sites" else n
        difference = detectable_difference(units, max(1, others), min(base, 0.5), alpha)
        return Risk(
            n, others, removed, others_removed, rate, low, high, others_rate,
            found.value, ratio_low, ratio_high,
            f"Mantel-Haenszel {name}, matched on language and length; test-based interval",
            p_value, independent, (base + difference) / base,
        )  # fmt: skip


def _wider(ratio: float, low: float, high: float, p_value: float) -> tuple[float, float]:
    """The interval of Greenland and Robins, or the one that agrees with the test, whichever is wider (test-based:
    Miettinen 1976, https://doi.org/10.1093/oxfordjournals.aje.a112228): it holds 1 whenever p exceeds .05."""
    from scipy.stats import norm

    score = float(norm.isf(min(p_value, 1 - 1e-9) / 2))
    reach = abs(math.log(ratio)) * float(norm.ppf(0.975)) / max(score, 1e-6)
    return min(low, math.exp(math.log(ratio) - min(reach, 700.0))), max(
        high, math.exp(min(math.log(ratio) + reach, 700.0))
    )


def rate_interval(removed_E: Array, site_E: Array) -> tuple[float, float]:
    """Wilson's interval for as many independent documents as the spread between sites is worth (design effect: Kish
    1965; the effective sample size in Wilson's interval: Franco et al. 2019, https://doi.org/10.1093/jssam/smy019)."""
    n = len(removed_E)
    rate = float(removed_E.mean())
    _, site_E = np.unique(site_E, return_inverse=True)
    sites = int(site_E.max()) + 1
    effective = float(n if sites == n else sites)
    if sites < n and 0 < rate < 1:
        spread = float(np.sum(np.bincount(site_E, weights=removed_E - rate) ** 2))
        effective = max(1.0, n / max(1.0, spread / (n * rate * (1 - rate))))
    whole = max(1, round(effective))
    found = wilson(round(rate * whole), whole)
    return min(found.low, rate), max(found.high, rate)
