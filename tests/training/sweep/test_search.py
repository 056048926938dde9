"""What is drawn next, and which trials are stopped."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from tests.training.sweep.small_sweep import RATE, base
from training.sweep.config import PruningConfig
from training.sweep.search import Search
from training.sweep.space import read_space

STEPS = 12
NO_PRUNING = PruningConfig(enabled=False)


def search(seed: int = 0, rule: PruningConfig = NO_PRUNING, space: dict[str, Any] | None = None) -> Search:
    return Search(read_space(base(), space or RATE), seed, 5, rule, 4)


def loss_at(values: dict[str, Any], step: int = STEPS) -> float:
    """As of a training whose best learning rate is 1e-2: too low is slow, too high is worse."""
    off = math.log10(values["optimizer.learning_rate"]) + 2
    return 6 - 3 * step / STEPS + (0.4 if off < 0 else 1.2) * off**2


def go_on(study: Search, until: int, loss: Callable[[dict[str, Any], int], float] = loss_at) -> list[dict[str, Any]]:
    """Trials up to a number, one at a time."""
    made = []
    for number in range(len(study._trials), until):
        values = study.draw()
        made.append(values)
        for step in range(1, STEPS + 1):
            if study.report(number, step, loss(values, step)) and step < STEPS:
                study.end(number, "pruned", loss(values, step))
                break
        else:
            study.end(number, "done", loss(values, STEPS))
    return made


@pytest.mark.parametrize("rule", [NO_PRUNING, PruningConfig()])
def test_twelve_trials_find_the_neighbourhood_of_the_best(rule: PruningConfig) -> None:
    misses = 0
    for seed in range(20):
        rates = [values["optimizer.learning_rate"] for values in go_on(search(seed, rule), 12)]
        misses += min(abs(math.log10(rate) + 2) for rate in rates) > math.log10(3)
    assert misses <= 1


def test_a_seed_gives_the_same_trials_and_another_seed_others() -> None:
    assert go_on(search(1), 8) == go_on(search(1), 8)
    assert go_on(search(1), 8)[0] != go_on(search(2), 1)[0]


@pytest.mark.parametrize("killed_at", [0, 3, 5, 7, 11])
@pytest.mark.parametrize("rule", [NO_PRUNING, PruningConfig(factor=2)])
def test_a_study_made_anew_draws_what_the_undisturbed_one_draws(killed_at: int, rule: PruningConfig) -> None:
    whole = search(3, rule)
    wanted = go_on(whole, 12)
    again = search(3, rule)
    for number, values in enumerate(wanted[:killed_at]):
        trial = whole._study.trials[whole._trials[number].number]
        curve = sorted(trial.intermediate_values.items())
        again.replay_trial(values, curve, "done" if trial.state.name == "COMPLETE" else "pruned", trial.value)
    again.replay(wanted[killed_at])  # it was at work
    for step in range(1, STEPS + 1):
        loss = loss_at(wanted[killed_at], step)
        if again.report(killed_at, step, loss) and step < STEPS:
            again.end(killed_at, "pruned", loss)
            break
    else:
        again.end(killed_at, "done", loss_at(wanted[killed_at]))
    assert go_on(again, 12) == wanted[killed_at + 1 :]


def test_the_best_share_goes_on_and_the_first_are_never_stopped() -> None:
    study = search(0, PruningConfig(factor=3))
    for number in range(5):
        study.draw()
        assert not any(study.report(number, step, 5.0 - number / 10) for step in range(1, 13))
        study.end(number, "done", 5.0)
    for number, loss, behind in ((5, 4.9, True), (6, 4.55, False), (7, 4.3, False), (8, 4.65, True)):
        study.draw()
        assert not study.report(number, 3, 9.0)  # nobody is judged yet
        assert study.report(number, 4, loss) is behind, number
        study.end(number, "pruned" if behind else "done", loss)


def test_a_loss_that_is_no_number_falls_behind() -> None:
    study = search(0, PruningConfig())
    for number in range(5):
        study.draw()
        study.report(number, 4, 5.0)
        study.end(number, "done", 5.0)
    study.draw()
    assert study.report(5, 4, math.nan)


def rates_where_high_ones(end: str, value: float | None) -> list[float]:
    """Learning rates of 25 trials, of which those above 3e-2 end in another way."""
    study, rates = search(5), []
    for number in range(25):
        rate = study.draw()["optimizer.learning_rate"]
        if rate > 3e-2:
            study.end(number, end, value)
        else:
            study.end(number, "done", loss_at({"optimizer.learning_rate": rate}))
        rates.append(rate)
    return rates


def test_a_failed_trial_is_as_bad_as_the_worst() -> None:
    rates = rates_where_high_ones("failed", None)
    assert rates == rates_where_high_ones("done", 1e9)
    assert sum(rate > 3e-2 for rate in rates[5:]) <= 8  # TPE alone passes over failures, and draws all 20 from there


def test_no_choice_is_tried_twice() -> None:
    study = search(0, space={"depth": {"low": 1, "high": 4}, "optimizer.beta1": {"choices": [0.8, 0.9]}})
    drawn = []
    for number in range(8):
        drawn.append(tuple(study.draw().values()))
        study.end(number, "done", 4.0)
    assert len(set(drawn)) == 8
