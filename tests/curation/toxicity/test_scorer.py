"""Scores: Detoxify's own, of every window, the same in any company."""

from pathlib import Path

import pytest

from curation.errors import UserError
from curation.toxicity.checkpoint import find_checkpoint
from curation.toxicity.scorer import Scorer
from tests.curation.toxicity import small_model

CALM = "The committee met on Monday and discussed the budget of the library. "
RUDE = "Shut up you stupid bitch, you fucking trash. "


@pytest.fixture(scope="module")
def exact(checkpoint: Path) -> Scorer:
    """In fp32."""
    return Scorer(find_checkpoint(str(checkpoint)), "cpu", "fp32")


@pytest.fixture(scope="module")
def quick(checkpoint: Path) -> Scorer:
    """In int8."""
    return Scorer(find_checkpoint(str(checkpoint)), "cpu")


def test_scores_are_those_of_detoxify(checkpoint: Path, exact: Scorer) -> None:
    """Also of a text longer than the model takes, of which Detoxify sees the beginning."""
    from detoxify import Detoxify

    detoxify = Detoxify(checkpoint=str(checkpoint / "model.ckpt"), huggingface_config_path=str(checkpoint))
    texts = [text for text, _ in small_model.tweets()[-60:]] + [CALM * 100 + RUDE, RUDE + CALM * 100]
    found = exact.score(texts)
    for text, scores in zip(texts, found, strict=True):
        expected = {label: values[0] for label, values in detoxify.predict([text, text]).items()}
        if scores.windows == 1:
            assert scores.max == pytest.approx(expected, abs=1e-4)
        else:
            (first,) = exact.score([text], [[(0, 1, 1.0)]])
            assert first.max == pytest.approx(expected, abs=1e-4)
            assert scores.max["toxicity"] >= first.max["toxicity"]


def test_windows_of_a_long_text(quick: Scorer) -> None:
    text = CALM * 150 + RUDE + CALM * 150
    (found,) = quick.score([text])
    assert found.windows > 5
    assert RUDE.strip() in text[found.start : found.end] or found.max["toxicity"] < 0.8
    assert found.max["toxicity"] > found.mean["toxicity"] > 0
    place = text.index(RUDE)
    (hot,) = quick.score([text], [[(place, place + len(RUDE), 0.9)]])
    assert (hot.windows, hot.max, hot.start) == (1, found.max, found.start)
    (few,) = quick.score([text], [[(0, len(text), 0.1), (place, place + 5, 0.9)]], most=1)
    assert (few.windows, few.start) == (1, found.start)


def test_company_changes_nothing(quick: Scorer) -> None:
    texts = [text for text, _ in small_model.tweets()[-20:]] + [CALM * 90 + RUDE, ""]
    alone = [quick.score([text])[0] for text in texts]
    assert quick.score(texts) == alone
    assert quick.score(texts[::-1]) == alone[::-1]


def test_int8_is_near(exact: Scorer, quick: Scorer) -> None:
    texts = [text for text, _ in small_model.tweets()[-200:]]
    pairs = zip(exact.score(texts), quick.score(texts), strict=True)
    assert max(abs(a.max["toxicity"] - b.max["toxicity"]) for a, b in pairs) < 0.1
    assert quick.precision == "int8"


def test_it_has_learned(exact: Scorer) -> None:
    """What the other tests say of scores is about a model that tells toxic from harmless."""
    rows = small_model.balanced(small_model.tweets()[12_000:], 150)
    scores = [found.max["toxicity"] for found in exact.score([text for text, _ in rows])]
    ranked = sorted(zip(scores, (targets[0] for _, targets in rows), strict=True), reverse=True)
    assert sum(target for _, target in ranked[:150]) / 150 > 0.85


def test_an_empty_text(quick: Scorer) -> None:
    (found,) = quick.score([""])
    assert (found.windows, found.start, found.end) == (1, 0, 0)
    assert set(found.max) == set(quick.labels)
    assert quick.score([]) == []


def test_precisions_go_with_devices(checkpoint: Path) -> None:
    source = find_checkpoint(str(checkpoint))
    with pytest.raises(UserError, match="half is for GPUs"):
        Scorer(source, "cpu", "half")
