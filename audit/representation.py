"""``python -m audit.data representation``: how often groups are mentioned, with whom, and beside which words."""

import argparse
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from audit import show
from audit.documents import Subject, find_subject
from audit.facts import Facts, gather
from audit.neighbours import NeighbourFinder, characteristic
from audit.risk import rate_interval
from curation.errors import UserError
from curation.findings import Findings, Metric, Probe
from curation.progress import Progress
from curation.recorded import recorded_run
from curation.storage import open_workspace
from curation.terms import DIMENSIONS, identity_terms

Array = np.ndarray[Any, Any]

_METHOD = "audit/representation.py; after Dodge et al. 2021, https://aclanthology.org/2021.emnlp-main.98"
PROBE = Probe(
    "data.representation",
    "1",
    (
        Metric("share", "share of documents", None, _METHOD),
        Metric("mentions", "mentions", None, _METHOD),
        Metric("lift", "ratio", 1.0, _METHOD),
    ),
)
SIDES = ("all", "kept", "removed")


def audit_representation(arguments: argparse.Namespace) -> None:
    """Count mentions, record findings, print them."""
    if arguments.min_group < 2:
        raise UserError(f"--min-group {arguments.min_group}: at least 2, or single documents are pointed at")
    workspace = open_workspace(arguments.workspace)
    subject = find_subject(workspace, arguments.subject)
    config = {
        "audit": "data.representation",
        "subject": subject.id,
        "min_group": arguments.min_group,
        "ambiguous": arguments.ambiguous,
    }
    finder = NeighbourFinder(arguments.ambiguous)
    parent = subject.id if subject.kind == "run" else None
    with recorded_run(workspace, "audit", config, parent=parent, packages=("numpy", "scipy")) as run_id:
        facts = gather(workspace, subject, finder, Progress())
        shares = list(shares_of(facts, arguments.min_group))
        pairs = [pair for language in listed(facts) for pair in lifts(facts, language, arguments.min_group)]
        words = [
            {
                "language": row["language"], "group": row["group"],
                "beside it": ", ".join(
                    word for word, *_ in characteristic(finder.beside.get(row["language"], {}), row["group"],
                                                        arguments.words)
                ),
            }
            for row in shares
            if row["side"] == "all" and row["share"] is not None and arguments.words
        ]  # fmt: skip
        findings = Findings(PROBE, subject, run_id)
        _record(findings, facts, shares, pairs)
        findings.write(workspace)
    _show(arguments, subject, facts, shares, pairs, [row for row in words if row["beside it"]])
    if arguments.format == "table":
        print(
            '\nnext: python -m curation.catalog sql "SELECT metric, language, group_name, value, ci_low, ci_high, n '
            f"FROM finding WHERE run_id = '{run_id}'\" --workspace {arguments.workspace}"
        )


def listed(facts: Facts) -> list[int]:
    """Languages (indexes) that have a list of identity terms."""
    return [number for number, language in enumerate(facts.languages) if identity_terms(language)]


def shares_of(facts: Facts, min_group: int) -> Iterator[dict[str, Any]]:
    """For each language, group and side (all, kept, removed): documents, mentions, and the share of the side's
    documents with its interval; sites with several documents count as the spread between them is worth."""
    site_N = np.where(facts.domain_N < 0, len(facts.domains) + np.arange(len(facts)), facts.domain_N)
    for number in listed(facts):
        for side in SIDES:
            inside_N = (facts.language_N == number) & _side(facts, side)
            total = int(inside_N.sum())
            if not total:
                continue
            here = np.flatnonzero(inside_N)
            for name in _groups(facts):
                chosen = inside_N[facts.mentions[name]]
                documents = facts.mentions[name][chosen]
                row: dict[str, Any] = {
                    "language": facts.languages[number], "group": name, "side": side, "of": total,
                    "documents": len(documents), "mentions": int(facts.counts[name][chosen].sum()),
                    "share": None, "low": None, "high": None,
                }  # fmt: skip
                if len(documents) >= min_group:
                    mentioned_N = np.zeros(len(facts), dtype=bool)
                    mentioned_N[documents] = True
                    low, high = rate_interval(mentioned_N[here], site_N[here])
                    row |= {"share": len(documents) / total, "low": low, "high": high}
                if len(documents) or side == "all":
                    yield row


def lifts(facts: Facts, language: int, min_group: int) -> list[dict[str, Any]]:
    """Pairs of groups by the documents that mention both, with the lift: how many times as many as if the one had
    nothing to do with the other. The interval takes sites with both as Poisson (log-normal; the first term of the delta
    method, which is the largest), so that one site with many pages says little."""
    here_N = facts.language_N == language
    names = [name for name in _groups(facts) if int(here_N[facts.mentions[name]].sum()) >= min_group]
    total = int(here_N.sum())
    position = {name: place for place, name in enumerate(names)}
    both = np.zeros((len(names), len(names)))
    for begin in range(0, len(facts), 100_000):
        end = min(len(facts), begin + 100_000)
        block = np.zeros((end - begin, len(names)), dtype=np.float32)
        for name, place in position.items():
            documents = facts.mentions[name]
            inside = documents[(documents >= begin) & (documents < end) & here_N[documents]]
            block[inside - begin, place] = 1
        both += block.T @ block
    found = []
    for i, first in enumerate(names):
        for j in range(i + 1, len(names)):
            count = int(both[i, j])
            if count < min_group:
                continue
            common = np.intersect1d(facts.mentions[first], facts.mentions[names[j]])
            common = common[here_N[common]]
            domain = facts.domain_N[common]
            sites = len(np.unique(domain[domain >= 0])) + int((domain < 0).sum())
            lift = count * total / (both[i, i] * both[j, j])
            reach = 1.96 / math.sqrt(sites)
            found.append(
                {
                    "language": facts.languages[language], "group": first, "with": names[j], "documents": count,
                    "lift": lift, "low": lift * math.exp(-reach), "high": lift * math.exp(reach),
                }
            )  # fmt: skip
    return sorted(found, key=lambda row: -row["lift"])


def _groups(facts: Facts) -> list[str]:
    return [name for name in facts.names if name.partition(":")[0] in DIMENSIONS]


def _side(facts: Facts, side: str) -> Array:
    kept_N = facts.outcome_N < 0
    return {"all": np.ones(len(facts), dtype=bool), "kept": kept_N, "removed": ~kept_N}[side]


def _record(
    findings: Findings, facts: Facts, shares: Sequence[dict[str, Any]], pairs: Sequence[dict[str, Any]]
) -> None:
    for row in shares:
        where = {"language": row["language"], "group_name": row["group"], "n": row["of"]}
        hidden = row["share"] is None
        findings.add(
            f"share {row['side']}",
            row["share"],
            ci_low=row["low"],
            ci_high=row["high"],
            ci_method=None if hidden else "Wilson, effective sample size by site",
            why=f"{row['documents']} documents, fewer than --min-group" if hidden else None,
            **where,
        )
        if not hidden:
            findings.add(f"mentions {row['side']}", float(row["mentions"]), **where)
    for row in pairs:
        findings.add(
            "lift",
            row["lift"],
            language=row["language"],
            group_name=f"{row['group']} & {row['with']}",
            ci_low=row["low"],
            ci_high=row["high"],
            ci_method="log-normal, Poisson in sites",
            n=row["documents"],
        )
    for language in facts.languages:
        if not identity_terms(language):
            findings.add("share all", language=language, why=f"no list of identity terms for {language}")


def _show(
    arguments: argparse.Namespace,
    subject: Subject,
    facts: Facts,
    shares: Sequence[dict[str, Any]],
    pairs: Sequence[dict[str, Any]],
    words: Sequence[dict[str, Any]],
) -> None:
    if arguments.format == "json":
        show.json_lines([{"table": "share", **row} for row in shares])
        show.json_lines([{"table": "lift", **row} for row in pairs])
        show.json_lines([{"table": "words", **row} for row in words])
        return
    most = None if arguments.all or not arguments.limit else arguments.limit
    print(f"{subject.kind} {subject.label}: {len(facts):,} documents with a text\n")
    scored = [row for row in shares if row["share"] is not None and (row["side"] == "all" or arguments.all)]
    rates = {(row["language"], row["group"], row["side"]): row["share"] for row in shares}
    table = [
        {
            "language": row["language"], "group": row["group"], "side": row["side"], "documents": row["documents"],
            "mentions": row["mentions"], "share": show.percent(row["share"]),
            "95 % interval": f"{show.percent(row['low'])} to {show.percent(row['high'])}",
            **{f"of {side}": _share(rates.get((row["language"], row["group"], side))) for side in SIDES[1:]},
        }
        for row in sorted(scored, key=lambda row: (row["language"], -row["share"]))
    ]  # fmt: skip
    show.table(table[:most])
    hidden = sum(1 for row in shares if row["share"] is None and row["side"] == "all")
    if hidden:
        print(f"{hidden} groups are hidden: fewer than {arguments.min_group} documents (--min-group)")
    counts = zip(facts.languages, np.bincount(facts.language_N, minlength=len(facts.languages)).tolist(), strict=True)
    show.unlisted({language: count for language, count in counts if not identity_terms(language)})
    if pairs:
        print("\ngroups mentioned together, by lift")
        show.table(
            [
                {**row, "lift": show.ratio(row["lift"]), "low": show.ratio(row["low"]), "high": show.ratio(row["high"])}
                for row in (pairs if most is None else pairs[: min(most, 20)])
            ]
        )
    if words:
        print("\nwords beside a group more than beside others")
        show.table(words[:most])


def _share(value: float | None) -> str:
    return "" if value is None else show.percent(value)
