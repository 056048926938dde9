"""What is searched, and the configuration of a trial."""

import math
from typing import Any

import numpy as np
import pytest

from curation.errors import UserError
from tests.training.sweep.small_sweep import RATE, base
from training.config import PretrainConfig
from training.options import from_dict
from training.sweep.__main__ import parse_sweep
from training.sweep.config import check_values, read_base
from training.sweep.space import Parameter, Space, read_space


def configured(search: dict[str, Any], values: dict[str, Any], **changes: Any) -> PretrainConfig:
    return read_space(base(**changes), search).configure(values, lambda config: 400)


def test_a_logarithmic_range_is_even_in_the_logarithm() -> None:
    rate = Parameter("r", 1e-4, 1.0, log=True)
    assert [rate.at(place) for place in (0, 0.25, 0.5)] == pytest.approx([1e-4, 1e-3, 1e-2])


@pytest.mark.parametrize(
    ("parameter", "values"),
    [
        (Parameter("n", 2, 8, step=3, whole=True), {2, 5, 8}),
        (Parameter("n", 1, 3, step=1, whole=True), {1, 2, 3}),
        (Parameter("n", 0, 1, step=0.5), {0.0, 0.5, 1.0}),
        (Parameter("n", choices=("a", None)), {"a", None}),
    ],
)
def test_every_value_of_a_grid_comes_equally_often(parameter: Parameter, values: set[Any]) -> None:
    drawn = [parameter.at((n + 0.5) / 300) for n in range(300)]
    assert set(drawn) == values
    assert {drawn.count(value) for value in values} == {300 // len(values)}
    assert parameter.count == len(values)


def test_even_points_fill_the_space_and_begin_alike() -> None:
    space = read_space(base(), RATE | {"depth": {"low": 1, "high": 4}})
    points = space.even(3, 16)
    assert points[:5] == space.even(3, 5)
    assert points != space.even(4, 16)
    decades = sorted(math.log10(each["optimizer.learning_rate"]) for each in points)
    assert max(b - a for a, b in zip([-5, *decades], [*decades, 0], strict=True)) < 0.65  # 5 decades, 16 points
    assert [sum(each["depth"] == depth for each in points) for depth in (1, 2, 3, 4)] == [4, 4, 4, 4]


def test_what_depends_on_a_searched_value_keeps_its_ratio() -> None:
    rate = configured(RATE, {"optimizer.learning_rate": 1e-5})
    assert rate.optimizer.min_learning_rate == pytest.approx(1e-6)
    epochs = configured({"epochs": {"low": 1, "high": 2}}, {"epochs": 2.0})
    assert epochs.batch.steps == 100  # 2 x 400 sequences, 8 a step
    assert epochs.optimizer.warmup_steps == 25  # 3 of 12
    batch = configured({"batch.global_batch_size": {"choices": [6]}}, {"batch.global_batch_size": 6})
    assert batch.batch.micro_batch_size == 3
    both = {"optimizer.min_learning_rate": {"low": 0.0, "high": 1e-5}} | RATE
    own = configured(both, {"optimizer.learning_rate": 1e-2, "optimizer.min_learning_rate": 5e-6})
    assert own.optimizer.min_learning_rate == 5e-6
    warm = configured({"warmup": {"low": 0, "high": 1}}, {"warmup": 0.5})
    assert warm.optimizer.warmup_steps == 6


@pytest.mark.parametrize(
    ("width", "inner", "sizes"),
    [(64, None, (64, 8, 4, None)), (16, 96, (16, 2, 1, 64)), (24, 128, (24, 3, 1, 128)), (128, 96, (128, 16, 8, 384))],
)
def test_a_width_keeps_the_width_of_heads(width: int, inner: int | None, sizes: tuple[int, ...]) -> None:
    model = configured({"width": {"choices": [width]}}, {"width": width}, model__intermediate_size=inner).model
    assert (model.hidden_size, model.num_attention_heads, model.num_key_value_heads, model.intermediate_size) == sizes


def test_a_mixture_is_even_over_all_mixtures() -> None:
    plain = {"datasets": [{"dataset": name} for name in "abc"]}
    space = read_space(from_dict({"data": plain}), {"mixture": {"low": 0.05}})
    assert [each.name for each in space.parameters] == ["mixture.a", "mixture.b"]
    shares_NK = np.array([space.shares(values) for values in space.even(0, 1024)])
    assert shares_NK.sum(axis=1) == pytest.approx(np.ones(1024))
    assert shares_NK.min() >= 0.05
    assert shares_NK.mean(axis=0) == pytest.approx([1 / 3] * 3, abs=0.01)
    # Of three shares that are even on the simplex each has the variance 1 / 18, here of .85 that are free.
    assert shares_NK.var(axis=0) == pytest.approx([0.85**2 / 18] * 3, rel=0.05)
    config = space.configure({"mixture.a": 0.9, "mixture.b": 0.5}, lambda config: 1)
    assert [entry.weight for entry in config.data.datasets] == pytest.approx(
        space.shares({"mixture.a": 0.9, "mixture.b": 0.5}), abs=1e-6
    )


def test_a_mixture_of_two_has_the_share_of_the_first_as_its_parameter() -> None:
    space = read_space(base(), {"mixture": {"low": 0.1}}).with_datasets(["mixed-tokens@1", "more-tokens@1"])
    assert space.shares({"mixture.mixed-tokens@1": 0.5}) == pytest.approx([0.5, 0.5])
    assert space.shares({"mixture.mixed-tokens@1": 0.0}) == pytest.approx([0.1, 0.9])
    assert space.names == {"mixture"}


def test_a_space_of_choices_is_counted() -> None:
    space = read_space(base(), {"depth": {"low": 1, "high": 3}, "optimizer.beta1": {"choices": [0.8, 0.9]}})
    assert space.size == 6
    assert len({tuple(each.values()) for each in space.grid()}) == 6
    assert read_space(base(), RATE).size is None


@pytest.mark.parametrize(
    ("search", "told"),
    [
        ({"optimizer.learning_rat": {"low": 0, "high": 1}}, "optimizer.learning_rate"),  # the valid ones are listed
        ({"nothing": {"low": 0, "high": 1}}, "valid: .*epochs.*mixture"),
        ({"optimizer": {"low": 0, "high": 1}}, "is a section"),
        ({"optimizer.learning_rate": 1e-3}, "give {low: , high: }"),
        ({"optimizer.learning_rate": {"low": 1e-3}}, r"learning_rate\.high: is missing"),
        ({"optimizer.learning_rate": {"low": 1e-3, "high": 1e-3}}, "the range is empty"),
        ({"optimizer.learning_rate": {"low": 0, "high": 1, "log": True}}, "has no logarithm"),
        ({"optimizer.learning_rate": {"low": 0, "high": 1, "log": 1}}, "neither true nor false"),
        ({"optimizer.learning_rate": {"low": "x", "high": 1}}, "'x' is no number"),
        ({"optimizer.learning_rate": {"low": 0, "high": float("inf")}}, "no finite number"),
        ({"optimizer.learning_rate": {"low": 0, "high": 1, "step": 2}}, "at most 1"),
        ({"optimizer.learning_rate": {"low": 1, "high": 2, "log": True, "step": 1}}, "cannot be with log"),
        ({"optimizer.learning_rate": {"lowest": 0, "high": 1}}, "valid: choices, high, log, low, step"),
        ({"batch.global_batch_size": {"low": 1.5, "high": 8}}, "no whole number"),
        ({"optimizer.schedule": {"low": 0, "high": 1}}, "is no number"),
        ({"optimizer.schedule": {"choices": [], "low": 1}}, "choices and a range"),
        ({"optimizer.schedule": {"choices": []}}, "at least one"),
        ({"optimizer.schedule": {"choices": ["wsd", "wsd"]}}, "twice"),
        ({"optimizer.beta1": {"choices": ["much"]}}, "optimizer.beta1"),
        ({"validation.every": {"choices": [1, 2]}}, "must be the same in all trials"),
        ({"parallelism.data": {"choices": [1, 2]}}, "must be the same in all trials"),
        ({"seed": {"choices": [1, 2]}}, "must be the same in all trials"),
        ({"data.datasets": {"choices": [[]]}}, "searched as mixture"),
        ({"warmup": {"low": 0, "high": 1.5}}, "share of the steps"),
        ({"width": {"low": 0, "high": 64}}, "not above 0"),
        ({"width": {"low": 32, "high": 64}, "model.hidden_size": {"choices": [32]}}, "is searched as well"),
        ({"mixture": {"datasets": ["a"]}}, "name two or more"),
        ({"mixture": {"low": 0.5}}, "no share that each of 2"),
        ({"mixture": {"low": 0}}, "no share that each of 2"),
    ],
)
def test_a_wrong_search_is_refused(search: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        read_space(base(), search)


def checked(space: Space) -> None:
    space.check(0, lambda config: 400, vocab_size=384)


def test_a_space_without_any_possible_trial_is_refused() -> None:
    with pytest.raises(UserError, match=r"no trial could be trained.*no multiple of 8"):
        checked(read_space(base(), {"width": {"choices": [20, 36]}}))
    with pytest.raises(UserError, match=r"no trial could be trained.*heads do not divide"):
        checked(read_space(base(), {"model.hidden_size": {"choices": [30, 34]}}))
    checked(read_space(base(), {"width": {"choices": [20, 32]}}))
    checked(read_space(base(), RATE))


def test_the_example_can_be_searched() -> None:
    config = parse_sweep(["--config", "sweep"]).config
    check_values(config)
    space = read_space(read_base(config.base), config.search)
    checked(space)
    assert space.names == {"optimizer.learning_rate", "batch.global_batch_size", "warmup", "depth", "width"}


def test_numbers_that_yaml_takes_for_text_are_numbers() -> None:
    (rate,) = read_space(base(), {"optimizer.learning_rate": {"low": "1e-5", "high": "1", "log": True}}).parameters
    assert (rate.low, rate.high) == (1e-5, 1.0)
