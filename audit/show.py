"""Results of audits on a terminal, or as JSON; text out of crawls is escaped."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from curation.alarms import printable
from curation.catalog.__main__ import print_rows


def table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows as an aligned table."""
    if rows:
        print_rows(list(rows[0]), [tuple(_escaped(value) for value in row.values()) for row in rows], "table")


def json_lines(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print one JSON object a line; all that is not ASCII is escaped, NaN is null."""
    for row in rows:
        print(json.dumps({name: _plain(value) for name, value in row.items()}, ensure_ascii=True))


def _escaped(value: Any) -> Any:
    return printable(value) if isinstance(value, str) else value


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def unlisted(documents: Mapping[str, int]) -> None:
    """Say for which languages groups cannot be looked for (language -> documents)."""
    if documents:
        listed = ", ".join(f"{language} {count:,}" for language, count in sorted(documents.items()))
        print(f"not applied, for want of a list of terms (curation/terms): groups in {printable(listed)} documents")


def percent(share: float) -> str:
    """``12.3 %``."""
    return "-" if math.isnan(share) else f"{100 * share:.1f} %"


def ratio(value: float) -> str:
    """Three figures, ``>1000`` and ``<.001`` at the ends."""
    if math.isnan(value):
        return "-"
    if value > 1000:
        return ">1000"
    return "<.001" if value < 0.001 else f"{value:.3g}"


def p(value: float) -> str:
    """A p-value."""
    if math.isnan(value):
        return "-"
    return "<1e-9" if value < 1e-9 else f"{value:.2g}"
