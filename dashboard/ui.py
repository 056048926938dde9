"""What pages are drawn with: questions to the catalog, safe text, tables, charts.

Nearly every word in a workspace comes from strangers: URIs, details, reasons. Such text goes to the browser
through this module alone, which uses no element that knows Markdown (it would fetch remote images).
"""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import altair as alt
import duckdb
import streamlit as st

from curation.catalog import open_catalog, rows
from curation.errors import UserError
from curation.records import Workspace

Rows = list[dict[str, Any]]

FRESH_SECONDS = 5
"""For how long an answer of the catalog is shown again to whoever asks the same."""

LONGEST = 300
"""Characters of a stranger's text that a cell or line shows."""

KIND_COLORS = {"raw": "#7f8c9b", "kept": "#2a9d8f", "rejected": "#e08a3c", "quarantined": "#b5498a"}
"""Colours that colour-blind readers can tell apart, on white and on black; labels say the same."""


@st.cache_data(ttl=FRESH_SECONDS, max_entries=200, show_spinner=False)
def _answers(root: str, queries: Mapping[str, str], parameters: Sequence[Any]) -> dict[str, Rows]:
    with open_catalog(Workspace(root)) as connection:
        return {name: rows(connection, sql, parameters) for name, sql in queries.items()}


def ask(workspace: Workspace, queries: Mapping[str, str], parameters: Sequence[Any] = ()) -> dict[str, Rows]:
    """Answer queries (name -> SQL, all with the same parameters) from one state of the catalog.

    Where the catalog cannot be read, the page says so and ends here; the next rerun asks again.
    """
    try:
        return _answers(str(workspace.root), queries, parameters)
    except (UserError, duckdb.Error, OSError, ValueError) as error:
        trouble("The catalog cannot be read at the moment. The records are not affected.", str(error))


def trouble(what: str, detail: str) -> NoReturn:
    """Say what is wrong (in words of ours) and the details (in anybody's), and end the page."""
    st.warning(what)
    st.code(plain(detail, 2000), language=None, wrap_lines=True)
    st.button("Try again")
    st.stop()


def plain(text: str, longest: int = LONGEST) -> str:
    """Text without effects: cut, and with control and direction characters written as escapes."""
    shown = text if len(text) <= longest else text[: longest - 1] + "…"
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in shown)


def line(text: str) -> None:
    """A line of anybody's text."""
    st.text(plain(text))


def empty(text: str) -> None:
    """An empty state, in words of ours; the command that fills it follows."""
    st.info(text)


def command(*words: str) -> None:
    """A command to copy."""
    st.code(shlex.join(words), language=None, wrap_lines=True)


def table(found: Rows, columns: Mapping[str, Any], about: str, whole: bool = False) -> None:
    """A table of the given columns (name -> ``st.column_config`` column).

    Args:
        about: what it holds, for those who do not see it.
        whole: show all rows at once; otherwise a long table scrolls.
    """
    shown = [
        {name: plain(row[name]) if isinstance(row[name], str) else row[name] for name in columns} for row in found
    ]
    st.dataframe(
        shown,
        column_config=dict(columns),
        column_order=list(columns),
        hide_index=True,
        height="content" if whole else "auto",
        alt=about,
    )


def number(label: str, form: str = "localized") -> Any:
    """A column of numbers; ``form`` is a format of ``st.column_config.NumberColumn``."""
    return st.column_config.NumberColumn(label, format=form)


def text(label: str, width: Any = None) -> Any:
    """A column of plain text."""
    return st.column_config.TextColumn(label, width=width)


def time(label: str) -> Any:
    """A column of times, which the catalog holds in UTC."""
    return st.column_config.DatetimeColumn(f"{label} (UTC)", format="YYYY-MM-DD HH:mm:ss")


def waterfall_chart(steps: Rows, about: str) -> None:
    """Floating bars, one for each step: ``label``, ``kind``, ``documents``, and from ``low`` to ``high``."""
    values = [{**step, "label": plain(step["label"], 60)} for step in steps]
    top = max([1, *(step["high"] for step in values)])
    bars = alt.Chart(alt.Data(values=values)).encode(
        y=alt.Y("label:N", sort=None, title=None, axis=alt.Axis(labelLimit=170)),
        tooltip=[alt.Tooltip("label:N", title="step"), alt.Tooltip("documents:Q", title="records", format=",")],
    )
    marks = bars.mark_bar().encode(
        # Room on the right for the number of the longest bar.
        x=alt.X("low:Q", title="records", scale=alt.Scale(domain=[0, 1.2 * top], nice=False)),
        x2="high:Q",
        color=alt.Color(
            "kind:N",
            title=None,
            scale=alt.Scale(domain=list(KIND_COLORS), range=list(KIND_COLORS.values())),
            legend=alt.Legend(orient="bottom"),
        ),
    )
    numbers = bars.mark_text(align="left", dx=4).encode(x="high:Q", text=alt.Text("documents:Q", format=","))
    chart = (marks + numbers).properties(height=alt.Step(26))
    st.altair_chart(chart, width="stretch", alt=about)
