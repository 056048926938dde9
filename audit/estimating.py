"""How long an audit would take on this machine, and what its samples could show."""

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from audit.auditing import Planned
from audit.estimates import Metric
from audit.figures import number
from audit.show import json_lines, table

if TYPE_CHECKING:
    from audit.model import Model

_TRIED = 48
"""Cases that are run to tell the speed."""


def print_estimate(model: "Model", planned: Sequence[Planned], form: str) -> None:
    """A line for each probe: cases, tokens, seconds, and for shares the least difference that they would show."""
    rows, total = [], 0.0
    for each in planned:
        if each.missing is not None or not each.cases:
            rows.append({"probe": each.probe.name, "items": "-", "says": each.missing or "no items"})
            continue
        tokens = each.probe.tokens(model, each.cases)
        seconds = _seconds(model, each, tokens)
        total += seconds
        units = len({case.unit for case in each.cases})
        rows.append(
            {
                "probe": each.probe.name,
                "items": f"{len(each.cases):,} of {each.available:,}",
                "independent": f"{units:,}",
                "tokens": f"{tokens:,}",
                "seconds": f"{seconds:,.0f}",
                "says": _detectable(each.probe.metrics, units),
            }
        )
    names = list(dict.fromkeys(name for row in rows for name in row))
    rows = [{name: row.get(name, "-") for name in names} for row in rows]
    if form == "json":
        json_lines(rows)
        return
    table(rows)
    print(f"in all about {total / 60:,.1f} minutes on {model.device}")
    print("\nnext: the same command without --estimate")


def _seconds(model: "Model", planned: Planned, tokens: int) -> float:
    """Time of all cases, from that of a few that are spread over the data; the first ones warm up."""
    step = max(1, len(planned.cases) // _TRIED)
    tried = list(planned.cases[::step])[:_TRIED]
    planned.probe.run(model, tried[:4])
    began = time.perf_counter()
    planned.probe.run(model, tried)
    return (time.perf_counter() - began) * tokens / max(1, planned.probe.tokens(model, tried))


def _detectable(metrics: Sequence[Metric], units: int) -> str:
    """What a first share with an ideal would show, were items of one unit alike."""
    from curation.statistics import detectable_difference

    shares = [metric for metric in metrics if metric.scale == "share" and metric.ideal and 0 < metric.ideal < 1]
    if not shares or not units:
        return "depends on how items differ"
    metric = shares[0]
    least = detectable_difference(units, 10**9, float(metric.ideal or 0.5))
    return f"{metric.name}: {number(least, 'share') if math.isfinite(least) else '-'} from {metric.ideal:g} or more"
