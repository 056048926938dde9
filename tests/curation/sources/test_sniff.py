import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from curation.sources.programming import programming_language
from curation.sources.sniff import (
    HEAD_BYTES,
    Compression,
    Format,
    FormatName,
    binary_kind,
    looks_binary,
    looks_html,
    sniff,
)

WARC = (
    b"WARC/1.0\r\nWARC-Type: warcinfo\r\nWARC-Record-ID: <urn:uuid:1>\r\nContent-Length: 4\r\n\r\nabcd\r\n\r\n"
    b"WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:uuid:2>\r\nContent-Length: 4\r\n\r\nefgh\r\n\r\n"
)
ARC = (
    b"filedesc://x.arc 0.0.0.0 20200101000000 text/plain 9\n1 0 Test\n\n\n"
    b"http://a/ 1.2.3.4 20200101000000 text/html 2\nhi\n"
)
JSONL = b'{"text": "one"}\n{"text": "two"}\n'
HTML = b"<!DOCTYPE html>\n<html><head><title>T</title></head><body><p>Hi</p></body></html>"
PRETTY = json.dumps({"rows": [{"a": 1}, {"a": 2}]}, indent=1).encode()


def tell(data: bytes, name: str = "x") -> Format:
    return sniff(data[:HEAD_BYTES], name, lambda n: data[:n])


def parquet() -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"text": ["a", "b"]}), out)
    return out.getvalue()


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


@pytest.mark.parametrize("name", ["x.txt", "x.bin", "x.warc.gz", "x.jsonl.zst", "x.py", "x", "x.html"])
@pytest.mark.parametrize(("pack", "compression"), [(bytes, ""), (gzip.compress, "gzip"), (zstd, "zstd")])
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (WARC, "warc"),
        (b"\r\n" + WARC, "warc"),
        (ARC, "arc"),
        (JSONL, "jsonl"),
        (b"\xef\xbb\xbf" + JSONL, "jsonl"),
        (b'{"text": "broken\n' + JSONL * 3, "jsonl"),
        (b"\n \n" + JSONL, "jsonl"),
        (JSONL.decode().encode("utf-16"), "jsonl"),
        (b'{"text": "caf\xe9"}\n', "jsonl"),
        (b'{"text": "a", "n": NaN}\n', "jsonl"),
        (parquet(), "parquet"),
        (HTML, "html"),
        (HTML.decode().encode("utf-16"), "html"),
        (HTML.decode().encode("utf-16-be"), "html"),
    ],
)
def test_content_decides_whatever_the_name(
    data: bytes, expected: FormatName, pack: Callable[[bytes], bytes], compression: Compression, name: str
) -> None:
    assert tell(pack(data), name) == Format(expected, compression)


@pytest.mark.parametrize(
    ("data", "name", "expected"),
    [
        (b"", "x.warc.gz", Format("empty")),
        (gzip.compress(b""), "x.jsonl.gz", Format("empty", "gzip")),
        (b"plain words\n", "x.warc.gz", Format("text")),
        (b"WARC/1.0 is the name of a format\nfor web archives.\n", "x", Format("text")),
        (b"WARC/", "x", Format("text")),
        (b'<h1 align="center">Project</h1>\n\n# Usage\n', "README.md", Format("text")),
        (b"<!-- note -->\n# Title\n", "README.md", Format("text")),
        (b"<p>Fragment</p>", "x.html", Format("html")),
        (b"<p>Fragment</p>", "x.txt", Format("text")),
        (b"Hello <b>world</b>", "x.htm", Format("html")),
        (b"No markup at all", "x.html", Format("text")),
        (HTML, "x.php", Format("html")),
        (b"<html><body><?php echo 1; ?></body></html>", "x.php", Format("code", language="php")),
        (b"import os\n", "a/b.py", Format("code", language="python")),
        (gzip.compress(b"import os\n"), "b.py.gz", Format("code", "gzip", "python")),
        (b"body { color: red }\n", "x.css", Format("code", language="css")),
        (PRETTY, "x.json", Format("code", language="json")),
        (PRETTY, "x", Format("text")),
        (json.dumps({"text": "one document"}).encode(), "x.json", Format("code", language="json")),
        (json.dumps({"text": "one document"}).encode(), "x.txt", Format("jsonl")),
        (b'[\n{"a": 1},\n{"a": 2},\n{"a": 3}\n]\n', "x", Format("text")),
        (JSONL, "x.json", Format("jsonl")),
        (b"null\n42\n[1]\nnope\n", "x.jsonl", Format("jsonl")),
        (b"null\n42\n[1]\nnope\n", "x.txt", Format("text")),
        ("Grüße".encode("utf-16"), "x.txt", Format("text")),
        ("Grüße aus Köln. ".encode("utf-16-le") * 20, "x.txt", Format("text")),
        ("日本語の文章です。".encode("iso-2022-jp"), "x.txt", Format("text")),
        ("Ёлки".encode("koi8-r"), "x.txt", Format("text")),
        (b"page one\x0cpage two\n\x1a", "x.txt", Format("text")),
        (b"   \n\n", "x", Format("text")),
        (b"text with one \0 NUL" + b" and much more" * 20, "x.txt", Format("text")),
        (b"%PDF-1.7\n1 0 obj", "x.txt", Format("binary")),
        (b"\x89PNG\r\n\x1a\nabc", "x.html", Format("binary")),
        (bytes(range(256)) * 8, "x.txt", Format("binary")),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "x.svg", Format("code", language="xml")),
        (b"<?xml version='1.0'?><rss></rss>", "feed", Format("text")),
        (gzip.compress(gzip.compress(JSONL)), "x.gz", Format("binary", "gzip")),
    ],
)
def test_special_cases(data: bytes, name: str, expected: Format) -> None:
    assert tell(data, name) == expected


def break_head(data: bytes) -> bytes:
    return b"\xff\x00\x13\x37\x9c\x02" * 3 + data[18:]


@pytest.mark.parametrize(
    ("data", "name", "expected"),
    [
        (break_head(gzip.compress(WARC)), "x.warc.gz", Format("warc", "gzip")),
        (break_head(zstd(WARC)), "x.warc.zst", Format("warc", "zstd")),
        (break_head(gzip.compress(JSONL)), "x.jsonl.gz", Format("jsonl", "gzip")),
        (break_head(gzip.compress(b"words")), "book.gz", Format("text", "gzip")),
        (break_head(parquet()), "x.parquet", Format("parquet")),
        (b"\0\1\2\3" * 40 + WARC, "x.warc", Format("warc")),
        # The magic is there, what follows is broken.
        (gzip.compress(WARC)[:10] + b"\xff" * 40, "x.warc.gz", Format("warc", "gzip")),
        (gzip.compress(JSONL)[:10] + b"\xff" * 40, "x.gz", Format("text", "gzip")),
        # A later member tells, whatever the name.
        (break_head(gzip.compress(WARC)) + gzip.compress(WARC), "x.bin", Format("warc", "gzip")),
        (gzip.compress(WARC)[:14] + b"\xff" * 9 + gzip.compress(WARC), "x", Format("warc", "gzip")),
        # Cut within the first member.
        (gzip.compress(JSONL * 99)[:-20], "x", Format("jsonl", "gzip")),
    ],
)
def test_a_damaged_beginning_is_still_read_as_what_it_was(data: bytes, name: str, expected: Format) -> None:
    assert tell(data, name) == expected


def test_a_long_first_line_is_jsonl() -> None:
    line = json.dumps({"text": "x" * (2 * HEAD_BYTES)}).encode()
    assert tell(line, "x").format == "jsonl"
    assert tell(gzip.compress(line), "x").format == "jsonl"
    assert tell(line, "x.json").format == "code"
    assert tell(b"{" + b"x" * 2 * HEAD_BYTES, "x").format == "text"


def test_zstd_frames_larger_than_the_head_are_looked_into() -> None:
    import random

    noise = random.Random(1).randbytes(3 * HEAD_BYTES).hex()
    data = zstd(json.dumps({"text": noise}).encode() + b"\n")
    assert len(data) > HEAD_BYTES
    assert tell(data, "x") == Format("jsonl", "zstd")


def test_gzip_bombs_cost_little() -> None:
    bomb = gzip.compress(bytes(200 << 20), 1)
    assert tell(bomb, "x.txt.gz").compression == "gzip"


def test_archives_of_files_are_named(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.txt", "hello")
    assert binary_kind(packed.getvalue()) == "ZIP archive"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("a.txt"))
    assert binary_kind(packed.getvalue()) == "tar archive"
    assert tell(gzip.compress(packed.getvalue()), "x.tar.gz") == Format("binary", "gzip")


@pytest.mark.parametrize(
    ("head", "strong", "weak"),
    [
        (b"<!DOCTYPE html>", True, True),
        (b"\xef\xbb\xbf \n<HTML lang=de>", True, True),
        (b"<?xml version='1.0'?>\n<!-- a > b --><!DOCTYPE html PUBLIC '-//W3C'>", True, True),
        (b"<!--[if IE]><p>x</p><![endif]--><html>", True, True),
        (b"<meta charset=utf-8><title>x</title>", True, True),
        (b"<script>1</script>", False, True),
        (b"<div>x</div>", False, True),
        (b"<!-- no end", False, True),
        (b"<htmlx>", False, False),
        (b"<header>x", False, True),
        (b"a < b", False, False),
        (b"<?xml version='1.0'?><feed>", False, False),
        (b"<?", False, False),
        (b"", False, False),
    ],
)
def test_looks_html(head: bytes, strong: bool, weak: bool) -> None:
    assert looks_html(head) is strong
    assert looks_html(head, weak=True) is weak


@given(st.binary(max_size=300), st.sampled_from(["x", "x.gz", "x.warc.gz", "x.zst", "x.json", "x.py", "\n"]))
def test_any_bytes_have_a_format(data: bytes, name: str) -> None:
    for head in (data, b"\x1f\x8b\x08" + data, b"\x28\xb5\x2f\xfd" + data, b"PAR1" + data, b"{" + data):
        assert tell(head, name).compression in ("", "gzip", "zstd")


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1))
def test_unicode_text_is_not_binary(text: str) -> None:
    data = ("x" + text).encode()
    assert binary_kind(data) != "unknown binary data"
    assert not looks_binary(data)


@pytest.mark.parametrize(
    ("name", "head", "expected"),
    [
        ("a.py", b"", "python"),
        ("A.PY", b"", "python"),
        ("dir.c/Makefile", b"", "make"),
        ("CMakeLists.txt", b"", "cmake"),
        ("Dockerfile", b"", "docker"),
        ("a.h", b"int f(void);", "c"),
        ("a.h", b"namespace x {\nclass Y;\n}", "cpp"),
        ("a.h", b"#import <A/B.h>\n@interface C\n@end", "objective-c"),
        ("a.m", b"@implementation X\n@end", "objective-c"),
        ("a.m", b"x = 1;\n% comment", "matlab"),
        ("a.R", b"", "r"),
        ("a.pl", b"use strict;\nmy $x = 1;", "perl"),
        ("a.sql", b"select 1", "sql"),
        ("a.rs", b"", "rust"),
        ("a.ts", b"", "typescript"),
        ("a.ipynb", b"{}", "json"),
        ("run", b"#!/usr/bin/env python3\n", "python"),
        ("run", b"#!/bin/sh -e\n", "bash"),
        ("run", b"#!/usr/bin/env node\n", "javascript"),
        ("run", b"#!\xff\n", None),
        ("README", b"#1 is best", None),
        ("README.md", b"", None),
        ("notes.rst", b"", None),
        ("a.txt", b"#!/bin/sh", None),
        ("page.html", b"", None),
        ("data.1", b"", None),
        ("", b"", None),
    ],
)
def test_programming_language(name: str, head: bytes, expected: str | None) -> None:
    assert programming_language(name, head) == expected


def test_real_archives(shared: Path) -> None:
    for path in sorted((shared / "crawl").glob("*.warc.gz")):
        assert tell(path.read_bytes(), "renamed.txt") == Format("warc", "gzip")
