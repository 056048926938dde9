"""The one door to raw files: any file that ``discover`` has identified, as a stream of records."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol

from curation.sources.files import read_binary_file, read_html_file, read_text_file
from curation.sources.jsonl import read_jsonl
from curation.sources.location import local_path, open_uri
from curation.sources.parquet import read_parquet, row_groups
from curation.sources.record import RawRecord
from curation.sources.sniff import Compression, FormatName
from curation.sources.warc import read_arc, read_warc


@dataclass(frozen=True)
class ReadConfig:
    """Reading raw files."""

    max_record_bytes: int = 32 * 2**20
    """Larger records (decompressed) are quarantined. A record is held in memory several times over, as
    bytes, as text, as a tree: 32 MiB keeps a worker below 1 GB. Of the pages of a crawl, which crawlers cut
    at 1 to 5 MB, this loses none; the largest books in plain text have 10 MB."""
    text_field: str = ""
    """Field of JSONL, or column of Parquet, that holds the text. Empty: the first of ``text``, ``content``,
    ``raw_content``, ``body``, ``document`` and ``html`` that holds a string."""
    max_bad_share: float = 0.05
    """Share of quarantined records (0 to 1) above which a run exits with 1."""
    storage_options: dict[str, Any] = field(default_factory=dict)
    """Options for fsspec, for all inputs that are URLs: ``endpoint_url``, ``anon`` and so on. They are
    recorded with the run: leave secrets to the environment or the configuration files of the storage."""


class RawFile(Protocol):
    """What reading needs to know of a file; ``discover.IdentifiedFile`` has it."""

    @property
    def uri(self) -> str: ...
    @property
    def bytes(self) -> int: ...
    @property
    def format(self) -> FormatName: ...
    @property
    def compression(self) -> Compression: ...
    @property
    def language(self) -> str | None: ...
    @property
    def error(self) -> str: ...


def read_raw(file: RawFile, *, start: int = 0, end: int | None = None, config: ReadConfig) -> Iterator[RawRecord]:
    """The records of a file whose offset is in [start, end): bytes, or rows in Parquet.

    Ranges that meet give each record once, and positions ascend. A file that cannot be opened or read on
    is one more record, quarantined as ``unreadable``.
    """
    last: tuple[int, int] | None = None
    try:
        if file.error:
            raise OSError(file.error)
        with open_uri(file.uri, config.storage_options) as opened:
            _check_unchanged(opened, file)
            for record in _records(opened, file, start, end, config):
                last = record.position
                yield record
    except OSError as error:
        offset, index = (start, 0) if last is None else (last[0], last[1] + 1)
        detail = error.strerror or str(error) or type(error).__name__
        if not (file.error and start > 0):  # once for each file, not for each of its ranges
            yield RawRecord(offset, index, quarantined="unreadable", detail=detail, damage=True)


def spans(file: RawFile, target_bytes: int, config: ReadConfig | None = None) -> list[tuple[int, int | None]]:
    """How to cut a file into ranges of about ``target_bytes`` for parallel tasks: [start, end) each, the
    last one open. Depends on nothing but the file and the target.

    A compressed JSONL stays whole, as lines may span its members; so does what is one document.
    """
    if file.error or file.bytes <= target_bytes:
        return [(0, None)]
    cuts: list[int] = []
    if file.format in ("warc", "arc") or (file.format == "jsonl" and not file.compression):
        cuts = list(range(target_bytes, file.bytes, target_bytes))
    elif file.format == "parquet":
        cuts = _row_cuts(file, target_bytes, config or ReadConfig())
    starts = [0, *cuts]
    return list(zip(starts, [*cuts, None], strict=True))


def _row_cuts(file: RawFile, target_bytes: int, config: ReadConfig) -> list[int]:
    """Rows at which a Parquet file is cut: between row groups."""
    try:
        with open_uri(file.uri, config.storage_options) as opened:
            groups = row_groups(opened)
    except OSError:
        return []  # reading it will tell
    cuts, row, size = [], 0, 0.0
    ratio = file.bytes / max(1, sum(group_bytes for _, group_bytes in groups))
    for rows, group_bytes in groups:
        if size and size + group_bytes * ratio > target_bytes:
            cuts.append(row)
            size = 0.0
        row += rows
        size += group_bytes * ratio
    return sorted(set(cuts) - {0})


def _records(opened: BinaryIO, file: RawFile, start: int, end: int | None, config: ReadConfig) -> Iterator[RawRecord]:
    limit, packed = config.max_record_bytes, file.compression
    if file.format == "warc":
        return read_warc(opened, packed, start=start, end=end, max_record_bytes=limit)
    if file.format == "arc":
        return read_arc(opened, packed, start=start, end=end, max_record_bytes=limit)
    if file.format == "jsonl":
        return read_jsonl(opened, packed, start=start, end=end, max_record_bytes=limit, text_field=config.text_field)
    if file.format == "parquet":
        remote = local_path(file.uri) is None
        return read_parquet(
            opened,
            start=start,
            end=end,
            max_record_bytes=limit,
            text_field=config.text_field,
            trust_footer=remote,
        )
    if file.format == "binary":
        records = read_binary_file(opened, packed)
    elif file.format == "html":
        records = read_html_file(opened, packed, max_record_bytes=limit)
    else:
        records = read_text_file(opened, packed, max_record_bytes=limit, language=file.language)
    return (record for record in records if start <= record.offset and (end is None or record.offset < end))


def _check_unchanged(opened: BinaryIO, file: RawFile) -> None:
    """Raise OSError if a local file is not as long as it was when it was identified."""
    if local_path(file.uri) is not None and (size := os.fstat(opened.fileno()).st_size) != file.bytes:
        raise OSError(f"the file has {size:,} bytes now; it had {file.bytes:,} when the run was planned")
