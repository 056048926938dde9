"""The learning-rate range test: its schedule, and what losses suggest. (``test_sweep.py`` runs one.)"""

import itertools
import math
from dataclasses import replace

import pytest

from curation.errors import UserError
from tests.training.sweep.small_sweep import base
from training.checks import check
from training.config import PretrainConfig
from training.engine.schedule import learning_rate
from training.sweep.range import RangeRequest, range_config, suggest

STEPS = 200


def request(low: float = 1e-6, high: float = 1.0, steps: int = STEPS) -> RangeRequest:
    return RangeRequest(base(), "W", "auto", low, high, steps)


def rates(config: PretrainConfig) -> list[float]:
    return [learning_rate(config.optimizer, config.batch, step) for step in range(1, config.batch.steps + 1)]


def test_the_rate_rises_by_the_same_factor_from_the_first_step_to_the_last() -> None:
    config = range_config(request())
    check(config)
    found = rates(config)
    assert (found[0], found[-1]) == pytest.approx((1e-6, 1.0))
    factors = [b / a for a, b in itertools.pairwise(found)]
    assert factors == pytest.approx([10 ** (6 / (STEPS - 1))] * (STEPS - 1))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"min_learning_rate": 0.0}, "above 0"),
        ({"min_learning_rate": 1.0}, "above 0 and below that"),
        ({"warmup_steps": 2}, "exponential has none"),
        ({"decay_steps": 2}, "exponential has none"),
    ],
)
def test_the_schedule_alone_decides(change: dict[str, float], told: str) -> None:
    config = range_config(request())
    with pytest.raises(UserError, match=told):
        check(replace(config, optimizer=replace(config.optimizer, **change)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("low", "high", "steps", "told"),
    [(0, 1, 50, "--low"), (1, 1, 50, "--low"), (1e-3, math.inf, 50, "--low"), (1e-3, 1, 19, "--steps 19")],
)
def test_a_wrong_range_is_refused(low: float, high: float, steps: int, told: str) -> None:
    with pytest.raises(UserError, match=told):
        range_config(request(low, high, steps))


def curve(steepest: float, lowest: float, noise: float = 0.0) -> list[tuple[float, float]]:
    """Losses that fall as a logistic function of the logarithm of the rate, and rise as a power of it."""
    points = []
    for number, rate in enumerate(rates(range_config(request()))):
        fall = 3 / (1 + math.exp(-3 * math.log10(rate / steepest)))
        points.append((rate, 6 - fall + 2 * max(0.0, math.log10(rate / lowest)) ** 2 + noise * math.sin(37 * number)))
    return points


@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("steepest", [1e-4, 1e-2])
def test_the_steepest_descent_is_suggested(steepest: float, noise: float) -> None:
    found = suggest(curve(steepest, 30 * steepest, noise))
    assert abs(math.log10(found.steepest / steepest)) < (0.05 if not noise else 0.3)
    assert found.steepest < found.lowest
    assert abs(math.log10(found.lowest / (30 * steepest))) < 0.5
    assert found.rises


def test_a_loss_that_does_not_rise_is_told() -> None:
    assert not suggest(curve(1e-2, 10.0)).rises


def test_a_loss_that_is_no_number_ends_the_curve() -> None:
    points = [(rate, loss if rate < 1e-1 else math.nan) for rate, loss in curve(1e-2, 10.0)]
    found = suggest(points)
    assert found.rises
    assert len(found.points) == sum(rate < 1e-1 for rate, _ in points)
    assert abs(math.log10(found.steepest / 1e-2)) < 0.05


def test_losses_that_say_nothing_are_refused() -> None:
    with pytest.raises(UserError, match="3 steps alone"):
        suggest([(rate, 5.0 if number < 3 else math.nan) for number, (rate, _) in enumerate(curve(1e-2, 1.0))])
    with pytest.raises(UserError, match="rises from"):
        suggest([(rate, 5 + number) for number, (rate, _) in enumerate(curve(1e-2, 1.0))])
