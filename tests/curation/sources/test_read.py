import gzip
import io
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from curation.sources.content import resolve
from curation.sources.discover import IdentifiedFile, discover, identify
from curation.sources.read import ReadConfig, read_raw, spans
from curation.sources.record import RawRecord

WARC = b"".join(
    b"WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:uuid:%d>\r\nWARC-Target-URI: http://a/%d\r\n"
    b"Content-Type: application/http\r\nContent-Length: %d\r\n\r\n%s\r\n\r\n" % (n, n, len(block), block)
    for n in range(3)
    for block in [b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>page %d</html>" % n]
)
ARC = (
    b"filedesc://x.arc 0.0.0.0 20200101000000 text/plain 76\n1 0 Test\n"
    b"URL IP-address Archive-date Content-type Archive-length\n\n"
    b"http://a/0 1.2.3.4 20200101000000 text/html 61\n"
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>page 0</html>\n"
)
JSONL = b'{"text":"page 0"}\n{"text":"page 1"}\n{"text":"page 2"}\n'


def parquet() -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"text": [f"page {n}" for n in range(30)]}), out, row_group_size=10)
    return out.getvalue()


def identified(folder: Path, name: str, data: bytes) -> IdentifiedFile:
    (folder / name).write_bytes(data)
    (file,) = identify(discover([str(folder / name)]))
    return file


def read(file: IdentifiedFile, **options: Any) -> list[RawRecord]:
    return list(read_raw(file, config=ReadConfig(), **options))


@pytest.mark.parametrize(
    ("data", "name", "texts"),
    [
        (WARC, "x", ["<html>page 0</html>", "<html>page 1</html>", "<html>page 2</html>"]),
        (
            b"".join(gzip.compress(WARC) for _ in "x"),
            "x.txt",
            ["<html>page 0</html>", "<html>page 1</html>", "<html>page 2</html>"],
        ),
        (ARC, "x.bin", ["<html>page 0</html>"]),
        (JSONL, "x.gz", ["page 0", "page 1", "page 2"]),
        (zstandard.ZstdCompressor().compress(JSONL), "x", ["page 0", "page 1", "page 2"]),
        (parquet(), "x.bin", [f"page {n}" for n in range(30)]),
        (b"<!doctype html><p>x", "x.txt", ["<!doctype html><p>x"]),
        (b"# Title", "README.md", ["# Title"]),
        (b"print(1)", "x.py", ["print(1)"]),
        (gzip.compress(b"print(1)"), "x.py.gz", ["print(1)"]),
        (b"", "x.warc", []),
        (b"PK\x03\x04" + bytes(99), "x.warc", []),
    ],
)
def test_every_format_through_one_door(tmp_path: Path, data: bytes, name: str, texts: list[str]) -> None:
    file = identified(tmp_path, name, data)
    records = [resolve(record) for record in read(file)]
    assert [record.text for record in records if record.text is not None] == texts
    assert not any(record.damage for record in records)
    assert records
    everything = [(record.position, record.text, record.rejected) for record in records]
    for target in (1, 7, 50, 200, 10**9):
        cuts = spans(file, target)
        assert cuts[0][0] == 0
        assert cuts[-1][1] is None
        assert all(a[1] == b[0] for a, b in pairwise(cuts))
        if len(cuts) < 200:
            parts = [resolve(r) for start, end in cuts for r in read(file, start=start, end=end)]
            assert [(r.position, r.text, r.rejected) for r in parts] == everything


def test_spans(tmp_path: Path) -> None:
    jsonl = identified(tmp_path, "a", JSONL * 100)
    assert spans(jsonl, 2000) == [(0, 2000), (2000, 4000), (4000, None)]
    assert spans(jsonl, 5400) == [(0, None)]
    packed = identified(tmp_path, "b", gzip.compress(os.urandom(500) + JSONL) + gzip.compress(JSONL))
    assert packed.format == "binary"
    assert spans(packed, 10) == [(0, None)]
    assert spans(identified(tmp_path, "c", gzip.compress(JSONL * 99)), 10) == [(0, None)]
    archive = identified(tmp_path, "d", gzip.compress(WARC) * 10)
    assert spans(archive, 1000)[0] == (0, 1000)
    table = identified(tmp_path, "e", parquet())
    assert spans(table, 1) == [(0, 10), (10, 20), (20, None)]
    assert spans(identified(tmp_path, "f", b"words " * 1000), 10) == [(0, None)]
    broken = identified(tmp_path, "g.parquet", parquet()[:-9])
    assert spans(broken, 1) == [(0, None)]


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("x.jsonl.gz", gzip.compress(JSONL * 50)[:-30], "truncated"),
        ("x.parquet", parquet()[:-20], "damaged"),
        ("x.parquet", b"\xff\0\1" * 6 + parquet()[18:-4] + b"oops", "damaged"),
        ("x.jsonl.gz", b"\xff\0\1\2" * 10 + gzip.compress(JSONL)[40:], "damaged"),
        ("x.txt.gz", gzip.compress(b"a b c " * 99)[:-4], "truncated"),
        ("x.warc.gz", b"\xff\0\1\2" * 10 + gzip.compress(WARC)[40:], "damaged"),
    ],
)
def test_damaged_files_say_so(tmp_path: Path, name: str, data: bytes, reason: str) -> None:
    records = read(identified(tmp_path, name, data))
    assert [record.quarantined for record in records if record.damage] == [reason]


def test_a_vanished_file_is_one_unreadable_record(tmp_path: Path) -> None:
    file = identified(tmp_path, "x.jsonl", JSONL)
    (tmp_path / "x.jsonl").unlink()
    (record,) = read(file)
    assert (record.quarantined, record.damage, record.detail) == ("unreadable", True, "No such file or directory")


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A JSONL on a storage that fails behind the first half, with an error that is no OSError."""
    from fsspec.implementations.memory import MemoryFile

    filesystem = fsspec.filesystem("memory")
    filesystem.pipe("/fail/x.jsonl", JSONL * 100_000)

    def read(self: MemoryFile, n: int = -1) -> bytes:
        if self.tell() > 2_700_000:
            raise RuntimeError("connection lost")
        return io.BytesIO.read(self, n)

    monkeypatch.setattr(MemoryFile, "read", read, raising=False)
    yield "memory:///fail/x.jsonl"
    filesystem.rm("/fail", recursive=True)


def test_an_error_in_the_middle_keeps_what_was_read(failing: str) -> None:
    file = IdentifiedFile("0", failing, len(JSONL) * 100_000, 0, "jsonl", "")
    *good, bad = read(file)
    assert len(good) > 100_000
    assert all(record.text for record in good)
    assert (bad.quarantined, bad.damage) == ("unreadable", True)
    assert "connection lost" in bad.detail
    assert bad.position > good[-1].position


def test_remote_files(tmp_path: Path) -> None:
    filesystem = fsspec.filesystem("memory")
    for name, data in (("a.parquet", parquet()), ("b.warc.gz", gzip.compress(WARC)), ("c.txt", b"words")):
        filesystem.pipe(f"/r/{name}", data)
    files = identify(discover(["memory://r"]))
    assert {file.format: len(read(file)) for file in files} == {"parquet": 30, "warc": 3, "text": 1}
    filesystem.rm("/r", recursive=True)


def test_storage_that_gives_files_only_from_front_to_back(monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.implementations.memory import MemoryFile

    def seek(self: MemoryFile, offset: int, whence: int = 0) -> int:
        if (offset, whence) != (0, 0):
            raise ValueError("cannot seek a stream")
        return io.BytesIO.seek(self, 0)

    filesystem = fsspec.filesystem("memory")
    filesystem.pipe("/s/a.parquet", parquet())
    monkeypatch.setattr(MemoryFile, "seek", seek, raising=False)
    (file,) = identify(discover(["memory://s/a.parquet"]))
    assert (file.format, len(read(file))) == ("parquet", 30)
    filesystem.rm("/s", recursive=True)


def test_unreadable_files_count_once_however_they_are_cut() -> None:
    file = IdentifiedFile("0", "/nowhere", 10**9, 0, "unreadable", "", error="Permission denied")
    assert spans(file, 1000) == [(0, None)]
    (record,) = read(file)
    assert record.detail == "Permission denied"
    assert read(file, start=5) == []


def test_configured_limits_reach_every_reader(tmp_path: Path) -> None:
    config = ReadConfig(max_record_bytes=5, text_field="prose")
    for name, data in (
        ("a.jsonl", b'{"prose": "x"}\n'),
        ("b.txt", b"longer"),
        ("c.html", b"<!doctype html>"),
        ("d.warc", WARC),
    ):
        records = list(read_raw(identified(tmp_path, name, data), config=config))
        assert {record.quarantined for record in records} == {"oversized"}
    out = io.BytesIO()
    pq.write_table(pa.table({"text": ["a"], "prose": ["longer"]}), out)
    (record,) = read_raw(identified(tmp_path, "e.parquet", out.getvalue()), config=config)
    assert record.quarantined == "oversized"


def test_real_archives(shared: Path) -> None:
    files = identify(discover([str(shared / "crawl")]))
    counts = {Path(f.uri).name: sum(1 for _ in read_raw(f, config=ReadConfig())) for f in files}
    assert counts["README.md"] == 1
    assert counts["manifest.jsonl"] == sum(1 for _ in (shared / "crawl/manifest.jsonl").open())
    assert counts["aeb-00000.warc.gz"] >= 181
