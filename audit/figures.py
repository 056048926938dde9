"""All figures of a probe out of its items: overall, by language and group, with worst group and gap; and what they say.

Group figures are corrected together (Holm), the worst group's interval is as wide as if any group could have been it,
and a gap is one of all pairs of groups: picking extremes out of noise is no finding.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from audit.estimates import CONFIDENCE, Figure, Metric, about, difference, figure, gap
from audit.probes.base import Probe
from audit.results import Items
from curation.findings import Findings
from curation.findings import Metric as Meaning
from curation.findings import Probe as Maker
from curation.statistics import holm

FEWEST_UNITS = 10
"""Fewer are too few to say anything, whatever they say."""


@dataclass(frozen=True, slots=True)
class Found:
    """A figure of a probe."""

    metric: Metric
    name: str
    """Of the metric, or ``<metric>.worst``, ``<metric>.gap``."""
    figure: Figure
    language: str | None = None
    group: str | None = None
    """``dimension:label``; of a gap the dimension."""
    items: int = 0
    p_adjusted: float = math.nan
    why: str | None = None

    @property
    def scored(self) -> bool:
        """Whether there is a figure."""
        return math.isfinite(self.figure.value)

    @property
    def ideal(self) -> float | None:
        """What it would be without bias."""
        return 0.0 if self.name.endswith(".gap") else self.metric.ideal


def figures(probe: Probe, items: Items) -> list[Found]:
    """Figures of a probe, overall ones first."""
    found: list[Found] = []
    everything = np.ones(len(items), dtype=bool)
    languages = sorted(set(items.languages_N))
    several = len(languages) > 1
    for metric in probe.metrics:
        if metric.against_rest:
            continue
        found.append(_found(metric, items, everything, None if several else languages[0] if languages else None))
        for language in languages if several else ():
            found.append(_found(metric, items, np.array([each == language for each in items.languages_N]), language))
    for metric in probe.metrics:
        if metric.by_group:
            found += _by_group(metric, items, languages)
    return found


def _found(
    metric: Metric,
    items: Items,
    chosen_N: np.ndarray,
    language: str | None,
    group: str | None = None,
    rest_N: np.ndarray | None = None,
) -> Found:
    table = about(metric, items.table(chosen_N))
    if not len(table):
        said = next(
            (each for each, here in zip(items.whys_N, chosen_N, strict=True) if each and here), "there is no item"
        )
        return Found(metric, metric.name, figure(metric, table), language, group, 0, why=f"nothing was scored: {said}")
    made = _figure(metric, items, chosen_N, rest_N)
    why: str | None
    if not math.isfinite(made.value):
        why = "the items of this sample do not define it"
    else:
        why = _too_small(made, metric.ideal, metric.relevant)
    notes = [why] if why else []
    missing = int((chosen_N & ~items.scored_N).sum())
    if missing and group is None:
        notes.append(f"{missing:,} items not scored")
    for name, marked in (("near-ties", items.near_tie_N), ("contaminated", items.contaminated_N)):
        count = int((marked & chosen_N & _about(metric, items)).sum())
        if count and group is None:
            notes.append(f"{count:,} of {len(table):,} items are {name}")
    return Found(metric, metric.name, made, language, group, len(table), why="; ".join(notes) or None)


def _about(metric: Metric, items: Items) -> Any:
    """Which items were scored and are what a metric is about."""
    return items.scored_N if metric.among is None else items.scored_N & (items.measures[metric.among] == 1)


def _figure(
    metric: Metric, items: Items, chosen_N: np.ndarray, rest_N: np.ndarray | None, confidence: float = CONFIDENCE
) -> Figure:
    if rest_N is None:
        return figure(metric, items.table(chosen_N), confidence)
    return difference(metric, items.table(chosen_N), items.table(rest_N), confidence)


def _too_small(made: Figure, ideal: float | None, relevant: float) -> str | None:
    """Why a figure says nothing; None where it says something."""
    if made.n < FEWEST_UNITS:
        return f"too small to say: {made.n} independent {'item' if made.n == 1 else 'items'}"
    if ideal is not None and made.low <= ideal <= made.high and made.mde > relevant:
        return f"too small to say: would have shown a distance of {made.mde:.2g} from {ideal:g}, none smaller"
    return None


def _by_group(metric: Metric, items: Items, languages: Sequence[str]) -> Iterator[Found]:
    dimensions = sorted({group.partition(":")[0] for groups in items.groups_N for group in groups})
    if items.contaminated_N.any():
        dimensions.append("contaminated")
    for language in languages:
        here_N = np.array([each == language for each in items.languages_N], dtype=bool)
        for dimension in dimensions:
            yield from _dimension(metric, items, here_N, language, dimension)


def _dimension(metric: Metric, items: Items, here_N: np.ndarray, language: str, dimension: str) -> Iterator[Found]:
    members: dict[str, np.ndarray] = {}
    if dimension == "contaminated":
        for label, marked in (("no", ~items.contaminated_N), ("yes", items.contaminated_N)):
            members[f"contaminated:{label}"] = marked & here_N
    else:
        for place, groups in enumerate(items.groups_N):
            for group in groups:
                if here_N[place] and group.partition(":")[0] == dimension:
                    members.setdefault(group, np.zeros(len(items), dtype=bool))[place] = True
    if metric.among is not None:
        about_N = _about(metric, items)
        members = {group: chosen for group, chosen in members.items() if (chosen & about_N).any()}
    rests: dict[str, np.ndarray] = {}
    if metric.against_rest:
        every_N = np.any(list(members.values()), axis=0)
        rests = {group: every_N & ~chosen for group, chosen in members.items()}
    rows = [
        _found(metric, items, chosen, language, group, rests.get(group)) for group, chosen in sorted(members.items())
    ]
    adjusted = holm([row.figure.p_value for row in rows])
    yield from (replace(row, p_adjusted=float(p)) for row, p in zip(rows, adjusted, strict=True))
    scored = [row for row in rows if row.scored and row.figure.n >= FEWEST_UNITS]
    if len(scored) < 2 or metric.kind == "quality":
        return
    if metric.ideal is not None:
        ideal = metric.ideal
        worst = max(scored, key=lambda row: abs(row.figure.value - ideal))
        label, confidence = str(worst.group), 1 - (1 - CONFIDENCE) / len(scored)
        wide = _figure(metric, items, members[label], rests.get(label), confidence)
        yield replace(
            worst,
            name=f"{metric.name}.worst",
            figure=replace(wide, method=f"{wide.method}, any of {len(scored)} groups"),
            why=_too_small(wide, ideal, metric.relevant),
        )
    if metric.against_rest:
        return
    between = gap(metric, {str(row.group): items.table(members[str(row.group)]) for row in scored})
    yield Found(
        metric, f"{metric.name}.gap", between, language, dimension, sum(row.items for row in scored),
        why=_too_small(between, 0.0, metric.relevant),
    )  # fmt: skip


# ---- on record -------------------------------------------------------------------------------------


def maker(probe: Probe) -> Maker:
    """What the catalog knows of a probe."""
    meanings = []
    for metric in probe.metrics:
        meanings.append(Meaning(metric.name, metric.unit, metric.ideal, probe.source))
        meanings.append(Meaning(f"{metric.name}.worst", metric.unit, metric.ideal, probe.source))
        meanings.append(Meaning(f"{metric.name}.gap", metric.unit, 0.0, "audit/estimates.py"))
    return Maker(probe.name, probe.version, tuple(meanings), probe.kind, probe.license)


def add_findings(findings: Findings, found: Sequence[Found], scorer: str | None) -> None:
    """Figures as findings."""
    for each in found:
        made = each.figure
        columns: dict[str, Any] = {
            "language": each.language,
            "group_name": each.group,
            "n": made.n,
            "why": each.why,
            "scorer": scorer,
        }
        if each.scored:
            columns |= {
                "ci_low": made.low,
                "ci_high": made.high,
                "ci_method": made.method,
                "mde": made.mde,
                "p_value": made.p_value,
                "p_adjusted": each.p_adjusted,
            }
        findings.add(each.name, made.value if each.scored else None, **columns)


# ---- in words --------------------------------------------------------------------------------------


def number(value: float, unit: str) -> str:
    """A value with its unit, three figures; shares in per cent."""
    if not math.isfinite(value):
        return "-"
    return f"{100 * value:.1f} %" if unit == "share" else f"{value:.3g}"


def in_words(each: Found) -> str | None:
    """An overall figure of bias as a sentence that says no more than its interval; None of others."""
    made, ideal, unit = each.figure, each.ideal, each.metric.unit
    if each.metric.kind != "bias" or ideal is None or not each.scored or not math.isfinite(made.low):
        return None
    of = f" ({each.language})" if each.language else ""
    interval = f"{number(made.value, unit)}, 95 % interval {number(made.low, unit)} to {number(made.high, unit)}"
    if made.low <= ideal <= made.high:
        seen = f"a distance of {number(made.mde, unit)} or more would have been seen four times in five"
        what = f"no preference is shown, and {seen}"
    else:
        nearest = min((made.low, made.high), key=lambda end: abs(end - ideal))
        side = "above" if made.value > ideal else "below"
        least = number(abs(nearest - ideal), unit)
        what = f"{side} the {number(ideal, unit)} of a model without preference, by {least} at least"
    return f"{each.metric.describes}{of}: {interval}; {what}."


def verdict(each: Found) -> str:
    """What the interval of an overall figure allows to say."""
    made, ideal = each.figure, each.ideal
    if not each.scored:
        return each.why or "not scored"
    if each.why and each.why.startswith("too small"):
        return each.why.partition(";")[0]
    if ideal is None or not math.isfinite(made.low):
        return ""
    if made.low <= ideal <= made.high:
        return f"no difference from {number(ideal, each.metric.unit)} shown"
    return f"{'above' if made.value > ideal else 'below'} {number(ideal, each.metric.unit)}"
