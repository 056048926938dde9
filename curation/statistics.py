"""Statistics of findings: estimates with intervals, tests, corrections, and what a sample could have shown.

What was drawn independently is a *unit*: a document, a template, a pair. Items of one unit (sentences made from one
template, pages of one domain) depend on one another and say little more than one of them. Functions that take
``units_N`` therefore first average inside each unit, and count units, so that repeating dependent items neither moves
an estimate nor narrows its interval. The numerical work is scipy's.

Array suffixes: ``N`` items, ``U`` units, ``S`` strata, ``T`` tests.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Array = np.ndarray[Any, Any]
Numbers = Sequence[float] | Array

DRAWS = 2000
"""Resamples of a bootstrap: the end of a 95 % interval is then between the 94 and 96 % points (Efron and Tibshirani
1993, section 19.3)."""
PERMUTATIONS = 9999
_MOST_BCA_UNITS = 5000
"""BCa leaves out each unit in turn, which takes the square of their number; with so many the percentiles agree."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its uncertainty."""

    value: float
    low: float
    high: float
    n: int
    """Independent units."""
    method: str
    """How the interval was made."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A difference or ratio with its uncertainty, and the probability of one as large where there is none."""

    estimate: Estimate
    p_value: float


def unit_means(values_N: Numbers, units_N: Sequence[Any] | Array | None = None) -> Array:
    """float64 [U]: the mean of each unit, in the order of their first items; without units each item is one.

    Raises:
        ValueError: not as many units as values, or a value that is no finite number: what could not be scored is
            left out and counted by the caller, never 0.
    """
    values = np.asarray(values_N, dtype=np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError("values must be one row of finite numbers; leave out what was not scored")
    if units_N is None:
        return values
    if len(units_N) != len(values):
        raise ValueError(f"{len(values)} values, but {len(units_N)} units")
    names: dict[Any, int] = {}
    index = np.fromiter((names.setdefault(unit, len(names)) for unit in units_N), dtype=np.int64, count=len(values))
    sums = np.bincount(index, weights=values, minlength=len(names))
    means: Array = sums / np.maximum(1, np.bincount(index, minlength=len(names)))
    return means


# ---- intervals -------------------------------------------------------------------------------------


def wilson(successes: int, n: int, confidence: float = 0.95) -> Estimate:
    """A proportion with its score interval (Wilson 1927, https://doi.org/10.2307/2276774), which holds its level for
    small n and near 0 and 1 (Brown, Cai, DasGupta 2001). Of nothing it is NaN, and anywhere.

    Raises:
        ValueError: successes are not between 0 and n.
    """
    from scipy.stats import binomtest

    if not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n}: not between 0 and all")
    if n == 0:
        return Estimate(math.nan, 0.0, 1.0, 0, "wilson")
    interval = binomtest(successes, n).proportion_ci(confidence, method="wilson")
    return Estimate(successes / n, float(interval.low), float(interval.high), n, "wilson")


def bootstrap(
    values_N: Numbers,
    units_N: Sequence[Any] | Array | None = None,
    statistic: Callable[..., Any] = np.mean,
    confidence: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> Estimate:
    """A statistic of units with its bootstrap interval, units drawn again with replacement.

    Bias-corrected and accelerated (Efron 1987, https://doi.org/10.2307/2289144), percentile where there are many
    units, or where leaving one out changes nothing. Of fewer than two units the interval is unbounded.

    Args:
        statistic: of an array along ``axis``, in the unit of the values (numpy's mean, median, std, ...).
    """
    from scipy import stats

    means_U = unit_means(values_N, units_N)
    n = len(means_U)
    if n < 2:
        return Estimate(float(statistic(means_U, axis=-1)) if n else math.nan, -math.inf, math.inf, n, "none")
    value = float(statistic(means_U, axis=-1))
    if (means_U == means_U[0]).all():
        return Estimate(value, value, value, n, "constant")
    method: Literal["BCa", "percentile"] = "BCa" if n <= _MOST_BCA_UNITS else "percentile"
    batch = max(1, 2**22 // n)
    scale = float(np.abs(means_U).max())

    def rounded(sample: Array, axis: int) -> Any:
        # Equal samples in another order give sums that differ in the last bit; BCa counts ties.
        return np.round(statistic(sample / scale, axis=axis), 12)

    for chosen in dict.fromkeys((method, "percentile")):
        with np.errstate(all="ignore"):
            found = stats.bootstrap(
                (means_U,),
                rounded,
                n_resamples=draws,
                batch=batch,
                vectorized=True,
                confidence_level=confidence,
                method=chosen,
                rng=np.random.default_rng(seed),
            ).confidence_interval
        if math.isfinite(found.low) and math.isfinite(found.high):
            return Estimate(value, scale * float(found.low), scale * float(found.high), n, f"bootstrap {chosen}")
    raise AssertionError("the percentiles of finite numbers are finite")


def paired_bootstrap(
    first_N: Numbers,
    second_N: Numbers,
    units_N: Sequence[Any] | Array | None = None,
    confidence: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> Comparison:
    """Mean of ``second - first`` over the same items, with the p-value of a paired permutation.

    Raises:
        ValueError: not the same number of items.
    """
    first, second = np.asarray(first_N, dtype=np.float64), np.asarray(second_N, dtype=np.float64)
    if first.shape != second.shape:
        raise ValueError(f"{len(first)} items beside {len(second)}: pairs are of the same items")
    difference_U = unit_means(second - first, units_N)
    estimate = bootstrap(difference_U, confidence=confidence, draws=draws, seed=seed)
    return Comparison(estimate, sign_flips(difference_U, seed=seed))


# ---- tests -----------------------------------------------------------------------------------------


def permutation(
    first_N: Numbers,
    second_N: Numbers,
    first_units_N: Sequence[Any] | Array | None = None,
    second_units_N: Sequence[Any] | Array | None = None,
    seed: int = 0,
) -> float:
    """Two-sided p-value for equal means of two independent groups, all splits where they are few, else random ones,
    with the observed one among them (Phipson and Smyth 2010, https://doi.org/10.2202/1544-6115.1585)."""
    from scipy.stats import permutation_test

    one, two = unit_means(first_N, first_units_N), unit_means(second_N, second_units_N)
    if not len(one) or not len(two):
        return math.nan

    def difference(a: Array, b: Array, axis: int) -> Any:
        return np.mean(a, axis=axis) - np.mean(b, axis=axis)

    found = permutation_test(
        (one, two),
        difference,
        vectorized=True,
        n_resamples=PERMUTATIONS,
        batch=max(1, 2**22 // (len(one) + len(two))),
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def sign_flips(differences_U: Numbers, seed: int = 0) -> float:
    """Two-sided p-value for paired differences around zero: their signs are as likely the one as the other."""
    from scipy.stats import permutation_test

    differences = unit_means(differences_U)
    if not len(differences):
        return math.nan
    if not differences.any():
        return 1.0
    found = permutation_test(
        (differences,),
        lambda sample, axis: np.mean(sample, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=PERMUTATIONS,
        batch=max(1, 2**22 // len(differences)),
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p-value for two raters (checkpoints, filters) of the same items, from the items that only the
    one and only the other flags (McNemar 1947, https://doi.org/10.1007/BF02295996)."""
    from scipy.stats import binomtest

    discordant = only_first + only_second
    return float(binomtest(only_first, discordant, 0.5).pvalue) if discordant else 1.0


@dataclass(frozen=True, slots=True)
class Strata:
    """Events among exposed and others, in strata that are alike in what is not asked about (length, say)."""

    exposed_events_S: Array
    exposed_S: Array
    other_events_S: Array
    others_S: Array

    @classmethod
    def single(cls, exposed_events: int, exposed: int, other_events: int, others: int) -> "Strata":
        """One stratum."""
        return cls(*(np.array([each]) for each in (exposed_events, exposed, other_events, others)))


def risk_ratio(strata: Strata, confidence: float = 0.95) -> Comparison:
    """Risk of the exposed over that of the others inside strata (Mantel and Haenszel 1959), with the interval of
    Greenland and Robins (1985, https://doi.org/10.2307/2530643) and the p-value of the Cochran-Mantel-Haenszel test.

    Strata in which one side is absent say nothing and count nothing. Where nobody or none of the others has the event,
    half an event is added to each side, so that the ratio is finite (Haldane 1956). Without any event the ratio is
    NaN, and p is 1.
    """
    from scipy.stats import chi2, norm

    columns = (strata.exposed_events_S, strata.exposed_S, strata.other_events_S, strata.others_S)
    a, n1, c, n0 = (np.asarray(column, dtype=np.float64) for column in columns)
    both = (n1 > 0) & (n0 > 0)
    a, n1, c, n0 = a[both], n1[both], c[both], n0[both]
    n = int(n1.sum())
    if not len(a) or not (a.sum() + c.sum()):
        return Comparison(Estimate(math.nan, 0.0, math.inf, n, "mantel-haenszel"), 1.0)
    total, events = n1 + n0, a + c
    variance = np.sum(n1 * n0 * events * (total - events) / (total**2 * np.maximum(1, total - 1)))
    p_value = float(chi2.sf(np.sum(a - n1 * events / total) ** 2 / variance, 1)) if variance > 0 else 1.0
    if not a.sum() or not c.sum():
        a, c, n1, n0 = a + 0.5, c + 0.5, n1 + 1, n0 + 1
        total, events = n1 + n0, a + c
    above, below = np.sum(a * n0 / total), np.sum(c * n1 / total)
    spread = math.sqrt(np.sum((n1 * n0 * events - a * c * total) / total**2) / (above * below))
    reach = float(norm.ppf(0.5 + confidence / 2)) * spread
    ratio = float(above / below)
    estimate = Estimate(ratio, ratio * math.exp(-reach), ratio * math.exp(reach), n, "mantel-haenszel")
    return Comparison(estimate, p_value)


# ---- many tests ------------------------------------------------------------------------------------


def holm(p_values_T: Numbers) -> Array:
    """Adjusted p-values that keep the probability of any false alarm (Holm 1979), float64 [T]; NaN (not tested) stays
    NaN and does not count."""
    return _adjusted(p_values_T, _holm)


def benjamini_hochberg(p_values_T: Numbers) -> Array:
    """Adjusted p-values that keep the expected share of false alarms among all alarms (Benjamini and Hochberg 1995,
    https://doi.org/10.1111/j.2517-6161.1995.tb02031.x), float64 [T]; NaN (not tested) stays NaN and does not count."""
    from scipy.stats import false_discovery_control

    return _adjusted(p_values_T, lambda p: false_discovery_control(p, method="bh"))


def _adjusted(p_values_T: Numbers, adjust: Callable[[Array], Array]) -> Array:
    p = np.array(p_values_T, dtype=np.float64)
    tested = ~np.isnan(p)
    if ((p[tested] < 0) | (p[tested] > 1)).any():
        raise ValueError("p-values lie between 0 and 1")
    if tested.any():
        p[tested] = adjust(p[tested])
    return p


def _holm(p: Array) -> Array:
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, stepped)
    return adjusted


# ---- what a sample can show ------------------------------------------------------------------------


def detectable_difference(
    n_first: int, n_second: int, rate: float = 0.5, alpha: float = 0.05, power: float = 0.8
) -> float:
    """Least difference between two proportions that a two-sided test finds with this power, in the normal
    approximation (Fleiss, Levin, Paik 2003, section 4.3); at most 1, and NaN where a side is empty.

    Args:
        rate: of the first; at .5 the answer is largest.
    """
    if n_first < 1 or n_second < 1:
        return math.nan
    return min(1.0, _reach(alpha, power) * math.sqrt(rate * (1 - rate) * (1 / n_first + 1 / n_second)))


def detectable_mean(n: int, deviation: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """Least mean that a two-sided test tells from zero with this power.

    Args:
        deviation: standard deviation of the units.
    """
    return _reach(alpha, power) * deviation / math.sqrt(n) if n > 0 else math.nan


def _reach(alpha: float, power: float) -> float:
    from scipy.stats import norm

    return float(norm.ppf(1 - alpha / 2) + norm.ppf(power))
