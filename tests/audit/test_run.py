"""``python -m audit.run``: the real command on small models."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from audit.recorded import model_audits, results_path
from audit.run import main
from curation.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_SOME_FAILED, EXIT_USAGE
from curation.recorded import recorded_run
from curation.records import RunDataset
from curation.workspace import Workspace
from tests.audit.checkpoints import write_checkpoint
from tests.audit.models import saved
from tests.audit.probes.samples import sample_of
from tests.curation import inputs
from tests.curation.commands import ask, check, command, curate, environment


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    saved(folder, max_position_embeddings=256)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sets")
    (folder / "crows_pairs").mkdir()
    sample_of("crows_pairs").write(folder / "crows_pairs", 1)
    return folder


def _audit(model: Path | str, workspace: Path, *more: object) -> int:
    return main(["--checkpoint", str(model), "--workspace", str(workspace), *map(str, more)])


def _findings(workspace: Path) -> list[dict[str, Any]]:
    return ask(workspace, "SELECT * FROM finding ORDER BY run_id, probe_id, metric, language, group_name")


def test_findings_results_and_words(
    model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = _audit(
        model, tmp_path / "W", "--probes", "crows_pairs,perplexity", "--limit", 30, "--data", data, "--groups"
    )
    out = capsys.readouterr().out
    assert code == EXIT_DONE
    assert "pct_stereotype" in out
    assert "too small to say" in out
    assert "\nnext: " in out
    (run,) = ask(tmp_path / "W", "SELECT * FROM run")
    assert (run["kind"], run["status"]) == ("audit", "done")
    findings = _findings(tmp_path / "W")
    assert {row["subject_kind"] for row in findings} == {"model"}
    (overall,) = [row for row in findings if row["metric"] == "pct_stereotype" and row["group_name"] is None]
    assert overall["n"] == 30
    assert overall["ci_low"] <= overall["value"] <= overall["ci_high"]
    assert overall["status"] == "scored"
    assert overall["mde"] > 0
    (meaning,) = ask(tmp_path / "W", "SELECT * FROM probe_metric WHERE metric = 'pct_stereotype'")
    assert (meaning["ideal"], meaning["kind"], meaning["license"]) == (0.5, "bias", "CC-BY-SA-4.0")
    table = pq.read_table(results_path(Workspace(tmp_path / "W"), run["run_id"], "crows_pairs")).to_pylist()
    assert len(table) == 60
    first = [row for row in table if row["item_id"] == table[0]["item_id"]]
    assert [row["role"] for row in first] == ["stereotype", "antistereotype"]
    for row in table:
        assert row["score"] == pytest.approx(sum(row["log_likelihoods"]))
        assert len(row["tokens"]) == len(row["log_likelihoods"])
        assert row["start_token"] == 0
    share = sum(row["measures"]["stereotype"] for row in table[::2]) / 30
    assert overall["value"] == pytest.approx(share)
    check(tmp_path / "W")


def test_batches_change_nothing_that_counts(model: Path, data: Path, tmp_path: Path) -> None:
    found = []
    for number, size in enumerate((64, 2048)):
        workspace = tmp_path / str(number)
        asked = ("--probes", "crows_pairs", "--data", data, "--batch_tokens", size)
        assert _audit(model, workspace, *asked) == EXIT_DONE
        found.append(_findings(workspace))
    for one, other in zip(*found, strict=True):
        assert (one["metric"], one["group_name"], one["n"]) == (other["metric"], other["group_name"], other["n"])
        assert one["value"] == pytest.approx(other["value"], abs=2e-4)


def test_missing_data_is_not_run_and_says_how_to_get_it(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _audit(model, tmp_path / "W", "--probes", "crows_pairs,pairs", "--limit", 20) == EXIT_SOME_FAILED
    out = capsys.readouterr().out
    assert "crows_pairs: not run" in out
    assert "https://github.com/nyu-mll/crows-pairs" in out
    findings = _findings(tmp_path / "W")
    missing = [row for row in findings if row["probe_id"] == "crows_pairs"]
    assert {row["status"] for row in missing} == {"not_run"}
    assert {row["value"] for row in missing} == {None}
    assert "--data" in missing[0]["why"]
    assert any(row["probe_id"] == "pairs" and row["status"] == "scored" for row in findings)


def test_malformed_data_is_named_and_nothing_is_recorded(
    model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "crows_pairs").mkdir()
    text = (data / "crows_pairs" / "crows_pairs_anonymized.csv").read_text()
    (tmp_path / "crows_pairs" / "crows_pairs_anonymized.csv").write_text(text.replace(",age,", ",ages,", 1))
    assert _audit(model, tmp_path / "W", "--probes", "crows_pairs", "--data", tmp_path) == EXIT_USAGE
    err = capsys.readouterr().err
    assert "crows_pairs_anonymized.csv: line 2" in err
    assert "bias_type" in err
    assert not (tmp_path / "W" / "records").exists()


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (("--probes", "crows"), "valid: "),
        (("--suite", "swift"), "quick"),
        (("--limit", "0"), "--limit 0"),
        (("--data", "/no/such/folder"), "--data"),
        (("--device", "tpu"), "--device tpu"),
        (("--probes", ","), "--probes"),
        (("--seeds", "1"), "seeds"),
        (("--run-id", "x"), "ULID"),
    ],
)
def test_wrong_usage_names_the_option(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], asked: tuple[str, ...], says: str
) -> None:
    assert _audit(model, tmp_path / "W", *asked) == EXIT_USAGE
    assert says in capsys.readouterr().err


def test_a_killed_audit_goes_on_and_finds_the_same(model: Path, data: Path, tmp_path: Path) -> None:
    asked = ("--probes", "crows_pairs,perplexity", "--limit", 40, "--data", data)
    line = [sys.executable, "-c", _SLOW, "--checkpoint", str(model), "--workspace", str(tmp_path / "W")]
    process = subprocess.Popen([*line, *map(str, asked)], env=environment(), stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while not len(list((tmp_path / "W" / "audits").glob("*/parts/*/*.parquet"))) >= 2:
        assert time.monotonic() < until
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert _findings(tmp_path / "W") == []
    parts = {path: path.stat().st_mtime_ns for path in (tmp_path / "W" / "audits").glob("*/parts/*/*.parquet")}
    again = subprocess.run([*line, *map(str, asked)], env=environment(), capture_output=True, text=True, check=False)
    assert again.returncode == EXIT_DONE, again.stderr
    assert "going on with audit" in again.stderr
    (run,) = ask(tmp_path / "W", "SELECT * FROM run")
    assert (run["status"], run["attempts"]) == ("done", 2)
    assert parts
    assert not list((tmp_path / "W" / "audits").glob("*/parts/*/*.parquet"))
    assert _audit(model, tmp_path / "again", *asked) == EXIT_DONE
    mine, theirs = _findings(tmp_path / "W"), _findings(tmp_path / "again")
    for row in (*mine, *theirs):
        del row["finding_id"], row["run_id"]
    assert mine
    _check_alike(mine, theirs)


_SLOW = """
import sys, time
import audit.auditing as auditing
auditing.PART_TOKENS = 200  # many parts
write = auditing.write_results
def slowly(*arguments):
    time.sleep(0.1)
    write(*arguments)
auditing.write_results = slowly
from audit.run import main
sys.exit(main())
"""


def _check_alike(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> None:
    assert len(one) == len(other)
    for mine, theirs in zip(one, other, strict=True):
        for name, value in mine.items():
            assert value == (pytest.approx(theirs[name], abs=2e-4) if isinstance(value, float) else theirs[name]), name


def test_an_interrupted_audit_says_how_to_go_on(model: Path, data: Path, tmp_path: Path) -> None:
    line = [sys.executable, "-c", _SLOW, "--checkpoint", str(model), "--workspace", str(tmp_path / "W")]
    process = subprocess.Popen(
        [*line, "--probes", "crows_pairs", "--data", str(data)],
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until = time.monotonic() + 120
    while not list((tmp_path / "W" / "audits").glob("*/parts/*/*.parquet")):
        assert time.monotonic() < until
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == EXIT_INTERRUPTED
    assert "goes on" in err
    assert [row["status"] for row in ask(tmp_path / "W", "SELECT status FROM run")] == ["interrupted"]


def test_list_names_source_and_licence_of_every_probe(capsys: pytest.CaptureFixture[str]) -> None:
    from audit.probes import probes

    assert main(["--list"]) == EXIT_DONE
    out = capsys.readouterr().out
    for name, probe in probes().items():
        assert f"\n{name}  " in f"\n{out}"
        assert probe.license in out
    assert main(["--list", "--format", "json"]) == EXIT_DONE
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["probe"] for line in lines] == list(probes())


def test_estimate_runs_nothing(model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("--probes", "crows_pairs,perplexity", "--data", data, "--estimate")
    assert _audit(model, tmp_path / "W", *asked, "--format", "json") == EXIT_DONE
    rows = {row["probe"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert rows["crows_pairs"]["items"] == "60 of 60"
    assert "pct_stereotype: 18." in rows["crows_pairs"]["says"]  # of 60 pairs, power .8
    assert float(rows["perplexity"]["seconds"].replace(",", "")) >= 0
    assert not (tmp_path / "W" / "records").exists()


# ---- checkpoints of a workspace --------------------------------------------------------------------


def test_contaminated_items_and_held_out_texts_of_a_checkpoint(data: Path, tmp_path: Path) -> None:
    """From the export of items through a crawl that holds one of them to an audit of what was trained on it."""
    items = tmp_path / "items.jsonl"
    assert main(["--export-items", str(items), "--probes", "crows_pairs", "--data", str(data)]) == EXIT_DONE
    lines = [json.loads(line) for line in items.read_text().splitlines()]
    assert len(lines) == 120  # both sentences of each pair
    assert {line["set"] for line in lines} == {"crows_pairs"}
    held, item = lines[35]["text"], lines[35]["item_id"].partition("/")[0]
    pages = [
        {"url": f"http://a.example/{n}", "text": f"{inputs.prose('en', n)} {held if n == 3 else ''}"} for n in range(12)
    ]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(page) + "\n" for page in pages))
    w = tmp_path / "W"
    filters = f"{{length: {{}}, decontaminate: {{items: ['{items}'], action: flag}}}}"
    curate(w, tmp_path / "in.jsonl", "--config", "smoke", "--language.threshold", "0", "--filters", filters)
    (run,) = ask(w, "SELECT run_id FROM run")
    for arguments in (
        ("curation.dataset", "create", "news", "--run", run["run_id"]),
        ("curation.tokens", "train", "news", "--vocab-size", "400", "--name", "small"),
        ("curation.tokens", "encode", "news", "--tokenizer", "small", "--validation-share", "0.4"),
    ):
        done = command(*arguments, "--workspace", w)
        assert done.returncode == 0, done.stderr
    (dataset,) = ask(w, "SELECT dataset_id FROM dataset WHERE tokenizer IS NOT NULL")
    workspace = Workspace(w)
    with recorded_run(workspace, "pretrain", {}) as training:
        workspace.write([RunDataset(run_id=training, dataset_id=dataset["dataset_id"], stage="train", weight=1.0)])
        checkpoint = write_checkpoint(workspace, training, 5, tmp_path)
    assert _audit(checkpoint, w, "--probes", "crows_pairs,perplexity", "--limit", 60, "--data", data) == EXIT_DONE
    (audit,) = model_audits(workspace)
    assert audit.subject == ("checkpoint", checkpoint)
    (recorded,) = ask(w, f"SELECT parent_run_id FROM run WHERE run_id = '{audit.run_id}'")
    assert recorded["parent_run_id"] == training
    table = pq.read_table(results_path(workspace, audit.run_id, "crows_pairs")).to_pylist()
    assert {row["item_id"] for row in table if row["contaminated"]} == {item}
    groups = {row["group_name"] for row in _findings(w) if row["metric"] == "pct_stereotype"}
    assert {"contaminated:yes", "contaminated:no"} <= groups
    texts = {row["group_name"] for row in _findings(w) if row["metric"] == "bits_per_byte"}
    assert any(name and name.startswith("texts:held-out news") for name in texts)
    table = pq.read_table(results_path(workspace, audit.run_id, "perplexity")).to_pylist()
    held_out = [row for row in table if row["groups"][0].startswith("texts:held-out")]
    documents = ask(w, "SELECT id FROM document WHERE shard_kind = 'kept'")
    assert {row["item_id"] for row in held_out} <= {row["id"] for row in documents}
    assert {(row["response"], tuple(row["tokens"])) for row in held_out} == {("", ())}  # a take-down must reach all
    check(w)
