"""The configuration of toxicity scoring."""

from dataclasses import dataclass, field
from typing import Literal

from curation.errors import UserError

OFFICIAL = ("original", "unbiased", "multilingual")
"""Detoxify's models by name (https://github.com/unitaryai/detoxify)."""


@dataclass(frozen=True)
class ToxicityConfig:
    """Scoring toxicity: the cheap model always, Detoxify where its weights are at hand."""

    enabled: bool = True
    """Score at all."""
    model: str = "original"
    """Detoxify's original, unbiased or multilingual (from torch's cache, see ``python -m curation.toxicity fetch``), a
    checkpoint by path (file or folder), or none: the cheap model alone."""
    require: bool = False
    """Stop when the model is not at hand, instead of going on with the cheap one."""
    action: Literal["drop", "flag"] = "drop"
    """Reject documents above a threshold, or only store scores."""
    thresholds: dict[str, float] = field(default_factory=lambda: {"toxicity": 0.8})
    """Label -> score from which a document is rejected. Perspective's guide, whose data taught these models, takes
    .7 to .9 where no person looks (https://developers.perspectiveapi.com/s/about-the-api-score)."""
    aggregate: Literal["max", "mean"] = "max"
    """Of the windows of a document: the worst one decides, or their mean."""
    cheap_threshold: float | None = None
    """Score of the cheap model from which a document is rejected where no better model is at hand; null: never, since
    it removes texts for naming people."""
    calibration: str = ""
    """Calibration file, whose threshold decides what is sent to the model; empty: the one that ``calibrate`` has left
    in the workspace for this model, and without one everything is sent."""
    languages: list[str] = field(default_factory=list)
    """Languages that the model knows (eng_Latn); empty: those of the official models, English for any other."""
    max_windows: int = 64
    """Windows scored of a document, the suspicious ones first."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, ..."""
    precision: Literal["auto", "fp32", "int8", "half"] = "auto"
    """auto: int8 on CPU, half on a GPU."""

    def __post_init__(self) -> None:
        if not self.thresholds:
            raise UserError(
                "toxicity.thresholds: names no label; {toxicity: 0.8} for example, or toxicity.action: flag"
            )
        for label, threshold in self.thresholds.items():
            if not 0 < threshold <= 1:
                raise UserError(f"toxicity.thresholds.{label}: {threshold} is not above 0 and at most 1")
        if self.cheap_threshold is not None and not 0 < self.cheap_threshold <= 1:
            raise UserError(f"toxicity.cheap_threshold: {self.cheap_threshold} is not above 0 and at most 1")
        if self.max_windows < 1:
            raise UserError(f"toxicity.max_windows: {self.max_windows} is not positive")
