"""The command on hostile input: nothing readable is lost, characters are right, exit codes as promised."""

import os
import random
import re
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from tests.curation import hostile
from tests.curation.commands import NO_DEDUP, ROOT, ask, check, command, start
from tests.curation.hostile import Case, mark

ANY_TEXT = ("--config", "smoke", "--language.threshold", 0, "--filters", "{length: {min_characters: 40}}", *NO_DEDUP)
"""Keeps whatever comes out of a record: hostile pages are not what the other filters call a text."""
ALL_BAD = ("--read.max_bad_share", 1)
MEGABYTE = 1 << 20
MOST_MB = 1000
"""What a worker stays below, whatever the input."""


def run(workspace: Path, *arguments: object, code: int) -> str:
    """The command, its exit code checked, its accounts checked; returns all that it printed."""
    done = command("curation.run", *arguments, "--workspace", workspace)
    told = done.stdout + done.stderr
    assert done.returncode == code, told
    assert "Traceback" not in told
    check(workspace)
    return told


def peak_megabytes(process: subprocess.Popen[str], limit_seconds: float) -> int:
    """The largest resident set of a process or of its descendants until it ends."""
    end, peak, own = time.monotonic() + limit_seconds, 0, psutil.Process(process.pid)
    while process.poll() is None:
        assert time.monotonic() < end, "hangs"
        try:
            family = [own, *own.children(recursive=True)]
        except psutil.NoSuchProcess:
            break
        for each in family:
            try:
                peak = max(peak, each.memory_info().rss)
            except psutil.NoSuchProcess:
                continue
        time.sleep(0.02)
    return peak // MEGABYTE


def wrongs(workspace: Path, cases: Sequence[Case]) -> list[str]:
    """Every claim of a case that does not hold."""
    files = {row["uri"].rpartition("/")[2]: row for row in ask(workspace, "SELECT * FROM raw_file")}
    kept: dict[str, list[str]] = {}
    for row in ask(workspace, "SELECT raw_file_id, text FROM document WHERE shard_kind = 'kept'"):
        kept.setdefault(row["raw_file_id"], []).append(row["text"])
    found = []
    for case in cases:
        file = files[case.name]
        text = "\n".join(kept.get(file["raw_file_id"], []))
        facts: list[tuple[str, object, object]] = [("lost", [], [word for word in case.marks if word not in text])]
        facts += [("damaged", case.damaged, file["damaged"])] if case.damaged is not None else []
        facts += [("quarantined", case.bad, file["quarantined"])] if case.bad is not None else []
        facts += [("records", case.records, file["records"])] if case.records is not None else []
        facts += [("format", case.format, file["format"])] if case.format is not None else []
        found += [f"{case.name}: {what} {got}, expected {want}" for what, want, got in facts if got != want]
    return found


def written(folder: Path, cases: Sequence[Case]) -> Path:
    """A folder with the files of cases."""
    folder.mkdir()
    assert len({case.name for case in cases}) == len(cases)
    for case in cases:
        (folder / case.name).write_bytes(case.data)
    return folder


def test_archives(tmp_path: Path) -> None:
    cases = [*hostile.archives(), hostile.lying_responses()]
    told = run(tmp_path / "w", written(tmp_path / "in", cases), *ANY_TEXT, *ALL_BAD, code=1)
    assert "could not be read whole" in told
    assert wrongs(tmp_path / "w", cases) == []


def test_undamaged_archives_exit_0(tmp_path: Path) -> None:
    cases = [case for case in [*hostile.archives(), hostile.lying_responses()] if case.bad == 0]
    assert len(cases) > 8
    told = run(tmp_path / "w", written(tmp_path / "in", cases), *ANY_TEXT, code=0)
    assert "quarantined" not in told
    assert wrongs(tmp_path / "w", cases) == []


def test_charsets(tmp_path: Path) -> None:
    pages = hostile.declared_pages()
    (tmp_path / "in.warc").write_bytes(b"".join(hostile.warc_record(page.url, page.block) for page in pages))
    run(tmp_path / "w", tmp_path / "in.warc", *ANY_TEXT, code=0)
    texts = {row["url"]: row["text"] for row in ask(tmp_path / "w", "SELECT url, text FROM document")}

    def bare(text: str) -> str:
        return re.sub(r"\s+", "", text)

    assert [page.url for page in pages if bare(page.text) not in bare(texts.get(page.url, ""))] == []


def test_utf8_with_bad_bytes(tmp_path: Path) -> None:
    body = hostile.html("räder", extra="<p>Fußgängerübergänge und Öfen</p>")
    at = body.index("Fuß".encode())
    body = body[:at] + b"\xff\xc3 " + body[at:] + b"\xe2\x82"
    record = hostile.warc_record("http://x.example/", hostile.http(body))
    (tmp_path / "in.warc").write_bytes(record)
    run(tmp_path / "w", tmp_path / "in.warc", *ANY_TEXT, code=0)
    (row,) = ask(tmp_path / "w", "SELECT text FROM document")
    assert "räder" in row["text"]
    assert "Fußgängerübergänge und Öfen" in row["text"]


def test_lines_and_tables(tmp_path: Path) -> None:
    data, wanted, reasons = hostile.broken_lines()
    bad = sum(count for reason, count in reasons.items() if reason != "empty")
    every = Case("lines.jsonl", data, wanted, bad=bad, records=len(wanted) + bad + reasons["empty"])
    cases = [*hostile.line_files(), *hostile.tables(), every]
    run(tmp_path / "w", written(tmp_path / "in", cases), *ANY_TEXT, *ALL_BAD, code=1)
    assert wrongs(tmp_path / "w", cases) == []
    counted = ask(
        tmp_path / "w",
        "SELECT reason, count(*) AS n FROM quarantine JOIN raw_file USING (raw_file_id) "
        "WHERE uri LIKE '%/lines.jsonl' GROUP BY reason",
    )
    assert {row["reason"]: row["n"] for row in counted} == {k: n for k, n in reasons.items() if k != "empty"}


def test_bad_records_alone_exit_0_with_a_warning(tmp_path: Path) -> None:
    lines = b"".join(hostile.json_line(mark("few", n), n) for n in range(99))
    (tmp_path / "few.jsonl").write_bytes(lines + b"{broken\n")
    told = run(tmp_path / "w", tmp_path / "few.jsonl", *ANY_TEXT, code=0)
    assert "WARNING 1 record(s) were quarantined" in told


NAMES = (
    *(b"with space.html", b"new\nline.html", b"\xff\xfe bad \x80.html", b"quo'te\".html", b"-rf.html", b"--config"),
    *(b"st*r [a-z]?.html", b"~home$HOME`id`.html", b"%2e%2e%00.html", b"a" * 250 + b".htm", b"back\\slash.html"),
    *(b"colon:name.html", b"http:__x.html", b"semi;amp&.html", b"tab\t\r.html", b"page.png", b"page.txt"),
    *(b"page.parquet", b"page.warc.gz", b"noextension", b"\xed\xa0\x80.html", b"#hash?query.html", b"{brace,s}.html"),
)


def test_names_links_and_what_is_no_file(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path / "in put")
    inner = folder + b"/dir \n\xff *"
    os.makedirs(inner)
    paths = [*(folder + b"/" + name for name in NAMES), inner + b"/x.html"]
    for number, path in enumerate(paths):
        Path(os.fsdecode(path)).write_bytes(hostile.html(mark("names", number), number))
    os.symlink(b".", folder + b"/loop")
    os.symlink(b"..", inner + b"/up")
    os.symlink(b"with space.html", folder + b"/link.html")
    os.mkfifo(folder + b"/fifo")
    chance = random.Random(1)
    for name, data in {
        b"empty.html": b"",
        b"blank.txt": b" \n\n",
        b"image.html": b"\x89PNG\r\n\x1a\n" + chance.randbytes(5000),
        b"archive.txt": b"PK\x03\x04" + chance.randbytes(5000),
        b"document.html": b"%PDF-1.4\n" + chance.randbytes(3000),
        b"copy.html": hostile.html(mark("names", 0), 0),
    }.items():
        Path(os.fsdecode(folder + b"/" + name)).write_bytes(data)
    repository = Path(os.fsdecode(folder + b"/repository"))
    (repository / ".git").mkdir(parents=True)
    (repository / ".git" / "hook.py").write_text('print("hidden")\n' * 20)
    (repository / "LICENSE").write_text((ROOT / "LICENSE").read_text())
    (repository / "tool.py").write_bytes(b"# " + mark("names", 999).encode() + b"\nx = '\xff\xe9'\n" * 10)
    with socket.socket(socket.AF_UNIX) as unix:
        here = os.getcwd()
        os.chdir(folder)  # the path of a socket is at most 107 bytes long
        try:
            unix.bind("socket")
        finally:
            os.chdir(here)
        inputs = [os.fsdecode(name) for name in (folder, folder + b"/*.html", inner, paths[6], folder + b"/**/*.html")]
        told = run(tmp_path / "w", *inputs, *ANY_TEXT, code=0)
        for name in (b"/fifo", b"/socket"):
            refused = command("curation.run", os.fsdecode(folder + name), "--workspace", tmp_path / "w2")
            assert refused.returncode == 2
            assert "neither a file nor a folder" in refused.stderr
    assert "quarantined" not in told
    kept = "\n".join(row["text"] for row in ask(tmp_path / "w", "SELECT text FROM document WHERE shard_kind = 'kept'"))
    assert [number for number in (*range(len(paths)), 999) if mark("names", number) not in kept] == []
    assert "hidden" not in kept
    counts = ask(tmp_path / "w", "SELECT format, count(*) AS n, count(DISTINCT uri) AS u FROM raw_file GROUP BY format")
    # 24 pages and a copy of one; every file once, however many inputs reach it
    assert {row["format"]: row["n"] for row in counts} == {"html": 25, "empty": 1, "text": 2, "binary": 3, "code": 1}
    assert all(row["n"] == row["u"] for row in counts)
    (copies,) = ask(tmp_path / "w", "SELECT count(*) AS n FROM raw_file WHERE copy_of IS NOT NULL")
    assert copies["n"] == 1
    (code,) = ask(
        tmp_path / "w", "SELECT license, language FROM document JOIN raw_file USING (raw_file_id) WHERE media = 'code'"
    )
    assert (code["license"], code["language"]) == ("Apache-2.0", "python")


def test_links_to_nowhere_exit_1(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "good.html").write_bytes(hostile.html(mark("links", 0)))
    (folder / "dangling").symlink_to("nowhere")
    (folder / "self").symlink_to("self")
    run(tmp_path / "w", folder, *ANY_TEXT, code=1)
    reasons = [row["reason"] for row in ask(tmp_path / "w", "SELECT reason FROM quarantine")]
    assert reasons == ["unreadable", "unreadable"]
    (row,) = ask(tmp_path / "w", "SELECT text FROM document WHERE shard_kind = 'kept'")
    assert mark("links", 0) in row["text"]


def test_pages_that_would_run_away(tmp_path: Path) -> None:
    pages = hostile.runaway_pages()
    (tmp_path / "in.warc").write_bytes(
        b"".join(
            hostile.warc_record(f"http://{name}.example/", hostile.http(body)) for name, (_, body) in pages.items()
        )
    )
    began = time.monotonic()
    run(tmp_path / "w", tmp_path / "in.warc", *ANY_TEXT, *ALL_BAD, code=0)
    assert time.monotonic() - began < 60
    rows = ask(tmp_path / "w", "SELECT url, text FROM document WHERE shard_kind = 'kept'")
    texts = {row["url"].split("/")[2].removesuffix(".example"): row["text"] for row in rows}
    # Either a page is extracted, or it is one of those that are too deep or too large.
    assert [
        name for name, (kept, _) in pages.items() if kept and mark("runaway", len(name)) not in texts.get(name, "")
    ] == []
    assert set(texts) <= set(pages)
    assert all("\0" not in text and "root:" not in text for text in texts.values())
    assert max(map(len, texts.values())) < 4 * MEGABYTE
    refused = {row["reason"] for row in ask(tmp_path / "w", "SELECT reason FROM quarantine")}
    assert refused <= {"too_deep", "too_large"}


def curate_giant(tmp_path: Path, names: Sequence[str], sizes: Sequence[int]) -> int:
    """Curate giants; returns the peak of a process in megabytes."""
    folder = tmp_path / "in"
    folder.mkdir()
    wanted = [word for name, size in zip(names, sizes, strict=True) for word in hostile.giant(folder / name, size)[0]]
    process = start("curation.run", folder, "--workspace", tmp_path / "w", *map(str, (*ANY_TEXT, *ALL_BAD)))
    peak = peak_megabytes(process, 280)
    told = "".join(process.communicate())
    assert process.returncode == 0, told
    print(f"{', '.join(names)}: peak {peak} MB")
    kept = "\n".join(row["text"] for row in ask(tmp_path / "w", "SELECT text FROM document WHERE shard_kind = 'kept'"))
    assert [word for word in wanted if word not in kept] == []
    reasons = [row["reason"] for row in ask(tmp_path / "w", "SELECT reason FROM quarantine")]
    assert reasons == ["oversized"] * len(names)
    check(tmp_path / "w")
    return peak


def test_giants(tmp_path: Path) -> None:
    names = ("arrays.jsonl", "line.jsonl.gz", "record.warc.gz", "bomb.warc.gz", "cell.parquet", "book.txt.gz")
    sizes = [300 if name == "bomb.warc.gz" else 40 for name in names]
    assert curate_giant(tmp_path, names, sizes) < MOST_MB


def test_many_tiny_lines(tmp_path: Path) -> None:
    (tmp_path / "tiny.jsonl").write_bytes(b'{"text":"a"}\n' * 50_000)
    run(tmp_path / "w", tmp_path / "tiny.jsonl", *ANY_TEXT, code=0)
    (row,) = ask(tmp_path / "w", "SELECT records FROM raw_file")
    assert row["records"] == 50_000


@pytest.mark.full
@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", hostile.GIANTS)
def test_giants_of_full_size(tmp_path: Path, name: str) -> None:
    assert curate_giant(tmp_path, [name], [2000 if name in hostile.COMPRESSED_GIANTS else 200]) < MOST_MB


@pytest.mark.full
@pytest.mark.timeout(400)
def test_a_million_tiny_lines(tmp_path: Path) -> None:
    (tmp_path / "tiny.jsonl").write_bytes(b'{"text":"a"}\n' * 1_000_000)
    process = start("curation.run", tmp_path / "tiny.jsonl", "--workspace", tmp_path / "w", *map(str, ANY_TEXT))
    peak = peak_megabytes(process, 280)
    assert process.wait() == 0, process.communicate()
    print(f"a million lines: peak {peak} MB")
    assert peak < MOST_MB
    (row,) = ask(tmp_path / "w", "SELECT records FROM raw_file")
    assert row["records"] == 1_000_000
    check(tmp_path / "w")
