"""Who is removed by filters: every step and reason of a run, by group, language, dialect, domain and length."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from audit.facts import Facts
from audit.lengths import match_length
from audit.risk import Comparison, Risk
from curation.statistics import holm
from curation.terms import DIMENSIONS, identity_terms

Array = np.ndarray[Any, Any]

FACTORS = ("group", "dialect", "language", "domain", "length")
MOST_DOMAINS = 500
"""Domains compared, the largest first: smaller ones have too few documents each to tell."""
LENGTH_BANDS = 5
_STRIKING = 1e-4
"""A p-value, not corrected, below which it is said that sites alone stand in the way of a finding."""


@dataclass(frozen=True, slots=True)
class Options:
    """What to compare, and when to speak."""

    by: Sequence[str] = FACTORS
    min_group: int = 20
    """Documents that must mention a group, or it is not scored: with 20 a 95 % interval of a rate spans at most .4,
    removal of all and of none are told apart after correction, and nobody is pointed at."""
    alpha: float = 0.05


@dataclass(frozen=True, slots=True)
class Row:
    """What one step or reason did to one group."""

    factor: str
    step: str
    reason: str
    """Empty: all reasons of the step."""
    language: str | None
    """None: all languages, compared within each."""
    name: str
    n: int
    risk: Risk | None = None
    """None: not scored, and ``why``."""
    why: str | None = None
    p_adjusted: float = math.nan

    @property
    def outcome(self) -> str:
        """``step``, or ``step/reason``."""
        return f"{self.step}/{self.reason}" if self.reason else self.step

    @property
    def scored(self) -> bool:
        """Whether there is a ratio."""
        return self.risk is not None and not math.isnan(self.risk.p_value)


def outcomes_of(facts: Facts) -> Iterator[tuple[str, str, Array, Array, Array]]:
    """(step, reason or empty, documents that came to the step, which of them it removed for this reason, which for
    another). A step with one reason is told once, with the reason."""
    rank = {step: place for place, step in enumerate(facts.steps)}
    step_of = np.array([rank[step] for step, _ in facts.outcomes] + [len(rank)])  # the last: kept, which is -1
    rank_N = step_of[facts.outcome_N]
    for place, step in enumerate(facts.steps):
        reasons = sorted((reason, number) for number, (each, reason) in enumerate(facts.outcomes) if each == step)
        if not reasons:
            continue
        reached = np.flatnonzero(rank_N >= place)
        outcome = facts.outcome_N[reached]
        if len(reasons) > 1:
            yield step, "", reached, rank_N[reached] == place, np.zeros(len(reached), dtype=bool)
        for reason, number in reasons:
            removed = outcome == number
            yield step, reason, reached, removed, (rank_N[reached] == place) & ~removed


def compare_all(facts: Facts, options: Options, tell: Callable[[str], None] = lambda line: None) -> list[Row]:
    """Every comparison, with corrected p-values.

    The family is the whole audit: inside a factor p-values are corrected by Holm's method, and multiplied by the number
    of factors asked for, so that thousands of domains do not drown the groups, and the chance that a filter without any
    bias is flagged anywhere stays below ``alpha``.
    """
    rows: list[Row] = []
    for step, reason, reached, removed, rivals in outcomes_of(facts):
        tell(f"{step} {reason}: {len(reached):,} documents came to it, {int(removed.sum()):,} removed")
        rows += _Outcome(facts, options, step, reason, reached, removed, rivals).rows()
    return corrected(rows, options)


def corrected(rows: Sequence[Row], options: Options) -> list[Row]:
    """The rows with ``p_adjusted``."""
    found = list(rows)
    factors = len(dict.fromkeys(options.by))
    for factor in FACTORS:
        places = [place for place, row in enumerate(found) if row.factor == factor and row.scored]
        values = holm([found[place].risk.p_value for place in places])  # type: ignore[union-attr]
        for place, value in zip(places, values, strict=True):
            found[place] = replace(found[place], p_adjusted=min(1.0, float(value) * factors))
    return found


class _Comparisons:
    """Comparisons of some documents, once with and once without those that the step removed for another reason.

    Which reason a filter looks for first is not on record. Documents gone for an earlier one never came to this one: to
    count them would acquit this reason, or make it favour their group. Documents gone for a later one had passed this
    one: to leave them out would blame it. Hence the comparison that is less sure counts.
    """

    def __init__(self, removed_N: Array, strata_N: Array, domain_N: Array, unit_N: Array, rivals_N: Array) -> None:
        self._all = Comparison(removed_N, strata_N, domain_N, unit_N)
        self._rest: Comparison | None = None
        if rivals_N.any():
            rest = np.flatnonzero(~rivals_N)
            self._place_N = np.full(len(removed_N), -1, dtype=np.int64)
            self._place_N[rest] = np.arange(len(rest))
            self._rest = Comparison(removed_N[rest], strata_N[rest], domain_N[rest], unit_N[rest])

    def risk(self, exposed_E: Array, alpha: float) -> Risk:
        """Compare the exposed documents (indexes) with all others. Counts and rates are of all."""
        risk = self._all.risk(exposed_E, alpha)
        if self._rest is None or math.isnan(risk.p_value):
            return risk
        left = self._place_N[exposed_E]
        left = left[left >= 0]
        nan = math.nan
        if not len(left):
            return replace(risk, ratio=nan, low=nan, high=nan, method="", p_value=nan, mde=nan)
        other = self._rest.risk(left, alpha)
        if math.isnan(other.p_value) or other.p_value > risk.p_value:
            names = ("ratio", "low", "high", "method", "p_value", "mde")
            return replace(risk, **{name: getattr(other, name) for name in names})
        return risk


class _Outcome:
    """The comparisons of one step or reason."""

    def __init__(
        self, facts: Facts, options: Options, step: str, reason: str, reached: Array, removed: Array, rivals: Array
    ) -> None:
        self.facts, self.options, self.step, self.reason = facts, options, step, reason
        self.reached, self.removed, self.rivals = reached, removed, rivals
        self.language_N = facts.language_N[reached]
        self.where = np.full(len(facts), -1, dtype=np.int64)
        """Document -> its place among those that came to the step."""
        self.where[reached] = np.arange(len(reached))
        self.strata_N = np.zeros(len(reached), dtype=np.int64)
        self.by_length: dict[int, str] = {}
        """Languages in which length decides alone -> the measure."""
        first = 0
        for language in np.unique(self.language_N):
            here = np.flatnonzero(self.language_N == language)
            found = self._match(here)
            self.strata_N[here] = found.strata_N + first
            first += int(found.strata_N.max()) + 1
            if found.decisive:
                self.by_length[int(language)] = found.measure

    def _match(self, here: Array) -> Any:
        lengths = {name: values[self.reached[here]] for name, values in self.facts.lengths.items()}
        return match_length(self.removed[here], lengths, self.step, self.reason)

    def rows(self) -> Iterator[Row]:
        """All comparisons asked for."""
        for factor in dict.fromkeys(self.options.by):
            yield from getattr(self, f"_by_{factor}")()

    def _comparison(self, here: Array, strata_N: Array, clustered: bool = True) -> _Comparisons:
        domain_N = self.facts.domain_N[self.reached[here]] if clustered else np.full(len(here), -1)
        unit_N = self.facts.unit_N[self.reached[here]]
        return _Comparisons(self.removed[here], strata_N, domain_N, unit_N, self.rivals[here])

    def _row(
        self, factor: str, language: str | None, name: str, comparison: _Comparisons, place_N: Array, here: Array,
        measure: str | None = None,
    ) -> Row:  # fmt: skip
        """Compare documents at ``place_N`` (indexes into ``here``) with the rest of ``here``."""
        row = Row(factor, self.step, self.reason, language, name, len(place_N))
        least = self.options.min_group
        if len(place_N) < least:
            return replace(row, why=f"{len(place_N)} documents, fewer than --min-group {least}")
        if len(place_N) > len(here) - least:
            return replace(row, why=f"only {len(here) - len(place_N)} other documents to compare with")
        risk = comparison.risk(place_N, self.options.alpha)
        why = None
        if math.isnan(risk.p_value):
            why = "nothing alike to compare with: length, site or another reason of the step leaves no two fates"
            if measure:
                why = f"length alone decides ({measure}): no two documents of like length had different fates"
        elif risk.p_independent < _STRIKING <= risk.p_value:
            why = f"few sites: p would be {risk.p_independent:.1g} if documents of one site were independent"
        return replace(row, risk=risk, why=why)

    def _exposed(self, name: str, here: Array) -> Array:
        """Places in ``here`` of the documents that mention a name."""
        place = np.full(len(self.reached), -1, dtype=np.int64)
        place[here] = np.arange(len(here))
        found = self.where[self.facts.mentions[name]]
        found = place[found[found >= 0]]
        return found[found >= 0]

    def _by_group(self) -> Iterator[Row]:
        names = [name for name in self.facts.names if name.partition(":")[0] in DIMENSIONS]
        listed = [
            (number, language) for number, language in enumerate(self.facts.languages) if identity_terms(language)
        ]
        scored: dict[str, int] = {}
        for number, language in listed:
            here = np.flatnonzero(self.language_N == number)
            if not len(here):
                continue
            comparison = self._comparison(here, self.strata_N[here])
            for name in names:
                found = self._exposed(name, here)
                if len(found):
                    scored[name] = scored.get(name, 0) + (len(found) >= self.options.min_group)
                    yield self._row("group", language, name, comparison, found, here, self.by_length.get(number))
        here = np.flatnonzero(np.isin(self.language_N, [number for number, _ in listed]))
        several = [name for name, languages in scored.items() if languages > 1]
        if several:
            comparison = self._comparison(here, self.strata_N[here])
            for name in several:
                yield self._row("group", None, name, comparison, self._exposed(name, here), here)

    def _by_dialect(self) -> Iterator[Row]:
        names = [name for name in self.facts.names if name.startswith("dialect:")]
        for number, language in enumerate(self.facts.languages):
            here = np.flatnonzero(self.language_N == number)
            comparison = None
            for name in names:
                found = self._exposed(name, here)
                if len(found):
                    comparison = comparison or self._comparison(here, self.strata_N[here])
                    yield self._row("dialect", language, name, comparison, found, here, self.by_length.get(number))

    def _by_language(self) -> Iterator[Row]:
        here = np.arange(len(self.reached))
        if len(np.unique(self.language_N)) < 2:
            return
        comparison = self._comparison(here, self._match(here).strata_N)
        for number, language in enumerate(self.facts.languages):
            found = np.flatnonzero(self.language_N == number)
            if len(found):
                yield self._row("language", None, language, comparison, found, here)

    def _by_domain(self) -> Iterator[Row]:
        domain_N = self.facts.domain_N[self.reached]
        size = np.bincount(domain_N[domain_N >= 0], minlength=len(self.facts.domains))
        large = np.flatnonzero(size >= self.options.min_group)
        large = large[np.argsort(-size[large], kind="stable")][:MOST_DOMAINS]
        here = np.arange(len(self.reached))
        comparison = self._comparison(here, self.strata_N, clustered=False) if len(large) else None
        for number in large.tolist():
            assert comparison is not None
            found = np.flatnonzero(domain_N == number)
            yield self._row("domain", None, self.facts.domains[number], comparison, found, here)

    def _by_length(self) -> Iterator[Row]:
        words_N = self.facts.lengths["words"][self.reached]
        for number, language in enumerate(self.facts.languages):
            here = np.flatnonzero(self.language_N == number)
            if len(here) < LENGTH_BANDS * self.options.min_group:
                continue
            comparison = self._comparison(here, np.zeros(len(here), dtype=np.int64))
            edges = np.unique(np.percentile(words_N[here], np.linspace(0, 100, LENGTH_BANDS + 1)[1:-1]).astype(int))
            band = np.searchsorted(edges, words_N[here], side="right")
            for which in range(len(edges) + 1):
                found = np.flatnonzero(band == which)
                if len(found):
                    values = words_N[here[found]]
                    name = f"{values.min():,} to {values.max():,} words"
                    yield self._row("length", language, name, comparison, found, here)


@dataclass(frozen=True, slots=True)
class Gap:
    """The group of a dimension that loses the largest share to a step, and the one that loses the smallest."""

    step: str
    reason: str
    language: str | None
    dimension: str
    worst: Row
    best: Row

    @property
    def value(self) -> float:
        """Difference of the two rates."""
        assert self.worst.risk is not None
        assert self.best.risk is not None
        return self.worst.risk.rate - self.best.risk.rate


def gaps(rows: Sequence[Row]) -> list[Gap]:
    """Worst group and gap of each dimension, by step, reason and language; dimensions with two scored groups."""
    sides: dict[tuple[str, str, str | None, str], list[Row]] = {}
    for row in rows:
        if row.factor == "group" and row.risk is not None:
            sides.setdefault((row.step, row.reason, row.language, row.name.partition(":")[0]), []).append(row)
    found = []
    for key, group in sides.items():
        if len(group) > 1:
            ranked = sorted(group, key=lambda row: row.risk.rate)  # type: ignore[union-attr]
            found.append(Gap(*key, worst=ranked[-1], best=ranked[0]))
    return found
