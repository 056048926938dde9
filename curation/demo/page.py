"""A page as the server sends it, and how text becomes one: HTML, charset, content and transfer encoding."""

import gzip
import html
import re
import zlib
from dataclasses import dataclass
from http import HTTPStatus

import brotli

CHUNK_BYTES = 1000
"""Size of the pieces of a chunked answer."""


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of the demo server."""

    path: str
    """Request target, percent-encoded."""
    body: bytes
    """As it goes over the wire: content and transfer encoding applied."""
    title: str = ""
    purpose: str = ""
    """What this page is there to show."""
    content_type: str | None = "text/html; charset=utf-8"
    """The declared type, which need not be true; None sends no such header."""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    """Headers besides Content-Type and Content-Length."""
    charset: str | None = None
    """The charset that really turns the decoded body into text; None where it holds no text."""

    def response(self) -> bytes:
        """The whole HTTP/1.1 response, without any header that changes from run to run."""
        headers = list(self.headers)
        if self.content_type is not None:
            headers.insert(0, ("Content-Type", self.content_type))
        bodiless = self.status == HTTPStatus.NO_CONTENT
        if not bodiless and ("Transfer-Encoding", "chunked") not in headers:
            headers.append(("Content-Length", str(len(self.body))))
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers]
        return "\r\n".join([*lines, "", ""]).encode("ascii") + self.body


def encode_text(text: str, charset: str, *, mark: bool = False) -> bytes:
    """``text`` in ``charset``; what it cannot express becomes a character reference.

    UTF-16 always is little-endian with a byte order mark; ``mark`` adds one to UTF-8.
    """
    if charset == "utf-16":
        return b"\xff\xfe" + text.encode("utf-16-le")
    return (b"\xef\xbb\xbf" if mark else b"") + text.encode(charset, errors="xmlcharrefreplace")


def encode_content(body: bytes, encoding: str) -> tuple[bytes, tuple[tuple[str, str], ...]]:
    """``body`` in a content encoding, and the header that says so.

    ``raw-deflate`` is deflate without the zlib wrapper, which browsers accept under the same name.
    """
    if not encoding:
        return body, ()
    if encoding == "gzip":
        return gzip.compress(body, mtime=0), (("Content-Encoding", "gzip"),)
    if encoding == "deflate":
        return zlib.compress(body), (("Content-Encoding", "deflate"),)
    if encoding == "raw-deflate":
        compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        return compressor.compress(body) + compressor.flush(), (("Content-Encoding", "deflate"),)
    if encoding == "br":
        return brotli.compress(body), (("Content-Encoding", "br"),)
    raise ValueError(f"unknown content encoding {encoding!r}; valid: gzip, deflate, raw-deflate, br")


def encode_chunked(body: bytes) -> bytes:
    """``body`` in the chunked transfer coding (RFC 9112, section 7.1)."""
    pieces = [body[start : start + CHUNK_BYTES] for start in range(0, len(body), CHUNK_BYTES)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Frame:
    """What surrounds the text of a page: the links that are on every page, and its neighbours."""

    sections: tuple[tuple[str, str], ...] = ()
    """(path, name) of every section."""
    neighbours: tuple[tuple[str, str], ...] = ()
    """(path, title) of pages to read next."""

    def render(
        self,
        title: str,
        content: str,
        *,
        language: str = "en",
        meta_charset: str = "utf-8",
        license_url: str = "",
    ) -> str:
        """A whole HTML page around ``content``, which is HTML already.

        An empty ``meta_charset`` leaves out the meta tag.
        """
        declared = f'<meta charset="{meta_charset}">\n' if meta_charset else ""
        sections = "".join(f"<li>{_link(*section)}</li>" for section in self.sections)
        neighbours = "".join(f"<li>{_link(*page)}</li>" for page in self.neighbours)
        licence = (
            f'<p>Licence: <a rel="license" href="{html.escape(license_url)}">some rights reserved</a>.</p>'
            if license_url
            else "<p>All names, numbers and events are invented.</p>"
        )
        return f"""<!DOCTYPE html>
<html lang="{language}">
<head>
{declared}<title>{html.escape(title)} - Open Shelf</title>
<link rel="stylesheet" href="/static/site.css">
<script src="/static/site.js"></script>
</head>
<body>
<header><a href="/"><img src="/static/dot.png" alt=""> Open Shelf</a>
<nav><ul>{sections}</ul></nav></header>
<main><article>
<h1>{html.escape(title)}</h1>
{content}
</article></main>
<aside><h2>Read next</h2><ul>{neighbours}</ul></aside>
<footer>{licence}<p>Open Shelf, the demonstration library. Imprint | Privacy | Cookies | Contact</p></footer>
</body>
</html>
"""


def _link(path: str, name: str) -> str:
    return f'<a href="{html.escape(path)}">{html.escape(name)}</a>'


_HEADING = re.compile(r"#{1,6} +(.+?)[ #]*")
_ITEM = re.compile(r"(?:[*+-]|\d+\.) +(.+)", re.DOTALL)
_UNDERLINE = re.compile(r"([=\-~^\"'*#])\1{2,}")


def to_html(text: str) -> str:
    """Plain text, loosely Markdown or reStructuredText, as HTML.

    Blank lines part paragraphs; indented and fenced ones are shown as they are; lines marked or
    underlined as headings and lists become such. Everything else is escaped, not interpreted.
    """
    return "\n".join(_blocks(text))


def _blocks(text: str) -> list[str]:
    blocks: list[str] = []
    for number, part in enumerate(re.split(r"^ *(?:```|~~~).*$", text, flags=re.MULTILINE)):
        if number % 2:  # between an opening and a closing fence
            blocks.append(_preformatted(part.strip("\n")))
        else:
            blocks += [_block(block) for block in re.split(r"\n\s*\n", part) if block.strip()]
    return blocks


def _block(block: str) -> str:
    lines = block.strip("\n").splitlines()
    if all(line.startswith((" ", "\t")) for line in lines):
        return _preformatted("\n".join(lines))
    if heading := _HEADING.fullmatch(block.strip()):
        return f"<h2>{html.escape(heading[1])}</h2>"
    if len(lines) == 2 and _UNDERLINE.fullmatch(lines[1].strip()):
        return f"<h2>{html.escape(lines[0].strip())}</h2>"
    if _ITEM.match(lines[0]):
        items = [_ITEM.sub(r"\1", item) for item in re.split(r"\n(?=(?:[*+-]|\d+\.) )", "\n".join(lines))]
        return "<ul>" + "".join(f"<li>{html.escape(item)}</li>" for item in items) + "</ul>"
    return f"<p>{html.escape(chr(10).join(lines))}</p>"


def _preformatted(text: str) -> str:
    return f"<pre>{html.escape(text)}</pre>"
