"""The demo site holds what it promises."""

import gzip
import html
import json
import re
import zlib
from collections import Counter

import brotli
import pytest

from curation.demo import library, special, written
from curation.demo.page import CHUNK_BYTES, Page

Site = dict[str, Page]
TEXTS = {page.path: page for page in written.load()}


def _content(page: Page) -> bytes:
    """The body without chunks and content encoding; written apart from the code that encodes."""
    body, headers = page.body, dict(page.headers)
    if headers.get("Transfer-Encoding") == "chunked":
        pieces, rest = [], body
        while True:
            size, _, rest = rest.partition(b"\r\n")
            if size == b"0":
                break
            pieces.append(rest[: int(size, 16)])
            rest = rest[int(size, 16) + 2 :]
        assert len(pieces) > 1
        assert len(pieces[0]) == CHUNK_BYTES
        body = b"".join(pieces)
    match headers.get("Content-Encoding"):
        case "gzip":
            body = gzip.decompress(body)
        case "br":
            body = brotli.decompress(body)
        case "deflate":
            body = zlib.decompress(body, wbits=zlib.MAX_WBITS if body[0] == 0x78 else -zlib.MAX_WBITS)
    return body


def test_three_to_five_megabytes_of_text(demo_site: Site) -> None:
    groups = Counter(path.split("/")[2] for path in demo_site if path.startswith("/docs/"))
    assert groups["topics"] > 60
    assert groups["modules"] > 300
    assert groups["packages"] > 30
    bodies = [page.body.decode() for path, page in demo_site.items() if path.startswith("/docs/")]
    size = sum(len(html.unescape(re.sub("<[^>]+>", "", body))) for body in bodies)
    assert 3e6 < size < 8e6  # the menus are counted too


def test_the_library_is_shown_without_its_tests_and_jokes(demo_site: Site) -> None:
    pages = (page for path, page in demo_site.items() if path.startswith("/docs/modules/"))
    modules = {page.title.removeprefix("Module ") for page in pages}
    assert {"asyncio.events", "textwrap", "collections", "numpy.linalg._linalg"} <= modules
    for module in modules:
        assert not library.SKIPPED_PARTS.intersection(module.split("."))


@pytest.mark.parametrize("path", sorted(TEXTS))
def test_a_written_page_decodes_to_its_text(demo_site: Site, path: str) -> None:
    text, page = TEXTS[path], demo_site[path]
    assert page.charset is not None
    decoded = html.unescape(_content(page).decode(page.charset))
    for paragraph in html.unescape(text.text).split("\n\n"):
        assert paragraph.strip() in decoded
    declared = re.search("charset=(.+)", page.content_type or "")
    assert (declared[1] if declared else "none") == (text.header or text.charset)
    if text.layout != "raw":
        meta = re.search('<meta charset="(.+?)">', decoded)
        assert (meta[1] if meta else "none") == (text.meta or text.charset)
        assert len(text.text.split()) > 5 or text.language in ("zh", "ja")


def test_languages_and_charsets(demo_site: Site) -> None:
    languages = {text.language for text in TEXTS.values()}
    assert languages >= set("ar cs de el en es fr he hi id it ja ko nl pl pt ru sv tr uk vi zh".split())
    charsets = {text.charset for text in TEXTS.values()}
    assert charsets == {
        *("big5", "euc-jp", "euc-kr", "gb18030", "iso-8859-1", "iso-8859-2", "iso-8859-7", "koi8-r"),
        *("shift_jis", "utf-16", "utf-8", "windows-1250", "windows-1251", "windows-1252", "windows-1254"),
        "windows-1255",
    }
    real = [text for text in TEXTS.values() if text.charset not in ("utf-8", "utf-16")]
    for text in real:  # the text needs its charset: as UTF-8 it is broken
        with pytest.raises(UnicodeDecodeError):
            demo_site[text.path].body.decode("utf-8")
    undeclared = [text for text in real if (text.header, text.meta) == ("none", "none")]
    lies = [text for text in TEXTS.values() if {text.header, text.meta} - {"", "none", text.charset}]
    assert len(undeclared) == 3
    assert len(lies) == 5


def test_transfer_and_content_encodings(demo_site: Site) -> None:
    encodings = Counter((text.encoding, bool(text.chunked)) for text in TEXTS.values())
    del encodings[("", False)]
    assert encodings == Counter(
        [
            ("gzip", False),
            ("br", False),
            ("deflate", False),
            ("raw-deflate", False),
            ("", True),
            ("gzip", True),
        ]
    )


def test_every_status(demo_site: Site) -> None:
    statuses = Counter(page.status for page in demo_site.values())
    assert {status: count for status, count in statuses.items() if status != 200} == {
        **{204: 1, 301: 1, 302: 1, 307: 1, 403: 1, 404: 1, 410: 1, 500: 1, 503: 1}
    }


def test_binaries(demo_site: Site) -> None:
    assert demo_site["/static/dot.png"].body.startswith(b"\x89PNG\r\n\x1a\n")
    assert demo_site["/notes/paper.pdf"].body.startswith(b"%PDF-")
    assert demo_site["/broken/picture.html"].content_type == "text/html; charset=utf-8"
    assert json.loads(demo_site["/news/stalls.json"].body)["stalls"]


def test_damaged_pages(demo_site: Site) -> None:
    assert demo_site["/broken/empty.html"].body == b""
    assert not demo_site["/broken/white.html"].body.strip()
    assert demo_site["/broken/deep.html"].body.count(b"<div>") == special.DEEP_LEVELS
    assert demo_site["/broken/holes.html"].body.count(b"\0") == 40
    assert demo_site["/broken/unlabelled.html"].content_type is None
    bad = demo_site["/broken/bad-bytes.html"].body
    assert bad.decode("utf-8", "replace").count("\ufffd") == 3
    unclosed = demo_site["/broken/unclosed.html"].body
    assert unclosed.count(b"<p") > unclosed.count(b"</p>") > 0


def test_copies(demo_site: Site) -> None:
    assert demo_site["/mirror/lighthouse.html"].body == demo_site["/stories/lighthouse.html"].body
    for original, copy, share in (
        ("/stories/lighthouse.html", "/mirror/keeper.html", 0.8),
        ("/world/es/olivos.html", "/mirror/molino.html", 0.8),
    ):
        one, two = (_shingles(demo_site[path]) for path in (original, copy))
        assert one != two
        assert share < len(one & two) / len(one | two) < 1


def _shingles(page: Page) -> set[str]:
    assert page.charset is not None
    article = html.unescape(page.body.decode(page.charset)).split("<article>")[1].split("</article>")[0]
    words = article.split()
    return {" ".join(words[start : start + 3]) for start in range(len(words) - 2)}


def test_pages_with_a_purpose_of_their_own(demo_site: Site) -> None:
    made = [page for page in demo_site.values() if page.purpose != "text of the Python installation"]
    assert all(page.purpose for page in made)
    assert len(TEXTS) >= 50
    for path, promise in {
        "/people/contacts.html": "4111 1111 1111 1111",
        "/people/server-log.html": "203.0.113.9",
        "/forum/parking-row.html": "idiot",
        "/fun/museum-quiz.html": "Answer: (A) 7:20.",
        "/stories/seed-catalogue.html": 'rel="license" href="https://creativecommons.org/licenses/by-sa/4.0/"',
        "/offers/best-price.html": "BUY NOW!!!",
        "/broken/app.html": "<noscript>",
    }.items():
        assert promise in _content(demo_site[path]).decode()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("path: /x\nflavour: sweet\n\ntext", "unknown key 'flavour'; valid: path, title, purpose, language"),
        ("path: /x\npath: /y\n\ntext", "each key once; found 'path: /y'"),
        ("path: /x\nno colon here\n\ntext", "found 'no colon here'"),
        ("path: /x\ntitle: t\npurpose: p\nlanguage: en\n\ntext", "key 'charset' is missing"),
        ("text: smuggled\n\ntext", "found 'text: smuggled'"),
    ],
)
def test_a_malformed_page_file_is_refused(source: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        written.parse(source)
