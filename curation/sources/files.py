"""Files that are one document each: HTML, plain text, source code; and those that are none."""

from collections.abc import Iterator
from typing import BinaryIO

from curation.sources.members import CHUNK_BYTES, MemberError, open_members
from curation.sources.record import Media, RawRecord
from curation.sources.sniff import binary_kind


def read_html_file(file: BinaryIO, compression: str, *, max_record_bytes: int) -> Iterator[RawRecord]:
    """The page in an HTML file; see ``read_text_file``."""
    return _read_document(file, compression, "html", None, max_record_bytes)


def read_text_file(
    file: BinaryIO, compression: str, *, max_record_bytes: int, language: str | None = None
) -> Iterator[RawRecord]:
    """The document in a file of text or, with a programming ``language``, of source code.

    Of a damaged compressed file each stretch that can be read is a document, at the offset of the member
    in which it begins; the damage is a quarantined record, with index 1, at the offset of its member.

    Args:
        file: seekable.
        compression: ``gzip``, ``zstd`` or ``""``.
        max_record_bytes: a larger document is quarantined.

    Raises:
        OSError: the file cannot be read.
    """
    return _read_document(file, compression, "code" if language else "text", language, max_record_bytes)


def read_binary_file(file: BinaryIO, compression: str) -> Iterator[RawRecord]:
    """One rejected record that says what the file seems to be."""
    head = b""
    for member in open_members(file, compression):
        head = member.peek(1024)
        break
    kind = binary_kind(head) or "binary data"
    detail = f"{kind} in {compression}" if compression else kind
    if "archive" in kind or kind in _WRAPPERS:
        detail += ": unpack it first"
    yield RawRecord(0, rejected="not_html", detail=detail)


_WRAPPERS = {"gzip file", "zstd file", "lz4 file"}


def _read_document(
    file: BinaryIO, compression: str, media: Media, language: str | None, limit: int
) -> Iterator[RawRecord]:
    """See ``read_text_file``."""
    begin, pieces, size, any_record = 0, list[bytes](), 0, False

    def document() -> RawRecord:
        record = RawRecord(begin, size=size, media=media, language=language)
        if size > limit:
            more = "more than " if compression else ""
            record.quarantined = "oversized"
            record.detail = f"a document of {more}{size:,} bytes; read.max_record_bytes is {limit:,}"
        else:
            record.body = b"".join(pieces)
        return record

    if not compression:
        total = file.seek(0, 2)
        if total > limit:
            size = total
            yield document()
            return
    for member in open_members(file, compression):
        if not size:
            begin = member.offset
        try:
            while chunk := member.read(CHUNK_BYTES):
                size += len(chunk)
                pieces.append(chunk)
                if size > limit:  # The rest belongs to the same document.
                    yield document()
                    return
        except MemberError as error:
            if size:
                yield document()
            yield RawRecord(member.offset, 1, quarantined=error.kind, detail=error.detail, damage=True, media=media)
            any_record, pieces, size = True, [], 0
    if size:
        yield document()
    elif not any_record:
        yield RawRecord(0, media=media, language=language, rejected="empty")
