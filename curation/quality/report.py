"""How good scores are on texts that the model has not seen.

A score is a probability, so it is judged twice: whether positives rank above negatives (AUC, precision, recall), and
whether of the texts with a score of .8 four in five are positive (calibration). Proportions have Wilson intervals, the
rest bootstrap intervals (2,000 draws, percentiles) over texts. Texts with the same score and side are one cell, and
drawing cells by their counts is drawing texts: time and memory do not grow with their number. Where no text is on the
wrong side every draw says so too, and the interval is a point: ``n`` says how much that means.

All is for the mixture of positives and negatives that was looked at: in another one precision and calibration differ,
recall and the share of negatives kept do not.

Array suffixes: ``N`` texts, ``C`` scores in ascending order, ``X`` cells, ``D`` draws, ``B`` bins, ``F`` figures.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from curation.quality.model import plain
from curation.statistics import DRAWS, Estimate, wilson

Array = np.ndarray[Any, Any]

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
BINS = 10
_MOST_DRAWN = 4096
"""Of more different scores neighbours are drawn as one; the figures themselves are of all."""


@dataclass(frozen=True, slots=True)
class AtThreshold:
    """What keeping the texts with at least this score would mean."""

    threshold: float
    precision: Estimate
    """Share of positives among what is kept."""
    recall: Estimate
    """Share of the positives that is kept."""
    f1: Estimate
    negatives_kept: Estimate
    """Share of the negatives that is kept."""


@dataclass(frozen=True, slots=True)
class Bin:
    """Texts with scores from ``low`` up to ``high``."""

    low: float
    high: float
    mean_score: float
    positives: Estimate
    """Share of positives: a calibrated score equals it."""


@dataclass(frozen=True, slots=True)
class Report:
    """All figures of one set of texts."""

    positives: int
    negatives: int
    not_scored: int
    """Texts without a word that the model knows; they count nowhere else."""
    auc: Estimate
    brier: Estimate
    calibration_error: Estimate
    """Expected calibration error: mean distance of score and share of positives in a bin, weighted by its texts (Guo et
    al. 2017, https://arxiv.org/abs/1706.04599). Noise alone makes it positive."""
    thresholds: tuple[AtThreshold, ...]
    bins: tuple[Bin, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON: what is not defined is null."""
        return {name: plain(value) for name, value in asdict(self).items()}


def evaluate(scores: Sequence[float | None], positive_N: Sequence[bool] | Array, seed: int = 0) -> Report:
    """Compare scores with the side of each text.

    Raises:
        ValueError: not as many sides as scores, or a score outside [0, 1].
    """
    known = [number for number, score in enumerate(scores) if score is not None]
    if len(scores) != len(positive_N):
        raise ValueError(f"{len(scores)} scores, but {len(positive_N)} sides")
    score_N = np.array([scores[number] for number in known], dtype=np.float64)
    side_N = np.asarray(positive_N, dtype=np.bool_)[known]
    if len(score_N) and (score_N.min() < 0 or score_N.max() > 1):
        raise ValueError("scores lie between 0 and 1")
    auc, brier, calibration_error = _of_cells(score_N, side_N, seed)
    return Report(
        positives=int(side_N.sum()),
        negatives=int((~side_N).sum()),
        not_scored=len(scores) - len(known),
        auc=auc,
        brier=brier,
        calibration_error=calibration_error,
        thresholds=tuple(_at(threshold, score_N, side_N, seed) for threshold in THRESHOLDS),
        bins=tuple(_bins(score_N, side_N)),
    )


def _at(threshold: float, score_N: Array, side_N: Array, seed: int) -> AtThreshold:
    kept_N = score_N >= threshold
    found, positives = int((kept_N & side_N).sum()), int(side_N.sum())
    kept, n = int(kept_N.sum()), len(score_N)
    wrong = (kept - found) + (positives - found)

    def f1(counts_DX: Array) -> Array:
        with np.errstate(invalid="ignore"):
            value: Array = 2 * counts_DX[:, :1] / (2 * counts_DX[:, :1] + counts_DX[:, 1:2])
        return value

    counts_X = np.array([found, wrong, n - found - wrong])
    return AtThreshold(
        threshold,
        precision=wilson(found, kept),
        recall=wilson(found, positives),
        f1=_bootstrap(f1(counts_X[None])[0], f1, counts_X, seed)[0],
        negatives_kept=wilson(kept - found, n - positives),
    )


def _bin_of(score: Array) -> Array:
    found: Array = np.minimum((score * BINS).astype(np.int64), BINS - 1)
    return found


def _bins(score_N: Array, side_N: Array) -> list[Bin]:
    bin_N = _bin_of(score_N)
    found = []
    for number in range(BINS):
        here = bin_N == number
        mean = float(score_N[here].mean()) if here.any() else float("nan")
        positives = wilson(int(side_N[here].sum()), int(here.sum()))
        found.append(Bin(number / BINS, (number + 1) / BINS, mean, positives))
    return found


class _Cells:
    """Texts by score, positives and negatives apart."""

    def __init__(self, score_N: Array, side_N: Array) -> None:
        self.score_C, inverse = np.unique(score_N, return_inverse=True)
        sizes = [np.bincount(inverse[side_N == side], minlength=len(self.score_C)) for side in (True, False)]
        self.counts_X = np.concatenate(sizes)  # positives of each score, then negatives
        self.bin_C = _bin_of(self.score_C)

    def figures(self, counts_DX: Array) -> Array:
        """[draws, 3]: AUC, Brier score, calibration error."""
        positive_DC, negative_DC = np.split(counts_DX, 2, axis=1)
        total_D = counts_DX.sum(axis=1)
        # Equal scores count half.
        below_DC = np.cumsum(negative_DC, axis=1) - negative_DC / 2
        gap_DC = (positive_DC + negative_DC) * self.score_C - positive_DC
        member_CB = self.bin_C[:, None] == np.arange(BINS)
        with np.errstate(invalid="ignore", divide="ignore"):
            auc_D = (positive_DC * below_DC).sum(axis=1) / (positive_DC.sum(axis=1) * negative_DC.sum(axis=1))
            brier_D = (positive_DC @ (1 - self.score_C) ** 2 + negative_DC @ self.score_C**2) / total_D
            error_D = np.abs(gap_DC @ member_CB).sum(axis=1) / total_D
        return np.stack([auc_D, brier_D, error_D], axis=1)


def _of_cells(score_N: Array, side_N: Array, seed: int) -> list[Estimate]:
    """AUC, Brier score and calibration error."""
    exact, coarse = _Cells(score_N, side_N), _Cells(_grouped(score_N), side_N)
    value_F = exact.figures(exact.counts_X[None].astype(np.float64))[0]
    return _bootstrap(value_F, coarse.figures, coarse.counts_X, seed)


def _grouped(score_N: Array) -> Array:
    """Scores with the mean of neighbours, inside a bin, in place of each where too many differ."""
    values, inverse = np.unique(score_N, return_inverse=True)
    if len(values) <= _MOST_DRAWN:
        return score_N
    place = _bin_of(values) * _MOST_DRAWN + np.arange(len(values)) * _MOST_DRAWN // len(values)
    _, group = np.unique(place, return_inverse=True)
    means = np.bincount(group, weights=values) / np.bincount(group)
    found: Array = means[group][inverse]
    return found


def _bootstrap(value_F: Array, figures: Callable[[Array], Array], counts_X: Array, seed: int) -> list[Estimate]:
    """Figures with the percentiles of what they are when texts are drawn again with replacement."""
    n = int(counts_X.sum())
    if n == 0:
        return [Estimate(float("nan"), float("-inf"), float("inf"), 0, "none") for _ in value_F]
    rng = np.random.default_rng(seed)
    batch = max(1, 2**21 // len(counts_X))
    drawn = []
    for begin in range(0, DRAWS, batch):
        sample_DX = rng.multinomial(n, counts_X / n, size=min(batch, DRAWS - begin))
        drawn.append(figures(sample_DX.astype(np.float64)))
    found = []
    for value, values_D in zip(value_F, np.concatenate(drawn).T, strict=True):
        defined = values_D[np.isfinite(values_D)]
        low, high = np.quantile(defined, [0.025, 0.975]) if len(defined) else (float("-inf"), float("inf"))
        method = "bootstrap percentile" if len(defined) else "none"
        found.append(Estimate(float(value), float(low), float(high), n, method))
    return found


# ---- for a terminal ------------------------------------------------------------------------------


def table(report: Report) -> str:
    """The report for people."""
    lines = [
        f"{report.positives:,} positive and {report.negatives:,} negative texts"
        + (f", {report.not_scored:,} more without a word that the model knows" if report.not_scored else ""),
        f"AUC {_interval(report.auc)}, Brier score {_interval(report.brier)}, "
        f"expected calibration error {_interval(report.calibration_error)}",
        "",
        f"{'min_score':>9}  {'precision':<20}  {'positives kept':<20}  {'F1':<20}  negatives kept",
    ]
    for at in report.thresholds:
        cells = [_interval(each) for each in (at.precision, at.recall, at.f1, at.negatives_kept)]
        lines.append(f"{at.threshold:>9.2f}  " + "  ".join(f"{cell:<20}" for cell in cells).rstrip())
    lines += ["", f"{'score':<9}  {'texts':>7}  {'mean score':>10}  share of positives"]
    for each in report.bins:
        mean = "-" if each.positives.n == 0 else f"{each.mean_score:.3f}"
        place = f"{each.low:.1f}-{each.high:.1f}"
        lines.append(f"{place:<9}  {each.positives.n:>7,}  {mean:>10}  {_interval(each.positives)}")
    return "\n".join(lines)


def _interval(estimate: Estimate) -> str:
    if estimate.value != estimate.value:
        return "-"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
