"""Training: what depends on what, texts from everywhere, and every way of doing it wrong."""

import gzip
import hashlib
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from curation.dataset import create
from curation.errors import UserError
from curation.quality.__main__ import main
from curation.quality.train import Collection, TrainConfig
from curation.storage import open_workspace
from tests.curation import inputs
from tests.curation.commands import NO_DEDUP, ask, command, curate
from tests.curation.quality import graded

ENGLISH = ("--language", "eng_Latn")


def train(folder: Path, positive: object, negative: object, *arguments: object, to: str = "m.bin") -> Path:
    """Train in this process; returns the model."""
    line = ["train", "--positive", positive, "--negative", negative, "--to", folder / to]
    assert main([str(each) for each in (*line, "--workspace", folder / "w", *arguments)]) == 0
    return folder / to


def card_of(model: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(model.with_name(f"{model.name}.json").read_bytes())
    return found


def select(folder: Path, positive: list[str], negative: list[str], least: int = 1) -> Any:
    collection = Collection(folder)
    for texts, side in ((positive, True), (negative, False)):
        collection.add(((text, "eng_Latn") for text in texts), side)
    return collection.select(least)


def test_what_the_process_did_before_changes_nothing(sides: tuple[Path, Path], model: Path, tmp_path: Path) -> None:
    used = [b"\xff" * 500 for _ in range(400_000)]  # 200 MB that the C library keeps
    del used
    assert train(tmp_path, *sides, *ENGLISH).read_bytes() == model.read_bytes()


def test_the_command(sides: tuple[Path, Path], model: Path, tmp_path: Path) -> None:
    done = command(
        "curation.quality", "train", "--positive", sides[0], "--negative", sides[1], *ENGLISH, "--to", tmp_path / "m"
    )
    assert done.returncode == 0, done.stderr
    assert "in eng_Latn" in done.stdout
    assert "min_score" in done.stdout
    assert f"next: python -m curation.run INPUT --workspace workspace --filters '{{quality: {{model: {tmp_path}/m" in (
        done.stdout
    )
    assert (tmp_path / "m").read_bytes() == model.read_bytes()  # another process, the same bytes
    card = card_of(tmp_path / "m")
    assert card["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
    assert card["languages"] == ["eng_Latn"]
    training = card["training"]
    assert [each["id"] for each in training["sources"]["positive"]] == [
        hashlib.sha256(sides[0].read_bytes()).hexdigest()
    ]
    counts = {what: training[what]["positive"] + training[what]["negative"] for what in ("learned", "held_out")}
    assert sum(counts.values()) == 600
    assert counts["held_out"] == pytest.approx(120, abs=30)
    assert card["report"]["positives"] == training["held_out"]["positive"]
    assert card["report"]["auc"]["low"] > 0.6


def test_order_names_and_copies_change_nothing(sides: tuple[Path, Path], model: Path, tmp_path: Path) -> None:
    folders = []
    for number, path in enumerate(sides):
        lines = path.read_text().splitlines(keepends=True)
        lines += [line.upper().replace('"TEXT"', '"text"') for line in lines[::9]]
        random.Random(number).shuffle(lines)
        folder = tmp_path / f"in{number}"
        folder.mkdir()
        for part in range(3):
            (folder / f"{part}.jsonl").write_text("".join(lines[part::3]))
        folders.append(folder)
    other = train(tmp_path, *folders, *ENGLISH)
    before, after = card_of(model), card_of(other)
    assert after["training"]["left_out"]["copies"] > 50
    assert after["training"]["learned"] == before["training"]["learned"]
    kept = {line for path in sides for line in path.read_text().splitlines()}
    assert len(kept) == 600
    # Which of two texts that differ in case alone stays is decided by a hash, not by who came first.
    again = train(tmp_path, *reversed_inside(folders, tmp_path), *ENGLISH, to="again")
    assert again.read_bytes() == other.read_bytes()
    assert card_of(again)["report"] == after["report"]


def reversed_inside(folders: list[Path], tmp_path: Path) -> list[Path]:
    """The same lines in one file each, backwards."""
    found = []
    for number, folder in enumerate(folders):
        lines = [line for path in sorted(folder.iterdir()) for line in path.read_text().splitlines(keepends=True)]
        found.append(tmp_path / f"z{number}.jsonl")
        found[-1].write_text("".join(reversed(lines)))
    return found


def test_the_seed_decides_and_the_split_does_not_depend_on_it(
    sides: tuple[Path, Path], model: Path, tmp_path: Path
) -> None:
    other = train(tmp_path, *sides, *ENGLISH, "--seed", 1)
    assert other.read_bytes() != model.read_bytes()
    before, after = card_of(model)["report"], card_of(other)["report"]
    assert (before["positives"], before["negatives"]) == (after["positives"], after["negatives"])
    assert before["auc"]["value"] == pytest.approx(after["auc"]["value"], abs=0.05)


def test_copies_never_fall_on_both_sides_of_the_split(tmp_path: Path) -> None:
    positive, negative = graded.sides(40)
    selection = select(tmp_path, positive, negative)
    held = {line.lower() for line, _ in selection.lines(selection.held_out(0.3))}
    # More texts, copies among them: what was held out still is, and no copy of it is learned from.
    more, others = graded.sides(40, first=500)
    shouted = [text.upper() for text in positive]
    larger = select(tmp_path, [*more, *shouted, *positive], [*others, *negative])
    chosen = larger.held_out(0.3)
    learned = {line.lower() for line, _ in larger.lines(~chosen)}
    assert held
    assert held <= {line.lower() for line, _ in larger.lines(chosen)}
    assert not held & learned
    assert larger.copies == len(positive)


def test_texts_on_both_sides_say_nothing(tmp_path: Path) -> None:
    positive, negative = graded.sides(20)
    selection = select(tmp_path, [*positive, *negative[:3], positive[0]], [*negative, positive[1].upper(), " \n"])
    assert (selection.on_both_sides, selection.copies) == (4, 1)
    assert selection.languages == {"eng_Latn": (len(positive) - 1, len(negative) - 3)}
    assert selection.collection.empty == 1
    assert len(selection.index) == len(positive) + len(negative) - 4
    assert sum(side for _, side in selection.lines(np.ones(len(selection.index), dtype=bool))) == len(positive) - 1


def test_files_of_every_kind(sides: tuple[Path, Path], model: Path, tmp_path: Path) -> None:
    texts = [json.loads(line)["text"] for line in sides[0].read_text().splitlines()]
    folder = tmp_path / "in"
    folder.mkdir()
    lines = [json.dumps({"text": text}) + "\n" for text in texts]
    (folder / "a.jsonl.gz").write_bytes(gzip.compress("".join(lines[:80]).encode()))
    (folder / "b.jsonl.zst").write_bytes(zstandard.compress("".join(lines[80:160]).encode() + b"no json\n"))
    pq.write_table(pa.table({"text": texts[160:240]}), folder / "c.parquet")
    for number, text in enumerate(texts[240:]):
        (folder / f"{number}.txt").write_text(text)
    (folder / "page.html").write_text(inputs.page("en", 1))
    other = train(tmp_path, folder, sides[1], *ENGLISH)
    assert other.read_bytes() == model.read_bytes()
    left_out = [source["left_out"] for source in card_of(other)["training"]["sources"]["positive"]]
    assert sorted(map(str, filter(None, left_out))) == ["{'bad_json': 1}", "{'html': 1}"]


def test_runs_datasets_and_other_languages(sides: tuple[Path, Path], tmp_path: Path, capsys: Any) -> None:
    crawl = tmp_path / "crawl.jsonl"
    german = [inputs.prose("de", number) for number in range(60)]
    graded.write(crawl, [json.loads(line)["text"] for line in sides[1].read_text().splitlines()] + german)
    bare = ("--config", "smoke", "--language.threshold", 0, "--filters", "{}", "--toxicity.enabled", "false")
    curate(tmp_path / "w", crawl, *bare, *NO_DEDUP)
    (run,) = (row["run_id"] for row in ask(tmp_path / "w", "SELECT run_id FROM run"))
    create(open_workspace(tmp_path / "w"), "crawl", run)
    of_run = train(tmp_path, sides[0], run)
    told = capsys.readouterr().out
    assert "deu_Latn (0 positive, 60 negative)" in told
    card = card_of(of_run)
    assert card["languages"] == ["eng_Latn"]
    assert card["training"]["left_out"]["languages"] == {"deu_Latn": {"positive": 0, "negative": 60}}
    of_dataset = train(tmp_path, sides[0], "crawl@1", *ENGLISH, to="d.bin")
    assert of_dataset.read_bytes() == of_run.read_bytes()
    texts = len(sides[1].read_text().splitlines())
    assert card_of(of_dataset)["training"]["sources"]["negative"] == [
        {"name": "crawl@1", "what": "dataset", "id": "crawl@1", "texts": texts, "left_out": {"other_language": 60}}
    ]
    workspace = ("--workspace", str(tmp_path / "w"))
    for name, said in (
        ("crawl@9", "unknown dataset 'crawl@9'; valid: crawl@1"),
        ("nothing", "unknown file, dataset or run for --negative 'nothing'; valid: "),
        ("01ARZ3NDEKTSV4RRFFQ69G5FAV", f"unknown run for --negative '01ARZ3NDEKTSV4RRFFQ69G5FAV'; valid: {run}"),
    ):
        line = ["train", "--positive", str(sides[0]), "--negative", name, "--to", str(tmp_path / "x")]
        assert main([*line, *workspace]) == 2
        assert said in capsys.readouterr().err
        assert not (tmp_path / "x").exists()


def test_report_on_other_texts(model: Path, tmp_path: Path, capsys: Any) -> None:
    positive, negative = graded.sides(60, first=9000)
    files = [graded.write(tmp_path / "p.jsonl", positive), graded.write(tmp_path / "n.jsonl", negative)]
    line = ["report", str(model), "--positive", str(files[0]), "--negative", str(files[1]), *ENGLISH]
    assert main(line) == 0
    told = capsys.readouterr().out
    assert f"{len(positive)} positive and {len(negative)} negative texts" in told
    assert "next: python -m curation.run" in told
    assert main([*line, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["positives"], found["negatives"]) == (len(positive), len(negative))
    assert found["auc"]["low"] > 0.6
    assert main([*line, "--label", "negative", "--json"]) == 0
    told = capsys.readouterr()
    turned = json.loads(told.out)
    assert "few texts were looked at" in told.err
    assert "either the label is the wrong one, or texts of the two sides are near-copies" in told.err
    assert turned["auc"]["value"] == pytest.approx(1 - found["auc"]["value"], abs=1e-3)
    for arguments, said in (
        ((*line[:-1], "deu_Latn"), "--language: the model was trained on eng_Latn, not on deu_Latn"),
        ((*line, "--label", "good"), "unknown label of the quality model 'good'"),
        (("report", str(tmp_path / "none"), *line[2:]), "none: no such file"),
    ):
        assert main(list(arguments)) == 2
        assert said in capsys.readouterr().err


def test_a_learning_rate_that_diverges_is_halved(sides: tuple[Path, Path], tmp_path: Path, caplog: Any) -> None:
    other = train(tmp_path, *sides, *ENGLISH, "--lr", 256)
    parameters = card_of(other)["training"]["parameters"]
    assert parameters["lr_asked"] == 256
    assert 8 <= parameters["lr"] <= 128


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--lr", "100000"), "--lr 100000: training diverges"),
        (("--lr", "0"), "--lr 0.0: must be above 0"),
        (("--held-out", "1"), "--held-out 1.0: must lie between 0 and 1"),
        (("--held-out", "0.00001"), "too few texts for --held-out 1e-05"),
        (("--ngrams", "1"), "--ngrams 1: must be at least 2"),
        (("--buckets", "1000"), "--buckets 1000: with --dim 32 must be at least 262144"),
        (("--min-count", "100000"), "--min-count 100000: no word is as frequent"),
        (("--epochs", "0"), "--epochs 0: must be at least 1"),
        (("--seed", "-1"), "--seed -1: must lie between"),
        (("--least", "1000"), "no language has 1000 positive and 1000 negative ones"),
        (("--language", "klingon"), "--language: unknown language 'klingon'"),
        (("--language", "srp"), "--language srp: is written in several scripts; name one"),
        (("--to", "/nowhere/m.bin"), "--to /nowhere/m.bin: name a file in a folder that exists"),
        (("--positive", "/nowhere/a.jsonl"), "--positive: input '/nowhere/a.jsonl': no such file"),
    ],
)
def test_wrong_options_name_themselves(
    sides: tuple[Path, Path], tmp_path: Path, capsys: Any, arguments: tuple[str, str], said: str
) -> None:
    line = ["train", "--positive", str(sides[0]), "--negative", str(sides[1]), *ENGLISH, "--to", str(tmp_path / "m")]
    assert main([*line, *arguments]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_files_without_texts_are_named(sides: tuple[Path, Path], tmp_path: Path, capsys: Any) -> None:
    odd = tmp_path / "odd.jsonl"
    odd.write_text('{"title": "a"}\nno json\n')
    assert main(["train", "--positive", str(odd), "--negative", str(sides[1]), "--to", str(tmp_path / "m")]) == 2
    assert f"--positive {odd}: no text found (1 bad_json, 1 no_text)" in capsys.readouterr().err


def test_a_config_is_checked_where_it_is_made() -> None:
    with pytest.raises(UserError, match="--dim 0"):
        TrainConfig(dim=0)
