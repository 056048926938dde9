"""Lists: what their lines say, what an entry covers, and that compiled lists are small, shared and complete."""

import gzip
import logging
import mmap
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from curation.domains import Lookup, UrlList, entries, find_source, open_list, prepare
from curation.errors import UserError
from curation.urls import locate
from tests.curation.commands import environment


def compiled(path: Path, cache: Path) -> UrlList:
    source = find_source(str(path), "filters.url.block")
    return open_list(source.name, cache, prepare(source, cache, "filters.url.block"))


def listed(found: UrlList, url: str) -> str:
    """The entry that covers a URL, empty if none does."""
    place = locate(url)
    assert place is not None
    return Lookup(place).first([found])[1]


LIST = """\
# a comment
one.example
 Two.Example.  # shouting
*.three.example
.four.example
www.five.example
https://six.example:443/
seven.example/a/b
http://www.eight.example/q?id=7
.topleveldomain
bücher.example
192.0.2.7
http://[2001:db8::1]/
0.0.0.0 nine.example ten.example # hosts format
127.0.0.1 localhost localhost.localdomain
0.0.0.0 0.0.0.0
::1 ip6-localhost
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> UrlList:
    """A list with every kind of entry."""
    folder = tmp_path_factory.mktemp("list")
    (folder / "list.txt").write_text(LIST, encoding="utf-8-sig")
    return compiled(folder / "list.txt", folder / "cache")


@pytest.mark.parametrize(
    ("url", "entry"),
    [
        ("http://one.example/x", "one.example"),
        ("http://a.b.one.example", "one.example"),
        ("http://phone.example/", ""),
        ("http://one.example.com/", ""),
        ("http://example/", ""),
        ("https://two.example/", "two.example"),
        ("https://three.example/", "three.example"),
        ("https://x.three.example/", "three.example"),
        ("https://four.example/", "four.example"),
        ("https://www.five.example/", "www.five.example"),
        ("https://five.example/page", "five.example"),
        ("https://other.five.example/", ""),
        ("http://sub.six.example:80/z", "six.example"),
        ("http://seven.example/a/b", "seven.example/a/b"),
        ("http://www.seven.example/a//b/c?d", "seven.example/a/b"),
        ("http://seven.example/a/bc", ""),
        ("http://seven.example/a", ""),
        ("http://other.seven.example/a/b", ""),
        ("http://eight.example/q?id=7", "eight.example/q?id=7"),
        ("http://eight.example/q?id=71", ""),
        ("http://eight.example/q", ""),
        ("http://any.topleveldomain/", "topleveldomain"),
        ("http://www.xn--bcher-kva.example/", "xn--bcher-kva.example"),
        ("http://BÜCHER.example/", "xn--bcher-kva.example"),
        ("http://192.0.2.7:81/x", "192.0.2.7"),
        ("http://7/", ""),
        ("http://[2001:db8:0:0::1]/x", "[2001:db8::1]"),
        ("http://nine.example/", "nine.example"),
        ("http://ten.example/", "ten.example"),
        ("http://localhost/", ""),
        ("http://0.0.0.0/", ""),
        ("http://other.example/", ""),
    ],
)
def test_what_an_entry_covers(found: UrlList, url: str, entry: str) -> None:
    assert listed(found, url) == entry


@pytest.mark.parametrize(
    "line",
    [
        "no domain at all",
        "word",
        "com",
        "||adblock.example^",
        "/regular|expression/",
        "*.a.example/path",
        "javascript:alert(1)",
        "<html>",
        "a.example,b.example",
        "x" * 64 + ".example",
        "x" * 100_000,
        "a.example/" + "x" * 9000,
        "0.0.0.0 good.example bad|one.example",
    ],
)
def test_a_line_that_is_no_entry(line: str) -> None:
    assert entries(line.encode()) is None


def test_wrong_lines_are_left_out_with_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = [b"one.example", b"what is this", b"\xff\xfe\x00", b"x" * 3_000_000, b"two.example", b""]
    (tmp_path / "list").write_bytes(b"\r\n".join(lines))
    with caplog.at_level(logging.WARNING):
        found = compiled(tmp_path / "list", tmp_path / "cache")
        compiled(tmp_path / "list", tmp_path / "cache")
    assert caplog.text.count("filters.url.block: list: 3 line(s) are no domain or URL") == 2  # once a run
    assert "the first is line 2" in caplog.text
    assert listed(found, "http://two.example/") == "two.example"


@pytest.mark.parametrize("name", ["plain", "gzip", "zstd"])
def test_compression_is_told_by_content(name: str, tmp_path: Path) -> None:
    half = [f"site{n}.example\n".encode() for n in range(40_000)]
    parts = [b"".join(half[:20_000]), b"".join(half[20_000:])]
    packs: dict[str, Callable[[bytes], bytes]] = {"plain": bytes, "gzip": gzip.compress, "zstd": zstandard.compress}
    pack = packs[name]
    (tmp_path / name).write_bytes(b"".join(pack(part) for part in parts))  # two members
    found = compiled(tmp_path / name, tmp_path / "cache")
    assert found.domains.size == 40_000
    if name != "plain":
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-20])
        with pytest.raises(UserError, match=rf"filters\.url\.block: {name}: .*decompressed"):
            compiled(tmp_path / name, tmp_path / "cache")


def test_a_category_of_ut1(tmp_path: Path) -> None:
    folder = tmp_path / "blacklists" / "adult"
    folder.mkdir(parents=True)
    (folder / "domains").write_text("bad.example\nxxx\n")
    (folder / "urls").write_text("half.example/bad\n")
    found = compiled(folder, tmp_path / "cache")
    assert found.name == "adult"
    assert listed(found, "http://a.xxx/") == "xxx"
    assert listed(found, "http://bad.example/") == "bad.example"
    assert listed(found, "http://half.example/bad/1") == "half.example/bad"
    assert listed(found, "http://half.example/") == ""
    before = find_source(str(folder), "").digest()
    (folder / "urls").write_text("half.example/good\n")
    assert find_source(str(folder), "").digest() != before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.txt", "no such file; give the path of a list"),
        ("", "no such file"),
        ("blacklists", "categories, such as .*blacklists/adult"),
        ("empty", "no file `domains` or `urls`"),
        ("prose.txt", "none of its 2 lines is a domain or URL"),
    ],
)
def test_a_wrong_path_names_the_option(
    name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "blacklists" / "adult").mkdir(parents=True)
    (tmp_path / "blacklists" / "adult" / "domains").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "prose.txt").write_text("There was once a king\nwho had a castle.\n")
    with pytest.raises(UserError, match=rf"^filters\.url\.block: .*{message}"):
        prepare(find_source(name, "filters.url.block"), tmp_path / "cache", "filters.url.block")


def test_an_empty_list_lists_nothing(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("# nobody yet\n\n")
    assert listed(compiled(tmp_path / "list", tmp_path / "cache"), "http://a.example/b") == ""


@given(
    inside=st.sets(st.integers(0, 10**6), max_size=60),
    outside=st.sets(st.integers(0, 10**6), max_size=60),
    seed=st.integers(0, 9),
)
def test_a_list_holds_what_was_put_in_and_nothing_else(inside: set[int], outside: set[int], seed: int) -> None:
    import tempfile

    lines = [f"site{n}.example" for n in inside] * 2
    random.Random(seed).shuffle(lines)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "list")
        path.write_text("\n".join(lines))
        found = compiled(path, Path(folder, "cache"))
        assert found.domains.size == len(inside)
        for n in inside | outside:
            assert bool(listed(found, f"http://www.site{n}.example/")) == (n in inside)


def test_any_number_may_compile_at_once(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("".join(f"site{n}.example\n" for n in range(50_000)))
    sizes: list[int] = []
    threads = [
        threading.Thread(target=lambda: sizes.append(compiled(tmp_path / "list", tmp_path / "cache").domains.size))
        for _ in range(4)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sizes == [50_000] * 4
    assert len(list((tmp_path / "cache" / "url_lists").iterdir())) == 1


@pytest.mark.parametrize("spoil", [lambda data: data[:-8], lambda data: b"", lambda data: b"x" * len(data)])
def test_a_spoilt_or_missing_compiled_list_is_named(spoil: Callable[[bytes], bytes], tmp_path: Path) -> None:
    (tmp_path / "list").write_text("a.example\n")
    source = find_source(str(tmp_path / "list"), "")
    digest = prepare(source, tmp_path, "")
    (path,) = (tmp_path / "url_lists").iterdir()
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(UserError, match="delete it and resume"):
        open_list("list", tmp_path, digest)
    path.unlink()
    with pytest.raises(UserError, match="resume the run"):
        open_list("list", tmp_path, digest)


WORKER = """
import sys
from pathlib import Path
import psutil
from curation.domains import open_list, Lookup
from curation.urls import locate

before = psutil.Process().memory_full_info()
opened = open_list("list", Path(sys.argv[1]), sys.argv[2])
hits = sum(bool(Lookup(locate(f"http://www.site{n}.example/")).first([opened])[0]) for n in range(0, 1_000_000, 20))
assert hits == 50_000, hits
after = psutil.Process().memory_full_info()
print(after.uss - before.uss, after.rss - before.rss)
"""


def test_workers_share_the_list(tmp_path: Path) -> None:
    """A worker that has looked up everywhere in a list of 8 MB has hardly any memory of its own more."""
    (tmp_path / "list").write_text("".join(f"site{n}.example\n" for n in range(1_000_000)))
    source = find_source(str(tmp_path / "list"), "")
    digest = prepare(source, tmp_path, "")
    (path,) = (tmp_path / "url_lists").iterdir()
    with path.open("rb") as file:  # touches every page, as another worker would
        elsewhere = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    assert max(elsewhere[:: mmap.PAGESIZE]) > 0
    line = [sys.executable, "-c", WORKER, str(tmp_path), digest]
    done = subprocess.run(line, capture_output=True, text=True, env=environment(), timeout=60, check=True)
    own, resident = map(int, done.stdout.split())
    assert resident > 7_000_000
    assert own < 2_000_000
