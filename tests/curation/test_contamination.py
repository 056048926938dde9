"""Items of test sets in runs, with the real command: flagged or dropped, and on record with document and place."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.curation import inputs
from tests.curation.commands import ask, check, command, curate, digests

SMOKE = ("--config", "smoke", "--toxicity.enabled", "false", "--language.threshold", "0")
ITEM = "Which of the seven lanterns did the harbour master's cousin extinguish before the storm reached the lower quay?"
SHORT = "Purple herons rarely borrow wooden umbrellas"
NEAR = "Which of the seven lanterns did the harbour keeper's cousin extinguish before the fog reached the lower quay?"


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents that hold an item, a short one, a changed one, none; and the items."""
    folder = tmp_path_factory.mktemp("crawl")
    held = {"whole": ITEM, "short": SHORT, "near": NEAR, "none": "A harbour, a storm, a cousin and a lantern."}
    rows = [
        {"url": f"http://a.example/{name}", "text": f"{inputs.prose('en', n)} {text} {inputs.prose('en', n + 50)}"}
        for n, (name, text) in enumerate(held.items())
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    items = [("quiz", "q1", ITEM), ("birds", "b7", SHORT), ("birds", "b8", "The quick brown fox naps in a teapot")]
    lines = (json.dumps({"set": name, "item_id": item, "text": text}) for name, item, text in items)
    (folder / "items.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def options(crawl: Path, action: str) -> tuple[str, ...]:
    items = crawl / "items.jsonl"
    return (*SMOKE, "--filters", f"{{length: {{}}, decontaminate: {{items: ['{items}'], action: {action}}}}}")


def matches(workspace: Path) -> dict[str, dict[str, Any]]:
    """URL -> match of the newest run."""
    found = ask(
        workspace,
        "SELECT d.url, c.*, d.step, d.reason, d.contamination, "
        "substring(d.text, text_start + 1, text_end - text_start) AS there "
        "FROM contamination c JOIN document d ON d.id = c.document_id JOIN shard s ON s.shard_id = d.shard_id "
        "AND s.run_id = c.run_id WHERE c.run_id = (SELECT max(run_id) FROM run)",
    )
    return {row["url"].rsplit("/", 1)[1]: row for row in found}


def test_flagged_and_on_record(crawl: Path, tmp_path: Path) -> None:
    curate(tmp_path / "w", crawl / "rows.jsonl", *options(crawl, "flag"))
    found = matches(tmp_path / "w")
    assert {name: (row["item_set"], row["item_id"], row["how"]) for name, row in found.items()} == {
        "whole": ("quiz", "q1", "whole"),
        "short": ("birds", "b7", "whole"),
        "near": ("quiz", "q1", "near"),
    }
    assert found["whole"]["there"].startswith("Which of the seven")
    assert found["whole"]["there"].rstrip("?").endswith("lower quay")
    assert found["short"]["there"] == SHORT
    assert 0.7 < found["near"]["overlap"] < found["whole"]["overlap"] == 1.0
    assert {row["step"] for row in found.values()} == {None}
    assert found["whole"]["contamination"]["item_id"] == "q1"
    check(tmp_path / "w")


def test_dropped_and_decided_anew(crawl: Path, tmp_path: Path) -> None:
    curate(tmp_path / "flag", crawl / "rows.jsonl", *options(crawl, "flag"))
    curate(tmp_path / "drop", crawl / "rows.jsonl", *options(crawl, "drop"))
    found = matches(tmp_path / "drop")
    assert {(row["step"], row["reason"]) for row in found.values()} == {("decontaminate", "contaminated")}
    assert len(found) == 3
    kept = ask(tmp_path / "drop", "SELECT url FROM document WHERE step IS NULL")
    assert [row["url"] for row in kept] == ["http://a.example/none"]
    check(tmp_path / "drop")
    shutil.copytree(tmp_path / "flag", tmp_path / "w")
    parent = ask(tmp_path / "flag", "SELECT run_id FROM run")[0]["run_id"]
    curate(tmp_path / "w", "--from", parent, *options(crawl, "drop"))
    assert digests(tmp_path / "w") == digests(tmp_path / "drop")
    assert matches(tmp_path / "w").keys() == found.keys()
    check(tmp_path / "w")


def test_items_that_are_wrong_stop_the_run(crawl: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"set": "a", "item_id": "1", "text": "some words that are long enough"}\n{"set": "a"}\n')
    chosen = f"{{decontaminate: {{items: ['{bad}']}}}}"
    done = command("curation.run", crawl / "rows.jsonl", *SMOKE, "--filters", chosen, "--workspace", tmp_path / "w")
    assert done.returncode == 2
    assert "bad.jsonl" in done.stderr
    assert "line 2" in done.stderr
    assert not (tmp_path / "w" / "records").exists()
