"""Overview: what exists in the workspace, and what needs a look?"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import streamlit as st

from curation.accounts import STEP_ORDER
from curation.records import Workspace
from curation.sources.record import QUARANTINED
from dashboard import ui

TITLE = "Overview"
ORDER = 0

MOST_NOTICES = 10
MOST_EXAMPLES = 500

# Kept documents count as the run wrote them; a take-down removes some later, and has its own table.
_EVERYTHING = {
    "runs": """
        WITH f AS (SELECT run_id, sum(records)::BIGINT AS raw,
                     count(DISTINCT raw_file_id) FILTER (damaged) AS damaged FROM raw_file GROUP BY run_id),
             k AS (SELECT run_id, sum(documents)::BIGINT AS kept FROM shard_all
                   WHERE shard_kind = 'kept' AND replaces IS NULL GROUP BY run_id),
             q AS (SELECT run_id, count(*) AS quarantined FROM quarantine GROUP BY run_id)
        SELECT r.run_id, r.kind, coalesce(r.status, 'not started') AS status, r.started_at, r.finished_at,
            left(r.why, 300) AS why, f.raw, f.damaged,
            CASE WHEN f.run_id IS NOT NULL THEN coalesce(k.kept, 0) END AS kept,
            CASE WHEN f.run_id IS NOT NULL THEN coalesce(q.quarantined, 0) END AS quarantined,
            TRY_CAST(r.config ->> '$.curation.read.max_bad_share' AS DOUBLE) AS allowed
        FROM run r LEFT JOIN f USING (run_id) LEFT JOIN k USING (run_id) LEFT JOIN q USING (run_id)
        ORDER BY r.run_id DESC""",
    "datasets": """
        SELECT d.name, d.version, d.created_at, d.run_id, left(d.why, 300) AS why, count(s.shard_id) AS shards,
            coalesce(sum(s.documents), 0)::BIGINT AS documents, coalesce(sum(s.text_bytes), 0)::BIGINT AS text_bytes
        FROM dataset d LEFT JOIN dataset_shard USING (dataset_id) LEFT JOIN current_shard c USING (shard_id)
        LEFT JOIN shard s ON s.shard_id = c.current_shard_id
        GROUP BY ALL ORDER BY d.name, d.version DESC""",
    "takedowns": """
        SELECT requested_at, what, left(value, 300) AS value, left(why, 300) AS why,
            count(DISTINCT document_id) AS hidden, count(DISTINCT document_id) FILTER (on_disk) AS on_disk,
            coalesce(string_agg(DISTINCT dataset || '@' || dataset_version, ', '), '') AS datasets
        FROM takedown GROUP BY tombstone_id, ALL ORDER BY requested_at DESC""",
}

_ONE_RUN = {
    "config": "SELECT config FROM run WHERE run_id = ?",
    "rejected": """SELECT step, reason, sum(documents)::BIGINT AS documents FROM filter_count
        WHERE run_id = ? GROUP BY ALL""",
    "quarantined": """SELECT reason, count(*) AS documents, count(DISTINCT raw_file_id) AS files FROM quarantine
        WHERE run_id = ? GROUP BY ALL ORDER BY documents DESC, reason""",
    "examples": f"""SELECT q.reason, left(q.detail, 300) AS detail, left(min(f.uri), 300) AS uri, q.record_offset,
            q.record_index FROM quarantine q LEFT JOIN raw_file f USING (run_id, raw_file_id)
        WHERE q.run_id = ? GROUP BY ALL ORDER BY uri, q.record_offset, q.record_index LIMIT {MOST_EXAMPLES}""",
}


def show(workspace: Workspace) -> None:
    """Draw the page."""
    found = ui.ask(workspace, _EVERYTHING)
    st.title(TITLE)
    ui.line(f"workspace {workspace.root}")
    if not found["runs"]:
        ui.empty("No run yet. This makes one:")
        ui.command("python", "-m", "curation.run", "INPUT", "--workspace", str(workspace.root))
        return
    _notices(list(notices(found["runs"], str(workspace.root))))
    _runs(found["runs"])
    _one_run(workspace, found["runs"])
    _datasets(workspace, found["datasets"])
    _takedowns(workspace, found["takedowns"])


def notices(runs: ui.Rows, root: str) -> Iterator[tuple[str, list[str]]]:
    """What needs a look, worst first: (what it is, the command that helps)."""
    where = ["--workspace", root]
    for run in runs:
        run_id, status = run["run_id"], run["status"]
        if status in ("dead", "failed", "interrupted"):
            why = "its process is gone without having recorded an end" if status == "dead" else run["why"]
            resume = ["python", "-m", "curation.run", "--resume", run_id, *where]
            yield f"Run {run_id} is {status}: {why}. Go on with:", resume if run["kind"] == "curate" else []

    def question(columns: str, source: str) -> list[str]:
        return ["python", "-m", "curation.catalog", "sql", f"SELECT {columns} FROM {source}", *where]

    for run in runs:
        if run["damaged"]:
            source = f"raw_file WHERE damaged AND run_id = '{run['run_id']}'"
            what = f"Run {run['run_id']}: {run['damaged']:,} file(s) could not be read whole. They are:"
            yield what, question("uri, records, quarantined", source)
    for run in sorted(runs, key=lambda run: -_share(run["quarantined"], run["raw"])):
        if run["quarantined"]:
            allowed = "" if run["allowed"] is None else f"; read.max_bad_share allows {100 * run['allowed']:.1f} %"
            share = f"{100 * _share(run['quarantined'], run['raw']):.2f} %{allowed}"
            what = f"Run {run['run_id']}: {run['quarantined']:,} record(s) in quarantine ({share}). They are:"
            yield what, question("*", f"quarantine WHERE run_id = '{run['run_id']}'")


def _share(part: int | None, whole: int | None) -> float:
    return (part or 0) / whole if whole else 0.0


def _notices(found: Sequence[tuple[str, list[str]]]) -> None:
    st.header("Needs a look")
    if not found:
        st.success("Nothing: no run is dead or failed, no file is damaged, no record is in quarantine.")
    for what, words in found[:MOST_NOTICES]:
        ui.line(what)
        if words:
            ui.command(*words)
    if len(found) > MOST_NOTICES:
        st.caption(f"and {len(found) - MOST_NOTICES:,} more like these; the table of runs shows all")


def _runs(runs: ui.Rows) -> None:
    st.header("Runs")
    shown = [{**run, "share": 100 * _share(run["kept"], run["raw"]) if run["raw"] else None} for run in runs]
    columns = {
        "run_id": ui.text("run"),
        "status": ui.text("status"),
        "kind": ui.text("kind"),
        "started_at": ui.time("started"),
        "raw": ui.number("raw"),
        "kept": ui.number("kept"),
        "share": ui.number("kept, share", "%.1f %%"),
        "quarantined": ui.number("quarantined"),
        "damaged": ui.number("damaged files"),
    }
    ui.table(shown, columns, "all runs, newest first, with their status and counts")


def waterfall(raw: int, kept: int, quarantined: ui.Rows, rejected: ui.Rows, filters: Sequence[str]) -> ui.Rows:
    """Raw to kept, a row for each step and reason in the order in which they act, and what is left then."""
    order = {step: rank for rank, step in enumerate([*STEP_ORDER, *filters])}
    gone = [("quarantined", "quarantined", row) for row in sorted(quarantined, key=lambda row: row["reason"])]
    gone += [
        ("rejected", row["step"], row)
        for row in sorted(rejected, key=lambda row: (order.get(row["step"], len(order)), row["step"], row["reason"]))
    ]

    def step(kind: str, name: str, reason: str, documents: int, low: int) -> dict[str, Any]:
        label = f"{name}: {reason}" if reason else name
        bar = {"low": low, "high": low + documents, "share": 100 * _share(documents, raw)}
        return {"kind": kind, "step": name, "reason": reason, "label": label, "documents": documents, **bar}

    steps, left = [{**step("raw", "raw records", "", raw, 0), "left": raw}], raw
    for kind, name, row in gone:
        left -= row["documents"]
        steps.append({**step(kind, name, row["reason"], row["documents"], left), "left": left})
    return [*steps, {**step("kept", "kept", "", kept, 0), "left": left}]


def _one_run(workspace: Workspace, runs: ui.Rows) -> None:
    st.header("From raw to kept")
    curations = {run["run_id"]: run for run in runs if run["kind"] == "curate"}
    asked = st.query_params.get("run")
    if asked and asked not in curations:
        st.info("The address names a run that is not in this workspace.")
    newest = next(iter(curations), None)
    chosen = st.selectbox(
        "Curation run", list(curations), index=None, placeholder=f"the newest: {newest}", key="run", bind="query-params"
    )
    run = curations.get(chosen or newest)
    if run is None:
        ui.empty("No curation run yet. This makes one:")
        return ui.command("python", "-m", "curation.run", "INPUT", "--workspace", str(workspace.root))
    if run["raw"] is None:
        return ui.empty("This run has no counts yet: they are recorded when it is done.")
    found = ui.ask(workspace, _ONE_RUN, [run["run_id"]])
    filters = list(json.loads(found["config"][0]["config"]).get("curation", {}).get("filters", ()))
    steps = waterfall(run["raw"], run["kept"], found["quarantined"], found["rejected"], filters)
    kept = f"{run['kept']:,} of {run['raw']:,} records were kept ({100 * _share(run['kept'], run['raw']):.1f} %)"
    st.text(f"{kept}, {run['quarantined']:,} are in quarantine.")
    if steps[-1]["left"] != run["kept"]:
        st.error("The counts do not add up. This finds where:")
        ui.command("python", "-m", "curation.catalog", "check", "--workspace", str(workspace.root))
    beside, chart = st.columns(2)
    with beside:
        columns = {
            "step": ui.text("step"),
            "reason": ui.text("reason"),
            "documents": ui.number("records"),
            "share": ui.number("share of raw", "%.1f %%"),
            "left": ui.number("left"),
        }
        ui.table(steps, columns, "raw records, what each step removed and why, and what was kept", whole=True)
    with chart:
        ui.waterfall_chart(steps, f"Bar chart of the table beside it: {kept}.")
    _quarantine(run, found)


def _quarantine(run: dict[str, Any], found: dict[str, ui.Rows]) -> None:
    st.subheader("Quarantine by reason")
    if not found["quarantined"]:
        return st.text("Nothing: every record of this run could be processed.")
    meant = [
        {**row, "meaning": QUARANTINED.get(row["reason"], ""), "share": 100 * _share(row["documents"], run["raw"])}
        for row in found["quarantined"]
    ]
    columns = {
        "reason": ui.text("reason"),
        "documents": ui.number("records"),
        "share": ui.number("share of raw", "%.2f %%"),
        "files": ui.number("files"),
        "meaning": ui.text("meaning"),
    }
    ui.table(meant, columns, "records in quarantine by reason")
    with st.expander(f"Where they lie (the first {len(found['examples']):,})"):
        columns = {
            "reason": ui.text("reason"),
            "uri": ui.text("file"),
            "record_offset": ui.number("offset"),
            "record_index": ui.number("index"),
            "detail": ui.text("detail"),
        }
        ui.table(found["examples"], columns, "file and place of each record in quarantine")


def _datasets(workspace: Workspace, datasets: ui.Rows) -> None:
    st.header("Datasets")
    if not datasets:
        ui.empty("No dataset yet. This makes one out of a run:")
        where = ["--workspace", str(workspace.root)]
        return ui.command("python", "-m", "curation.dataset", "create", "NAME", "--run", "RUN", *where)
    columns = {
        "name": ui.text("name"),
        "version": ui.number("version"),
        "documents": ui.number("documents"),
        "text_bytes": ui.number("text", "bytes"),
        "shards": ui.number("shards"),
        "created_at": ui.time("created"),
        "run_id": ui.text("run"),
        "why": ui.text("why"),
    }
    ui.table(datasets, columns, "datasets and their versions, with sizes")


def _takedowns(workspace: Workspace, takedowns: ui.Rows) -> None:
    st.header("Take-downs")
    where = ["--workspace", str(workspace.root)]
    if not takedowns:
        ui.empty("None. This hides documents everywhere, at once:")
        return ui.command("python", "-m", "curation.dataset", "takedown", "--url", "URL", "--why", "REASON", *where)
    columns = {
        "requested_at": ui.time("requested"),
        "what": ui.text("by"),
        "value": ui.text("value"),
        "hidden": ui.number("documents hidden"),
        "on_disk": ui.number("still on disk"),
        "datasets": ui.text("datasets that held them"),
        "why": ui.text("why"),
    }
    ui.table(takedowns, columns, "requests to take documents down, newest first")
    if any(row["on_disk"] for row in takedowns):
        st.text("This removes what is still on disk:")
        ui.command("python", "-m", "curation.catalog", "gc", *where)
