"""Exports: the same documents wherever they go, all or nothing."""

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from curation.dataset import create, main, takedown
from curation.errors import UserError
from curation.export import LocalTarget, NewObject, ObjectTarget, export
from curation.objects import BLOCK_BYTES, ObjectStore
from curation.storage import open_workspace
from tests.curation import inputs, s3_server
from tests.curation.commands import ask, curate
from tests.curation.s3_server import Bucket


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with s3_server.bucket(tmp_path_factory.mktemp("home")) as made:
        yield made


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, bucket: Bucket) -> str:
    """A workspace on S3 with the dataset ``news``."""
    folder = tmp_path_factory.mktemp("export")
    inputs.jsonl(folder / "a.jsonl", 12)
    url = bucket.url("w")
    curate(url, folder / "a.jsonl", "--config", "smoke", "--read.max_bad_share", "1")
    create(open_workspace(url), "news", ask(url, "SELECT run_id FROM run")[0]["run_id"])
    return url


def lines(data: bytes) -> list[str]:
    return [json.loads(line)["url"] for line in data.decode().splitlines()]


def test_jsonl(workspace: str, bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("x.jsonl", "x.jsonl.zst", "x.jsonl.gz"):
        for to in (str(tmp_path / name), bucket.url(f"out/{name}")):
            assert main(["export", "news", "--to", to, "--workspace", workspace]) == 0
            assert capsys.readouterr().out == f"12 documents written to {to}\n"
    here = (tmp_path / "x.jsonl").read_bytes()
    assert len(lines(here)) == 12
    assert bucket.get("out/x.jsonl") == here
    assert zstandard.ZstdDecompressor().stream_reader(bucket.get("out/x.jsonl.zst")).read() == here
    assert gzip.decompress(bucket.get("out/x.jsonl.gz")) == here
    assert (tmp_path / "x.jsonl.zst").read_bytes() == bucket.get("out/x.jsonl.zst")
    assert gzip.decompress((tmp_path / "x.jsonl.gz").read_bytes()) == here
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.jsonl", "x.jsonl.gz", "x.jsonl.zst"]


def test_folder(workspace: str, bucket: Bucket, tmp_path: Path) -> None:
    assert export(open_workspace(workspace), "news@1", bucket.url("out/news/"), "datasets") == 12
    assert export(open_workspace(workspace), "news@1", str(tmp_path / "news"), "datasets") == 12
    here = {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {key: bucket.get(f"out/{key}") for key in here} == here
    assert len(bucket.keys("out/news/")) == len(here) == 2
    assert pq.read_table(tmp_path / "news" / "data").num_rows == 12


def test_files_of_a_folder_are_cut_by_rows(
    workspace: str, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("curation.export._ROWS_A_FILE", 5)
    monkeypatch.setattr("curation.dataset.documents.__defaults__", (4,))
    assert export(open_workspace(workspace), "news", bucket.url("out/cut"), "datasets") == 12
    names = [key.removeprefix("out/cut/") for key in bucket.keys("out/cut/")]
    assert names == ["README.md", "data/train-00000.parquet", "data/train-00001.parquet"]
    for name in names[1:]:
        (tmp_path / Path(name).name).write_bytes(bucket.get(f"out/cut/{name}"))
    assert pq.read_table(tmp_path).num_rows == 12


def test_nothing_is_written_over(workspace: str, bucket: Bucket) -> None:
    bucket.put("out/taken.jsonl", b"x")
    bucket.put("out/taken/data/x.parquet", b"x")
    for to, style in (("out/taken.jsonl", "jsonl"), ("out/taken", "datasets"), ("out/taken/", "jsonl")):
        with pytest.raises(UserError, match="is there already"):
            export(open_workspace(workspace), "news", bucket.url(to), style)
    assert bucket.get("out/taken.jsonl") == b"x"


@pytest.mark.parametrize("style", ["jsonl", "datasets"])
def test_an_aborted_export_leaves_nothing(workspace: str, bucket: Bucket, style: str, tmp_path: Path) -> None:
    for to in (bucket.url("out/aborted"), str(tmp_path / "aborted")):
        with pytest.raises(UserError, match="unknown column 'no'"):
            export(open_workspace(workspace), "news", to, style, ["url", "no"])
    assert bucket.keys("out/aborted") == []
    assert bucket.unfinished_uploads() == []
    assert list(tmp_path.iterdir()) == []


def test_a_new_object_is_invisible_before_commit(bucket: Bucket) -> None:
    store = ObjectStore(bucket.url("new"))
    data = os.urandom(5 * BLOCK_BYTES)
    for name in ("kept", "thrown away"):
        made = NewObject(store, name)
        for start in range(0, len(data), 100_001):
            made.write(data[start : start + 100_001])
        assert name not in str(bucket.keys("new"))
        assert len(bucket.unfinished_uploads()) == 1
        if name == "kept":
            made.commit()
        made.discard()  # does nothing to what is committed
        assert bucket.unfinished_uploads() == []
    NewObject(store, "empty").commit()
    assert bucket.keys("new") == ["new/empty", "new/kept"]
    assert bucket.get("new/kept") == data


def test_large_files_stay_invisible_until_all_are_there(bucket: Bucket) -> None:
    target = ObjectTarget(bucket.url("out/large"))
    with target.open("data/a") as file:
        file.write(bytes(3 * BLOCK_BYTES))
    with target.open("README.md") as file:
        file.write(b"done")
    assert bucket.keys("out/large") == []
    assert len(bucket.unfinished_uploads()) == 2
    target.commit()
    assert bucket.keys("out/large") == ["out/large/README.md", "out/large/data/a"]
    assert bucket.unfinished_uploads() == []


def test_when_the_last_file_fails_the_first_goes_again(bucket: Bucket) -> None:
    target = ObjectTarget(bucket.url("out/failed"))
    for name in ("data/a", "README.md"):
        with target.open(name) as file:
            file.write(bytes(3 * BLOCK_BYTES))
    (upload,) = [
        each
        for each in bucket.client.list_multipart_uploads(Bucket=bucket.name)["Uploads"]
        if each["Key"].endswith("README.md")
    ]
    bucket.client.abort_multipart_upload(Bucket=bucket.name, Key=upload["Key"], UploadId=upload["UploadId"])
    with pytest.raises(OSError, match=r"out/failed/README\.md"):
        target.commit()
    target.discard()
    assert bucket.keys("out/failed") == []


def test_what_a_killed_export_left_aside_is_not_mixed_in(tmp_path: Path) -> None:
    left = tmp_path / ".out.tmp" / "data"
    left.mkdir(parents=True)
    (left / "train-00009.parquet").write_bytes(b"old")
    target = LocalTarget(tmp_path / "out")
    target.discard()
    with target.open("data/train-00000.parquet") as file:
        pq.write_table(pa.table({"a": [1]}), file)
    target.commit()
    assert [path.name for path in (tmp_path / "out" / "data").iterdir()] == ["train-00000.parquet"]


def test_an_export_leaves_out_what_is_taken_down(workspace: str, bucket: Bucket) -> None:
    takedown(open_workspace(workspace), "url", "http://lines.example/3", "asked")
    assert export(open_workspace(workspace), "news", bucket.url("out/without.jsonl"), "jsonl") == 11
    assert "http://lines.example/3" not in lines(bucket.get("out/without.jsonl"))
    takedown(open_workspace(workspace), "domain", "lines.example", "asked")
    assert export(open_workspace(workspace), "news", bucket.url("out/nothing.jsonl"), "jsonl") == 0
    assert bucket.get("out/nothing.jsonl") == b""
