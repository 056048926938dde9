"""``python -m curation.near``: near-duplicates of a text, or of a document, among all that the workspace holds."""

import argparse
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from curation.errors import EXIT_DONE, EXIT_USAGE, UserError
from curation.storage import open_workspace
from curation.workspace import Workspace

if TYPE_CHECKING:
    from curation.dedup.corpus import Segment
    from curation.dedup.nearest import Found, Neighbour

EPILOG = """\
examples:
  python -m curation.near 7b1e4f0c5a6d48d2a9e3c1f0b2d4e6f8 --workspace W
      what is like this document (its id, as in the view 'document')
  python -m curation.near "the text itself, some words or more" --workspace W --threshold 0.3
  python -m curation.near --file page.txt --workspace W
  pdftotext paper.pdf - | python -m curation.near --file - --workspace W --limit 50

Candidates are found by their MinHash signatures; the true Jaccard similarity of the sets of shingles (runs of
words) decides. No stored text is read to compare. Documents that are taken down never show.
"""
MOST_BYTES = 32 * 2**20
"""Larger texts are refused, as larger records are quarantined."""

_ID = re.compile(r"[0-9a-fA-F]{32}")


def search(workspace: Workspace, query: str, is_id: bool, threshold: float, limit: int) -> "Found":
    """The documents most like a text, or like the document with an id.

    Args:
        threshold: least true Jaccard similarity.
        limit: most documents in the answer.

    Raises:
        UserError: no index, an id that it does not hold, a text without enough words.
    """
    from curation.dedup.nearest import find_document, nearest, ngrams

    segments = _segments(workspace)
    if not segments:
        raise UserError(
            f"the workspace {workspace.name} has no index: no run with deduplication is done yet; make one with "
            f"python -m curation.run INPUT --workspace {workspace.name}"
        )
    if not is_id:
        shingles = {ngram: _shingles(query, ngram, min(ngrams(segments))) for ngram in ngrams(segments)}
        return nearest(segments, shingles.get, threshold, limit)
    document = query.lower()
    found = find_document(segments, document)
    if found is None:
        raise UserError(
            f"no document {document} in the index, which holds what the filters kept; look for it with "
            f"python -m curation.catalog sql \"SELECT id, step, reason, url FROM document WHERE id = '{document}'\" "
            f"--workspace {workspace.name}, or give its text with --file"
        )
    if not len(found[1]):
        raise UserError(f"document {document} has no words, so that nothing is like it")
    known = {found[0]: found[1]}
    return nearest(segments, known.get, threshold, limit, without=document)


def _segments(workspace: Workspace) -> "list[Segment]":
    """The files of the index; of the runs that read a raw file the newest counts."""
    from curation.config import CurationConfig
    from curation.dedup.index import held_segments
    from curation.deduplicate import held_by, taken_down

    if not workspace.exists:
        raise UserError(
            f"no workspace at {workspace.name}: name one with --workspace, "
            "or make one with python -m curation.run INPUT --workspace W"
        )
    config = CurationConfig()
    held = held_by(workspace, config, ())
    return list(held_segments(workspace.index_folders(held), held, taken_down(workspace), config.dedup.near))


def _shingles(text: str, ngram: int, fewest: int) -> Any:
    """The shingles of a text that is no document yet."""
    from datatrove.data import Document

    from curation.dedup.similarity import shingles
    from curation.language import Identifier, LanguageConfig
    from curation.words import words_of

    if not text.strip():
        raise UserError("the text is empty: give some words, a document's id, or --file PATH ('-' for stdin)")
    language, _ = Identifier(LanguageConfig()).identify(text)
    normal_W = words_of(Document(text=text, id="query", metadata={"language": language})).normal_W
    if len(normal_W) < fewest:
        raise UserError(
            f"the text is too short: {len(normal_W)} word(s), and documents are compared by runs of {fewest}; "
            "give a longer one"
        )
    return shingles(normal_W, ngram)


def describe(workspace: Workspace, neighbours: "Sequence[Neighbour]") -> list[dict[str, Any]]:
    """Rows for people: neighbours with language, domain and URL. What a take-down hides is left out."""
    from curation.catalog.query import create_document_view, open_catalog, rows

    runs = sorted({each.run_id for each in neighbours})
    with open_catalog(workspace, locked=False) as connection:
        shards = rows(connection, "SELECT shard_id FROM shard WHERE list_contains(?, run_id)", [runs])
        create_document_view(workspace, connection, [row["shard_id"] for row in shards])
        stored = rows(
            connection,
            "SELECT d.id, s.run_id, d.language, d.domain, d.url FROM document d JOIN shard s USING (shard_id) "
            "WHERE list_contains(?, d.id)",
            [[each.id for each in neighbours]],
        )
    known = {(row["id"], row["run_id"]): row for row in stored}
    table = []
    for each in neighbours:
        if row := known.get((each.id, each.run_id)):
            table.append(
                {
                    "id": each.id,
                    "estimated": round(each.estimate, 3),
                    "jaccard": round(each.jaccard, 3),
                    "run": each.run_id,
                    "status": "removed" if each.duplicate_of else "kept",
                    "duplicate_of": each.duplicate_of,
                    **{name: row[name] for name in ("language", "domain", "url")},
                }
            )
    return table


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m curation.near",
        description="Near-duplicates of a text or of a document among what the workspace holds.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("query", nargs="?", metavar="TEXT|ID", help="a text, or a document's id (32 hex digits)")
    parser.add_argument("--workspace", default="workspace", help="folder or URL (default: ./workspace)")
    parser.add_argument("--file", metavar="PATH", help="read the text from a UTF-8 file; '-' is standard input")
    parser.add_argument("--threshold", type=float, default=0.5, help="least true Jaccard similarity (default: 0.5)")
    parser.add_argument("--limit", type=int, default=10, metavar="N", help="most documents shown (default: 10)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code."""
    options = build_parser().parse_args(argv)
    try:
        _run(options, open_workspace(options.workspace))
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    return EXIT_DONE


def _run(options: argparse.Namespace, workspace: Workspace) -> None:
    from curation.catalog.__main__ import print_rows

    if not 0 < options.threshold <= 1:
        raise UserError(f"--threshold {options.threshold}: must be above 0 and at most 1")
    if options.limit < 1:
        raise UserError(f"--limit {options.limit}: must be at least 1")
    if (options.query is None) == (options.file is None):
        raise UserError("give either a text (or a document's id) or --file PATH ('-' for stdin)")
    query = options.query if options.file is None else _read(options.file)
    is_id = options.file is None and _ID.fullmatch(query) is not None
    found = search(workspace, query, is_id, options.threshold, options.limit)
    for run_id in found.skipped:
        print(f"warning: run {run_id} was made with another dedup.near.ngram: not compared", file=sys.stderr)
    table = describe(workspace, found.neighbours) if found.neighbours else []
    where = f"--workspace {options.workspace}"
    if not table:
        print(f"none of {found.compared:,} documents is as similar as {options.threshold:g}")
        print("next: the same with a lower --threshold")
        return
    print_rows(list(table[0]), [tuple(row.values()) for row in table], "table")
    more = f"; the {options.limit} most similar, --limit shows more" if len(found.neighbours) == options.limit else ""
    print(f"\n{len(table)} of {found.compared:,} documents{more}")
    condition = f"id = '{table[0]['id']}'"
    print(f'next: python -m curation.catalog sql "SELECT url, text FROM document WHERE {condition}" {where}')


def _read(name: str) -> str:
    """The text of a file, or of standard input; bytes that are not UTF-8 become U+FFFD, as in documents."""
    if name == "-":
        data = sys.stdin.buffer.read(MOST_BYTES + 1)
    else:
        with open(name, "rb") as file:
            data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise UserError(f"--file {name}: larger than {MOST_BYTES:,} bytes; give a part of it")
    return data.decode("utf-8", "replace")


if __name__ == "__main__":
    sys.exit(main())
