"""The central types and the only way facts are stored: immutable record files in a workspace.

A record is a frozen dataclass. ``Workspace.write`` turns it into ``records/<kind>/<name>.json``, or
into one Parquet file for many rows at once, written aside, synced and renamed: it exists whole or not
at all, and it never changes. Writers never wait for one another. ``curation.catalog`` makes the
queryable view. This module imports nothing of ours.
"""

import contextlib
import dataclasses
import errno
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, get_args, get_type_hints

RECORD_SCHEMA = 1
"""Version written into each record file. Older ones are read for ever: a missing field is null."""

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
ULID_PATTERN = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")


def new_ulid(at: float | None = None) -> str:
    """A ULID: 48 bits of milliseconds and 80 random bits, sortable by time (github.com/ulid/spec)."""
    milliseconds = int((time.time() if at is None else at) * 1000)
    value = (milliseconds << 80) | secrets.randbits(80)
    return "".join(_CROCKFORD[(value >> shift) & 31] for shift in range(125, -1, -5))


def now() -> datetime:
    """The time now in UTC; ``SOURCE_DATE_EPOCH`` is not consulted: records tell what happened when."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Base of all facts. ``kind`` names the folder and the table."""

    kind: ClassVar[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Record):
    """A command that makes something, as it was asked for. How it went is in ``Attempt`` and ``RunEnd``."""

    kind: ClassVar[str] = "run"
    run_id: str
    run_kind: str
    parent_run_id: str | None = None
    config: str
    """Resolved configuration as JSON, inputs included."""
    config_hash: str
    git_commit: str | None = None
    git_dirty: bool | None = None
    versions: str
    """JSON: package name -> version of what decides the output."""
    seed: int = 0
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt(Record):
    """A process that starts or resumes a run; pid and boot tell a killed one from a running one."""

    kind: ClassVar[str] = "attempt"
    run_id: str
    attempt: int
    host: str
    boot_id: str
    pid: int
    pid_created: float
    """Start time of the process in seconds since the epoch: a reused pid is another process."""
    started_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnd(Record):
    """An attempt that came to its end by itself."""

    kind: ClassVar[str] = "run_end"
    run_id: str
    attempt: int
    status: str
    """``done``, ``failed`` or ``interrupted``."""
    exit_code: int
    why: str | None = None
    finished_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RawFile(Record):
    """An input file of a run. ``records`` is the reader's own count; ``unstored`` and ``quarantined``
    are the writer's."""

    kind: ClassVar[str] = "raw_file"
    raw_file_id: str
    """sha256 of the file's bytes, hexadecimal."""
    run_id: str
    uri: str
    bytes: int
    format: str
    compression: str
    license: str | None = None
    copy_of: str | None = None
    """URI of the byte-identical file that was read instead of this one."""
    records: int = 0
    unstored: int = 0
    """Records counted by reason but kept as no row (requests, WARC metadata, rows of a copy)."""
    quarantined: int = 0
    damaged: bool = False
    """The file could not be read whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard(Record):
    """A Parquet file of documents. ``path`` is relative to the workspace, with forward slashes."""

    kind: ClassVar[str] = "shard"
    shard_id: str
    run_id: str
    path: str
    sha256: str
    shard_kind: str
    """``kept`` or ``rejected``."""
    language: str
    documents: int
    bytes: int
    """Bytes of the file."""
    text_bytes: int
    """UTF-8 bytes of all texts."""
    tokens: int | None = None
    replaces: str | None = None
    """shard_id of the shard that this one took over from (after a take-down)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSource(Record):
    """How many documents of a shard come from a raw file."""

    kind: ClassVar[str] = "shard_source"
    shard_id: str
    raw_file_id: str
    documents: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterCount(Record):
    """Documents rejected by a run, counted by the writer as they passed."""

    kind: ClassVar[str] = "filter_count"
    run_id: str
    step: str
    reason: str
    language: str
    documents: int
    bytes: int
    stored: bool = True
    """False for records that are counted but kept as no row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine(Record):
    """A record that could not be processed: where it lies and why. Never its text."""

    kind: ClassVar[str] = "quarantine"
    run_id: str
    raw_file_id: str
    record_offset: int
    record_index: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Contamination(Record):
    """An item of a test set that a document holds, word for word or nearly."""

    kind: ClassVar[str] = "contamination"
    run_id: str
    document_id: str
    raw_file_id: str
    item_set: str
    item_id: str
    how: str
    """``whole`` (word for word), ``run`` (thirteen words of it) or ``near``."""
    overlap: float
    """Share of the item's words that are there."""
    text_start: int
    text_end: int
    """Its place, in characters of the document's text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset(Record):
    """A named, versioned set of shards."""

    kind: ClassVar[str] = "dataset"
    dataset_id: str
    name: str
    version: int
    parent_dataset_id: str | None = None
    run_id: str | None = None
    why: str | None = None
    tokenizer: str | None = None
    tokenizer_sha256: str | None = None
    tokens: int | None = None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetShard(Record):
    """A shard's membership in a dataset."""

    kind: ClassVar[str] = "dataset_shard"
    dataset_id: str
    shard_id: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDataset(Record):
    """A dataset that a run reads (training)."""

    kind: ClassVar[str] = "run_dataset"
    run_id: str
    dataset_id: str
    stage: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tombstone(Record):
    """A request to take documents down. It hides what it matches at once, and in every later run."""

    kind: ClassVar[str] = "tombstone"
    tombstone_id: str
    what: str
    """``id``, ``url``, ``domain`` or ``pattern`` (a regular expression searched in the URL)."""
    value: str
    why: str
    requested_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TombstoneHit(Record):
    """A document that a tombstone hides, and the shard that held it."""

    kind: ClassVar[str] = "tombstone_hit"
    tombstone_id: str
    document_id: str
    shard_id: str
    raw_file_id: str
    record_offset: int
    record_index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRemoval(Record):
    """A shard that is gone from disk without a successor: a take-down left no document in it. A shard
    with some left is succeeded by one that ``replaces`` it, which is on record in one stroke."""

    kind: ClassVar[str] = "shard_removal"
    shard_id: str
    why: str
    removed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeMetric(Record):
    """What a figure of a probe means."""

    kind: ClassVar[str] = "probe_metric"
    probe_id: str
    version: str
    metric: str
    ideal: float | None = None
    """The value without bias (1 for a ratio, .5 for a preference); null where there is none."""
    unit: str
    probe_kind: str
    """``bias``, ``misuse``, ``quality`` or ``data``; the column ``kind`` of the catalog."""
    source: str
    """Where the method is published."""
    license: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding(Record):
    """A figure that an audit found, with what is known of its uncertainty."""

    kind: ClassVar[str] = "finding"
    finding_id: str
    run_id: str
    """The audit."""
    subject_kind: str
    """What was audited: ``run``, ``dataset`` or ``checkpoint``."""
    subject_id: str
    baseline_id: str | None = None
    """What it was compared with, of the same kind as the subject."""
    probe_id: str
    version: str
    metric: str
    language: str | None = None
    """``eng_Latn``; null: all languages."""
    group_name: str | None = None
    value: float | None = None
    """Null where it was not scored; never 0 instead."""
    ci_low: float | None = None
    ci_high: float | None = None
    ci_method: str | None = None
    n: int | None = None
    mde: float | None = None
    """What this sample would have found, in the unit of the value (power .8)."""
    p_value: float | None = None
    p_adjusted: float | None = None
    scorer: str | None = None
    status: str
    """``scored``, ``not_scored`` or ``not_run``."""
    why: str | None = None


RECORD_TYPES: dict[str, type[Record]] = {
    cls.kind: cls
    for cls in (
        *(Run, Attempt, RunEnd, RawFile, Shard, ShardSource, FilterCount, Quarantine, Contamination),
        *(Dataset, DatasetShard, RunDataset, Tombstone, TombstoneHit, ShardRemoval),
        *(ProbeMetric, Finding),
    )
}


@cache
def columns(kind: str) -> dict[str, type]:
    """Column name -> Python type (``str``, ``int``, ``float``, ``bool``, ``datetime``) of a record kind."""
    record_type = RECORD_TYPES[kind]
    plain: dict[str, type] = {}
    hints = get_type_hints(record_type)
    for field in dataclasses.fields(record_type):
        hint = hints[field.name]
        options = [option for option in get_args(hint) if option is not type(None)]
        plain[field.name] = options[0] if options else hint
    return plain


def to_row(record: Record) -> dict[str, Any]:
    """The record as a dict of JSON values; times as ISO 8601 in UTC."""
    row: dict[str, Any] = {}
    for name in columns(record.kind):
        value = getattr(record, name)
        row[name] = value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value
    return row


@dataclass(frozen=True, slots=True)
class RecordFile:
    """A record file on disk: ``name`` (without suffix) is its identity inside its kind."""

    kind: str
    name: str
    folder: str
    suffix: str
    """``json`` (one row) or ``parquet``."""

    @property
    def path(self) -> Path:
        """Where it is. (Made when asked for: a listing has thousands.)"""
        return Path(self.folder, f"{self.name}.{self.suffix}")


def write_durably(path: Path, data: bytes, replace: bool = True) -> None:
    """Write a file so that it exists whole or not at all, also after a crash of the machine.

    Args:
        replace: False lets the first of several writers win, on whatever machines they are (where the file
            system has hard links).

    Raises:
        FileExistsError: ``replace`` is False and the file is there.
        OSError: disk full, no permission; nothing is left behind then.
    """
    aside = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if replace or not _link(aside, path):
            aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _link(aside: Path, path: Path) -> bool:
    """Give a file its name unless the name is taken; False where the file system has no hard links."""
    try:
        os.link(aside, path)
    except FileExistsError:
        if aside.stat().st_nlink < 2:  # else NFS asked twice, and the first answer was lost
            raise
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        return False
    aside.unlink()
    return True


def sync_folder(folder: Path) -> None:
    """Make renames inside ``folder`` survive a crash of the machine."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Workspace:
    """A folder that holds everything: ``records/ shards/ index/ tokens/ runs/ audits/ models/ cache/`` and the
    catalog. Opening one creates nothing; folders appear when first written to.

    ``curation.storage`` has the one whose records, shards and index are objects: it overrides what stands
    between the lines below. Paths of shards are as in ``Shard.path``, relative and with forward slashes.
    """

    beat_seconds: ClassVar[float] = 5.0
    """A run at work gives a sign of life this often."""
    local: ClassVar[bool] = True
    """Whether all who use it see the same folder, and so its locks."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root).absolute()
        self.name = str(self.root)
        """What it is called, on the command line and in messages."""
        self.records = self.root / "records"
        self.shards = self.root / "shards"
        self.runs = self.root / "runs"
        self.index = self.root / "index"
        self.cache = self.root / "cache"
        self.catalog = self.root / "catalog.duckdb"

    def run_folder(self, run_id: str) -> Path:
        """Working files of a run."""
        return self.runs / run_id

    def heartbeat_path(self, run_id: str) -> Path:
        """The one mutable file of a run: touched every few seconds while it lives."""
        return self.run_folder(run_id) / "heartbeat"

    def write(self, records: Sequence[Record], name: str | None = None) -> None:
        """Store records: one file for each kind among them.

        With ``name`` (a run's id, say) the write is idempotent: what is already there under that name
        stays as it is, so that a command killed half-way can simply write again.

        Raises:
            OSError: the workspace cannot be written to.
        """
        by_kind: dict[str, list[Record]] = {}
        for record in records:
            by_kind.setdefault(record.kind, []).append(record)
        for kind, group in by_kind.items():
            stem = name or new_ulid()
            if len(group) == 1:
                data = json.dumps({"schema": RECORD_SCHEMA, **to_row(group[0])}, ensure_ascii=True).encode()
                self.store_record(kind, f"{stem}.json", data, replace=name is None)
            else:
                data = rows_to_parquet(kind, [to_row(record) for record in group])
                self.store_record(kind, f"{stem}.parquet", data, replace=name is None)

    def rows(self, kind: str) -> list[dict[str, Any]]:
        """All rows of a kind, each once, straight from the files (for the few kinds with few records)."""
        for _ in range(20):
            found: dict[str, list[dict[str, Any]]] = {}
            try:
                for file in self.record_files(kind):
                    sources: dict[str, list[dict[str, Any]]] = {}
                    for source, row in read_rows(file):
                        sources.setdefault(source, []).append(row)
                    found = {**sources, **found}
            except FileNotFoundError:  # compacted meanwhile: look again
                continue
            return [row for name in sorted(found) for row in found[name]]
        raise OSError(f"record files under {self.records / kind} keep vanishing while they are read; try again")

    # ---- what differs where the truth is elsewhere ----

    @property
    def exists(self) -> bool:
        """Whether anything was ever recorded here."""
        return self.records.is_dir()

    def prepare(self) -> None:
        """Called by who is about to write the first record. Raises UserError where that cannot be."""

    def store_record(self, kind: str, file_name: str, data: bytes, replace: bool = True) -> None:
        """Make a record file appear, whole; without ``replace`` one that is there stays. Raises OSError."""
        path = self.records / kind / file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        if replace or not path.exists():
            write_durably(path, data)

    def remove_records(self, files: Iterable[RecordFile]) -> None:
        """Remove record files whose rows are in a compacted one."""
        for file in files:
            file.path.unlink(missing_ok=True)

    def record_files(self, only: str | None = None, anew: bool = True) -> Iterator[RecordFile]:
        """All record files, of known kinds (or of one) only, in no particular order.

        Args:
            anew: False is content with what an earlier call has seen, where looking is dear.
        """
        for kind in RECORD_TYPES if only is None else (only,):
            folder = str(self.records / kind)
            try:
                names = os.listdir(folder)
            except FileNotFoundError:
                continue
            for name in names:
                stem, _, suffix = name.rpartition(".")
                if suffix in ("json", "parquet") and name[0] != ".":  # a dot: being written
                    yield RecordFile(kind, stem, folder, suffix)

    def keep_shard(self, path: str) -> None:
        """A file below ``shards/`` is complete under ``root``: keep it for good."""

    def shard_url(self, path: str) -> str:
        """What DuckDB and people call a shard, or the folder of some."""
        return str(self.root / path)

    def open_shard(self, path: str) -> Any:
        """What pyarrow reads a shard from: a path, or an open file. Raises FileNotFoundError."""
        return self.root / path

    def has_shard(self, path: str) -> bool:
        """Whether a shard is there."""
        return (self.root / path).is_file()

    def remove_shard(self, path: str) -> None:
        """Remove a shard, if it is there."""
        (self.root / path).unlink(missing_ok=True)

    def run_shards(self, run_id: str) -> dict[str, int]:
        """Path -> bytes of a run's shards, whether or not they are on record."""
        found = (self.shards / run_id).glob("*/*.parquet")
        return {path.relative_to(self.root).as_posix(): path.stat().st_size for path in found}

    def begin_anew(self, run_id: str) -> None:
        """Remove the working files of a run without an end, its shards and its index, which are not on record."""
        folder = self.run_folder(run_id)
        for each in (folder / "scratch", folder / "stages", self.shards / run_id, self.index / run_id):
            shutil.rmtree(each, ignore_errors=True)

    def generation(self, run_id: str) -> str | None:
        """Changes with each ``begin_anew`` of a run whose working files may be out of its reach."""
        return None

    def index_runs(self) -> set[str]:
        """Ids of the runs that have an index."""
        return {path.name for path in self.index.glob("*") if path.is_dir()}

    def index_folders(self, run_ids: Iterable[str]) -> dict[str, Path]:
        """Run id -> folder with the files of its index, as they are now."""
        return {run_id: self.index / run_id for run_id in run_ids}

    def keep_index(self, run_id: str, made: Path) -> None:
        """Move a finished index to its place; nothing happens where that was done before."""
        kept = self.index / run_id
        if made.is_dir():
            shutil.rmtree(kept, ignore_errors=True)  # of an attempt that began anew since
            kept.parent.mkdir(exist_ok=True)
            made.rename(kept)

    def index_changed(self, run_id: str) -> None:
        """Files in the folder of a run's index were written anew: keep them for good."""

    def remove_index(self, run_id: str) -> None:
        """Remove the index of a run."""
        shutil.rmtree(self.index / run_id, ignore_errors=True)

    def beat(self, run_id: str) -> None:
        """Give a sign of life of a run at work."""
        self.heartbeat_path(run_id).touch()

    def end_beat(self, run_id: str) -> None:
        """No sign will follow: the run's end is on record."""

    def beats(self, run_ids: Iterable[str]) -> dict[str, float]:
        """Run id -> when it last gave a sign of life, in seconds since 1970; without those that never did."""
        found = {}
        for run_id in run_ids:
            with contextlib.suppress(FileNotFoundError):
                found[run_id] = self.heartbeat_path(run_id).stat().st_mtime
        return found

    def register(self, connection: Any) -> None:
        """Enable a DuckDB connection to read shards by ``shard_url``."""

    def removal_note(self) -> str | None:
        """What somebody who has text removed must know about this storage."""
        return None


def arrow_schema(kind: str) -> Any:
    """The Arrow schema of a record kind, as stored in Parquet (times as ISO strings)."""
    import pyarrow as pa

    types = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_(), datetime: pa.string()}
    return pa.schema([(name, types[python]) for name, python in columns(kind).items()])


def rows_to_parquet(kind: str, rows: list[dict[str, Any]], sources: list[str] | None = None) -> bytes:
    """Rows of one kind as Parquet bytes; ``sources`` names the record file of each (compaction)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist(rows, schema=arrow_schema(kind))
    if sources is not None:
        table = table.append_column("_file", pa.array(sources, pa.string()))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    data: bytes = sink.getvalue().to_pybytes()
    return data


def read_rows(file: RecordFile) -> list[tuple[str, dict[str, Any]]]:
    """(name of the record file that the row was first written to, row) for each row of a file.

    Fields that the file lacks are None; fields that this version does not know are left out.

    Raises:
        FileNotFoundError: the file was compacted meanwhile; the caller lists anew.
        ValueError: the file is no record; the message names it.
    """
    known = columns(file.kind)
    try:
        if file.suffix == "json":
            rows = [json.loads(file.path.read_bytes())]
        else:
            import pyarrow.parquet as pq

            rows = pq.ParquetFile(file.path).read().to_pylist()
    except FileNotFoundError:
        raise
    except (ValueError, OSError) as error:
        raise ValueError(f"{file.path} is not a readable record ({error}); remove it or restore it") from error
    return [(row.get("_file") or file.name, {name: row.get(name) for name in known}) for row in rows]
