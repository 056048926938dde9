"""Quality in runs, with the real command: a least score, the best share, and the same bytes in any way of doing it."""

import json
import math
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.quality.stage import find_cut, stays
from tests.curation import inputs
from tests.curation.commands import ask, check, command, curate, digests, kill_group, start, wait_for_parts
from tests.curation.quality import graded

SMOKE = ("--config", "smoke", "--language.threshold", "0", "--dedup.near.enabled", "false")
CLEAN = (*SMOKE, "--toxicity.enabled", "false")
TIES = 8


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Graded English, some of it twice, some of it too short for the filter before; texts that score alike; German."""
    folder = tmp_path_factory.mktemp("crawl") / "in"
    folder.mkdir()
    graded_texts = [graded.text(number / 70, 10_000 + number) for number in range(71)]
    rows = [{"url": f"http://graded.example/{n}", "text": text} for n, text in enumerate(graded_texts)]
    rows += [{"url": f"http://again.example/{n}", "text": text} for n, text in enumerate(graded_texts[40:60])]
    rows += [{"url": f"http://short.example/{n}", "text": f"Theory explains pressure {n}."} for n in range(5)]
    same = graded.text(0.5, 777)
    rows += [{"url": f"http://same.example/{n}", "text": f"{same} {'x' * (n + 2)}q"} for n in range(TIES)]
    rows += [{"url": f"http://de.example/{n}", "text": inputs.prose("de", n)} for n in range(6)]
    for part in range(3):
        lines = "".join(json.dumps(row) + "\n" for row in rows[part::3])
        (folder / f"{part}.jsonl").write_text(lines, encoding="utf-8")
    return folder


def filters(model: Path, **options: Any) -> tuple[str, str]:
    return "--filters", json.dumps({"length": {"min_characters": 60}, "quality": {"model": str(model), **options}})


@pytest.fixture(scope="module")
def best(crawl: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that keeps the best .3."""
    workspace = tmp_path_factory.mktemp("best") / "w"
    curate(workspace, crawl, *CLEAN, *filters(model, keep_share=0.3))
    return workspace


def documents(workspace: Path) -> dict[str, dict[str, Any]]:
    """URL -> row of the newest run."""
    sql = (
        "SELECT url, id, d.language, step, reason, quality.score AS score, toxicity.cheap AS cheap FROM document d "
        "JOIN shard s USING (shard_id) WHERE s.run_id = (SELECT max(run_id) FROM run)"
    )
    return {row["url"]: row for row in ask(workspace, sql)}


def test_the_best_share_stays_of_what_is_left(best: Path) -> None:
    rows = documents(best)
    assert Counter(row["step"] for row in rows.values())["length"] == 5
    duplicates = [row for row in rows.values() if row["step"] == "dedup"]
    assert len(duplicates) == 20
    left = [row for row in rows.values() if row["step"] in (None, "quality") and row["score"] is not None]
    assert {row["language"] for row in left} == {"eng_Latn"}
    kept = [row for row in left if row["step"] is None]
    assert len(left) == 71 + TIES
    assert len(kept) == math.ceil(0.3 * len(left))
    ranked = sorted(left, key=lambda row: (-row["score"], row["id"]))
    assert {row["id"] for row in kept} == {row["id"] for row in ranked[: len(kept)]}
    assert {row["reason"] for row in left} == {None, "below_top_share"}
    assert all(row["score"] is not None for row in duplicates)  # scored like all, and counted in no share
    check(best)


def test_other_languages_are_not_scored_and_lose_nothing(best: Path) -> None:
    german = [row for url, row in documents(best).items() if "//de.example" in url]
    assert {(row["language"], row["score"], row["step"]) for row in german} == {("deu_Latn", None, None)}
    assert len(german) == 6


def test_a_least_score(crawl: Path, model: Path, tmp_path: Path) -> None:
    told = curate(tmp_path / "w", crawl, *CLEAN, *filters(model, min_score=0.5))
    rows = documents(tmp_path / "w")
    for row in rows.values():
        if row["step"] in (None, "quality", "dedup"):
            low = row["score"] is not None and row["score"] < 0.5
            assert (row["step"] == "quality") == low, row
    assert {row["reason"] for row in rows.values() if row["step"] == "quality"} == {"below_min_score"}
    assert told.index("below_min_score") < told.index("same_text")  # it acts before deduplication
    check(tmp_path / "w")


@pytest.mark.full
def test_from_a_least_score_to_a_share(crawl: Path, model: Path, best: Path, tmp_path: Path) -> None:
    curate(tmp_path / "w", crawl, *CLEAN, *filters(model, min_score=0.5))
    (parent,) = (row["run_id"] for row in ask(tmp_path / "w", "SELECT run_id FROM run"))
    told = curate(tmp_path / "w", "--from", parent, *CLEAN, *filters(model, keep_share=0.3))
    assert told.index("same_text") < told.index("below_top_share")
    assert digests(tmp_path / "w") == digests(best)
    check(tmp_path / "w")


def test_of_equal_scores_the_smaller_ids_stay(crawl: Path, model: Path, best: Path, tmp_path: Path) -> None:
    rows = [row for row in documents(best).values() if row["step"] in (None, "quality") and row["score"] is not None]
    score, many = Counter(row["score"] for row in rows).most_common(1)[0]
    assert many >= 3  # texts that differ in a word that the model does not know
    above = sum(row["score"] > score for row in rows)
    share = (above + many - 1.5) / len(rows)  # the cut is among them: all but one stay
    shutil.copytree(best, tmp_path / "w")
    (parent,) = (row["run_id"] for row in ask(best, "SELECT run_id FROM run"))
    curate(tmp_path / "w", "--from", parent, *CLEAN, *filters(model, keep_share=share))
    after = documents(tmp_path / "w").values()
    alike = sorted((row["id"], row["step"]) for row in after if row["score"] == score and row["step"] != "dedup")
    assert [step for _, step in alike] == [None] * (many - 1) + ["quality"]
    curate(tmp_path / "fresh", crawl, *CLEAN, *filters(model, keep_share=share), "--execution.workers", 1)
    assert digests(tmp_path / "w") == digests(tmp_path / "fresh")


@pytest.mark.full
def test_bytes_do_not_depend_on_workers_or_names(crawl: Path, model: Path, best: Path, tmp_path: Path) -> None:
    renamed = tmp_path / "renamed"
    renamed.mkdir()
    for number, path in enumerate(sorted(crawl.iterdir(), reverse=True)):
        shutil.copy(path, renamed / f"x{number}.jsonl")
    curate(tmp_path / "w", renamed, *CLEAN, *filters(model, keep_share=0.3), "--execution.workers", 3)
    assert digests(tmp_path / "w") == digests(best)


def test_killed_and_resumed(crawl: Path, model: Path, best: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.bin"
    shutil.copy(model, own)
    shutil.copy(f"{model}.json", f"{own}.json")
    run = start("curation.run", crawl, *CLEAN, *filters(own, keep_share=0.3), "--workspace", tmp_path / "w")
    wait_for_parts(tmp_path / "w", 1, run)
    end = time.monotonic() + 60
    while not list((tmp_path / "w").glob("runs/*/scratch/verdicts/quality/*/*.json")) and run.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.002)
    if run.poll() is None:
        kill_group(run)
    run.wait()
    card = Path(f"{own}.json").read_text()
    Path(f"{own}.json").write_text(card.replace("eng_Latn", "deu_Latn"))
    done = command("curation.run", "--workspace", tmp_path / "w", "--resume", "last")
    if not list((tmp_path / "w").glob("records/run_end/*")):
        assert done.returncode == 2
        assert "lists, models or devices that it uses have changed since it began" in done.stderr
        assert 'quality.languages: "eng_Latn" -> "deu_Latn"' in done.stderr
        Path(f"{own}.json").write_text(card)
        curate(tmp_path / "w", "--resume", "last")
    assert digests(tmp_path / "w") == digests(best)
    check(tmp_path / "w")


def test_toxicity_sees_only_what_is_left(crawl: Path, model: Path, best: Path, tmp_path: Path) -> None:
    everything = ("--toxicity.model", "none", "--toxicity.cheap_threshold", "0.0001")
    told = curate(tmp_path / "w", crawl, *SMOKE, *everything, *filters(model, keep_share=0.3))
    before, after = documents(best), documents(tmp_path / "w")
    for url, row in before.items():
        expected = row["step"] or ("toxicity" if row["language"] == "eng_Latn" else None)
        assert after[url]["step"] == expected, url
    assert told.index("below_top_share") < told.index("cheap_model")


@pytest.mark.full
def test_what_the_share_removed_is_not_held_against_later_crawls(
    crawl: Path, model: Path, best: Path, tmp_path: Path
) -> None:
    shutil.copytree(best, tmp_path / "w")
    rows = documents(best)
    texts = {row["url"]: row["text"] for path in crawl.iterdir() for row in map(json.loads, path.open())}
    chosen = {
        step: next(url for url, row in rows.items() if row["step"] == step and "graded" in url)
        for step in (None, "quality")
    }
    again = [{"url": f"http://new.example/{step}", "text": texts[url]} for step, url in chosen.items()]
    (tmp_path / "again.jsonl").write_text("".join(json.dumps(row) + "\n" for row in again))
    curate(tmp_path / "w", tmp_path / "again.jsonl", *CLEAN, "--filters", "{}")
    sql = "SELECT url, step FROM document WHERE domain = 'new.example'"
    found = {row["url"]: row["step"] for row in ask(tmp_path / "w", sql)}
    assert found == {"http://new.example/None": "dedup", "http://new.example/quality": None}


def test_a_wrong_model_stops_the_run_before_it_begins(crawl: Path, tmp_path: Path) -> None:
    line = ("curation.run", crawl, *CLEAN, *filters(tmp_path / "none.bin", keep_share=0.3), "--workspace")
    done = command(*line, tmp_path / "w")
    assert done.returncode == 2
    assert "filters.quality.model" in done.stderr
    assert "no such file; python -m curation.quality train makes a model" in done.stderr
    assert not (tmp_path / "w").exists()


@given(st.lists(st.integers(0, 9), min_size=1), st.integers(1, 100))
def test_the_cut_leaves_exactly_the_share(levels: list[int], percent: int) -> None:
    cut, room = find_cut(np.bincount(levels, minlength=10), percent / 100)
    kept = sum(level > cut for level in levels) + room
    assert kept == -(-percent * len(levels) // 100)
    assert 1 <= room <= levels.count(cut)


def test_a_tenth_of_thirty_is_three() -> None:
    assert [stays(0.1, 30), stays(0.1, 31), stays(1.0, 7), stays(1e-9, 7), stays(0.7, 10)] == [3, 4, 7, 1, 7]
