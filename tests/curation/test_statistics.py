"""Statistics: levels are held on simulated data, properties hold for any, figures agree with published ones."""

import math
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.statistics import (
    Strata,
    benjamini_hochberg,
    bootstrap,
    detectable_difference,
    detectable_mean,
    holm,
    mcnemar,
    paired_bootstrap,
    permutation,
    risk_ratio,
    sign_flips,
    unit_means,
    wilson,
)

numbers = st.lists(st.floats(-100, 100), min_size=2, max_size=30)
p_values = st.lists(st.floats(0, 1), min_size=1, max_size=30)


def share(happens: Callable[[int], bool], times: int) -> float:
    """How often something happens, of so many seeds."""
    return sum(happens(seed) for seed in range(times)) / times


# ---- intervals ----


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(0, 60))
def test_wilson_holds_the_proportion_and_mirrors(successes: int, failures: int) -> None:
    n = successes + failures
    found, mirrored = wilson(successes, n), wilson(failures, n)
    assert 0 <= found.low <= found.high <= 1
    assert found.n == n
    if n:
        assert found.low - 1e-12 <= found.value <= found.high + 1e-12
        assert found.low == pytest.approx(1 - mirrored.high, abs=1e-9)
        assert wilson(2 * successes, 2 * n).high - wilson(2 * successes, 2 * n).low < found.high - found.low
    else:
        assert math.isnan(found.value)


def test_wilson_as_published() -> None:
    """Newcombe 1998, table I, method 3 (https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E)."""
    for successes, n, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)):
        found = wilson(successes, n)
        assert [found.low, found.high] == pytest.approx([low, high], abs=5e-5)
    with pytest.raises(ValueError, match="5 of 4"):
        wilson(5, 4)


@pytest.mark.parametrize(("n", "rate"), [(20, 0.1), (100, 0.03), (400, 0.5)])
def test_wilson_covers(n: int, rate: float) -> None:
    def covers(seed: int) -> bool:
        found = wilson(int(np.random.default_rng(seed).binomial(n, rate)), n)
        return found.low <= rate <= found.high

    assert share(covers, 2000) > 0.93


def test_the_bootstrap_covers() -> None:
    def covers(seed: int) -> bool:
        values = np.random.default_rng(seed).exponential(size=60)
        found = bootstrap(values, draws=600, seed=seed)
        return found.low <= 1 <= found.high

    assert 0.88 < share(covers, 250) < 0.995


def test_dependent_items_do_not_narrow_the_interval() -> None:
    """Forty units of ten items that are nearly equal: by items the interval would be three times too narrow."""

    def covers(seed: int, by_unit: bool) -> bool:
        random = np.random.default_rng(seed)
        units = np.repeat(np.arange(40), 10)
        values = random.normal(size=40)[units] + 0.1 * random.normal(size=400)
        found = bootstrap(values, units if by_unit else None, draws=300, seed=seed)
        return found.low <= 0 <= found.high

    assert share(lambda seed: covers(seed, True), 150) > 0.88
    assert share(lambda seed: covers(seed, False), 150) < 0.7


@settings(deadline=None, max_examples=40)
@given(numbers, st.data())
def test_repeating_items_of_a_unit_changes_nothing(values: list[float], data: st.DataObject) -> None:
    units = data.draw(st.lists(st.integers(0, 5), min_size=len(values), max_size=len(values)))
    times = data.draw(st.integers(2, 4))
    chosen = data.draw(st.sampled_from(units))
    # Every item of one unit, several times.
    more = [(v, u) for v, u in zip(values, units, strict=True) for _ in range(times if u == chosen else 1)]
    again = [v for v, _ in more], [u for _, u in more]
    assert unit_means(*again) == pytest.approx(unit_means(values, units), abs=1e-9)
    one, two = bootstrap(values, units, draws=100), bootstrap(*again, draws=100)
    assert one.n == two.n
    assert one.value == pytest.approx(two.value, abs=1e-9)
    if math.isfinite(one.low) and one.method == two.method:
        assert [one.low, one.high] == pytest.approx([two.low, two.high], abs=1e-6)


@settings(deadline=None, max_examples=40)
@given(numbers, st.floats(0.1, 10), st.floats(-10, 10))
def test_the_bootstrap_follows_scale_and_shift(values: list[float], scale: float, shift: float) -> None:
    plain = bootstrap(values, draws=100)
    moved = bootstrap([scale * v + shift for v in values], draws=100)
    assert plain.low <= plain.high
    if plain.method == moved.method == "bootstrap BCa" and np.ptp(values) > 1e-3:
        for one, two in ((plain.low, moved.low), (plain.value, moved.value), (plain.high, moved.high)):
            assert two == pytest.approx(scale * one + shift, abs=1e-6)


def test_the_bootstrap_is_reproducible_and_says_when_it_knows_nothing() -> None:
    values = np.random.default_rng(0).normal(size=50)
    assert bootstrap(values, seed=3) == bootstrap(values, seed=3)
    assert bootstrap(values, seed=3) != bootstrap(values, seed=4)
    assert bootstrap([1.0, 2.0], ["a", "a"]).low == -math.inf
    assert bootstrap([], []).n == 0
    constant = bootstrap([2.0] * 9)
    assert (constant.low, constant.high, constant.method) == (2.0, 2.0, "constant")
    assert bootstrap(values, statistic=np.median).value == pytest.approx(float(np.median(values)))
    with pytest.raises(ValueError, match="leave out what was not scored"):
        bootstrap([1.0, math.nan])
    with pytest.raises(ValueError, match="2 values, but 1 units"):
        bootstrap([1.0, 2.0], ["a"])


def test_many_units_take_percentiles() -> None:
    found = bootstrap(np.random.default_rng(0).normal(size=20_000), draws=200)
    assert found.method == "bootstrap percentile"
    assert found.high - found.low == pytest.approx(2 * 1.96 / math.sqrt(20_000), rel=0.25)


# ---- tests ----


@pytest.mark.parametrize("size", [4, 40])
def test_the_permutation_test_keeps_its_level_and_finds_differences(size: int) -> None:
    def significant(seed: int, shift: float) -> bool:
        random = np.random.default_rng(seed)
        return permutation(random.normal(size=size), random.normal(shift, size=size), seed=seed) <= 0.05

    assert share(lambda seed: significant(seed, 0.0), 100) < 0.12
    assert share(lambda seed: significant(seed, 5.0), 20) == 1.0 if size > 3 else True


def test_small_permutations_are_exact() -> None:
    """All splits of four and of three values, counted here one by one."""
    first, second = [1.0, 4.0, 6.0, 2.5], [7.0, 9.0, 3.0]
    pooled = np.array(first + second)
    observed = abs(np.mean(first) - np.mean(second))
    splits = [np.array(mask, dtype=bool) for mask in product((0, 1), repeat=7) if sum(mask) == 4]
    as_large = sum(abs(pooled[m].mean() - pooled[~m].mean()) >= observed - 1e-12 for m in splits)
    assert permutation(first, second) == pytest.approx(as_large / len(splits), abs=0.03)
    flips = [np.mean(np.array(signs) * [1.0, 2.0, -0.5, 3.0]) for signs in product((-1, 1), repeat=4)]
    expected = np.mean(np.abs(flips) >= abs(np.mean([1.0, 2.0, -0.5, 3.0])) - 1e-12)
    assert sign_flips([1.0, 2.0, -0.5, 3.0]) == pytest.approx(expected)
    assert sign_flips([0.0, 0.0]) == 1.0
    assert math.isnan(permutation([], [1.0]))


def test_pairs_tell_more_than_groups() -> None:
    random = np.random.default_rng(1)
    base = random.normal(0, 10, size=80)
    better = base + random.normal(0.5, 1, size=80)
    found = paired_bootstrap(base, better)
    assert found.p_value < 0.01
    assert found.estimate.low > 0
    assert permutation(base, better) > 0.2
    with pytest.raises(ValueError, match="pairs are of the same items"):
        paired_bootstrap([1.0], [1.0, 2.0])


@settings(deadline=None)
@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar(one: int, other: int) -> None:
    assert mcnemar(one, other) == mcnemar(other, one)
    assert 0 < mcnemar(one, other) <= 1
    expected = min(1.0, 2 * sum(math.comb(one + other, k) for k in range(min(one, other) + 1)) / 2 ** (one + other))
    assert mcnemar(one, other) == pytest.approx(expected)


def test_risk_ratios_as_published() -> None:
    """Physicians' Health Study: 104 of 11,037 with aspirin, 189 of 11,034 without; ratio .55 (.43, .70), Agresti 2013,
    section 2.2.2, with the roles exchanged."""
    found = risk_ratio(Strata.single(104, 11037, 189, 11034))
    assert found.estimate.value == pytest.approx(0.5501, abs=1e-4)
    assert [found.estimate.low, found.estimate.high] == pytest.approx([0.433, 0.699], abs=2e-3)
    assert found.p_value == pytest.approx(5.7e-7, rel=0.2)


def test_matching_takes_a_confounder_away() -> None:
    """Short texts are removed more often, and one group writes short texts: alone that looks like bias."""
    short, long_ = (0.5, 0.1)
    exposed, others = np.array([900, 100]), np.array([1000, 9000])
    rates = np.array([short, long_])
    stratified = risk_ratio(Strata(exposed * rates, exposed, others * rates, others))
    crude = risk_ratio(Strata.single(int((exposed * rates).sum()), 1000, int((others * rates).sum()), 10_000))
    assert crude.estimate.value > 3
    assert crude.p_value < 1e-10
    assert stratified.estimate.value == pytest.approx(1)
    assert stratified.p_value > 0.9


def test_risk_ratios_keep_their_level() -> None:
    def significant(seed: int) -> bool:
        random = np.random.default_rng(seed)
        exposed, others = random.integers(5, 60, 6), random.integers(100, 900, 6)
        rates = random.uniform(0.02, 0.5, 6)
        found = risk_ratio(Strata(random.binomial(exposed, rates), exposed, random.binomial(others, rates), others))
        return found.p_value <= 0.05

    assert 0.02 < share(significant, 1000) < 0.075


@settings(deadline=None)
@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_any_table_has_an_answer(a: int, b: int, c: int, d: int) -> None:
    found = risk_ratio(Strata.single(a, a + b, c, c + d))
    assert 0 <= found.p_value <= 1
    if a + b and c + d and a + c:
        assert 0 < found.estimate.low <= found.estimate.value <= found.estimate.high < math.inf
    else:
        assert math.isnan(found.estimate.value)
        assert found.p_value == 1.0


# ---- many tests ----


@settings(deadline=None)
@given(p_values)
def test_corrections_only_raise_and_keep_the_order(p: list[float]) -> None:
    for adjusted in (holm(p), benjamini_hochberg(p)):
        assert (adjusted >= np.array(p) - 1e-12).all()
        assert (adjusted <= 1).all()
        order = np.argsort(p, kind="stable")
        assert (np.diff(adjusted[order]) >= -1e-12).all()
    assert (benjamini_hochberg(p) <= holm(p) + 1e-12).all()
    assert holm([*p, math.nan])[:-1] == pytest.approx(holm(p))
    assert math.isnan(benjamini_hochberg([*p, math.nan])[-1])


def test_corrections_as_published() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    # Benjamini and Hochberg 1995, section 3.2: of 15 p-values four are significant at .05, with Holm three.
    p = [
        0.0001,
        0.0004,
        0.0019,
        0.0095,
        0.0201,
        0.0278,
        0.0298,
        0.0344,
        0.0459,
        0.324,
        0.4262,
        0.5719,
        0.6528,
        0.759,
        1,
    ]
    assert (benjamini_hochberg(p) <= 0.05).sum() == 4
    assert (holm(p) <= 0.05).sum() == 3
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([1.5])


def test_holm_keeps_false_alarms_rare() -> None:
    alarms = share(lambda seed: bool((holm(np.random.default_rng(seed).uniform(size=20)) <= 0.05).any()), 2000)
    assert alarms < 0.065


# ---- what a sample can show ----


@settings(deadline=None)
@given(st.integers(1, 1000), st.integers(1, 1000), st.floats(0.01, 0.99))
def test_more_units_detect_less(one: int, two: int, rate: float) -> None:
    found = detectable_difference(one, two, rate)
    assert 0 < found <= 1
    assert detectable_difference(one + 1, two, rate) <= found
    assert detectable_difference(one, two, rate, power=0.9) >= found
    assert detectable_difference(one, two) >= found
    assert detectable_mean(one + 1, 2.0) < detectable_mean(one, 2.0) == pytest.approx(2 * detectable_mean(one, 1.0))


def test_the_detectable_difference_is_detected() -> None:
    """A mean of that size is found about four times in five."""
    from scipy.stats import ttest_1samp

    mean = detectable_mean(200, 1.0)
    found = share(
        lambda seed: bool(ttest_1samp(np.random.default_rng(seed).normal(mean, 1, 200), 0).pvalue <= 0.05), 500
    )
    assert 0.74 < found < 0.86
    assert math.isnan(detectable_mean(0, 1.0))
    assert math.isnan(detectable_difference(0, 5))
