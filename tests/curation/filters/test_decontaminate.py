"""The filter ``decontaminate``: its options, in every part of a run, and the command over stored documents."""

import json
import logging
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from datatrove.data import Document

from curation.decontaminate.__main__ import main
from curation.decontaminate.ensemble import LONG, Ensemble, recall
from curation.decontaminate.items import Item
from curation.errors import UserError
from curation.filters import build_filters, open_filters, prepare_filters
from curation.filters.decontaminate import METADATA
from curation.words import Words
from tests.curation import inputs
from tests.curation.commands import NO_DEDUP, ask, check, command, curate, digests, reasons
from tests.curation.items_in_texts import changed_at, write_items

SIX = "Penguins seldom borrow their neighbours' umbrellas."
LONG_TEXT = inputs.prose("en", 99, 30)
ITEMS = [
    Item("riddles", "1", SIX),
    Item("riddles", "2", "Which planet of the solar system has the shortest year?"),
    Item("riddles", "short", "Who knows?"),
    Item("essays", "\x1b[31mred", LONG_TEXT),
]


def opened(options: dict[str, Any], cache: Path) -> Any:
    named = {"decontaminate": options}
    (found,) = open_filters(named, cache, prepare_filters(named, cache))
    return found


def of(text: str) -> Document:
    return Document(text=text, id="x", metadata={"language": "eng_Latn"})


def test_scores_are_of_the_best_match_and_all_matches_are_kept(tmp_path: Path) -> None:
    each = opened({"items": [str(write_items(tmp_path / "items.jsonl", ITEMS))]}, tmp_path / "cache")
    nothing = of("nothing of the kind")
    assert each.score(nothing) == {"hits": 0, "overlap": 0.0, "item_set": "", "item_id": "", "exact": False}
    assert METADATA not in nothing.metadata
    document = of("Which star of the solar system has the shortest year? " + SIX)
    scores = {"hits": 2, "overlap": 1.0, "item_set": "riddles", "item_id": "1", "exact": True}
    assert each.score(document) == scores
    assert document.metadata[METADATA] == each.matches(document)
    assert [(match.item_id, match.how, match.overlap) for match in each.matches(document)] == [
        ("1", "whole", 1.0),
        ("2", "near", 0.9),
    ]
    document.text = "another text"
    each.score(document)
    assert METADATA not in document.metadata


def test_what_is_dropped(tmp_path: Path) -> None:
    items = [str(write_items(tmp_path / "items.jsonl", ITEMS))]
    flag, drop, strict = (
        opened({"items": items, **more}, tmp_path / "cache")
        for more in ({}, {"action": "drop"}, {"action": "drop", "min_overlap": 0.95})
    )
    for text, reasons_ in (
        (SIX, (None, "contaminated", "contaminated")),
        (SIX.replace("seldom", "often"), (None, "contaminated", None)),
        ("no item", (None, None, None)),
    ):
        assert tuple(each.reason(each.score(of(text))) for each in (flag, drop, strict)) == reasons_


def test_short_items_are_counted_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_items(tmp_path / "items.jsonl", [*ITEMS, ITEMS[0]])
    for _ in range(2):  # also where the index is there already
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            opened({"items": [str(path)]}, tmp_path / "cache")
        short, repeated = caplog.messages
        assert "1 of 4 items have fewer than 6 words and are not looked for: riddles 1 (such as 'short')" in short
        assert "1 line(s) say again what another says" in repeated
    assert len(list((tmp_path / "cache" / "items").iterdir())) == 1


def test_wrong_options_name_themselves(tmp_path: Path) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"action": "remove"}, r"filters\.decontaminate: .*action"),
        ({"min_overlap": 1.5}, r"filters\.decontaminate\.min_overlap: 1\.5"),
        ({"min_words": 2}, r"filters\.decontaminate\.min_words: 2"),
    ]
    for options, message in wrong:
        with pytest.raises(UserError, match=message):
            build_filters({"decontaminate": options})
    with pytest.raises(UserError, match=r"filters\.decontaminate\.items: .*none\.jsonl: cannot be read"):
        opened({"items": [str(tmp_path / "none.jsonl")]}, tmp_path)
    short = write_items(tmp_path / "short.jsonl", [ITEMS[2]])
    with pytest.raises(UserError, match="all 1 items have fewer than 6 words"):
        opened({"items": [str(short)]}, tmp_path)
    (tmp_path / "b").mkdir()
    same = [str(short), str(write_items(tmp_path / "b" / "short.jsonl", ITEMS))]
    with pytest.raises(UserError, match=r"two files are called 'short\.jsonl'"):
        opened({"items": same}, tmp_path)


def test_the_order_of_files_makes_no_difference(tmp_path: Path) -> None:
    first = str(write_items(tmp_path / "first.jsonl", ITEMS[:2]))
    second = str(write_items(tmp_path / "second.jsonl", [Item("more", "1", SIX), *ITEMS[3:]]))
    found = [opened({"items": items}, tmp_path / "cache") for items in ([first, second], [second, first])]
    assert found[0].opened.path == found[1].opened.path
    assert {match.item_set for match in found[0].matches(of(SIX))} == {"riddles", "more"}


# ---- a run ------------------------------------------------------------------------------------

ROWS = {
    "clean": inputs.prose("en", 1),
    "six": f"{inputs.prose('en', 2)} {SIX} {inputs.prose('en', 3)}",
    "near": f"{inputs.prose('en', 4)} {SIX.replace('seldom', 'rarely')}",
    "long": f"{inputs.prose('en', 5)}\n{LONG_TEXT}",
    "topic": f"{inputs.prose('en', 6)} Penguins have no umbrellas, nor do their neighbours borrow any.",
}


def flags(items: Path, **options: Any) -> tuple[str, ...]:
    return (
        *("--config", "smoke", *NO_DEDUP, "--filters"),
        json.dumps({"decontaminate": {"items": [str(items)], **options}, "length": {"min_characters": 40}}),
    )


@pytest.fixture(scope="module")
def curated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run ``w`` that flagged, with its ``items.jsonl`` and ``lines.jsonl``."""
    folder = tmp_path_factory.mktemp("curated")
    rows = ({"text": text, "url": f"http://{name}.example/"} for name, text in ROWS.items())
    (folder / "lines.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    curate(folder / "w", folder / "lines.jsonl", *flags(write_items(folder / "items.jsonl", ITEMS)))
    return folder


def test_a_run_flags_or_drops(curated: Path, tmp_path: Path) -> None:
    found = ask(
        curated / "w",
        "SELECT domain, contamination.hits AS hits, contamination.item_id AS item, contamination.exact AS exact "
        "FROM document ORDER BY record_offset",
    )
    assert [(row["domain"], row["hits"], row["item"], row["exact"]) for row in found] == [
        ("clean.example", 0, "", False),
        ("six.example", 1, "1", True),
        ("near.example", 1, "1", False),
        ("long.example", 1, "\x1b[31mred", True),
        ("topic.example", 0, "", False),
    ]
    check(curated / "w")
    curate(tmp_path / "w", curated / "lines.jsonl", *flags(curated / "items.jsonl", action="drop"))
    assert reasons(tmp_path / "w") == {("kept", ""): 2, ("decontaminate", "contaminated"): 3}
    check(tmp_path / "w")


def test_changed_items_are_looked_for_anew(curated: Path, tmp_path: Path) -> None:
    workspace = shutil.copytree(curated / "w", tmp_path / "w")
    (old,) = ask(workspace, "SELECT run_id, config FROM run")
    assert json.loads(old["config"])["prepared"]["decontaminate"].keys() == {"items items.jsonl"}
    (tmp_path / "new").mkdir()
    new = write_items(tmp_path / "new" / "items.jsonl", ITEMS[1:])
    curate(workspace, "--from", old["run_id"], *flags(new, action="drop"))
    curate(tmp_path / "full", curated / "lines.jsonl", *flags(new, action="drop"))
    assert digests(workspace) == digests(tmp_path / "full")
    assert reasons(tmp_path / "full")[("decontaminate", "contaminated")] == 1


def test_the_command_says_what_a_run_holds(curated: Path) -> None:
    (run,) = ask(curated / "w", "SELECT run_id FROM run")
    items, workspace = curated / "items.jsonl", curated / "w"
    done = command("curation.decontaminate", run["run_id"], "--items", items, "--workspace", workspace)
    assert done.returncode == 0, done.stderr
    assert "3 of 5 kept documents" in done.stdout
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["essays", "1", "1", "1", "1", "1"] in lines
    assert ["riddles", "3", "2", "1", "1", "2"] in lines
    assert "1 of 1 pairs of item and document" in done.stdout
    assert "recall 1.000" in done.stdout
    assert "\x1b" not in done.stdout
    assert "fewer than 6 words" in done.stderr


def test_the_command_names_what_is_wrong(curated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run,) = ask(curated / "w", "SELECT run_id FROM run")
    good, items, workspace = run["run_id"], str(curated / "items.jsonl"), str(curated / "w")
    for arguments, message in (
        (["no-such-run", "--items", items, "--workspace", workspace], "no run 'no-such-run'"),
        ([good, "--items", str(tmp_path / "none"), "--workspace", workspace], "--items: "),
        ([good, "--items", items, "--workspace", str(tmp_path / "none")], "no workspace at"),
        ([good, "--items", items, "--workspace", workspace, "--min-words", "1"], "--min-words 1"),
    ):
        assert main(arguments) == 2
        assert message in capsys.readouterr().err


def test_minhash_finds_most_long_items_in_finished_runs() -> None:
    """Items of which one word in six is changed, alone in a document or within one twice as long."""
    chance = random.Random(0)
    items = {str(seed): inputs.prose("en", seed, 25) for seed in range(60)}
    documents = {}
    for name, text in items.items():
        words = text.split()
        assert len(words) > LONG
        places = chance.sample(range(len(words)), len(words) // 6)
        around = inputs.prose("de", int(name), 25) if int(name) % 2 else ""
        documents[name] = " ".join(changed_at(words, places, ["elsewhere"], "any", chance)) + " " + around
    ensemble = Ensemble.of((name, Words(text, "eng_Latn")) for name, text in documents.items())
    found = {name: ensemble.query(text) for name, text in items.items()}
    pairs, hit, others = recall(found, {name: {name} for name in items})
    assert pairs == 60
    assert hit >= 0.8 * pairs
    assert others <= 6
    assert Ensemble.of([]).query(SIX) == set()
