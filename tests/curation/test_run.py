"""The command, run for real: accounts, determinism, take-downs, errors."""

import json
import shutil
from pathlib import Path

import pytest

from tests.curation import inputs
from tests.curation.commands import ask, check, command, curate, digests, reasons

SMOKE = ("--config", "smoke")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every kind of input."""
    folder = tmp_path_factory.mktemp("source") / "in put"
    folder.mkdir()
    expected = inputs.everything(folder)
    (folder.parent / "expected.json").write_text(json.dumps([[*key, n] for key, n in expected.items()]))
    return folder


@pytest.fixture(scope="module")
def curated(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with one finished run over all of it."""
    workspace = tmp_path_factory.mktemp("curated") / "w"
    printed = curate(workspace, source, *SMOKE)
    (workspace.parent / "printed.txt").write_text(printed)
    return workspace


def test_every_record_is_accounted_for(source: Path, curated: Path) -> None:
    expected = {(step, why): n for step, why, n in json.loads((source.parent / "expected.json").read_text())}
    assert reasons(curated) == expected
    check(curated)


def test_the_waterfall_adds_up_and_names_the_next_command(curated: Path) -> None:
    printed = (curated.parent / "printed.txt").read_text()
    lines = [line for line in printed.splitlines() if line and not line.startswith(("step", "next", "run"))]
    raw = int(lines[0].split()[2].replace(",", ""))
    kept = next(int(line.split()[1].replace(",", "")) for line in lines if line.startswith("kept"))
    left = [int(line.split()[-1].replace(",", "")) for line in lines if " -" in line and "documents" not in line]
    assert left[-1] == kept
    assert raw > kept
    assert "next: python -m curation.dataset create" in printed


def test_what_is_known_of_a_document_is_kept(curated: Path) -> None:
    (row,) = ask(curated, "SELECT * FROM document WHERE url = 'http://site1.example/1'")
    assert row["domain"] == "site1.example"
    assert row["title"] == "Page 1"
    assert row["language"] == "eng_Latn"
    assert row["http_status"] == 200
    assert row["crawled_at"] is not None
    assert row["length"]["characters"] == len(row["text"])
    assert "Imprint" not in row["text"]
    (code,) = ask(curated, "SELECT language, text FROM document WHERE media = 'code'")
    assert code["language"] == "python"
    assert "def mill_3(grain: int) -> int:\n    " in code["text"]


def test_a_document_leads_to_its_raw_record(source: Path, curated: Path) -> None:
    rows = ask(
        curated,
        "SELECT d.text, d.record_offset, f.uri FROM document d JOIN raw_file f USING (raw_file_id) "
        "WHERE f.format = 'jsonl' AND shard_kind = 'kept'",
    )
    for row in rows:
        with open(row["uri"], "rb") as file:
            file.seek(row["record_offset"])
            assert json.loads(file.readline())["text"] == row["text"]


def test_croissant_is_valid_and_whole(curated: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant", reason="the extra `dev` is not installed")
    (path,) = curated.glob("shards/*/croissant.json")
    dataset = mlcroissant.Dataset(str(path))
    assert not dataset.metadata.issues.errors
    described = json.loads(path.read_text())
    for required in ("name", "description", "license", "creator", "url", "conformsTo"):
        assert described[required]
    files = {f["contentUrl"]: f["sha256"] for f in described["distribution"] if f["@type"] == "cr:FileObject"}
    assert files == {name: sha for name, sha in digests(curated).items() if name.endswith(".parquet")}


def test_bytes_do_not_depend_on_workers_order_or_names(source: Path, curated: Path, tmp_path: Path) -> None:
    expected = digests(curated)
    curate(tmp_path / "one", source, *SMOKE, "--execution.workers", 1)
    assert digests(tmp_path / "one") == expected
    renamed = tmp_path / "elsewhere"
    shutil.copytree(source, renamed)
    (renamed / "rows.parquet").rename(renamed / "first")
    (renamed / "crawl one.warc.gz").rename(renamed / "zz.bin")
    pieces = sorted(renamed.iterdir(), reverse=True)
    curate(tmp_path / "four", *pieces, *SMOKE, "--execution.workers", 4)
    assert digests(tmp_path / "four") == expected


def test_from_decides_as_a_full_run_would(source: Path, curated: Path, tmp_path: Path) -> None:
    changed = ("--filters", "{length: {min_characters: 700}}", "--language.languages", "[en, python]")
    workspace = tmp_path / "w"
    shutil.copytree(curated, workspace)
    (run,) = ask(workspace, "SELECT run_id FROM run")
    curate(workspace, "--from", run["run_id"], *SMOKE, *changed)
    curate(tmp_path / "full", source, *SMOKE, *changed)
    assert digests(workspace) == digests(tmp_path / "full")
    assert digests(workspace) != digests(curated)
    check(workspace)
    refused = command(
        "curation.run", "--workspace", workspace, "--from", run["run_id"], *SMOKE, "--extract.extractor", "fast"
    )
    assert refused.returncode == 2
    assert "extract.extractor" in refused.stderr


def test_from_scores_anew_where_an_option_decides_the_scores(source: Path, tmp_path: Path) -> None:
    """... and decides in the order in which filters are given, with rules of prose that pass over code."""
    before = "{length: {min_characters: 40}, fineweb: {short_line_length: 900, max_short_lines: 0.9}}"
    after = "{fineweb: {short_line_length: 500}, c4: {min_sentences: 13, max_lorem_ipsum: null}, length: {}}"
    kept = "SELECT count(*) AS n FROM document WHERE media = 'code' AND shard_kind = 'kept'"
    curate(tmp_path / "w", source, *SMOKE, "--filters", before)
    (run,) = ask(tmp_path / "w", "SELECT run_id, config FROM run")
    assert list(json.loads(run["config"])["curation"]["filters"]) == ["length", "fineweb"]
    curate(tmp_path / "w", "--from", run["run_id"], *SMOKE, "--filters", after)
    curate(tmp_path / "full", source, *SMOKE, "--filters", after)
    assert digests(tmp_path / "w") == digests(tmp_path / "full")
    found = reasons(tmp_path / "full")
    assert found[("fineweb", "too_many_short_lines")] > 5
    assert found[("c4", "too_few_sentences")] > 0
    assert ask(tmp_path / "full", kept) == [{"n": 1}]


def test_lines_of_web_pages_are_removed_and_counted(source: Path, curated: Path, tmp_path: Path) -> None:
    pages = source / "html"
    lines = ("--lines", "{enabled: true, min_words: 5}")
    curate(tmp_path / "w", pages, *SMOKE, *lines)
    rows = ask(tmp_path / "w", "SELECT text, title, lines_removed FROM document WHERE shard_kind = 'kept'")
    assert len(rows) == 8
    for row in rows:
        assert row["lines_removed"] == 1  # the heading
        assert row["title"] not in row["text"]
    (run,) = ask(tmp_path / "w", "SELECT run_id FROM run")
    again = ("--workspace", tmp_path / "w", "--from", run["run_id"], *SMOKE)
    refused = command("curation.run", *again)
    assert refused.returncode == 2
    assert "lines.min_words: 5 -> 3" in refused.stderr
    strict = ("--lines", "{enabled: true, min_words: 1000}")
    curate(tmp_path / "none", pages, *SMOKE, *strict)
    assert reasons(tmp_path / "none") == {("lines", "no_lines"): 8}
    (run,) = ask(tmp_path / "none", "SELECT run_id FROM run")
    before = digests(tmp_path / "none")
    curate(tmp_path / "none", "--from", run["run_id"], *SMOKE, *strict)
    assert digests(tmp_path / "none") == before
    check(tmp_path / "none")


def test_an_exact_copy_of_a_file_counts_and_adds_nothing(source: Path, curated: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.parquet"
    shutil.copy(source / "rows.parquet", copy)
    curate(tmp_path / "w", source, copy, *SMOKE)
    assert digests(tmp_path / "w") == digests(curated)
    assert reasons(tmp_path / "w") == {**reasons(curated), ("read", "duplicate_file"): 16}
    check(tmp_path / "w")


def test_take_down(source: Path, curated: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "w"
    shutil.copytree(curated, workspace)
    url = "http://lines.example/1003"
    (before,) = ask(workspace, f"SELECT id, text, shard_id FROM document WHERE url = '{url}'")
    (run,) = ask(workspace, "SELECT run_id FROM run")
    where = ("--workspace", workspace)
    made = command("curation.dataset", "create", "news", "--run", run["run_id"], *where)
    assert "news@1" in made.stdout
    done = command("curation.dataset", "takedown", "--url", url, "--why", "asked", *where)
    assert done.returncode == 0
    assert "news@1" in done.stdout

    # at once, from every read path
    assert ask(workspace, f"SELECT * FROM document WHERE url = '{url}' OR id = '{before['id']}'") == []
    exported = tmp_path / "out.jsonl"
    command("curation.dataset", "export", "news", "--to", exported, *where)
    assert before["text"] not in exported.read_text()
    assert len(exported.read_text().splitlines()) == sum(n for (s, _), n in reasons(curated).items() if s == "kept") - 1
    curate(workspace, "--from", run["run_id"], *SMOKE)
    curate(tmp_path / "again", source, *SMOKE)  # another workspace knows nothing of it
    assert ask(tmp_path / "again", f"SELECT * FROM document WHERE url = '{url}'") != []
    curate(workspace, source / "lines", *SMOKE, "--read.max_bad_share", 1)
    assert ask(workspace, f"SELECT * FROM document WHERE url = '{url}'") == []
    assert reasons(workspace)[("takedown", "tombstone")] == 2

    # from disk after compaction, and what held it stays on record
    assert command("curation.catalog", "gc", *where).returncode == 0
    needle = before["text"].encode()
    import pyarrow.parquet as pq

    for path in workspace.rglob("*.parquet"):
        table = pq.read_table(path, partitioning=None)
        if "text" in table.schema.names:
            assert needle.decode() not in table.column("text").to_pylist(), path
            assert before["id"] not in table.column("id").to_pylist() or "rejected" in str(path)
    for path in workspace.rglob("*"):
        if path.is_file():
            assert needle[:60] not in path.read_bytes(), path
    held = ask(workspace, "SELECT DISTINCT dataset, dataset_version, on_disk, document_id FROM takedown")
    assert {"dataset": "news", "dataset_version": 1, "on_disk": False, "document_id": before["id"]} in held
    check(workspace)


def test_limit_takes_the_first_records(source: Path, tmp_path: Path) -> None:
    curate(tmp_path / "a", source, *SMOKE, "--limit", 10, "--execution.workers", 3, "--read.max_bad_share", 1)
    curate(tmp_path / "b", source, *SMOKE, "--limit", 10, "--execution.workers", 1, "--read.max_bad_share", 1)
    assert sum(reasons(tmp_path / "a").values()) == 10
    assert digests(tmp_path / "a") == digests(tmp_path / "b")


def test_dry_run_writes_nothing(source: Path, tmp_path: Path) -> None:
    printed = curate(tmp_path / "w", source, "--dry-run")
    assert "parquet" in printed
    assert "max_record_bytes" in printed
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no input"),
        (("nowhere.warc",), "nowhere.warc"),
        (("IN", "--config", "nonsense"), "valid: smoke, web"),
        (("IN", "--language.treshold", "0.5"), "treshold"),
        (("IN", "--language.threshold", "high"), "threshold"),
        (("IN", "--filters", "{lenght: {}}"), "lenght"),
        (("IN", "--language.languages", "[klingonish]"), "klingonish"),
        (("IN", "--limit", "0"), "--limit"),
        (("--resume", "01XXXXXXXXXXXXXXXXXXXXXXXX"), "none yet"),
        (("IN", "--from", "X"), "--from"),
    ],
)
def test_usage_errors_say_what_is_wrong(source: Path, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    filled = [str(source) if argument == "IN" else argument for argument in arguments]
    done = command("curation.run", *filled, "--workspace", tmp_path / "w")
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "w" / "shards").exists()


def test_a_damaged_file_exits_1_and_keeps_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "cut.warc.gz"
    inputs.warc(path, 12)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * 0.6)])
    curate(tmp_path / "w", path, *SMOKE, code=1)
    found = reasons(tmp_path / "w")
    assert found[("quarantined", "truncated")] == 1
    assert found[("kept", "")] >= 5
    check(tmp_path / "w")
    (run,) = ask(tmp_path / "w", "SELECT run_id FROM run")
    curate(tmp_path / "w", "--resume", run["run_id"], code=1)  # done already: told again, as it was


def test_too_many_bad_records_exit_1(tmp_path: Path) -> None:
    inputs.jsonl(tmp_path / "few.jsonl", 4)
    curate(tmp_path / "w", tmp_path / "few.jsonl", *SMOKE, code=1)
    curate(tmp_path / "w2", tmp_path / "few.jsonl", *SMOKE, "--read.max_bad_share", "0.5", code=0)


def test_datasets(source: Path, curated: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "w"
    shutil.copytree(curated, workspace)
    (run,) = ask(workspace, "SELECT run_id FROM run")
    where = ("--workspace", workspace)
    command("curation.dataset", "create", "d", "--run", run["run_id"], *where)
    again = command("curation.dataset", "create", "d", "--run", run["run_id"], *where)
    assert "no new version" in again.stdout
    german = command("curation.dataset", "create", "d", "--run", run["run_id"], "--languages", "deu_Latn", *where)
    assert "d@2" in german.stdout
    compared = command("curation.dataset", "diff", "d@1", "d@2", *where).stdout
    line = next(line for line in compared.splitlines() if line.startswith("eng_Latn"))
    assert line.split()[1] == "0"
    assert "d@2" in command("curation.dataset", "list", *where).stdout
    wrong = command("curation.dataset", "export", "e", "--to", tmp_path / "x", *where)
    assert wrong.returncode == 2
    assert "d@1, d@2" in wrong.stderr
    folder = tmp_path / "folder"
    command("curation.dataset", "export", "d@2", "--to", folder, "--format", "datasets", *where)
    import pyarrow.dataset as ds

    table = ds.dataset(folder / "data").to_table()
    assert set(table.column("language").to_pylist()) == {"deu_Latn"}
    check(workspace)
