"""A workspace on S3 holds what a local one would, for everybody who names it, whatever is killed."""

import dataclasses
import hashlib
import io
import json
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from curation.catalog import open_catalog, refresh, rows, store
from curation.catalog.check import check as problems
from curation.catalog.gc import collect
from curation.catalog.query import ask as answer
from curation.dataset import create, diff, takedown
from curation.dedup.index import forget
from curation.errors import UserError
from curation.near import main as near
from curation.processes import this_process
from curation.records import FilterCount, Run, RunEnd, now
from curation.storage import ObjectWorkspace, open_workspace, working_home
from curation.workspace import Workspace
from tests.curation import inputs, s3_server
from tests.curation.commands import ask, command, curate, digests, kill_group, start
from tests.curation.s3_server import Bucket

SMOKE = ("--config", "smoke", "--read.max_bad_share", "1")
SMALL_SHARDS = ("--shards.max_text_bytes", "20000")


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with s3_server.bucket(tmp_path_factory.mktemp("home")) as made:
        yield made


@pytest.fixture
def other_host(tmp_path: Path) -> dict[str, str]:
    """The environment on a machine that has seen nothing of the workspace."""
    return {"OPEN_CURATION_HOME": str(tmp_path / "other")}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, bucket: Bucket) -> Path:
    """Input of every kind, here and in the bucket."""
    folder = tmp_path_factory.mktemp("source") / "raw"
    inputs.everything(folder, scale=4)
    (folder / "lines" / "good\nname.jsonl").rename(folder / "lines" / "good name.jsonl")
    bucket.put_folder(folder, "raw")
    bucket.put("raw/html/", b"")  # a folder as consoles make them: an object, and none of the input
    return folder


@pytest.fixture(scope="module")
def expected(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a run with everything on this machine gives."""
    workspace = tmp_path_factory.mktemp("local") / "w"
    curate(workspace, source, *SMOKE)
    return digests(workspace)


@pytest.fixture(scope="module")
def filled(source: Path, bucket: Bucket) -> str:
    """A workspace on S3 with one run, of input on S3: a folder, globs and a file."""
    url = bucket.url("work/one space")
    named = ["raw/html", "raw/*.warc.gz", "raw/**/*.jsonl", "raw/rows.parquet", "raw/book.txt", "raw/[Rt]*.*"]
    curate(url, *map(bucket.url, named), *SMOKE)
    return url


def stored(bucket: Bucket, workspace: str, run: int = -1) -> dict[str, str]:
    """``digests`` of a workspace in the bucket."""
    prefix = workspace.removeprefix(bucket.url("")) + "/shards/"
    found: dict[str, dict[str, str]] = {}
    for key in bucket.keys(prefix):
        run_id, _, path = key.removeprefix(prefix).partition("/")
        found.setdefault(run_id, {})[path] = hashlib.sha256(bucket.get(key)).hexdigest()
    return found[sorted(found)[run]]


def check(workspace: str) -> None:
    """``catalog check`` finds nothing wrong."""
    assert problems(open_workspace(workspace)) == []


def run_ids(workspace: str) -> list[str]:
    return [row["run_id"] for row in ask(workspace, "SELECT run_id FROM run ORDER BY run_id")]


def copied(bucket: Bucket, workspace: str, name: str) -> str:
    """A copy of a workspace in the bucket, to change."""
    prefix = workspace.removeprefix(bucket.url(""))
    for key in bucket.keys(f"{prefix}/"):
        bucket.put(f"work/{name}{key.removeprefix(prefix)}", bucket.get(key))
    return bucket.url(f"work/{name}")


# ---- the same bytes ----


def test_input_and_workspace_on_s3(filled: str, bucket: Bucket, expected: dict[str, str]) -> None:
    assert stored(bucket, filled) == expected
    check(filled)


def test_only_input_on_s3(source: Path, bucket: Bucket, expected: dict[str, str], tmp_path: Path) -> None:
    curate(tmp_path / "w", bucket.url("raw"), *SMOKE)
    assert digests(tmp_path / "w") == expected
    found = {row["uri"] for row in ask(tmp_path / "w", "SELECT uri FROM raw_file")}
    assert found == {bucket.url(key) for key in bucket.keys("raw") if not key.endswith("/")}


def test_shards_do_not_stay_on_this_machine(filled: str) -> None:
    workspace = open_workspace(filled)
    assert [path for path in workspace.shards.rglob("*") if path.is_file()] == []
    assert not list(workspace.runs.glob("*/scratch"))


def test_no_secret_is_stored(filled: str, bucket: Bucket) -> None:
    secret = bucket.env["AWS_SECRET_ACCESS_KEY"].encode()
    for key in bucket.keys("work/"):
        data = bucket.get(key)
        assert secret not in data
        if key.endswith(".parquet") and "/records/" in key:
            assert secret.decode() not in str(pq.read_table(io.BytesIO(data)).to_pylist())
    for path in working_home().rglob("*"):
        assert not path.is_file() or secret not in path.read_bytes()


# ---- questions ----


def test_status_sql_and_another_host(filled: str, other_host: dict[str, str], source: Path) -> None:
    (run_id,) = run_ids(filled)
    for _ in range(2):  # with an empty working folder, and with a mirror
        status = command("curation.catalog", "status", "--workspace", filled, env=other_host)
        assert status.returncode == 0, status.stderr
        assert f"workspace {filled}" in status.stdout
        assert f"{run_id}  curate  done" in status.stdout
    query = "SELECT url, text FROM document WHERE url = 'http://lines.example/1003'"
    found = command("curation.catalog", "sql", query, "--format", "json", "--workspace", filled, env=other_host)
    assert json.loads(found.stdout) == {"url": "http://lines.example/1003", "text": inputs.prose("en", 1003)}


def test_a_persons_sql_reads_nothing_but_shards(filled: str, bucket: Bucket, source: Path) -> None:
    outside = bucket.url("raw/rows.parquet")
    for sql in (f"SELECT * FROM read_parquet('{outside}')", f"SELECT * FROM '{outside}'"):
        with pytest.raises(UserError, match="not a table of the catalog"):
            answer(open_workspace(filled), sql)
    with open_catalog(open_workspace(filled), documents=True) as connection:
        assert len(connection.execute("SELECT * FROM document").fetchall()) > 40
        for forbidden in (
            f"SELECT * FROM read_parquet('{outside}')",
            f"SELECT * FROM read_parquet('{filled}/shards/../records/shard/{run_ids(filled)[0]}.parquet')",
            f"SELECT * FROM read_parquet('{source / 'rows.parquet'}')",
            f"SELECT * FROM glob('{bucket.url('*')}')",
            f"COPY (SELECT 1) TO '{bucket.url('evil.csv')}'",
            "SET enable_external_access = true",
        ):
            with pytest.raises(Exception, match=r"disabled by configuration|locked|Cannot"):
                connection.execute(forbidden).fetchall()
    assert "evil.csv" not in bucket.keys("evil")


def test_check_finds_what_is_wrong(filled: str, bucket: Bucket) -> None:
    url = copied(bucket, filled, "damaged")
    keys = [key for key in bucket.keys("work/damaged/shards/") if key.endswith(".parquet")]
    bucket.client.delete_object(Bucket=bucket.name, Key=keys[0])
    bucket.put(keys[1], bucket.get(keys[1])[:-1] + b"\0")
    (index,) = bucket.keys("work/damaged/index/")
    bucket.put(index, bucket.get(index)[:-8])
    done = command("curation.catalog", "check", "--workspace", url)
    assert done.returncode == 1
    assert f"{bucket.url(keys[0])} is missing" in done.stdout
    assert f"{bucket.url(keys[1])} is not the file that was written (sha256 differs)" in done.stdout
    assert "index: " in done.stdout


def test_near(filled: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert near([inputs.prose("en", 1002), "--workspace", filled]) == 0
    printed = capsys.readouterr().out
    assert "http://lines.example/1002" in printed
    assert f"--workspace {filled}\n" in printed
    found = printed.splitlines()[1].split()[0]
    assert near([found, "--workspace", filled, "--threshold", "0.01"]) == 0


def test_datasets(filled: str, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = open_workspace(filled)
    (run_id, *_) = run_ids(filled)
    assert create(workspace, "all", run_id) == ("all@1", True)
    assert create(workspace, "all", run_id, ["deu_Latn"]) == ("all@2", True)
    changes = {row["language"]: row for row in diff(workspace, "all@1", "all@2")}
    assert changes["eng_Latn"]["removed"] > 0
    assert changes["deu_Latn"]["in_both"] > 0


def test_from_a_run_on_s3(filled: str, bucket: Bucket, expected: dict[str, str], other_host: dict[str, str]) -> None:
    """Decided anew, as before, from shards on S3, by a host that has none of them."""
    url = copied(bucket, filled, "parent")
    curate(url, "--from", run_ids(url)[0], *SMOKE, env=other_host)
    assert len(run_ids(url)) == 2
    assert stored(bucket, url) == expected
    check(url)


# ---- one bucket, several hosts ----


def test_a_second_crawl_from_another_host(
    filled: str, bucket: Bucket, tmp_path: Path, other_host: dict[str, str]
) -> None:
    """It is compared with the index of the first, which that host has never seen, and both see both."""
    url = copied(bucket, filled, "crawls")
    assert len(run_ids(url)) == 1
    texts = [inputs.prose("en", seed) for seed in (1002, 1003, 7001, 7002)]
    lines = [json.dumps({"url": f"http://again.example/{n}", "text": text}) + "\n" for n, text in enumerate(texts)]
    (tmp_path / "again.jsonl").write_text("".join(lines))
    curate(url, tmp_path / "again.jsonl", *SMOKE, env=other_host)
    first, second = run_ids(url)
    found = ask(
        url,
        "SELECT d.url, d.reason, d.duplicate_of IN (SELECT id FROM document WHERE url LIKE '%lines%') AS held "
        f"FROM document d JOIN shard s USING (shard_id) WHERE s.run_id = '{second}' ORDER BY url",
    )
    assert [(row["reason"], row["held"]) for row in found[:2]] == [("same_text", True)] * 2
    assert [row["reason"] for row in found[2:]] == [None, None]
    check(url)
    status = command("curation.catalog", "status", "--workspace", url, env=other_host).stdout
    assert first in status
    assert second in status


def a_run(run_id: str) -> Run:
    return Run(run_id=run_id, run_kind="curate", config="{}", config_hash="x", versions="{}", created_at=now())


def test_a_run_elsewhere_is_told_by_its_heartbeat(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    there = open_workspace(bucket.url("work/beats"))
    attempt = dataclasses.replace(this_process("R1", 1), host="elsewhere", boot_id="another")
    there.write([a_run("R1"), attempt], name="R1")
    there.write([a_run("R2"), dataclasses.replace(attempt, run_id="R2")], name="R2")
    there.beat("R1")
    monkeypatch.setenv("OPEN_CURATION_HOME", str(working_home() / "here"))
    here = open_workspace(bucket.url("work/beats"))
    assert here.root != there.root
    with open_catalog(here) as connection:
        assert dict(connection.execute("SELECT run_id, status FROM run").fetchall()) == {"R1": "running", "R2": "dead"}
    end = RunEnd(run_id="R1", attempt=1, status="done", exit_code=0, finished_at=now())
    there.write([end], name="R1-0001")
    there.end_beat("R1")
    assert bucket.keys("work/beats/runs") == []
    with open_catalog(here) as connection:
        assert connection.execute("SELECT status FROM run WHERE run_id = 'R1'").fetchall() == [("done",)]


def test_a_run_at_work_is_not_resumed_elsewhere(
    source: Path, bucket: Bucket, expected: dict[str, str], other_host: dict[str, str]
) -> None:
    """While it lives; when it has died elsewhere, it begins anew here, and gives the same."""
    url = bucket.url("work/moved")
    run = start("curation.run", source, *SMOKE, "--workspace", url)
    wait_for_keys(bucket, "work/moved/records/attempt", 1, run)
    kill_group(run)
    run.communicate()

    # Of a process on a machine that is not this one its heartbeat tells.
    workspace = open_workspace(url)
    (run_id,) = run_ids(url)
    elsewhere = dataclasses.replace(this_process(run_id, 2), host="elsewhere", boot_id="another")
    workspace.write([elsewhere], name=f"{run_id}-0002")
    workspace.beat(run_id)
    refused = command("curation.run", "--resume", "last", "--workspace", url, env=other_host)
    assert refused.returncode == 2
    assert "is at work on host elsewhere" in refused.stderr
    workspace.end_beat(run_id)  # as if it had been a minute ago

    done = command("curation.run", "--resume", "last", "--workspace", url, env=other_host)
    assert done.returncode == 0, done.stderr
    assert "begins anew" in done.stderr
    assert stored(bucket, url) == expected
    check(url)


def test_compaction_on_one_host_is_followed_by_another(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "COMPACT_BEYOND", 20)
    here = open_workspace(bucket.url("work/small"))
    count = FilterCount(run_id="r", step="s", reason="r", language="und", documents=1, bytes=0)
    for number in range(25):
        here.write([count], name=f"{number:05d}")
    sql = "SELECT count(*) AS n, sum(documents)::BIGINT AS sum FROM filter_count"
    home = working_home()
    monkeypatch.setenv("OPEN_CURATION_HOME", str(home / "there"))
    there = open_workspace(bucket.url("work/small"))
    seen = list(there.record_files())  # mirrored, and not in a catalog yet
    assert len(seen) == 25
    refresh(here)
    (merged,) = bucket.keys("work/small/records")
    assert merged.endswith(".parquet")
    for workspace in (here, there):
        with open_catalog(workspace) as connection:
            assert rows(connection, sql) == [{"n": 25, "sum": 25}]
        assert len(list((workspace.records / "filter_count").iterdir())) == 1
    here.write([count], name="00003")  # what was merged and is written again counts once
    with open_catalog(there) as connection:
        assert rows(connection, sql) == [{"n": 25, "sum": 25}]


def test_both_hosts_merge_the_same_records(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    from curation.catalog.compaction import compact

    here = open_workspace(bucket.url("work/twice"))
    count = FilterCount(run_id="r", step="s", reason="r", language="und", documents=1, bytes=0)
    for number in range(6):
        here.write([count], name=f"{number:05d}")
    monkeypatch.setenv("OPEN_CURATION_HOME", str(working_home() / "twin"))
    there = open_workspace(bucket.url("work/twice"))
    assert len(list(here.record_files())) == len(list(there.record_files())) == 6
    assert compact(here, "filter_count", least=2) == 6
    assert compact(there, "filter_count", least=2) == 6  # from its mirror: it has not looked since
    assert len(bucket.keys("work/twice/records")) == 2
    for workspace in (here, there):
        assert len(workspace.rows("filter_count")) == 6
        with open_catalog(workspace) as connection:
            assert rows(connection, "SELECT count(*) AS n FROM filter_count") == [{"n": 6}]


def test_a_bucket_made_anew_is_another_workspace(bucket: Bucket) -> None:
    url = bucket.url("work/anew")
    first = open_workspace(url)
    first.write([a_run("R1")])
    refresh(first)
    for key in bucket.keys("work/anew"):
        bucket.client.delete_object(Bucket=bucket.name, Key=key)
    assert not open_workspace(url).exists
    with pytest.raises(UserError, match=f"no workspace at {url}"), open_catalog(open_workspace(url)):
        pass
    second = open_workspace(url)
    second.write([a_run("R2")])
    with open_catalog(open_workspace(url)) as connection:
        assert rows(connection, "SELECT run_id FROM run") == [{"run_id": "R2"}]


def test_records_that_were_put_there_by_hand(filled: str, bucket: Bucket) -> None:
    """A local workspace, copied into a bucket: it has no name of its own before somebody writes to it."""
    url = copied(bucket, filled, "by-hand")
    bucket.client.delete_object(Bucket=bucket.name, Key="work/by-hand/workspace.json")
    assert run_ids(url) == run_ids(filled)[:1]
    takedown(open_workspace(url), "id", "0" * 32, "asked")
    assert "work/by-hand/workspace.json" in bucket.keys("work/by-hand")
    assert run_ids(url) == run_ids(filled)[:1]


def test_a_torn_copy_is_fetched_again(bucket: Bucket) -> None:
    workspace = open_workspace(bucket.url("work/torn"))
    workspace.write([a_run("R1")], name="R1")
    (copy,) = workspace.records.glob("run/*.json")
    copy.write_bytes(b"")  # as a power failure may leave it
    assert [row["run_id"] for row in open_workspace(workspace.name).rows("run")] == ["R1"]
    copy.unlink()
    assert [row["run_id"] for row in workspace.rows("run")] == ["R1"]


# ---- take-downs ----


def texts_of(bucket: Bucket, prefix: str) -> str:
    """Every text and URL in the shards of a workspace."""
    tables = [pq.read_table(io.BytesIO(bucket.get(key))) for key in bucket.keys(prefix) if key.endswith(".parquet")]
    return "\n".join(str(table.select(["url", "text"]).to_pylist()) for table in tables)


def test_a_take_down_leaves_the_bucket(
    filled: str,
    bucket: Bucket,
    other_host: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = copied(bucket, filled, "takedown")
    told: list[str] = []
    gone = inputs.prose("en", 1003)
    assert near([gone, "--workspace", url]) == 0  # this host has a mirror of the index now
    monkeypatch.setenv("OPEN_CURATION_HOME", other_host["OPEN_CURATION_HOME"])
    _, hits = takedown(open_workspace(url), "url", "http://lines.example/1003", "asked")
    assert hits == 1
    monkeypatch.undo()
    hidden = "SELECT count(*) AS n FROM document WHERE url = 'http://lines.example/1003'"
    assert ask(url, hidden) == [{"n": 0}]  # at once, also for this host
    assert gone in texts_of(bucket, "work/takedown/shards/")
    done = command("curation.catalog", "gc", "--workspace", url, env=other_host)
    assert done.returncode == 0, done.stderr
    assert f"next: python -m curation.catalog check --workspace {url}" in done.stdout
    before = bucket.keys("work/takedown/")
    collect(open_workspace(url), told.append)
    assert told == []  # nothing was left to do
    assert bucket.keys("work/takedown/") == before
    assert gone not in texts_of(bucket, "work/takedown/shards/")
    check(url)
    capsys.readouterr()
    assert near([gone, "--workspace", url]) == 0
    assert "none of" in capsys.readouterr().out
    described = json.loads(bucket.get(f"work/takedown/shards/{run_ids(url)[0]}/croissant.json"))
    names = {f"{each['@id']}" for each in described["distribution"] if each["@type"] == "cr:FileObject"}
    assert names == {key.split("/", 4)[4] for key in bucket.keys("work/takedown/shards/") if key.endswith("parquet")}


def test_a_take_down_killed_before_the_index_was_stored(filled: str, bucket: Bucket) -> None:
    """The mirror has forgotten, the bucket has not: the next one must not take the first for done."""
    url = copied(bucket, filled, "half")
    workspace = open_workspace(url)
    (row,) = ask(url, "SELECT id FROM document WHERE url = 'http://lines.example/1003'")
    takedown(workspace, "id", row["id"], "asked")
    (run_id,) = run_ids(url)
    folder = workspace.index_folders([run_id])[run_id]
    assert forget(folder, [row["id"]]) == 1
    before = bucket.get(f"work/half/index/{run_id}/00000.safetensors")
    lines: list[str] = []
    collect(workspace, lines.append)
    assert f"index/{run_id}: 1 taken-down document(s) forgotten" in lines
    assert bucket.get(f"work/half/index/{run_id}/00000.safetensors") != before


def test_old_versions_are_spoken_of(filled: str, bucket: Bucket) -> None:
    url = copied(bucket, filled, "versioned")
    takedown(open_workspace(url), "url", "http://lines.example/1002", "asked")
    lines: list[str] = []
    settings = {"Bucket": bucket.name, "VersioningConfiguration": {"Status": "Enabled"}}
    bucket.client.put_bucket_versioning(**settings)
    try:
        collect(open_workspace(url), lines.append)
    finally:
        settings["VersioningConfiguration"] = {"Status": "Suspended"}
        bucket.client.put_bucket_versioning(**settings)
    assert [line for line in lines if "keeps old versions" in line]


def test_taken_down_shards_of_a_run_that_died_elsewhere(
    source: Path, bucket: Bucket, other_host: dict[str, str]
) -> None:
    """They go, and the run, resumed where it died, notices and begins anew."""
    url = bucket.url("work/died")
    run = start("curation.run", source, *SMOKE, *SMALL_SHARDS, "--workspace", url, env=other_host)
    wait_for_keys(bucket, "work/died/shards", 1, run)
    kill_group(run)
    run.communicate()
    takedown(open_workspace(url), "domain", "example", "asked")
    lines: list[str] = []
    collect(open_workspace(url), lines.append)
    assert bucket.keys("work/died/shards") == []
    assert [line for line in lines if "a resume begins anew" in line]
    done = command("curation.run", "--resume", "last", "--workspace", url, env=other_host)
    assert done.returncode == 0, done.stderr
    assert "begins anew" in done.stderr
    assert inputs.prose("en", 1003) not in texts_of(bucket, "work/died/shards/")
    check(url)


# ---- kills ----


def wait_for_keys(bucket: Bucket, prefix: str, least: int, process: Any, seconds: float = 60.0) -> None:
    """Wait until there are some objects."""
    end = time.monotonic() + seconds
    while len(bucket.keys(prefix)) < least:
        assert process.poll() is None, f"ended early: {process.communicate()}"
        assert time.monotonic() < end, "nothing was stored in time"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Much text that is quickly read: many shards."""
    folder = tmp_path_factory.mktemp("lines")
    inputs.jsonl(folder / "a.jsonl", 300)
    inputs.jsonl(folder / "b.jsonl", 300, first=300)
    return folder


@pytest.fixture(scope="module")
def undisturbed(lines: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    workspace = tmp_path_factory.mktemp("undisturbed") / "w"
    curate(workspace, lines, *SMOKE, *SMALL_SHARDS)
    return digests(workspace)


def test_killed_while_shards_are_stored(
    lines: Path, undisturbed: dict[str, str], bucket: Bucket, tmp_path: Path
) -> None:
    """Input here, the workspace on S3; what a run with both here gives."""
    assert len(undisturbed) > 25
    url = bucket.url("work/killed")
    run = start("curation.run", lines, *SMOKE, *SMALL_SHARDS, "--workspace", url)
    wait_for_keys(bucket, "work/killed/shards", 5, run)
    kill_group(run)
    run.communicate()
    early = bucket.keys("work/killed/shards")
    assert len(early) < len(undisturbed)
    assert [row["status"] for row in ask(url, "SELECT status FROM run")] == ["dead"]
    resumed = command("curation.run", "--resume", "last", "--workspace", f"{url}/")  # a slash is no part of the name
    assert resumed.returncode == 0, resumed.stderr
    assert "begins anew" not in resumed.stderr
    (run_id,) = run_ids(url)
    assert f"shards: {url}/shards/{run_id}\n" in resumed.stdout
    assert resumed.stdout.endswith(f"--workspace {url}\n")
    assert stored(bucket, url) == undisturbed
    assert bucket.unfinished_uploads() == []
    assert [path for path in open_workspace(url).shards.rglob("*") if path.is_file()] == []
    check(url)


@pytest.mark.full
@pytest.mark.timeout(900)
def test_killed_at_random(lines: Path, undisturbed: dict[str, str], bucket: Bucket) -> None:
    url = bucket.url("work/random")
    arguments: tuple[object, ...] = (lines, *SMOKE, *SMALL_SHARDS)
    chance = random.Random(7)
    kills = 0
    while kills < 20:
        run = start("curation.run", *arguments, "--workspace", url)
        time.sleep(chance.uniform(1.0, 4.5))
        if run.poll() is None:
            kill_group(run)
            kills += 1
        run.communicate()
        begun = bool(bucket.keys("work/random/records/attempt"))
        if begun and ask(url, "SELECT status FROM run")[0]["status"] == "done":
            assert stored(bucket, url) == undisturbed
            check(url)
            for key in bucket.keys("work/random"):
                bucket.client.delete_object(Bucket=bucket.name, Key=key)
            begun = False
        arguments = ("--resume", "last") if begun else (lines, *SMOKE, *SMALL_SHARDS)
    curate(url, *arguments)
    assert stored(bucket, url) == undisturbed
    check(url)


# ---- names and errors ----


def test_names(tmp_path: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(open_workspace(tmp_path / "w")) is Workspace
    assert open_workspace(f"file://{tmp_path}/w%20x").root == tmp_path / "w x"
    workspace = open_workspace(bucket.url("a b/c"))
    assert isinstance(workspace, ObjectWorkspace)
    assert workspace.root.parent == working_home() / "workspaces"
    assert workspace.root.name.startswith("corpus-a-b-c-")
    assert open_workspace(bucket.url("a/b/c")).root != workspace.root
    monkeypatch.delenv("OPEN_CURATION_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert working_home() == tmp_path / "open-curation"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert working_home() == tmp_path / "me" / ".cache" / "open-curation"


@pytest.mark.parametrize(
    "words",
    [
        ("curation.run", "INPUT"),
        ("curation.catalog", "status"),
        ("curation.dataset", "list"),
        ("curation.near", "some text"),
    ],
)
def test_every_command_says_what_is_wrong_in_one_line(words: tuple[str, ...], source: Path, bucket: Bucket) -> None:
    words = tuple(str(source) if word == "INPUT" else word for word in words)
    began = time.monotonic()
    done = command(*words, "--workspace", "s3://no-such-bucket/w")
    assert done.returncode == 2
    assert "s3://no-such-bucket/w: there is no bucket 'no-such-bucket'" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert time.monotonic() - began < 15


def test_no_workspace_there(bucket: Bucket) -> None:
    url = bucket.url("work/empty")
    done = command("curation.catalog", "status", "--workspace", url)
    assert done.returncode == 2
    assert f"no workspace at {url}" in done.stderr


def test_a_missing_working_folder_is_made(filled: str) -> None:
    workspace = open_workspace(filled)
    shutil.rmtree(workspace.root)
    assert run_ids(filled)
    check(filled)
