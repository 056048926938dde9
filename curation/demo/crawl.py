"""A loopback web server for the demo site, and a small crawler that records it as WARC.

Everything goes over a real HTTP connection, and the bytes of every answer are kept as received. What
would differ between two runs (host name, port, dates, record ids) is fixed, so that the same site
always gives the same file.
"""

import http.client
import io
import socket
import sys
import threading
import urllib.robotparser
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, urljoin, urlsplit

from warcio.warcwriter import WARCWriter

from curation.demo.page import Page
from curation.demo.site import not_found

HOST = "demo.example"
"""Host name in the requests and in the record; reserved for examples by RFC 2606."""

USER_AGENT = "open-curation-demo/1.0"
CRAWL_START = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
"""Recorded date of the first page; each further page is dated one second later."""

TIMEOUT_S = 30.0
_URL_SAFE = "!#$%&'()*+,/:;=?@[]~"
_LINKS = {"a": "href", "img": "src", "link": "href", "script": "src"}


@dataclass(frozen=True, slots=True)
class Crawl:
    """What a crawl recorded."""

    path: Path
    statuses: Counter[int]
    """Number of answers by HTTP status."""
    received_bytes: int
    """Bytes of all answers as received, headers included."""

    @property
    def responses(self) -> int:
        return self.statuses.total()


@contextmanager
def serve(site: Mapping[str, Page]) -> Iterator[tuple[str, int]]:
    """Serves ``site`` on a free loopback port while the context lasts; yields (host, port)."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            page = site.get(self.path) or not_found(self.path)
            self.wfile.write(page.response())

        def log_message(self, format: str, *args: Any) -> None:
            """Keeps quiet: the crawl is the log."""

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield "127.0.0.1", server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A crawler that was interrupted hangs up in the middle: no reason for a traceback."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def crawl(address: tuple[str, int], out: Path) -> Crawl:
    """Crawls ``http://demo.example/`` at ``address`` breadth first and records it in ``out``.

    It keeps to robots.txt, stays on the host and follows links and redirects. The file appears under
    its name only when it is complete.

    Raises:
        OSError: the server cannot be reached, or ``out`` cannot be written.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = out.with_name(out.name + ".tmp")
    connection = _Connection(*address, timeout=TIMEOUT_S)
    try:
        with unfinished.open("wb") as stream:
            recorder = _Recorder(WARCWriter(stream, gzip=True, warc_version="WARC/1.1"), out.name)
            _walk(connection, recorder)
        unfinished.replace(out)
    finally:
        connection.close()
        unfinished.unlink(missing_ok=True)
    return Crawl(out, recorder.statuses, recorder.received_bytes)


def _walk(connection: "_Connection", recorder: "_Recorder") -> None:
    robots = urllib.robotparser.RobotFileParser()
    answer = connection.fetch("/robots.txt")
    recorder.add("/robots.txt", answer)
    robots.parse(answer.body.decode("utf-8", "replace").splitlines() if answer.status == 200 else [])
    seen = {"/robots.txt", "/"}
    level = ["/"]
    while level:
        found: set[str] = set()
        for target in level:
            answer = connection.fetch(target)
            recorder.add(target, answer)
            found |= _targets(target, answer) - seen
        seen |= found
        level = sorted(target for target in found if robots.can_fetch(USER_AGENT, target))


@dataclass(frozen=True, slots=True)
class _Answer:
    request: bytes
    """As sent."""
    raw: bytes
    """As received: status line, headers, encoded body."""
    status: int
    headers: http.client.HTTPMessage
    body: bytes
    """Without chunking, still in its content encoding."""


class _Tee(io.RawIOBase):
    """Copies what is read from ``source`` to ``copy``."""

    def __init__(self, source: io.RawIOBase, copy: bytearray) -> None:
        self._source = source
        self._copy = copy

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        count = self._source.readinto(buffer)
        if count:
            self._copy += memoryview(buffer)[:count]
        return count

    def close(self) -> None:
        self._source.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """A response that keeps the bytes from which it is parsed."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.received = bytearray()
        self.fp = io.BufferedReader(_Tee(self.fp.detach(), self.received))


class _Connection(http.client.HTTPConnection):
    """A connection that keeps what it sends and what it receives."""

    response_class = _Response
    sent = b""

    def send(self, data: Any) -> None:
        self.sent += data
        super().send(data)

    def fetch(self, target: str) -> _Answer:
        self.sent = b""
        self.putrequest("GET", target, skip_host=True, skip_accept_encoding=True)
        self.putheader("Host", HOST)
        self.putheader("User-Agent", USER_AGENT)
        self.putheader("Accept-Encoding", "gzip, deflate, br")
        self.endheaders()
        response = cast(_Response, self.getresponse())
        body = response.read()
        return _Answer(self.sent, bytes(response.received), response.status, response.headers, body)


class _Recorder:
    """Writes a warcinfo record, then a response and a request record for each answer."""

    def __init__(self, writer: WARCWriter, name: str) -> None:
        self.statuses: Counter[int] = Counter()
        self.received_bytes = 0
        self._writer = writer
        info = f"software: {USER_AGENT}\r\nformat: WARC file version 1.1\r\nrobots: obey\r\n"
        headers = {"WARC-Filename": name, **self._headers("warcinfo")}
        writer.write_record(self._record("", "warcinfo", info.encode(), headers))

    def add(self, target: str, answer: _Answer) -> None:
        """Records one answer."""
        url = f"http://{HOST}{target}"
        self._writer.write_request_response_pair(
            self._record(url, "request", answer.request, self._headers("request")),
            self._record(url, "response", answer.raw, self._headers("response")),
        )
        self.statuses[answer.status] += 1
        self.received_bytes += len(answer.raw)

    def _headers(self, kind: str) -> dict[str, str]:
        """Date and id depend on nothing but the number of records so far."""
        number = self.statuses.total()
        date = CRAWL_START + timedelta(seconds=number)
        identity = uuid.uuid5(uuid.NAMESPACE_URL, f"http://{HOST}/{kind}/{number}")
        return {"WARC-Date": f"{date:%Y-%m-%dT%H:%M:%SZ}", "WARC-Record-ID": f"<urn:uuid:{identity}>"}

    def _record(self, url: str, kind: str, block: bytes, headers: dict[str, str]) -> Any:
        record = self._writer.create_warc_record(
            url, kind, payload=io.BytesIO(block), length=len(block), warc_headers_dict=headers
        )
        # warcio has parsed the HTTP headers to digest the payload and would now write them anew;
        # the record is to hold the bytes as they were.
        record.http_headers = None
        record.raw_stream = io.BytesIO(block)
        record.length = record.payload_length = len(block)
        return record


def _targets(base: str, answer: _Answer) -> set[str]:
    """Request targets on this host that an answer leads to.

    Links are read from HTML sent without content encoding; tags are ASCII in every charset but
    UTF-16, whose page links nowhere new, like the compressed ones.
    """
    links = [answer.headers.get("Location", "")]
    is_html = answer.headers.get_content_type() == "text/html"
    if answer.status == 200 and is_html and "Content-Encoding" not in answer.headers:
        parser = _LinkParser()
        parser.feed(answer.body.decode("latin-1"))
        links += parser.links
    return {target for link in links if link and (target := _target(base, link))}


def _target(base: str, link: str) -> str | None:
    try:
        url = urlsplit(urljoin(f"http://{HOST}{base}", link))
    except ValueError:  # not an address at all, as in href="http://[broken"
        return None
    if url.scheme != "http" or url.netloc != HOST:
        return None
    query = f"?{url.query}" if url.query else ""
    return quote((url.path or "/") + query, safe=_URL_SAFE)


class _LinkParser(HTMLParser):
    """Collects the addresses of links, images, style sheets and scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        wanted = _LINKS.get(tag)
        self.links += [value for name, value in attrs if name == wanted and value]
