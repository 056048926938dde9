"""Pages that are more easily made than written: statuses, binaries, damage and copies."""

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace

from curation.demo.page import Frame, Page, to_html
from curation.demo.written import Written

DEEP_LEVELS = 5_000
"""Nesting of the deep page: far past any real page, and past what recursive HTML code survives."""

_COPIES = {
    "/stories/lighthouse.html": (
        "/mirror/keeper.html",
        {
            "spring of 1931": "autumn of 1931",
            "eleven puffins": "nine puffins",
            "small essays": "little essays",
            "twenty-six of them": "twenty-five of them",
            "four winters": "three winters",
            "every May": "every June",
        },
    ),
    "/world/es/olivos.html": (
        "/mirror/molino.html",
        {
            "tres ruedas de granito": "dos ruedas de granito",
            "empieza en noviembre": "empieza en diciembre",
            "pelando castañas": "pelando nueces",
            "miles de personas": "cientos de personas",
        },
    ),
}
"""Near-duplicates: the original, where the copy lies, and the words that differ."""

_NOWHERE = "There is nothing at this address, and as far as the librarian remembers there never was."


def pages(frame: Frame, written: Mapping[str, Written], sent: Mapping[str, Page]) -> Iterator[Page]:
    """All special pages. Some are copies: ``written`` and ``sent`` hold the originals by path."""
    yield from _statuses(frame)
    yield from _binaries()
    yield from _damaged(frame, written)
    yield from _copies(frame, written, sent)


def not_found(frame: Frame, path: str) -> Page:
    """The answer for an address that the site does not have."""
    body = frame.render("Not found", to_html(_NOWHERE)).encode()
    return Page(path, body, "Not found", "HTTP status 404", status=404, charset="utf-8")


def _statuses(frame: Frame) -> Iterator[Page]:
    yield not_found(frame, "/gone/missing.html")
    for path, status, title, text in (
        ("/gone/withdrawn.html", 410, "Withdrawn", "The author has taken this story home again."),
        ("/gone/forbidden.html", 403, "Forbidden", "The reading room is closed for a wedding."),
        ("/gone/failure.html", 500, "Server error", "The card index fell over. Somebody is picking it up."),
        ("/gone/busy.html", 503, "Busy", "Everybody is reading at once. Please come back after lunch."),
    ):
        body = frame.render(title, to_html(text)).encode()
        yield Page(path, body, title, f"HTTP status {status}", status=status, charset="utf-8")
    yield Page("/gone/silence.html", b"", "Silence", "HTTP status 204", None, 204)
    for path, status, target, purpose in (
        ("/moved/old-address.html", 301, "/stories/lighthouse.html", "a redirect inside the site"),
        ("/moved/elsewhere.html", 302, "http://shop.invalid/", "a redirect that leads off the site"),
        ("/moved/circle.html", 307, "/moved/circle.html", "a redirect to itself"),
    ):
        yield Page(path, b"", target, purpose, None, status, (("Location", target),))


def _binaries() -> Iterator[Page]:
    image = _png()
    yield Page("/static/dot.png", image, "dot.png", "an image", "image/png")
    yield Page("/static/site.js", b"'use strict';\n", "site.js", "a script", "text/javascript")
    yield Page("/notes/paper.pdf", _PDF, "paper.pdf", "a PDF file", "application/pdf")
    yield Page("/broken/picture.html", image * 40, "Picture", "an image that claims to be HTML")


def _damaged(frame: Frame, written: Mapping[str, Written]) -> Iterator[Page]:
    yield Page("/broken/empty.html", b"", "Empty", "no content at all")
    yield Page("/broken/white.html", b" \r\n\t" * 500, "White", "nothing but white space", charset="utf-8")
    blank = b"<html><body><p>&nbsp;</p>" + b"<p>&#160; &#8203;</p>" * 200 + b"</body></html>"
    yield Page("/broken/blank.html", blank, "Blank", "markup around invisible characters", charset="utf-8")

    deep = b"<div>" * DEEP_LEVELS + b"<p>Down here it is quiet.</p>" + b"</div>" * DEEP_LEVELS
    yield Page("/broken/deep.html", deep, "Deep", f"{DEEP_LEVELS} nested elements", charset="utf-8")

    tea = frame.render("Tea, copied by hand", to_html(written["/stories/tea-ladies.html"].text)).encode()
    for word, bad in (
        (b"copper", b"cop\xffper"),
        (b"photographs", b"photo\xe9graphs"),
        (b"winch", b"win\xc3ch"),
    ):
        tea = tea.replace(word, bad, 1)
    yield Page("/broken/bad-bytes.html", tea, "Tea, copied by hand", "UTF-8 with three bad bytes")

    nul = frame.render("Holes", to_html(_HOLES)).replace(" ", "\0 ", 40).encode()
    yield Page("/broken/holes.html", nul, "Holes", "NUL characters between the words", charset="utf-8")

    bare = frame.render("Unlabelled", to_html(_UNLABELLED), meta_charset="").encode()
    yield Page("/broken/unlabelled.html", bare, "Unlabelled", "no Content-Type header", None, charset="utf-8")

    odd = frame.render("Odd label", to_html(_ODD_LABEL), meta_charset="x-user-defined-9").encode()
    yield Page(
        "/broken/odd-label.html",
        odd,
        "Odd label",
        "declares a charset that does not exist",
        "text/html; charset=klingon-8",
        charset="utf-8",
    )


def _copies(frame: Frame, written: Mapping[str, Written], sent: Mapping[str, Page]) -> Iterator[Page]:
    original = sent["/stories/lighthouse.html"]
    yield replace(original, path="/mirror/lighthouse.html", purpose=f"an exact duplicate of {original.path}")
    for source, (path, changes) in _COPIES.items():
        text = written[source].text
        for old, new in changes.items():
            text = text.replace(old, new)
        title, language = written[source].title, written[source].language
        body = frame.render(title, to_html(text), language=language).encode()
        yield Page(path, body, title, f"a near-duplicate of {source}", charset="utf-8")


def _png() -> bytes:
    """A one-pixel image."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    pixel = zlib.compress(b"\0\x80")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixel) + chunk(b"IEND", b"")


_PDF = (
    b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"
    b"1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
    b"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]>>endobj\n"
    b"trailer<</Root 1 0 R>>\n%%EOF\n"
)

_HOLES = """\
The moths had been at the ledger before the archivist found it, and they had been thorough. On every
page some letters were missing, never the important ones. She could still read who owed whom a sack of
barley, that the winter of the long frost had emptied three cellars, and that a goat had been forgiven.

She decided not to fill the gaps. A copy was made with small circles wherever a moth had dined, and
visitors are given a pencil at the door so that they can guess. Nobody has guessed the goat's name yet.
"""

_UNLABELLED = """\
The box stood on the doorstep one morning without a name, a stamp or a note. It was too heavy for one
person and too small for a piano. The children voted for opening it at once, the grown-ups for waiting,
and the dog for lying down beside it, which settled the matter until noon.

Inside were four hundred jam jar lids, sorted by colour. To this day the village has not found out who
sent them, but every house now has a mobile that turns above the stove and glitters when soup is made.
"""

_ODD_LABEL = """\
On the island post office hangs a list of languages in which a letter may be addressed. Somebody once
added one that does not exist, in very neat handwriting. Since then about two letters a year arrive in
it. The postmistress reads the stamp, the café's crumbs and the smell of the paper, and delivers them.

So far nobody has complained. One reply came back as a thank-you, as far as anyone could tell: it was a
drawing of a naïve little boat, and under it, in the same invented letters, something that rhymed.
"""
