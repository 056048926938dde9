"""Figures with their uncertainty, against textbook formulas, scipy, and what they promise over seeds."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from audit.estimates import Metric, Sums, Table, compare, figure, gap, macro, mean, unit_sums


def _metric(scale: Any = "linear", ideal: float | None = 0.0, combine: Any = None) -> Metric:
    return Metric("m", "bias", ideal, "nats", "a mean", combine or mean("value"), relevant=1.0, scale=scale)


def _table(values: Any, units: Any = None, **more: Any) -> Table:
    names = [f"u{number:05d}" for number in (range(len(values)) if units is None else units)]
    return Table(names, {"value": np.asarray(values, dtype=float)}, **more)


@given(st.lists(st.floats(-100, 100), min_size=3, max_size=40).filter(lambda values: max(values) - min(values) > 1e-3))
@settings(max_examples=60, deadline=None)
def test_a_mean_of_independent_items_has_students_interval(values: list[float]) -> None:
    made = figure(_metric(), _table(values))
    wanted = stats.ttest_1samp(values, 0.0)
    low, high = wanted.confidence_interval()
    assert made.value == pytest.approx(np.mean(values), abs=1e-9)
    assert (made.low, made.high) == pytest.approx((low, high), rel=1e-6, abs=1e-6)
    assert made.p_value == pytest.approx(wanted.pvalue, rel=1e-6, abs=1e-9)
    assert made.n == len(values)


def test_a_mean_of_clusters_has_the_variance_of_a_cluster_sample() -> None:
    """Cochran 1977, section 9.3: the residuals of cluster totals (up to the jackknife's second order)."""
    random = np.random.default_rng(1)
    units = np.repeat(np.arange(400), random.integers(1, 6, 400))
    values = random.normal(0, 1, 400)[units] + random.normal(0, 1, len(units))
    made = figure(_metric(), _table(values, units))
    residuals = np.bincount(units, weights=values - values.mean())
    error = math.sqrt(400 / 399 * float(np.sum(residuals**2))) / len(values)
    assert made.error == pytest.approx(error, rel=0.01)
    assert made.value == pytest.approx(values.mean())


@given(st.integers(3, 60), st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_repeating_items_changes_nothing(n: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(0, 1, n)
    for scale in ("linear", "share"):
        given_values = values if scale == "linear" else (values > 0).astype(float)
        metric = _metric(scale, 0.0 if scale == "linear" else 0.5)
        once = figure(metric, _table(given_values))
        tenfold = figure(metric, _table(np.tile(given_values, 10), np.tile(np.arange(n), 10)))
        for name in ("value", "low", "high", "n"):
            assert getattr(tenfold, name) == pytest.approx(getattr(once, name), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("successes", "n"), [(0, 12), (12, 12), (3, 40), (50, 100), (731, 1508)])
def test_a_share_of_independent_items_has_wilsons_interval(successes: int, n: int) -> None:
    """Its ends are the shares from which the one found is as many standard errors away as Student's quantile says, with
    n - 1 for n, as in any estimated variance."""
    made = figure(_metric("share", 0.5), _table([1.0] * successes + [0.0] * (n - successes)))
    assert made.value == successes / n
    reach, effective = stats.t.ppf(0.975, n - 1), n - 1 if 0 < successes < n else n
    for end in (made.low, made.high):
        if 0 < end < 1:
            assert (made.value - end) ** 2 == pytest.approx(reach**2 * end * (1 - end) / effective)
    wanted = stats.binomtest(successes, n).proportion_ci(method="wilson")
    assert made.low <= wanted.low
    assert made.high >= wanted.high


@pytest.mark.parametrize("scale", ["linear", "share", "correlation"])
def test_intervals_hold_the_truth_as_often_as_they_say(scale: Any) -> None:
    """Clusters of 1 to 4 items, 40 of them, 400 samples: 95 % would be 380."""
    random = np.random.default_rng(5)
    held = 0
    for _ in range(400):
        units = np.repeat(np.arange(40), random.integers(1, 5, 40))
        shared = random.normal(0, 1, 40)[units]
        if scale == "correlation":
            x, y = random.normal(0, 1, 40)[units], shared
            columns = {"x": x, "y": y, "xx": x * x, "yy": y * y, "xy": x * y}
            table = Table([f"{unit:03d}" for unit in units], columns)
            made, truth = figure(_metric(scale, combine=_correlation), table), 0.0
        elif scale == "share":
            made, truth = figure(_metric(scale, 0.5), _table((shared > 0).astype(float), units)), 0.5
        else:
            made, truth = figure(_metric(), _table(shared + random.normal(0, 0.5, len(units)), units)), 0.0
        held += made.low <= truth <= made.high
    assert 364 <= held <= 396


def _correlation(sums: Sums) -> Any:
    n, x, y = sums["items"].sum(-1), sums["x"].sum(-1), sums["y"].sum(-1)
    spread = (sums["xx"].sum(-1) - x * x / n) * (sums["yy"].sum(-1) - y * y / n)
    return (sums["xy"].sum(-1) - x * y / n) / np.sqrt(spread)


def test_a_correlation_is_pearsons() -> None:
    random = np.random.default_rng(2)
    x = random.normal(0, 1, 200)
    y = 0.6 * x + random.normal(0, 1, 200)
    columns = {"x": x, "y": y, "xx": x * x, "yy": y * y, "xy": x * y}
    made = figure(_metric("correlation", combine=_correlation), Table([f"{n:03d}" for n in range(200)], columns))
    wanted = stats.pearsonr(x, y)
    low, high = wanted.confidence_interval()
    assert made.value == pytest.approx(wanted.statistic)
    assert (made.low, made.high) == pytest.approx((low, high), abs=0.05)
    assert made.p_value < 1e-6


def test_a_macro_average_weighs_strata_alike() -> None:
    table = _table([1, 1, 1, 1, 0, 0.5], strata_N=["a", "a", "a", "a", "b", "b"])
    assert figure(_metric(combine=macro(mean("value"))), table).value == pytest.approx((1 + 0.25) / 2)
    sums = unit_sums(table)
    assert sums["items"].shape == (6, 2)


def test_the_detectable_effect_is_detected_four_times_in_five() -> None:
    random = np.random.default_rng(3)
    mde = figure(_metric(), _table(random.normal(0, 1, 60))).mde
    found = sum(figure(_metric(), _table(random.normal(mde, 1, 60))).p_value < 0.05 for _ in range(400))
    assert 0.68 <= found / 400 <= 0.92


@pytest.mark.parametrize("values", [[], [1.0]])
def test_of_nothing_and_of_one_nothing_is_known(values: list[float]) -> None:
    made = figure(_metric(), _table(values))
    assert (made.low, made.high) == (-math.inf, math.inf)
    assert math.isnan(made.p_value)
    assert made.n == len(values)


def test_what_cannot_be_made_is_no_number() -> None:
    made = figure(_metric(combine=mean("value", "none")), Table(["a", "b"], {"value": np.ones(2), "none": np.zeros(2)}))
    assert math.isnan(made.value) or math.isinf(made.value)
    assert (made.low, made.high) == (-math.inf, math.inf)


# ---- gaps ------------------------------------------------------------------------------------------


def test_a_gap_of_nothing_is_found_in_few_samples() -> None:
    """Six groups alike: the largest difference picks noise, and the interval knows; 5 % of 300 are 15."""
    random = np.random.default_rng(4)
    alarms = 0
    for _ in range(300):
        made = gap(_metric(), {str(group): _table(random.normal(0, 1 + group, 30)) for group in range(6)})
        assert made.low >= 0
        alarms += made.low > 0
    assert alarms <= 26


def test_a_planted_gap_is_found() -> None:
    random = np.random.default_rng(4)
    groups = {str(group): _table(random.normal(2.0 * (group == 3), 1, 40)) for group in range(5)}
    made = gap(_metric(), groups)
    assert made.low > 0.5
    assert made.low <= 2.0 <= made.high
    assert made.p_value < 1e-4


def test_a_gap_needs_two_groups_of_some_size() -> None:
    made = gap(_metric(), {"a": _table([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), "b": _table([1.0, 9.0])})
    assert math.isnan(made.value)


# ---- comparisons -----------------------------------------------------------------------------------


def test_comparisons_are_paired() -> None:
    """What both share cancels: a difference far smaller than the spread of items is found."""
    random = np.random.default_rng(6)
    base = random.normal(0, 10, 80)
    first, second = _table(base), _table(base + 0.2 + random.normal(0, 0.2, 80))
    made, values = compare(_metric(), first, second)
    assert made.value == pytest.approx(values[1] - values[0])
    assert made.low <= 0.2 <= made.high
    assert made.p_value < 0.001
    back, _ = compare(_metric(), second, first)
    assert back.value == pytest.approx(-made.value)
    assert back.p_value == pytest.approx(made.p_value, abs=0.002)


def test_few_units_cannot_give_small_p_values() -> None:
    made, _ = compare(_metric(), _table([0.0] * 4), _table([5.0] * 4))
    assert made.p_value >= 0.1  # 2 of 16 ways to swap are as far


def test_other_items_are_refused() -> None:
    with pytest.raises(ValueError, match="same items"):
        compare(_metric(), _table([1.0, 2.0]), _table([1.0, 2.0, 3.0]))
