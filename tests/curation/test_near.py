"""``curation.near``: what it finds, what it hides, and what it says when there is nothing to find."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from datasketch import LeanMinHash, MinHashLSH

from curation.catalog.check import check
from curation.catalog.gc import collect
from curation.config import CurationConfig
from curation.dedup.columns import open_columns, save_columns
from curation.dedup.config import NearConfig
from curation.dedup.corpus import Segment
from curation.dedup.index import forget, verify_file
from curation.dedup.nearest import find_document, nearest
from curation.dedup.similarity import SIGNATURE_SEED, jaccard, signatures
from curation.dedup.sketch import parameters
from curation.deduplicate import held_by
from curation.near import main
from curation.workspace import Workspace
from tests.curation import inputs
from tests.curation.commands import ROOT, ask, curate, environment

SMOKE = ("--config", "smoke")


def edited(seed: int, *places: int) -> str:
    """The text of a seed with some of its 168 words changed."""
    words = inputs.prose("en", seed).split()
    for place in places:
        words[place] = "elsewhere"
    return " ".join(words)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace: run 1 with n-grams of 5 (two near copies, one removed), run 2 of 3, run 3 with longer signatures."""
    folder = tmp_path_factory.mktemp("near")
    texts = [
        {"http://a.example/0": inputs.prose("en", 0), "http://a.example/copy": edited(0, 20)},
        {"http://b.example/0": edited(0, 60, 100)},
        {"http://c.example/\x1b[31m\u202e0": edited(0, 5, 60, 100), "http://c.example/far": inputs.prose("en", 9)},
    ]
    options = [(), ("--dedup.near.ngram", "3"), ("--dedup.near.rows", "9")]
    for number, (rows, extra) in enumerate(zip(texts, options, strict=True)):
        path = folder / f"{number}.jsonl"
        path.write_text("".join(json.dumps({"url": url, "text": text}) + "\n" for url, text in rows.items()))
        curate(folder / "w", path, *SMOKE, "--dedup.against", "[]", *extra)
    return folder / "w"


@pytest.fixture
def copy(filled: Path, tmp_path: Path) -> Path:
    """A copy of the workspace to change."""
    shutil.copytree(filled, tmp_path / "w")
    return tmp_path / "w"


def rows(printed: str) -> list[dict[str, str]]:
    """The table of an answer as columns cut where the header has them."""
    header, *lines = printed.split("\n\n")[0].splitlines()
    starts = [header.index(name) for name in ("status", "duplicate_of", "language")]
    return [
        {
            "id": line.split()[0],
            "estimated": line.split()[1],
            "jaccard": line.split()[2],
            "run": line.split()[3],
            "status": line[starts[0] : starts[1]].strip(),
            "duplicate_of": line[starts[1] : starts[2]].strip(),
            "rest": line[starts[2] :],
        }
        for line in lines
    ]


def document_id(workspace: Path, url: str) -> str:
    (row,) = ask(workspace, f"SELECT id FROM document WHERE url = '{url}'")
    return str(row["id"])


def test_near_duplicates_of_a_text(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([inputs.prose("en", 0), "--workspace", str(filled)]) == 0
    printed = capsys.readouterr().out
    found = rows(printed)
    assert [row["id"] for row in found[:2]] == [
        document_id(filled, "http://a.example/0"),
        document_id(filled, "http://a.example/copy"),
    ]
    assert len(found) == 4
    values = [float(row["jaccard"]) for row in found]
    assert values == sorted(values, reverse=True)
    assert values[0] == 1
    for row in found:
        assert abs(float(row["estimated"]) - float(row["jaccard"])) < 0.2
    removed = [row for row in found if row["status"] == "removed"]
    assert len(removed) == 1
    assert removed[0]["duplicate_of"] in {row["id"] for row in found[:2]}
    assert all("eng_Latn" in row["rest"] for row in found)
    assert "next: python -m curation.catalog sql" in printed


def test_near_duplicates_of_a_document(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = document_id(filled, "http://a.example/0")
    assert main([one.upper(), "--workspace", str(filled)]) == 0
    said = capsys.readouterr()
    found = rows(said.out)
    urls = [row["rest"].split()[-1] for row in found]
    assert urls[0] == "http://a.example/copy"
    assert len(found) == 2
    assert one not in [row["id"] for row in found]
    runs = [row["run_id"] for row in ask(filled, "SELECT run_id FROM run ORDER BY run_id")]
    assert f"run {runs[1]} was made with another dedup.near.ngram" in said.err
    assert {row["run"] for row in found} == {runs[0], runs[2]}


def test_nothing_of_a_page_reaches_the_terminal_raw(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([inputs.prose("en", 0), "--workspace", str(filled)])
    printed = capsys.readouterr().out
    assert "http://c.example/[31m 0" in printed, "what is not printable is a space"
    assert all(c.isprintable() or c == "\n" for c in printed)


def test_threshold_and_limit(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--workspace", str(filled)]
    main([inputs.prose("en", 0), "--limit", "1", *where])
    limited = capsys.readouterr().out
    assert [row["jaccard"] for row in rows(limited)] == ["1.0"]
    assert "--limit shows more" in limited
    main([inputs.prose("en", 0), "--threshold", "1", *where])
    assert len(rows(capsys.readouterr().out)) == 1
    assert main([inputs.prose("en", 77), *where]) == 0
    assert "none of 5 documents is as similar as 0.5" in capsys.readouterr().out


def test_a_text_from_a_file_or_from_standard_input(filled: Path, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(inputs.prose("en", 0).encode() + b"\xff")
    line = [sys.executable, "-m", "curation.near", "--workspace", str(filled), "--file"]
    with path.open("rb") as file:
        piped = subprocess.run([*line, "-"], stdin=file, capture_output=True, text=True, env=environment(), cwd=ROOT)
    assert piped.returncode == 0
    assert len(rows(piped.stdout)) == 4
    assert main(["--file", str(tmp_path / "none.txt"), "--workspace", str(filled)]) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("  ",), "the text is empty"),
        (("two words",), "too short: 2 word(s)"),
        (("0" * 32,), "no document 0000"),
        ((), "--file PATH"),
        (("a text", "--file", "-"), "either"),
        (("a text", "--threshold", "0"), "--threshold 0"),
        (("a text", "--threshold", "nan"), "--threshold nan"),
        (("a text", "--limit", "0"), "--limit 0"),
    ],
)
def test_what_is_wrong_is_said(
    filled: Path, arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--workspace", str(filled)]) == 2
    assert message in capsys.readouterr().err


def test_without_workspace_or_index(copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([inputs.prose("en", 0), "--workspace", str(tmp_path / "nowhere")]) == 2
    assert "no workspace at" in capsys.readouterr().err
    shutil.rmtree(copy / "index")
    assert main([inputs.prose("en", 0), "--workspace", str(copy)]) == 2
    assert "has no index" in capsys.readouterr().err
    assert any("its index holds 0" in problem for problem in check(Workspace(copy)))


def test_a_run_that_is_not_done_never_counts(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = Workspace(copy)
    first = ask(copy, "SELECT run_id FROM run ORDER BY run_id")[0]["run_id"]
    shutil.copytree(workspace.index / first, workspace.index / "01ZZZZZZZZZZZZZZZZZZZZZZZZ")
    for path in workspace.records.glob(f"run_end/{first}*"):
        path.unlink()
    copy.joinpath("catalog.duckdb").unlink()
    assert first not in held_by(workspace, CurationConfig(), ())
    main([inputs.prose("en", 0), "--workspace", str(copy)])
    assert first not in capsys.readouterr().out
    scratch = workspace.run_folder(first) / "scratch"
    scratch.mkdir(parents=True)
    collect(workspace)
    assert (workspace.index / first).is_dir(), "killed at its end, it can go on and needs its index"
    assert not (workspace.index / "01ZZZZZZZZZZZZZZZZZZZZZZZZ").exists()
    scratch.rmdir()
    collect(workspace)
    assert not (workspace.index / first).exists()


@pytest.mark.parametrize("damage", ["cut", "header", "length"])
def test_a_damaged_index_is_found(copy: Path, damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = next((copy / "index").glob("*/*.safetensors"))
    data = path.read_bytes()
    spoiled = {"cut": data[:-9], "header": data[:8] + b"?" + data[9:], "length": b"\xff" * 8 + data[8:]}[damage]
    path.write_bytes(spoiled)
    (problem,) = check(Workspace(copy))
    assert f"{path} is damaged" in problem
    assert main([inputs.prose("en", 0), "--workspace", str(copy)]) == 2
    assert "is damaged" in capsys.readouterr().err


def test_forget_blanks_rows_and_keeps_their_numbers(copy: Path) -> None:
    (path,) = (copy / "index" / ask(copy, "SELECT min(run_id) AS r FROM run")[0]["r"]).glob("*.safetensors")
    segment = Segment(str(path), 2, held=True)
    gone, left = (document_id(copy, f"http://a.example/{name}") for name in ("0", "copy"))
    found = find_document([segment], gone)
    assert found is not None
    assert forget(path.parent, [gone]) == 1
    assert forget(path.parent, [gone]) == 0
    assert verify_file(path) == 2
    open_columns.cache_clear()  # of a process that begins after it
    answer = nearest([segment], lambda _: found[1], 0.1, 9)
    assert [each.id for each in answer.neighbours] == [left]


def test_it_finds_what_datasketch_finds(tmp_path: Path) -> None:
    """Sets around one at every similarity: all that LSH proposes and that is similar enough is in the answer."""
    chance = np.random.default_rng(5)
    near = NearConfig()
    wanted = np.sort(chance.choice(2**32, 200, replace=False)).astype(np.uint32)
    sets = []
    for number in range(6000):
        shared = wanted[chance.permutation(200)[: number % 201]]
        sets.append(np.unique(np.concatenate([shared, chance.integers(0, 2**32, 200 - len(shared), dtype=np.uint32)])))
    offsets = np.concatenate(([0], np.cumsum([len(each) for each in sets])))
    ids = np.stack([np.zeros(6000, dtype=np.uint64), np.arange(6000, dtype=np.uint64)], axis=1)
    signature = signatures(np.concatenate(sets), offsets, 112)
    columns = {"ids": ids, "leader": ids, "signature": signature, "shingles": np.concatenate(sets)}
    columns |= {"offsets": offsets.astype(np.uint64), "source": np.zeros(6000, dtype=np.uint32)}
    save_columns(tmp_path / "run" / "0.safetensors", columns, {"raw_file_ids": ["f"], **parameters(near)})
    segment = Segment(str(tmp_path / "run" / "0.safetensors"), 6000, held=True)
    query = signatures(wanted, np.array([0, 200]), 112)[0]
    for threshold in (0.3, 0.5, 0.8):
        true = [jaccard(wanted, each) for each in sets]
        found = nearest([segment], lambda _: wanted, threshold, 6000).neighbours
        assert [each.jaccard for each in found] == sorted((each.jaccard for each in found), reverse=True)
        answer = {int(each.id, 16) for each in found}
        similar = {number for number, value in enumerate(true) if value >= threshold}
        assert answer <= similar
        assert len(answer) >= 0.998 * len(similar)
        lsh = MinHashLSH(threshold=threshold, num_perm=112, weights=(0.1, 0.9))
        for number, values in enumerate(signature):
            lsh.insert(number, LeanMinHash(seed=SIGNATURE_SEED, hashvalues=values, scheme="affine32"))
        proposed = set(lsh.query(LeanMinHash(seed=SIGNATURE_SEED, hashvalues=query, scheme="affine32")))
        assert len((proposed & similar) - answer) <= 0.002 * len(similar)
        assert len(proposed & similar) <= len(answer)
        few = nearest([segment], lambda _: wanted, threshold, 7).neighbours
        assert [each.jaccard for each in few] == [each.jaccard for each in found[:7]]
