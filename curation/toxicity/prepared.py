"""What a run's scores depend on beside its configuration, and scores of a parent run that still hold."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from curation.errors import UserError
from curation.plan import RunFolder
from curation.progress import log
from curation.toxicity.cascade import calibration_path, load_calibration
from curation.toxicity.cheap import LANGUAGE, prepare_cheap
from curation.toxicity.config import ToxicityConfig
from curation.workspace import write_durably

STAGE = "toxicity"
"""The stage, the step of its rejections, and the key of what it depends on."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What scores and decisions of a run depend on, beside the configuration."""

    cheap: str
    """sha256 of the cheap model's files."""
    model: str = ""
    """sha256 of the checkpoint; empty where it is not at hand."""
    device: str = ""
    precision: str = ""
    threshold: str = ""
    """Of the cheap model, from the calibration; empty: everything is sent on."""
    languages: str = ""
    """Languages that the model knows, separated by commas."""
    windows: str = ""
    """Most windows of a document."""

    def as_dict(self) -> dict[str, str]:
        """As recorded with the run."""
        return {name: value for name in self.__slots__ if (value := str(getattr(self, name)))}


def prepare_toxicity(config: ToxicityConfig, cache: Path) -> dict[str, str]:
    """Find and try out the models; empty where nothing is to be scored.

    Raises:
        UserError: the checkpoint is no good, a threshold names no label of it, the calibration belongs to another, or
            ``require`` is set and the model is not at hand.
    """
    from curation.toxicity.checkpoint import LANGUAGES, NotAtHand, find_checkpoint
    from curation.toxicity.scorer import Scorer

    if not config.enabled:
        return {}
    (cheap,) = prepare_cheap(cache).values()
    if config.model == "none":
        if config.require:
            raise UserError("toxicity.require: toxicity.model is none; name a model")
        return Prepared(cheap).as_dict()
    try:
        source = find_checkpoint(config.model)
        scorer = Scorer(source, config.device, config.precision)
    except NotAtHand as error:
        if config.require:
            raise
        does = "rejects documents from toxicity.cheap_threshold on" if config.cheap_threshold else "rejects nothing"
        log.warning("%s. Going on with the cheap model alone, which scores English and %s", error, does)
        return Prepared(cheap).as_dict()
    for label in config.thresholds:
        if label not in scorer.labels:
            raise UserError(
                f"toxicity.thresholds: {source.title} has no label {label!r}; valid: {', '.join(scorer.labels)}"
            )
    path = Path(config.calibration) if config.calibration else calibration_path(cache, source.sha256, cheap, config)
    threshold = ""
    if config.calibration or path.exists():
        threshold = repr(load_calibration(path, source.sha256, cheap, config).threshold)
    else:
        log.warning(
            "toxicity: no calibration for %s with these thresholds: every document that survives is sent to it; "
            "python -m curation.toxicity calibrate finds what need not be",
            source.title,
        )
    languages = config.languages or LANGUAGES.get(config.model, (LANGUAGE,))
    found = Prepared(
        cheap=cheap,
        model=source.sha256,
        device=scorer.device,
        precision=scorer.precision,
        threshold=threshold,
        languages=",".join(sorted(languages)),
        windows=str(config.max_windows),
    )
    return found.as_dict()


def prepared_of(folder: RunFolder) -> Prepared:
    """What ``prepare_toxicity`` said when the run began."""
    return Prepared(**folder.load("prepared")[STAGE])


def parse_prepared(prepared: Mapping[str, Any] | None) -> Prepared | None:
    """What a run depends on, out of all that is recorded as ``prepared``; None where it scores nothing."""
    found = (prepared or {}).get(STAGE)
    return Prepared(**found) if found else None


# ---- known scores of a parent run ------------------------------------------------------------------


def set_aside(meta: dict[str, Any], old: Prepared | None, new: Prepared | None) -> None:
    """Of a parent's scores keep the cheap one in the row, and the model's beside it, as far as they still hold."""
    scores = meta.get("toxicity")
    meta["toxicity"] = None
    if not scores or old is None or new is None or old.cheap != new.cheap:
        return
    meta["toxicity"] = {"cheap": scores["cheap"]}
    if scores["model"] is not None and old == new:
        meta["_toxicity"] = scores


def known_path(part: Path) -> Path:
    """Scores of a parent's model for documents of a part."""
    return part.parents[2] / "verdicts" / "known" / part.parent.name / f"{part.stem}.json"


def save_known(part: Path, known: Mapping[int, Any]) -> None:
    """Store scores by sequence."""
    path = known_path(part)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, orjson.dumps([[sequence, scores] for sequence, scores in known.items()]))


def known_scores(part: Path) -> dict[int, Any]:
    """What ``save_known`` has stored for a part."""
    path = known_path(part)
    return dict(orjson.loads(path.read_bytes())) if path.exists() else {}
