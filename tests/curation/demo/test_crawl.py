"""The crawl is real HTTP, recorded byte for byte, and always the same."""

import http.client
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from warcio.archiveiterator import ArchiveIterator

from curation.demo import site
from curation.demo.crawl import CRAWL_START, HOST, Crawl, crawl, serve
from curation.demo.page import Page

Site = dict[str, Page]


def _records(path: Path) -> Iterator[tuple[str, dict[str, str], bytes]]:
    """(type, WARC headers, block as stored) of every record."""
    with path.open("rb") as stream:
        records = ArchiveIterator(stream, no_record_parse=True)
        for record in records:
            yield record.rec_type, dict(record.rec_headers.headers), record.raw_stream.read()


def test_every_page_is_recorded_as_it_was_sent(demo_site: Site, demo_crawl: Crawl) -> None:
    responses = {
        headers["WARC-Target-URI"].removeprefix(f"http://{HOST}"): block
        for kind, headers, block in _records(demo_crawl.path)
        if kind == "response"
    }
    unlinked = {"/private/members.html"}
    assert demo_site.keys() - responses.keys() == unlinked
    assert responses.keys() - demo_site.keys() == {"/no/such/page.html", "/fun/?page=2"}
    for path, block in responses.items():
        assert block == (demo_site.get(path) or site.not_found(path)).response()
    assert demo_crawl.responses == len(responses)
    assert demo_crawl.received_bytes == sum(map(len, responses.values()))
    assert demo_crawl.statuses[404] == 3


def test_records_come_in_pairs_with_fixed_dates(demo_crawl: Crawl) -> None:
    records = list(_records(demo_crawl.path))
    assert [kind for kind, _, _ in records] == ["warcinfo"] + ["response", "request"] * demo_crawl.responses
    pairs = zip(records[1::2], records[2::2], strict=True)
    for number, ((_, response, _), (_, request, sent)) in enumerate(pairs):
        assert request["WARC-Concurrent-To"] == response["WARC-Record-ID"]
        assert request["WARC-Target-URI"] == response["WARC-Target-URI"]
        date = (CRAWL_START + timedelta(seconds=number)).strftime("%Y-%m-%dT%H:%M:%SZ")
        assert response["WARC-Date"] == request["WARC-Date"] == date
        path = response["WARC-Target-URI"].removeprefix(f"http://{HOST}")
        assert sent.startswith(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n".encode())
    identities = [headers["WARC-Record-ID"] for _, headers, _ in records]
    assert len(set(identities)) == len(identities)


def test_each_record_is_a_gzip_member_with_right_digests(demo_crawl: Crawl) -> None:
    offsets = []
    with demo_crawl.path.open("rb") as stream:
        records = ArchiveIterator(stream, check_digests="raise")
        for record in records:
            assert "WARC-Block-Digest" in record.rec_headers
            record.raw_stream.read()
            offsets.append(records.get_record_offset())
    data = demo_crawl.path.read_bytes()
    assert len(offsets) == 1 + 2 * demo_crawl.responses
    assert all(data[offset : offset + 8] == b"\x1f\x8b\x08\0\0\0\0\0" for offset in offsets)


def test_another_process_makes_the_same_bytes(demo_crawl: Crawl, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from curation.demo import site, crawl\n"
        "with crawl.serve(site.build()) as address: crawl.crawl(address, Path(sys.argv[1]))"
    )
    again = tmp_path / "demo.warc.gz"
    root = Path(__file__).resolve().parents[3]
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": str(root), "TZ": "Asia/Kolkata"}
    subprocess.run([sys.executable, "-c", program, again], check=True, cwd=tmp_path, env=environment)
    assert again.read_bytes() == demo_crawl.path.read_bytes()


def _asked(pages: dict[str, Page], out: Path) -> list[str]:
    """What the crawler asks a site for, in order."""
    asked: list[str] = []

    class Watched(dict[str, Page]):
        def get(self, path: str, default: Any = None) -> Any:
            asked.append(path)
            return super().get(path, default)

    with serve(Watched(pages)) as address:
        crawl(address, out)
    return asked


def _links(*targets: str) -> bytes:
    return "".join(f'<a href="{target}">x</a>' for target in targets).encode()


def test_robots_txt_is_kept_to(tmp_path: Path) -> None:
    robots = Page("/robots.txt", b"User-agent: *\nDisallow: /closed/\n", content_type="text/plain")
    home = Page("/", _links("/open.html", "/closed/x.html"))
    assert _asked({"/": home, "/robots.txt": robots}, tmp_path / "with.gz") == [
        "/robots.txt",
        "/",
        "/open.html",
    ]
    assert "/closed/x.html" in _asked({"/": home}, tmp_path / "without.gz")


def test_links_are_followed_breadth_first_within_the_host(tmp_path: Path) -> None:
    away = (
        "http://elsewhere.invalid/",
        "https://demo.example/",
        "mailto:a@example.com",
        "http://[broken",
        "#top",
    )
    pages = {
        "/": Page("/", _links(*away, "b/", "/a", "//demo.example/a", "?q=1&amp;r=2", "/sp ace") + b'<img src="i">'),
        "/a": Page("/a", b"", content_type=None, status=302, headers=(("Location", "/deep/x"),)),
        "/b/": Page("/b/", _links("../a", "c#part", "/\u00e4")),
        "/deep/x": Page("/deep/x", _links("/hidden"), content_type="text/plain"),
    }
    expected = ["/robots.txt", "/", "/?q=1&r=2", "/a", "/b/", "/i", "/sp%20ace", "/b/c", "/deep/x"]
    asked = _asked(pages, tmp_path / "demo.warc.gz")
    assert [path for path in asked if not path.startswith("/%C3")] == expected


def test_the_server_is_gone_afterwards() -> None:
    with serve({}) as address:
        connection = http.client.HTTPConnection(*address, timeout=10)
        connection.request("GET", "/anything")
        assert connection.getresponse().status == 404
        connection.close()
    assert address[0] == "127.0.0.1"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=10)


def test_no_half_written_file_is_left(tmp_path: Path) -> None:
    with serve({}) as address:
        pass
    with pytest.raises(ConnectionRefusedError):
        crawl(address, tmp_path / "demo.warc.gz")
    assert list(tmp_path.iterdir()) == []
