"""What a source reader yields: one ``RawRecord`` for each record of a raw file, readable or not."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Media = Literal["", "html", "text", "code"]


@dataclass(slots=True)
class RawRecord:
    """One record of a raw file. Every ``RawRecord`` that a reader yields counts as one raw record.

    Exactly one of three things is true: it carries content (``body`` or ``text``), or it is
    ``rejected`` (read well, but not a document: a request, a redirect, an image), or it is
    ``quarantined`` (it could not be read). A damaged stretch of a file counts as one record.
    """

    offset: int
    """Where it lies: the byte offset of the gzip member or zstd frame that holds it, of the
    record itself in an uncompressed file, the row number in Parquet."""
    index: int = 0
    """Its ordinal inside the compressed member (0 for one record a member, and uncompressed)."""
    size: int = 0
    """Bytes of its payload as stored in the (decompressed) file; 0 where unknown."""
    body: bytes | None = None
    """The payload, transfer and content encodings undone, charset not yet."""
    text: str | None = None
    """The payload where the format already holds text (JSON, Parquet)."""
    media: Media = ""
    """What the content is; set by readers that know it, else by ``content.resolve``."""
    charset: str | None = None
    """The declared charset (HTTP header, WET, ...); after ``content.resolve`` the one used."""
    language: str | None = None
    """Programming language of source code (``python``), else None."""
    url: str | None = None
    crawled_at: datetime | None = None
    """UTC, with time zone."""
    http_status: int | None = None
    content_type: str | None = None
    """Media type as declared, lower case, without parameters."""
    title: str | None = None
    author: str | None = None
    date: str | None = None
    """Publication date as ``YYYY-MM-DD`` where the source states one."""
    rejected: str = ""
    quarantined: str = ""
    detail: str = ""
    """For people: what was wrong, never text of the document."""
    damage: bool = False
    """True when the file could not be read whole because of this (the run then exits 1)."""

    @property
    def position(self) -> tuple[int, int]:
        """Order inside the file: (offset, index)."""
        return (self.offset, self.index)


REJECTED_AT_READ = {
    "record_type": "not a response or a document (request, metadata, warcinfo, revisit, ...)",
    "redirect": "HTTP status 3xx",
    "http_error": "HTTP status 4xx, 5xx or none that makes sense",
    "not_html": "neither HTML nor text (image, PDF, script, style sheet, archive, ...)",
    "empty": "no content, or nothing but white space",
    "duplicate_file": "the file is a byte-identical copy of another input file",
}

QUARANTINED = {
    "damaged": "compressed data or record structure broken; read on at the next good record",
    "truncated": "the file ends inside a record",
    "checksum": "the compressed member's checksum does not match its data",
    "oversized": "larger than read.max_record_bytes (after decompression)",
    "undecodable": "no charset gives readable text, or a content encoding is broken",
    "bad_json": "a line is not JSON",
    "not_object": "a JSON line is not an object",
    "no_text": "no text field found, or it does not hold a string",
    "unreadable": "the file cannot be opened or read (permission, vanished, I/O error)",
    "too_deep": "HTML nested deeper than extract.max_depth",
    "too_large": "HTML larger than extract.max_html_bytes, or with more elements than extract.max_nodes",
    "extract_error": "the extractor failed on the page",
    "cpu_limit": "extraction took more CPU time than extract.cpu_limit_s",
    "killed_worker": "the record killed its worker process twice",
}
