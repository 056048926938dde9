"""``python -m curation.decontaminate``: which items of test sets a finished run holds."""

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.errors import EXIT_DONE, EXIT_USAGE, UserError
from curation.storage import open_workspace
from curation.workspace import Workspace

if TYPE_CHECKING:
    from curation.decontaminate.index import Index
    from curation.decontaminate.items import Item
    from curation.decontaminate.matching import Match
    from curation.words import Words

EPILOG = """\
examples:
  python -m curation.decontaminate RUN --items benchmark.jsonl --workspace W
  python -m curation.decontaminate RUN --items a.jsonl b.jsonl.gz --rejected --examples 50 --workspace W

A line of a file of items is {"set": "...", "item_id": "...", "text": "..."}. Stored documents are looked up as the
filter `decontaminate` does it. Items of more than 200 words are looked for with MinHash, too, and how much of what the
filter finds that way finds is printed.
"""


@dataclass(slots=True)
class Report:
    """What a run holds."""

    documents: int = 0
    hit: int = 0
    items: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Set -> items found."""
    whole: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Set -> items found word for word."""
    hits: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Set -> documents that hold any of its items."""
    examples: list[tuple[str, "Match", str]] = field(default_factory=list)
    """(document, match, text there)"""
    half: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    """Item -> documents that hold at least half of it."""

    def add(self, document: str, text: str, matches: "Sequence[Match]", most: int) -> None:
        """Count the matches of a document; ``most`` examples are kept."""
        self.documents += 1
        self.hit += bool(matches)
        for name in {match.item_set for match in matches}:
            self.hits[name] += 1
        for match in matches:
            self.items[match.item_set].add(match.item_id)
            if match.exact:
                self.whole[match.item_set].add(match.item_id)
            if match.overlap >= 0.5:
                self.half[match[:2]].add(document)
        for match in matches[:1]:
            if len(self.examples) < most:
                self.examples.append((document, match, text[match.begin : match.end]))


def stored_documents(workspace: Workspace, run_id: str, rejected: bool) -> Iterator[dict[str, Any]]:
    """``id``, ``language`` and ``text`` of the documents that a finished run stored, without what is taken down.

    Args:
        rejected: whether also of those that it rejected.

    Raises:
        UserError: no such run, or it is not finished.
    """
    from curation.catalog.query import open_catalog, rows, run_config
    from curation.dataset import stored

    with open_catalog(workspace) as connection:
        run_config(connection, run_id)
        (run,) = rows(connection, "SELECT kind, status FROM run WHERE run_id = ?", [run_id])
        if run["kind"] != "curate" or run["status"] != "done":
            raise UserError(f"run {run_id} is a {run['kind']} run and {run['status']}; name a curate run that is done")
        shards = rows(
            connection,
            "SELECT DISTINCT s.path FROM c.shard o JOIN current_shard c ON c.shard_id = o.shard_id "
            "JOIN shard s ON s.shard_id = c.current_shard_id "
            "WHERE o.run_id = ? AND o.replaces IS NULL AND (? OR s.shard_kind = 'kept') ORDER BY s.path",
            [run_id, rejected],
        )
        takedowns = rows(connection, "SELECT what, value FROM tombstone")
    for batch in stored(workspace, [shard["path"] for shard in shards], takedowns):
        yield from batch.select(["id", "language", "text"]).to_pylist()


def _looked_up(
    report: Report, index: "Index", documents: Iterator[dict[str, Any]], most: int
) -> "Iterator[tuple[str, Words]]":
    """Each document's id and words, after it is looked up."""
    from datatrove.data import Document

    from curation.decontaminate.matching import find
    from curation.decontaminate.units import document_words

    for row in documents:
        document = Document(text=row["text"], id=row["id"], metadata={"language": row["language"]})
        words = document_words(document, letters=index.letters)
        report.add(row["id"], row["text"], find(index, words)[1], most)
        yield row["id"], words


def _tell_long(report: Report, items: "Sequence[Item]", documents: "Iterator[tuple[str, Words]]") -> None:
    """Look documents up, and long items by MinHash; print how much of what the matcher finds MinHash finds."""
    from curation.decontaminate.ensemble import LONG, THRESHOLD, Ensemble, recall

    ensemble = Ensemble.of(documents)
    found = {item[:2]: ensemble.query(item.text) for item in items}
    pairs, hit, more = recall(found, {item[:2]: report.half[item[:2]] for item in items})
    print(f"\n{len(items):,} item(s) of more than {LONG} words, by MinHash (LSH Ensemble, containment {THRESHOLD:g}):")
    share = f"recall {hit / pairs:.3f}" if pairs else "nothing to find"
    print(f"  {hit:,} of {pairs:,} pairs of item and document with an overlap of half or more: {share}")
    print(f"  {more:,} pairs that the matcher does not have")


def _run(options: argparse.Namespace) -> None:
    from curation.catalog.__main__ import print_rows
    from curation.decontaminate.compiling import index_path, prepare
    from curation.decontaminate.ensemble import LONG
    from curation.decontaminate.index import Index
    from curation.decontaminate.items import ItemFile, read_items
    from curation.decontaminate.units import item_units

    workspace = open_workspace(options.workspace)
    if not workspace.exists:
        raise UserError(f"no workspace at {workspace.name}: name one with --workspace")
    for name, value, least in (("min-words", options.min_words, 3), ("examples", options.examples, 0)):
        if value < least:
            raise UserError(f"--{name} {value}: must be at least {least}")
    files = [ItemFile(Path(name), "--items") for name in options.items]
    index = Index(index_path(workspace.cache, prepare(files, workspace.cache, options.min_words), options.min_words))
    items, _ = read_items(files)
    long = [item for item in items if len(item.text) > LONG and any(len(way) > LONG for way in item_units(item.text))]
    report = Report()
    stored = stored_documents(workspace, options.run, options.rejected)
    documents = _looked_up(report, index, stored, options.examples)
    if long:
        _tell_long(report, long, documents)
        print()
    for _ in documents:
        pass  # counted by the report
    kept = "stored" if options.rejected else "kept"
    print(f"{report.hit:,} of {report.documents:,} {kept} documents of run {options.run} hold an item\n")
    short = index.facts["short"]
    table = [
        (
            name,
            count,
            count - short.get(name, [0])[0],
            *(len(x[name]) for x in (report.items, report.whole)),
            report.hits[name],
        )
        for name, count in index.facts["sets"].items()
    ]
    print_rows(["set", "items", "looked_for", "found", "word_for_word", "documents"], table, "table")
    if report.examples:
        print()
        rows = [
            (document, *match[:2], round(match.overlap, 3), match.how, text)
            for document, match, text in report.examples
        ]
        print_rows(["document", "set", "item", "overlap", "how", "text"], rows, "table")
        listed = ", ".join(options.items)
        print(f"\nnext: filters: {{decontaminate: {{items: [{listed}], action: drop}}}} in a configuration, and")
        print(f"      python -m curation.run --from {options.run} --config FILE --workspace {options.workspace}")


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m curation.decontaminate",
        description="Which items of test sets the documents of a finished run hold.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", metavar="RUN", help="a finished run of curation")
    parser.add_argument("--items", nargs="+", required=True, metavar="FILE", help="files of items (JSONL, also packed)")
    parser.add_argument("--workspace", default="workspace", help="the workspace (default: ./workspace)")
    parser.add_argument("--rejected", action="store_true", help="look at rejected documents, too")
    parser.add_argument("--min-words", type=int, default=6, metavar="N", help="shorter items are left out (default: 6)")
    parser.add_argument("--examples", type=int, default=10, metavar="N", help="documents shown (default: 10)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code."""
    try:
        _run(build_parser().parse_args(argv))
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
