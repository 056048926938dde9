"""From bytes to text: the last step of reading a record, and the one where hostile bytes meet decoders."""

import re

from curation.charset import Undecodable, clean_text, decode
from curation.sources.record import RawRecord
from curation.sources.sniff import looks_html

_SNIFFED = 4096
"""How many bytes, or characters, at the beginning tell HTML from text."""
_BLANK = re.compile(r"[\s\ufeff\u200b]*")
"""White space, and characters that show nothing: byte order marks, zero-width spaces."""


def is_blank(text: str) -> bool:
    """Whether a text shows nothing: white space, byte order marks, zero-width spaces."""
    return _BLANK.fullmatch(text) is not None


def resolve(record: RawRecord) -> RawRecord:
    """Turn the ``body`` of a record into ``text``, in place, and return the record.

    ``media`` is told from the content where the reader has not set it, ``charset`` becomes the one used.
    What is no text in any charset is quarantined as ``undecodable``; nothing but white space is rejected
    as ``empty``. Records that are rejected or quarantined already stay as they are.
    """
    if record.rejected or record.quarantined:
        record.body = record.text = None
        return record
    if record.body is not None:
        body, record.body = record.body, None
        if not record.media:
            record.media = "html" if looks_html(body[:_SNIFFED]) else "text"
        try:
            record.text, record.charset = decode(body, record.charset, html=record.media == "html")
        except Undecodable as error:
            record.quarantined, record.detail = "undecodable", str(error)
            return record
    elif record.text is not None:
        record.text = clean_text(record.text)
        record.charset = record.charset or "utf-8"
        if not record.media:
            head = record.text[:_SNIFFED]
            record.media = "html" if "<" in head and looks_html(head.encode()) else "text"
    if record.text is None or is_blank(record.text):
        record.text, record.rejected = None, "empty"
    return record
