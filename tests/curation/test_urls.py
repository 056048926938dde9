"""One spelling for URLs that lead to the same place; any string whatever is taken, in bounded time."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.urls import MOST_SEGMENTS, Place, locate


def host(url: str) -> str | None:
    place = locate(url)
    return None if place is None else place.host.decode()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://Example.COM./a", "example.com"),
        ("HTTPS://example.com:8443/", "example.com"),
        ("example.com", "example.com"),
        ("example.com:8080/x", "example.com"),
        ("//example.com/x", "example.com"),
        ("http:example.com", "example.com"),
        ("http:////example.com/", "example.com"),
        (" \t http://exa\nmple.com/ ", "example.com"),
        ("http://good.example@bad.example/", "bad.example"),
        ("http://good.example:x@y@bad.example:80/@good.example", "bad.example"),
        ("http://bad.example\\@good.example/", "bad.example"),
        ("http://bad.example?@good.example/", "bad.example"),
        ("http://bad.example#@good.example/", "bad.example"),
        ("http://b%61d.example/", "bad.example"),
        ("http://bücher.example/", "xn--bcher-kva.example"),
        ("http://XN--BCHER-KVA.example/", "xn--bcher-kva.example"),
        ("http://b%C3%BCcher.example/", "xn--bcher-kva.example"),
        ("http://straße.example/", "xn--strae-oqa.example"),
        ("http://ＢＡＤ。example/", "bad.example"),
        ("http://💩.example/", "xn--ls8h.example"),
        ("http://under_score.example/", "under_score.example"),
        ("http://127.1/", "127.0.0.1"),
        ("http://0x7f000001/", "127.0.0.1"),
        ("http://2130706433/", "127.0.0.1"),
        ("http://[2001:DB8:0::1]:80/x", "[2001:db8::1]"),
        ("http://[fe80::1%25eth0]/", "[fe80::1]"),
        ("s3://bucket/key", "bucket"),
        ("http://[::g]/", None),
        ("http://[", None),
        ("http://300.1.1.1/", None),
        ("http://a b.example/", None),
        ("http://", None),
        ("http:///", None),
        ("http://./", None),
        ("http://:80/", None),
        ("", None),
        ("/a/path", None),
        ("javascript:alert(1)", None),
        ("mailto:a@b.example", None),
        ("data:text/html,x", None),
        ("file:///etc/passwd", None),
        ("file://host/etc/passwd", None),
        ("urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6", None),
    ],
)
def test_the_host_is_the_one_that_a_browser_goes_to(url: str, expected: str | None) -> None:
    assert host(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "http://a.example/b%20c/d",
        "https://www.a.example:443/b c/d/",
        "a.example//b%20c/./d",
        "http://a.example/x/../b%20c/d#part",
        "http://a.example/%62%20c%2Fd",
        "http://a.example\\b c\\d",
        "http://a.example/../b%20c/%2e/d",
    ],
)
def test_one_key_for_all_spellings_of_a_path(url: str) -> None:
    place = locate(url)
    assert place is not None
    assert place.url_key() == b"a.example/b c/d"


def test_keys() -> None:
    place = locate("http://x.www.a.example/b/c?d=%31&e")
    assert place is not None
    assert place.domain_keys() == [
        b"x.www.a.example",
        b"x.www.a.example/",
        b"www.a.example",
        b"a.example",
        b"example",
    ]
    assert place.url_keys() == [b"x.www.a.example/b", b"x.www.a.example/b/c", b"x.www.a.example/b/c?d=1&e"]
    address = locate("http://10.0.0.1/")
    assert address is not None
    assert address.domain_keys() == [b"10.0.0.1", b"10.0.0.1/"]


def test_broken_escapes_stay() -> None:
    place = locate("http://a.example/%/%zz/%4/%C3")
    assert place is not None
    assert place.segments == (b"%", b"%zz", b"%4", b"\xc3")


HUGE = {
    "path": "http://a.example/" + "x" * 3_000_000,
    "segments": "http://a.example" + "/s" * 500_000,
    "parents": "http://a.example" + "/.." * 500_000,
    "escapes": "http://a.example/" + "%" * 2_000_000,
    "query": "http://a.example/?" + "q=1&" * 500_000,
    "fragment": "http://a.example/#" + "f" * 2_000_000,
    "host": "http://" + "x" * 2_000_000 + "/",
    "labels": "http://" + "x." * 1_000_000 + "a.example/",
    "dots": "http://" + "." * 2_000_000 + "/",
    "not ASCII": "http://" + "ü" * 1_000_000 + ".a.example/",
    "escaped host": "http://" + "%" * 2_000_000 + "/",
    "credentials": "http://" + "u:p@" * 500_000 + "a.example/",
    "slashes": "http:" + "/" * 2_000_000 + "a.example/",
    "scheme": "x" * 2_000_000 + ":",
    "port": "http://a.example:" + "8" * 2_000_000,
    "digits": "http://" + "1" * 2_000_000 + "/",
    "IPv6": "http://[" + ":" * 2_000_000 + "]/",
    "controls": "http://a.example/" + "\t" * 2_000_000,
    "spaces": " " * 2_000_000,
    "backslashes": "\\" * 2_000_000,
}


@pytest.mark.parametrize("what", HUGE)
def test_huge_urls_cost_little_and_keep_their_domain(what: str) -> None:
    began = time.process_time()
    place = locate(HUGE[what])
    size = 0 if place is None else sum(map(len, [*place.domain_keys(), *place.url_keys()]))
    assert time.process_time() - began < 1
    assert size < 2_000_000
    if "a.example" in HUGE[what] and what != "IPv6":
        assert place is not None
        assert b"a.example" in place.domain_keys()
    if place is not None:
        assert len(place.domain_keys()) <= 130
        assert len(place.url_keys()) <= MOST_SEGMENTS + 1


awkward = st.text(alphabet=st.sampled_from(list("htps:/@?#[]\\%.-_ aZ1ü。\t\0\ud800xn0")), max_size=60)


@given(st.one_of(st.text(), awkward, awkward.map("http://".__add__), st.characters().map("http://x{}.example/".format)))
def test_any_text_gives_a_place_or_none(url: str) -> None:
    place = locate(url)
    if place is not None:
        check(place)


def check(place: Place) -> None:
    assert place.host
    assert not set(place.host) & set(b"/@?#:\\ ") or place.is_address
    assert place.host == place.host.lower()
    keys = place.domain_keys()
    assert all(place.host.endswith(key) for key in keys[2:])
    assert all(b"" != segment != b".." for segment in place.segments)
    if place.segments or place.query:
        assert place.url_key() in place.url_keys()


@given(st.lists(st.text(alphabet="abcäöü漢字ß", min_size=1, max_size=8), min_size=1, max_size=4))
def test_the_ascii_spelling_of_a_host_is_the_same_place(labels: list[str]) -> None:
    place = locate("http://" + ".".join(labels) + ".example/")
    assert place is not None
    assert place.host.isascii()
    assert locate("http://" + place.host.decode()) == place
