"""A workspace: where facts are stored, as immutable record files, with shards, index and working files beside them.

``Workspace.write`` turns records into ``records/<kind>/<name>.json``, or into one Parquet file for many rows at once,
written aside, synced and renamed: it exists whole or not at all, and it never changes. Writers never wait for one
another. ``curation.storage`` has the same on object storage.
"""

import contextlib
import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from curation.records import RECORD_TYPES, Record, columns, new_ulid, to_row

RECORD_SCHEMA = 1
"""Version written into each record file. Older ones are read for ever: a missing field is null."""


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
        """A file below ``shards/``, ``tokens/`` or ``models/`` is complete under ``root``: keep it for good."""

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

    def local_file(self, path: str) -> Path:
        """Where a file that was kept for good is on this machine, so that it can be mapped into memory; brought here
        if need be. Raises FileNotFoundError."""
        local = self.root / path
        if not local.is_file():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(local))
        return local

    def files(self, folder: str) -> list[str]:
        """Paths of the files below a folder, sorted; without hidden ones."""
        found = (path.relative_to(self.root).as_posix() for path in (self.root / folder).rglob("*") if path.is_file())
        return sorted(path for path in found if "/." not in path)

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
