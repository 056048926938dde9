"""Metrics that are about some of a probe's items: others neither count nor narrow an interval."""

from dataclasses import replace

import numpy as np
import pytest

from audit.estimates import Metric, Table, compare, figure, gap, mean

METRIC = Metric("m", "bias", 0.5, "share", "shares", mean("hit"), relevant=0.05, scale="share", among="asked")


def _table(others: int, seed: int = 0) -> Table:
    hits = np.random.default_rng(seed).integers(0, 2, 20).astype(np.float64)
    units = [f"asked {number}" for number in range(20)] + [f"other {number}" for number in range(others)]
    return Table(
        units,
        {"hit": np.r_[hits, np.ones(others)], "asked": np.r_[np.ones(20), np.zeros(others)]},
        ["a"] * 20 + ["b"] * others,
    )


def test_others_change_nothing() -> None:
    alone, among = figure(METRIC, _table(0)), figure(METRIC, _table(500))
    assert alone == among
    assert among.n == 20
    everything = figure(replace(METRIC, among=None), _table(500))
    assert everything.n == 520
    assert everything.value > among.value


def test_comparisons_and_gaps_are_about_the_same_items() -> None:
    assert compare(METRIC, _table(0), _table(0, seed=1)) == compare(METRIC, _table(300), _table(300, seed=1))
    groups = {"x": _table(0), "y": _table(0, seed=1)}
    with_others = {"x": _table(300), "y": _table(300, seed=1)}
    assert gap(METRIC, groups).high == pytest.approx(gap(METRIC, with_others).high)
