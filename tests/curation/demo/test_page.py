"""How text becomes HTML and HTML becomes bytes."""

import gzip
import http.client
import io
import zlib

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.demo.page import Frame, Page, encode_chunked, encode_content, encode_text, to_html


class _Socket(io.BytesIO):
    def makefile(self, *_args: object, **_kwargs: object) -> io.BytesIO:
        return self


def _read(raw: bytes) -> tuple[http.client.HTTPResponse, bytes]:
    response = http.client.HTTPResponse(_Socket(raw), method="GET")  # type: ignore[arg-type]
    response.begin()
    return response, response.read()


@given(st.binary(max_size=5000), st.booleans())
def test_a_response_is_read_back_by_an_http_client(body: bytes, chunked: bool) -> None:
    sent = encode_chunked(body) if chunked else body
    headers = (("Transfer-Encoding", "chunked"),) if chunked else ()
    response, received = _read(Page("/x", sent, headers=headers).response())
    assert received == body
    assert response.status == 200
    assert response.headers.get_content_charset() == "utf-8"
    assert ("Content-Length" in response.headers) is not chunked


def test_responses_carry_nothing_that_changes_from_run_to_run() -> None:
    raw = Page("/x", b"", content_type=None, status=301, headers=(("Location", "/y"),)).response()
    assert raw == b"HTTP/1.1 301 Moved Permanently\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n"
    assert Page("/x", b"", content_type=None, status=204).response() == b"HTTP/1.1 204 No Content\r\n\r\n"


@pytest.mark.parametrize(
    ("encoding", "decode"),
    [
        ("gzip", gzip.decompress),
        ("deflate", zlib.decompress),
        ("raw-deflate", lambda data: zlib.decompress(data, wbits=-zlib.MAX_WBITS)),
        ("br", brotli.decompress),
    ],
)
def test_content_encodings(encoding: str, decode: object) -> None:
    body, headers = encode_content(b"tea " * 500, encoding)
    assert callable(decode)
    assert decode(body) == b"tea " * 500
    assert headers == (("Content-Encoding", encoding.removeprefix("raw-")),)
    assert encode_content(b"tea " * 500, encoding)[0] == body


def test_an_unknown_content_encoding_lists_the_valid_ones() -> None:
    with pytest.raises(ValueError, match="'zip'; valid: gzip, deflate, raw-deflate, br"):
        encode_content(b"", "zip")


def test_text_outside_the_charset_becomes_references() -> None:
    assert encode_text("café €", "iso-8859-1") == b"caf\xe9 &#8364;"
    assert encode_text("é", "utf-16") == b"\xff\xfe\xe9\x00"
    assert encode_text("é", "utf-8", mark=True) == b"\xef\xbb\xbf\xc3\xa9"


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("One\ntwo.\n\nThree.", "<p>One\ntwo.</p>\n<p>Three.</p>"),
        ("## A & B ##", "<h2>A &amp; B</h2>"),
        ("Usage\n=====", "<h2>Usage</h2>"),
        ("   x < y\n\n  z", "<pre>   x &lt; y</pre>\n<pre>  z</pre>"),
        (
            "Do:\n\n```python\na = 1\n\nb = 2\n```\nDone.",
            "<p>Do:</p>\n<pre>a = 1\n\nb = 2</pre>\n<p>Done.</p>",
        ),
        ("* one\n  more\n* two", "<ul><li>one\n  more</li><li>two</li></ul>"),
        ("1. one\n2. two", "<ul><li>one</li><li>two</li></ul>"),
        ("<script>alert('x')</script>", "<p>&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;</p>"),
        (" \n\n\t", ""),
    ],
)
def test_text_to_html(text: str, html: str) -> None:
    assert to_html(text) == html


@given(st.text(max_size=300))
def test_no_text_breaks_out_of_its_element(text: str) -> None:
    rendered = to_html(text)
    for tag in ("h2", "p", "pre", "ul", "li"):
        rendered = rendered.replace(f"<{tag}>", "").replace(f"</{tag}>", "")
    assert "<" not in rendered


def test_the_frame_escapes_and_declares() -> None:
    frame = Frame(sections=(("/a&b/", "A & B"),), neighbours=(("/n.html", "<next>"),))
    page = frame.render('"T" & <co>', "<p>x</p>", language="pl", meta_charset="iso-8859-2", license_url="http://l/?a&b")
    assert '<html lang="pl">' in page
    assert '<meta charset="iso-8859-2">' in page
    assert "<h1>&quot;T&quot; &amp; &lt;co&gt;</h1>" in page
    assert '<a href="/a&amp;b/">A &amp; B</a>' in page
    assert '<a href="/n.html">&lt;next&gt;</a>' in page
    assert '<a rel="license" href="http://l/?a&amp;b">' in page
    assert "<meta" not in frame.render("T", "", meta_charset="")
