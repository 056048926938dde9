"""Readers: raw files, or the shards of a parent run, as documents in canonical order."""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from datatrove.data import Document, DocumentsPipeline
from datatrove.pipeline.base import PipelineStep

from curation.config import CurationConfig
from curation.journal import Journal
from curation.plan import RunFolder
from curation.steps.common import FINAL_STEPS, Position, committed, document_id, quarantine, reject
from curation.toxicity.prepared import parse_prepared, set_aside


@dataclass(slots=True)
class Poison:
    """What a task must not touch again, since it ended worker processes."""

    records: dict[Position, str] = field(default_factory=dict)
    """Record -> reason to quarantine it with."""
    barriers: dict[int, tuple[int, int, str]] = field(default_factory=dict)
    """File index -> (offset, index, reason): reading on behind this record is fatal. Index -1: no record
    of the span can be read, from this offset on."""


def domain_of(url: str | None) -> str | None:
    """Host name of a URL, lower case, without port; None where there is none."""
    if not url:
        return None
    try:
        return urlsplit(url).hostname or None
    except ValueError:
        return None


class ReadRecords(PipelineStep):
    """Reads the task's spans, continuing behind what is committed, and counts every record."""

    type = "reader"
    name = "records"

    def __init__(self, folder: RunFolder, config: CurationConfig, journal: Journal, poison: Poison) -> None:
        super().__init__()
        self.folder, self.config, self.journal, self.poison = folder, config, journal, poison
        self.counts: dict[str, int] = {}
        """raw_file_id -> records read since the last commit: the reader's own account."""

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """Yield a document for each raw record of task ``rank``."""
        from curation.sources.content import resolve
        from curation.sources.read import read_raw

        task = self.folder.load_task(rank)
        done = committed(self.folder, rank)
        after: Position | None = tuple(done[-1]["after"]) if done else None
        left = None if task.limit is None else task.limit - sum(sum(m["read"].values()) for m in done)
        bytes_before = 0
        for span in task.spans:
            bytes_here, bytes_before = bytes_before, bytes_before + span.weight
            if after is not None and after[0] > span.file:
                continue
            start = span.start
            if after is not None and after[0] == span.file:
                if span.end is not None and after[1] >= span.end:
                    continue
                start = max(start, after[1])
            file = task.files[span.file]
            self.journal.opened(span.file, start)
            for record in self._guarded(read_raw, file, span.file, start, span.end):
                position: Position = (span.file, *record.position)
                if after is not None and position <= after:
                    continue
                if left is not None and left <= 0:
                    return
                self.journal.working(*position, bytes_here + min(span.weight, max(0, record.offset - span.start)))
                if position in self.poison.records:
                    record.quarantined, record.rejected = self.poison.records[position], ""
                    record.body = record.text = None
                    record.detail = "skipped: this record ended its worker process before"
                else:
                    resolve(record)
                self.counts[file["raw_file_id"]] = self.counts.get(file["raw_file_id"], 0) + 1
                if left is not None:
                    left -= 1
                yield to_document(record, file["raw_file_id"], position)
                self.journal.finished()

    def _guarded(
        self, read: Callable[..., Any], file: dict[str, Any], number: int, start: int, end: int | None
    ) -> Iterator[Any]:
        """The records of a span, up to a place where reading itself has killed the worker twice."""
        from curation.sources.discover import IdentifiedFile
        from curation.sources.record import RawRecord

        offset, index, reason = self.poison.barriers.get(number, (-1, -1, ""))
        fenced = bool(reason) and offset >= start and (end is None or offset < end)
        if not (fenced and index < 0):
            for record in read(IdentifiedFile(**file), start=start, end=end, config=self.config.read):
                yield record
                if fenced and record.position >= (offset, index):
                    break
        if fenced:
            detail = f"reading on behind offset {offset} ended the worker process"
            yield RawRecord(offset, max(index, 0) + 2**31, quarantined=reason, detail=detail, damage=True)


def to_document(record: Any, raw_file_id: str, position: Position) -> Document:
    """A raw record as a document with the columns that the source knows."""
    document = Document(
        text=record.text or "",
        id=document_id(raw_file_id, record.offset, record.index),
        metadata={
            "raw_file_id": raw_file_id,
            "record_offset": record.offset,
            "record_index": record.index,
            "url": record.url,
            "domain": domain_of(record.url),
            "crawled_at": record.crawled_at,
            "http_status": record.http_status,
            "content_type": record.content_type,
            "charset": record.charset,
            "media": record.media or None,
            "title": record.title,
            "author": record.author,
            "date": record.date,
            "_position": position,
            "_damage": record.damage,
            "_code": record.language,
        },
    )
    if record.quarantined:
        quarantine(document, record.quarantined, record.detail)
    elif record.rejected:
        document.text = ""
        reject(document, "read", record.rejected)
    return document


class ReadShards(PipelineStep):
    """Reads documents of a parent run, kept and rejected, in canonical order, decisions taken back.

    What the raw input decided (``FINAL_STEPS``) stays as it is.
    """

    type = "reader"
    name = "shards"

    def __init__(self, folder: RunFolder, journal: Journal) -> None:
        super().__init__()
        self.folder, self.journal = folder, journal
        self.counts: dict[str, int] = {}
        self.toxicity = (parse_prepared(folder.load("parent_prepared")), parse_prepared(folder.load("prepared")))
        """What scores of the parent depended on, and what those of this run do."""

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """Yield the documents of task ``rank`` behind what is committed."""
        task = self.folder.load_task(rank)
        numbers = {raw_file_id: number for number, raw_file_id in enumerate(task.raw_file_ids)}
        done = committed(self.folder, rank)
        after: Position | None = tuple(done[-1]["after"]) if done else None
        streams = [self._rows(path, numbers) for path in task.shards]
        for position, row in heapq.merge(*streams, key=lambda pair: pair[0]):
            if after is not None and position <= after:
                continue
            self.journal.working(*position, 0)
            self.counts[row["raw_file_id"]] = self.counts.get(row["raw_file_id"], 0) + 1
            text = row.pop("text") or ""
            step, reason = row.pop("step", None), row.pop("reason", None)
            row |= {"_position": position, "_damage": False, "_code": None}
            row |= {"duplicate_of": None, "jaccard": None, "cluster_size": None}
            set_aside(row, *self.toxicity)
            document = Document(text=text, id=row.pop("id"), metadata=row)
            if step in FINAL_STEPS:
                reject(document, step, reason)
            yield document
            self.journal.finished()

    def _rows(self, path: str, numbers: dict[str, int]) -> Iterator[tuple[Position, dict[str, Any]]]:
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.folder.workspace.open_shard(path), pre_buffer=False) as shard:
            column = shard.schema_arrow.get_field_index("raw_file_id")
            low, high = min(numbers), max(numbers)
            groups = []
            for group in range(shard.num_row_groups):
                # The column's statistics tell which row groups hold none of the task's raw files.
                statistics = shard.metadata.row_group(group).column(column).statistics
                if statistics is None or (statistics.max >= low and statistics.min <= high):
                    groups.append(group)
            for batch in shard.iter_batches(batch_size=64, row_groups=groups):
                for row in batch.to_pylist(maps_as_pydicts="strict"):
                    if (number := numbers.get(row["raw_file_id"])) is not None:
                        yield (number, row["record_offset"], row["record_index"]), row
