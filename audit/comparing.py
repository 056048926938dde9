"""Two audited models, item by item: what differs, how surely, which items flipped, how many more would be needed.

All comparisons of a call (metrics, and metrics of groups) are corrected together (Holm), so that two models that differ
in nothing but noise are told apart in at most 5 % of calls, however much is looked at.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from audit.estimates import DRAWS, Figure, Metric, compare
from audit.figures import FEWEST_UNITS
from audit.probes.base import NEAR_TIE, Probe
from audit.results import Items
from curation.errors import UserError
from curation.statistics import holm, mcnemar

ALPHA = 0.05
_POWER = 0.8


@dataclass(frozen=True, slots=True)
class Difference:
    """Of a figure, second model less first."""

    probe: Probe
    metric: Metric
    group: str | None
    language: str | None
    figure: Figure
    """Of the difference."""
    first: float
    second: float
    p_adjusted: float = math.nan

    @property
    def shown(self) -> bool:
        """Whether the two differ."""
        return self.p_adjusted < ALPHA

    @property
    def needed(self) -> int | None:
        """Units with which a difference of this size would be found (power .8); None where it is zero."""
        from scipy.stats import norm

        if not self.figure.value or not math.isfinite(self.figure.error):
            return None
        reach = float(norm.ppf(1 - ALPHA / 2) + norm.ppf(_POWER)) * self.figure.error / abs(self.figure.value)
        return math.ceil(self.figure.n * reach**2)


@dataclass(frozen=True)
class Flips:
    """Items whose score changed its sign."""

    to_positive: Sequence[str]
    """Ids, the largest change first: the second model prefers the stereotype, and the first did not."""
    to_negative: Sequence[str]
    items: int
    p_value: float
    """McNemar's."""


def common(first: Items, second: Items) -> tuple[Items, Items]:
    """The items that both have scored, in the same order.

    Raises:
        UserError: there are none.
    """
    places = {key: place for place, key in enumerate(zip(second.ids_N, second.units_N, strict=True))}
    pairs = [
        (place, places[key])
        for place, key in enumerate(zip(first.ids_N, first.units_N, strict=True))
        if key in places and first.scored_N[place] and second.scored_N[places[key]]
    ]
    if not pairs:
        raise UserError("the two audits have no scored item in common; audit both with the same data, limit and seed")
    return first.take([one for one, _ in pairs]), second.take([other for _, other in pairs])


def differences(probe: Probe, first: Items, second: Items, seed: int, draws: int = DRAWS) -> Iterator[Difference]:
    """Of all figures of a probe; items as ``common`` gives them."""
    everything = np.ones(len(first), dtype=bool)
    languages = sorted(set(first.languages_N))
    for metric in probe.metrics:
        yield _difference(probe, metric, first, second, everything, None, None, seed, draws)
    for metric in probe.metrics:
        for language in languages if metric.by_group else ():
            here = np.array([each == language for each in first.languages_N])
            if len(languages) > 1:
                yield _difference(probe, metric, first, second, here, None, language, seed, draws)
            for group in sorted({group for place in np.flatnonzero(here).tolist() for group in first.groups_N[place]}):
                chosen = here & np.array([group in groups for groups in first.groups_N])
                if len({first.units_N[place] for place in np.flatnonzero(chosen).tolist()}) >= FEWEST_UNITS:
                    yield _difference(probe, metric, first, second, chosen, group, language, seed, draws)


def _difference(
    probe: Probe,
    metric: Metric,
    first: Items,
    second: Items,
    chosen_N: Any,
    group: str | None,
    language: str | None,
    seed: int,
    draws: int,
) -> Difference:
    one, two = first.table(chosen_N), second.table(chosen_N)
    made, values = compare(metric, one, two, seed, draws=draws)
    return Difference(probe, metric, group, language, made, *values)


def corrected(found: Sequence[Difference]) -> list[Difference]:
    """With p-values for all of them together."""
    adjusted = holm([each.figure.p_value for each in found])
    return [replace(each, p_adjusted=float(p)) for each, p in zip(found, adjusted, strict=True)]


def flips(first: Items, second: Items) -> Flips | None:
    """Items whose score changed its sign by more than a near-tie; None of a probe whose items have no sign."""
    one, two = np.asarray(first.scores_N, dtype=np.float64), np.asarray(second.scores_N, dtype=np.float64)
    if np.isnan(one).any() or np.isnan(two).any():
        return None
    clear = (np.abs(one) >= NEAR_TIE) & (np.abs(two) >= NEAR_TIE)
    order = np.argsort(-np.abs(two - one), kind="stable")
    up = [first.ids_N[place] for place in order if clear[place] and one[place] < 0 < two[place]]
    down = [first.ids_N[place] for place in order if clear[place] and two[place] < 0 < one[place]]
    return Flips(up, down, len(first), mcnemar(len(up), len(down)))
