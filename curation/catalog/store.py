"""Records -> ``catalog.duckdb``: the schema, and the refresh that ingests what is new.

DuckDB lets no reader in beside a writer, and a lock that is fair to both does not exist. Therefore the
catalog file is never written in place: a refresh copies it aside, ingests, closes and renames. A reader
always opens a closed, consistent file, and nobody waits for anybody but a refresh for another refresh.
"""

import contextlib
import fcntl
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from curation.catalog.compaction import compact
from curation.records import RECORD_TYPES, RecordFile, Workspace, columns, read_rows

if TYPE_CHECKING:
    import duckdb

CATALOG_SCHEMA = 1
"""Raised with any change to the tables: a catalog of another version is rebuilt from the records."""

COMPACT_BEYOND = 2000
"""Single-row files of a kind are merged once there are this many, so that listing stays quick."""

_SQL_TYPES = {str: "VARCHAR", int: "BIGINT", float: "DOUBLE", bool: "BOOLEAN", datetime: "TIMESTAMP"}


@dataclass(frozen=True, slots=True)
class _State:
    """What a catalog file holds."""

    known: set[tuple[str, str]]
    """(kind, name) of the record files in it."""
    listed_at: float
    """When the records were listed for it, in seconds since the epoch."""


def refresh(workspace: Workspace, rebuild: bool = False, patience: float | None = None) -> int:
    """Bring the catalog up to date with the records written before the call; with ``rebuild`` from nothing.

    Safe to call from any number of processes at once; without news it costs one folder listing.

    Args:
        patience: seconds to wait for the refreshes of other processes; beyond that a catalog that is there
            is left as it is, a moment old. None: as long as it takes.

    Returns:
        How many record files were ingested.

    Raises:
        ValueError: a record file is damaged; the message names it.
        OSError: the workspace cannot be written to.
    """
    called_at = time.time()
    version = _version(workspace.catalog)
    state = None if rebuild else _state(workspace.catalog)
    if state is not None and not _missing(workspace, state.known):
        return 0
    with refresh_lock(workspace, patience if version is not None else None) as locked:
        if not locked:
            return 0
        if not rebuild and _version(workspace.catalog) != version:
            # Another process has refreshed meanwhile; if it listed the records after this call began,
            # nothing that this caller can know of is missing.
            state = _state(workspace.catalog)
            if state is not None and state.listed_at > called_at:
                return 0
        return _ingest(workspace, anew=state is None)


def _version(catalog: Path) -> tuple[int, int] | None:
    """Tells one catalog file from the next one under the same name."""
    try:
        about = catalog.stat()
    except FileNotFoundError:
        return None
    return about.st_ino, about.st_mtime_ns


def _state(catalog: Path) -> _State | None:
    """What a catalog holds; None when there is none of this version."""
    import duckdb

    if not catalog.exists():
        return None
    try:
        with duckdb.connect(str(catalog), read_only=True, config={"threads": 1}) as connection:
            (version, listed_at), *_ = connection.execute("SELECT version, listed_at FROM _schema").fetchall()
            if version != CATALOG_SCHEMA:
                return None
            return _State(set(connection.execute("SELECT kind, name FROM _source").fetchall()), listed_at)
    except duckdb.Error:  # damaged or foreign: it is a view, so it is made anew
        return None


def _missing(workspace: Workspace, known: set[tuple[str, str]] | None) -> list[RecordFile]:
    return [f for f in workspace.record_files() if known is None or (f.kind, f.name) not in known]


@contextlib.contextmanager
def refresh_lock(workspace: Workspace, patience: float | None = None) -> Iterator[bool]:
    """Hold the right to change the catalog file and to compact records; False if not got in time."""
    workspace.root.mkdir(parents=True, exist_ok=True)
    with (workspace.root / ".catalog.lock").open("w") as lock:
        if patience is None:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield True
            return
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    yield False
                    return
                time.sleep(0.005)
            else:
                yield True
                return


def _ingest(workspace: Workspace, anew: bool) -> int:
    import duckdb

    for stale in workspace.root.glob(".catalog-*.tmp*"):  # left by a killed refresh: we hold the lock
        stale.unlink(missing_ok=True)
    aside = workspace.root / f".catalog-{secrets.token_hex(6)}.tmp"
    try:
        if not anew:
            shutil.copyfile(workspace.catalog, aside)
        listed_at = time.time()
        with duckdb.connect(str(aside), config={"threads": 1}) as connection:
            if anew:
                _create_tables(connection)
            # What the copy itself holds, not what was read before: DuckDB shares an open file within a
            # process, and may have shown the one before this.
            known = set(connection.execute("SELECT kind, name FROM _source").fetchall())
            connection.execute("UPDATE _schema SET listed_at = ?", [listed_at])
            count = _ingest_new(workspace, connection, known)
            # Closing writes too, but keeps an error (a full disk) to itself.
            connection.execute("CHECKPOINT")
        aside.replace(workspace.catalog)
        for kind in RECORD_TYPES:
            compact(workspace, kind, least=COMPACT_BEYOND)
    except duckdb.Error as error:
        raise OSError(f"the catalog cannot be written in {workspace.root}: {error}") from error
    finally:
        for leftover in workspace.root.glob(f"{aside.name}*"):
            leftover.unlink(missing_ok=True)
    return count


def _create_tables(connection: "duckdb.DuckDBPyConnection") -> None:
    connection.execute(f"CREATE TABLE _schema AS SELECT {CATALOG_SCHEMA}::BIGINT AS version, 0::DOUBLE AS listed_at")
    connection.execute("CREATE TABLE _source (kind VARCHAR, name VARCHAR)")
    for kind in RECORD_TYPES:
        fields = ", ".join(f'"{name}" {_SQL_TYPES[python]}' for name, python in columns(kind).items())
        connection.execute(f'CREATE TABLE "{kind}" ({fields})')


def _ingest_new(workspace: Workspace, connection: "duckdb.DuckDBPyConnection", known: set[tuple[str, str]]) -> int:
    """Read every record file not in ``known``. A compacted file repeats rows of older files: each row
    carries the name of the file that it came from, and goes in once."""
    import pyarrow as pa

    count = 0
    for _ in range(20):  # a compaction may take listed files away; their rows are in a new file then
        rows_of: dict[str, list[dict[str, object]]] = {}
        new: set[tuple[str, str]] = set()
        vanished = False
        for file in _missing(workspace, known | new):
            try:
                found = read_rows(file)
            except FileNotFoundError:
                vanished = True
                continue
            for source, row in found:
                key = (file.kind, source)
                # A compacted file holds one row of each file that it took over from.
                if source == file.name or not (key in known or key in new):
                    rows_of.setdefault(file.kind, []).append(row)
                    new.add(key)
            new.add((file.kind, file.name))
            count += 1
        for kind, rows in rows_of.items():
            _insert(connection, kind, rows)
        if new:
            kinds, names = zip(*sorted(new), strict=True)
            connection.register("sources", pa.table({"kind": kinds, "name": names}))
            connection.execute("INSERT INTO _source SELECT * FROM sources")
            connection.unregister("sources")
            known |= new
        if not vanished:
            return count
    raise OSError(f"record files under {workspace.records} keep vanishing while they are read; try again")


def _insert(connection: "duckdb.DuckDBPyConnection", kind: str, rows: list[dict[str, object]]) -> None:
    import pyarrow as pa

    from curation.records import arrow_schema

    incoming = pa.Table.from_pylist(rows, schema=arrow_schema(kind))
    connection.register("incoming", incoming)
    casts = ", ".join(
        # Times are ISO 8601 in UTC; the cast drops the offset so that no time zone data is needed.
        f"CAST(replace(\"{name}\", '+00:00', '') AS TIMESTAMP)" if python is datetime else f'"{name}"'
        for name, python in columns(kind).items()
    )
    connection.execute(f'INSERT INTO "{kind}" SELECT {casts} FROM incoming')
    connection.unregister("incoming")
