"""Which field of a JSON object, or column of a table, means what. Shared by JSONL and Parquet."""

import math
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from curation.charset import clean_text
from curation.sources.record import RawRecord
from curation.sources.warc import parse_date

TEXT_FIELDS = ("text", "content", "raw_content", "body", "document")
"""The first that holds text is the document (Dolma, C4 and FineWeb; OSCAR; RedPajama; others)."""
HTML_FIELD = "html"
"""Taken where none of those holds text."""
URL_FIELDS = (
    *("url", "uri", "URL", "target_uri", "source_url"),
    *("warc-target-uri", "WARC-Target-URI", "warc_target_uri"),
)
CRAWLED_FIELDS = (
    *(
        "crawled_at",
        "timestamp",
        "crawl_date",
        "crawl_timestamp",
        "date_download",
        "fetched_at",
        "fetch_time",
    ),
    *("warc-date", "WARC-Date", "warc_date"),
)
PUBLISHED_FIELDS = (*("date_published", "published_at", "publish_date", "publication_date", "published", "pubdate"),)
DATE_FIELD = "date"
"""A day is when the text was published; a time of day too says when it was crawled."""
TITLE_FIELDS = ("title",)
AUTHOR_FIELDS = ("author", "authors")
NESTED_FIELDS = ("metadata", "meta", "warc_headers")
"""Objects in which all but the text is looked up too (datatrove, RedPajama, OSCAR)."""
FACT_FIELDS = (*URL_FIELDS, *CRAWLED_FIELDS, *PUBLISHED_FIELDS, DATE_FIELD, *TITLE_FIELDS, *AUTHOR_FIELDS)

MAX_URL_CHARACTERS = 8192
"""A longer one is no address of a document, and is left out."""
MAX_NAME_CHARACTERS = 1024
"""Where titles and names of authors are cut."""


def text_fields(text_field: str) -> tuple[str, ...]:
    """The fields that may hold the document, in order of preference."""
    return (text_field,) if text_field else (*TEXT_FIELDS, HTML_FIELD)


def take_fields(record: RawRecord, fields: Mapping[str, Any], text_field: str) -> None:
    """Fill a record from an object, or quarantine it as ``no_text`` or reject it as ``empty``."""
    take_text(record, fields, text_field)
    if not record.quarantined:
        take_facts(record, fields)


def take_text(record: RawRecord, fields: Mapping[str, Any], text_field: str) -> None:
    """Set the text; ``no_text`` where no field holds a string, ``empty`` where none holds a character."""
    found = False
    for name in text_fields(text_field):
        text = fields.get(name)
        if isinstance(text, str):
            if text:
                record.text = text
                if name == HTML_FIELD and not text_field:
                    record.media = "html"
                return
            found = True
    if found:
        record.rejected = "empty"
        return
    record.quarantined = "no_text"
    if text_field and text_field in fields:
        record.detail = f"the field {text_field!r} holds no string"
    else:
        record.detail = f"no field {' or '.join(map(repr, text_fields(text_field)))} holds a string"


def take_facts(record: RawRecord, fields: Mapping[str, Any]) -> None:
    """Set URL, times, title and author where the fields, or the objects nested in them, state them."""
    places = [fields]
    for name in NESTED_FIELDS:
        nested = fields.get(name)
        if isinstance(nested, dict):
            places.append(nested)
    for place in places:
        if record.url is None and (url := _first_string(place, URL_FIELDS)) is not None:
            record.url = url if len(url) <= MAX_URL_CHARACTERS else None
        if record.crawled_at is None:
            record.crawled_at = parse_time(_first(place, CRAWLED_FIELDS))
        if record.date is None and (day := parse_time(_first(place, PUBLISHED_FIELDS))) is not None:
            record.date = f"{day:%Y-%m-%d}"
        if (value := place.get(DATE_FIELD)) is not None:
            _take_date(record, value)
        if record.title is None and (title := _first_string(place, TITLE_FIELDS)) is not None:
            record.title = title[:MAX_NAME_CHARACTERS]
        if record.author is None and (author := _first_string(place, AUTHOR_FIELDS)) is not None:
            record.author = author[:MAX_NAME_CHARACTERS]


def _take_date(record: RawRecord, value: Any) -> None:
    time = parse_time(value)
    if time is None:
        return
    a_day = (isinstance(value, str) and len(value.strip()) <= 10 and not value.strip().isdigit()) or (
        isinstance(value, date) and not isinstance(value, datetime)
    )
    if record.crawled_at is None and not a_day:
        record.crawled_at = time
    elif record.date is None:
        record.date = f"{time.year:04d}-{time.month:02d}-{time.day:02d}"


def _first(fields: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    for name in names:
        value = fields.get(name)
        if value is not None:
            return value
    return None


def _first_string(fields: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    for name in names:
        value = fields.get(name)
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            value = ", ".join(value)
        if isinstance(value, str) and (value := clean_text(value).strip()):
            return value
    return None


def parse_time(value: Any) -> datetime | None:
    """A time in UTC from ISO 8601, the 14 digits of archives, or Unix time; None where it is none of these.

    Numbers are seconds, milli-, micro- or nanoseconds since 1970, whichever gives a year before 5138.
    Times without a zone are taken to be UTC.
    """
    try:
        if isinstance(value, str):
            return _parse_text(value.strip())
        if isinstance(value, datetime):
            return _in_utc(value)
        if isinstance(value, date):
            return datetime(value.year, value.month, value.day, tzinfo=UTC)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return None
        for _ in range(3):
            if abs(value) >= 1e11:
                value /= 1000
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _parse_text(text: str) -> datetime | None:
    if text.isdecimal() and len(text) in (10, 13):
        return parse_time(int(text))
    # Less than a day is no date to go by; more than this is no date at all.
    return parse_date(text) if 8 <= len(text) <= 40 else None


def _in_utc(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
