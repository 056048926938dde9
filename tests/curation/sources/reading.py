"""Reading of archives in tests, and what is always true of a record."""

from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

from curation.sources.record import RawRecord
from curation.sources.warc import read_warc

MAX = 10 << 20
HTML = b"<!DOCTYPE html><html><body>Text</body></html>"

Reader = Callable[..., Iterator[RawRecord]]


def read(data: bytes, compression: str = "", reader: Reader = read_warc, **options: Any) -> list[RawRecord]:
    """All records of an archive held in memory."""
    return list(reader(BytesIO(data), compression, **{"max_record_bytes": MAX, **options}))


def outcome(record: RawRecord) -> str:
    """The one thing that became of a record; asserts that it is one."""
    states = [bool(record.rejected), bool(record.quarantined), record.body is not None]
    assert sum(states) == 1, record
    assert (record.media != "") == (record.body is not None)
    assert record.damage <= bool(record.quarantined)
    return record.rejected or record.quarantined or record.media


def one(data: bytes, **options: Any) -> RawRecord:
    """The only record of an archive."""
    (record,) = read(data, **options)
    outcome(record)
    return record


def outcomes(records: list[RawRecord]) -> list[str]:
    """The outcome of each record."""
    return [outcome(record) for record in records]


def content(record: RawRecord) -> tuple[object, ...]:
    """A record without its place."""
    return (record.url, record.body, record.rejected, record.quarantined, record.media, record.crawled_at)
