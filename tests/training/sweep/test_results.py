"""Tables and drawings of what a sweep has found."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.training.sweep.small_sweep import RATE, base
from training.sweep.results import TrialResult, best_of, rounded, table, write_tsv
from training.sweep.space import read_space


def result(number: int, status: str, value: float | None, step: int | None, why: str | None = None) -> TrialResult:
    values = {"optimizer.learning_rate": 10.0 ** -(number + 1), "mixture.mixed-tokens": 0.25}
    return TrialResult(number, f"S-{number:04d}", f"R{number}", values, status, value, step, why)


SPACE = read_space(base(), RATE | {"mixture": {"low": 0.1}})
TRIALS = [
    result(0, "failed", None, None, "heads\tdo not\ndivide"),
    result(1, "pruned", 4.5, 4, "behind"),
    result(2, "done", 4.2, 12),
    result(3, "done", 4.1, 12),
    result(4, "pruned", 4.6, 8, "behind"),
    result(5, "unfinished", None, None),
]


def test_the_best_comes_first_then_what_came_furthest(tmp_path: Path) -> None:
    best = best_of(TRIALS)
    assert best is not None
    assert best.number == 3
    columns, rows = table(SPACE, TRIALS)
    assert [row[0] for row in rows] == [3, 2, 4, 1, 5, 0]
    assert columns[4:7] == ["optimizer.learning_rate", "mixture.mixed-tokens", "mixture.more-tokens"]
    assert rows[0][5:7] == pytest.approx((0.3, 0.7))  # a tenth each, a quarter of the rest
    write_tsv(tmp_path / "t.tsv", columns, rows)
    lines = [line.split("\t") for line in (tmp_path / "t.tsv").read_text().splitlines()]
    assert lines[0] == columns
    assert {len(line) for line in lines} == {len(columns)}
    assert lines[1][:5] == ["3", "done", "4.1", "12", "0.0001"]
    assert lines[-1][-1] == "heads do not divide"


def test_nothing_is_the_best_of_nothing() -> None:
    assert best_of([TRIALS[0], TRIALS[1]]) is None


def test_long_reasons_are_cut_on_the_screen() -> None:
    ((number, text),) = rounded([(4.123456, "x" * 99)])
    assert number == "4.1235"
    assert len(text) == 60


def test_the_drawing_is_the_same_each_time(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="drawing needs matplotlib: pip install 'open-curation[training]'")
    from training.sweep.plot import draw_range, draw_sweep

    curves: dict[int, Any] = {2: [(1024, 5.0), (3072, 4.2)], 3: [(1024, 4.9), (3072, 4.1)]}
    for name in ("a.svg", "b.svg"):
        draw_sweep(tmp_path / name, SPACE, TRIALS, curves)
        draw_range(tmp_path / f"range-{name}", [(1e-3, 5.0, 5.0), (1e-2, 4.0, 4.0)], {"steepest": 5e-3})
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "range-a.svg").read_bytes() == (tmp_path / "range-b.svg").read_bytes()
    root = ElementTree.parse(tmp_path / "a.svg").getroot()
    axes = [each for each in root.iter() if (each.get("id") or "").startswith("axes_")]
    assert len(axes) == 5  # as they came, as they learned, three columns of values


def test_a_sweep_without_any_end_can_be_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="drawing needs matplotlib: pip install 'open-curation[training]'")
    from training.sweep.plot import draw_sweep

    draw_sweep(tmp_path / "none.svg", SPACE, [TRIALS[0]], {})
    assert (tmp_path / "none.svg").stat().st_size > 1000
