"""Personal data and licences in runs, with the real command."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.curation import inputs
from tests.curation.commands import NO_DEDUP, ask, check, command, curate, digests

SMOKE = ("--config", "smoke", "--toxicity.enabled", "false", "--language.threshold", "0")
EMAIL, PHONE, CARD, KEY = "jane.roe@mailhost.org", "+44 20 7946 0958", "4111 1111 1111 1111", "ghp_" + "a1B2" * 9
SECRETS = ("jane.roe", "7946 0958", "4111 1111", "ghp_a1B2")


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with everything, one with a licence, plain ones, a short one that is rejected, a source file."""
    folder = tmp_path_factory.mktemp("crawl") / "in"
    folder.mkdir()
    rows = [
        {
            "url": "http://a.example/mail",
            "title": f"Write to {EMAIL}",
            "text": f"{inputs.prose('en', 1)} Mail {EMAIL}.",
        },
        {"url": "http://a.example/all", "text": f"{inputs.prose('en', 2)} Call {PHONE}. Card: {CARD}. Token {KEY}."},
        {"url": "http://a.example/de", "text": f"{inputs.prose('de', 3)} Schreiben Sie an {EMAIL}."},
        {"url": "http://a.example/short", "text": f"Mail {EMAIL}"},
        {"url": "http://a.example/none", "text": inputs.prose("en", 4)},
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    page = inputs.page("en", 9)
    licence = '<a rel="license" href="https://creativecommons.org/licenses/by-sa/4.0/">CC</a></footer>'
    (folder / "licensed.html").write_text(page.replace("</footer>", licence))
    (folder / "plain.html").write_text(inputs.page("en", 10))
    code = "\n".join(f"def grind_{n}(grain):\n    return grain * {n}\n" for n in range(9))
    (folder / "tool.py").write_text(f"# SPDX-License-Identifier: MIT\n# by {EMAIL}\n{code}")
    return folder


def documents(workspace: Path) -> dict[str, dict[str, Any]]:
    """URL -> row of the newest run."""
    sql = (
        "SELECT coalesce(url, f.uri) AS url, title, step, reason, text, pii, page_license AS license, "
        "page_license_source AS license_source FROM document d "
        "JOIN shard s USING (shard_id) JOIN raw_file f USING (raw_file_id, run_id) "
        "WHERE s.run_id = (SELECT max(run_id) FROM run)"
    )
    return {row["url"].rsplit("/", 1)[1]: row for row in ask(workspace, sql)}


def held(workspace: Path) -> list[str]:
    """Which secrets any file of the shards still holds, uncompressed."""
    texts = ask(workspace, "SELECT text, title FROM document")
    everything = "\n".join(str(value) for row in texts for value in row.values())
    return [secret for secret in SECRETS if secret in everything]


@pytest.fixture(scope="module")
def masked(crawl: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = tmp_path_factory.mktemp("masked") / "w"
    curate(workspace, crawl, *SMOKE)
    return workspace


def test_kept_and_rejected_are_masked_and_counted(masked: Path) -> None:
    rows = documents(masked)
    assert held(masked) == []
    assert rows["mail"]["title"] == "Write to <EMAIL>"
    assert rows["mail"]["pii"]["email"] == 2
    assert "<EMAIL>" in rows["de"]["text"]
    assert rows["short"]["step"] is not None
    assert rows["short"]["text"] == "Mail <EMAIL>"
    found = {kind: n for kind, n in rows["all"]["pii"].items() if n}
    assert found == {"phone": 1, "card": 1, "key": 1}
    assert all(mark in rows["all"]["text"] for mark in ("<PHONE>", "<CARD>", "<KEY>"))
    assert not any(rows["none"]["pii"].values())
    assert "<EMAIL>" in rows["tool.py"]["text"]
    check(masked)


def test_counting_changes_no_text(crawl: Path, masked: Path, tmp_path: Path) -> None:
    curate(tmp_path / "w", crawl, *SMOKE, "--pii.action", "count")
    assert held(tmp_path / "w") == list(SECRETS)
    counted, before = documents(tmp_path / "w"), documents(masked)
    assert {url: row["pii"] for url, row in counted.items()} == {url: row["pii"] for url, row in before.items()}
    parent = ask(tmp_path / "w", "SELECT run_id FROM run")[0]["run_id"]
    curate(tmp_path / "w", "--from", parent, *SMOKE)
    assert digests(tmp_path / "w") == digests(masked)


def test_dropping_rejects_and_masks(crawl: Path, masked: Path, tmp_path: Path) -> None:
    drop = ("--pii.action", "drop", "--pii.kinds", "[card, key]")
    told = curate(tmp_path / "w", crawl, *SMOKE, *drop)
    rows = documents(tmp_path / "w")
    assert [url for url, row in rows.items() if row["step"] == "pii"] == ["all"]
    assert rows["all"]["reason"] == "key"
    assert "<CARD>" in rows["all"]["text"]
    assert PHONE in rows["all"]["text"]  # a kind that was not asked for
    assert "\npii " in told
    check(tmp_path / "w")
    shutil.copytree(masked, tmp_path / "w2")
    parent = ask(masked, "SELECT run_id FROM run")[0]["run_id"]
    curate(tmp_path / "w2", "--from", parent, *SMOKE, "--pii.action", "drop")
    curate(tmp_path / "w3", crawl, *SMOKE, "--pii.action", "drop")
    assert digests(tmp_path / "w2") == digests(tmp_path / "w3")
    assert documents(tmp_path / "w2")["mail"]["step"] == "pii"


@pytest.mark.parametrize("changed", [("--pii.action", "count"), ("--pii.action", "off"), ("--pii.kinds", "[email]")])
def test_what_is_masked_stays_masked(masked: Path, tmp_path: Path, changed: tuple[str, ...]) -> None:
    shutil.copytree(masked, tmp_path / "w")
    parent = ask(masked, "SELECT run_id FROM run")[0]["run_id"]
    done = command("curation.run", "--from", parent, *SMOKE, *changed, "--workspace", tmp_path / "w")
    assert done.returncode == 2
    assert "these need the raw input" in done.stderr
    assert changed[0].removeprefix("--") in done.stderr


def test_off_looks_at_nothing(crawl: Path, tmp_path: Path) -> None:
    curate(tmp_path / "w", crawl, *SMOKE, "--pii.action", "off")
    assert held(tmp_path / "w") == list(SECRETS)
    assert {row["pii"] for row in documents(tmp_path / "w").values()} == {None}


def test_wrong_options(crawl: Path, tmp_path: Path) -> None:
    for option, value, said in (
        ("--pii.kinds", "[emails]", "valid: card, email, iban, ip, key, national_id, phone"),
        ("--pii.action", "hide", "pii.action"),
        ("--pii.phone_regions", "[XX]", "XX"),
    ):
        done = command("curation.run", crawl, *SMOKE, option, value, "--workspace", tmp_path / "w")
        assert done.returncode == 2
        assert said in done.stderr


def test_texts_that_differ_in_personal_data_alone_are_the_same(tmp_path: Path) -> None:
    text = inputs.prose("en", 5)
    rows = [
        {"url": f"http://a.example/{n}", "text": f"{text} Write to {name}@mailhost.org."} for n, name in enumerate("xy")
    ]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    curate(tmp_path / "w", tmp_path / "in.jsonl", *SMOKE)
    assert sorted(row["reason"] or "" for row in documents(tmp_path / "w").values()) == ["", "same_text"]


def test_licences_are_noted(masked: Path, crawl: Path, tmp_path: Path) -> None:
    rows = documents(masked)
    assert (rows["licensed.html"]["license"], rows["licensed.html"]["license_source"]) == ("CC-BY-SA-4.0", "rel")
    assert (rows["tool.py"]["license"], rows["tool.py"]["license_source"]) == ("MIT", "spdx")
    assert rows["plain.html"]["license"] is None
    shutil.copytree(masked, tmp_path / "w")
    parent = ask(masked, "SELECT run_id FROM run")[0]["run_id"]
    curate(tmp_path / "w", "--from", parent, *SMOKE, *NO_DEDUP)
    assert documents(tmp_path / "w")["licensed.html"]["license"] == "CC-BY-SA-4.0"
