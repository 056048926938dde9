import bz2
import gzip
import io
from collections.abc import Callable
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from curation.sources.files import read_binary_file, read_html_file, read_text_file
from curation.sources.record import RawRecord

LIMIT = 1 << 20


def text(data: bytes, compression: str = "", **options: Any) -> list[RawRecord]:
    options.setdefault("max_record_bytes", LIMIT)
    records = list(read_text_file(io.BytesIO(data), compression, **options))
    positions = [record.position for record in records]
    assert positions == sorted(set(positions)), "positions must ascend"
    return records


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


@pytest.mark.parametrize(("pack", "compression"), [(bytes, ""), (gzip.compress, "gzip"), (zstd, "zstd")])
@pytest.mark.parametrize("data", [b"a book", b"x" * 300_000])
def test_one_document_a_file(pack: Callable[[bytes], bytes], compression: str, data: bytes) -> None:
    (record,) = text(pack(data), compression)
    assert (record.position, record.body, record.size, record.media) == ((0, 0), data, len(data), "text")
    (record,) = text(pack(data), compression, language="python")
    assert (record.media, record.language) == ("code", "python")
    (record,) = read_html_file(io.BytesIO(pack(data)), compression, max_record_bytes=LIMIT)
    assert (record.media, record.language) == ("html", None)


@pytest.mark.parametrize(("data", "compression"), [(b"", ""), (gzip.compress(b""), "gzip"), (zstd(b""), "zstd")])
def test_empty(data: bytes, compression: str) -> None:
    (record,) = text(data, compression)
    assert (record.rejected, record.body) == ("empty", None)


@pytest.mark.parametrize(("pack", "compression"), [(bytes, ""), (gzip.compress, "gzip"), (zstd, "zstd")])
def test_oversized(pack: Callable[[bytes], bytes], compression: str) -> None:
    assert text(pack(b"x" * LIMIT), compression)[0].body
    (record,) = text(pack(b"x" * (LIMIT + 1)), compression)
    assert (record.quarantined, record.body, record.damage) == ("oversized", None, False)
    assert record.size > LIMIT


def test_a_gzip_bomb_is_left_early() -> None:
    bomb = gzip.compress(bytes(LIMIT)) * 10_000
    (record,) = text(bomb, "gzip")
    assert record.quarantined == "oversized"


def test_members_of_one_file_are_one_document() -> None:
    (record,) = text(gzip.compress(b"one ") + gzip.compress(b"two"), "gzip")
    assert record.body == b"one two"


def test_what_can_be_read_before_and_after_damage_is_kept() -> None:
    parts = [gzip.compress(b"before " * 50), gzip.compress(b"middle " * 50), gzip.compress(b"after " * 50)]
    broken = parts[1][:-8] + bytes(8)
    first, damage, last = text(parts[0] + broken + parts[2], "gzip")
    assert first.body == b"before " * 50 + b"middle " * 50
    assert (damage.quarantined, damage.damage) == ("checksum", True)
    assert damage.position == (len(parts[0]), 1)
    assert (last.body, last.position) == (b"after " * 50, (len(parts[0] + broken), 0))


def test_a_truncated_file_keeps_its_beginning() -> None:
    import random

    data = random.Random(3).randbytes(10_000).hex().encode()
    packed = gzip.compress(data)
    document, damage = text(packed[: len(packed) // 2], "gzip")
    assert document.body
    assert data.startswith(document.body)
    assert len(document.body) > len(data) // 3
    assert (damage.quarantined, damage.position) == ("truncated", (0, 1))


def test_nothing_readable() -> None:
    (damage,) = text(b"\x1f\x8b\x08\0" + b"\xff" * 30, "gzip")
    assert damage.damage


@given(st.binary(max_size=300), st.sampled_from(["", "gzip", "zstd"]))
def test_any_bytes_are_survived(data: bytes, compression: str) -> None:
    assert text(data, compression)


@pytest.mark.parametrize(
    ("data", "compression", "detail"),
    [
        (b"%PDF-1.4", "", "PDF"),
        (b"PK\x03\x04" + bytes(40), "", "ZIP archive: unpack it first"),
        (bz2.compress(b"words"), "", "bzip2 archive: unpack it first"),
        (gzip.compress(bytes(257) + b"ustar" + bytes(250)), "gzip", "tar archive in gzip: unpack it first"),
        (gzip.compress(gzip.compress(b"x")), "gzip", "gzip file in gzip: unpack it first"),
        (bytes(100), "", "unknown binary data"),
    ],
)
def test_binary_files_are_rejected_by_name(data: bytes, compression: str, detail: str) -> None:
    (record,) = read_binary_file(io.BytesIO(data), compression)
    assert (record.rejected, record.detail) == ("not_html", detail)
