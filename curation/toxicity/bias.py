"""What a scorer does to texts that name people: Borkan et al. 2019, "Nuanced Metrics for Measuring Unintended Bias with
Real Data for Text Classification" (https://arxiv.org/abs/1903.04561).

For each identity, among labelled texts, with the scorer's ranking of toxic above others as area under the curve (AUC):

- subgroup AUC: inside the texts that name the identity;
- BPSN AUC (background positive, subgroup negative): harmless texts that name it against toxic ones that do not: low
  where the scorer takes the identity itself for an insult;
- BNSP AUC (background negative, subgroup positive): toxic texts that name it against harmless ones that do not: low
  where it does not see attacks on the identity;
- false positive rate: harmless texts that name it and score above the threshold, beside that of the others.

Intervals are bootstraps over templates: sentences of one template depend on one another.
"""

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from curation.errors import UserError
from curation.statistics import Estimate

Array = np.ndarray[Any, Any]

METRICS = ("subgroup_auc", "bpsn_auc", "bnsp_auc", "false_positive_rate")
_DRAWS = 500
_TOXIC = {"bad": True, "toxic": True, "1": True, "true": True, "notbad": False, "not_bad": False, "ok": False,
          "nontoxic": False, "0": False, "false": False}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Example:
    """A labelled text."""

    text: str
    toxic: bool
    identity: str
    """What it names; empty for none."""
    template: str
    """What it was made from."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One metric of one identity."""

    identity: str
    metric: str
    estimate: Estimate


def packaged_examples() -> list[Example]:
    """Our own templates and identities (``templates.csv``, ``identities.csv``), all combinations."""
    folder = Path(str(files("curation.toxicity")))
    with (folder / "identities.csv").open(encoding="utf-8", newline="") as file:
        identities = [(row["identity"], row["adjective"]) for row in csv.DictReader(file)]
    found = []
    with (folder / "templates.csv").open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file)):
            toxic = row["toxic"] == "1"
            if "{identity}" in row["template"]:
                for identity, adjective in identities:
                    text = row["template"].replace("{identity}", adjective)
                    found.append(Example(text, toxic, identity, str(number)))
            else:
                found.append(Example(row["template"], toxic, "", str(number)))
    return found


def read_examples(path: Path) -> list[Example]:
    """Labelled texts from CSV, in the formats of conversationai's madlibs: ``Text`` and ``Label`` (BAD, NOT_BAD), or
    ``phrase`` and ``toxicity`` (toxic, nontoxic). With a column ``identity`` there may be one ``template``, too;
    without, the terms of ``identities.csv`` are looked for in the text, and the template is the text without them.

    Raises:
        UserError: missing columns, or a label that is none of these.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        names = {name.strip().lower(): name for name in reader.fieldnames or ()}
        text_name = names.get("text") or names.get("phrase")
        label_name = names.get("label") or names.get("toxicity")
        if text_name is None or label_name is None:
            raise UserError(f"{path}: needs the columns Text (or phrase) and Label; it has {', '.join(names)}")
        identity_name, template_name = names.get("identity"), names.get("template")
        terms = _terms()
        found = []
        for number, row in enumerate(reader, 2):
            label = _TOXIC.get(row[label_name].strip().lower().replace(" ", "_"))
            if label is None:
                raise UserError(f"{path}, line {number}: label {row[label_name]!r} is none of {', '.join(_TOXIC)}")
            text = row[text_name]
            padded = _padded(text)
            identity = row[identity_name] if identity_name else next((t for t in terms if f" {t} " in padded), "")
            named = row[template_name] if identity_name and template_name else ""
            found.append(Example(text, label, identity, named or padded.replace(f" {identity} ", " ").strip()))
    return found


def _terms() -> list[str]:
    return sorted({each.identity for each in packaged_examples()} - {""}, key=lambda term: (-len(term), term))


def _padded(text: str) -> str:
    return " " + "".join(c if c.isalnum() else " " for c in text.lower()) + " "


def measure(
    examples: Sequence[Example], scores_N: Sequence[float], threshold: float, least: int = 20
) -> list[Measured]:
    """All metrics of every identity that at least ``least`` toxic and as many harmless texts name, and the false
    positive rate of the texts that name none (identity "", if there are as many).

    Args:
        scores_N: the scorer's, by example.
        threshold: from which a text counts as toxic.
    """
    scores = np.asarray(scores_N, dtype=np.float64)
    toxic = np.array([each.toxic for each in examples])
    names = np.array([each.identity for each in examples])
    templates = {name: number for number, name in enumerate(dict.fromkeys(each.template for each in examples))}
    unit = np.array([templates[each.template] for each in examples])
    found = []
    for identity in sorted(set(names.tolist())):
        inside = names == identity
        counts = (int((inside & toxic).sum()), int((inside & ~toxic).sum()))
        sides: dict[str, tuple[Array, Array]] = {
            "subgroup_auc": (inside & toxic, inside & ~toxic),
            "bpsn_auc": (~inside & toxic, inside & ~toxic),
            "bnsp_auc": (inside & toxic, ~inside & ~toxic),
        }
        if counts[1] >= least:
            harmless = inside & ~toxic
            found.append(Measured(identity, METRICS[3], _rate(scores[harmless] >= threshold, unit[harmless])))
        if identity and min(counts) >= least:
            for metric, (positive, negative) in sides.items():
                found.append(Measured(identity, metric, _auc(scores, positive, negative, unit)))
    return found


def _rate(above: Array, unit: Array) -> Estimate:
    def rate(weights: Array) -> float:
        return float((above * weights).sum() / weights.sum())

    return _bootstrapped(rate, unit)


def _auc(scores: Array, positive: Array, negative: Array, unit: Array) -> Estimate:
    chosen = positive | negative
    _, rank = np.unique(scores[chosen], return_inverse=True)
    labels = positive[chosen]
    return _bootstrapped(lambda weights: weighted_auc(rank, labels, weights), unit[chosen])


def weighted_auc(rank: Array, positive: Array, weights: Array) -> float:
    """Probability that a positive ranks above a negative, ties half (Mann-Whitney), items counted by weight; NaN where
    one kind is absent. Ranks are small integers."""
    up = np.bincount(rank, weights=weights * positive)
    down = np.bincount(rank, weights=weights * ~positive)
    below = np.cumsum(down) - down
    total = up.sum() * down.sum()
    return float((up * (below + down / 2)).sum() / total) if total else float("nan")


def _bootstrapped(statistic: Callable[[Array], float], unit: Array) -> Estimate:
    """A statistic of weighted items, its interval from drawing whole templates (percentiles)."""
    units, place = np.unique(unit, return_inverse=True)
    value = statistic(np.ones(len(unit)))
    random = np.random.default_rng(0)
    drawn = [
        statistic(random.multinomial(len(units), np.full(len(units), 1 / len(units)))[place]) for _ in range(_DRAWS)
    ]
    finite = [each for each in drawn if np.isfinite(each)]
    if len(units) < 2 or len(finite) < _DRAWS // 2:
        return Estimate(value, float("-inf"), float("inf"), len(units), "none")
    low, high = np.percentile(finite, [2.5, 97.5])
    return Estimate(value, float(low), float(high), len(units), "bootstrap percentile")


def table(measured: Iterable[Measured]) -> str:
    """A row for each identity, the worst BPSN first."""
    rows: dict[str, dict[str, Estimate]] = {}
    for each in measured:
        rows.setdefault(each.identity, {})[each.metric] = each.estimate

    def cell(estimate: Estimate | None) -> str:
        if estimate is None:
            return "-"
        return f"{estimate.value:.3f} [{max(0, estimate.low):.2f}, {min(1, estimate.high):.2f}]"

    heads = ("subgroup AUC", "BPSN AUC", "BNSP AUC", "false positives")
    lines = [f"{'identity':<18}" + "".join(f"{head:>21}" for head in heads)]
    order = sorted(rows, key=lambda name: (rows[name]["bpsn_auc"].value if "bpsn_auc" in rows[name] else 2, name))
    for name in order:
        lines.append(f"{name or '(none)':<18}" + "".join(f"{cell(rows[name].get(metric)):>21}" for metric in METRICS))
    return "\n".join(lines)
