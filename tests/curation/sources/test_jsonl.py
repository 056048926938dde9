import gzip
import io
import json
import time
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from curation.sources import jsonl
from curation.sources.jsonl import read_jsonl
from curation.sources.record import QUARANTINED, REJECTED_AT_READ, RawRecord

LIMIT = 1 << 20


def read(data: bytes, compression: str = "", **options: Any) -> list[RawRecord]:
    options.setdefault("max_record_bytes", LIMIT)
    records = list(read_jsonl(io.BytesIO(data), compression, **options))
    positions = [record.position for record in records]
    assert positions == sorted(set(positions)), "positions must ascend"
    for record in records:
        states = (record.text is not None, bool(record.rejected), bool(record.quarantined))
        assert sum(states) == 1
        assert not record.quarantined or (record.quarantined in QUARANTINED and record.detail)
        assert not record.rejected or record.rejected in REJECTED_AT_READ
    return records


def one(line: bytes, **options: Any) -> RawRecord:
    (record,) = read(line, **options)
    return record


def summary(records: list[RawRecord]) -> list[tuple[tuple[int, int], str]]:
    return [(r.position, r.text if r.text is not None else r.quarantined or r.rejected) for r in records]


# ---- good lines ----


def test_offsets_are_those_of_the_lines() -> None:
    data = b'{"text":"a"}\n\n  \n{"text":"b"}\r\n{"text":"c"}'
    assert summary(read(data)) == [((0, 0), "a"), ((17, 0), "b"), ((31, 0), "c")]
    for record in read(data):
        assert data[record.offset : record.offset + record.size].strip()[:8] == b'{"text":'


@pytest.mark.parametrize(
    ("fields", "text", "media"),
    [
        ({"text": "a", "content": "b"}, "a", ""),
        ({"content": "b", "raw_content": "c"}, "b", ""),
        ({"raw_content": "c"}, "c", ""),
        ({"body": "d"}, "d", ""),
        ({"document": "e"}, "e", ""),
        ({"html": "<p>f"}, "<p>f", "html"),
        ({"text": None, "content": "b"}, "b", ""),
        ({"text": 7, "content": "b"}, "b", ""),
        ({"text": "", "html": "<p>f"}, "<p>f", "html"),
        ({"text": ["x"], "document": "e"}, "e", ""),
    ],
)
def test_the_first_field_that_holds_text(fields: dict[str, Any], text: str, media: str) -> None:
    record = one(json.dumps(fields).encode())
    assert (record.text, record.media) == (text, media)


def test_a_configured_field_is_the_only_one() -> None:
    record = one(b'{"text": "a", "prose": "p"}', text_field="prose")
    assert record.text == "p"
    assert one(b'{"text": "a"}', text_field="prose").quarantined == "no_text"
    assert one(b'{"prose": 1}', text_field="prose").detail == "the field 'prose' holds no string"
    assert one(b'{"html": "x"}', text_field="html").media == ""


def test_facts() -> None:
    record = one(
        json.dumps(
            {
                "text": "t",
                "url": " http://a/b ",
                "timestamp": "2019-04-25T12:57:54Z",
                "title": "A\u0000 title",
                "author": ["Ann", "Bo"],
                "date": "2018-01-02",
            }
        ).encode()
    )
    assert record.url == "http://a/b"
    assert record.crawled_at == datetime(2019, 4, 25, 12, 57, 54, tzinfo=UTC)
    assert (record.title, record.author, record.date) == ("A title", "Ann, Bo", "2018-01-02")


@pytest.mark.parametrize("key", ["metadata", "meta", "warc_headers"])
def test_facts_in_nested_objects(key: str) -> None:
    record = one(
        json.dumps({"text": "t", key: {"warc-target-uri": "http://a/", "warc-date": "2020-02-03T04:05:06Z"}}).encode()
    )
    assert record.url == "http://a/"
    assert record.crawled_at == datetime(2020, 2, 3, 4, 5, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2019-04-25T12:57:54Z", datetime(2019, 4, 25, 12, 57, 54, tzinfo=UTC)),
        ("2019-04-25 12:57:54", datetime(2019, 4, 25, 12, 57, 54, tzinfo=UTC)),
        ("2019-04-25T12:57:54+02:00", datetime(2019, 4, 25, 10, 57, 54, tzinfo=UTC)),
        ("20190425125754", datetime(2019, 4, 25, 12, 57, 54, tzinfo=UTC)),
        (1556197074, datetime(2019, 4, 25, 12, 57, 54, tzinfo=UTC)),
        (1556197074000, datetime(2019, 4, 25, 12, 57, 54, tzinfo=UTC)),
        ("1556197074", datetime(2019, 4, 25, 12, 57, 54, tzinfo=UTC)),
        ("2019", None),
        ("yesterday", None),
        ("", None),
        (True, None),
        (1e400, None),
        (-1e300, None),
        ({"$date": 1}, None),
        (10**400, None),
    ],
)
def test_times(value: Any, expected: datetime | None) -> None:
    assert one(json.dumps({"text": "t", "timestamp": value}).encode()).crawled_at == expected


def test_date_with_a_time_is_when_it_was_crawled() -> None:
    record = one(b'{"text": "t", "date": "2013-05-18T05:50:54Z"}')
    assert record.crawled_at == datetime(2013, 5, 18, 5, 50, 54, tzinfo=UTC)
    assert record.date is None
    record = one(b'{"text": "t", "date": "2013-05-18T05:50:54Z", "timestamp": "2014-01-01T00:00:00Z"}')
    assert record.date == "2013-05-18"


def test_absurd_facts_are_left_out() -> None:
    record = one(json.dumps({"text": "t", "url": "http://a/" + "x" * 10_000, "title": "y" * 5000}).encode())
    assert record.url is None
    assert record.title is not None
    assert len(record.title) == 1024


# ---- bad lines ----

DEEP = 200_000


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"nonsense", "bad_json"),
        (b'{"text": "cut', "bad_json"),
        (b'{"text": "a"} trailing', "bad_json"),
        (b'{"text": "a"}{"text": "b"}', "bad_json"),
        (b"{'text': 'python'}", "bad_json"),
        (b'{"text": "a",}', "bad_json"),
        (b'{"text": "\\x"}', "bad_json"),
        (b"\0", "bad_json"),
        (b"[" * DEEP, "bad_json"),
        (b'{"text": "a", "deep": ' + b"[" * DEEP + b"]" * DEEP + b"}", "bad_json"),
        (b'{"a":' * DEEP, "bad_json"),
        (b"null", "not_object"),
        (b"true", "not_object"),
        (b"42", "not_object"),
        (b"1" * 10_000, "not_object"),
        (b"1e999", "not_object"),
        (b"NaN", "not_object"),
        (b'"text"', "not_object"),
        (b'[{"text": "a"}]', "not_object"),
        (b"{}", "no_text"),
        (b'{"text": null}', "no_text"),
        (b'{"text": 1}', "no_text"),
        (b'{"text": {"text": "a"}}', "no_text"),
        (b'{"Text": "a"}', "no_text"),
        (b'{"text": "' + b"x" * LIMIT + b'"}', "oversized"),
    ],
)
def test_a_bad_line_costs_itself_only(line: bytes, reason: str) -> None:
    data = b'{"text":"before"}\n' + line + b'\n{"text":"after"}\n'
    for packed, compression in ((data, ""), (gzip.compress(data), "gzip")):
        before, bad, after = read(packed, compression)
        assert (before.text, bad.quarantined, after.text) == ("before", reason, "after")
        assert not bad.damage
        assert bad.size == len(line)
    assert read(data)[1].offset == 18


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b'\xef\xbb\xbf{"text": "BOM"}', "BOM"),
        (b'{"text": "caf\xe9"}', "café"),
        (b'{"text": "a", "n": NaN, "m": -Infinity}', "a"),
        (b'{"text": "a", "n": ' + b"9" * 10_000 + b"}", "a"),
        (b'{"text": "first", "text": "last"}', "last"),
        (b'{"text": "raw\ttab"}', "raw\ttab"),
        (b'{"text": "\\u00e9\\ud83d\\ude00"}', "é😀"),
        (b'{"text": "\\u0000"}', "\0"),
        (b' \t{"text": "a"}\r', "a"),
    ],
)
def test_readable_all_the_same(line: bytes, text: str) -> None:
    assert one(line).text == text


def test_lone_surrogates_reach_content_which_replaces_them() -> None:
    from curation.sources.content import resolve

    record = resolve(one(b'{"text": "a\\ud800b", "title": "\\udfff"}'))
    assert record.text == "a\ufffdb"
    assert record.title == "\ufffd"


def test_the_charset_of_a_line_that_is_not_utf8_is_told() -> None:
    assert one(b'{"text": "caf\xe9 au lait"}').charset == "windows-1252"
    assert one(b'{"text": "caf\xc3\xa9"}').charset is None


def test_undecodable_line() -> None:
    import random

    noise = random.Random(0).randbytes(2000).replace(b"\n", b"")
    assert one(b'{"text": "' + noise + b'"}').quarantined in ("undecodable", "bad_json")


def test_empty_text_is_rejected() -> None:
    assert one(b'{"text": ""}').rejected == "empty"


def test_a_line_of_millions_of_arrays_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "MAX_CONTAINERS", 1000)
    record = one(b'{"text": "a", "x": [' + b"[]," * 2000 + b"0]}")
    assert (record.quarantined, "arrays" in record.detail) == ("oversized", True)
    assert one(b'{"text": "a", "x": [' + b"[]," * 500 + b"0]}").text == "a"


class Endless(io.RawIOBase):
    """A file of one line of ``size`` bytes, and a good one behind it; it is never held."""

    tail = b'"}\n{"text":"after"}\n'

    def __init__(self, size: int) -> None:
        self.size, self.at = size, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self.at = offset
        return offset

    def readinto(self, buffer: Any) -> int:
        n = min(len(buffer), self.size - self.at)
        data = b"x" * n if n > 0 else self.tail[self.at - self.size :][: len(buffer)]
        buffer[: len(data)] = data
        self.at += len(data)
        return len(data)


def test_a_line_of_200_mb_is_not_held_in_memory() -> None:
    tracemalloc.start()
    records = list(read_jsonl(io.BufferedReader(Endless(200 << 20)), "", max_record_bytes=4 << 20))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [(r.quarantined, r.size) for r in records] == [("oversized", (200 << 20) + 2), ("", 16)]
    assert peak < 16 << 20


# ---- compressed ----


def members(*parts: bytes) -> bytes:
    return b"".join(gzip.compress(part, mtime=0) for part in parts)


def test_lines_are_numbered_within_the_member_where_they_begin() -> None:
    parts = [b'{"text":"a"}\n\n{"text":"b"}\n{"te', b'xt":"c"', b'}\n{"text":"d"}\n', b'{"text":"e"}']
    data = members(*parts)
    at = [0, len(members(*parts[:1])), len(members(*parts[:2])), len(members(*parts[:3]))]
    expected = [((0, 0), "a"), ((0, 2), "b"), ((0, 3), "c"), ((at[2], 0), "d"), ((at[3], 0), "e")]
    assert summary(read(data, "gzip")) == expected
    packed = b"".join(zstandard.ZstdCompressor().compress(part) for part in parts)
    assert [text for _, text in summary(read(packed, "zstd"))] == ["a", "b", "c", "d", "e"]
    for cut in range(0, len(data) + 1, 7):
        both = read(data, "gzip", end=cut) + read(data, "gzip", start=cut)
        assert summary(both) == expected


def lines(first: int, last: int) -> bytes:
    return b"".join(b'{"text":"%d %s"}\n' % (n, str(hash((n, 7))).encode()) for n in range(first, last))


def test_truncated_gzip() -> None:
    data = lines(0, 1000)
    packed = gzip.compress(data)
    records = read(packed[: len(packed) // 2], "gzip")
    assert (records[-1].quarantined, records[-1].damage) == ("truncated", True)
    texts = [record.text for record in records[:-1]]
    assert len(texts) > 300
    assert texts == [json.loads(line)["text"] for line in data.splitlines()[: len(texts)]]


def test_a_cut_line_is_part_of_the_damage_and_a_whole_one_is_not() -> None:
    data = lines(0, 5).rstrip()
    packed = gzip.compress(data)
    assert [r.quarantined for r in read(packed[:-4], "gzip")] == [""] * 5 + ["truncated"]
    wrong = packed[:-8] + bytes(4) + packed[-4:]
    assert [r.quarantined for r in read(wrong, "gzip")] == [""] * 5 + ["checksum"]


def test_damage_in_a_member_leaves_the_others() -> None:
    good = [lines(n, n + 100) for n in range(0, 1000, 100)]
    packed = [gzip.compress(part) for part in good]
    broken = bytearray(packed[4])
    broken[40:60] = bytes(20)
    packed[4] = bytes(broken)
    records = read(b"".join(packed), "gzip")
    damage = [record for record in records if record.damage]
    assert len(damage) == 1
    assert damage[0].offset == len(b"".join(packed[:4]))
    texts = {record.text for record in records}
    for number, part in enumerate(good):
        if number != 4:
            assert texts >= {json.loads(line)["text"] for line in part.splitlines()}


def test_the_rest_of_a_line_that_began_in_damage_is_not_counted_twice() -> None:
    packed = [gzip.compress(b'{"text":"lost'), gzip.compress(b' rest"}\n{"text":"kept"}\n')]
    packed[0] = packed[0][:-8] + bytes(8)
    assert [r.text or r.quarantined for r in read(b"".join(packed), "gzip")] == ["checksum", "kept"]


@given(st.integers(0, 2000), st.integers(1, 255))
def test_any_flipped_byte_is_survived(at: int, flip: int) -> None:
    packed = bytearray(members(lines(0, 30), lines(30, 60), lines(60, 90)))
    packed[at % len(packed)] ^= flip
    records = read(bytes(packed), "gzip")
    assert sum(record.text is not None for record in records) >= 55


# ---- UTF-16 and UTF-32 ----


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("compression", ["", "gzip"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_wide_encodings(encoding: str, compression: str, bom: str) -> None:
    data = (bom + '{"text":"grün 😀"}\n\nnope\n{"text":"\u0a0a日本"}').encode(encoding)
    packed = gzip.compress(data[:21]) + gzip.compress(data[21:]) if compression else data
    expected = [((0, 0), "grün 😀"), ((0, 2), "bad_json"), ((0, 3), "\u0a0a日本")]
    assert summary(read(packed, compression)) == expected
    assert summary(read(packed, compression, end=9) + read(packed, compression, start=9)) == expected


# ---- ranges ----

LINES = st.lists(
    st.sampled_from(
        [b'{"text":"a"}', b"", b" ", b"nope", b'{"text":"caf\xe9"}', b"null", b"\r", b'{"text":"' + b"z" * 90 + b'"}']
    ),
    max_size=12,
)


@given(LINES, st.booleans(), st.lists(st.integers(0, 400), max_size=4), st.sampled_from([40, 1000]))
def test_ranges_that_meet_give_each_record_once(
    given_lines: list[bytes], ended: bool, cuts: list[int], limit: int
) -> None:
    data = b"\n".join(given_lines) + (b"\n" if ended else b"")
    whole = summary(read(data, max_record_bytes=limit))
    bounds = [0, *sorted(cuts), None]
    parts: list[tuple[tuple[int, int], str]] = []
    for start, end in pairwise(bounds):
        assert start is not None
        parts += summary(read(data, start=start, end=end, max_record_bytes=limit))
    assert parts == whole
    assert len(whole) == sum(bool(line.strip()) for line in given_lines)


@given(st.binary(max_size=200), st.sampled_from(["", "gzip", "zstd"]))
def test_any_bytes_are_survived(data: bytes, compression: str) -> None:
    read(data, compression)
    read(b'{"text":"' + data + b'"}\n{"text": "b"}', "")


def test_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"\n".join([b'{"text":"%d"}' % n * (n % 3 or 1) for n in range(50)])
    expected = [(r.position, r.text, r.quarantined, r.size) for r in read(data, max_record_bytes=20)]
    for size in (1, 2, 7, 64):
        monkeypatch.setattr(jsonl, "CHUNK_BYTES", size)
        assert [(r.position, r.text, r.quarantined, r.size) for r in read(data, max_record_bytes=20)] == expected


def test_many_tiny_lines_are_fast() -> None:
    data = b'{"text":"a"}\n' * 100_000
    began = time.process_time()
    count = sum(1 for _ in read_jsonl(io.BytesIO(data), "", max_record_bytes=LIMIT))
    assert count == 100_000
    assert time.process_time() - began < 3, "300,000 lines/s are usual, 33,000 the least"


def test_reading_is_lazy() -> None:
    records: Iterator[RawRecord] = read_jsonl(io.BufferedReader(Endless(1 << 40)), "", end=1, max_record_bytes=1)
    records.close()  # type: ignore[attr-defined]
