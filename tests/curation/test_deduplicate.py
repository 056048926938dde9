"""Deduplication in whole runs, with the real commands, over pages of known similarity."""

import json
import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from curation.config import from_dict
from curation.dedup.phases import Limits
from curation.dedup.similarity import match_curve
from curation.deduplicate import plan_stages
from curation.plan import RunFolder
from curation.workspace import Workspace
from tests.curation.commands import ask, check, command, curate, digests, family, kill_group, none_left, start
from tests.curation.dedup.pairs import planted, similarity, write_jsonl
from tests.curation.dedup.planted import UNSPACED, mistyped, text_of

SMOKE = ("--config", "smoke")
PAGES = planted(7)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages in random order in three files."""
    folder = tmp_path_factory.mktemp("source")
    urls = list(PAGES.texts)
    random.Random(1).shuffle(urls)
    for number in range(3):
        write_jsonl(folder / f"{number}.jsonl", urls[number::3], PAGES.texts)
    return folder


@pytest.fixture(scope="module")
def curated(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace of an undisturbed run with one worker."""
    workspace = tmp_path_factory.mktemp("curated") / "w"
    curate(workspace, source, *SMOKE, "--execution.workers", 1)
    return workspace


def documents(workspace: Path) -> dict[str, dict[str, Any]]:
    """URL -> row of each document of the newest run that came to deduplication."""
    (run,) = ask(workspace, "SELECT max(run_id) AS id FROM run")
    found = ask(
        workspace,
        "SELECT d.url, d.id, d.raw_file_id, d.language, s.shard_kind, d.step, d.reason, d.duplicate_of, d.jaccard, "
        f"d.cluster_size, d.text FROM document d JOIN shard s USING (shard_id) WHERE s.run_id = '{run['id']}'",
    )
    rows = {row["url"]: row for row in found}
    assert len(rows) == len(found)
    assert {row["step"] for row in found} <= {None, "dedup"}
    return rows


def removed(rows: dict[str, dict[str, Any]], reason: str | None = None) -> set[str]:
    return {url for url, row in rows.items() if row["step"] == "dedup" and reason in (None, row["reason"])}


def clusters(rows: dict[str, dict[str, Any]]) -> set[frozenset[str]]:
    """Sets of URLs that are one document."""
    found: dict[str, set[str]] = {}
    for url, row in rows.items():
        found.setdefault(row["duplicate_of"] or row["id"], set()).add(url)
    return {frozenset(each) for each in found.values()}


def of_pairs(lowest: float, highest: float = 1.0) -> list[set[str]]:
    return [{each.left, each.right} for each in PAGES.pairs if lowest <= each.jaccard <= highest]


def test_recall_and_precision(curated: Path) -> None:
    rows = documents(curated)
    assert rows.keys() == PAGES.texts.keys()
    by_id = {row["id"]: row for row in rows.values()}
    together = clusters(rows)
    like = of_pairs(0.9)
    assert len(like) == 120
    assert sum(each in together for each in like) >= 0.95 * len(like)
    near = of_pairs(0.75, 0.9)
    assert sum(each in together for each in near) >= 0.75 * len(near) > 20
    wanted = of_pairs(0.7) + [{each.left, each.right} for each in PAGES.same_url]
    gone = removed(rows)
    right = [url for url in gone if any(url in each for each in wanted)]
    assert len(right) >= 0.99 * len(gone)
    assert not any(each <= gone for each in wanted), "of a pair one stays"
    for url in gone:
        row, leader = rows[url], by_id[rows[url]["duplicate_of"]]
        true = similarity(PAGES.texts[url], PAGES.texts[leader["url"]])
        assert leader["shard_kind"] == "kept"
        assert leader["id"] < row["id"]
        assert row["jaccard"] == pytest.approx(true, abs=1e-9)
        assert true >= (0.0 if row["reason"] == "same_url" else 0.7)
    assert removed(rows, "same_text") == {url for url in gone if rows[url]["jaccard"] == 1.0}
    assert len(removed(rows, "same_url")) == len(PAGES.same_url)


def test_tables_and_accounts_agree(curated: Path) -> None:
    rows = documents(curated)
    counts = ask(curated, "SELECT reason, language, documents, bytes FROM filter_count WHERE step = 'dedup'")
    gone = [row for row in rows.values() if row["step"] == "dedup"]
    assert {row["reason"] for row in counts} == {"same_url", "same_text", "near_duplicate"}
    told = {(row["reason"], row["language"]): (row["documents"], row["bytes"]) for row in counts}
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for row in gone:
        documents_, size = found.get((row["reason"], row["language"]), (0, 0))
        found[(row["reason"], row["language"])] = (documents_ + 1, size + len(row["text"].encode()))
    assert told == found
    members = Counter(row["duplicate_of"] for row in gone)
    for row in rows.values():
        assert row["cluster_size"] == members[row["duplicate_of"] or row["id"]] + 1
        assert (row["shard_kind"] == "rejected") == (row["step"] == "dedup") == (row["jaccard"] is not None)
    (kept,) = ask(curated, "SELECT sum(documents)::BIGINT AS n FROM shard WHERE shard_kind = 'kept'")
    (raw,) = ask(curated, "SELECT sum(records)::BIGINT AS n FROM raw_file")
    assert raw["n"] == len(rows) == kept["n"] + len(gone)
    check(curated)


def test_workers_do_not_matter(source: Path, curated: Path, tmp_path: Path) -> None:
    curate(tmp_path / "w", source, *SMOKE, "--execution.workers", 3)
    assert digests(tmp_path / "w") == digests(curated)


def test_order_and_files_do_not_matter(curated: Path, tmp_path: Path) -> None:
    """Ids change with the files, and with them who stays; what is one document does not."""
    urls = list(PAGES.texts)
    random.Random(2).shuffle(urls)
    for number in range(5):
        write_jsonl(tmp_path / "in" / f"part {number}.jsonl", urls[number::5], PAGES.texts)
    curate(tmp_path / "w", tmp_path / "in", *SMOKE)
    one, two = documents(curated), documents(tmp_path / "w")
    assert {row["id"] for row in one.values()}.isdisjoint(row["id"] for row in two.values())
    assert clusters(one) == clusters(two)
    assert removed(one) != removed(two)


def killed_when(run: "subprocess.Popen[str]", workspace: Path, there: Callable[[Path], bool]) -> Path:
    """Kill the run as soon as its scratch folder is in a state; returns the folder."""
    end = time.monotonic() + 60
    while not any(there(folder) for folder in workspace.glob("runs/*/scratch")):
        assert run.poll() is None, f"ended early: {run.communicate()}"
        assert time.monotonic() < end
        time.sleep(0.001)
    relatives = family(run)
    kill_group(run)
    run.wait()
    assert none_left(relatives)
    (folder,) = workspace.glob("runs/*/scratch")
    return folder


def test_killed_again_and_again_while_it_deduplicates(source: Path, curated: Path, tmp_path: Path) -> None:
    """Killed in the middle of the bands, and again while decisions are made."""
    workspace = tmp_path / "w"
    states: list[Callable[[Path], bool]] = [
        lambda folder: len(list(folder.glob("dedup/bands/*"))) >= 5,
        lambda folder: (folder / "dedup" / "clusters.duckdb").exists(),
    ]
    arguments: list[object] = [source, *SMOKE]
    for there in states:
        run = start("curation.run", *arguments, "--workspace", workspace)
        folder = killed_when(run, workspace, there)
        assert not (folder / "shards").exists(), "killed too late"
        arguments = ["--resume", "last"]
    curate(workspace, *arguments)
    assert digests(workspace) == digests(curated)
    check(workspace)


def test_in_stages_of_many_tasks(source: Path, curated: Path, tmp_path: Path) -> None:
    """As large runs are: each phase a stage of several tasks. A run is killed before it has planned that, the plan
    is made with small limits, and it goes on."""
    workspace = tmp_path / "w"
    run = start("curation.run", source, *SMOKE, "--workspace", workspace)
    scratch = killed_when(run, workspace, lambda folder: (folder / "dedup" / "plan.json").exists())
    (scratch / "dedup" / "plan.json").unlink()
    folder = RunFolder(Workspace(workspace), scratch.parent.name)
    (row,) = ask(workspace, "SELECT config FROM run")
    config = from_dict(json.loads(row["config"])["curation"])
    limits = Limits(together=10, slice=200, verify=100)
    stages = plan_stages(folder, config, len(folder.load("tasks/count")["weights"]), {}, limits)
    total = len(PAGES.texts)
    slices, verify = -(-total // 200), -(-total // 100)
    assert {name: len(weights) for name, weights in stages} == {
        "dedup-url": slices,
        "dedup-text": slices,
        "dedup-bands": 14 * slices,
        "dedup-verify": verify,
        "dedup-cluster": 1,
        "dedup-index": 1,
    }
    assert plan_stages(folder, config, 99, {}, Limits()) == stages, "planned once"
    assert folder.load("dedup/plan")["limits"] == asdict(limits)
    curate(workspace, "--resume", "last")
    assert digests(workspace) == digests(curated)
    check(workspace)


@pytest.mark.full
@pytest.mark.parametrize("off", ["url", "exact", "near"])
def test_each_kind_can_be_switched_off(source: Path, curated: Path, tmp_path: Path, off: str) -> None:
    option = "near.enabled" if off == "near" else off
    curate(tmp_path / "w", source, *SMOKE, f"--dedup.{option}", "false")
    before, rows = documents(curated), documents(tmp_path / "w")
    reasons = {"url": "same_url", "exact": "same_text", "near": "near_duplicate"}
    assert not removed(rows, reasons[off])
    for kind, reason in reasons.items():
        if kind != off:
            assert removed(rows, reason) >= removed(before, reason) != set()
    if off == "exact":  # equal texts are near-duplicates, too
        assert removed(rows) == removed(before)
    else:
        assert removed(rows) == removed(before) - removed(before, reasons[off])


def test_another_threshold_from_what_is_stored(source: Path, curated: Path, tmp_path: Path) -> None:
    (run,) = ask(curated, "SELECT run_id FROM run")
    changed = (*SMOKE, "--dedup.near.threshold", "0.88")
    curate(curated, "--from", run["run_id"], *changed)
    curate(tmp_path / "w", source, *changed)
    assert digests(curated, 1) == digests(tmp_path / "w")
    lenient = [row["jaccard"] for row in documents(tmp_path / "w").values() if row["reason"] == "near_duplicate"]
    assert min(lenient) >= 0.88
    assert digests(curated, 0) != digests(curated, 1)


@pytest.mark.parametrize(
    ("option", "value"),
    [("near.bands", "0"), ("near.threshold", "1.5"), ("near.thresold", "0.5")],
)
def test_a_wrong_option_names_itself(source: Path, tmp_path: Path, option: str, value: str) -> None:
    done = command("curation.run", source, "--workspace", tmp_path / "w", f"--dedup.{option}", value)
    assert done.returncode == 2
    assert f"dedup.{option}" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "w").exists()


def test_a_dry_run_prints_how_likely_pairs_are_compared(source: Path, tmp_path: Path) -> None:
    near = ("--dedup.near.bands", 20, "--dedup.near.rows", 5, "--dedup.near.threshold", 0.6)
    done = command("curation.run", source, *SMOKE, *near, "--workspace", tmp_path / "w", "--dry-run")
    assert done.returncode == 0
    assert "near-duplicates (20 bands of 5, threshold 0.6)" in done.stdout
    assert match_curve(20, 5, 0.6) in done.stdout
    assert not (tmp_path / "w").exists()


def test_other_scripts(tmp_path: Path) -> None:
    """Of ten texts of a language with a letter in 300 changed as many go as of English ones: all but one, or all."""
    texts: dict[str, str] = {}
    languages = ("eng_Latn", "arb_Arab", "rus_Cyrl", "hin_Deva", "kor_Hang", *UNSPACED)
    for language in languages:
        chance = random.Random(language)
        for number in range(10):
            text = text_of(language, chance)
            texts[f"http://{language[:3]}.example/{number}"] = text
            texts[f"http://{language[:3]}.example/{number}/again"] = mistyped(text, 1 / 300, chance)
    write_jsonl(tmp_path / "in.jsonl", texts, texts)
    curate(tmp_path / "w", tmp_path / "in.jsonl", *SMOKE, "--language.threshold", 0)
    rows = documents(tmp_path / "w")
    assert len(rows) == len(texts)
    for language in languages:
        found = [row for row in rows.values() if row["url"].startswith(f"http://{language[:3]}.")]
        assert sum(row["language"] == language for row in found) >= 18
        near = [row for row in found if row["reason"] == "near_duplicate"]
        assert len(near) >= 9
        assert len(near) + sum(row["shard_kind"] == "kept" for row in found) == 20
        kept = {row["id"]: row["url"] for row in found if row["shard_kind"] == "kept"}
        assert all(kept[row["duplicate_of"]].split("/")[3] == row["url"].split("/")[3] for row in near)
