"""What pages are drawn with: questions to the catalog, safe text, tables, charts.

Nearly every word in a workspace comes from strangers: URIs, details, reasons. Such text goes to the browser
through this module alone, which uses no element that knows Markdown (it would fetch remote images).
"""

import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

import altair as alt
import duckdb
import streamlit as st

from curation.catalog import open_catalog, rows
from curation.errors import UserError
from curation.workspace import Workspace

Rows = list[dict[str, Any]]

KINDS = {"raw": "#7f8c9b", "kept": "#2a9d8f", "rejected": "#e08a3c", "quarantined": "#b5498a"}
"""Colours that colour-blind readers can tell apart, on white and on black; the labels say the same."""

ROW_HEIGHT = 35
"""Pixels; a chart beside a table has its bars at the height of the rows."""


@st.cache_data(ttl=5, max_entries=200, show_spinner=False)
def _answers(
    _workspace: Workspace, name: str, queries: Mapping[str, str], parameters: Sequence[Any]
) -> dict[str, Rows]:
    """Remembered by name: a leading underscore keeps an argument out of the key."""
    with open_catalog(_workspace) as connection:
        return {name: rows(connection, sql, parameters) for name, sql in queries.items()}


def ask(workspace: Workspace, queries: Mapping[str, str], parameters: Sequence[Any] = ()) -> dict[str, Rows]:
    """Answer queries (name -> SQL, all with the same parameters) from one state of the catalog.

    Where the catalog cannot be read, the page says so and ends here; the next rerun asks again.
    """
    try:
        return _answers(workspace, workspace.name, queries, parameters)
    except duckdb.ProgrammingError:  # the query itself is wrong: nothing that trying again could mend
        raise
    except (UserError, duckdb.Error, OSError, ValueError) as error:
        trouble("The catalog cannot be read at the moment.", str(error))


def trouble(what: str, detail: str) -> NoReturn:
    """Say what is wrong (in words of ours), the details (in anybody's), and end the page."""
    st.warning(what)
    st.code(plain(detail, longest=2000), language=None, wrap_lines=True)
    st.button("Try again")
    st.stop()


def plain(text: str, longest: int = 300) -> str:
    """Text without effects: cut, with control and direction characters written as escapes."""
    shown = text if len(text) <= longest else text[: longest - 1] + "…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)


def line(text: str) -> None:
    """A line of anybody's text."""
    st.text(plain(text))


def command(workspace: Workspace, module: str, *words: str) -> None:
    """A command to copy."""
    words = ("python", "-m", module, *words, "--workspace", workspace.name)
    st.code(plain(" ".join(map(_quoted, words)), longest=2000), language=None, wrap_lines=True)


def _quoted(word: str) -> str:
    """A word for the shell; SQL, which has single quotes inside, stays readable in double ones."""
    return f'"{word}"' if "'" in word and not set(word) & set('"$`\\!') else shlex.quote(word)


def empty(text: str, workspace: Workspace, module: str, *words: str) -> None:
    """An empty state (in words of ours), and the command that fills it."""
    st.info(text)
    command(workspace, module, *words)


def table(found: Rows, columns: str, about: str, whole: bool = False) -> None:
    """A table of some columns, formatted by their values: a float is a percentage, a time is UTC.

    Args:
        columns: names with spaces between them; they are the headings, with spaces for underscores.
        about: what it holds, for those who do not see it.
        whole: show all rows at once; otherwise a long table scrolls.
    """
    names = columns.split()
    shown = [{n: plain(row[n]) if isinstance(row[n], str) else row[n] for n in names} for row in found]
    config = {name: _column(name, [row[name] for row in shown]) for name in names}
    st.dataframe(
        shown,
        column_config=config,
        column_order=names,
        hide_index=True,
        height="content" if whole else "auto",
        row_height=ROW_HEIGHT,
        placeholder="",
        alt=about,
    )


def _column(name: str, values: Sequence[Any]) -> Any:
    label = name.replace("_", " ")
    match next((value for value in values if value is not None), ""):
        case datetime():
            return st.column_config.DatetimeColumn(f"{label} (UTC)", format="YYYY-MM-DD HH:mm:ss")
        case float():
            return st.column_config.NumberColumn(label, format="%.3g %%")
        case int():
            form = "bytes" if name.endswith("bytes") else "localized"
            return st.column_config.NumberColumn(label, format=form)
        case _:
            return st.column_config.TextColumn(label)


def waterfall_chart(steps: Rows, about: str) -> None:
    """Floating bars, one for each step: ``label``, ``kind``, ``records``, drawn from ``low`` to ``high``."""
    values = [{**step, "label": plain(step["label"], longest=60)} for step in steps]
    room = 1.3 * max([1, *(step["high"] for step in values)])  # on the right, for the longest bar's number
    ink = "#fafafa" if st.context.theme.type == "dark" else "#31333f"  # text marks do not follow the theme
    colors = alt.Scale(domain=list(KINDS), range=list(KINDS.values()))
    chart = alt.Chart({"values": values}).encode(
        y=alt.Y("label:N", sort=None, title=None, axis=alt.Axis(labelLimit=190))
    )
    bars = chart.mark_bar(height=18).encode(
        x=alt.X(
            "low:Q",
            title="records",
            scale=alt.Scale(domain=[0, room], nice=False),
            axis=alt.Axis(labelExpr="format(datum.value, '~s')", tickCount=4),
        ),
        x2="high:Q",
        color=alt.Color("kind:N", title=None, scale=colors, legend=alt.Legend(orient="bottom", columns=2)),
        tooltip=["label:N", alt.Tooltip("records:Q", format=",")],
    )
    numbers = chart.mark_text(align="left", dx=4, color=ink).encode(x="high:Q", text=alt.Text("records:Q", format=","))
    layers = (bars + numbers).properties(height=alt.Step(ROW_HEIGHT), padding={"top": ROW_HEIGHT})
    st.altair_chart(layers, width="stretch", alt=about)
