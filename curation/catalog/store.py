"""Records -> ``catalog.duckdb``: the schema, and the refresh that ingests what is new.

DuckDB lets no reader in beside a writer, and a lock that is fair to both does not exist. Therefore the
catalog file is never written in place: a refresh copies it aside, ingests, closes and renames. A reader
always opens a closed, consistent file, adds the few records that are newer, and waits for nobody.
"""

import contextlib
import fcntl
import secrets
import shutil
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from curation.catalog.compaction import compact
from curation.records import RECORD_TYPES, columns
from curation.workspace import RecordFile, Workspace, read_rows

if TYPE_CHECKING:
    import duckdb

CATALOG_SCHEMA = 6
"""Raised with any change to the tables: a catalog of another version is rebuilt from the records."""

MOST_FRESH = 200
"""With more new record files than this a reader refreshes the catalog file, rather than read them itself."""

COMPACT_BEYOND = 500
"""Single-row files of a kind are merged once there are this many, so that
listing stays quick, and no merge takes long."""

_SQL_TYPES = {str: "VARCHAR", int: "BIGINT", float: "DOUBLE", bool: "BOOLEAN", datetime: "TIMESTAMP"}


Rows = dict[str, list[dict[str, object]]]
"""Record kind -> rows."""
Names = set[tuple[str, str]]
"""(kind, name) of record files."""


def refresh(workspace: Workspace, rebuild: bool = False) -> int:
    """Bring the catalog file up to date with the records; with ``rebuild`` from nothing.

    Safe to call from any number of processes at once: they take turns.

    Returns:
        How many record files were ingested.

    Raises:
        ValueError: a record file is damaged; the message names it.
        OSError: the workspace cannot be written to.
    """
    with refresh_lock(workspace):
        return _ingest(workspace, anew=rebuild or _generation(workspace.catalog) is None)


def attach(workspace: Workspace, connection: "duckdb.DuckDBPyConnection") -> Rows:
    """Attach the catalog to a connection as ``stored``, read-only.

    Nobody waits here: while another process refreshes, and while little is new, the file stays as it is.

    Returns:
        The rows of records that the attached file does not hold yet; with them every record is there that
        was written before the call.

    Raises:
        ValueError: a record file is damaged; the message names it.
        OSError: the workspace cannot be written to, and there is no catalog yet.
    """
    if _generation(workspace.catalog) is None:
        refresh(workspace)
    for _ in range(20):
        quoted = str(workspace.catalog).replace("'", "''")
        connection.execute(f"ATTACH '{quoted}' AS stored (READ_ONLY)")
        (generation,), *_ = connection.execute("SELECT generation FROM stored._schema").fetchall()
        known = _known.get(generation)
        if known is None:
            known = set(connection.execute("SELECT kind, name FROM stored._source").fetchall())
            _known.clear()
            _known[generation] = known
        missing = _missing(workspace, known)
        if len(missing) <= MOST_FRESH or not _refresh_unless_busy(workspace):
            fresh, _, vanished = _read_new(missing, known)
            if not vanished:
                return fresh
        connection.execute("DETACH stored")
    raise OSError(f"record files under {workspace.records} keep vanishing while they are read; try again")


_known: dict[str, Names] = {}
"""Generation of a catalog file -> what it holds: remembered for the last one that this process has seen."""


def _generation(catalog: Path) -> str | None:
    """What names the state of a catalog file; None when there is none of this version."""
    import duckdb

    if not catalog.exists():
        return None
    try:
        with duckdb.connect(":memory:", config={"threads": 1}) as connection:
            quoted = str(catalog).replace("'", "''")
            connection.execute(f"ATTACH '{quoted}' AS stored (READ_ONLY)")
            (version, generation), *_ = connection.execute("SELECT version, generation FROM stored._schema").fetchall()
            return str(generation) if version == CATALOG_SCHEMA else None
    except duckdb.Error:  # damaged or foreign: it is a view, so it is made anew
        return None


def _refresh_unless_busy(workspace: Workspace) -> bool:
    """Refresh, unless another process is at it or the workspace cannot be written to."""
    try:
        with refresh_lock(workspace, wait=False) as locked:
            if locked:
                _ingest(workspace, anew=False)
            return locked
    except PermissionError:
        return False


def _missing(workspace: Workspace, known: Names) -> list[RecordFile]:
    return [file for file in workspace.record_files() if (file.kind, file.name) not in known]


def _read_new(files: Iterable[RecordFile], known: Names) -> tuple[Rows, Names, bool]:
    """(rows, names of the record files that they are from, whether a file had vanished) of what is not known.

    A compacted file repeats rows of older files: each row carries the name of the file that it came from,
    and counts once. A file that has vanished was compacted; its rows are in a file that is not listed here.
    """
    fresh: Rows = {}
    new: Names = set()
    vanished = False
    for file in files:
        if (file.kind, file.name) in new:  # its row came with a compacted file
            continue
        try:
            found = read_rows(file)
        except FileNotFoundError:
            vanished = True
            continue
        for source, row in found:
            key = (file.kind, source)
            if source == file.name or not (key in known or key in new):
                fresh.setdefault(file.kind, []).append(row)
                new.add(key)
        new.add((file.kind, file.name))
    return fresh, new, vanished


@contextlib.contextmanager
def refresh_lock(workspace: Workspace, wait: bool = True) -> Iterator[bool]:
    """Hold the right to change the catalog file and to compact records; False if it is taken."""
    workspace.root.mkdir(parents=True, exist_ok=True)
    with (workspace.root / ".catalog.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True


def _ingest(workspace: Workspace, anew: bool) -> int:
    import duckdb

    for stale in workspace.root.glob(".catalog-*.tmp*"):  # left by a killed refresh: we hold the lock
        stale.unlink(missing_ok=True)
    aside = workspace.root / f".catalog-{secrets.token_hex(6)}.tmp"
    try:
        if not anew:
            shutil.copyfile(workspace.catalog, aside)
        with duckdb.connect(str(aside), config={"threads": 1}) as connection:
            if anew:
                _create_tables(connection)
            # What the copy itself holds, not what was read before: DuckDB shares an open file within a
            # process, and may have shown the one before this.
            known = set(connection.execute("SELECT kind, name FROM _source").fetchall())
            connection.execute("UPDATE _schema SET generation = ?", [secrets.token_hex(16)])
            count = _ingest_new(workspace, connection, known)
            # Closing writes too, but keeps an error (a full disk) to itself.
            connection.execute("CHECKPOINT")
        aside.replace(workspace.catalog)
        with contextlib.suppress(PermissionError):  # who may only read a bucket leaves this to others
            for kind in RECORD_TYPES:
                compact(workspace, kind, least=COMPACT_BEYOND)
    except duckdb.Error as error:
        raise OSError(f"the catalog cannot be written in {workspace.root}: {error}") from error
    finally:
        for leftover in workspace.root.glob(f"{aside.name}*"):
            leftover.unlink(missing_ok=True)
    return count


def _create_tables(connection: "duckdb.DuckDBPyConnection") -> None:
    connection.execute(f"CREATE TABLE _schema AS SELECT {CATALOG_SCHEMA}::BIGINT AS version, ''::VARCHAR AS generation")
    connection.execute("CREATE TABLE _source (kind VARCHAR, name VARCHAR)")
    for kind in RECORD_TYPES:
        connection.execute(f'CREATE TABLE "{kind}" ({sql_columns(kind)})')


def sql_columns(kind: str) -> str:
    """The columns of a record kind, as in CREATE TABLE."""
    return ", ".join(f'"{name}" {_SQL_TYPES[python]}' for name, python in columns(kind).items())


def _ingest_new(workspace: Workspace, connection: "duckdb.DuckDBPyConnection", known: Names) -> int:
    count = 0
    for _ in range(20):
        missing = _missing(workspace, known)
        fresh, new, vanished = _read_new(missing, known)
        for kind, rows in fresh.items():
            insert(connection, f'"{kind}"', kind, rows)
        if new:
            kinds, names = zip(*sorted(new), strict=True)
            connection.execute("INSERT INTO _source SELECT unnest(?::VARCHAR[]), unnest(?::VARCHAR[])", [kinds, names])
            known |= new
        count += len(missing)
        if not vanished:
            return count
    raise OSError(f"record files under {workspace.records} keep vanishing while they are read; try again")


def insert(connection: "duckdb.DuckDBPyConnection", table: str, kind: str, rows: list[dict[str, object]]) -> None:
    """Insert rows of a record kind into a table of its columns."""
    names = columns(kind)
    # Times are ISO 8601 in UTC; the cast drops the offset so that no time zone data is needed.
    wanted = {name: "VARCHAR" if python is datetime else _SQL_TYPES[python] for name, python in names.items()}
    casts = [
        "CAST(replace({}, '+00:00', '') AS TIMESTAMP)" if python is datetime else "{}" for python in names.values()
    ]
    if len(rows) <= MOST_FRESH:  # pyarrow takes longer to load than this takes
        marks = (cast.format(f"?::{kind}") for cast, kind in zip(casts, wanted.values(), strict=True))
        line = f"({', '.join(marks)})"
        values = [row[name] for row in rows for name in names]
        connection.execute(f"INSERT INTO {table} VALUES {', '.join([line] * len(rows))}", values)
        return
    import pyarrow as pa

    from curation.workspace import arrow_schema

    connection.register("incoming", pa.Table.from_pylist(rows, schema=arrow_schema(kind)))
    selected = ", ".join(cast.format(f'"{name}"') for name, cast in zip(names, casts, strict=True))
    connection.execute(f"INSERT INTO {table} SELECT {selected} FROM incoming")
    connection.unregister("incoming")
