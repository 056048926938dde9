"""Removed documents to look at, each with the words that made it count."""

from collections.abc import Mapping, Sequence

import numpy as np

from audit.documents import Subject
from audit.facts import Facts, Finder
from audit.removal import Row
from curation.alarms import printable
from curation.catalog.query import create_document_view, open_catalog
from curation.workspace import Workspace

CONTEXT_CHARACTERS = 40


def chosen_ids(facts: Facts, row: Row, most: int) -> list[str]:
    """Ids of some of the documents that a row is about and that were removed: the first by id, which is a hash, of
    different domains as far as there are."""
    numbers = [
        number
        for number, (step, reason) in enumerate(facts.outcomes)
        if step == row.step and row.reason in ("", reason)
    ]
    documents = facts.mentions[row.name]
    documents = documents[np.isin(facts.outcome_N[documents], numbers)]
    if row.language is not None:
        documents = documents[facts.language_N[documents] == facts.languages.index(row.language)]
    ordered = documents[np.argsort(facts.id_N[documents], kind="stable")]
    first = np.unique(facts.domain_N[ordered], return_index=True)[1] if most else np.zeros(0, dtype=int)
    rest = np.setdiff1d(np.arange(len(ordered)), first)
    picked = np.concatenate([np.sort(first), rest])[:most].astype(int)
    return [facts.id_N[document].decode() for document in ordered[picked]]


def contexts(
    workspace: Workspace, subject: Subject, finder: Finder, wanted: Mapping[str, Sequence[str]]
) -> dict[str, list[dict[str, str]]]:
    """Name -> examples (id, url, context), for names with ids of documents; what is taken down never shows."""
    ids = sorted({each for several in wanted.values() for each in several})
    if not ids:
        return {}
    with open_catalog(workspace, locked=False) as connection:
        create_document_view(workspace, connection, [shard for _, kind, shard in subject.shards if kind == "rejected"])
        rows = connection.execute(
            "SELECT id, url, language, text FROM document WHERE list_contains(?, id)", [ids]
        ).fetchall()
    known = {row[0]: row for row in rows}
    found: dict[str, list[dict[str, str]]] = {}
    for name, several in wanted.items():
        for each in several:
            if each in known:
                _, url, language, text = known[each]
                context = _context(finder, text, language, name.split("\0")[0])
                found.setdefault(name, []).append({"id": each, "url": printable(url or ""), "context": context})
    return found


def _context(finder: Finder, text: str, language: str, name: str) -> str:
    """The first mention of a name with a little text around it, on one line."""
    matcher = finder.matcher(language)
    assert matcher is not None, "a document that counted is in a language with a list"
    text, spans = matcher.spans(text)
    for number, begin, end in spans:
        if matcher.names[number] == name:
            before = text[max(0, begin - CONTEXT_CHARACTERS) : begin]
            after = text[end : end + CONTEXT_CHARACTERS]
            return _line(f"{before}[{text[begin:end]}]{after}")
    return ""


def _line(text: str) -> str:
    return printable(" ".join(text.split()))


def pick(facts: Facts, rows: Sequence[Row], most: int) -> dict[str, list[str]]:
    """Key of a row -> ids of its examples; each document is one of a name once, under the most particular row."""
    picked: dict[str, list[str]] = {}
    taken: set[tuple[str, str]] = set()
    for row in sorted(rows, key=lambda row: (row.language is None, not row.reason)):
        if row.name in facts.mentions:
            ids = [each for each in chosen_ids(facts, row, most) if (row.name, each) not in taken]
            taken.update((row.name, each) for each in ids)
            picked[key(row)] = ids
    return picked


def key(row: Row) -> str:
    """What tells a row from all others, its name in front."""
    return "\0".join((row.name, row.step, row.reason, row.language or ""))
