"""``training.batch``: the documents of a step, and what must not be shown of them."""

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from curation.dataset import takedown
from curation.records import RunDataset
from curation.workspace import Workspace
from tests.training.data.corpus import config, record_run, texts
from training import batch
from training.batch import step_documents
from training.data import open_data
from training.text import escaped


def test_rows_are_the_documents_whose_tokens_the_step_reads(corpus: Workspace, run_id: str) -> None:
    data = open_data(corpus, config())
    for step in (1, 50):
        found = step_documents(corpus, run_id, step)
        wanted = set()
        for sample in data.order.step_samples(step):
            stream = data.datasets[sample.dataset].stream("train")
            for document in stream.documents(sample.sequence * 32, sample.sequence * 32 + 33):
                wanted.add((data.datasets[sample.dataset].name, document.document_id))
        assert {(row["dataset"].partition("@")[0], row["document_id"]) for row in found} == wanted
        assert sum(row["tokens"] for row in found) == 8 * 33
        for row in found:
            assert row["url"].startswith("https://a.example/")
            assert row["language"] == "eng_Latn"


def test_excerpts_are_what_the_step_reads(corpus: Workspace, run_id: str) -> None:
    known = {f"https://a.example/{number}": text for number, text in enumerate(texts(60))}
    seen = 0
    for step in range(1, 5):
        for row in step_documents(corpus, run_id, step, text=True):
            assert row["text"].strip("\ufffd") in str(escaped(known[row["url"]]))
            seen += len(row["text"]) > 5
    assert seen > 10


def test_samples_make_up_the_step(corpus: Workspace, run_id: str) -> None:
    total: dict[tuple[str, str, int], int] = {}
    for sample in range(8):
        for row in step_documents(corpus, run_id, 9, sample):
            key = (row["dataset"], row["document_id"], row["epoch"])
            total[key] = total.get(key, 0) + row["tokens"]
    whole = step_documents(corpus, run_id, 9)
    assert total == {(row["dataset"], row["document_id"], row["epoch"]): row["tokens"] for row in whole}


def printed(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> str:
    assert batch.main([str(each) for each in arguments]) == code
    captured = capsys.readouterr()
    return captured.err if code else captured.out


def test_formats_have_the_same_rows(corpus: Workspace, run_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    common = (run_id, 3, "--workspace", corpus.name)
    rows = [json.loads(line) for line in printed(capsys, *common, "--format", "json").splitlines()]
    assert rows == step_documents(corpus, run_id, 3)
    table = printed(capsys, *common)
    assert all(row["document_id"] in table for row in rows)
    assert "next: python -m curation.catalog sql" in table
    read: list[dict[str, Any]] = list(csv.DictReader(io.StringIO(printed(capsys, *common, "--format", "csv"))))
    assert [row["document_id"] for row in read] == [row["document_id"] for row in rows]


def test_no_control_character_reaches_the_terminal(
    corpus: Workspace, run_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = (step for step in range(1, 51) if "u202e" in str(step_documents(corpus, run_id, step, text=True)))
    step = next(hostile)
    for style in ("table", "csv", "json"):
        found = printed(capsys, run_id, step, "--workspace", corpus.name, "--text", "--format", style)
        assert "u202e" in found
        assert all(each.isprintable() or each in "\r\n" for each in found)


def test_escapes() -> None:
    assert escaped("\x1b[31m a\nb \u202e\x9b") == r"\x1b[31m a\nb \u202e\x9b"
    assert escaped("plain, ünïcode 字") == "plain, ünïcode 字"
    assert escaped(None) is None


def test_what_is_taken_down_keeps_its_place_and_loses_text_and_url(own: Workspace, run_id: str) -> None:
    before = step_documents(own, run_id, 3, text=True)
    gone = before[0]["document_id"]
    takedown(own, "id", gone, "asked for")
    after = step_documents(own, run_id, 3, text=True)
    assert [row["document_id"] for row in after] == [row["document_id"] for row in before]
    for old, new in zip(before, after, strict=True):
        hidden = new["document_id"] == gone
        assert (new["url"], new["text"]) == ((None, "") if hidden else (old["url"], old["text"]))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("R", 0), "steps 1 to 50"),
        (("R", 51), "steps 1 to 50"),
        (("R", 1, "--sample", 8), "sequences 0 to 7"),
        (("R", 1, "--sample", -1), "sequences 0 to 7"),
        (("nope", 1), "unknown training run 'nope'"),
    ],
)
def test_wrong_usage_is_one_clear_line(
    corpus: Workspace, run_id: str, arguments: tuple[Any, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    named = [run_id if each == "R" else each for each in arguments]
    error = printed(capsys, *named, "--workspace", corpus.name, code=2)
    assert says in error
    assert len(error.splitlines()) == 1


def test_no_workspace_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "none yet" in printed(capsys, "R", 1, "--workspace", tmp_path / "none", code=2)


def test_changed_data_is_refused(own: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """A run whose record does not fit its datasets, or whose tokens are gone, is not answered with other documents."""
    run = record_run(own, config(("a-tokens",), (1.0,)))
    (path,) = [each for each in (own.records / "run").glob("*.json") if each.stem == run]
    record = json.loads(path.read_text())
    changed = json.loads(record["config"])
    changed["config"]["seed"] = 5
    path.write_text(json.dumps({**record, "config": json.dumps(changed)}))
    assert "not those that it was trained on" in printed(capsys, run, 1, "--workspace", own.name, code=2)
    path.write_text(json.dumps(record))
    assert printed(capsys, run, 1, "--workspace", own.name)
    (dataset,) = [row for row in own.rows(RunDataset.kind) if row["run_id"] == run]
    shutil.rmtree(own.root / "tokens" / dataset["dataset_id"] / "train")
    assert "missing" in printed(capsys, run, 1, "--workspace", own.name, code=2)
