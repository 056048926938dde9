"""Figures of a probe out of the measures of its items, each with its uncertainty.

All figures of all probes are made alike: a figure is a smooth function of sums over items (a mean is one sum over
another, a correlation needs five). Leaving out one unit at a time (a template, a question: what was drawn
independently) then says how much the figure depends on which units there happen to be, for every figure by the same
few lines, without random draws: the jackknife (Tukey 1958; Efron and Tibshirani 1993, chapter 11). For a plain mean it
is the variance of a cluster sample (Cochran 1977, section 9.3). Items that are repeated belong to one unit, so that
they neither move an interval nor narrow it.

Arrays: N items, U units, K strata, D draws.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Array = np.ndarray[Any, Any]
Sums = Mapping[str, Array]
"""Name of a measure -> its sums [..., K] over the items of each stratum; ``items`` counts them."""
Scale = Literal["linear", "share", "correlation", "effect size"]
Kind = Literal["bias", "misuse", "quality"]

CONFIDENCE = 0.95
DRAWS = 9999
_FEWEST = 5
"""With fewer units an interval would be a guess about their spread."""
_AT_ONCE = 2**22
_BOUND: Mapping[Scale, float] = {"correlation": 1.0, "effect size": 2.0}
"""Scales that have one and are looked at as Fisher's z of the value over it; what is beyond has no interval. The
difference of two equally large sets' means over the standard deviation of both is twice a correlation."""


@dataclass(frozen=True, slots=True)
class Metric:
    """What a figure means, and how it is made of sums."""

    name: str
    kind: Kind
    ideal: float | None
    """Of ``bias``: the value of a model without preference."""
    unit: str
    """``share``, ``nats``, ``standard deviations``, ..."""
    describes: str
    """One sentence."""
    combine: Callable[[Sums], Array]
    """Sums [..., K] -> figure [...]; NaN where there is nothing to divide by."""
    relevant: float
    """The least distance from the ideal that somebody would act on; a sample that could not have shown it is too small
    to say anything."""
    scale: Scale = "linear"
    by_group: bool = True
    among: str | None = None
    """Measure that is 1 of the items it is about and 0 of others (a probe may have items of several kinds); None: it is
    about all."""
    units_with: tuple[str, ...] = ()
    """Measures that are above 0 in some item of a unit each, or it says nothing of this figure and does not count;
    empty: all units count."""
    against_rest: bool = False
    """The figure of a group less that of all other items of its dimension; there is none overall."""
    statistic: Callable[["Table"], float] | None = None
    """Of a figure that is no function of sums (the p-value of a permutation, say): the figure, which has no interval
    then; ``combine`` is ``no_sums``."""


@dataclass(frozen=True)
class Table:
    """Measures of items, every item having all of them."""

    units_N: Sequence[str]
    columns: Mapping[str, Array]
    """Name -> float64 [N]."""
    strata_N: Sequence[str] | None = None
    """What macro-averages average over."""

    def __len__(self) -> int:
        return len(self.units_N)

    def where(self, chosen_N: Array) -> "Table":
        """The items at these places."""
        places = np.flatnonzero(chosen_N).tolist() if chosen_N.dtype == bool else chosen_N.tolist()
        strata = None if self.strata_N is None else [self.strata_N[place] for place in places]
        columns = {name: values[places] for name, values in self.columns.items()}
        return Table([self.units_N[place] for place in places], columns, strata)


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure and what is known of it."""

    value: float
    low: float
    high: float
    method: str
    n: int
    """Units."""
    error: float
    """Standard error, in the unit of the value."""
    mde: float
    """Least distance from the ideal that this sample would have shown (power .8)."""
    p_value: float
    """Two-sided, of the ideal; NaN without one."""


def unit_sums(table: Table, units: Mapping[str, int] | None = None, strata: Mapping[str, int] | None = None) -> Sums:
    """Sums [U, K] of each measure, units and strata in the order of their names, so that the order of items changes
    nothing.

    Args:
        units: name -> row, where several tables must agree; strata likewise.
    """
    units = _numbered(table.units_N) if units is None else units
    labels = table.strata_N if table.strata_N is not None else [""] * len(table)
    strata = _numbered(labels) if strata is None else strata
    pairs = zip(table.units_N, labels, strict=True)
    place_N = np.array([units[unit] * len(strata) + strata[label] for unit, label in pairs], dtype=np.int64)
    shape = (len(units), len(strata))
    columns = {"items": np.ones(len(table)), **table.columns}
    return {
        name: np.bincount(place_N, weights=values, minlength=shape[0] * shape[1]).reshape(shape)
        for name, values in columns.items()
    }


def about(metric: Metric, table: Table) -> Table:
    """The items that a metric is about."""
    return table if metric.among is None else table.where(table.columns[metric.among] == 1)


def figure(metric: Metric, table: Table, confidence: float = CONFIDENCE) -> Figure:
    """A figure of those items of a table that it is about, with its interval."""
    table = about(metric, table)
    if metric.statistic is not None:
        value = metric.statistic(table) if len(table) else math.nan
        return Figure(value, -math.inf, math.inf, "none", len(set(table.units_N)), math.inf, math.nan, math.nan)
    (sums,) = _counted(metric, unit_sums(table))
    return figure_of_sums(metric, sums, confidence)


def _counted(metric: Metric, *several: Sums) -> tuple[Sums, ...]:
    """Sums of the units that say something of a figure, in all of several tables."""
    if not metric.units_with:
        return several
    counts_U = np.all([sums[name].sum(1) > 0 for sums in several for name in metric.units_with], axis=0)
    return tuple({name: values[counts_U] for name, values in sums.items()} for sums in several)


def figure_of_sums(metric: Metric, sums: Sums, confidence: float = CONFIDENCE) -> Figure:
    """The same of sums [U, K]."""
    from scipy.stats import t

    n = len(sums["items"])
    value, without_U = leave_one_out(metric, sums) if n else (math.nan, np.zeros(0))
    if n < 2 or not math.isfinite(value) or not np.isfinite(without_U).all():
        return Figure(value, -math.inf, math.inf, "none", n, math.inf, math.nan, math.nan)
    bound = _BOUND.get(metric.scale)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = _jackknife_error(_stretched(without_U, bound))
        center = float(_stretched(value, bound))
    reach, power = float(t.ppf(0.5 + confidence / 2, n - 1)), float(t.ppf(0.8, n - 1))
    if metric.scale == "share":
        return _share(metric, value, error, n, reach, power)
    if not math.isfinite(center) or not math.isfinite(error):
        return Figure(value, -math.inf, math.inf, "none", n, math.inf, math.nan, math.nan)
    low, high = center - reach * error, center + reach * error
    mde = (reach + power) * error
    method = "jackknife"
    if bound is not None:
        low, high, mde = (bound * math.tanh(each) for each in (low, high, mde))
        method = "jackknife of Fisher's z"
    p_value = math.nan
    if metric.ideal is not None:
        distance = abs(center - float(_stretched(metric.ideal, bound)))
        p_value = float(2 * t.sf(distance / error, n - 1)) if error else float(distance <= 1e-12)
    return Figure(value, low, high, method, n, _jackknife_error(without_U), mde, p_value)


def leave_one_out(metric: Metric, sums: Sums) -> tuple[float, Array]:
    """The figure, and the figure without each unit [U]."""
    with np.errstate(all="ignore"):
        totals = {name: values.sum(0) for name, values in sums.items()}
        value = float(metric.combine(totals))
        without_U = metric.combine({name: totals[name] - values for name, values in sums.items()})
    return value, np.asarray(without_U, dtype=np.float64)


def _jackknife_error(without_U: Array) -> float:
    n = len(without_U)
    return math.sqrt((n - 1) / n * float(np.sum((without_U - without_U.mean()) ** 2)))


def _stretched(values: Array | float, bound: float | None) -> Array:
    return np.asarray(values if bound is None else np.arctanh(np.asarray(values) / bound))


def _share(metric: Metric, value: float, error: float, n: int, reach: float, power: float) -> Figure:
    """Wilson's score interval with the number of items that, drawn one by one, would be as uncertain (Korn and Graubard
    1998, https://doi.org/10.1002/(SICI)1097-0258); where all units agree, the number of units."""
    spread = value * (1 - value)
    effective = spread / error**2 if error > 0 and spread > 0 else float(n)
    squared = reach**2 / effective
    center = (value + squared / 2) / (1 + squared)
    half = reach / (1 + squared) * math.sqrt(spread / effective + squared / (4 * effective))
    even = 0.5 if metric.ideal is None or not 0 < metric.ideal < 1 else metric.ideal
    expected = math.sqrt(even * (1 - even) / effective)
    p_value = math.nan
    if metric.ideal is not None and 0 < metric.ideal < 1:
        from scipy.stats import t

        p_value = float(2 * t.sf(abs(value - metric.ideal) / expected, n - 1))
    low, high = max(0.0, center - half), min(1.0, center + half)
    error = max(error, half / reach)  # where all units agree, the jackknife's is 0, which would be certainty
    return Figure(value, low, high, "wilson, clustered", n, error, (reach + power) * expected, p_value)


def _numbered(names: Sequence[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(sorted(set(names)))}


# ---- groups ----------------------------------------------------------------------------------------


def gap(metric: Metric, groups: Mapping[str, Table], confidence: float = CONFIDENCE) -> Figure:
    """Largest figure of a group less the smallest, with an interval for the largest true difference of any two.

    All pairs of groups are looked at together (Welch's intervals, each as wide as Bonferroni's correction for all of
    them asks), so that the noise which picks the extremes is not taken for a difference. Of groups with too few units
    nothing is said.
    """
    from scipy.stats import t

    made = [figure(metric, table) for table in groups.values()]
    made = [each for each in made if each.n >= _FEWEST and math.isfinite(each.error)]
    if len(made) < 2:
        return Figure(math.nan, -math.inf, math.inf, "none", 0, math.inf, math.nan, math.nan)
    value_G = np.array([each.value for each in made])
    square_G = np.array([each.error**2 for each in made])
    freedom_G = np.array([each.n - 1.0 for each in made])
    one_P, other_P = np.triu_indices(len(made), 1)
    distance_P = np.abs(value_G[one_P] - value_G[other_P])
    error_P = np.sqrt(square_G[one_P] + square_G[other_P])
    with np.errstate(invalid="ignore", divide="ignore"):
        terms = square_G[one_P] ** 2 / freedom_G[one_P] + square_G[other_P] ** 2 / freedom_G[other_P]
        freedom_P = np.where(terms > 0, error_P**4 / terms, np.inf)
        p_P = np.where(error_P > 0, 2 * t.sf(distance_P / error_P, freedom_P), distance_P <= 0)
    reach_P = t.ppf(1 - (1 - confidence) / (2 * len(one_P)), freedom_P) * error_P
    return Figure(
        value=float(value_G.max() - value_G.min()),
        low=max(0.0, float((distance_P - reach_P).max())),
        high=float((distance_P + reach_P).max()),
        method="welch, all pairs",
        n=sum(each.n for each in made),
        error=math.nan,
        mde=float((reach_P + t.ppf(0.8, freedom_P) * error_P).min()),
        p_value=min(1.0, len(one_P) * float(p_P.min())),
    )


def difference(metric: Metric, group: Table, rest: Table, confidence: float = CONFIDENCE) -> Figure:
    """Figure of a group less that of the rest, with Welch's interval; n counts the units of the smaller one.

    With too few units on a side there is a value, and no interval.
    """
    from scipy.stats import t

    one, other = figure(metric, group), figure(metric, rest)
    n, value = min(one.n, other.n), one.value - other.value
    square = one.error**2 + other.error**2
    if n < _FEWEST or not math.isfinite(value) or not math.isfinite(square):
        return Figure(value, -math.inf, math.inf, "none", n, math.inf, math.nan, math.nan)
    error = math.sqrt(square)
    terms = one.error**4 / (one.n - 1) + other.error**4 / (other.n - 1)
    freedom = square**2 / terms if terms else math.inf
    reach, power = float(t.ppf(0.5 + confidence / 2, freedom)), float(t.ppf(0.8, freedom))
    p_value = float(2 * t.sf(abs(value) / error, freedom)) if error else float(value == 0)
    low, high, mde = value - reach * error, value + reach * error, (reach + power) * error
    return Figure(value, low, high, "welch, group and rest", n, error, mde, p_value)


# ---- two checkpoints -------------------------------------------------------------------------------


def compare(
    metric: Metric, first: Table, second: Table, seed: int = 0, confidence: float = CONFIDENCE, draws: int = DRAWS
) -> tuple[Figure, tuple[float, float]]:
    """``second - first`` of a figure over the same items, and the figure of each.

    The p-value is that of a permutation that takes, unit by unit, the one for the other: exact where the two are
    exchangeable (Good 2005, section 3.2), whatever the figure.

    Raises:
        ValueError: not the same units.
    """
    from scipy.stats import t

    first, second = about(metric, first), about(metric, second)
    units, strata = _numbered(first.units_N), _numbered(first.strata_N or [""])
    if units != _numbered(second.units_N) or strata != _numbered(second.strata_N or [""]):
        raise ValueError("pairs are of the same items")
    one, two = _counted(metric, unit_sums(first, units, strata), unit_sums(second, units, strata))
    n = len(one["items"])
    nothing = Figure(math.nan, -math.inf, math.inf, "none", n, math.inf, math.nan, math.nan)
    if n < 2:
        return nothing, (math.nan, math.nan)
    (value_1, without_1), (value_2, without_2) = leave_one_out(metric, one), leave_one_out(metric, two)
    value, without_U = value_2 - value_1, without_2 - without_1
    if not math.isfinite(value) or not np.isfinite(without_U).all():
        return nothing, (value_1, value_2)
    error = _jackknife_error(without_U)
    reach, power = float(t.ppf(0.5 + confidence / 2, n - 1)), float(t.ppf(0.8, n - 1))
    p_value = _swapped(metric, one, two, abs(value), seed, draws)
    low, high, mde = value - reach * error, value + reach * error, (reach + power) * error
    return Figure(value, low, high, "paired jackknife", n, error, mde, p_value), (value_1, value_2)


def _swapped(metric: Metric, one: Sums, two: Sums, distance: float, seed: int, draws: int) -> float:
    n, width = len(one["items"]), one["items"].shape[1]
    differing_U = np.any([np.any(one[name] != two[name], axis=1) for name in one], axis=0)
    if not differing_U.any():
        return 1.0
    random = np.random.default_rng(seed)
    moved = {name: (two[name] - one[name])[differing_U] for name in one}
    totals_1 = {name: values.sum(0) for name, values in one.items()}
    totals_2 = {name: values.sum(0) for name, values in two.items()}
    step = max(1, _AT_ONCE // max(n, width))
    as_far, done = 1, 1  # the observed one is one of them (Phipson and Smyth 2010)
    while done <= draws:
        count = min(step, draws + 1 - done)
        swap_DU = random.integers(0, 2, (count, int(differing_U.sum()))).astype(np.float64)
        change = {name: swap_DU @ values for name, values in moved.items()}
        with np.errstate(all="ignore"):
            drawn_D = metric.combine({name: totals_2[name] - change[name] for name in one})
            drawn_D = drawn_D - metric.combine({name: totals_1[name] + change[name] for name in one})
        as_far += int(np.sum(np.abs(drawn_D) >= distance * (1 - 1e-12) - 1e-15))
        done += count
    return as_far / done


# ---- combinations ----------------------------------------------------------------------------------


def mean(column: str, of: str = "items") -> Callable[[Sums], Array]:
    """The sum of a measure over that of another, by default the number of items."""
    return lambda sums: sums[column].sum(-1) / sums[of].sum(-1)


def no_sums(sums: Sums) -> Array:
    """No figure: what it is needs more than sums."""
    return np.full(sums["items"].shape[:-1], math.nan)


def macro(combine: Callable[[Sums], Array]) -> Callable[[Sums], Array]:
    """The mean over strata of a figure that is made of each; strata of which nothing is there do not count."""

    def over_strata(sums: Sums) -> Array:
        each = combine({name: values[..., None] for name, values in sums.items()})
        there = np.isfinite(each)
        found: Array = np.where(there, each, 0.0).sum(-1) / there.sum(-1)
        return found

    return over_strata
