"""What holds of every probe: a new one is tested the day it is added."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audit.estimates import Metric
from audit.figures import Found, figures
from audit.places import NotThere, Places, read_cases
from audit.probes import probes
from audit.probes.base import Case, Probe
from audit.results import Items, read_items, write_results
from audit.sampling import sample
from curation.errors import UserError
from tests.audit.probes.fakes import FakeModel
from tests.audit.probes.samples import sample_of

NAMES = [name for name, probe in probes().items() if probe.kind == "bias"]
SEEDS = 200
WITHIN = 176
"""Of 200 intervals of 95 %, fewer hold what they should less than once in 10,000 times."""


def _cases(name: str, folder: Path, times: int = 1) -> tuple[Probe, list[Case]]:
    probe = probes()[name]
    if probe.data is None:
        return probe, sample(read_cases(probe, Places(())), sample_of(name).limit, 0)
    sample_of(name).write(folder, times)
    return probe, read_cases(probe, Places((folder,)))


def _items(probe: Probe, model: Any, cases: list[Case], path: Path) -> Items:
    write_results(path, probe, probe.run(model, cases), frozenset())
    return read_items(path)


def _overall(found: list[Found]) -> dict[str, Found]:
    return {each.name: each for each in found if each.group is None and each.language in (None, "eng_Latn")}


def _with_ideals(probe: Probe) -> list[Metric]:
    return [metric for metric in probe.metrics if metric.kind == "bias" and metric.ideal is not None]


@pytest.mark.parametrize("name", NAMES)
def test_says_what_it_is(name: str) -> None:
    probe = probes()[name]
    assert probe.name == name
    assert "http" in probe.source
    assert probe.license
    assert _with_ideals(probe), "a bias probe has a figure whose ideal is known"
    assert len({metric.name for metric in probe.metrics}) == len(probe.metrics)
    for metric in probe.metrics:
        assert metric.describes
        assert metric.relevant > 0


@pytest.mark.parametrize("name", NAMES)
def test_without_preference_intervals_hold_the_ideal(name: str, tmp_path: Path) -> None:
    probe, cases = _cases(name, tmp_path)
    metrics = _with_ideals(probe)
    writes = sample_of(name).writes
    held = {metric.name: 0 for metric in metrics} | {f"{metric.name}.gap": 0 for metric in metrics if metric.by_group}
    tried = dict.fromkeys(held, 0)
    against_rest = {metric.name for metric in metrics if metric.against_rest}
    for seed in range(SEEDS):
        items = _items(probe, FakeModel(seed, writes=writes), cases, tmp_path / "results.parquet")
        for found in figures(probe, items):
            base = found.name.removesuffix(".gap")
            first = found.group is None or found.group == _first_dimension(cases)
            counts = first and (found.group is None or found.name != base)
            if found.name in held and (counts or found.name in against_rest):
                tried[found.name] += 1
                held[found.name] += found.figure.low <= float(found.ideal or 0.0) <= found.figure.high
    for metric_name, times in held.items():
        if metric_name.endswith(".gap") and not tried[metric_name]:
            continue
        assert tried[metric_name] >= SEEDS
        assert times / tried[metric_name] >= WITHIN / SEEDS, (metric_name, times, tried[metric_name])


def _first_dimension(cases: list[Case]) -> str:
    return cases[0].groups[0].partition(":")[0] if cases[0].groups else ""


@pytest.mark.parametrize("name", NAMES)
def test_a_planted_preference_is_found(name: str, tmp_path: Path) -> None:
    probe, cases = _cases(name, tmp_path)
    planted = sample_of(name).planted
    model = FakeModel(1, planted.preference, planted.writes, planted.vector)
    overall = _overall(figures(probe, _items(probe, model, cases, tmp_path / "results.parquet")))
    assert planted.metrics
    for metric in planted.metrics:
        found = overall[metric]
        assert found.ideal is not None
        assert found.figure.p_value < 0.01
        assert found.figure.low > found.ideal if planted.above else found.figure.high < found.ideal


@pytest.mark.parametrize("name", [name for name in NAMES if probes()[name].data])
def test_repeating_every_item_tenfold_narrows_nothing(name: str, tmp_path: Path) -> None:
    (tmp_path / "once").mkdir()
    (tmp_path / "tenfold").mkdir()
    probe, once = _cases(name, tmp_path / "once")
    _, tenfold = _cases(name, tmp_path / "tenfold", 10)
    model = FakeModel(3, writes=sample_of(name).writes)
    first = _overall(figures(probe, _items(probe, model, once, tmp_path / "1.parquet")))
    second = _overall(figures(probe, _items(probe, model, tenfold, tmp_path / "10.parquet")))
    for metric in _with_ideals(probe):
        if metric.against_rest:  # not among overall figures
            continue
        one, ten = first[metric.name].figure, second[metric.name].figure
        assert ten.value == pytest.approx(one.value, abs=1e-9)
        assert ten.high - ten.low >= (one.high - one.low) * (1 - 1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_order_and_batches_change_nothing(name: str, tmp_path: Path) -> None:
    probe, cases = _cases(name, tmp_path)
    model: Any = FakeModel(4, writes=sample_of(name).writes)
    whole = _items(probe, model, cases, tmp_path / "whole.parquet")
    places = np.random.default_rng(0).permutation(len(cases)).tolist()
    parts = []
    for begin in range(0, len(places), 17):
        parts += probe.run(model, [cases[place] for place in places[begin : begin + 17]])
    write_results(tmp_path / "parts.parquet", probe, parts, frozenset())
    shuffled = read_items(tmp_path / "parts.parquet")
    scores = dict(zip(whole.ids_N, np.stack(list(whole.measures.values()), axis=1), strict=True))
    for item, measures in zip(shuffled.ids_N, np.stack(list(shuffled.measures.values()), axis=1), strict=True):
        assert np.array_equal(scores[item], measures, equal_nan=True)
    for one, other in zip(figures(probe, whole), figures(probe, shuffled), strict=True):
        assert (one.name, one.group, one.language, one.items) == (other.name, other.group, other.language, other.items)
        assert one.figure.n == other.figure.n
        for field in ("value", "low", "high"):
            ours, theirs = getattr(one.figure, field), getattr(other.figure, field)
            assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize(
    ("name", "number"),
    [(name, number) for name in NAMES if probes()[name].data for number in range(len(sample_of(name).broken))],
)
def test_malformed_data_names_file_line_and_field(name: str, number: int, tmp_path: Path) -> None:
    sample, probe = sample_of(name), probes()[name]
    broken = sample.broken[number]
    sample.write(tmp_path, 1)
    path = tmp_path / broken.file
    before = path.read_text(encoding="utf-8")
    path.write_text(broken.change(before), encoding="utf-8")
    assert path.read_text(encoding="utf-8") != before
    with pytest.raises(UserError) as raised:
        read_cases(probe, Places((tmp_path,)))
    for part in (broken.file.rpartition("/")[2], *broken.says):
        assert part in str(raised.value)


@pytest.mark.parametrize("name", [name for name in NAMES if probes()[name].data])
def test_missing_data_says_how_to_get_it(name: str, tmp_path: Path) -> None:
    probe = probes()[name]
    assert probe.data is not None
    with pytest.raises(NotThere, match="--data") as raised:
        read_cases(probe, Places((tmp_path,)))
    assert probe.data.url in str(raised.value)
    assert len(sample_of(name).broken) >= 2, "say how its files can be malformed"


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_scored_is_never_a_value(name: str, tmp_path: Path) -> None:
    probe, cases = _cases(name, tmp_path)
    model: Any = FakeModel(5, writes=sample_of(name).writes)
    results = [replace(each, measures=None, score=None, why="as a test") for each in probe.run(model, cases[:10])]
    write_results(tmp_path / "none.parquet", probe, results, frozenset())
    for found in figures(probe, read_items(tmp_path / "none.parquet")):
        assert math.isnan(found.figure.value)
        assert not found.scored
        assert found.why
