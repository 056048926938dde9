"""Overview: what exists in the workspace, and what needs a look?"""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from typing import Any

import streamlit as st

from curation import summary
from curation.sources.record import QUARANTINED
from curation.workspace import Workspace
from dashboard import ui

TITLE = "Overview"
ORDER = 0
MOST_NOTICES = 10

# Kept documents count as the run wrote them; what a take-down removes later has its own table.
_WORKSPACE = {
    "runs": """
        WITH f AS (SELECT run_id, sum(records)::BIGINT AS raw,
                     count(DISTINCT raw_file_id) FILTER (damaged) AS damaged FROM raw_file GROUP BY run_id),
             k AS (SELECT run_id, sum(documents)::BIGINT AS kept FROM shard_all
                   WHERE shard_kind = 'kept' AND replaces IS NULL GROUP BY run_id),
             q AS (SELECT run_id, count(*) AS bad FROM quarantine GROUP BY run_id),
             n AS (SELECT run_id, f.raw, f.damaged AS damaged_files, coalesce(k.kept, 0) AS kept,
                     coalesce(q.bad, 0) AS quarantined FROM f LEFT JOIN k USING (run_id) LEFT JOIN q USING (run_id))
        SELECT r.run_id AS run, kind, coalesce(status, 'not started') AS status, started_at AS started,
            finished_at AS finished, n.* EXCLUDE (run_id), left(why, 300) AS why,
            100.0::DOUBLE * kept / nullif(raw, 0) AS kept_share,
            100.0::DOUBLE * quarantined / nullif(raw, 0) AS quarantined_share,
            TRY_CAST(config ->> '$.curation.read.max_bad_share' AS DOUBLE) AS max_bad_share
        FROM run r LEFT JOIN n USING (run_id) ORDER BY r.run_id DESC""",
    "datasets": """
        SELECT d.dataset_id, d.name, d.version, d.created_at AS created, d.run_id AS run,
            left(d.why, 300) AS why, count(s.shard_id) AS shards,
            coalesce(sum(s.documents), 0)::BIGINT AS documents,
            coalesce(sum(s.text_bytes), 0)::BIGINT AS text_bytes
        FROM dataset d LEFT JOIN dataset_shard USING (dataset_id) LEFT JOIN current_shard c USING (shard_id)
            LEFT JOIN shard s ON s.shard_id = c.current_shard_id
        GROUP BY ALL ORDER BY d.name, d.version DESC""",
    "takedowns": """
        SELECT tombstone_id, requested_at AS requested, what AS by, left(value, 300) AS value,
            left(why, 300) AS why, count(DISTINCT document_id) AS hidden_documents,
            count(DISTINCT document_id) FILTER (on_disk) AS still_on_disk,
            string_agg(DISTINCT dataset || '@' || dataset_version, ', ') AS datasets
        FROM takedown GROUP BY ALL ORDER BY requested DESC""",
}
_RUN = {
    "config": "SELECT config FROM run WHERE run_id = ?",
    "rejected": "SELECT step, reason, sum(documents)::BIGINT AS records FROM filter_count "
    "WHERE run_id = ? GROUP BY ALL",
    "quarantined": "SELECT reason, count(*) AS records, count(DISTINCT raw_file_id) AS files FROM quarantine "
    "WHERE run_id = ? GROUP BY ALL ORDER BY records DESC, reason",
    "examples": """
        SELECT q.reason, left(min(f.uri), 300) AS file, q.record_offset, q.record_index,
            left(q.detail, 300) AS detail
        FROM quarantine q LEFT JOIN raw_file f USING (run_id, raw_file_id) WHERE q.run_id = ?
        GROUP BY ALL ORDER BY file, q.record_offset, q.record_index LIMIT 500""",
}


def show(workspace: Workspace) -> None:
    """Draw the page."""
    found = ui.ask(workspace, _WORKSPACE)
    st.title(TITLE)
    ui.line(f"workspace {workspace.name}")
    runs, datasets, takedowns = found["runs"], found["datasets"], found["takedowns"]

    st.header("Needs a look")
    listed = list(notices(runs))
    for what, words in listed[:MOST_NOTICES]:
        ui.line(what)
        if words:
            ui.command(workspace, *words)
    if not listed:
        st.text("Nothing: no run is dead or failed, no file is damaged, no quarantine is too full.")
    elif len(listed) > MOST_NOTICES:
        st.text(f"and {len(listed) - MOST_NOTICES:,} more; the table of runs shows all")

    st.header("Runs")
    if runs:
        columns = "run status started raw kept kept_share quarantined quarantined_share damaged_files kind"
        ui.table(runs, columns, "All runs, newest first, with status and counts.")
    else:
        ui.empty("No run yet. This makes one:", workspace, "curation.run", "INPUT")
    if curations := {run["run"]: run for run in runs if run["kind"] == "curate"}:
        st.header("From raw to kept")
        _run(workspace, curations)

    st.header("Datasets")
    if datasets:
        columns = "name version documents text_bytes shards created run why"
        ui.table(datasets, columns, "Datasets and their versions, with sizes.")
    else:
        words = ("curation.dataset", "create", "NAME", "--run", "RUN")
        ui.empty("No dataset yet. This makes one out of a run:", workspace, *words)

    st.header("Take-downs")
    if takedowns:
        columns = "requested by value hidden_documents still_on_disk datasets why"
        ui.table(takedowns, columns, "Requests to take documents down, newest first.")
        if any(row["still_on_disk"] for row in takedowns):
            st.text("This removes what is still on disk:")
            ui.command(workspace, "curation.catalog", "gc")
    else:
        words = ("curation.dataset", "takedown", "--url", "URL", "--why", "REASON")
        ui.empty("None. This hides documents everywhere, at once:", workspace, *words)


def notices(runs: ui.Rows) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What needs a look, worst first: (what it is, the module and words of the command that helps)."""
    verbs = {"dead": "is dead", "failed": "failed", "interrupted": "was interrupted"}
    for run in runs:
        if verb := verbs.get(run["status"]):
            why = run["why"] or "its process is gone and recorded no end"
            words = ("curation.run", "--resume", run["run"]) if run["kind"] == "curate" else ()
            yield f"Run {run['run']} {verb}: {why}", words
    for run in runs:
        if run["damaged_files"]:
            query = f"SELECT uri FROM raw_file WHERE damaged AND run_id = '{run['run']}'"
            what = f"Run {run['run']}: {run['damaged_files']:,} file(s) could not be read whole"
            yield what, ("curation.catalog", "sql", query)
    for run in runs:
        share, allowed = run["quarantined_share"] or 0.0, 100 * (run["max_bad_share"] or 0.0)
        if share > allowed:
            query = f"SELECT * FROM quarantine WHERE run_id = '{run['run']}'"
            what = f"Run {run['run']}: {share:.3g} % of the records are in quarantine"
            yield f"{what} (read.max_bad_share allows {allowed:.3g} %)", ("curation.catalog", "sql", query)


def waterfall(raw: int, kept: int, quarantined: ui.Rows, rejected: ui.Rows, filters: Sequence[str]) -> ui.Rows:
    """Raw to kept, with what a bar chart needs: where each bar begins and ends, and its label."""
    levels = summary.waterfall(
        raw,
        kept,
        [(row["reason"], row["records"]) for row in quarantined],
        [(row["step"], row["reason"], row["records"]) for row in rejected],
        filters,
    )
    steps: ui.Rows = []
    for level in levels:
        low = level.left if level.kind in ("quarantined", "rejected") else 0
        label = f"{level.step}: {level.reason}" if level.reason else level.step
        bar = {"label": label, "low": low, "high": low + level.records, "share": 100.0 * level.records / max(raw, 1)}
        steps.append({**dataclasses.asdict(level), **bar})
    return steps


def _run(workspace: Workspace, curations: dict[str, dict[str, Any]]) -> None:
    """The chosen run's waterfall and quarantine."""
    newest = next((name for name, run in curations.items() if run["raw"] is not None), next(iter(curations)))
    if st.query_params.get("run", newest) not in curations:
        st.info("The address names a run that is not in this workspace; this is the newest one with counts.")
    hint = f"newest with counts: {newest}"
    chosen = st.selectbox("Curation run", list(curations), index=None, placeholder=hint, key="run", bind="query-params")
    run = curations[chosen or newest]
    if run["raw"] is None:
        st.info("No counts yet: they are recorded when the run is done.")
        return
    found = ui.ask(workspace, _RUN, [run["run"]])
    filters = list(json.loads(found["config"][0]["config"]).get("curation", {}).get("filters", ()))
    steps = waterfall(run["raw"], run["kept"], found["quarantined"], found["rejected"], filters)
    outcome = f"{run['kept']:,} of {run['raw']:,} records kept, {run['quarantined']:,} in quarantine"
    st.text(outcome)
    if steps[-1]["left"] != run["kept"]:
        st.error("The counts do not add up. This finds where:")
        ui.command(workspace, "curation.catalog", "check")
    beside, chart = st.columns(2)
    with beside:
        ui.table(steps, "step reason records share left", "What each step removed and why.", whole=True)
    with chart:
        ui.waterfall_chart(steps, f"Bar chart of the table beside it: {outcome}.")
    st.subheader("Quarantine by reason")
    if not found["quarantined"]:
        st.text("Nothing: every record of this run could be processed.")
        return
    for row in found["quarantined"]:
        row |= {"share": 100.0 * row["records"] / max(run["raw"], 1), "meaning": QUARANTINED.get(row["reason"], "")}
    ui.table(found["quarantined"], "reason records share files meaning", "Records in quarantine by reason.")
    with st.expander("Where they lie (the first 500)"):
        ui.table(found["examples"], "reason file record_offset record_index detail", "Records in quarantine.")
