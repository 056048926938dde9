"""The cascade's threshold comes from data, belongs to one checkpoint, and does what it promises."""

import dataclasses
import json
from pathlib import Path

import pytest

from curation.errors import UserError
from curation.toxicity.cascade import (
    Calibration,
    calibrate,
    load_calibration,
    save_calibration,
    suspicious,
    verdict,
)
from curation.toxicity.cheap import Cheap
from curation.toxicity.checkpoint import find_checkpoint
from curation.toxicity.config import ToxicityConfig
from curation.toxicity.scorer import Scorer, Toxicity
from tests.curation.toxicity import small_model

CONFIG = ToxicityConfig(model="small")


@pytest.fixture(scope="module")
def scorer(checkpoint: Path) -> Scorer:
    return Scorer(find_checkpoint(str(checkpoint)), "cpu")


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Tweets that the checkpoint has not seen, most of them toxic, and documentation."""
    return [text for text, _ in small_model.tweets()[-300:]] + small_model.clean_texts(3000)[1333:]


@pytest.fixture(scope="module")
def found(texts: list[str], scorer: Scorer, cheap: Cheap) -> Calibration:
    return calibrate(texts, scorer, cheap, "c" * 64, CONFIG, 0.97)


def test_the_wanted_recall_holds_on_other_texts(found: Calibration, texts: list[str]) -> None:
    assert found.texts == len(texts)
    assert 100 < found.removed < 0.7 * found.texts
    assert found.recall_low <= found.recall <= found.recall_high
    assert found.recall_high >= 0.97
    assert found.recall >= 0.93
    assert found.sent < 0.9


def test_the_cascade_agrees_with_the_checkpoint_alone(found: Calibration, scorer: Scorer, cheap: Cheap) -> None:
    """On tweets that neither training nor calibration has seen."""
    fresh = [text for text, _ in small_model.tweets()[-1500:-500]]
    alone = [verdict(scores, CONFIG) is not None for scores in scorer.score(fresh)]
    hot = [suspicious(cheap.windows(text), found.threshold) for text in fresh]
    sent = [place for place, each in enumerate(hot) if each]
    scores = scorer.score([fresh[place] for place in sent], [hot[place] for place in sent])
    gone = {place for place, each in zip(sent, scores, strict=True) if verdict(each, CONFIG)}
    assert len(gone) >= 0.95 * sum(alone)
    assert sum((place in gone) == alone[place] for place in range(len(fresh))) >= 0.95 * len(fresh)


def test_a_higher_target_sends_more(found: Calibration, texts: list[str], scorer: Scorer, cheap: Cheap) -> None:
    lower = calibrate(texts, scorer, cheap, "c" * 64, CONFIG, 0.7)
    assert lower.threshold > found.threshold
    assert lower.sent < found.sent
    assert lower.recall < found.recall


def test_another_checkpoint_moves_the_threshold(
    checkpoint: Path, found: Calibration, texts: list[str], cheap: Cheap, tmp_path: Path
) -> None:
    """One that takes harmless texts for toxic: the cheap model must send nearly everything on."""
    import shutil

    import torch

    folder = tmp_path / "other"
    shutil.copytree(checkpoint, folder)
    weights = torch.load(folder / "model.ckpt", weights_only=True)["state_dict"]
    for key in ("classifier.weight", "classifier.bias"):
        weights[key] = -weights[key]
    small_model.save(folder, weights)
    other = calibrate(texts, Scorer(find_checkpoint(str(folder)), "cpu"), cheap, "c" * 64, CONFIG, 0.97)
    assert other.threshold < found.threshold / 2
    assert other.sent > found.sent
    path = tmp_path / "calibration.json"
    save_calibration(path, found)
    with pytest.raises(UserError, match="was made for another checkpoint"):
        load_calibration(path, other.checkpoint, "c" * 64, CONFIG)


def test_a_calibration_belongs_to_what_it_was_made_for(found: Calibration, tmp_path: Path) -> None:
    path = tmp_path / "a" / "calibration.json"
    save_calibration(path, found)
    assert load_calibration(path, found.checkpoint, found.cheap, CONFIG) == found
    with pytest.raises(UserError, match="another cheap model"):
        load_calibration(path, found.checkpoint, "d" * 64, CONFIG)
    for changed in ({"thresholds": {"toxicity": 0.5}}, {"aggregate": "mean"}, {"max_windows": 2}):
        with pytest.raises(UserError, match="other thresholds"):
            load_calibration(path, found.checkpoint, found.cheap, dataclasses.replace(CONFIG, **changed))
    for damage in ("", "{}", json.dumps([1])):
        path.write_text(damage)
        with pytest.raises(UserError, match="is no calibration file"):
            load_calibration(path, found.checkpoint, found.cheap, CONFIG)
    with pytest.raises(UserError, match="no such file"):
        load_calibration(tmp_path / "none", found.checkpoint, found.cheap, CONFIG)


def test_too_few_toxic_texts(scorer: Scorer, cheap: Cheap) -> None:
    with pytest.raises(UserError, match="at least 40 are needed"):
        calibrate(small_model.clean_texts(60), scorer, cheap, "c", CONFIG, 0.97)


def test_verdicts() -> None:
    scores = Toxicity("m", {"toxicity": 0.9, "insult": 0.7}, {"toxicity": 0.2, "insult": 0.3}, 2, 0, 9)
    config = ToxicityConfig(thresholds={"toxicity": 0.85, "insult": 0.5})
    assert verdict(scores, config) == "insult"
    assert verdict(scores, dataclasses.replace(config, thresholds={"toxicity": 0.9})) == "toxicity"
    assert verdict(scores, dataclasses.replace(config, thresholds={"toxicity": 0.91})) is None
    assert verdict(scores, dataclasses.replace(config, aggregate="mean")) is None
