"""``python -m curation.dataset create | list | diff | export | takedown``: named, versioned sets of shards."""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from curation.catalog import open_catalog, rows
from curation.errors import EXIT_DONE, EXIT_USAGE, UserError, unknown_name
from curation.records import Dataset, DatasetShard, Tombstone, TombstoneHit, new_ulid, now
from curation.storage import open_workspace
from curation.tombstones import KINDS, validate
from curation.workspace import Workspace

if TYPE_CHECKING:
    import duckdb

    from curation.tombstones import Tombstones

EPILOG = """\
examples:
  python -m curation.dataset create news --run RUN --workspace W
  python -m curation.dataset create news --run RUN --languages eng_Latn,deu_Latn --why "German added"
  python -m curation.dataset diff news@1 news@2 --workspace W
  python -m curation.dataset export news --to news/ --format datasets --workspace W
  python -m curation.dataset export news --to s3://bucket/news.jsonl.zst --workspace s3://bucket/W
  python -m curation.dataset takedown --url https://example.com/page --why "request 17" --workspace W
"""


def create(
    workspace: Workspace,
    name: str,
    run_id: str,
    languages: Sequence[str] = (),
    why: str | None = None,
    kind: str = "kept",
) -> tuple[str, bool]:
    """Make the next version of a dataset out of a run's shards.

    Args:
        languages: only these (as in the table ``shard``); none: all.
        kind: ``kept``, or ``rejected`` to study what was thrown away.

    Returns:
        (``name@version``, whether it is new): the same shards as the newest version make no new one.

    Raises:
        UserError: no such run, unfinished, no such language, or nothing to put in.
    """
    if not name or not all(c.isalnum() or c in "-_." for c in name):
        raise UserError(f"dataset name {name!r}: letters, digits, '-', '_' and '.' only")
    with open_catalog(workspace) as connection:
        status = rows(connection, "SELECT status FROM run WHERE run_id = ?", [run_id])
        if not status:
            known = [row["run_id"] for row in rows(connection, "SELECT run_id FROM run ORDER BY run_id")]
            raise unknown_name("run", run_id, known)
        if status[0]["status"] != "done":
            raise UserError(f"run {run_id} is {status[0]['status']}: only a finished run can become a dataset")
        sql = "SELECT shard_id, language FROM shard WHERE run_id = ? AND shard_kind = ? ORDER BY shard_id"
        shards = rows(connection, sql, [run_id, kind])
        present = {row["language"] for row in shards}
        for language in languages:
            if language not in present:
                raise unknown_name(f"language among the {kind} shards of the run", language, present)
        chosen = [row["shard_id"] for row in shards if not languages or row["language"] in languages]
        if not chosen:
            raise UserError(f"run {run_id} has no {kind} shard: nothing to make a dataset of")
        newest = _newest(connection, name)
        if newest is not None:
            sql = "SELECT shard_id FROM dataset_shard WHERE dataset_id = ? ORDER BY shard_id"
            if [row["shard_id"] for row in rows(connection, sql, [newest["dataset_id"]])] == chosen:
                return f"{name}@{newest['version']}", False
    dataset = Dataset(
        dataset_id=new_ulid(),
        name=name,
        version=1 if newest is None else newest["version"] + 1,
        parent_dataset_id=None if newest is None else newest["dataset_id"],
        run_id=run_id,
        why=why,
        created_at=now(),
    )
    # Members first: a dataset on record is whole.
    members = [DatasetShard(dataset_id=dataset.dataset_id, shard_id=shard_id) for shard_id in chosen]
    workspace.write([*members, dataset], name=dataset.dataset_id)
    return f"{name}@{dataset.version}", True


def _newest(connection: "duckdb.DuckDBPyConnection", name: str) -> dict[str, Any] | None:
    found = rows(connection, "SELECT * FROM dataset WHERE name = ? ORDER BY version DESC LIMIT 1", [name])
    return found[0] if found else None


def find(connection: "duckdb.DuckDBPyConnection", reference: str) -> dict[str, Any]:
    """The dataset ``name`` (newest version), ``name@version``, or of this id.

    Raises:
        UserError: there is none; the existing ones are listed.
    """
    name, _, version = reference.partition("@")
    found = rows(
        connection,
        "SELECT * FROM dataset WHERE dataset_id = ? OR name = ? AND (? = '' OR version::VARCHAR = ?) "
        "ORDER BY version DESC LIMIT 1",
        [reference, name, version, version],
    )
    if not found:
        known = rows(connection, "SELECT DISTINCT name || '@' || version AS n FROM dataset")
        raise unknown_name("dataset", reference, [row["n"] for row in known] or ["none yet"])
    return found[0]


def find_texts(connection: "duckdb.DuckDBPyConnection", reference: str) -> dict[str, Any]:
    """The dataset as ``find`` does, if it is one of documents.

    Raises:
        UserError: there is none, or it is one of tokens; what it was made from is named.
    """
    found = find(connection, reference)
    if found["tokenizer_sha256"] is None:
        return found
    sql = "SELECT name || '@' || version AS n FROM dataset WHERE dataset_id = ?"
    source = rows(connection, sql, [found["parent_dataset_id"]])
    raise UserError(
        f"dataset {found['name']}@{found['version']} holds tokens, not texts; name the one that it was made from"
        + (f": {source[0]['n']}" if source else "")
    )


def members(connection: "duckdb.DuckDBPyConnection", dataset_id: str) -> list[dict[str, Any]]:
    """The shards of a dataset as they are on disk now (after take-downs), sorted by path."""
    return rows(
        connection,
        "SELECT s.*, ds.weight FROM dataset_shard ds JOIN current_shard c ON c.shard_id = ds.shard_id "
        "JOIN shard s ON s.shard_id = c.current_shard_id WHERE ds.dataset_id = ? ORDER BY s.path",
        [dataset_id],
    )


def diff(workspace: Workspace, old: str, new: str) -> list[dict[str, Any]]:
    """What changed between two datasets, by language: documents in both, added, removed, and text bytes."""
    from curation.catalog.query import create_document_view

    with open_catalog(workspace, locked=False) as connection:
        first, second = find_texts(connection, old), find_texts(connection, new)
        ids: dict[str, list[str]] = {}
        for side, dataset in (("a", first), ("b", second)):
            ids[side] = [row["shard_id"] for row in members(connection, dataset["dataset_id"])]
        create_document_view(workspace, connection, [*ids["a"], *ids["b"]])
        for side in ids:
            connection.execute(
                f"CREATE TABLE side_{side} AS SELECT id, any_value(language) AS language, "
                "any_value(strlen(text)) AS size FROM document WHERE list_contains(?, shard_id) GROUP BY id",
                [ids[side]],
            )
        return rows(
            connection,
            "SELECT coalesce(a.language, b.language) AS language, count(*) FILTER (a.id = b.id) AS in_both, "
            "count(*) FILTER (a.id IS NULL) AS added, count(*) FILTER (b.id IS NULL) AS removed, "
            "(coalesce(sum(b.size), 0) - coalesce(sum(a.size), 0))::BIGINT AS text_bytes_change "
            "FROM side_a a FULL JOIN side_b b USING (id) GROUP BY 1 ORDER BY 1",
        )


def documents(workspace: Workspace, reference: str, batch_size: int = 256) -> Iterator[Any]:
    """Arrow record batches of a dataset's documents in order of path, without what is taken down."""
    with open_catalog(workspace) as connection:
        shards = members(connection, find_texts(connection, reference)["dataset_id"])
        tombstones = rows(connection, "SELECT what, value FROM tombstone")
    yield from stored(workspace, [shard["path"] for shard in shards], tombstones, batch_size)


def run_documents(workspace: Workspace, run_id: str, batch_size: int = 256) -> Iterator[Any]:
    """Arrow record batches of the documents that a run has kept, as ``documents`` gives those of a dataset."""
    with open_catalog(workspace) as connection:
        shards = rows(
            connection,
            "SELECT s.* FROM c.shard o JOIN current_shard c ON c.shard_id = o.shard_id "
            "JOIN shard s ON s.shard_id = c.current_shard_id "
            "WHERE o.run_id = ? AND o.replaces IS NULL AND o.shard_kind = 'kept' ORDER BY s.path",
            [run_id],
        )
        tombstones = rows(connection, "SELECT what, value FROM tombstone")
    yield from stored(workspace, [shard["path"] for shard in shards], tombstones, batch_size)


def stored(
    workspace: Workspace, paths: Iterable[str], takedowns: Sequence[dict[str, Any]], batch_size: int = 256
) -> Iterator[Any]:
    """Arrow record batches of the documents of shards, without what is taken down.

    Args:
        paths: as in ``Shard.path``.
        takedowns: ``what`` and ``value`` of every tombstone.
    """
    from curation.tombstones import Tombstones

    tombstones = Tombstones.of(takedowns)
    for path in paths:
        yield from shard_documents(workspace, path, tombstones, batch_size)


def shard_documents(
    workspace: Workspace,
    path: str,
    tombstones: "Tombstones",
    batch_size: int = 256,
    columns: Sequence[str] | None = None,
) -> Iterator[Any]:
    """Arrow record batches of a shard's documents, without what is taken down.

    Args:
        columns: only these (a score is ``filter.score``), ``id``, ``url`` and ``domain`` among them; those that the
            shard has not are left out. None: all.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(workspace.open_shard(path), pre_buffer=False) as file:
        if columns is not None:
            present = {file.schema.column(i).path for i in range(len(file.schema))}
            columns = [name for name in columns if name in present]
        for batch in file.iter_batches(batch_size=batch_size, columns=columns):
            if tombstones.rules:
                keys = batch.select(["id", "url", "domain"]).to_pylist()
                keep = [not tombstones.hides(row["id"], row["url"], row["domain"]) for row in keys]
                batch = batch.filter(pa.array(keep, pa.bool_()))
            if batch.num_rows:
                yield batch


def takedown(workspace: Workspace, what: str, value: str, why: str) -> tuple[str, int]:
    """Hide documents at once and in every later run; list what holds them.

    Returns:
        (tombstone_id, how many stored documents it hides).

    Raises:
        UserError: nothing that can be looked for.
    """
    validate(what, value)
    if what == "domain":
        value = value.lower().strip(".")
    tombstone = Tombstone(tombstone_id=new_ulid(), what=what, value=value, why=why, requested_at=now())
    # Hits are looked for among all that is on disk, what earlier tombstones hide included.
    from curation.catalog.query import create_document_view

    with open_catalog(workspace, locked=False) as connection:
        create_document_view(workspace, connection, hide=False)
        condition = {
            "id": "id = ?",
            "url": "url = ?",
            "domain": "(domain = ? OR suffix(domain, '.' || ?))",
            "pattern": "regexp_matches(coalesce(url, ''), ?)",
        }[what]
        found = rows(
            connection,
            "SELECT DISTINCT id, shard_id, raw_file_id, record_offset, record_index FROM document "
            f"WHERE {condition} ORDER BY ALL",
            [value] * condition.count("?"),
        )
    hits = [
        TombstoneHit(
            tombstone_id=tombstone.tombstone_id,
            document_id=row["id"],
            shard_id=row["shard_id"],
            raw_file_id=row["raw_file_id"],
            record_offset=row["record_offset"],
            record_index=row["record_index"],
        )
        for row in found
    ]
    # The rule first: from here on nothing shows the text; a kill before the hits costs only the list.
    workspace.write([tombstone, *hits], name=tombstone.tombstone_id)
    return tombstone.tombstone_id, len({hit.document_id for hit in hits})


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m curation.dataset",
        description="Named, versioned sets of shards.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--workspace", default="workspace", help="folder or URL (default: ./workspace)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    make = commands.add_parser("create", parents=[common], help="make the next version out of a run's shards")
    make.add_argument("name")
    make.add_argument("--run", required=True, metavar="RUN")
    make.add_argument("--languages", default="", help="comma-separated, as in the table shard; none: all")
    make.add_argument("--kind", choices=("kept", "rejected"), default="kept")
    make.add_argument("--why", help="what this version is for")
    commands.add_parser("list", parents=[common], help="all datasets")
    compare = commands.add_parser("diff", parents=[common], help="documents added and removed, by language")
    compare.add_argument("old", help="NAME or NAME@VERSION")
    compare.add_argument("new", help="NAME or NAME@VERSION")
    export = commands.add_parser("export", parents=[common], help="write the documents somewhere else")
    export.add_argument("dataset", help="NAME or NAME@VERSION")
    export.add_argument(
        "--to", required=True, help="JSONL file (.gz, .zst compress), folder for 'datasets', or such a URL"
    )
    export.add_argument("--format", choices=("jsonl", "datasets"), default="jsonl")
    export.add_argument("--columns", default="", help="comma-separated; none: all")
    remove = commands.add_parser("takedown", parents=[common], help="hide documents everywhere, at once")
    group = remove.add_mutually_exclusive_group(required=True)
    group.add_argument("--id", help="document id")
    group.add_argument("--url", help="exact URL")
    group.add_argument("--domain", help="host name, subdomains included")
    group.add_argument("--pattern", help="regular expression (RE2) searched in the URL")
    remove.add_argument("--why", required=True, help="the reason, kept on record")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code."""
    options = build_parser().parse_args(argv)
    try:
        _run(options, open_workspace(options.workspace))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    return EXIT_DONE


def _run(options: argparse.Namespace, workspace: Workspace) -> None:
    from curation.catalog.__main__ import print_rows

    where = f"--workspace {options.workspace}"
    if options.command == "create":
        languages = [name for name in options.languages.split(",") if name]
        reference, new = create(workspace, options.name, options.run, languages, options.why, options.kind)
        print(f"{reference}{'' if new else ' has these shards already; no new version'}")
        print(f"next: python -m curation.dataset export {reference} --to {options.name}.jsonl {where}")
    elif options.command == "list":
        with open_catalog(workspace) as connection:
            found = rows(
                connection,
                "SELECT name || '@' || version AS dataset, s.shards, s.documents, s.text_bytes, d.tokens, d.tokenizer, "
                "run_id AS run, d.why, strftime(d.created_at, '%Y-%m-%d %H:%M:%S') AS created "
                "FROM dataset d JOIN dataset_size s USING (dataset_id) ORDER BY dataset",
            )
        if found:
            print_rows(list(found[0]), [tuple(row.values()) for row in found], "table")
        else:
            print(f"no dataset yet; next: python -m curation.dataset create NAME --run RUN {where}")
    elif options.command == "diff":
        found = diff(workspace, options.old, options.new)
        names = ["language", "in_both", "added", "removed", "text_bytes_change"]
        print_rows(names, [tuple(row.values()) for row in found], "table")
    elif options.command == "export":
        from curation.export import export

        columns = [name for name in options.columns.split(",") if name]
        count = export(workspace, options.dataset, options.to, options.format, columns)
        print(f"{count:,} documents written to {options.to}")
    else:
        _takedown_command(options, workspace, where)


def _takedown_command(options: argparse.Namespace, workspace: Workspace, where: str) -> None:
    from curation.catalog.__main__ import print_rows

    what = next(kind for kind in KINDS if getattr(options, kind) is not None)
    tombstone_id, count = takedown(workspace, what, getattr(options, what), options.why)
    with open_catalog(workspace) as connection:
        held = rows(
            connection,
            "SELECT document_id, shard_path AS shard, dataset || '@' || dataset_version AS dataset, run_id AS run, "
            "raw_file, record_offset AS offset FROM takedown WHERE tombstone_id = ? AND document_id IS NOT NULL "
            "ORDER BY ALL",
            [tombstone_id],
        )
        sql = "SELECT count(DISTINCT checkpoint_id) AS n FROM takedown_checkpoint WHERE tombstone_id = ?"
        trained = rows(connection, sql, [tombstone_id])[0]["n"]
    if held:
        print_rows(list(held[0]), [tuple(row.values()) for row in held], "table")
    print(f"\n{count} stored document(s) hidden, and whatever later runs read that matches; tombstone {tombstone_id}")
    print("the raw files above are yours and still hold it")
    if trained:
        print(f"{trained} checkpoint(s) were trained on datasets that held it: SELECT * FROM takedown_checkpoint")
    print(f"next: python -m curation.catalog gc {where}   (removes it from the shards on disk)")


if __name__ == "__main__":
    sys.exit(main())
