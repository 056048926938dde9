"""The command over workspaces that real runs have made."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from audit.data import main
from tests.audit import texts
from tests.curation.commands import NO_DEDUP, ask, check, command, curate, environment

FINDINGS = "SELECT * FROM finding WHERE run_id = (SELECT max(run_id) FROM run WHERE kind = 'audit')"


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """(folder with a workspace ``w`` of one run without any filter, environment with the planted filter)."""
    folder = tmp_path_factory.mktemp("planted")
    everything = [text for language in texts.ORDINARY for text, _ in texts.documents(language, 200, share=0.2)]
    texts.write_jsonl(folder / "in.jsonl", everything, texts.site_each)
    env = texts.planted(folder / "env")
    curate(folder / "w", folder / "in.jsonl", "--config", "smoke", *NO_DEDUP, "--filters", "{planted: {}}", env=env)
    return folder, env


def refilter(planted: tuple[Path, dict[str, str]], filters: str) -> str:
    """A new run with these filters over the texts of the first one; returns its id."""
    folder, env = planted
    (first,) = ask(folder / "w", "SELECT min(run_id) AS id FROM run WHERE kind = 'curate'")
    curate(
        folder / "w", "--from", first["id"], "--config", "smoke", *NO_DEDUP, "--filters", filters, env=env
    )  # fmt: skip
    (last,) = ask(folder / "w", "SELECT max(run_id) AS id FROM run WHERE kind = 'curate'")
    return str(last["id"])


def audit(*arguments: object) -> None:
    assert main([*map(str, arguments)]) == 0


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def blamed(rows: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(row["group"], row["language"] or "all") for row in rows if row["factor"] == "group"}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("muslim", {("religion:muslim", "eng_Latn"), ("religion:muslim", "deu_Latn"), ("religion:muslim", "all")}),
        ("sordas", {("disability:deaf", "spa_Latn"), ("disability:deaf", "all")}),
    ],
)
def test_a_filter_against_a_group_is_found_by_name_and_language(
    planted: tuple[Path, dict[str, str]],
    pattern: str,
    expected: set[tuple[str, str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = refilter(planted, f'{{planted: {{pattern: "{pattern}", random_share: 0.05}}}}')
    audit("filters", run, "--workspace", planted[0] / "w", "--format", "json")
    rows = lines(capsys)
    assert blamed(rows) == expected
    (row,) = (row for row in rows if row["language"] == max(expected)[1] and row["reason"] == "pattern")
    assert row["direction"] == "removed more"
    assert row["removed"] == row["n"]
    assert pattern in row["examples"][0]["context"].lower()
    found = ask(planted[0] / "w", FINDINGS)
    flagged = [each for each in found if each["p_adjusted"] is not None and each["p_adjusted"] < 0.05]
    flagged = [each for each in flagged if not each["group_name"].startswith("language:")]
    assert {(each["group_name"], each["language"] or "all") for each in flagged} == expected
    assert {each["subject_id"] for each in found} == {run}
    assert all(each["why"] for each in found if each["status"] == "not_scored")
    assert all((each["value"] is None) == (each["status"] != "scored") for each in found)
    check(planted[0] / "w")
    audit("filters", run, "--workspace", planted[0] / "w")
    out = capsys.readouterr().out
    assert min(expected)[0] in out
    assert f"[{pattern}" in out.lower()
    assert "next: python -m curation.catalog sql" in out
    assert "dialect markers point at texts" in out


def test_a_random_filter_blames_nobody(
    planted: tuple[Path, dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    run = refilter(planted, "{planted: {random_share: 0.2, seed: 1}}")
    audit("filters", run, "--workspace", planted[0] / "w", "--format", "json")
    assert lines(capsys) == []
    audit("filters", run, "--workspace", planted[0] / "w")
    assert "no group is removed more or less than chance would have it" in capsys.readouterr().out


@pytest.mark.parametrize(
    "filters",
    ["{length: {min_characters: 900}}", "{gopher_quality: {min_words: 190, min_stop_words: null}}",
     "{planted: {min_words: 150}}"],
)  # fmt: skip
def test_a_filter_on_length_blames_no_group_that_writes_short_texts(
    tmp_path: Path, filters: str, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(4)
    everything = []
    for number in range(400):
        language = "spa" if number % 2 else "eng"
        short = number % 8 < 2
        names = ["sexual_orientation:gay"] if short else []
        everything.append(
            texts.text(language, chance, names, chance.randint(3, 15) if short else chance.randint(8, 30))
        )
    texts.write_jsonl(tmp_path / "in.jsonl", everything, texts.site_each)
    env = texts.planted(tmp_path / "env")
    curate(tmp_path / "w", tmp_path / "in.jsonl", "--config", "smoke", *NO_DEDUP, "--filters", filters, env=env)
    audit("filters", "last", "--workspace", tmp_path / "w", "--format", "json")
    rows = lines(capsys)
    assert not blamed(rows)
    assert {row["factor"] for row in rows} == {"length"}


def test_real_filters_and_deduplication_are_audited_in_their_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Documents that an earlier step removed are out of the denominator; copies are removed by ``dedup``."""
    unique = [text for text, _ in texts.documents("eng", 150, seed=3)]
    copies = [texts.text("eng", random.Random(77), ["gender:woman"], 20)] * 40
    short = ["Next page please"] * 10
    texts.write_jsonl(tmp_path / "in.jsonl", [*unique, *copies, *short], texts.site_each)
    curate(tmp_path / "w", tmp_path / "in.jsonl", "--config", "smoke", "--language.threshold", 0)
    audit("filters", "last", "--workspace", tmp_path / "w", "--format", "json", "--all", "--by", "group")
    rows = [row for row in lines(capsys) if row["group"] == "gender:woman" and row["step"] == "dedup"]
    assert rows
    kept = ask(tmp_path / "w", "SELECT sum(documents)::BIGINT AS n FROM shard WHERE shard_kind = 'kept'")[0]["n"]
    gone = ask(tmp_path / "w", "SELECT sum(documents)::BIGINT AS n FROM filter_count WHERE step = 'dedup'")[0]["n"]
    assert {row["n"] + row["others"] for row in rows if row["language"] == "eng_Latn"} == {kept + gone}
    # Thirty-nine copies of one page are one page more or less: no evidence.
    assert all(row["status"] == "not_scored" or row["p_adjusted"] > 0.05 for row in rows)


def test_representation_and_associations_are_findings(
    planted: tuple[Path, dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    run = refilter(planted, '{planted: {pattern: "muslim"}}')
    workspace = planted[0] / "w"
    audit("representation", run, "--workspace", workspace, "--format", "json")
    rows = lines(capsys)
    share = {(r["language"], r["group"], r["side"]): r for r in rows if r["table"] == "share"}
    everything = texts.documents("spa", 200, share=0.2)
    women = sum("gender:woman" in names for _, names in everything)
    assert share["spa_Latn", "gender:woman", "all"]["documents"] == women
    assert ("eng_Latn", "religion:muslim", "kept") not in share
    assert share["eng_Latn", "religion:muslim", "removed"]["share"] == 1.0
    assert {row["language"] for row in rows if row["table"] == "words"} == {f"{name}_Latn" for name in texts.ORDINARY}
    assert {row["metric"] for row in ask(workspace, FINDINGS)} >= {"share all", "share kept", "mentions all"}
    audit("associations", run, "--workspace", workspace, "--draws", "200", "--format", "json")
    found = {(row["language"], row["group"], row["attribute"]) for row in lines(capsys)}
    assert ("spa_Latn", "religion:muslim", "family") in found
    assert {row["language"] for row in ask(workspace, FINDINGS)} == {f"{name}_Latn" for name in texts.ORDINARY}
    check(workspace)


def test_a_dataset_a_run_of_another_kind_and_wrong_usage(
    planted: tuple[Path, dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = planted[0] / "w"
    (first,) = ask(workspace, "SELECT min(run_id) AS id FROM run WHERE kind = 'curate'")
    made = command("curation.dataset", "create", "all", "--run", first["id"], "--workspace", workspace)
    assert made.returncode == 0, made.stderr
    audit("representation", "all@1", "--workspace", workspace)
    assert "dataset all@1: 800 documents" in capsys.readouterr().out
    assert {row["subject_kind"] for row in ask(workspace, FINDINGS)} == {"dataset"}
    (audited,) = ask(workspace, "SELECT max(run_id) AS id FROM run WHERE kind = 'audit'")
    for arguments, message in (
        (["filters", audited["id"]], "no curation run"),
        (["filters", "all"], "no curation run"),
        (["representation", "none"], "datasets: all"),
        (["filters", "last", "--by", "shoe_size"], "--by shoe_size"),
        (["filters", "last", "--min-group", "1"], "--min-group 1"),
        (["filters", "last", "--alpha", "2"], "--alpha 2"),
        (["associations", "--window", "-1"], "--window -1"),
    ):
        assert main([*arguments, "--workspace", str(workspace)]) == 2
        assert message in capsys.readouterr().err
    assert main(["filters", "last", "--workspace", str(workspace / "nowhere")]) == 2


def test_untrusted_text_is_escaped_and_taken_down_text_never_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    escape, override = "\x1b[31m", "\u202e"
    everything = [
        text.replace("Muslim", f"{escape} Muslim {override}") for text, _ in texts.documents("eng", 150, share=0.25)
    ]
    texts.write_jsonl(tmp_path / "in.jsonl", everything, texts.site_each)
    env = texts.planted(tmp_path / "env")
    filters = '{planted: {pattern: "muslim"}}'
    curate(tmp_path / "w", tmp_path / "in.jsonl", "--config", "smoke", *NO_DEDUP, "--filters", filters, env=env)
    for style in ("table", "json"):
        audit("filters", "last", "--workspace", tmp_path / "w", "--format", style, "--examples", "3")
        out = capsys.readouterr().out
        assert "Muslim" in out
        assert escape not in out
        assert override not in out
    for number, text in enumerate(everything):
        if "Muslim" in text and number < 60:
            url = texts.site_each(number)
            break
    done = command("curation.dataset", "takedown", "--pattern", "site[0-9]+[.]example", "--why", "all", "--workspace",
                   tmp_path / "w")  # fmt: skip
    assert done.returncode == 0
    audit("filters", "last", "--workspace", tmp_path / "w")
    out = capsys.readouterr().out
    assert url not in out
    assert out.startswith("0 documents with a text")


def test_an_interrupted_audit_says_so_and_is_on_record(tmp_path: Path) -> None:
    everything = [texts.text("eng", random.Random(n), ["gender:woman"], 30) for n in range(4000)]
    texts.write_jsonl(tmp_path / "in.jsonl", everything, texts.site_each)
    curate(tmp_path / "w", tmp_path / "in.jsonl", "--config", "smoke", *NO_DEDUP, "--filters", "{length: {}}")
    line = [sys.executable, "-m", "audit.data", "representation", "--workspace", str(tmp_path / "w")]
    process = subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), text=True, start_new_session=True
    )
    end = time.monotonic() + 30
    while time.monotonic() < end and not list((tmp_path / "w" / "runs").glob("*/heartbeat")):
        assert process.poll() is None
        time.sleep(0.01)
    while time.monotonic() < end and len(ask(tmp_path / "w", "SELECT 1 FROM run WHERE kind = 'audit'")) == 0:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "interrupted" in err
    (row,) = ask(tmp_path / "w", "SELECT status FROM run WHERE kind = 'audit'")
    assert row["status"] == "interrupted"
    assert ask(tmp_path / "w", "SELECT * FROM finding") == []
