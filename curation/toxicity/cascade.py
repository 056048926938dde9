"""The cascade: which documents the cheap model sends on, and the threshold for that, taken from data.

A calibration belongs to one checkpoint, one cheap model and one set of thresholds: with another of any of them it does
not count, and another has to be made.
"""

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from curation.errors import UserError
from curation.statistics import Estimate, wilson
from curation.toxicity.cheap import Cheap, Window
from curation.toxicity.config import ToxicityConfig
from curation.toxicity.scorer import Scorer, Toxicity
from curation.workspace import write_durably

LEAST_TOXIC = 20
"""Texts that the checkpoint removes that a calibration needs on each side: with fewer a recall says little."""
_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Calibration:
    """What ``calibrate`` found."""

    checkpoint: str
    """sha256 of the checkpoint."""
    cheap: str
    """sha256 of the cheap model."""
    decides: str
    """What decides a removal: thresholds and aggregate, hashed."""
    target_recall: float
    threshold: float
    """Of the cheap model: stretches that score at least this are sent on."""
    texts: int
    removed: int
    """Texts that the checkpoint alone removes."""
    recall: float
    """Share of them that the cascade removes, on the half of the texts that the threshold was not taken from."""
    recall_low: float
    recall_high: float
    sent: float
    """Share of all texts that are sent on, on that half."""


def decides(config: ToxicityConfig) -> str:
    """A name for what decides a removal."""
    plain = json.dumps([sorted(config.thresholds.items()), config.aggregate, config.max_windows])
    return hashlib.sha256(plain.encode()).hexdigest()


def calibration_path(cache: Path, checkpoint: str, cheap: str, config: ToxicityConfig) -> Path:
    """Where a workspace keeps the calibration of a checkpoint."""
    return cache / "toxicity" / f"calibration-{checkpoint[:12]}-{cheap[:12]}-{decides(config)[:12]}.json"


def load_calibration(path: Path, checkpoint: str, cheap: str, config: ToxicityConfig) -> Calibration:
    """Read a calibration.

    Raises:
        UserError: it is missing or damaged, or belongs to another checkpoint, cheap model or set of thresholds.
    """
    try:
        found = Calibration(**json.loads(path.read_text("utf-8")))
    except FileNotFoundError as error:
        raise UserError(f"toxicity.calibration: {path}: no such file") from error
    except (ValueError, TypeError) as error:
        raise UserError(f"toxicity.calibration: {path} is no calibration file") from error
    for name, wanted in (("checkpoint", checkpoint), ("cheap", cheap), ("decides", decides(config))):
        if getattr(found, name) != wanted:
            what = {"checkpoint": "another checkpoint", "cheap": "another cheap model", "decides": "other thresholds"}
            raise UserError(
                f"toxicity.calibration: {path} was made for {what[name]}; make one with "
                "python -m curation.toxicity calibrate"
            )
    return found


def save_calibration(path: Path, calibration: Calibration) -> None:
    """Write a calibration."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, (json.dumps(asdict(calibration), indent=1) + "\n").encode())


def verdict(scores: Toxicity, config: ToxicityConfig) -> str | None:
    """The label for which a document is rejected, that furthest above its threshold; None to keep it."""
    found = scores.of(config.aggregate)
    above = [(found[label] - least, label) for label, least in config.thresholds.items() if found[label] >= least]
    return max(above)[1] if above else None


def suspicious(windows: Sequence[Window], threshold: float) -> list[tuple[int, int, float]]:
    """The stretches that are sent on."""
    return [(window.start, window.end, window.score) for window in windows if window.score >= threshold]


def calibrate(
    texts: Sequence[str],
    scorer: Scorer,
    cheap: Cheap,
    cheap_sha256: str,
    config: ToxicityConfig,
    target_recall: float,
    seed: int = 0,
    tell: Any = lambda done: None,
) -> Calibration:
    """Find the highest threshold at which the cascade removes the wanted share of what the checkpoint alone removes,
    with some certainty: with few texts it is lower, and sends more on.

    The texts are split at random: one half gives the threshold, the other says what recall it has. Every text is
    scored by the checkpoint; the texts of the second half that it removes are scored once more by the cascade.

    Args:
        texts: at least some thousand, toxic ones among them.
        tell: called with the number of texts that are done.

    Raises:
        UserError: too few of the texts are removed by the checkpoint.
    """
    order = list(range(len(texts)))
    random.Random(seed).shuffle(order)
    removed: list[tuple[int, Toxicity]] = []
    for low in range(0, len(order), _AT_ONCE):
        chosen = order[low : low + _AT_ONCE]
        found = scorer.score([texts[place] for place in chosen], most=config.max_windows)
        removed += [(place, scores) for place, scores in zip(chosen, found, strict=True) if verdict(scores, config)]
        tell(min(low + _AT_ONCE, len(order)))
    half = len(order) // 2
    first, second = set(order[:half]), order[half:]
    known = [(place, scores) for place, scores in removed if place in first]
    held = [place for place, _ in removed if place not in first]
    if min(len(known), len(held)) < LEAST_TOXIC:
        raise UserError(
            f"of {len(texts)} texts the checkpoint removes {len(removed)}: at least {2 * LEAST_TOXIC} are needed to "
            "take a threshold from; give more texts, or more toxic ones"
        )
    # The cheap model must send the window that is worst: the highest of its scores that touch it.
    heat = sorted(_heat(cheap.windows(texts[place]), scores) for place, scores in known)
    threshold = heat[_may_miss(len(heat), target_recall)]
    caught = 0
    for place in held:
        hot = suspicious(cheap.windows(texts[place]), threshold)
        caught += bool(hot) and verdict(scorer.score([texts[place]], [hot], config.max_windows)[0], config) is not None
    recall: Estimate = wilson(caught, len(held))
    sent = sum(cheap.score(texts[place]) >= threshold for place in second) / len(second)
    return Calibration(
        checkpoint=scorer.source.sha256,
        cheap=cheap_sha256,
        decides=decides(config),
        target_recall=target_recall,
        threshold=threshold,
        texts=len(texts),
        removed=len(removed),
        recall=recall.value,
        recall_low=recall.low,
        recall_high=recall.high,
        sent=sent,
    )


def _may_miss(n: int, target_recall: float) -> int:
    """How many of n may lie below the threshold, so that the recall is the target's with a confidence of 95 %, as far
    as n allows (one-sided binomial limit, Clopper and Pearson 1934, https://doi.org/10.1093/biomet/26.4.404)."""
    from scipy.stats import binom

    missed = 0
    while missed + 1 < n and binom.cdf(missed + 1, n, 1 - target_recall) <= 0.05:
        missed += 1
    return missed


def _heat(windows: Sequence[Window], scores: Toxicity) -> float:
    return max((each.score for each in windows if each.start < scores.end and each.end > scores.start), default=0.0)
