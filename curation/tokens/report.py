"""``python -m curation.tokens report``: what tokenizers do to languages of a dataset, and to words that name people.

Figures are findings about the dataset, with the tokenizer as their scorer.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from curation.catalog import open_catalog, rows
from curation.dataset import find_texts, members, shard_documents
from curation.errors import UserError
from curation.findings import Findings, Metric
from curation.findings import Probe as FindingProbe
from curation.recorded import recorded_run
from curation.statistics import Estimate, wilson
from curation.terms import Term, identity_terms, read_terms
from curation.tokens.layout import is_held_out
from curation.tokens.measure import Counts, Probe, Ratio, premium, ratio, words_of
from curation.tokens.tokenizer import open_tokenizer
from curation.tombstones import Tombstones
from curation.workspace import Workspace

MIN_DOCUMENTS = 20
"""A language in fewer documents has no premium, and is none that others are compared with."""
MIN_TERMS = 5
"""The same for terms of a group."""
_FERTILITY = "Rust et al. 2021, https://aclanthology.org/2021.acl-long.243"
_PREMIUM = (
    "Petrov et al. 2023, https://arxiv.org/abs/2305.15425; "
    "Ahia et al. 2023, https://aclanthology.org/2023.emnlp-main.614; here on texts that are not parallel"
)
_OWN = "open-curation"
PROBE = FindingProbe(
    "tokenizer",
    "1",
    (
        Metric("tokens_per_word", "tokens/word", None, _FERTILITY),
        Metric("bytes_per_token", "bytes/token", None, _OWN),
        Metric("words_split", "share of words", None, _FERTILITY),
        Metric("unknown_tokens", "share of tokens", 0.0, _FERTILITY),
        Metric("documents_changed", "share of documents", 0.0, _OWN),
        Metric("characters_lost", "share of characters", 0.0, _OWN),
        Metric("vocabulary_used", "share of tokens of the vocabulary", None, _OWN),
        Metric("premium_per_word", "ratio", 1.0, _PREMIUM),
        Metric("premium_per_character", "ratio", 1.0, _PREMIUM),
        Metric("group_tokens_per_word", "tokens/word", None, _OWN),
        Metric("group_premium_per_word", "ratio", 1.0, _PREMIUM),
        Metric("group_premium_per_character", "ratio", 1.0, _PREMIUM),
    ),
)
_RATIOS = {
    "tokens_per_word": ("tokens", "words"),
    "bytes_per_token": ("bytes", "tokens"),
    "words_split": ("split", "words"),
    "unknown_tokens": ("unknown", "tokens"),
    "characters_lost": ("lost_characters", "characters"),
}
_PREMIUMS = {"premium_per_word": ("tokens", "words"), "premium_per_character": ("tokens", "characters")}


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of a tokenizer: ``language`` None is all languages, ``group_name`` None no group."""

    tokenizer: str
    language: str | None
    group_name: str | None
    metric: str
    value: float | None
    ci_low: float | None = None
    ci_high: float | None = None
    ci_method: str | None = None
    n: int | None = None
    """Documents; of a group its terms."""
    why: str | None = None
    """Why there is no value."""


def report(
    workspace: Workspace,
    reference: str,
    tokenizers: Sequence[str],
    sample: int = 2000,
    lists: Sequence[str] | None = None,
) -> tuple[str, list[Figure]]:
    """Measure tokenizers on a dataset; the figures are stored as findings.

    Args:
        sample: documents of a language that are looked at, told from their ids; 0: all.
        lists: files of identity terms; None: the lists that ship, of languages in the dataset.

    Returns:
        (run id, figures).

    Raises:
        UserError: no such dataset, tokenizer or list, or no document.
    """
    if sample < 0:
        raise UserError(f"--sample {sample}: must be at least 0")
    probes = [Probe(open_tokenizer(workspace, name)) for name in dict.fromkeys(tokenizers)]
    own = dict(read_terms(Path(path)) for path in lists) if lists else None
    with open_catalog(workspace) as connection:
        dataset = find_texts(connection, reference)
        shards = members(connection, dataset["dataset_id"])
        tombstones = Tombstones.of(rows(connection, "SELECT what, value FROM tombstone"))
    config = {
        "dataset_id": dataset["dataset_id"],
        "tokenizers": {probe.tokenizer.name: probe.tokenizer.sha256 for probe in probes},
        "sample": sample,
        "terms": sorted(own) if own else None,
    }
    with recorded_run(workspace, "audit", config, packages=("tokenizers",)) as run_id:
        counts = count(_documents(workspace, shards, tombstones, sample), probes)
        if not counts:
            raise UserError(f"dataset {reference}: has no document to measure on")
        languages = sorted(counts)
        terms = own or {language: found for language in languages if (found := identity_terms(language))}
        figures: list[Figure] = []
        for number, probe in enumerate(probes):
            by_language = {language: counts[language][number] for language in languages}
            figures += language_figures(probe.tokenizer.name, probe.tokenizer.vocab_size, by_language)
            for language, each in terms.items():
                figures += group_figures(probe, language, each)
        findings = Findings(PROBE, _Subject("dataset", dataset["dataset_id"]), run_id)
        for figure in figures:
            columns = {key: each for key, each in asdict(figure).items() if key not in ("tokenizer", "metric", "value")}
            findings.add(figure.metric, figure.value, scorer=figure.tokenizer, **columns)
        findings.write(workspace)
    return run_id, figures


@dataclass(frozen=True)
class _Subject:
    kind: str
    id: str


def _documents(
    workspace: Workspace, shards: Sequence[Mapping[str, Any]], tombstones: Tombstones, sample: int
) -> Iterator[tuple[str, str]]:
    """(language, text) of the sampled documents."""
    sizes: dict[str, int] = {}
    for shard in shards:
        sizes[shard["language"]] = sizes.get(shard["language"], 0) + shard["documents"]
    for shard in shards:
        share = sample / max(sizes[shard["language"]], 1) if sample else 1.0
        for batch in shard_documents(
            workspace, shard["path"], tombstones, columns=("id", "url", "domain", "language", "text")
        ):
            for row in batch.to_pylist():
                if row["text"] and is_held_out(row["id"], share, 0):
                    yield row["language"], row["text"]


def count(documents: Iterable[tuple[str, str]], probes: Sequence[Probe]) -> dict[str, list[Counts]]:
    """Language -> the numbers of its documents, for each tokenizer."""
    found: dict[str, list[Counts]] = {}
    for language, text in documents:
        words = words_of(text, language)
        for probe, counts in zip(probes, found.setdefault(language, [Counts() for _ in probes]), strict=True):
            counts.add(*probe.counts(text, words))
    return found


# ---- figures ---------------------------------------------------------------------------------------


def language_figures(tokenizer: str, vocab_size: int, by_language: Mapping[str, Counts]) -> list[Figure]:
    """All figures of a tokenizer about languages, and about all of them together."""
    figures = []
    everything = Counts()
    for counts in by_language.values():
        everything.rows += counts.rows
        everything.used |= counts.used
    for language, counts in [*by_language.items(), (None, everything)]:
        n = len(counts)
        for metric, (above, below) in _RATIOS.items():
            found = counts.ratio(above, below)
            figures.append(_figure(tokenizer, language, None, metric, found.estimate() if found else None, n))
        changed = wilson(int(counts.column("lost").sum()), n)
        figures.append(_figure(tokenizer, language, None, "documents_changed", changed, n))
        used = len(counts.used) / vocab_size
        figures.append(Figure(tokenizer, language, None, "vocabulary_used", used, n=n))
    for metric, (above, below) in _PREMIUMS.items():
        ratios = {language: counts.ratio(above, below) for language, counts in by_language.items()}
        sizes = {language: len(counts) for language, counts in by_language.items()}
        figures += [
            _figure(tokenizer, language, None, metric, found, sizes[language], why)
            for language, found, why in _premiums(ratios, sizes, MIN_DOCUMENTS, "documents", "language")
        ]
    return figures


def group_figures(probe: Probe, language: str, terms: Sequence[Term]) -> list[Figure]:
    """Tokens per word of the terms of each group, and what a group pays beside the best served of its dimension. A term
    counts as it stands after a space, with a small or a capital letter, whichever takes fewer tokens."""
    chosen = [term for term in terms if term.name and term.match in ("any", "case")]
    spellings = [f" {term.text}" for term in chosen]
    capitals = [f" {term.text[:1].upper()}{term.text[1:]}" for term in chosen]
    lengths = map(min, probe.lengths(spellings), probe.lengths(capitals))
    rows: dict[str, dict[str, list[tuple[int, int, int]]]] = {}
    for term, length in zip(chosen, lengths, strict=True):
        row = (length, len(term.text.split()), len(term.text))
        rows.setdefault(term.kind, {}).setdefault(term.name, []).append(row)
    figures = []
    for groups in rows.values():
        sizes = {group: len(found) for group, found in groups.items()}
        columns = {group: np.array(found, dtype=np.int64).T for group, found in groups.items()}
        by_word = {group: ratio(tokens, words) for group, (tokens, words, _) in columns.items()}
        by_character = {group: ratio(tokens, characters) for group, (tokens, _, characters) in columns.items()}
        name = probe.tokenizer.name
        figures += [
            _figure(name, language, group, "group_tokens_per_word", found.estimate() if found else None, sizes[group])
            for group, found in by_word.items()
        ]
        for metric, ratios in (
            ("group_premium_per_word", by_word),
            ("group_premium_per_character", by_character),
        ):
            figures += [
                _figure(name, language, group, metric, paid, sizes[group], why)
                for group, paid, why in _premiums(ratios, sizes, MIN_TERMS, "terms", "group of its dimension")
            ]
    return figures


def _premiums(
    ratios: Mapping[str, Ratio | None], sizes: Mapping[str, int], least: int, units: str, what: str
) -> Iterator[tuple[str, Estimate | None, str | None]]:
    """(name, premium, why there is none) of each, beside the best served of those with enough units."""
    known = {name: found for name, found in ratios.items() if found is not None and sizes[name] >= least}
    best = min(known.values(), key=lambda each: each.value, default=None)
    for name in ratios:
        if name not in known or best is None:
            yield name, None, f"fewer than {least} {units}"
        elif len(known) < 2:
            yield name, None, f"no other {what} has {least} {units}"
        else:
            yield name, premium(known[name], best), None


def _figure(
    tokenizer: str,
    language: str | None,
    group: str | None,
    metric: str,
    found: Estimate | None,
    n: int,
    why: str | None = None,
) -> Figure:
    if found is None or math.isnan(found.value):
        return Figure(tokenizer, language, group, metric, None, n=n, why=why or "nothing to measure on")
    if not math.isfinite(found.low + found.high):
        return Figure(tokenizer, language, group, metric, found.value, n=n)
    return Figure(tokenizer, language, group, metric, found.value, found.low, found.high, found.method, n)


# ---- printing --------------------------------------------------------------------------------------

_COLUMNS = {
    "tokens/word": "tokens_per_word",
    "bytes/token": "bytes_per_token",
    "split": "words_split",
    "unknown": "unknown_tokens",
    "changed": "documents_changed",
    "lost": "characters_lost",
    "vocabulary": "vocabulary_used",
    "premium/word": "premium_per_word",
    "premium/character": "premium_per_character",
}
_OF_GROUPS = {name: _COLUMNS[name] for name in ("tokens/word", "premium/word", "premium/character")}
_SHARES = ("words_split", "unknown_tokens", "documents_changed", "characters_lost", "vocabulary_used")


def show(figures: Sequence[Figure], style: str, everything: bool = False) -> None:
    """Print figures: one a line as CSV or JSON, or two tables, of languages and of groups.

    Args:
        everything: all groups; else of each list and dimension the one that pays most.
    """
    from curation.catalog.__main__ import print_rows

    if style != "table":
        print_rows(list(asdict(figures[0])), [tuple(asdict(each).values()) for each in figures], style)
        return
    languages: dict[tuple[str, str], dict[str, Figure]] = {}
    groups: dict[tuple[str, str, str], dict[str, Figure]] = {}
    for each in figures:
        if each.group_name is None:
            languages.setdefault((each.tokenizer, each.language or "all"), {})[each.metric] = each
        else:
            groups.setdefault((each.tokenizer, each.language or "", each.group_name), {})[each.metric] = each
    print_rows(
        ["tokenizer", "language", "n", *_COLUMNS],
        [
            (*key, row["tokens_per_word"].n, *(_cell(row.get(metric)) for metric in _COLUMNS.values()))
            for key, row in languages.items()
        ],
        "table",
    )
    print("\nn: documents. [95 % interval]. changed: documents that decode to another text; lost: characters")
    print("premium: tokens beside the best served language; 1: no premium")
    rows = [(key, row) for key, row in groups.items() if everything or _pays_most(key, groups)]
    if rows:
        print()
        cells = [
            (*key, row["group_tokens_per_word"].n, *(_cell(row[f"group_{name}"]) for name in _OF_GROUPS.values()))
            for key, row in rows
        ]
        print_rows(["tokenizer", "language", "group", "n", *_OF_GROUPS], cells, "table")
        shown = "" if everything else "; of each dimension the group that pays most by word (--all: all groups)"
        print(f"\nn: terms. premium: beside the best served group of the dimension{shown}")


def _pays_most(key: tuple[str, str, str], groups: Mapping[tuple[str, str, str], Mapping[str, Figure]]) -> bool:
    def paid(other: tuple[str, str, str]) -> float:
        return groups[other]["group_premium_per_word"].value or 0.0

    dimension = key[2].partition(":")[0]
    alike = [other for other in groups if other[:2] == key[:2] and other[2].partition(":")[0] == dimension]
    return paid(key) > 0 and key == max(alike, key=paid)


def _cell(figure: Figure | None) -> str:
    if figure is None or figure.value is None:
        return ""

    def text(value: float) -> str:
        return f"{100 * value:.2f} %" if figure.metric in _SHARES else f"{value:.3g}"

    if figure.ci_low is None or figure.ci_high is None or figure.ci_low == figure.ci_high:
        return text(figure.value)
    return f"{text(figure.value)} [{text(figure.ci_low)}, {text(figure.ci_high)}]".replace(" %,", ",").replace(
        " % [", " ["
    )
