"""``python -m curation.catalog check``: the proof that a workspace is what its records say.

Each check is a question with an empty answer where all is well; every line of an answer is a finding.
"""

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from curation.catalog.query import open_catalog, rows
from curation.dedup.index import index_files, verify_file
from curation.shards import file_sha256
from curation.tokens.check import wrong_tokens
from curation.verdicts import LATE
from curation.weights import weights_sha256
from curation.workspace import Workspace

if TYPE_CHECKING:
    import duckdb

_DONE = "SELECT run_id FROM run WHERE status = 'done' AND kind = 'curate'"

# Documents of a file: reader's count = rows in shards + counted without a row + quarantined. Shards count
# as written (a take-down removes rows later, and has its own record).
_QUESTIONS: dict[str, tuple[str, str]] = {
    "accounts by file": (
        f"""SELECT f.run_id, f.uri, f.records, f.unstored, f.quarantined,
              coalesce(sum(s.documents), 0)::BIGINT AS stored
            FROM c.raw_file f LEFT JOIN
              (SELECT o.run_id, ss.raw_file_id, ss.documents FROM c.shard_source ss
               JOIN c.shard o USING (shard_id) WHERE o.replaces IS NULL) s
              ON s.run_id = f.run_id AND s.raw_file_id = f.raw_file_id AND f.copy_of IS NULL
            WHERE f.run_id IN ({_DONE}) GROUP BY ALL HAVING f.records <> f.unstored + f.quarantined + stored""",
        "run {run_id}: {uri}: {records} records read, but {stored} stored + {unstored} without a row + "
        "{quarantined} quarantined",
    ),
    "accounts by run": (
        f"""SELECT * FROM (SELECT run_id,
              (SELECT coalesce(sum(records), 0) FROM c.raw_file f WHERE f.run_id = r.run_id) AS raw,
              (SELECT coalesce(sum(documents), 0) FROM c.shard s
               WHERE s.run_id = r.run_id AND shard_kind = 'kept' AND replaces IS NULL) AS kept,
              (SELECT coalesce(sum(documents), 0) FROM c.filter_count f WHERE f.run_id = r.run_id) AS rejected,
              (SELECT count(*) FROM c.quarantine q WHERE q.run_id = r.run_id) AS quarantined
            FROM c.run r WHERE run_id IN ({_DONE})) WHERE raw <> kept + rejected + quarantined""",
        "run {run_id}: {raw} raw records, but {kept} kept + {rejected} rejected + {quarantined} quarantined",
    ),
    "rejected documents stored": (
        f"""SELECT * FROM (SELECT run_id,
              (SELECT coalesce(sum(documents), 0) FROM c.filter_count f
               WHERE f.run_id = r.run_id AND stored) AS counted,
              (SELECT coalesce(sum(documents), 0) FROM c.shard s
               WHERE s.run_id = r.run_id AND shard_kind = 'rejected' AND replaces IS NULL) AS stored
            FROM c.run r WHERE run_id IN ({_DONE})) WHERE counted <> stored""",
        "run {run_id}: {counted} documents counted as rejected and stored, but rejected shards hold {stored}",
    ),
    "quarantine by file": (
        f"""SELECT f.run_id, f.uri, f.quarantined, count(q.raw_file_id) AS rows FROM c.raw_file f
            LEFT JOIN c.quarantine q ON q.run_id = f.run_id AND q.raw_file_id = f.raw_file_id
            WHERE f.copy_of IS NULL AND f.run_id IN ({_DONE})
            GROUP BY ALL HAVING f.quarantined <> count(q.raw_file_id)""",
        "run {run_id}: {uri}: {quarantined} quarantined, but {rows} entries",
    ),
    "subjects of findings": (
        """SELECT DISTINCT run_id, subject_kind, subject_id FROM c.finding WHERE CASE subject_kind
             WHEN 'run' THEN subject_id NOT IN (SELECT run_id FROM c.run)
             WHEN 'dataset' THEN subject_id NOT IN (SELECT dataset_id FROM c.dataset)
             WHEN 'checkpoint' THEN subject_id NOT IN (SELECT checkpoint_id FROM c.checkpoint) ELSE false END""",
        "run {run_id}: findings about {subject_kind} {subject_id}, which is not on record",
    ),
}

# (table, column, table and column that it must be found in)
_REFERENCES = (
    ("run", "parent_run_id", "run", "run_id"),
    ("attempt", "run_id", "run", "run_id"),
    ("run_end", "run_id", "run", "run_id"),
    ("raw_file", "run_id", "run", "run_id"),
    ("shard", "run_id", "run", "run_id"),
    ("shard", "replaces", "shard", "shard_id"),
    ("shard_source", "shard_id", "shard", "shard_id"),
    ("shard_source", "raw_file_id", "raw_file", "raw_file_id"),
    ("filter_count", "run_id", "run", "run_id"),
    ("quarantine", "run_id", "run", "run_id"),
    ("quarantine", "raw_file_id", "raw_file", "raw_file_id"),
    ("contamination", "run_id", "run", "run_id"),
    ("contamination", "raw_file_id", "raw_file", "raw_file_id"),
    ("dataset", "parent_dataset_id", "dataset", "dataset_id"),
    ("dataset", "run_id", "run", "run_id"),
    ("dataset_shard", "dataset_id", "dataset", "dataset_id"),
    ("dataset_shard", "shard_id", "shard", "shard_id"),
    ("token_shard", "run_id", "run", "run_id"),
    ("token_shard", "dataset_id", "dataset", "dataset_id"),
    ("token_shard", "shard_id", "shard", "shard_id"),
    ("token_shard", "replaces", "token_shard", "token_shard_id"),
    ("run_dataset", "run_id", "run", "run_id"),
    ("run_dataset", "dataset_id", "dataset", "dataset_id"),
    ("checkpoint", "run_id", "run", "run_id"),
    ("checkpoint_removal", "checkpoint_id", "checkpoint", "checkpoint_id"),
    ("checkpoint_claim", "run_id", "run", "run_id"),
    ("checkpoint_claim", "checkpoint_id", "checkpoint", "checkpoint_id"),
    ("trial", "sweep_run_id", "run", "run_id"),
    ("trial_end", "trial_id", "trial", "trial_id"),
    ("tombstone_hit", "tombstone_id", "tombstone", "tombstone_id"),
    ("tombstone_hit", "shard_id", "shard", "shard_id"),
    ("shard_removal", "shard_id", "shard", "shard_id"),
    ("finding", "run_id", "run", "run_id"),
    ("finding", "probe_id", "probe_metric", "probe_id"),
)


def check(workspace: Workspace, tell: Callable[[str], None] = lambda line: None) -> list[str]:
    """Prove accounts, references and shards of a workspace.

    Args:
        tell: called with a line for each check that was done.

    Returns:
        What is wrong, a line each; empty when all is well.
    """
    problems: list[str] = []
    with open_catalog(workspace, locked=False) as connection:
        for name, (sql, message) in _QUESTIONS.items():
            found = [message.format(**row) for row in rows(connection, sql)]
            problems += found
            tell(f"{name}: {'ok' if not found else f'{len(found)} wrong'}")
        found = list(_dangling(connection))
        problems += found
        tell(f"references: {'ok' if not found else f'{len(found)} dangling'}")
        shards = rows(connection, "SELECT * FROM shard ORDER BY path")
        found = list(_wrong_shards(workspace, connection, shards))
        problems += found
        tell(f"{len(shards)} shards present with their sha256, rows and reasons: {'ok' if not found else 'no'}")
        found = list(wrong_tokens(workspace, connection))
        problems += found
        tell(f"token shards present with their sha256 and documents: {'ok' if not found else f'{len(found)} wrong'}")
        found = list(_wrong_checkpoints(workspace, connection))
        problems += found
        tell(f"checkpoints present with their sha256: {'ok' if not found else f'{len(found)} wrong'}")
        found = list(_wrong_index(workspace, connection))
        problems += found
        tell(f"index of documents to compare with: {'ok' if not found else f'{len(found)} wrong'}")
    return problems


def _dangling(connection: "duckdb.DuckDBPyConnection") -> Iterator[str]:
    for table, column, target, key in _REFERENCES:
        missing = connection.execute(
            f'SELECT DISTINCT "{column}" FROM c."{table}" WHERE "{column}" IS NOT NULL '
            f'AND "{column}" NOT IN (SELECT "{key}" FROM c."{target}") LIMIT 5'
        ).fetchall()
        for (value,) in missing:
            yield f"{table}.{column} = {value} is in no row of {target}"


def _wrong_shards(
    workspace: Workspace, connection: "duckdb.DuckDBPyConnection", shards: list[dict[str, object]]
) -> Iterator[str]:
    """Files, digests, row counts; and the rejected rows themselves against the writer's counts."""
    import duckdb

    for shard in shards:
        path = workspace.shard_url(str(shard["path"]))
        try:
            digest = file_sha256(workspace.open_shard(str(shard["path"])))
        except FileNotFoundError:
            yield f"shard {shard['shard_id']}: {path} is missing"
            continue
        if digest != shard["sha256"]:
            yield f"shard {shard['shard_id']}: {path} is not the file that was written (sha256 differs)"
            continue
        columns = "count(*), count(DISTINCT id), min(record_offset)"
        try:
            counted = connection.execute(f"SELECT {columns} FROM read_parquet(?)", [path]).fetchall()[0]
        except duckdb.Error as error:
            yield f"shard {shard['shard_id']}: {path} cannot be read: {error}"
            continue
        if counted[0] != shard["documents"] or counted[1] != shard["documents"]:
            yield (
                f"shard {shard['shard_id']}: {shard['documents']} documents on record, "
                f"{counted[0]} rows with {counted[1]} ids in the file"
            )
    yield from _wrong_reasons(workspace, connection)


def _wrong_reasons(workspace: Workspace, connection: "duckdb.DuckDBPyConnection") -> Iterator[str]:
    """Count step and reason in the rejected rows of runs whose shards are all as first written."""
    untouched = rows(
        connection,
        f"""SELECT run_id, list(path) AS paths FROM c.shard WHERE shard_kind = 'rejected'
            AND run_id IN ({_DONE}) AND run_id NOT IN
              (SELECT s.run_id FROM c.shard s JOIN _gone USING (shard_id)) GROUP BY run_id""",
    )
    for run in untouched:
        paths = [workspace.shard_url(path) for path in run["paths"] if workspace.has_shard(path)]
        if not paths:
            continue
        wrong = connection.execute(
            """SELECT step, reason, language, a.n, b.n FROM
               (SELECT step, reason, language, count(*) n FROM read_parquet(?, union_by_name = true) GROUP BY ALL) a
               FULL JOIN (SELECT step, reason, language, sum(documents) n FROM c.filter_count
                          WHERE run_id = ? AND stored GROUP BY ALL) b USING (step, reason, language)
               WHERE a.n IS DISTINCT FROM b.n""",
            [paths, run["run_id"]],
        ).fetchall()
        for step, reason, language, stored, counted in wrong:
            yield (
                f"run {run['run_id']}: {step}/{reason}/{language}: {stored or 0} rows in rejected shards, "
                f"{counted or 0} counted"
            )


def _wrong_checkpoints(workspace: Workspace, connection: "duckdb.DuckDBPyConnection") -> Iterator[str]:
    """Each checkpoint that was not removed is there, whole, with the weights that were written."""
    sql = (
        "SELECT * FROM checkpoint WHERE checkpoint_id NOT IN (SELECT checkpoint_id FROM checkpoint_removal) "
        "ORDER BY checkpoint_id"
    )
    for row in rows(connection, sql):
        folder = workspace.root / str(row["path"])
        if not (folder / "checkpoint.json").is_file():
            yield f"checkpoint {row['checkpoint_id']}: {folder} is missing, or is not whole"
        elif row["weights_sha256"] not in (None, weights_sha256(folder)):
            yield f"checkpoint {row['checkpoint_id']}: {folder} has not the weights that were written (sha256 differs)"


def _wrong_index(workspace: Workspace, connection: "duckdb.DuckDBPyConnection") -> Iterator[str]:
    """Each file readable; a sketch for each document that a run deduplicated. (What is taken down keeps an empty
    row.) Folders of runs that are not done do not count, and are not looked at."""
    runs = rows(
        connection,
        f"""SELECT run_id, config,
              (SELECT coalesce(sum(documents), 0)::BIGINT FROM c.shard s
               WHERE s.run_id = r.run_id AND shard_kind = 'kept' AND replaces IS NULL) +
              (SELECT coalesce(sum(documents), 0)::BIGINT FROM c.filter_count f
               WHERE f.run_id = r.run_id AND {LATE}) AS sketched
            FROM run r WHERE run_id IN ({_DONE}) ORDER BY run_id""",
    )
    folders = workspace.index_folders([run["run_id"] for run in runs])
    for run in runs:
        dedup = json.loads(run["config"])["curation"].get("dedup")  # None: older than deduplication
        if dedup is None or not (dedup["url"] or dedup["exact"] or dedup["near"]["enabled"]):
            continue
        documents = 0
        try:
            for path in index_files(folders[run["run_id"]]):
                documents += verify_file(path)
        except OSError as error:
            yield f"run {run['run_id']}: index: {error}"
            continue
        if documents != run["sketched"]:
            yield f"run {run['run_id']}: {run['sketched']} documents deduplicated, but its index holds {documents}"
