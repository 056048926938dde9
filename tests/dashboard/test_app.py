"""The dashboard shows what the workspace holds: each test writes records and reads the page."""

import dataclasses
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("streamlit", reason="the dashboard's packages are missing: pip install -e '.[dashboard]'")

import streamlit as st
from streamlit.testing.v1 import AppTest

from curation import processes
from curation.records import (
    Dataset,
    DatasetShard,
    FilterCount,
    Quarantine,
    RawFile,
    Run,
    RunEnd,
    Shard,
    Tombstone,
    TombstoneHit,
)
from curation.workspace import Workspace
from dashboard import views
from dashboard.ui import plain
from dashboard.views.overview import waterfall

APP = str(Path(__file__).resolve().parents[2] / "dashboard" / "app.py")
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HOSTILE = "![x](http://evil.example/p.png) <script>alert(1)</script> :red[x] $x$ [l](javascript:x) \u202egpj \x1b[31m"

Show = Callable[..., AppTest]


@pytest.fixture
def show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Show:
    """Draws the page for the workspace, or for other words on the command line."""

    def draw(*words: str, query: dict[str, str] | None = None) -> AppTest:
        st.cache_data.clear()
        monkeypatch.setattr(sys, "argv", [APP, *(words or ("--workspace", str(tmp_path / "w")))])
        app = AppTest.from_file(APP, default_timeout=30)
        for name, value in (query or {}).items():
            app.query_params[name] = value
        return app.run()

    return draw


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "w")


def a_run(run_id: str, kind: str = "curate") -> Run:
    config = {"curation": {"filters": {"second": {}, "first": {}}, "read": {"max_bad_share": 0.01}}}
    return Run(
        run_id=run_id,
        run_kind=kind,
        config=json.dumps(config),
        config_hash="0",
        versions="{}",
        created_at=AT,
    )


def write_done(workspace: Workspace, run_id: str = "R1", uri: str = "crawl.warc.gz", detail: str = "ends") -> None:
    """A finished run: 100 records, of which 60 are kept, 38 rejected and 2 in quarantine."""
    file: dict[str, Any] = {"run_id": run_id, "compression": "gzip", "format": "warc"}
    shard: dict[str, Any] = {"run_id": run_id, "sha256": "0", "language": "eng_Latn", "bytes": 10}
    count: dict[str, Any] = {"run_id": run_id, "bytes": 1}
    bad: dict[str, Any] = {"run_id": run_id, "raw_file_id": "f1", "record_index": 0}
    workspace.write(
        [
            a_run(run_id),
            dataclasses.replace(processes.this_process(run_id, 1), pid=2**22 + 1),
            RunEnd(run_id=run_id, attempt=1, status="done", exit_code=0, finished_at=AT),
            RawFile(raw_file_id="f1", uri=uri, bytes=99, records=70, quarantined=2, damaged=True, **file),
            RawFile(raw_file_id="f2", uri="b.warc.gz", bytes=9, records=30, **file),
            Shard(shard_id=f"{run_id}/k", path="k", shard_kind="kept", documents=60, text_bytes=2_000_000, **shard),
            Shard(shard_id=f"{run_id}/r", path="r", shard_kind="rejected", documents=8, text_bytes=1, **shard),
            FilterCount(step="read", reason="redirect", language="und", documents=30, stored=False, **count),
            FilterCount(step="first", reason="late", language="eng_Latn", documents=1, **count),
            FilterCount(step="second", reason="early", language="eng_Latn", documents=3, **count),
            FilterCount(step="second", reason="early", language="deu_Latn", documents=4, **count),
            Quarantine(record_offset=5, reason="truncated", detail=detail, **bad),
            Quarantine(record_offset=9, reason="damaged", detail=detail, **bad),
        ],
        name=run_id,
    )


def texts(app: AppTest) -> str:
    """All text outside tables, that of a failure included."""
    assert not app.exception
    kinds = (app.title, app.header, app.subheader, app.text, app.code, app.info, app.warning, app.error)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def table(app: AppTest, column: str) -> list[dict[str, Any]]:
    """The rows of the first table that has a column of this name."""
    frame = next(each.value for each in app.dataframe if column in each.value.columns)
    return [dict(zip(frame.columns, values, strict=True)) for values in frame.itertuples(index=False)]


def test_no_workspace_says_which_command_makes_one_and_makes_none(show: Show, workspace: Workspace) -> None:
    app = show()
    assert "There is no workspace here yet" in texts(app)
    assert f"python -m curation.run INPUT --workspace {workspace.root}" in texts(app)
    assert not workspace.root.exists()
    write_done(workspace)
    assert table(app.run(), "status")[0]["run"] == "R1"


def test_a_wrong_option_is_named(show: Show) -> None:
    assert "--worksapce" in texts(show("--worksapce", "x"))


def test_a_workspace_without_runs_says_what_fills_it(show: Show, workspace: Workspace) -> None:
    workspace.write([Tombstone(tombstone_id="T", what="url", value="http://x/", why="asked", requested_at=AT)])
    shown = texts(show())
    assert "python -m curation.run INPUT" in shown
    assert "python -m curation.dataset create NAME --run RUN" in shown
    assert "Nothing: no run is dead" in shown


def test_counts_are_those_of_the_records(show: Show, workspace: Workspace) -> None:
    write_done(workspace)
    app = show()
    (run,) = table(app, "status")
    assert (run["status"], run["raw"], run["kept"], run["quarantined"]) == ("done", 100, 60, 2)
    assert run["damaged_files"] == 1
    assert run["kept_share"] == pytest.approx(60.0)
    steps = [(row["step"], row["reason"], row["records"], row["left"]) for row in table(app, "step")]
    assert steps == [
        ("raw records", "", 100, 100),
        ("quarantined", "damaged", 1, 99),
        ("quarantined", "truncated", 1, 98),
        ("read", "redirect", 30, 68),
        ("second", "early", 7, 61),
        ("first", "late", 1, 60),
        ("kept", "", 60, 60),
    ]
    reasons = {row["reason"]: row for row in table(app, "meaning")}
    assert reasons["truncated"]["records"] == 1
    assert reasons["truncated"]["meaning"] == "the file ends inside a record"
    assert "do not add up" not in texts(app)
    assert "60 of 100 records kept" in texts(app)


def test_a_changed_number_changes_on_the_page(show: Show, workspace: Workspace) -> None:
    write_done(workspace)
    show()
    workspace.write([FilterCount(run_id="R1", step="new", reason="x", language="und", documents=5, bytes=1)])
    app = show()
    assert table(app, "step")[-2]["records"] == 5
    assert "The counts do not add up" in texts(app)


def test_the_run_in_the_address_is_shown(show: Show, workspace: Workspace) -> None:
    write_done(workspace, "R1")
    write_done(workspace, "R2")
    workspace.write([FilterCount(run_id="R1", step="mark", reason="x", language="und", documents=5, bytes=1)])
    assert "mark" not in {row["step"] for row in table(show(), "step")}
    app = show(query={"run": "R1"})
    assert "mark" in {row["step"] for row in table(app, "step")}
    app.selectbox(key="run").set_value("R2").run()
    assert "mark" not in {row["step"] for row in table(app, "step")}
    assert "not in this workspace" in texts(show(query={"run": "gone"}))


def test_what_needs_a_look(show: Show, workspace: Workspace) -> None:
    write_done(workspace)
    here = processes.this_process("dead", 1)
    failed = RunEnd(run_id="bad", attempt=1, status="failed", exit_code=2, why="disk full", finished_at=AT)
    workspace.write([a_run("dead"), dataclasses.replace(here, pid=2**22 + 1)])
    workspace.write([a_run("bad"), dataclasses.replace(here, run_id="bad"), failed])
    workspace.write([a_run("now"), dataclasses.replace(here, run_id="now")])
    app = show(query={"run": "now"})
    shown = texts(app)
    assert f"python -m curation.run --resume dead --workspace {workspace.root}" in shown
    assert "Run bad failed: disk full" in shown
    assert "1 file(s) could not be read whole" in shown
    assert "2 % of the records are in quarantine (read.max_bad_share allows 1 %)" in shown
    assert "Run now" not in shown
    assert "No counts yet" in shown
    assert "60 of 100 records kept" in texts(show())
    assert {row["run"]: row["status"] for row in table(app, "status")}["now"] == "running"


def test_datasets_and_take_downs(show: Show, workspace: Workspace) -> None:
    write_done(workspace)
    hit = TombstoneHit(
        tombstone_id="T", document_id="d", shard_id="R1/k", raw_file_id="f1", record_offset=0, record_index=0
    )
    workspace.write(
        [
            Dataset(dataset_id="D", name="news", version=3, run_id="R1", created_at=AT),
            DatasetShard(dataset_id="D", shard_id="R1/k"),
            Tombstone(tombstone_id="T", what="url", value="http://x/", why="asked", requested_at=AT),
            hit,
        ]
    )
    app = show()
    (dataset,) = table(app, "version")
    assert (dataset["name"], dataset["version"]) == ("news", 3)
    assert (dataset["documents"], dataset["text_bytes"]) == (60, 2_000_000)
    (takedown,) = table(app, "hidden_documents")
    assert (takedown["value"], takedown["hidden_documents"], takedown["still_on_disk"]) == ("http://x/", 1, 1)
    assert takedown["datasets"] == "news@3"
    assert "python -m curation.catalog gc" in texts(app)


def test_an_unreadable_catalog_is_said_and_recovers(show: Show, workspace: Workspace) -> None:
    write_done(workspace)
    broken = workspace.records / "run" / "broken.json"
    broken.write_text("{")
    app = show()
    assert "The catalog cannot be read at the moment" in texts(app)
    assert "broken.json is not a readable record" in texts(app)
    broken.unlink()
    app.button[0].click().run()
    assert table(app, "status")[0]["run"] == "R1"


def test_strange_text_never_meets_markdown(show: Show, workspace: Workspace) -> None:
    write_done(workspace, uri=HOSTILE, detail=HOSTILE + "x" * 100_000)
    failed = RunEnd(run_id="bad", attempt=1, status="failed", exit_code=2, why=HOSTILE, finished_at=AT)
    workspace.write([a_run("bad"), dataclasses.replace(processes.this_process("bad", 1)), failed])
    workspace.write([Tombstone(tombstone_id="T", what="url", value=HOSTILE, why=HOSTILE, requested_at=AT)])
    app = show(query={"run": "R1"})
    assert not app.exception
    knows_markdown = (app.markdown, app.caption, app.info, app.warning, app.error, app.success, app.header)
    assert not [e for kind in knows_markdown for e in kind if "evil" in str(e.value)]
    assert "evil.example" not in app.expander[0].label
    (example, _) = table(app, "record_offset")
    assert example["file"] == plain(HOSTILE)
    assert len(example["detail"]) <= 500
    assert "\\u202e" in example["detail"]


def test_plain_text_has_no_effects() -> None:
    assert plain("a\x1b[31m\u202eb\nc") == "a\\x1b[31m\\u202eb\\nc"
    assert plain("Ünï 漢字 🙂 ![x](y)") == "Ünï 漢字 🙂 ![x](y)"
    assert plain("x" * 1000) == "x" * 299 + "…"


def test_waterfall_of_nothing() -> None:
    assert [(row["step"], row["records"]) for row in waterfall(0, 0, [], [], [])] == [
        ("raw records", 0),
        ("kept", 0),
    ]


@pytest.mark.parametrize("name", views.registry())
def test_every_page_is_a_page(name: str) -> None:
    view = views.registry()[name]
    assert isinstance(view.TITLE, str)
    assert isinstance(view.ORDER, int)
    assert callable(view.show)
