"""Token shards: the same bytes whoever works, nothing lost or twice, and every token has its document."""

import contextlib
import hashlib
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from curation.catalog import open_catalog, rows
from curation.catalog.check import check
from curation.dataset import takedown
from curation.errors import UserError
from curation.tokens import layout
from curation.tokens.__main__ import main
from curation.tokens.encode import EncodeConfig, encode
from curation.tokens.read import open_token_dataset
from curation.tokens.tokenizer import open_tokenizer
from curation.workspace import Workspace
from tests.curation.commands import ask, environment

Copy = Callable[[str], Workspace]
TENTH = EncodeConfig(validation_share=0.1)
SLOWLY = """
import sys, time
import curation.tokens.encode as encode
real = encode.encode_shard
def slowly(job):
    time.sleep(0.1)
    return real(job)
encode.encode_shard = slowly
from curation.tokens.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def files(workspace: Workspace) -> dict[str, str]:
    """Path below the dataset -> sha256 of everything under tokens/ (of one dataset)."""
    (folder,) = (workspace.root / "tokens").iterdir()
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def command(workspace: Workspace, *options: str) -> list[str]:
    where = ("--workspace", str(workspace.root), "--validation-share", "0.1")
    return ["encode", "news", "--tokenizer", "small", *where, *options]


@pytest.fixture(scope="module")
def undisturbed(curated: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """What one worker makes; tests only look at it."""
    import shutil

    workspace = Workspace(shutil.copytree(curated, tmp_path_factory.mktemp("undisturbed") / "w"))
    encode(workspace, "news", "small", config=TENTH)
    return workspace


def test_two_workers_make_the_same_bytes(undisturbed: Workspace, copy: Copy) -> None:
    workspace = copy("two")
    assert main(command(workspace, "--workers", "2")) == 0
    assert files(workspace) == files(undisturbed)
    assert check(workspace) == []


def test_a_killed_command_goes_on(undisturbed: Workspace, copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = copy("killed")
    process = subprocess.Popen([sys.executable, "-c", SLOWLY, *command(workspace)], env=environment())
    deadline = time.monotonic() + 60
    while len([*workspace.runs.glob("*/encoded/*.json")]) < 3:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    (run,) = ask(workspace.root, "SELECT run_id, status FROM run WHERE kind = 'tokenize'")
    assert run["status"] == "dead"
    assert ask(workspace.root, "SELECT count(*) AS n FROM dataset") == [{"n": 1}]
    notes = {path: path.stat().st_mtime_ns for path in (workspace.runs / run["run_id"] / "encoded").iterdir()}
    assert main(command(workspace, "--workers", "2")) == 0
    assert "news-tokens@1" in capsys.readouterr().out
    assert all(path.stat().st_mtime_ns == before for path, before in notes.items())  # not done again
    found = ask(workspace.root, "SELECT run_id, status, attempts FROM run WHERE kind = 'tokenize'")
    assert found == [{"run_id": run["run_id"], "status": "done", "attempts": 2}]
    assert files(workspace) == files(undisturbed)
    assert check(workspace) == []


def test_a_killed_worker_ends_the_command_and_loses_nothing(undisturbed: Workspace, copy: Copy) -> None:
    workspace = copy("worker")
    line = [sys.executable, "-m", "curation.tokens", *command(workspace, "--workers", "2")]
    process = subprocess.Popen(line, env=environment(), stderr=subprocess.PIPE, text=True)
    victim = None
    while victim is None:
        assert process.poll() is None
        for child in psutil.Process(process.pid).children():
            with contextlib.suppress(psutil.Error):  # of children that are over at once
                if any("spawn_main" in part for part in child.cmdline()):
                    victim = child
        time.sleep(0.005)
    victim.send_signal(signal.SIGKILL)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "a process of --workers was killed" in said
    assert ask(workspace.root, "SELECT status FROM run WHERE kind = 'tokenize'") == [{"status": "failed"}]
    assert main(command(workspace)) == 0
    assert files(workspace) == files(undisturbed)


def test_of_two_that_go_on_the_second_stops(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    from curation.tokens.encode import _alone

    workspace = copy("two that go on")

    def broken(*_: object) -> str:
        raise OSError("no space")

    with monkeypatch.context() as patched:
        patched.setattr("curation.tokens.encode._record", broken)
        with pytest.raises(OSError, match="no space"):
            encode(workspace, "news", "small")
    (run,) = ask(workspace.root, "SELECT run_id FROM run WHERE kind = 'tokenize'")
    with _alone(workspace.run_folder(run["run_id"])), pytest.raises(UserError, match="is at work in another process"):
        encode(workspace, "news", "small")
    assert encode(workspace, "news", "small").run_id == run["run_id"]
    found = ask(workspace.root, "SELECT status, attempts FROM run WHERE kind = 'tokenize'")
    assert found == [{"status": "done", "attempts": 2}]


def test_the_same_again_makes_no_new_version(undisturbed: Workspace) -> None:
    before = len([*undisturbed.records.rglob("*.json")])
    made = encode(undisturbed, "news@1", "small", config=TENTH, workers=2)
    assert (made.dataset, made.new) == ("news-tokens@1", False)
    assert len([*undisturbed.records.rglob("*.json")]) == before


def test_every_document_once_and_every_token_has_its_own(undisturbed: Workspace) -> None:
    dataset = open_token_dataset(undisturbed, "news-tokens")
    tokenizer = open_tokenizer(undisturbed, "small")
    assert (dataset.tokenizer_sha256, dataset.eos_id) == (tokenizer.sha256, tokenizer.eos_id)
    assert dataset.vocab_size == tokenizer.vocab_size
    sql = (
        "SELECT t.split, t.token_shard_id, t.token_start, t.token_end, d.id, d.text, d.language, f.uri "
        "FROM token_document t JOIN shard s USING (shard_id) "
        "JOIN document d ON d.id = t.document_id AND d.shard_id = s.shard_id "
        "JOIN raw_file f ON f.raw_file_id = t.raw_file_id AND d.record_offset = t.record_offset "
        "WHERE t.dataset_id = ? ORDER BY t.token_shard_id, t.token_start"
    )
    with open_catalog(undisturbed, documents=True, tokens=True) as connection:
        found = rows(connection, sql, [dataset.dataset_id])
        kept = rows(connection, "SELECT id FROM document WHERE shard_kind = 'kept'")
    assert Counter(row["id"] for row in found) == Counter(row["id"] for row in kept)
    assert {row["uri"].rpartition("/")[2] for row in found} == {"a.jsonl"}
    for split in layout.SPLITS:
        stream = dataset.stream(split)
        named = stream.documents(0, stream.tokens)
        assert [row.document_id for row in named] == [row["id"] for row in found if row["split"] == split]
        assert [row.token_start for row in named] == [0, *(row.token_end for row in named[:-1])]
        assert named[-1].token_end == stream.tokens
        texts = {row["id"]: row["text"] for row in found}
        for row in named:
            ids = stream.read(row.token_start, row.token_end).tolist()
            assert ids.pop() == dataset.eos_id
            assert dataset.eos_id not in ids
            assert tokenizer.decode([ids]) == [texts[row.document_id]]
            assert layout.is_held_out(row.document_id, 0.1, 0) == (split == "validation")
        by_language = [dataset.stream(split, language).tokens for language in dataset.languages(split)]
        assert sum(by_language) == stream.tokens
    assert len(dataset.languages("train")) > 10
    assert (
        sum(shard.tokens for shard in dataset.shards)
        == ask(undisturbed.root, "SELECT tokens FROM dataset WHERE name = 'news-tokens'")[0]["tokens"]
    )


def test_a_token_shard_has_one_source_and_one_language(undisturbed: Workspace) -> None:
    found = ask(
        undisturbed.root,
        "SELECT t.language = s.language AS same, count(*) OVER (PARTITION BY t.shard_id, t.split) AS n "
        "FROM token_shard t JOIN shard s USING (shard_id)",
    )
    assert found
    assert all(row == {"same": True, "n": 1} for row in found)


def test_datatrove_reads_the_shards(undisturbed: Workspace) -> None:
    pytest.importorskip("torch")
    from datatrove.utils.dataset import DatatroveFolderDataset

    dataset = open_token_dataset(undisturbed, "news-tokens")
    length = 31
    for split in layout.SPLITS:
        theirs = DatatroveFolderDataset(
            str(undisturbed.root / layout.folder(dataset.dataset_id) / split),
            length,
            token_size=2,
            return_positions=True,
        )
        place = 0
        for shard, file in zip((s for s in dataset.shards if s.split == split), theirs.files, strict=True):
            ours = dataset.stream(split)
            for number in range(shard.tokens // (length + 1)):
                start = place + number * (length + 1)
                read = file[number]
                assert read["input_ids"].tolist() == ours.read(start, start + length + 1).tolist()
                first = ours.documents(start, start + 1)[0]
                if first.token_start >= start:
                    assert read["positions"][0] == 0
            place += shard.tokens
        assert Path(f"{shard.path}.metadata").read_text().splitlines()[:2] == [
            f"{open_tokenizer(undisturbed, 'small').name}|2",
            str(shard.tokens),
        ]


def test_a_large_vocabulary_takes_four_bytes(copy: Copy) -> None:
    from curation.tokens.train import TrainConfig, from_texts

    workspace = copy("large")
    special = tuple(f"<{number}>" for number in range(66_000))
    made = from_texts("large", ["a"], TrainConfig("byte", 70_000, special))
    folder = workspace.root / "large"
    folder.mkdir()
    (folder / "tokenizer.json").write_bytes(made.json)
    encode(workspace, "news", str(folder), name="large")
    dataset = open_token_dataset(workspace, "large@1")
    assert {shard.token_bytes for shard in dataset.shards} == {4}
    stream = dataset.stream("train")
    document = stream.documents(0, 1)[0]
    text = ask(workspace.root, f"SELECT text FROM document WHERE id = '{document.document_id}'")[0]["text"]
    assert bytes(stream.read(0, document.token_end - 1).tolist()).decode() == text
    assert check(workspace) == []


def test_takedown_hides_at_once_and_for_good(copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    from curation.catalog.gc import collect
    from curation.dataset import main as dataset_command

    workspace = copy("takedown")
    encode(workspace, "news", "small", config=TENTH)
    before = open_token_dataset(workspace, "news-tokens")
    stream = before.stream("train")
    whole = stream.read(0, stream.tokens)
    victim = stream.documents(0, stream.tokens)[7]
    arguments = ["takedown", "--id", victim.document_id, "--why", "x", "--workspace", str(workspace.root)]
    assert dataset_command(arguments) == 0
    said = capsys.readouterr().out
    assert "news-tokens@1" in said
    assert "news@1" in said
    expected = whole.copy()
    expected[victim.token_start : victim.token_end] = before.eos_id
    assert not np.array_equal(expected, whole)
    hidden = open_token_dataset(workspace, "news-tokens").stream("train")
    assert np.array_equal(hidden.read(0, hidden.tokens), expected)
    lines: list[str] = []
    collect(workspace, lines.append)
    assert sum("1 taken-down document(s) blanked" in line for line in lines) == 1
    assert check(workspace) == []
    gone = open_token_dataset(workspace, "news-tokens").stream("train")
    assert np.array_equal(gone.read(0, gone.tokens), expected)
    assert gone.documents(0, gone.tokens) == stream.documents(0, stream.tokens)
    on_disk = np.concatenate([np.fromfile(s.path, layout.token_dtype(s.token_bytes)) for s in gone.shards])
    assert np.array_equal(on_disk, expected)
    assert len([*workspace.root.glob("tokens/*/train/*+.*")]) == 4
    lines.clear()
    collect(workspace, lines.append)
    assert not any("blanked" in line for line in lines)
    # Made anew, it is not there, and the new one never held it.
    assert encode(workspace, "news", "small", config=TENTH).dataset == "news-tokens@2"
    anew = open_token_dataset(workspace, "news-tokens@2").stream("train")
    assert victim.document_id not in {row.document_id for row in anew.documents(0, anew.tokens)}
    held = ask(workspace.root, "SELECT DISTINCT dataset || '@' || dataset_version AS d FROM takedown ORDER BY d")
    assert [row["d"] for row in held] == ["news-tokens@1", "news@1"]
    # A second one, of a document whose shard was written anew in between.
    second = anew.documents(0, anew.tokens)[6]
    takedown(workspace, "id", second.document_id, "y")
    held = ask(
        workspace.root, f"SELECT dataset, dataset_version AS v FROM takedown WHERE document_id = '{second.document_id}'"
    )
    assert sorted((row["dataset"], row["v"]) for row in held) == [("news", 1), ("news-tokens", 1), ("news-tokens", 2)]
    collect(workspace)
    assert check(workspace) == []


def test_gc_removes_what_no_resume_would_go_on_with(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    from curation.catalog.gc import collect

    workspace = copy("left")

    def broken(*_: object) -> str:
        raise OSError("no space")

    with monkeypatch.context() as patched:
        patched.setattr("curation.tokens.encode._record", broken)
        with pytest.raises(OSError, match="no space"):
            encode(workspace, "news", "small")
    collect(workspace)
    assert [*workspace.root.glob("tokens/*/train/*.ds")]
    takedown(workspace, "url", "http://s1.example/1", "x")
    collect(workspace)
    assert not [*workspace.root.glob("tokens/*")]
    assert encode(workspace, "news", "small").new
    assert check(workspace) == []


def test_check_finds_what_is_wrong(copy: Copy) -> None:
    workspace = copy("wrong")
    encode(workspace, "news", "small", config=TENTH)
    shards = [workspace.root / row["path"] for row in ask(workspace.root, "SELECT path FROM token_shard ORDER BY path")]
    data = bytearray(shards[0].read_bytes())
    data[0] ^= 1
    shards[0].write_bytes(data)
    shards[1].unlink()
    Path(layout.index_path(str(shards[2]))).write_bytes(b"\0" * 8)
    table = Path(layout.documents_path(str(shards[3])))
    table.write_bytes(table.read_bytes() + b"x")
    (folder,) = (workspace.root / "tokens").iterdir()
    tokenizer = folder / "tokenizer" / "tokenizer.json"
    tokenizer.write_bytes(tokenizer.read_bytes() + b" ")
    problems = "\n".join(check(workspace))
    for part in (
        f"{shards[0].name} is not the file that was written",
        f"{shards[1].name} is missing",
        "documents on record; ",
        f"{table.name} is not the file that was written",
        "is not its tokenizer",
    ):
        assert part in problems
    assert len(problems.splitlines()) == 5


def test_reading_names_what_is_wrong(copy: Copy) -> None:
    workspace = copy("reading")
    with pytest.raises(UserError, match=r"holds texts, not tokens: python -m curation\.tokens encode news@1"):
        open_token_dataset(workspace, "news")
    made = encode(workspace, "news", "small", config=TENTH)
    dataset = open_token_dataset(workspace, made.run_id)
    with pytest.raises(UserError, match="unknown split 'test'; valid: train, validation"):
        dataset.stream("test")
    with pytest.raises(UserError, match=r"unknown language in train of news-tokens@1 'xxx'; valid: .*deu_Latn"):
        dataset.stream("train", "xxx")
    first = dataset.shards[0].path
    whole = first.read_bytes()
    first.write_bytes(whole[:-2])
    with pytest.raises(UserError, match=r"bytes, but .* were written; restore it"):
        open_token_dataset(workspace, "news-tokens")
    first.unlink()
    with pytest.raises(UserError, match="is missing; restore it, or encode anew"):
        open_token_dataset(workspace, "news-tokens")
    first.write_bytes(whole)
    tokenizer = dataset.tokenizer_folder / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text() + " ")
    with pytest.raises(UserError, match="is not the tokenizer that it was made with"):
        open_token_dataset(workspace, "news-tokens")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["encode", "none", "--tokenizer", "small"], "unknown dataset 'none'; valid: news@1"),
        (["encode", "news", "--tokenizer", "/none/there/is"], "in the workspace: small-"),
        (["encode", "news", "--tokenizer", "small", "--workers", "0"], "--workers 0: must be at least 1"),
        (["encode", "news", "--tokenizer", "small", "--validation-share", "1"], "--validation-share 1.0"),
        (["encode", "news", "--tokenizer", "small", "--validation-share", "nan"], "--validation-share nan"),
        (["encode", "news", "--tokenizer", "small", "--name", "a/b"], "--name 'a/b': letters"),
        (["train", "news", "--algorithm", "x"], "unknown --algorithm 'x'"),
        (["train", "news", "--vocab-size", "10"], "--vocab-size 10"),
        (["train", "news", "--name", "a b"], "--name 'a b'"),
        (["report", "news", "--tokenizer", "small", "--sample", "-1"], "--sample -1"),
        (["report", "news", "--tokenizer", "small", "--terms", "none.csv"], "name the file by its language"),
        (["report", "news", "--tokenizer", "small", "--terms", "por.csv"], "--terms por.csv: no such file"),
    ],
)
def test_one_clear_error(curated: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(path for path in curated.rglob("*") if path.name != ".catalog.lock")
    assert main([*arguments, "--workspace", str(curated)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert message in said.err
    assert len(said.err.splitlines()) == 1
    assert sorted(path for path in curated.rglob("*") if path.name != ".catalog.lock") == before


def test_tokens_are_no_texts(undisturbed: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--workspace", str(undisturbed.root)]
    assert main(["encode", "news-tokens", "--tokenizer", "small", *where]) == 2
    assert (
        "dataset news-tokens@1 holds tokens, not texts; name the one that it was made from: news@1"
        in capsys.readouterr().err
    )


def test_a_workspace_without_the_run_still_reads(undisturbed: Workspace, tmp_path: Path) -> None:
    """A token dataset has all that it needs: records, its folder, and nothing of models/ or runs/."""
    import shutil

    for name in ("records", "tokens"):
        shutil.copytree(undisturbed.root / name, tmp_path / name)
    dataset = open_token_dataset(Workspace(tmp_path), "news-tokens")
    stream = dataset.stream("validation")
    assert stream.read(0, stream.tokens)[-1] == dataset.eos_id
    config = json.loads((dataset.tokenizer_folder / "tokenizer_config.json").read_bytes())
    assert config["eos_token"] == "<|endoftext|>"
