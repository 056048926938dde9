"""What the audit of filters keeps of each document: numbers, in arrays; never texts.

A million documents take some 150 MB, and a domain or an id never seen before a little more.
"""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from audit.documents import Subject, read_documents, step_order
from audit.matching import Matcher
from curation.progress import Progress
from curation.terms import dialect_terms, identity_terms
from curation.words import Words, word_hash
from curation.workspace import Workspace

Array = np.ndarray[Any, Any]

RECORDED = ("gopher_quality.words", "c4.sentences")
MEASURES = ("characters", "words", "words and marks", "words without marks", *RECORDED)
"""Lengths of a text: characters, words between white space, words as filters split them (``curation.words``), and what
filters have recorded (-1: not recorded)."""


@dataclass(frozen=True)
class Facts:
    """One row a document (suffix ``N``)."""

    languages: Sequence[str]
    language_N: Array
    domains: Sequence[str]
    domain_N: Array
    """Index into ``domains``; -1: the document has no domain."""
    lengths: dict[str, Array]
    """Name of a measure -> its values, for those that every document has."""
    outcomes: Sequence[tuple[str, str]]
    """(step, reason) of removals."""
    outcome_N: Array
    """Index into ``outcomes``; -1: kept."""
    steps: Sequence[str]
    """Steps in the order in which they act."""
    unit_N: Array
    """Documents that are copies of one another, as far as deduplication has told, share a number."""
    id_N: Array
    names: Sequence[str]
    """Names of identity groups and dialects."""
    mentions: dict[str, Array]
    """Name -> documents (indexes, sorted) that mention it."""
    counts: dict[str, Array]
    """Name -> how often each of these documents mentions it."""

    def __len__(self) -> int:
        return len(self.language_N)


class _Names(dict[str, int]):
    """Name -> number, given out in the order of first use."""

    def __missing__(self, name: str) -> int:
        self[name] = number = len(self)
        return number


class Finder:
    """Identity groups and dialects that documents mention, in any language that has lists."""

    def __init__(self, ambiguous: bool = False) -> None:
        self._ambiguous = ambiguous
        self._matchers: dict[str, Matcher | None] = {}

    def matcher(self, language: str) -> Matcher | None:
        """The matcher of a language; None where there is no list."""
        if language not in self._matchers:
            terms = [*identity_terms(language), *dialect_terms(language)]
            self._matchers[language] = Matcher(terms, self._ambiguous) if terms else None
        return self._matchers[language]

    def mentions(self, row: dict[str, Any]) -> Mapping[str, int]:
        """Name -> mentions in a document."""
        matcher = self.matcher(row["language"] or "und")
        if matcher is None:
            return {}
        found: dict[str, int] = {}
        for name, _ in matcher.find(row["text"]):
            found[matcher.names[name]] = found.get(matcher.names[name], 0) + 1
        return found


def gather(workspace: Workspace, subject: Subject, finder: Finder, progress: Progress) -> Facts:
    """Read all documents of a run once."""
    rows = read_documents(workspace, subject, ["duplicate_of", *RECORDED], progress, "documents")
    return facts_of(rows, finder, list(subject.filters))


def facts_of(rows: Iterable[dict[str, Any]], finder: Finder, filters: Sequence[str]) -> Facts:
    """Facts of documents (dicts as from ``read_documents``)."""
    languages, domains, outcomes = _Names(), _Names(), _Names()
    pairs: list[tuple[str, str]] = []
    codes = {name: array("i") for name in ("language", "domain", "outcome")}
    lengths = {name: array("q") for name in MEASURES}
    units, ids = array("Q"), bytearray()
    mentions: dict[str, array[int]] = {}
    counts: dict[str, array[int]] = {}
    for number, row in enumerate(rows):
        text, language = row["text"], row["language"] or "und"
        codes["language"].append(languages[language])
        codes["domain"].append(domains[row["domain"]] if row["domain"] else -1)
        if row["step"] is None:
            codes["outcome"].append(-1)
        else:
            key = f"{row['step']}\0{row['reason']}"
            if key not in outcomes:
                pairs.append((row["step"], row["reason"] or ""))
            codes["outcome"].append(outcomes[key])
        lengths["characters"].append(len(text))
        lengths["words"].append(len(text.split()))
        symbol_W = Words(text, language).symbol_W
        lengths["words and marks"].append(len(symbol_W))
        lengths["words without marks"].append(len(symbol_W) - int(symbol_W.sum()))
        for name in RECORDED:
            scores, _, score = name.partition(".")
            found = (row.get(scores) or {}).get(score)
            lengths[name].append(-1 if found is None else found)
        units.append(word_hash(row.get("duplicate_of") or row["id"]))
        ids += row["id"].encode("ascii", "replace")[:32].ljust(32)
        for name, times in finder.mentions(row).items():
            mentions.setdefault(name, array("i")).append(number)
            counts.setdefault(name, array("i")).append(times)
    count = len(units)
    as_arrays = {
        name: np.frombuffer(values, dtype=np.int64) if count else np.zeros(0, np.int64)
        for name, values in lengths.items()
    }
    _, unit_N = np.unique(np.array(units, dtype=np.uint64), return_inverse=True)
    columns = {name: np.array(values, dtype=np.int32) for name, values in codes.items()}
    return Facts(
        languages=list(languages),
        language_N=columns["language"],
        domains=list(domains),
        domain_N=columns["domain"],
        lengths={name: values for name, values in as_arrays.items() if count and values.min() >= 0},
        outcomes=pairs,
        outcome_N=columns["outcome"],
        steps=step_order(filters, [step for step, _ in pairs]),
        unit_N=unit_N,
        id_N=np.frombuffer(bytes(ids), dtype="S32"),
        names=sorted(mentions),
        mentions={name: np.array(values, dtype=np.int64) for name, values in mentions.items()},
        counts={name: np.array(values, dtype=np.int64) for name, values in counts.items()},
    )
