"""A later crawl is deduplicated against earlier ones through the index, with the real commands."""

import json
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.curation import inputs
from tests.curation.commands import ask, check, command, curate, digests, kill_group, start

SMOKE = ("--config", "smoke", "--read.max_bad_share", "1")


def edited(seed: int, word: int = 20) -> str:
    """The text of a seed with one of its 168 words changed: Jaccard similarity about .94."""
    words = inputs.prose("en", seed).split()
    words[word] = "elsewhere"
    return " ".join(words)


def lines(path: Path, texts: dict[str, str]) -> None:
    """A JSONL file of URL -> text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"url": url, "text": text}) + "\n" for url, text in texts.items()))


def texts(host: str, seeds: Iterable[int], word: int | None = None) -> dict[str, str]:
    """URL -> text for seeds, edited where a word is named."""
    return {
        f"http://{host}.example/{seed}/{word}": inputs.prose("en", seed) if word is None else edited(seed, word)
        for seed in seeds
    }


def runs(workspace: Path) -> list[str]:
    return [row["run_id"] for row in ask(workspace, "SELECT run_id FROM run ORDER BY run_id")]


def documents(workspace: Path, run_id: str) -> dict[str, dict[str, Any]]:
    """URL -> row of all that has text and passed the filters, kept or removed by deduplication."""
    found = ask(
        workspace,
        "SELECT d.id, d.url, s.shard_kind, d.step, d.reason, d.duplicate_of, d.jaccard FROM document d "
        f"JOIN shard s USING (shard_id) WHERE s.run_id = '{run_id}' AND (d.step IS NULL OR d.step = 'dedup')",
    )
    return {row["url"]: row for row in found}


def kept(rows: dict[str, dict[str, Any]]) -> set[str]:
    return {url for url, row in rows.items() if row["shard_kind"] == "kept"}


@pytest.fixture(scope="module")
def crawls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``one`` holds near-duplicates of its own (seeds 100 to 102 twice); ``two`` repeats all of it with as much
    that is new: pages from a WARC as they were, texts under other URLs, three of them edited."""
    folder = tmp_path_factory.mktemp("crawls")
    inputs.warc(folder / "one" / "a.warc.gz", 6)
    lines(folder / "one" / "b.jsonl", {**texts("old", range(100, 106)), **texts("old", range(100, 103), word=20)})
    inputs.warc(folder / "two" / "a.warc.gz", 12)
    again = {**texts("again", range(100, 106)), **texts("again", range(100, 103), word=20)}
    again |= texts("again", range(103, 106), word=90)
    lines(folder / "two" / "b.jsonl", {**again, **texts("fresh", range(200, 212))})
    return folder


@pytest.fixture(scope="module")
def first(crawls: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace that holds the first crawl."""
    workspace = tmp_path_factory.mktemp("first") / "w"
    curate(workspace, crawls / "one", *SMOKE)
    return workspace


@pytest.fixture(scope="module")
def second(crawls: Path, first: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """... and the second."""
    workspace = tmp_path_factory.mktemp("second") / "w"
    shutil.copytree(first, workspace)
    curate(workspace, crawls / "two", *SMOKE)
    return workspace


@pytest.fixture
def copy(second: Path, tmp_path: Path) -> Path:
    """A copy of the workspace with both crawls."""
    shutil.copytree(second, tmp_path / "w")
    return tmp_path / "w"


def test_exactly_what_repeats_goes(second: Path) -> None:
    one, two = (documents(second, run) for run in runs(second))
    held = {row["id"] for row in one.values() if row["shard_kind"] == "kept"}
    repeated = {f"http://site{n % 3}.example/{n}" for n in range(6)} | {url for url in two if "again" in url}
    assert len(repeated) == 6 + 12
    assert set(two) - kept(two) == repeated
    assert len(kept(two)) == 6 + 12
    for url in repeated:
        row = two[url]
        assert (row["step"], row["duplicate_of"] in held) == ("dedup", True)
        assert row["jaccard"] >= 0.7
    assert {two[f"http://site{n % 3}.example/{n}"]["reason"] for n in range(6)} == {"same_url"}
    assert {two[url]["reason"] for url in texts("again", range(103, 106), word=90)} == {"near_duplicate"}
    check(second)


def test_what_was_removed_comes_again_and_is_decided_as_before(second: Path) -> None:
    one, two = (documents(second, run) for run in runs(second))
    removed = {url: row for url, row in one.items() if row["shard_kind"] == "rejected"}
    assert len(removed) == 3
    for url, row in removed.items():
        again = two[url.replace("old", "again")]
        assert again["reason"] == "same_text"
        assert (again["duplicate_of"], again["jaccard"]) == (row["duplicate_of"], pytest.approx(row["jaccard"]))


def test_the_same_input_never_counts_against_itself(crawls: Path, copy: Path, tmp_path: Path) -> None:
    """Also not through the copies that a later crawl had removed for it; and ``--from`` gives the same."""
    parent = runs(copy)[0]
    changed = (*SMOKE, "--dedup.near.threshold", "0.97")
    curate(tmp_path / "fresh", crawls / "one", *changed)
    expected = digests(tmp_path / "fresh")
    curate(copy, crawls / "one", *changed)
    assert digests(copy) == expected
    curate(copy, "--from", parent, *changed)
    assert digests(copy) == expected
    assert digests(copy, 0) != expected
    check(copy)


def test_three_crawls_in_a_row(second: Path, copy: Path, tmp_path: Path) -> None:
    third = {**texts("third", range(100, 106)), **texts("third", range(200, 203), word=7), **texts("third", [300])}
    lines(tmp_path / "three.jsonl", third)
    curate(copy, tmp_path / "three.jsonl", *SMOKE)
    one, two, three = (documents(copy, run) for run in runs(copy))
    assert kept(three) == {"http://third.example/300/None"}
    in_one, in_two = ({rows[url]["id"] for url in kept(rows)} for rows in (one, two))
    for url, row in three.items():
        if url not in kept(three):
            assert row["duplicate_of"] in (in_two if row["reason"] == "near_duplicate" else in_one)
    assert digests(copy, 1) == digests(second)


@pytest.mark.parametrize("gc", [False, True])
def test_a_taken_down_document_removes_no_copies(copy: Path, tmp_path: Path, gc: bool) -> None:
    one, two = (documents(copy, run) for run in runs(copy))
    gone = one["http://old.example/104/None"]["id"]
    assert two["http://again.example/104/None"]["duplicate_of"] == gone
    assert command("curation.near", gone, "--workspace", copy).returncode == 0
    command("curation.dataset", "takedown", "--id", gone, "--why", "asked", "--workspace", copy)
    if gc:
        told = command("curation.catalog", "gc", "--workspace", copy).stdout
        assert "1 taken-down document(s) forgotten" in told
        assert "forgotten" not in command("curation.catalog", "gc", "--workspace", copy).stdout
        check(copy)
    lines(tmp_path / "three.jsonl", texts("third", [104, 105]))
    curate(copy, tmp_path / "three.jsonl", *SMOKE)
    assert kept(documents(copy, runs(copy)[-1])) == {"http://third.example/104/None"}
    assert command("curation.near", gone, "--workspace", copy).returncode == 2
    near = command("curation.near", inputs.prose("en", 104), "--workspace", copy)
    assert near.returncode == 0
    assert gone not in [line.split()[0] for line in near.stdout.splitlines() if line]


def test_against(crawls: Path, first: Path, second: Path, tmp_path: Path) -> None:
    one = runs(second)[0]
    workspace = tmp_path / "w"
    shutil.copytree(first, workspace)
    refused = command("curation.run", crawls / "two", *SMOKE, "--dedup.against", "[RUN]", "--workspace", workspace)
    assert refused.returncode == 2
    assert "dedup.against: 'RUN' is no finished run" in refused.stderr
    assert one in refused.stderr
    assert runs(workspace) == [one]
    curate(workspace, crawls / "two", *SMOKE, "--dedup.against", "[]")
    alone = documents(workspace, runs(workspace)[-1])
    assert {f"http://site{n % 3}.example/{n}" for n in range(12)} <= kept(alone)
    curate(workspace, crawls / "two", *SMOKE, "--dedup.against", f"[{one}]")
    assert digests(workspace) == digests(second)


def test_other_signatures_fall_back_to_url_and_text(crawls: Path, first: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "w"
    shutil.copytree(first, workspace)
    changed = (*SMOKE, "--dedup.near.rows", "6")
    done = command("curation.run", crawls / "two", *changed, "--workspace", workspace)
    assert done.returncode == 0
    assert f"{runs(workspace)[0]} made signatures with other ngram, bands or rows" in done.stderr
    two = documents(workspace, runs(workspace)[-1])
    assert {row["reason"] for url, row in two.items() if "/None" in url and "again" in url} == {"same_text"}
    edits = set(texts("again", range(103, 106), word=90))
    assert not edits - kept(two)


def test_a_resume_keeps_to_the_runs_that_were_held(crawls: Path, first: Path, second: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "w"
    shutil.copytree(first, workspace)
    run = start("curation.run", crawls / "two", *SMOKE, "--workspace", workspace)
    end = time.monotonic() + 60
    while not list(workspace.glob("runs/*/scratch/tasks/count.json")):
        assert run.poll() is None
        assert time.monotonic() < end
        time.sleep(0.005)
    kill_group(run)
    run.wait()
    lines(tmp_path / "other.jsonl", texts("other", range(200, 206)))
    curate(workspace, tmp_path / "other.jsonl", *SMOKE)
    killed = runs(workspace)[1]
    curate(workspace, "--resume", killed)
    assert digests(workspace, 1) == digests(second)
    check(workspace)
