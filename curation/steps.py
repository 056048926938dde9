"""The datatrove steps of our own. Every raw record becomes a ``Document`` and flows to the writer, also
when it is rejected or quarantined: each step passes on what an earlier one has decided, the writer counts.

``document.metadata`` holds the columns of ``curation.shards`` plus, where decided, ``step`` and ``reason``
(rejected) or ``quarantined`` and ``detail``.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
from datatrove.data import Document, DocumentsPipeline
from datatrove.pipeline.base import PipelineStep

from curation.config import CurationConfig
from curation.filters import build_filters
from curation.journal import Journal
from curation.plan import RunFolder
from curation.records import write_durably
from curation.shards import PartWriter
from curation.tombstones import Tombstones

Position = tuple[int, int, int]
"""(index of the file in the task, record offset, record index)."""

COMMIT_SECONDS = 1.0
COMMIT_SHARE = 0.05
"""A part is committed after a second, later after 5 % of the task's time: that is what a kill can cost."""
COMMIT_WEIGHT = 48 * 2**20
"""... and at this many bytes of text, which bounds a worker's memory."""


class StopRequested(BaseException):
    """The supervisor asked the worker to stop; everything finished is committed."""


@dataclass(slots=True)
class Poison:
    """What a task must not touch again, since it ended worker processes."""

    records: dict[Position, str] = field(default_factory=dict)
    """Record -> reason to quarantine it with."""
    barriers: dict[int, tuple[int, int, str]] = field(default_factory=dict)
    """File index -> (offset, index, reason): reading on behind this record is fatal. Index -1: no record
    of the span can be read, from this offset on."""


def document_id(raw_file_id: str, offset: int, index: int) -> str:
    """The id of a document: 128 bits of BLAKE2b over where it comes from, hexadecimal."""
    return hashlib.blake2b(f"{raw_file_id}:{offset}:{index}".encode(), digest_size=16).hexdigest()


def decided(document: Document) -> bool:
    """Whether an earlier step rejected or quarantined the document."""
    return "step" in document.metadata or "quarantined" in document.metadata


def reject(document: Document, step: str, reason: str) -> None:
    """Reject a document; the first rejection stays."""
    document.metadata.setdefault("step", step)
    document.metadata.setdefault("reason", reason)


def quarantine(document: Document, reason: str, detail: str) -> None:
    """Set a document aside as not processable; its text is dropped."""
    document.text = ""
    document.metadata["quarantined"] = reason
    document.metadata["detail"] = detail


def domain_of(url: str | None) -> str | None:
    """Host name of a URL, lower case, without port; None where there is none."""
    if not url:
        return None
    try:
        return urlsplit(url).hostname or None
    except ValueError:
        return None


def committed(folder: RunFolder, rank: int) -> list[dict[str, Any]]:
    """Manifests of the parts that a task has committed, in order."""
    return [orjson.loads(path.read_bytes()) for path in sorted(folder.parts(rank).glob("*.json"))]


class ReadRecords(PipelineStep):
    """Reads the task's spans, continuing behind what is committed, and counts every record."""

    type = "reader"
    name = "records"

    def __init__(
        self, folder: RunFolder, config: CurationConfig, journal: Journal, poison: Poison
    ) -> None:
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
                self.journal.working(*position, bytes_here)
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

    What the raw input decided (step ``read``, ``extract`` or ``takedown``) stays as it is.
    """

    type = "reader"
    name = "shards"

    def __init__(self, folder: RunFolder, journal: Journal) -> None:
        super().__init__()
        self.folder, self.journal = folder, journal
        self.counts: dict[str, int] = {}

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """Yield the documents of task ``rank`` behind what is committed."""
        import heapq

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
            document = Document(text=text, id=row.pop("id"), metadata=row)
            if step in FINAL_STEPS:
                reject(document, step, reason)
            yield document
            self.journal.finished()

    def _rows(self, path: str, numbers: dict[str, int]) -> Iterator[tuple[Position, dict[str, Any]]]:
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.folder.workspace.root / path, pre_buffer=False) as shard:
            column = shard.schema_arrow.get_field_index("raw_file_id")
            low, high = min(numbers), max(numbers)
            groups = []
            for group in range(shard.num_row_groups):
                # The column's statistics tell which row groups hold none of the task's raw files.
                statistics = shard.metadata.row_group(group).column(column).statistics
                if statistics is None or (statistics.max >= low and statistics.min <= high):
                    groups.append(group)
            for batch in shard.iter_batches(batch_size=64, row_groups=groups):
                for row in batch.to_pylist():
                    if (number := numbers.get(row["raw_file_id"])) is not None:
                        yield (number, row["record_offset"], row["record_index"]), row


FINAL_STEPS = frozenset({"read", "extract", "takedown"})
"""Steps whose rejections hold no text to decide on anew."""


class Extract(PipelineStep):
    """HTML -> text; what cannot be extracted is quarantined with its reason."""

    type = "extractor"
    name = "extract"

    def __init__(self, config: CurationConfig) -> None:
        super().__init__()
        self.config = config.extract

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """Replace the HTML of each page by its text; text and code pass."""
        from curation.extract import CpuLimit, TooDeep, TooLarge, extract

        for document in data or ():
            meta = document.metadata
            if not decided(document) and meta["media"] == "html":
                try:
                    found = extract(
                        document.text, url=meta["url"], config=self.config, crawled_at=meta["crawled_at"]
                    )
                except TooLarge as error:
                    quarantine(document, "too_large", str(error))
                except TooDeep as error:
                    quarantine(document, "too_deep", str(error))
                except CpuLimit as error:
                    quarantine(document, "cpu_limit", str(error))
                except (OSError, MemoryError):
                    raise  # the machine's trouble, not the page's
                except Exception as error:
                    # Any page may hold what a parser's authors never saw; it costs that page, and is counted.
                    quarantine(document, "extract_error", f"{type(error).__name__}")
                else:
                    document.text = found.text
                    for name in ("title", "author", "date"):
                        meta[name] = getattr(found, name) or meta[name]
            if not decided(document) and not document.text.strip():
                reject(document, "extract", "no_text")
            yield document


class IdentifyLanguage(PipelineStep):
    """Writes ``language`` and ``language_score``; deciding is ``Decide``'s."""

    type = "annotator"
    name = "language"

    def __init__(self, config: CurationConfig) -> None:
        super().__init__()
        self.config = config.language

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """Annotate each document that has text; source code carries its programming language."""
        from curation.language import Identifier

        identifier = Identifier(self.config)
        for document in data or ():
            meta = document.metadata
            if decided(document):
                meta["language"], meta["language_score"] = "und", 0.0
            elif meta["_code"]:
                meta["language"], meta["language_score"] = meta["_code"], 1.0
            else:
                meta["language"], meta["language_score"] = identifier.identify(document.text)
            yield document


class TakeDown(PipelineStep):
    """Rejects what a tombstone hides, and drops its text and title at once."""

    type = "filter"
    name = "takedown"

    def __init__(self, tombstones: Tombstones) -> None:
        super().__init__()
        self.tombstones = tombstones

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """Test each document against the rules as they stood when the run was planned."""
        for document in data or ():
            meta = document.metadata
            if "quarantined" not in meta and self.tombstones.hides(document.id, meta["url"], meta["domain"]):
                document.text = ""
                meta.pop("step", None)
                meta.pop("reason", None)
                meta |= {"title": None, "author": None, "language": "und", "language_score": 0.0}
                reject(document, "takedown", "tombstone")
            yield document


class ScoreAndDecide(PipelineStep):
    """Every filter scores every document that has text; then language and filters decide, in order."""

    type = "filter"
    name = "filters"

    def __init__(self, config: CurationConfig) -> None:
        super().__init__()
        self.config = config
        self.filters = build_filters(config.filters)

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """Scores already there (from a parent run) are used as they are."""
        from curation.language import parse_languages

        wanted = parse_languages(self.config.language.languages)
        for document in data or ():
            if not decided(document):
                meta = document.metadata
                if wanted and meta["language"] not in wanted:
                    reject(document, "language", "other_language")
                elif meta["language_score"] < self.config.language.threshold:
                    reject(document, "language", "low_score")
                for each in self.filters:
                    scores = meta.get(each.name)
                    if scores is None or scores.keys() != each.scores.keys():
                        meta[each.name] = scores = each.score(document)
                    if (reason := each.reason(scores)) is not None:
                        reject(document, each.name, reason)
            yield document


class WriteParts(PipelineStep):
    """Commits parts: the rows, and a manifest written last, whose existence means that the part counts."""

    type = "writer"
    name = "parts"

    def __init__(
        self,
        folder: RunFolder,
        config: CurationConfig,
        reader: ReadRecords | ReadShards,
        stopping: Callable[[], bool],
        deaths: int = 0,
    ) -> None:
        super().__init__()
        self.folder, self.reader, self.stopping = folder, reader, stopping
        self.scores = {each.name: each.scores for each in build_filters(config.filters)}
        self.writer = PartWriter(self.scores)
        # After a death commit sooner, so that even a worker that is killed again and again gets on.
        self.commit_seconds = COMMIT_SECONDS / 2**deaths
        self._clear()

    def _clear(self) -> None:
        self.after: Position | None = None
        self.rejected: dict[tuple[str, str, str, bool], list[int]] = {}
        self.quarantined: list[tuple[str, int, int, str, str]] = []
        self.unstored: dict[str, int] = {}
        self.damaged: set[str] = set()

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """Consume all documents of the task; raises StopRequested after a commit when told to stop."""
        path = self.folder.parts(rank)
        path.mkdir(parents=True, exist_ok=True)
        for leftover in path.glob("*.parquet"):  # written, but its manifest never was
            if not leftover.with_suffix(".json").exists():
                leftover.unlink()
        number = len(list(path.glob("*.json")))
        began = last = time.monotonic()
        for document in data or ():
            self._take(document)
            now = time.monotonic()
            due = now - last > max(self.commit_seconds, COMMIT_SHARE * (now - began))
            if due or self.writer.weight >= COMMIT_WEIGHT or self.stopping():
                self._commit(path / f"{number:06d}.parquet")
                number, last = number + 1, now
                if self.stopping():
                    raise StopRequested
        if self.after is not None:
            self._commit(path / f"{number:06d}.parquet")
        yield from ()

    def _take(self, document: Document) -> None:
        meta = document.metadata
        self.after = meta["_position"]
        raw_file_id = meta["raw_file_id"]
        if meta["_damage"]:
            self.damaged.add(raw_file_id)
        if "quarantined" in meta:
            place = (raw_file_id, meta["record_offset"], meta["record_index"])
            self.quarantined.append((*place, meta["quarantined"], meta["detail"]))
            return
        stored = (meta.get("step"), meta.get("reason")) != ("read", "record_type")
        text_bytes = 0
        if stored:
            row = {name: value for name, value in meta.items() if not name.startswith("_")}
            row |= {"id": document.id, "text": document.text}
            text_bytes = self.writer.add("rejected" if "step" in meta else "kept", row)
        else:
            self.unstored[raw_file_id] = self.unstored.get(raw_file_id, 0) + 1
        if "step" in meta:
            counts = self.rejected.setdefault((meta["step"], meta["reason"], meta["language"], stored), [0, 0])
            counts[0] += 1
            counts[1] += text_bytes

    def _commit(self, path: Path) -> None:
        pieces = self.writer.write(path)
        manifest = {
            "after": self.after,
            "read": self.reader.counts,
            "unstored": self.unstored,
            "damaged": sorted(self.damaged),
            "pieces": [asdict(piece) for piece in pieces],
            "rejected": [[*key, *counts] for key, counts in sorted(self.rejected.items())],
            "quarantined": self.quarantined,
        }
        write_durably(path.with_suffix(".json"), orjson.dumps(manifest))
        self.reader.counts = {}
        self._clear()


