"""Which values come next, and which trials are stopped: Optuna's TPE and successive halving, as records replay them.

The study lives in memory and is made anew from records by whoever goes on with a sweep. What is drawn for a trial
depends on the seed, its number, and what is known of the trials before it: with one job at a time an interrupted sweep
goes on as an undisturbed one would.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from training.sweep.config import PruningConfig
from training.sweep.space import Parameter, Space

_NUMBERS = 2**32


class Search:
    """The study of a sweep. Trials are given in the order of their numbers, from 0."""

    def __init__(self, space: Space, seed: int, startup: int, rule: PruningConfig, first_judged: int) -> None:
        """
        Args:
            seed: of everything that is drawn.
            startup: trials that are spread evenly, and never stopped.
            first_judged: tokens after which a trial is first compared with others.
        """
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        pruner = (
            optuna.pruners.SuccessiveHalvingPruner(min_resource=first_judged, reduction_factor=rule.factor)
            if rule.enabled
            else optuna.pruners.NopPruner()
        )
        self._study = optuna.create_study(direction="minimize", pruner=pruner)
        self._distributions = {each.name: _distribution(each) for each in space.parameters}
        self._space, self._seed = space, seed
        self._even = space.even(seed, startup)
        self._trials: list[Any] = []

    def draw(self) -> dict[str, Any]:
        """The values of the next trial; where there are only so many, those of no trial before."""
        values = self._proposed()
        tried = [dict(trial.params) for trial in self._trials]
        if values in tried and self._space.size is not None:
            values = next((each for each in self._space.grid() if each not in tried), values)
        return self.replay(values)

    def _proposed(self) -> dict[str, Any]:
        import optuna
        from optuna.trial import TrialState

        number = len(self._trials)
        if number < len(self._even):
            return self._even[number]
        seed = (self._seed * 1_000_003 + number) % _NUMBERS
        self._study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=2)
        trial = self._study.ask(self._distributions)
        self._study.tell(trial, state=TrialState.FAIL)  # it is asked for anew, as a resume does
        return dict(trial.params)

    def replay(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The next trial has these values."""
        import optuna

        self._study.sampler = optuna.samplers.RandomSampler(seed=0)  # is not asked for anything
        self._study.enqueue_trial(dict(values))
        trial = self._study.ask(self._distributions)
        self._trials.append(trial)
        return dict(trial.params)

    def report(self, number: int, tokens: int, value: float) -> bool:
        """Tell the loss of a trial that has seen so many tokens; whether it has fallen behind the others."""
        trial = self._trials[number]
        trial.report(value, tokens)
        behind = bool(trial.should_prune())  # which also notes it for those to come
        return behind and number >= len(self._even)

    def end(self, number: int, status: str, value: float | None) -> None:
        """A trial is ``done``, with a value, ``pruned``, or ``failed``."""
        from optuna.trial import TrialState, create_trial

        trial = self._trials[number]
        if status == "done" and value is not None and math.isfinite(value):
            self._study.tell(trial, value)
        elif status == "pruned":
            self._study.tell(trial, state=TrialState.PRUNED)
        else:
            # TPE passes over failed trials and would try there again; one that was pruned before its first value is
            # the worst that it knows.
            self._study.tell(trial, state=TrialState.FAIL)
            self._study.add_trial(
                create_trial(
                    state=TrialState.PRUNED, params=dict(trial.params), distributions=dict(self._distributions)
                )
            )

    def replay_trial(
        self, values: Mapping[str, Any], curve: Iterable[tuple[int, float]], status: str, value: float | None
    ) -> None:
        """The next trial is over: its values, the losses that it was judged by, and how it ended.

        Args:
            curve: (tokens, loss), in order.
        """
        number = len(self._trials)
        self.replay(values)
        for tokens, loss in curve:
            self.report(number, tokens, loss)
        self.end(number, status, value)


def _distribution(parameter: Parameter) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if parameter.choices:
        return CategoricalDistribution(parameter.choices)
    if parameter.whole:
        step = 1 if parameter.log else int(parameter.step or 1)
        return IntDistribution(int(parameter.low), _last(parameter, step), log=parameter.log, step=step)
    if parameter.step is not None:
        return FloatDistribution(parameter.low, _last(parameter, parameter.step), step=parameter.step)
    return FloatDistribution(parameter.low, parameter.high, log=parameter.log)


def _last(parameter: Parameter, step: Any) -> Any:
    """The last value of a grid."""
    last = parameter.low + int((parameter.high - parameter.low) / step + 1e-9) * step
    return int(last) if parameter.whole else last
