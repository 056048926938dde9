"""Comparisons of two audited models: no false alarms, planted differences found, and those alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audit.comparing import Difference, common, corrected, differences, flips
from audit.estimates import Metric, Table, compare, mean
from audit.places import Places, read_cases
from audit.probes import find_probe
from audit.probes.base import Case
from audit.results import Items, read_items, write_results
from curation.errors import UserError
from tests.audit.probes.fakes import FakeModel, drawn
from tests.audit.probes.samples import sample_of

SEEDS = 200


class NoisyModel(FakeModel):
    """Scores as the model of a base seed does, with noise of its own; exchangeable with others of the same base."""

    def _score(self, item: Any) -> Any:
        from dataclasses import replace

        seed, self.seed = self.seed, 0
        base = super()._score(item)
        self.seed = seed
        noise = drawn("noise", seed, item.context, item.continuation).normal(0, 0.5, len(base.log_likelihoods))
        return replace(base, log_likelihoods=tuple(np.add(base.log_likelihoods, noise).tolist()))


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    folder = tmp_path_factory.mktemp("data")
    sample_of("crows_pairs").write(folder, 1)
    return read_cases(find_probe("crows_pairs"), Places((folder,)))


def _items(model: Any, cases: list[Case], path: Path) -> Items:
    probe = find_probe("crows_pairs")
    write_results(path, probe, probe.run(model, cases), frozenset())
    return read_items(path)


def _compared(first: Items, second: Items, draws: int = 999) -> list[Difference]:
    return corrected(list(differences(find_probe("crows_pairs"), *common(first, second), 0, draws)))


def test_exchangeable_models_differ_no_more_often_than_they_may(cases: list[Case], tmp_path: Path) -> None:
    """A false alarm anywhere in at most 5 % of calls; 20 of 200 would be seen less than once in 500 times."""
    alarms, single = 0, 0
    for seed in range(SEEDS):
        one = _items(NoisyModel(2 * seed + 1), cases, tmp_path / "1.parquet")
        two = _items(NoisyModel(2 * seed + 2), cases, tmp_path / "2.parquet")
        found = _compared(one, two, 399)
        alarms += any(each.shown for each in found)
        single += found[0].figure.p_value < 0.05
    assert alarms <= 20
    assert single <= 20


def test_a_planted_difference_is_found_where_it_is_and_nowhere_else(cases: list[Case], tmp_path: Path) -> None:
    """The second model prefers the stereotype at the market and the river: only a group that they are in differs."""
    chosen = {case.id for case in cases if "bias_type:gender" in case.groups}
    preferred = {case.asks[0].item.continuation for case in cases if case.id in chosen}
    one = _items(NoisyModel(1), cases, tmp_path / "1.parquet")
    two = _items(NoisyModel(2, lambda text: 40.0 if text in preferred else 0.0), cases, tmp_path / "2.parquet")
    found = _compared(one, two, 9999)
    shown = {(each.metric.name, each.group) for each in found if each.shown}
    assert ("pct_stereotype", "bias_type:gender") in shown
    assert not any(group in ("bias_type:age", "bias_type:race-color") for _, group in shown)
    gender = next(each for each in found if (each.metric.name, each.group) == ("pct_stereotype", "bias_type:gender"))
    assert gender.second == 1.0
    assert gender.figure.value == pytest.approx(gender.second - gender.first)
    turned = flips(*common(one, two))
    assert turned is not None
    assert not chosen & set(turned.to_negative)
    assert len(chosen & set(turned.to_positive)) == round((1 - gender.first) * len(chosen))


def test_a_model_does_not_differ_from_itself(cases: list[Case], tmp_path: Path) -> None:
    items = _items(FakeModel(1), cases, tmp_path / "1.parquet")
    for each in _compared(items, items):
        assert each.figure.value == 0.0
        assert each.figure.p_value == 1.0
        assert not each.shown
        assert each.needed is None
    turned = flips(items, items)
    assert turned is not None
    assert (turned.to_positive, turned.to_negative) == ([], [])


def test_only_items_that_both_have_are_compared(cases: list[Case], tmp_path: Path) -> None:
    one = _items(FakeModel(1), cases[:40], tmp_path / "1.parquet")
    two = _items(FakeModel(2), cases[20:][::-1], tmp_path / "2.parquet")
    first, second = common(one, two)
    assert list(first.ids_N) == list(second.ids_N) == [case.id for case in cases[20:40]]
    with pytest.raises(UserError, match="no scored item in common"):
        common(one.take(range(20)), two)


def test_needed_items_are_what_finds_the_difference() -> None:
    """With as many items as are said to be needed, four of five samples show a difference of this size."""
    metric = Metric("m", "quality", None, "nats", "a mean", mean("value"), relevant=1.0)
    random = np.random.default_rng(7)

    def tables(n: int, shift: float) -> tuple[Table, Table]:
        units = [str(number) for number in range(n)]
        return Table(units, {"value": random.normal(0, 1, n)}), Table(units, {"value": random.normal(shift, 1, n)})

    one, two = tables(50, 0.25)
    made, values = compare(metric, one, two)
    probe = find_probe("crows_pairs")
    needed = Difference(probe, metric, None, None, made, *values).needed
    assert needed is not None
    shift = made.value
    found = sum(compare(metric, *tables(needed, shift), draws=199)[0].p_value < 0.05 for _ in range(60))
    assert 36 <= found <= 59


def test_another_order_of_items_changes_nothing(cases: list[Case], tmp_path: Path) -> None:
    one = _items(FakeModel(1), cases, tmp_path / "1.parquet")
    two = _items(FakeModel(2), cases, tmp_path / "2.parquet")
    shuffled = np.random.default_rng(1).permutation(len(cases)).tolist()
    for ours, theirs in zip(_compared(one, two), _compared(one.take(shuffled), two.take(shuffled[::-1])), strict=True):
        assert ours.figure.value == pytest.approx(theirs.figure.value, abs=1e-12)
        assert ours.figure.p_value == theirs.figure.p_value
