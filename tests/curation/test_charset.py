"""Charsets: every charset with a right, no, a wrong and a contradicting declaration; hostile bytes."""

import random
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.charset import Undecodable, clean_text, decode
from tests.curation.fixtures_text import LEGACY, SENTENCES, page, sentences

LABELS = {
    "cp949": "euc-kr", "cp932": "shift_jis", "euc_jp": "euc-jp", "iso2022_jp": "iso-2022-jp",
    "gb18030": "gb2312", "big5": "big5", "koi8_r": "koi8-r", "cp1252": "iso-8859-1",
    "iso8859_2": "iso-8859-2", "iso8859_7": "iso-8859-7", "cp874": "tis-620",
    "utf_16_le": "utf-16", "utf_16_be": "utf-16be",
    **{f"cp125{n}": f"windows-125{n}" for n in (0, 1, 3, 4, 5, 6, 7)},
}  # fmt: skip
"""Python's codec -> the label that pages in it use."""

NAMES = {"gb2312": "gb18030", "iso-8859-1": "windows-1252", "tis-620": "windows-874", "utf-16": "utf-16le"}
"""Label -> the name of what it stands for, where they differ."""

AMBIGUOUS = {("hun_Latn", "iso-8859-1"): {0}}
"""Sentences whose one telling letter reads as well in the charset that is declared (ő as õ)."""

CHARSETS = [(codec, language) for codec, languages in LEGACY.items() for language in languages]


@pytest.mark.parametrize(("codec", "language"), CHARSETS)
@pytest.mark.parametrize("declared", ["right", None, "iso-8859-1", "utf-8"])
def test_text(codec: str, language: str, declared: str | None) -> None:
    label = LABELS[codec] if declared == "right" else declared
    for number, text in enumerate(sentences(language)):
        if declared and number in AMBIGUOUS.get((language, declared), ()):
            continue
        assert decode(text.encode(codec), label)[0] == text


@pytest.mark.parametrize(("codec", "language"), CHARSETS)
def test_page(codec: str, language: str) -> None:
    label = LABELS[codec]
    name = NAMES.get(label, label)
    text = " ".join(sentences(language))
    for meta, header in (
        (None, None),
        (label, None),
        (None, label),
        (label, "iso-8859-1"),
        (label, "utf-8"),
        ("utf-8", label),
        ("iso-8859-1", label),
        ("utf-8", "iso-8859-1"),
    ):
        html = page(text, meta=meta)
        decoded, charset = decode(html.encode(codec), header, html=True)
        assert decoded == html
        if {header, meta} == {label}:
            assert charset == name


@pytest.mark.parametrize(
    ("codec", "language", "wrong"),
    [
        ("cp949", "kor_Hang", "gb2312"),
        ("cp949", "kor_Hang", "windows-1251"),
        ("cp932", "jpn_Jpan", "euc-jp"),
        ("euc_jp", "jpn_Jpan", "shift_jis"),
        ("euc_jp", "jpn_Jpan", "gb2312"),
        ("gb18030", "cmn_Hani", "big5"),
        ("gb18030", "cmn_Hani", "euc-kr"),
        ("big5", "TRADITIONAL", "gb2312"),
        ("cp1251", "rus_Cyrl", "koi8-r"),
        ("koi8_r", "rus_Cyrl", "windows-1251"),
        ("cp1250", "pol_Latn", "iso-8859-2"),
        ("iso8859_2", "ces_Latn", "windows-1250"),
        ("cp1255", "heb_Hebr", "windows-1256"),
        ("cp1256", "arb_Arab", "windows-1255"),
        ("cp1252", "deu_Latn", "windows-1250"),
        ("cp1252", "fra_Latn", "euc-kr"),
    ],
)
def test_declared_as_its_rival(codec: str, language: str, wrong: str) -> None:
    for text in sentences(language):
        assert decode(text.encode(codec), wrong)[0] == text


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("declared", [None, "iso-8859-1", "euc-kr"])
def test_byte_order_mark(codec: str, declared: str | None) -> None:
    text = "".join(SENTENCES["rus_Cyrl"])
    assert decode(text.encode(codec), declared)[0] == text


@pytest.mark.parametrize("codec", ["utf_32_le", "utf_32_be"])
def test_utf_32_without_mark(codec: str) -> None:
    text = "".join(SENTENCES["jpn_Jpan"])
    assert decode(text.encode(codec))[0] == text


@pytest.mark.parametrize(
    "language",
    [name for name, pair in SENTENCES.items() if sum(not each.isascii() for each in "".join(pair)) > 4],
)
def test_utf_8_with_bad_bytes(language: str) -> None:
    """Each bad byte costs itself, never the page."""
    first, second = SENTENCES[language]
    body = first.encode() + b" \xff " + second.encode() + b" \xc3\x28 \x80"
    for declared in ("utf-8", None, "iso-8859-1", "windows-1251"):
        assert decode(body, declared) == (f"{first} \ufffd {second} \ufffd( \ufffd", "utf-8")


def test_truncated_utf_8() -> None:
    text = SENTENCES["ell_Grek"][0] + "ά"
    assert decode(text.encode()[:-1]) == (text[:-1] + "\ufffd", "utf-8")


def test_valid_utf_8_is_utf_8_whatever_is_declared() -> None:
    text = "Crème brûlée, naïve façade"
    html = page(text, meta="euc-kr")
    assert decode(html.encode(), "shift_jis", html=True) == (html, "utf-8")


def test_curly_quotes_declared_as_utf_8() -> None:
    text = "He said “it’s only a few quotes – nothing else” and left. " * 3
    html = page(text, meta="utf-8")
    assert decode(html.encode("cp1252"), "utf-8", html=True) == (html, "windows-1252")


def test_no_break_spaces_only() -> None:
    html = page("plain\xa0text with\xa0nothing else")
    assert decode(html.encode("cp1252"), None, html=True) == (html, "windows-1252")


def test_nec_characters_in_euc_jp() -> None:
    """Circled digits and the like, which Python's codec lacks."""
    text = SENTENCES["jpn_Jpan"][0]
    body = text.encode("euc_jp") + bytes.fromhex("ada1 adea fce2 8eb1")
    assert decode(body, "euc-jp")[0] == text + "①㈱髙ｱ"


@pytest.mark.parametrize(
    "declaration",
    [
        '<?xml version="1.0" encoding="windows-1251"?>',
        "<meta charset=windows-1251>",
        "<META HTTP-EQUIV='Content-Type' CONTENT='text/html; charset=CP1251'>",
        '<!-- <meta charset="koi8-r"> --><meta charset="win-1251">',
    ],
)
def test_declarations_in_html(declaration: str) -> None:
    """Too short to be guessed, so that only the declaration can tell."""
    html = f"{declaration}<p>Ия</p>"
    assert decode(html.encode("cp1251"), html=True) == (html, "windows-1251")


@pytest.mark.parametrize("label", ["", "x" * 10_000, "zip_codec", "idna", "utf-7", "\udc80", "none"])
def test_strange_labels_are_ignored(label: str) -> None:
    text = SENTENCES["rus_Cyrl"][0]
    assert decode(text.encode("koi8_r"), label)[0] == text


def test_newlines_and_controls() -> None:
    assert decode(b"\xef\xbb\xbfa\r\nb\rc\x0bd\x0ce\0f\x07g\th\n") == ("a\nb\nc\nd\nefg\th\n", "utf-8")
    assert decode("é\x85a\u2028b\x9fc\r\n".encode())[0] == "é\na\nbc\n"


def test_stray_zeros_do_not_make_utf_16() -> None:
    assert decode(b"Name: foo, Age: \0 12\n" * 20)[0] == "Name: foo, Age:  12\n" * 20


@pytest.mark.parametrize("seed", range(5))
def test_binary_is_refused(seed: int) -> None:
    noise = random.Random(seed).randbytes(5000)
    for body in (noise, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + noise, b"<html>" + noise, b"\xff\xfe" + noise):
        for declared in (None, "utf-8", "iso-8859-1", "gb2312"):
            with pytest.raises(Undecodable, match="make no sense"):
                decode(body, declared, html=True)


BODIES = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace")),
    st.builds(
        lambda parts: b"".join(parts),
        st.lists(
            st.sampled_from(
                [b"\x1b$B", b"<meta charset=", b"utf-16", b"<!--", b"\xff\xfe", b"\0a", b"\x93a\x94", b"\xe9"]
            )
            | st.binary(max_size=8),
            max_size=30,
        ),
    ),
)


@given(BODIES, st.sampled_from([None, "utf-8", "iso-8859-1", "euc-kr", "euc-jp", "utf-16", "hz-gb-2312"]))
def test_any_bytes(body: bytes, declared: str | None) -> None:
    """Clean text or Undecodable, always the same, nothing else."""
    try:
        text, charset = decode(body, declared, html=True)
    except Undecodable:
        return
    text.encode()
    assert clean_text(text) is text
    assert charset == charset.lower()
    assert decode(body, declared, html=True) == (text, charset)


@given(st.text(alphabet=st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\u2028\u2029\ufeff")))
def test_utf_8_round_trip(text: str) -> None:
    assert decode(text.encode()) == (text, "utf-8")


@given(st.text(st.characters()))
def test_clean_text(text: str) -> None:
    clean = clean_text(text)
    clean.encode()
    assert not any(ord(c) < 0x20 and c not in "\t\n" for c in clean)
    assert clean_text(clean) is clean


def test_clean_text_surrogates() -> None:
    assert clean_text("a\ud83d\ude00b\ud800c") == "a😀b\ufffdc"


@pytest.mark.parametrize(
    "body",
    [
        b"a" * 3_000_000 + b"\xe9",
        b"<" * 3_000_000 + b"\xe9",
        b"<!--" * 750_000 + b"\xe9",
        b"<meta " * 500_000 + b"\xe9",
        b"\xe9<" * 1_500_000,
        b"\xe9\xc9" * 1_500_000,
        "é ".encode() * 1_000_000 + b"\xff",
        b"\0" * 3_000_000,
    ],
    ids=range(8),
)
def test_linear(body: bytes) -> None:
    """3 MB take some 30 ms; anything quadratic would take hours."""
    start = time.process_time()
    decode(body, "utf-8", html=True)
    assert time.process_time() - start < 2


def test_real_pages_in_legacy_charsets(shared: Path) -> None:
    """Pages of a real site in a dozen languages, put back into the charsets of their time."""
    archive = shared / "crawl" / "debian-00000.warc.gz"
    if not archive.is_file():
        pytest.skip(f"{archive} is absent")
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    codecs = {
        "ar": ["cp1256"], "cs": ["cp1250", "iso8859_2"], "de": ["cp1252"], "el": ["cp1253", "iso8859_7"],
        "fr": ["cp1252"], "ja": ["cp932", "euc_jp", "iso2022_jp"], "ko": ["cp949"], "pl": ["cp1250"],
        "ru": ["cp1251", "koi8_r"], "tr": ["cp1254"], "zh-CN": ["gb18030"], "zh-TW": ["big5"],
    }  # fmt: skip
    seen = 0
    with archive.open("rb") as stream:
        for record in ArchiveIterator(stream, record_types=WarcRecordType.response):
            url = record.headers["WARC-Target-URI"]
            match = re.search(r"/browse/(zh-..|..)", url)
            if match is None or match[1] not in codecs:
                continue
            body = re.sub(rb"<meta[^>]*charset[^>]*>|<\?xml.*?\?>", b"", record.reader.read())
            for codec in codecs[match[1]]:
                legacy = body.decode().encode(codec, "xmlcharrefreplace")
                for declared in (LABELS[codec], None, "utf-8", "iso-8859-1"):
                    text, charset = decode(legacy, declared, html=True)
                    assert text == clean_text(legacy.decode(codec)), (url, declared, charset)
                seen += 1
    assert seen > 50
