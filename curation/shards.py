"""Documents on disk: the explicit schema, the parts that workers commit, and the shards made from them.

A *stream* is the documents of one kind (kept or rejected) and one language in canonical order, which is
(raw_file_id, record_offset, record_index). Workers commit *parts*: one Parquet file with a row group for
each stream. Shards are cut from a stream by prefix sums of document weights, so that where a shard begins
depends on the documents alone and never on parts, workers or interruptions.
"""

import hashlib
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import orjson

from curation.pii.spans import KINDS
from curation.workspace import sync_folder, write_durably

if TYPE_CHECKING:
    import pyarrow as pa

Kind = Literal["kept", "rejected"]

ROW_WEIGHT = 256
"""Bytes that a row weighs beside its text when shards are cut, so that empty rows cannot pile up."""

ROW_GROUP_WEIGHT = 16 * 2**20
"""A row group ends at this weight: what a reader and a writer hold in memory."""

WEIGHT = "_weight"
SEQUENCE = "_sequence"
"""Columns that parts have and shards have not: a row's weight, and its number within the part."""


def document_schema(scores: Mapping[str, Mapping[str, type]], kind: Kind) -> "pa.Schema":
    """The schema of document shards.

    Args:
        scores: filter name -> score name -> type; a filter's scores are one struct column.
        kind: rejected documents also have ``step`` and ``reason``.
    """
    import pyarrow as pa

    types = {int: pa.int64(), float: pa.float64(), bool: pa.bool_(), str: pa.string()}
    fields = [
        ("id", pa.string()),
        ("raw_file_id", pa.string()),
        ("record_offset", pa.int64()),
        ("record_index", pa.int64()),
        ("url", pa.string()),
        ("domain", pa.string()),
        ("crawled_at", pa.timestamp("us", tz="UTC")),
        ("http_status", pa.int64()),
        ("content_type", pa.string()),
        ("charset", pa.string()),
        ("media", pa.string()),
        ("title", pa.string()),
        ("author", pa.string()),
        ("date", pa.string()),
        ("language", pa.string()),
        ("language_score", pa.float64()),
        ("lines_removed", pa.int64()),
        ("duplicate_of", pa.string()),
        ("jaccard", pa.float64()),
        ("cluster_size", pa.int64()),
        ("toxicity", toxicity_type()),
        ("pii", pa.struct([(kind, pa.int64()) for kind in KINDS])),
        ("page_license", pa.string()),
        ("page_license_source", pa.string()),
    ]
    fields += [
        (name, pa.struct([(score, types[python]) for score, python in columns.items()]))
        for name, columns in scores.items()
    ]
    if kind == "rejected":
        fields += [("step", pa.string()), ("reason", pa.string())]
    fields.append(("text", pa.string()))
    return pa.schema(fields)


def toxicity_type() -> "pa.DataType":
    """The column ``toxicity``: ``cheap`` is the cheap model's score, null in languages that it does not know; the rest
    is null where no better model has looked. ``max`` and ``mean`` (label -> score) are over ``windows`` stretches of
    the text, of which the worst is at [``worst_start``, ``worst_end``), in characters of ``text``."""
    import pyarrow as pa

    scores = pa.map_(pa.string(), pa.float64())
    places = [(name, pa.int64()) for name in ("windows", "worst_start", "worst_end")]
    return pa.struct([("cheap", pa.float64()), ("model", pa.string()), *places, ("max", scores), ("mean", scores)])


def empty_document_table() -> "pa.Table":
    """A table without rows, for views over a workspace without shards."""
    return document_schema({}, "rejected").empty_table()


@dataclass(frozen=True, slots=True)
class Piece:
    """A row group of a part: a run of documents of one stream."""

    part: str
    row_group: int | None
    shard_kind: Kind
    language: str
    documents: int
    weight: int
    moved: int | None = None
    """Row group of kept documents of which those that late steps have removed belong here, too."""


class PartWriter:
    """Writes one part: rows gathered by stream, one row group each."""

    def __init__(self, scores: Mapping[str, Mapping[str, type]]) -> None:
        import pyarrow as pa

        schema = document_schema(scores, "rejected")
        self._schema = schema.append(pa.field(WEIGHT, pa.int64())).append(pa.field(SEQUENCE, pa.int64()))
        self._rows: dict[tuple[Kind, str], list[dict[str, Any]]] = {}
        self.weight = self.documents = 0

    def add(self, kind: Kind, row: dict[str, Any]) -> int:
        """Gather a row, which stays in memory until ``write``; returns the UTF-8 bytes of its text."""
        text_bytes = len(row["text"].encode())
        row[WEIGHT] = ROW_WEIGHT + text_bytes
        row[SEQUENCE] = self.documents
        self.documents += 1
        self.weight += row[WEIGHT]
        self._rows.setdefault((kind, row["language"]), []).append(row)
        return text_bytes

    def write(self, path: Path) -> list[Piece]:
        """Write and sync the part; empties the writer. Raises OSError when the disk is full."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        pieces = []
        try:
            with path.open("wb") as file:
                with pq.ParquetWriter(file, self._schema, compression="lz4") as writer:
                    for number, ((kind, language), rows) in enumerate(sorted(self._rows.items())):
                        table = pa.Table.from_pylist(rows, schema=self._schema)
                        writer.write_table(table, row_group_size=len(rows))
                        weight = sum(row[WEIGHT] for row in rows)
                        pieces.append(Piece(path.name, number, kind, language, len(rows), weight))
                sync_file(file)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        self._rows.clear()
        self.weight = self.documents = 0
        return pieces


def sync_file(file: Any) -> None:
    """Flush an open binary file to disk."""
    import os

    file.flush()
    os.fsync(file.fileno())


@dataclass(frozen=True, slots=True)
class ShardJob:
    """One shard to write: the documents of a stream whose prefix weight lies in [low, high)."""

    shard_kind: Kind
    language: str
    number: int
    low: int
    high: int
    pieces: list[tuple[str, int | None, int | None, int]]
    """(path of the part, row group, row group with documents moved here, prefix weight before it)."""
    weight: int
    """Bytes to be written, about."""

    @property
    def name(self) -> str:
        """``kept/eng_Latn-00000``, the shard's path inside its run without suffix."""
        return f"{self.shard_kind}/{self.language}-{self.number:05d}"


def plan_shards(pieces: Iterable[tuple[str, Piece]], max_text_bytes: int) -> list[ShardJob]:
    """Cut each stream into shards.

    Args:
        pieces: (path of the part, piece) in canonical order of their documents.
        max_text_bytes: shard n holds the documents whose prefix weight is in [n, n + 1) times this.
    """
    streams: dict[tuple[Kind, str], list[tuple[str, Piece]]] = {}
    for path, piece in pieces:
        streams.setdefault((piece.shard_kind, piece.language), []).append((path, piece))
    jobs = []
    for (kind, language), members in sorted(streams.items()):
        by_number: dict[int, list[tuple[str, int | None, int | None, int]]] = {}
        weights: dict[int, int] = {}
        prefix = 0
        for path, piece in members:
            # The last document starts before prefix + weight; a shard may get nothing of a piece.
            last = prefix + piece.weight - 1
            for number in range(prefix // max_text_bytes, last // max_text_bytes + 1):
                low, high = number * max_text_bytes, (number + 1) * max_text_bytes
                by_number.setdefault(number, []).append((path, piece.row_group, piece.moved, prefix))
                overlap = min(prefix + piece.weight, high) - max(prefix, low)
                weights[number] = weights.get(number, 0) + overlap
            prefix += piece.weight
        for number, sources in sorted(by_number.items()):
            low = number * max_text_bytes
            high = low + max_text_bytes
            jobs.append(ShardJob(kind, language, number, low, high, sources, weights[number]))
    return jobs


@dataclass(frozen=True, slots=True)
class ShardFacts:
    """What is known of a written shard."""

    name: str
    shard_kind: Kind
    language: str
    sha256: str
    documents: int
    bytes: int
    text_bytes: int
    sources: dict[str, int]
    """raw_file_id -> documents."""


def write_shard(
    job: ShardJob, folder: Path, scores: Mapping[str, Mapping[str, type]], compression_level: int
) -> ShardFacts | None:
    """Write a shard whole or not at all; None when no document starts in its range (a huge one before).

    Raises:
        OSError: disk full; nothing is left behind.
    """
    schema = document_schema(scores, job.shard_kind)
    return write_documents(_job_tables(job, schema), folder / f"{job.name}.parquet", schema, compression_level, job)


def write_documents(
    tables: Iterable["pa.Table"], path: Path, schema: "pa.Schema", compression_level: int, job: ShardJob
) -> ShardFacts | None:
    """Write document tables (with the weight column) as one shard at ``path``.

    Row groups end where the weight passes a multiple of ``ROW_GROUP_WEIGHT`` inside the shard, whatever
    the tables' boundaries, so that equal documents give equal bytes.
    """
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    documents = text_bytes = 0
    sources: dict[str, int] = {}
    try:
        with aside.open("wb") as file:
            with pq.ParquetWriter(file, schema, compression="zstd", compression_level=compression_level) as writer:
                for group in _row_groups(tables):
                    documents += group.num_rows
                    text_bytes += sum(group.column(WEIGHT).to_pylist()) - ROW_WEIGHT * group.num_rows
                    for raw_file_id in group.column("raw_file_id").to_pylist():
                        sources[raw_file_id] = sources.get(raw_file_id, 0) + 1
                    writer.write_table(group.select(schema.names), row_group_size=group.num_rows)
            sync_file(file)
        if documents == 0:
            aside.unlink()
            return None
        digest = file_sha256(aside)
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    size = path.stat().st_size
    return ShardFacts(job.name, job.shard_kind, job.language, digest, documents, size, text_bytes, sources)


def _job_tables(job: ShardJob, schema: "pa.Schema") -> Iterator["pa.Table"]:
    import numpy as np
    import pyarrow as pa

    for path, row_group, moved, prefix in job.pieces:
        start = prefix
        for table in _piece_tables(path, row_group, moved, [*schema.names, WEIGHT, SEQUENCE]):
            weights = table.column(WEIGHT).to_numpy()
            starts = start + np.concatenate(([0], np.cumsum(weights)[:-1]))
            start += int(weights.sum())
            mask = (starts >= job.low) & (starts < job.high)
            if mask.any():
                yield table.filter(pa.array(mask))


def _piece_tables(path: str, row_group: int | None, moved: int | None, names: list[str]) -> Iterator["pa.Table"]:
    """The rows of a piece in canonical order: what late steps have removed is not among the kept, and stands in its
    place among the rejected."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from curation.verdicts import moved_rows, staying_rows, with_moved

    with pq.ParquetFile(path, pre_buffer=False) as part:

        def read(group: int | None) -> Iterator[pa.Table]:
            if group is not None:
                for batch in part.iter_batches(batch_size=256, row_groups=[group], columns=names):
                    yield pa.Table.from_batches([batch])

        if moved is not None:
            yield with_moved(read(row_group), moved_rows(path, read(moved)))
        elif "step" in names:
            yield from read(row_group)
        else:
            yield from staying_rows(path, read(row_group))


def _row_groups(tables: Iterable["pa.Table"]) -> Iterator["pa.Table"]:
    """Regroup tables so that each group ends with the document at which its weight is reached."""
    import numpy as np
    import pyarrow as pa

    held: list[pa.Table] = []
    weight = 0
    for table in tables:
        totals = weight + np.cumsum(table.column(WEIGHT).to_numpy())
        begin = 0
        while len(full := np.flatnonzero(totals[begin:] >= ROW_GROUP_WEIGHT)):
            end = begin + int(full[0]) + 1
            held.append(table.slice(begin, end - begin))
            yield pa.concat_tables(held).combine_chunks()
            totals = totals - totals[end - 1]
            held, begin = [], end
        if begin < table.num_rows:
            held.append(table.slice(begin))
            weight = int(totals[-1])
        else:
            weight = 0
    if held:
        yield pa.concat_tables(held).combine_chunks()


def file_sha256(source: Path | Any) -> str:
    """sha256 of the bytes of a file, or of an open one, which is closed then; hexadecimal."""
    with source.open("rb") if isinstance(source, Path) else source as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_facts(path: Path, facts: ShardFacts | None) -> None:
    """Remember that a shard is written (None: that its job gives no shard)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, orjson.dumps(None if facts is None else asdict(facts)))


def load_facts(paths: Sequence[Path]) -> list[ShardFacts]:
    """What ``save_facts`` remembered, without the jobs that gave no shard."""
    loaded = [orjson.loads(path.read_bytes()) for path in paths]
    return [ShardFacts(**facts) for facts in loaded if facts is not None]
