"""``python -m curation.catalog status | sql | check | refresh | gc``."""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from curation.errors import EXIT_DONE, EXIT_SOME_FAILED, EXIT_USAGE, UserError
from curation.storage import open_workspace
from curation.workspace import Workspace

EPILOG = """\
examples:
  python -m curation.catalog status --workspace W
  python -m curation.catalog sql "SELECT step, reason, sum(documents) FROM filter_count GROUP BY ALL" --workspace W
  python -m curation.catalog sql "SELECT id, url, reason FROM document WHERE step = 'language'" --workspace W
  python -m curation.catalog sql "SELECT * FROM takedown" --format json --workspace W
  python -m curation.catalog check --workspace W
"""


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m curation.catalog",
        description="Question a workspace.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--workspace", default="workspace", help="folder or URL (default: ./workspace)")
    commands.add_parser("status", parents=[common], help="runs, datasets and sizes at a glance")
    sql = commands.add_parser("sql", parents=[common], help="answer one SELECT")
    sql.add_argument("query", help="SQL over the tables; the view 'document' holds all documents and texts")
    sql.add_argument("--format", choices=("table", "csv", "json"), default="table", help="how to print rows")
    commands.add_parser("check", parents=[common], help="prove accounts, references and shards; exit 1 if wrong")
    refresh = commands.add_parser("refresh", parents=[common], help="bring the catalog up to date")
    refresh.add_argument("--rebuild", action="store_true", help="from nothing, out of the records")
    commands.add_parser("gc", parents=[common], help="remove taken-down text and leftovers from disk")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code."""
    options = build_parser().parse_args(argv)
    try:
        return _run(options, open_workspace(options.workspace))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    except BrokenPipeError:
        return EXIT_DONE


def _run(options: argparse.Namespace, workspace: Workspace) -> int:
    def tell(line: str) -> None:
        print(line, flush=True)

    if options.command == "status":
        _status(workspace)
    elif options.command == "sql":
        from curation.catalog.query import ask

        print_rows(*ask(workspace, options.query), options.format)
    elif options.command == "check":
        from curation.catalog.check import check

        problems = check(workspace, tell)
        for problem in problems:
            print(f"WRONG: {problem}")
        print("all is well" if not problems else f"{len(problems)} problem(s)")
        return EXIT_SOME_FAILED if problems else EXIT_DONE
    elif options.command == "refresh":
        from curation.catalog.store import refresh

        if not workspace.exists:
            raise UserError(f"no workspace at {workspace.name}")
        print(f"{refresh(workspace, rebuild=options.rebuild)} record files ingested")
    else:
        from curation.catalog.gc import collect

        collect(workspace, tell)
        print(f"done; next: python -m curation.catalog check --workspace {options.workspace}")
    return EXIT_DONE


def _status(workspace: Workspace) -> None:
    """Print runs, shards and datasets."""
    from curation.catalog.query import open_catalog, rows

    with open_catalog(workspace) as connection:
        runs = rows(
            connection,
            """SELECT run_id AS run, kind, status, strftime(started_at, '%Y-%m-%d %H:%M:%S') AS started,
                 (SELECT coalesce(sum(records), 0)::BIGINT FROM raw_file f WHERE f.run_id = r.run_id) AS raw,
                 (SELECT coalesce(sum(documents), 0)::BIGINT FROM shard s
                  WHERE s.run_id = r.run_id AND shard_kind = 'kept') AS kept,
                 (SELECT count(*) FROM quarantine q WHERE q.run_id = r.run_id) AS quarantined
               FROM run r ORDER BY run_id""",
        )
        datasets = rows(
            connection,
            """SELECT d.name, d.version, s.shards, s.documents, s.text_bytes, d.tokens
               FROM dataset d JOIN dataset_size s USING (dataset_id) ORDER BY name, version""",
        )
        tombstones = rows(connection, "SELECT count(*) AS n FROM tombstone")[0]["n"]
    print(f"workspace {workspace.name}\n")
    print_rows(list(runs[0]) if runs else ["run"], [tuple(row.values()) for row in runs], "table")
    print()
    if datasets:
        print_rows(list(datasets[0]), [tuple(row.values()) for row in datasets], "table")
    else:
        print("no dataset yet; next: python -m curation.dataset create NAME --run RUN")
    if tombstones:
        print(
            f"\n{tombstones} take-down(s); python -m curation.catalog sql 'SELECT * FROM takedown' lists what held them"
        )
    for row in runs:
        if row["kind"] == "curate" and row["status"] in ("dead", "interrupted", "failed"):
            print(f"\nrun {row['run']} is {row['status']}; go on with: python -m curation.run --resume {row['run']}")


def print_rows(names: Sequence[str], values: Sequence[tuple[Any, ...]], style: str) -> None:
    """Print a result on stdout as an aligned table, CSV, or one JSON object a line."""
    if style == "json":
        for row in values:
            print(json.dumps(dict(zip(names, row, strict=True)), default=str, ensure_ascii=False))
        return
    if style == "csv":
        import csv

        writer = csv.writer(sys.stdout)
        writer.writerow(names)
        writer.writerows(values)
        return
    cells = [[_cell(value) for value in row] for row in values]
    widths = [max([len(name), *(len(row[i]) for row in cells)]) for i, name in enumerate(names)]
    numeric = [all(row[i] is None or isinstance(row[i], int | float) for row in values) for i in range(len(names))]
    print("  ".join(n.rjust(w) if r else n.ljust(w) for n, w, r in zip(names, widths, numeric, strict=True)).rstrip())
    for cell_row in cells:
        line = (c.rjust(w) if r else c.ljust(w) for c, w, r in zip(cell_row, widths, numeric, strict=True))
        print("  ".join(line).rstrip())


def _cell(value: Any) -> str:
    """A value on one line: control characters of untrusted text never reach the terminal."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    text = "".join(c if c.isprintable() else " " for c in str(value))
    return text if len(text) <= 120 else text[:117] + "..."


if __name__ == "__main__":
    sys.exit(main())
