"""Documents of like length, so that a group that writes short texts is not taken for one that a filter dislikes.

Two things make a stratum. *Bands* are tenths of a language's documents, made wider until a band spans at least a
quarter of its length, since texts of 168 and 172 words are of one length for whatever else befalls them. *Steps* are
exact: where short texts go and long ones stay, removal as a function of length is fitted as one that only falls
(isotonic regression; Barlow et al. 1972), and where that explains more than chance would, its steps divide the
documents at the very lengths where removal changes. A filter that removes everything under N words then leaves strata
in which all or none were removed, and nothing to blame a group for. The same is done for removal that only rises.
Either must be about lengths that differ: where the texts that go are about as long as those that stay (medians within a
quarter), and the filter is not known to act on length, texts that a mention makes a few words longer, or shorter, would
else pass for a filter on length.

Strata depend on lengths and removals, and on who is mentioned not at all: under the hypothesis that removal has to do
with length alone, mentions are as likely in removed documents of a stratum as in others, however it was chosen.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

BANDS = 10
WIDEST_ALIKE = 1.25
"""Lengths that differ by less are alike, unless removal itself tells them apart."""
ACTS_ON_LENGTH = {
    ("gopher_quality", "too_few_words"): "gopher_quality.words",
    ("gopher_quality", "too_many_words"): "gopher_quality.words",
    ("length", "too_short"): "characters",
    ("length", "too_long"): "characters",
    ("c4", "too_few_sentences"): "c4.sentences",
}
"""(step, reason) -> the measure that decides, for rules known to look at nothing else."""
_OF_ONE_STEP = {"c4.sentences": "c4"}
"""Measures that are lengths only for the step that decides by them."""


@dataclass(frozen=True)
class Strata:
    """Documents of like length."""

    strata_N: Array
    measure: str
    """The measure of length that was matched on."""
    exact: bool
    """Whether removal changes with length, so that documents are divided where it does."""
    decisive: bool
    """Whether length decides alone: in no stratum some documents are removed and some not."""


def match_length(removed_N: Array, lengths: Mapping[str, Array], step: str, reason: str = "") -> Strata:
    """Strata of the documents of one language for one outcome.

    Args:
        removed_N: bool.
        lengths: measure -> lengths, of the same documents; ``words`` among them.
    """
    usable = {name: values for name, values in lengths.items() if _OF_ONE_STEP.get(name, step) == step}
    known = ACTS_ON_LENGTH.get((step, reason), "")
    chosen, steps_N, gain = "words", None, 0.0
    for name, values in usable.items():
        for falling in (True, False):
            if name != known and not _differ(removed_N, values, falling):
                continue
            found_N, found = _steps(removed_N, values, falling)
            if found > gain:
                chosen, steps_N, gain = name, found_N, found
    if gain <= 10 + 2 * np.log(max(2, len(removed_N))):
        chosen, steps_N = known if known in usable else "words", None
    band_N = _bands(usable[chosen])
    strata_N = band_N if steps_N is None else steps_N * (BANDS + 1) + band_N
    _, strata_N = np.unique(strata_N, return_inverse=True)
    size_S, removed_S = np.bincount(strata_N), np.bincount(strata_N, weights=removed_N)
    decisive = steps_N is not None and not ((removed_S > 0) & (removed_S < size_S)).any()
    return Strata(strata_N, chosen, steps_N is not None, bool(decisive))


def _differ(removed_N: Array, values_N: Array, falling: bool) -> bool:
    """Whether what was removed is shorter (``falling``) or longer than what was not, by more than is alike."""
    if not removed_N.any() or removed_N.all():
        return False
    gone, stayed = float(np.median(values_N[removed_N])), float(np.median(values_N[~removed_N]))
    short, long = (gone, stayed) if falling else (stayed, gone)
    return long >= WIDEST_ALIKE * max(short, 1)


def _bands(values_N: Array) -> Array:
    """Number of the band of each document, 0 to ``BANDS`` - 1."""
    low, high = np.percentile(values_N, [5, 95])
    edges: list[float] = []
    for edge in np.percentile(values_N, np.linspace(0, 100, BANDS + 1)[1:-1]):
        if edge >= WIDEST_ALIKE * max(edges[-1] if edges else low, 1) and edge * WIDEST_ALIKE <= high:
            edges.append(float(edge))
    return np.searchsorted(np.array(edges), values_N, side="right")


def _steps(removed_N: Array, values_N: Array, falling: bool) -> tuple[Array, float]:
    """(number of the step of each document, twice the gain in log-likelihood over one rate for all)."""
    from scipy.optimize import isotonic_regression

    _, place_N = np.unique(values_N, return_inverse=True)
    size = np.bincount(place_N).astype(np.float64)
    removed = np.bincount(place_N, weights=removed_N)
    fit = isotonic_regression(removed / size, weights=size, increasing=not falling)
    step = np.repeat(np.arange(len(fit.blocks) - 1), np.diff(fit.blocks))
    sizes, events = np.bincount(step, weights=size), np.bincount(step, weights=removed)
    gain = 2 * (_likelihood(events, sizes) - _likelihood(np.array([removed.sum()]), np.array([size.sum()])))
    return step[place_N], gain


def _likelihood(events: Array, sizes: Array) -> float:
    from scipy.special import xlogy

    return float(np.sum(xlogy(events, events / sizes) + xlogy(sizes - events, 1 - events / sizes)))
