import random

import pytest

from curation.sources.content import resolve
from curation.sources.record import Media, RawRecord


@pytest.mark.parametrize(
    ("body", "declared", "text", "charset"),
    [
        (b"plain", None, "plain", "utf-8"),
        ("größe".encode(), None, "größe", "utf-8"),
        ("größe, überall gültig".encode("latin-1"), None, "größe, überall gültig", "windows-1252"),
        ("Привет, мир! Как дела?".encode("cp1251"), "cp1251", "Привет, мир! Как дела?", "windows-1251"),
        ("日本語の文章です。".encode("utf-16"), None, "日本語の文章です。", "utf-16le"),
        (b"line\r\nline\0", None, "line\nline", "utf-8"),
    ],
)
def test_bytes_become_text(body: bytes, declared: str | None, text: str, charset: str) -> None:
    record = resolve(RawRecord(0, body=body, charset=declared))
    assert (record.text, record.charset, record.media, record.body) == (text, charset, "text", None)


@pytest.mark.parametrize(
    ("body", "media", "expected"),
    [
        (b"<!doctype html><p>x", "", "html"),
        (b"<p>x", "", "text"),
        (b"<p>x", "html", "html"),
        (b"<!doctype html><p>x", "text", "text"),
        (b"<!doctype html><p>x", "code", "code"),
        ("<html><p>x".encode("utf-16"), "", "html"),
    ],
)
def test_media_is_told_where_it_is_not_set(body: bytes, media: Media, expected: str) -> None:
    assert resolve(RawRecord(0, body=body, media=media)).media == expected
    text = body.decode("utf-16" if body[:1] == b"\xff" else "utf-8")
    assert resolve(RawRecord(0, text=text, media=media)).media == expected


def test_a_meta_tag_counts_in_html_only() -> None:
    page = '<html><meta charset="windows-1251"><p>Привет, мир! Как у вас дела?'.encode("cp1251")
    record = resolve(RawRecord(0, body=page))
    assert (record.charset, "Привет" in (record.text or "")) == ("windows-1251", True)


def test_text_is_cleaned() -> None:
    record = resolve(RawRecord(0, text="a\0b\r\nc\ud800"))
    assert (record.text, record.media, record.charset) == ("ab\nc\ufffd", "text", "utf-8")


@pytest.mark.parametrize("blank", ["", " \n\t", "\u3000\u00a0", "\ufeff", "\u200b\n", "\0\0"])
def test_white_space_is_empty(blank: str) -> None:
    for record in (RawRecord(0, text=blank), RawRecord(0, body=blank.encode())):
        resolve(record)
        assert (record.rejected, record.text, record.body) == ("empty", None, None)


def test_no_content_is_empty() -> None:
    assert resolve(RawRecord(0)).rejected == "empty"


def test_noise_is_undecodable() -> None:
    record = resolve(RawRecord(0, body=random.Random(0).randbytes(4000), media="text"))
    assert (record.quarantined, record.text, record.body) == ("undecodable", None, None)
    assert record.detail


def test_what_is_decided_stays() -> None:
    record = resolve(RawRecord(0, body=b"x", rejected="redirect"))
    assert (record.rejected, record.text, record.body) == ("redirect", None, None)
    record = resolve(RawRecord(0, text="x", quarantined="damaged"))
    assert (record.quarantined, record.text, record.body) == ("damaged", None, None)
