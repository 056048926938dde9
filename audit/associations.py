"""``python -m audit.data associations``: PMI of identity groups with attribute words."""

import argparse
import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from audit import show
from audit.documents import find_subject, read_documents
from audit.matching import Matcher, words_in
from audit.risk import clustered_p_value
from curation.errors import UserError
from curation.findings import Findings, Metric, Probe
from curation.progress import Progress
from curation.recorded import recorded_run
from curation.statistics import holm
from curation.storage import open_workspace
from curation.terms import attribute_terms, identity_terms

Array = np.ndarray[Any, Any]

_METHOD = "audit/associations.py; Church and Hanks 1990, https://aclanthology.org/J90-1003"
PROBE = Probe("data.associations", "1", (Metric("pmi", "bits", 0.0, _METHOD),))

SMOOTHING = 2.0
"""Attribute words added at their overall rate to those beside a group, with the room that they take: draws PMI of small
counts to 0 (additive smoothing with the corpus as prior; Jurafsky and Martin, Speech and Language Processing, 6.6)."""
FEWEST_EXPECTED = 5.0
"""Attribute words that must be expected beside a group, or it is not scored (as for chi-square; Cochran 1954)."""
FEWEST_SITES = 10
"""With fewer sites documents are the units of the bootstrap: sites are too few to draw from."""


MOST_CHARACTERS = 2**21
"""Of a text, the rest of which is not looked at."""


@dataclass(frozen=True, slots=True)
class Association:
    """A group beside an attribute."""

    language: str
    group: str
    attribute: str
    documents: int
    """Documents that mention the group."""
    near: int
    """Attribute words beside the group (documents with one, where the window is the document)."""
    expected: float
    """What the overall rate would give."""
    pmi: float = math.nan
    low: float = math.nan
    high: float = math.nan
    p_value: float = math.nan
    p_adjusted: float = math.nan
    units: str = ""
    why: str | None = None


class Counts:
    """What one language's documents hold: room (words, or documents) and attribute words in it, in all and beside each
    group, for each document."""

    def __init__(self, language: str, ambiguous: bool) -> None:
        self.language = language
        self._groups = Matcher(identity_terms(language), ambiguous)
        self._attributes = Matcher(attribute_terms(language))
        self.groups, self.attributes = self._groups.names, self._attributes.names
        self._document, self._group = array("q"), array("i")
        self._values = array("i")  # for each pair of document and group: room, then each attribute
        self.totals: list[list[int]] = []
        self.sites = array("q")

    def add(self, text: str, site: int, window: int) -> None:
        """Count one document.

        Args:
            window: words to each side of a mention; 0: the document.
        """
        text = text[:MOST_CHARACTERS]
        words = words_in(text)
        marks = np.zeros((len(self.attributes), len(words) + 1), dtype=np.int32)
        for attribute, place in self._attributes.find(text):
            if place < len(words):
                marks[attribute, place + 1] = 1
        ahead = marks.cumsum(axis=1)
        here = len(self.totals)
        present = ahead[:, -1]
        self.totals.append([len(words), *present.tolist()] if window else [1, *(present > 0).astype(int).tolist()])
        self.sites.append(site)
        places: dict[int, list[int]] = {}
        for group, place in self._groups.find(text):
            places.setdefault(group, []).append(place)
        for group, several in places.items():
            row = self.totals[here]
            if window:
                row = [0] * (1 + len(self.attributes))
                for begin, end in _merged(several, window, len(words)):
                    row[0] += end - begin
                    beside = (ahead[:, end] - ahead[:, begin]).tolist()
                    row[1:] = [old + new for old, new in zip(row[1:], beside, strict=True)]
            self._document.append(here)
            self._group.append(group)
            self._values.extend(row)

    def score(self, min_group: int, draws: int, seed: int) -> Iterator[Association]:
        """PMI of each group and attribute: log2 of the attribute's rate beside the group over its rate overall.

        The interval is that of the percentiles over units drawn again (Poisson weights: Chamandy et al. 2012,
        https://research.google/pubs/pub43157), or the one that agrees with the test where that is wider: a bootstrap
        of zero words knows no spread. The p-value is the larger of two for the number of words beside the group: one
        with the spread between units, one as if words were independent (Poisson)."""
        from scipy.sparse import csr_matrix
        from scipy.stats import norm

        totals_ND = np.array(self.totals, dtype=np.float64)
        site_N = np.array(self.sites, dtype=np.int64)
        of_site = len(np.unique(site_N)) >= FEWEST_SITES
        unit_N = np.unique(site_N, return_inverse=True)[1] if of_site else np.arange(len(site_N))
        units = int(unit_N.max()) + 1
        width = totals_ND.shape[1]
        document, group = np.array(self._document, dtype=np.int64), np.array(self._group, dtype=np.int64)
        values = np.array(self._values, dtype=np.float64).reshape(-1, width)
        size = np.bincount(group, minlength=len(self.groups))
        scored = np.flatnonzero(size >= min_group)
        columns_G = np.full(len(self.groups), -1)
        columns_G[scored] = np.arange(len(scored))
        inside = columns_G[group] >= 0
        row = (columns_G[group[inside]][:, None] * width + np.arange(width)).ravel()
        column = np.repeat(unit_N[document[inside]], width)
        near = csr_matrix((values[inside].ravel(), (row, column)), shape=(len(scored) * width, units))
        overall = np.zeros((width, units))
        for place in range(width):
            overall[place] = np.bincount(unit_N, weights=totals_ND[:, place], minlength=units)
        observed = _pmi(np.asarray(near.sum(axis=1)).reshape(-1, width, 1), overall.sum(axis=1)[:, None])[:, :, 0]
        chance = np.random.default_rng(seed)
        drawn = []
        for _ in range(0, draws, 50):
            weights = chance.poisson(1.0, size=(units, 50)).astype(np.float64)
            drawn.append(_pmi((near @ weights).reshape(-1, width, 50), overall @ weights))
        resampled = np.concatenate(drawn, axis=2)
        everywhere = totals_ND.sum(axis=0)
        for number, name in enumerate(self.groups):
            place = columns_G[number]
            for which, attribute in enumerate(self.attributes):
                short = attribute.partition(":")[2]
                if place < 0:
                    if size[number] and which == 0:
                        why = f"{size[number]} documents, fewer than --min-group {min_group}"
                        yield Association(self.language, name, "", int(size[number]), 0, 0.0, why=why)
                    continue
                mine = np.asarray(near[place * width : (place + 1) * width].sum(axis=1)).ravel()
                expected = float(mine[0] * everywhere[1 + which] / everywhere[0])
                told = Association(self.language, name, short, int(size[number]), int(mine[1 + which]), expected)
                if expected < FEWEST_EXPECTED:
                    yield replace(told, why=f"{expected:.1f} of the attribute's words expected, fewer than 5")
                    continue
                value = float(observed[place, which])
                rate = everywhere[1 + which] / everywhere[0]
                surplus_U = (near[place * width + 1 + which] - rate * near[place * width]).toarray().ravel()
                independent = float(2 * norm.sf(abs(mine[1 + which] - expected) / math.sqrt(expected)))
                p_value = max(independent, clustered_p_value(surplus_U))
                reach = abs(value) * 1.96 / max(float(norm.isf(min(p_value, 1 - 1e-9) / 2)), 1e-6)
                low, high = np.percentile(resampled[place, which], [2.5, 97.5])
                yield replace(
                    told, pmi=value, low=min(float(low), value - reach), high=max(float(high), value + reach),
                    p_value=p_value, units="sites" if of_site else "documents",
                )  # fmt: skip


def _pmi(near: Array, overall: Array) -> Array:
    """[group, attribute, draw] from [group, room and attributes, draw] and [room and attributes, draw]."""
    rate = np.maximum(overall[1:], 0.5) / np.maximum(overall[0], 1)
    beside = (near[:, 1:] + SMOOTHING) / (near[:, :1] + SMOOTHING / rate)
    ratio: Array = np.log2(beside / rate)
    return ratio


def _merged(places: Sequence[int], window: int, words: int) -> Iterator[tuple[int, int]]:
    """Stretches of words within the window of a mention; a word near two mentions counts once."""
    begin = end = 0
    for place in places:
        low, high = max(0, place - window), min(words, place + window + 1)
        if low > end or end == 0:
            if end > begin:
                yield begin, end
            begin = low
        end = max(end, high)
    if end > begin:
        yield begin, end


def associate(
    rows: Iterable[dict[str, Any]], window: int, min_group: int, draws: int = 1000, seed: int = 0,
    ambiguous: bool = False,
) -> tuple[list[Association], dict[str, int]]:  # fmt: skip
    """(associations with corrected p-values, documents in languages without lists)."""
    counts: dict[str, Counts] = {}
    without: dict[str, int] = {}
    sites: dict[str, int] = {}
    for number, row in enumerate(rows):
        language = row["language"] or "und"
        if not (identity_terms(language) and attribute_terms(language)):
            without[language] = without.get(language, 0) + 1
            continue
        if language not in counts:
            counts[language] = Counts(language, ambiguous)
        site = sites.setdefault(row["domain"], len(sites)) if row["domain"] else -1 - number
        counts[language].add(row["text"], site, window)
    found = [each for several in counts.values() for each in several.score(min_group, draws, seed)]
    adjusted = holm([each.p_value for each in found])
    return [replace(each, p_adjusted=float(p)) for each, p in zip(found, adjusted, strict=True)], without


def audit_associations(arguments: argparse.Namespace) -> None:
    """Measure associations, record findings, print them."""
    if arguments.window < 0:
        raise UserError(f"--window {arguments.window}: words to each side, or 0 for the whole document")
    if arguments.draws < 100:
        raise UserError(f"--draws {arguments.draws}: at least 100, or intervals are noise")
    if arguments.min_group < 2:
        raise UserError(f"--min-group {arguments.min_group}: at least 2, or single documents are pointed at")
    workspace = open_workspace(arguments.workspace)
    subject = find_subject(workspace, arguments.subject)
    names = ("window", "draws", "seed", "min_group", "ambiguous")
    config = {"audit": "data.associations", "subject": subject.id, **{name: getattr(arguments, name) for name in names}}
    parent = subject.id if subject.kind == "run" else None
    packages = ("numpy", "scipy")
    with recorded_run(workspace, "audit", config, parent=parent, seed=arguments.seed, packages=packages) as run_id:
        documents = read_documents(workspace, subject, [], Progress(), "documents")
        found, without = associate(
            documents, arguments.window, arguments.min_group, arguments.draws, arguments.seed, arguments.ambiguous
        )
        findings = Findings(PROBE, subject, run_id)
        for each in found:
            scored = not math.isnan(each.pmi)
            findings.add(
                f"pmi {each.attribute}".strip(),
                each.pmi,
                language=each.language,
                group_name=each.group,
                n=each.documents,
                ci_low=each.low,
                ci_high=each.high,
                ci_method=f"bootstrap over {each.units}, or test-based" if scored else None,
                p_value=each.p_value,
                p_adjusted=each.p_adjusted,
                why=each.why or f"{each.near} of {each.expected:.1f} expected",
            )
        for language, count in without.items():
            findings.add("pmi", language=language, n=count, why=f"no lists of terms for {language}")
        findings.write(workspace)
    _show(arguments, found, without)
    if arguments.format == "table":
        print(
            '\nnext: python -m curation.catalog sql "SELECT metric, language, group_name, value, ci_low, ci_high, '
            f"p_adjusted FROM finding WHERE run_id = '{run_id}' ORDER BY p_adjusted\" --workspace {arguments.workspace}"
        )


def _show(arguments: argparse.Namespace, found: Sequence[Association], without: dict[str, int]) -> None:
    flagged = [each for each in found if each.p_adjusted < arguments.alpha]
    shown = list(found) if arguments.all else flagged
    shown.sort(key=lambda each: (math.isnan(each.pmi), -abs(each.pmi) if not math.isnan(each.pmi) else 0.0))
    if arguments.limit and not arguments.all:
        shown = shown[: arguments.limit]
    if arguments.format == "json":
        show.json_lines({name: getattr(each, name) for name in Association.__dataclass_fields__} for each in shown)
        return
    room = f"{arguments.window} words to each side of a mention" if arguments.window else "the document"
    tested = sum(1 for each in found if not math.isnan(each.p_value))
    print(
        f"PMI in bits, window: {room}; {tested:,} associations corrected together (Holm), alpha {arguments.alpha:g}\n"
    )
    show.table(
        [
            {
                "language": each.language, "group": each.group, "attribute": each.attribute,
                "documents": each.documents, "near": each.near, "expected": f"{each.expected:.1f}",
                "PMI": "" if math.isnan(each.pmi) else f"{each.pmi:+.2f}",
                "95 % interval": "" if math.isnan(each.pmi) else f"{each.low:+.2f} to {each.high:+.2f}",
                "p adjusted": show.p(each.p_adjusted), "": each.why or "",
            }
            for each in shown
        ]
    )  # fmt: skip
    if not flagged:
        print("no group stands beside an attribute more or less than chance would have it")
    elif len(flagged) > len(shown):
        print(f"... and {len(flagged) - len(shown):,} more; --limit 0 or --all shows them")
    hidden = sum(1 for each in found if each.why)
    if hidden:
        print(f"{hidden:,} are hidden: too few documents or words (--all lists them)")
    show.unlisted(without)
