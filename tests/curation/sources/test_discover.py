import dataclasses
import gzip
import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from curation.errors import UserError
from curation.sources.discover import IdentifiedFile, InputFile, changed_since, discover, identify
from curation.sources.location import display, local_path, open_uri
from curation.sources.read import ReadConfig, read_raw

Tree = Callable[..., Path]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Makes files below a fresh folder, each with its name as content, or with the content given."""

    def make(*names: str, **contents: bytes) -> Path:
        root = tmp_path / "input"
        for name in names:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(os.fsencode(name))
        for name, content in contents.items():
            (root / name).write_bytes(content)
        return root

    return make


def names(files: list[InputFile]) -> list[str]:
    return [file.name for file in files]


# ---- finding ----


def test_a_folder_holds_all_but_what_is_hidden(tree: Tree) -> None:
    root = tree("b.txt", "a/z.txt", "a/.hidden", ".git/config", "a/b/c d.txt", "empty/.keep")
    found = discover([str(root)])
    assert names(found) == ["a/b/c d.txt", "a/z.txt", "b.txt"]
    assert found[0] == InputFile(
        uri=str(root / "a/b/c d.txt"),
        size=len("a/b/c d.txt"),
        mtime_ns=(root / "a/b/c d.txt").stat().st_mtime_ns,
        name="a/b/c d.txt",
        root=str(root),
    )
    assert names(discover([str(root / ".git")])) == ["config"]
    assert names(discover([str(root / "a/.hidden")])) == [".hidden"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.txt", ["b.txt"]),
        ("*/*.txt", ["a/z.txt"]),
        ("**/*.txt", ["a/b/c.txt", "a/z.txt", "b.txt"]),
        ("**/b/*", ["a/b/c.txt"]),
        ("a/**", ["a/b/c.txt", "a/z.txt"]),
        ("**", ["a/b/c.txt", "a/z.txt", "b.txt", "x.bin"]),
        ("?.[bt]*", ["b.txt", "x.bin"]),
        ("[!b].*", ["x.bin"]),
        ("a*", ["a/b/c.txt", "a/z.txt"]),
        ("*/", ["a/b/c.txt", "a/z.txt"]),
        ("*/b/c.txt", ["a/b/c.txt"]),
        (".h*", [".hidden.txt"]),
        ("**/.h*", [".hidden.txt"]),
    ],
)
def test_globs(tree: Tree, pattern: str, expected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree("b.txt", "a/z.txt", "a/b/c.txt", "x.bin", ".hidden.txt", "a/.d/e.txt")
    monkeypatch.chdir(root)
    for given in (f"{root}/{pattern}", pattern, f"./{pattern}", f"../input/{pattern}"):
        assert [local_path(f.uri) for f in discover([given])] == [str(root / name) for name in expected]


def test_names_are_relative_to_where_a_glob_begins(tree: Tree) -> None:
    root = tree("a/b/c.txt")
    assert names(discover([f"{root}/a/**"])) == ["b/c.txt"]
    assert names(discover([f"{root}/*"])) == ["a/b/c.txt"]
    assert discover([f"{root}/*/b"])[0].root == str(root)


def test_what_exists_is_a_path_and_no_glob(tree: Tree) -> None:
    root = tree("data[1].txt", "data1.txt", "what?*.txt")
    assert names(discover([str(root / "data[1].txt")])) == ["data[1].txt"]
    assert names(discover([str(root / "what?*.txt")])) == ["what?*.txt"]


@pytest.mark.parametrize(
    "name", ["a b.txt", "new\nline.txt", "q'\"$`\\.txt", "ünï.txt", "\udcff\udcfe.txt", "-rf", "%41.txt"]
)
def test_names_of_any_kind(tree: Tree, name: str) -> None:
    root = tree(name)
    for given in (str(root), str(root / name), f"{root}/*"):
        (found,) = discover([given])
        assert found.name == name
        assert json.loads(json.dumps(found.uri).encode()) == found.uri
        assert display(found.uri).isprintable()
        assert open_uri(found.uri).read() == os.fsencode(name)
        (file,) = identify([found])
        json.dumps(dataclasses.asdict(file)).encode()
        (record,) = read_raw(file, config=ReadConfig())
        assert record.body == os.fsencode(name)
        assert changed_since([dataclasses.asdict(file)]) == []


def test_file_urls(tree: Tree) -> None:
    root = tree("a b.txt", "%41.txt")
    assert names(discover([f"file://{root}/a%20b.txt"])) == ["a b.txt"]
    assert names(discover([f"file://{root}/%41.txt"])) == ["%41.txt"]
    assert names(discover([f"file://{root}"])) == ["%41.txt", "a b.txt"]


def test_a_file_reached_twice_is_one_input(tree: Tree) -> None:
    root = tree("a/b.txt", "c.txt")
    (root / "link.txt").symlink_to(root / "c.txt")
    (root / "d").symlink_to(root / "a")
    inputs = [str(root / "a"), f"{root}/**/*.txt", str(root), str(root / "link.txt"), f"{root}/a/../c.txt"]
    found = discover(inputs)
    assert [file.uri for file in found] == [str(root / "a/b.txt"), str(root / "c.txt")]
    assert discover(inputs[::-1]) == found


def test_loops_of_links_end(tree: Tree) -> None:
    root = tree("a/b/c.txt")
    (root / "a/b/up").symlink_to(root)
    (root / "a/self").symlink_to(root / "a")
    (root / "a/b/round").symlink_to(root / "a/b/round")
    found = discover([str(root)])
    assert [file.uri for file in found if not file.error] == [str(root / "a/b/c.txt")]
    assert [file.uri for file in discover([f"{root}/**/*.txt"])] == [str(root / "a/b/c.txt")]


def test_a_dangling_link_is_an_unreadable_file(tree: Tree) -> None:
    root = tree("a.txt")
    (root / "gone.txt").symlink_to(root / "nowhere")
    _, gone = discover([str(root)])
    assert gone.error == "No such file or directory"
    file = next(file for file in identify([gone]))
    assert (file.format, file.error) == ("unreadable", gone.error)
    (record,) = read_raw(file, config=ReadConfig())
    assert (record.quarantined, record.damage) == ("unreadable", True)


def test_pipes_and_sockets_are_no_input(tree: Tree, tmp_path: Path) -> None:
    root = tree("a.txt")
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(root)  # socket paths are short
        server.bind("socket")
    assert names(discover([str(root)])) == ["a.txt"]
    with pytest.raises(UserError, match=r"pipe.*neither a file nor a folder"):
        discover([str(root / "pipe")])


@pytest.mark.parametrize(
    "name", ["nope", "nope/*.txt", "*.nope", "", "memory://nope", "memory://nope/*", "nosuch://a/b", "no\nsuch"]
)
def test_what_is_not_there_is_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="input") as error:
        discover([name])
    assert display(name) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.fixture
def memory() -> Iterator[Any]:
    filesystem = fsspec.filesystem("memory")
    for name in ("/m/a.txt", "/m/b/c.jsonl", "/m/.git/x", "/m/b/d[1].txt"):
        filesystem.pipe(name, name.encode())
    yield filesystem
    filesystem.rm("/m", recursive=True)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("memory://m", ["a.txt", "b/c.jsonl", "b/d[1].txt"]),
        ("memory://m/a.txt", ["a.txt"]),
        ("memory://m/**/*.txt", ["a.txt", "b/d[1].txt"]),
        ("memory://m/*", ["a.txt", "b/c.jsonl", "b/d[1].txt"]),
        ("memory://m/.g*", [".git/x"]),
        ("memory://m/b/*", ["c.jsonl", "d[1].txt"]),
        ("memory://m/b/d[1].txt", ["d[1].txt"]),
    ],
)
def test_urls(memory: Any, url: str, expected: list[str]) -> None:
    found = discover([url, url])
    assert sorted(names(found)) == sorted(expected)
    for file in found:
        data = open_uri(file.uri).read()
        assert data == b"/m/" + file.uri.rpartition("/m/")[2].encode()
        assert (file.size, file.mtime_ns > 0) == (len(data), True)
    identified = [dataclasses.asdict(file) for file in identify(found)]
    assert changed_since(identified) == []
    memory.pipe("/m/" + found[0].uri.rpartition("/m/")[2], b"other")
    assert changed_since(identified) == [found[0].uri]


# ---- identifying ----


def test_identify(tree: Tree) -> None:
    import hashlib

    root = tree("a.txt", **{"b.py": b"import os\n", "c.jsonl.gz": gzip.compress(b'{"text":"x"}\n'), "d": b""})
    files = identify(discover([str(root)]))
    assert [file.raw_file_id for file in files] == sorted(file.raw_file_id for file in files)
    by_name = {Path(file.uri).name: file for file in files}
    assert {name: (f.format, f.compression, f.language) for name, f in by_name.items()} == {
        "a.txt": ("text", "", None),
        "b.py": ("code", "", "python"),
        "c.jsonl.gz": ("jsonl", "gzip", None),
        "d": ("empty", "", None),
    }
    for name, file in by_name.items():
        data = (root / name).read_bytes()
        assert (file.raw_file_id, file.bytes) == (hashlib.sha256(data).hexdigest(), len(data))
        assert IdentifiedFile(**json.loads(json.dumps(dataclasses.asdict(file)))) == file


def test_copies_follow_the_first_by_name_in_the_folder_whatever_the_folder(tree: Tree, tmp_path: Path) -> None:
    for folder in ("z", "y"):
        root = tmp_path / folder
        for name in ("2/same.py", "1/other.txt", "3/more.md"):
            (root / name).parent.mkdir(parents=True)
            (root / name).write_bytes(b"same bytes\n")
    for inputs in (["z"], ["y"], ["z", "y"], ["y", "z"]):
        first, *copies = identify(discover([str(tmp_path / name) for name in inputs]))
        assert first.uri.endswith("1/other.txt")
        assert first.copy_of is None
        assert {copy.copy_of for copy in copies} == {first.uri}
        assert first.format == "text"


def test_the_number_of_threads_does_not_matter(tree: Tree) -> None:
    found = discover([str(tree(*(f"{n % 7}/{n}.txt" for n in range(300))))])
    assert identify(found, threads=1) == identify(found, threads=8) == identify(found[::-1], threads=3)


def test_progress_and_stopping(tree: Tree) -> None:
    found = discover([str(tree(*(f"{n}.txt" for n in range(200))))])
    told: list[tuple[int, int]] = []
    identify(found, progress=lambda size, files: told.append((size, files)))
    assert told[-1] == (sum(file.size for file in found), 200)
    assert told == sorted(told)

    def stop(size: int, files: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        identify(found, progress=stop)


def test_files_that_vanish_or_change(tree: Tree) -> None:
    root = tree("a.txt", "b.txt", "c.txt", "d.txt")
    found = discover([str(root)])
    (root / "a.txt").unlink()
    files = identify(found)
    assert {Path(f.uri).name: f.error for f in files if f.error} == {"a.txt": "No such file or directory"}
    (root / "b.txt").unlink()
    (root / "c.txt").write_bytes(b"longer than before")
    os.utime(root / "d.txt", ns=(1, 1))
    changed = changed_since([dataclasses.asdict(file) for file in files])
    assert changed == [
        str(root / name)
        for name in sorted(
            ["b.txt", "c.txt", "d.txt"], key=lambda n: next(f.raw_file_id for f in files if f.uri.endswith(n))
        )
    ]
    for file in files:
        if file.uri.endswith("c.txt"):
            (record,) = read_raw(file, config=ReadConfig())
            assert (record.quarantined, "18 bytes now" in record.detail) == ("unreadable", True)


# ---- licences ----

MIT = b"""MIT License

Copyright (c) 2020 Someone

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""
ISC = b"""Copyright (c) 2020, Someone

Permission to use, copy, modify, and/or distribute this software for any
purpose with or without fee is hereby granted, provided that the above
copyright notice and this permission notice appear in all copies.

THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES
WITH REGARD TO THIS SOFTWARE INCLUDING ALL IMPLIED WARRANTIES OF
MERCHANTABILITY AND FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR
ANY SPECIAL, DIRECT, INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES
WHATSOEVER RESULTING FROM LOSS OF USE, DATA OR PROFITS, WHETHER IN AN
ACTION OF CONTRACT, NEGLIGENCE OR OTHER TORTIOUS ACTION, ARISING OUT OF
OR IN CONNECTION WITH THE USE OR PERFORMANCE OF THIS SOFTWARE.
"""


def test_the_nearest_licence_holds(tree: Tree) -> None:
    root = tree("src/a/b.py", "src/a/c.html", "vendor/x/y.c", "other/z.py", "both/w.py", "LICENSE.py")
    (root / "LICENSE").write_bytes(MIT)
    (root / "vendor/COPYING").write_bytes(ISC)
    (root / "other/licence.txt").write_bytes(b"All rights reserved.")
    (root / "both/LICENSE-ISC").write_bytes(ISC)
    (root / "both/LICENSE-MIT").write_bytes(MIT + b"\xff")
    (root / "src/a/c.html").write_bytes(b"<html>")
    os.mkfifo(root / "src/LICENSE")  # must not be waited for
    licenses = {Path(f.uri).name: f.license for f in identify(discover([str(root)]))}
    assert licenses["LICENSE"] == "MIT"
    assert licenses["y.c"] == "ISC"
    assert licenses["z.py"] is None, "a licence of its own that is not known"
    assert licenses["w.py"] == "ISC AND MIT"
    assert licenses["c.html"] is None
    assert licenses["LICENSE.py"] == "MIT"


def test_licences_outside_the_input_do_not_count(tree: Tree) -> None:
    root = tree("src/a/b.py")
    (root / "LICENSE").write_bytes(MIT)
    (inside,) = identify(discover([str(root / "src")]))
    assert inside.license is None
    (whole,) = (f for f in identify(discover([str(root)])) if f.language)
    assert whole.license == "MIT"
    (globbed,) = identify(discover([f"{root}/*/*/*.py"]))
    assert globbed.license == "MIT"
