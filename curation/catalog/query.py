"""Questions to a workspace: short read-only connections, every DESIGN table as a view, and documents.

The connection is in memory and has the catalog attached read-only, so that what changes by the minute
(which runs are alive) and what is not in the catalog (texts, in Parquet) look like tables too.
"""

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from curation.catalog.store import attach, insert, sql_columns
from curation.errors import UserError
from curation.processes import is_alive
from curation.records import RECORD_TYPES
from curation.tombstones import hide_condition
from curation.workspace import Workspace

if TYPE_CHECKING:
    import duckdb

_TABLE_FUNCTIONS = {"unnest", "range", "generate_series"}
"""What a person's SQL may call in FROM: nothing that reads files."""

STALE_SECONDS = 60.0
"""A run on another machine is dead when its heartbeat (every 5 s; in object storage every 20 s) is older than this."""

# Facts of a shard stay (what held a document is asked for after a take-down); `shard` shows those on disk.
# A dataset held a document if the shard that did, or one before it, is in it; one of tokens only if its run began
# before the document was hidden. A checkpoint may have seen it if its run began before, on such a dataset.
_VIEWS = """
CREATE VIEW _gone AS SELECT replaces AS shard_id, shard_id AS replaced_by FROM c.shard WHERE replaces IS NOT NULL
    UNION ALL SELECT shard_id, NULL FROM c.shard_removal;
CREATE VIEW shard AS SELECT * FROM c.shard WHERE shard_id NOT IN (SELECT shard_id FROM _gone);
CREATE VIEW shard_all AS SELECT s.*, g.shard_id IS NULL AS on_disk, g.replaced_by
    FROM c.shard s LEFT JOIN _gone g USING (shard_id);
CREATE VIEW current_shard AS
    WITH RECURSIVE chain(origin, shard_id) AS (
        SELECT shard_id, shard_id FROM c.shard
        UNION SELECT chain.origin, g.replaced_by FROM chain JOIN _gone g USING (shard_id)
        WHERE g.replaced_by IS NOT NULL)
    SELECT origin AS shard_id, chain.shard_id AS current_shard_id
    FROM chain WHERE chain.shard_id NOT IN (SELECT shard_id FROM _gone);
CREATE VIEW token_shard AS SELECT * FROM c.token_shard
    WHERE token_shard_id NOT IN (SELECT replaces FROM c.token_shard WHERE replaces IS NOT NULL);
CREATE VIEW dataset_size AS SELECT dataset_id, count(p.documents) AS shards,
        coalesce(sum(p.documents), 0)::BIGINT AS documents, sum(p.text_bytes)::BIGINT AS text_bytes
    FROM c.dataset d LEFT JOIN (
        SELECT ds.dataset_id, s.documents, s.text_bytes FROM c.dataset_shard ds
            JOIN current_shard c USING (shard_id) JOIN c.shard s ON s.shard_id = c.current_shard_id
        UNION ALL SELECT dataset_id, documents, NULL FROM token_shard) p USING (dataset_id) GROUP BY ALL;
CREATE VIEW _descent AS
    WITH RECURSIVE descent(shard_id, ancestor) AS (
        SELECT shard_id, shard_id FROM c.shard
        UNION SELECT d.shard_id, s.replaces FROM descent d JOIN c.shard s ON s.shard_id = d.ancestor
        WHERE s.replaces IS NOT NULL)
    SELECT * FROM descent;
CREATE VIEW _held AS SELECT shard_id, dataset_id, NULL::TIMESTAMP AS read_at FROM c.dataset_shard
    UNION SELECT t.shard_id, t.dataset_id, r.created_at FROM c.token_shard t LEFT JOIN c.run r USING (run_id);
CREATE VIEW takedown AS
    SELECT t.tombstone_id, t.what, t.value, t.why, t.requested_at, h.document_id, h.shard_id, s.path AS
        shard_path, s.run_id, d.dataset_id, d.name AS dataset, d.version AS dataset_version,
        h.raw_file_id, f.uri AS raw_file, h.record_offset, h.record_index,
        h.shard_id IS NOT NULL AND h.shard_id NOT IN (SELECT shard_id FROM _gone) AS on_disk
    FROM c.tombstone t LEFT JOIN c.tombstone_hit h USING (tombstone_id)
    LEFT JOIN c.shard s ON s.shard_id = h.shard_id
    LEFT JOIN (SELECT e.shard_id, o.dataset_id, max(o.read_at) AS read_at FROM _descent e
               JOIN _held o ON o.shard_id = e.ancestor GROUP BY ALL) ds
        ON ds.shard_id = h.shard_id AND (ds.read_at IS NULL OR ds.read_at <= t.requested_at)
    LEFT JOIN c.dataset d ON d.dataset_id = ds.dataset_id
    LEFT JOIN (SELECT DISTINCT raw_file_id, run_id, uri FROM c.raw_file WHERE copy_of IS NULL) f
        ON f.raw_file_id = h.raw_file_id AND f.run_id = s.run_id;
CREATE VIEW takedown_checkpoint AS
    SELECT DISTINCT t.tombstone_id, t.document_id, t.dataset, t.dataset_version, k.checkpoint_id, k.run_id, k.step,
        k.checkpoint_id NOT IN (SELECT checkpoint_id FROM c.checkpoint_removal) AS on_disk
    FROM takedown t JOIN c.run_dataset rd USING (dataset_id) JOIN c.run r ON r.run_id = rd.run_id
    JOIN c.checkpoint k ON k.run_id = rd.run_id WHERE r.created_at <= t.requested_at;
CREATE VIEW run AS
    SELECT r.run_id, r.run_kind AS kind, r.parent_run_id, r.config, r.config_hash, r.git_commit,
        r.git_dirty, r.versions, r.seed, coalesce(a.status, l.status, 'dead') AS status,
        coalesce(a.attempt, 0) AS attempts, r.created_at AS started_at, l.heartbeat_at, a.finished_at,
        a.exit_code, a.why
    FROM c.run r LEFT JOIN _newest_attempt a USING (run_id) LEFT JOIN _liveness l USING (run_id);
CREATE VIEW trial AS
    SELECT t.trial_id, t.sweep_run_id, t.number, t.run_id, t.parameters, coalesce(e.status, 'unfinished') AS status,
        e.value, e.step, e.why, t.created_at, e.finished_at
    FROM c.trial t LEFT JOIN c.trial_end e USING (trial_id);
CREATE VIEW probe_metric AS
    SELECT probe_id, version, metric, ideal, unit, probe_kind AS kind, source, license FROM c.probe_metric;
"""


@contextlib.contextmanager
def open_catalog(
    workspace: Workspace, documents: bool = False, tokens: bool = False, locked: bool = True
) -> "Iterator[duckdb.DuckDBPyConnection]":
    """A connection for questions, up to date with all records written before the call.

    Args:
        documents: also make the view ``document``: every document on disk, kept and rejected, with its
            ``shard_id`` and ``shard_kind``, without what is taken down.
        tokens: also make the view ``token_document``: the documents of every token shard and where their tokens are.
        locked: keep SQL from reaching any file outside the workspace (for SQL typed by a person).

    Raises:
        UserError: there is no workspace here.
    """
    import duckdb

    if not workspace.exists:
        raise UserError(
            f"no workspace at {workspace.name}: name one with --workspace, "
            "or make one with python -m curation.run INPUT --workspace W"
        )
    connection = duckdb.connect(":memory:")
    try:
        connection.execute("SET TimeZone = 'UTC'")
        workspace.register(connection)
        _create_record_views(workspace, connection)
        _create_liveness(workspace, connection)
        for kind in RECORD_TYPES:
            if kind not in ("run", "shard", "token_shard", "trial", "probe_metric"):
                connection.execute(f'CREATE VIEW "{kind}" AS SELECT * FROM c."{kind}"')
        connection.execute(_VIEWS)
        metric_files = create_metric_view(workspace, connection)
        if documents:
            create_document_view(workspace, connection)
        if tokens:
            _create_token_view(workspace, connection)
        if locked:
            allowed = ", ".join(f"'{_quoted(workspace.shard_url(each))}'" for each in ("shards", "tokens"))
            connection.execute(f"SET allowed_directories = [{allowed}]")
            listed = ", ".join(f"'{_quoted(file)}'" for file in metric_files)
            connection.execute(f"SET allowed_paths = [{listed}]")
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
        yield connection
    finally:
        connection.close()


def _quoted(value: object) -> str:
    return str(value).replace("'", "''")


def _create_record_views(workspace: Workspace, connection: "duckdb.DuckDBPyConnection") -> None:
    """Schema ``c``: each record kind as a view, of the catalog file and of the records that are newer."""
    fresh = attach(workspace, connection)
    connection.execute("CREATE SCHEMA c")
    for kind in RECORD_TYPES:
        source = f'SELECT * FROM stored."{kind}"'
        if kind in fresh:
            connection.execute(f'CREATE TABLE "_fresh_{kind}" ({sql_columns(kind)})')
            insert(connection, f'"_fresh_{kind}"', kind, fresh[kind])
            source += f' UNION ALL SELECT * FROM "_fresh_{kind}"'
        connection.execute(f'CREATE VIEW c."{kind}" AS {source}')


def _create_liveness(workspace: Workspace, connection: "duckdb.DuckDBPyConnection") -> None:
    """``_newest_attempt`` of each run, and ``_liveness`` of those without an end: running or dead, as of now."""
    connection.execute(
        """CREATE VIEW _newest_attempt AS
           SELECT a.*, e.status, e.finished_at, e.exit_code, e.why
           FROM (SELECT * FROM c.attempt QUALIFY row_number() OVER
                 (PARTITION BY run_id ORDER BY attempt DESC, started_at DESC) = 1) a
           LEFT JOIN c.run_end e ON e.run_id = a.run_id AND e.attempt = a.attempt"""
    )
    connection.execute("CREATE TABLE _liveness (run_id VARCHAR, status VARCHAR, heartbeat_at TIMESTAMP)")
    unended = rows(connection, "SELECT * FROM _newest_attempt WHERE status IS NULL")
    beats = workspace.beats([row["run_id"] for row in unended])
    for row in unended:
        beat = beats.get(row["run_id"])
        status = "running" if is_alive(row, beat, STALE_SECONDS) else "dead"
        stamp = None if beat is None else time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(beat))
        connection.execute("INSERT INTO _liveness VALUES (?, ?, ?)", [row["run_id"], status, stamp])


def create_metric_view(workspace: Workspace, connection: "duckdb.DuckDBPyConnection") -> list[str]:
    """Create the view ``metric``: a row for each number in ``runs/<run_id>/metrics-<attempt>.jsonl``, of each step that
    of the newest attempt at it. Returns the files, which are read when the view is."""
    files = sorted(str(path) for path in workspace.runs.glob("*/metrics-*.jsonl"))
    columns = "run_id VARCHAR, attempt BIGINT, step BIGINT, name VARCHAR, value DOUBLE"
    if not files:
        connection.execute(f"CREATE TABLE metric ({columns})")
        return []
    listed = ", ".join(f"'{_quoted(file)}'" for file in files)
    # The last line of a run that is at work, or was killed, may be cut off.
    connection.execute(
        f"""CREATE VIEW metric AS
            WITH line AS (
                SELECT parse_path(filename)[-2] AS run_id,
                       regexp_extract(filename, 'metrics-([0-9]+)', 1)::BIGINT AS attempt, json
                FROM read_json_objects([{listed}], format = 'newline_delimited', ignore_errors = true, filename = true)
                WHERE json IS NOT NULL
            ), number AS (
                SELECT run_id, attempt, (json ->> '$.step')::BIGINT AS step,
                       unnest(map_entries(json::MAP(VARCHAR, DOUBLE))) AS entry
                FROM line
            )
            SELECT run_id, attempt, step, entry.key AS name, entry.value AS value
            FROM number WHERE entry.key <> 'step'
            QUALIFY row_number() OVER (PARTITION BY run_id, step, name ORDER BY attempt DESC) = 1"""
    )
    return files


def create_document_view(
    workspace: Workspace,
    connection: "duckdb.DuckDBPyConnection",
    shard_ids: Sequence[str] | None = None,
    hide: bool = True,
) -> None:
    """Create the view ``document`` over the shards on disk (of ``shard_ids``, else all).

    Only the look-up of what a take-down concerns says ``hide=False``.
    """
    from curation.shards import empty_document_table

    wanted = connection.execute("SELECT shard_id, path, shard_kind FROM shard ORDER BY path").fetchall()
    if shard_ids is not None:
        chosen = set(shard_ids)
        wanted = [row for row in wanted if row[0] in chosen]
    connection.execute("CREATE TABLE _document_file (filename VARCHAR, shard_id VARCHAR, shard_kind VARCHAR)")
    # Every column is there, also where no document was ever rejected, and where shards are older than a column.
    connection.register("_no_document", empty_document_table())
    if not wanted:  # read_parquet refuses an empty list of files
        connection.execute(
            "CREATE VIEW document AS SELECT *, NULL::VARCHAR AS shard_id, NULL::VARCHAR AS shard_kind FROM _no_document"
        )
        return
    files = [(workspace.shard_url(path), shard_id, kind) for shard_id, path, kind in wanted]
    connection.executemany("INSERT INTO _document_file VALUES (?, ?, ?)", files)
    listed = ", ".join(f"'{_quoted(file)}'" for file, _, _ in files)
    hide = hide and bool(connection.execute("SELECT 1 FROM c.tombstone LIMIT 1").fetchall())
    hidden = f" WHERE {hide_condition('d')}" if hide else ""
    connection.execute(
        f"CREATE VIEW document AS SELECT d.* EXCLUDE (filename), f.shard_id, f.shard_kind "
        f"FROM read_parquet([{listed}], union_by_name = true, filename = true) d "
        f"JOIN _document_file f USING (filename){hidden} UNION ALL BY NAME SELECT * FROM _no_document"
    )


def _create_token_view(workspace: Workspace, connection: "duckdb.DuckDBPyConnection") -> None:
    from curation.tokens.layout import documents_path, documents_schema

    connection.register("_no_token_document", documents_schema().empty_table())
    wanted = connection.execute("SELECT token_shard_id, path FROM token_shard ORDER BY path").fetchall()
    files = [(workspace.shard_url(documents_path(path)), token_shard_id) for token_shard_id, path in wanted]
    facts = "t.token_shard_id, t.dataset_id, t.split"
    if not files:
        empty = "SELECT token_shard_id, dataset_id, split FROM token_shard LIMIT 0"
        connection.execute(f"CREATE VIEW token_document AS SELECT * FROM ({empty}) t, _no_token_document")
        return
    connection.execute("CREATE TABLE _token_file (filename VARCHAR, token_shard_id VARCHAR)")
    connection.executemany("INSERT INTO _token_file VALUES (?, ?)", files)
    listed = ", ".join(f"'{_quoted(file)}'" for file, _ in files)
    connection.execute(
        f"CREATE VIEW token_document AS SELECT {facts}, d.* EXCLUDE (filename) "
        f"FROM read_parquet([{listed}], filename = true) d JOIN _token_file f USING (filename) "
        "JOIN token_shard t USING (token_shard_id)"
    )


def rows(connection: "duckdb.DuckDBPyConnection", sql: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
    """The result of a query as a list of dicts."""
    cursor = connection.execute(sql, list(parameters))
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]


def ask(workspace: Workspace, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Answer one SELECT typed by a person: (column names, rows).

    Raises:
        UserError: not exactly one SELECT, or the query is wrong; the message says how.
    """
    import duckdb

    asked = sql.lower().replace("token_document", "")
    with open_catalog(workspace, "document" in asked, "token_document" in sql.lower()) as connection:
        try:
            statements = connection.extract_statements(sql)
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                raise UserError("the catalog answers one SELECT at a time and changes nothing")
            _refuse_files(connection, sql)
            cursor = connection.execute(statements[0])
            return [column[0] for column in cursor.description or ()], cursor.fetchall()
        except duckdb.Error as error:
            raise UserError(f"SQL: {error}") from error


def _refuse_files(connection: "duckdb.DuckDBPyConnection", sql: str) -> None:
    """Raise UserError for SQL that reads files by itself: shards read past the view ``document`` would show
    what is taken down, until it is off the disk."""
    (serialized,) = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchall()[0]
    tree = json.loads(serialized)
    if tree.get("error"):  # a PIVOT, say, which cannot be looked into
        raise UserError(f"SQL: this kind of statement is not answered: {tree.get('error_message', '')}")
    pending: list[Any] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, list):
            pending += node
        elif isinstance(node, dict):
            pending += node.values()
            kind = node.get("type")
            function = (node.get("function") or {}).get("function_name") if kind == "TABLE_FUNCTION" else None
            table = str(node.get("table_name") or "") if kind == "BASE_TABLE" else ""
            if (function and function not in _TABLE_FUNCTIONS) or not all(c.isalnum() or c == "_" for c in table):
                raise UserError(f"SQL: {function or table} is not a table of the catalog; texts are in 'document'")


def run_config(connection: "duckdb.DuckDBPyConnection", run_id: str) -> dict[str, Any]:
    """The resolved configuration of a run.

    Raises:
        UserError: no such run; the newest ones are listed.
    """
    found = connection.execute("SELECT config FROM run WHERE run_id = ?", [run_id]).fetchall()
    if not found:
        newest = connection.execute("SELECT run_id FROM run ORDER BY run_id DESC LIMIT 5").fetchall()
        known = ", ".join(row[0] for row in newest) or "none yet"
        raise UserError(f"no run {run_id!r} in this workspace; newest runs: {known}")
    config: dict[str, Any] = json.loads(found[0][0])
    return config
