"""The figures, beside what they are by definition."""

import itertools
import json
import random

import pytest

from curation.quality.report import THRESHOLDS, evaluate, table
from curation.statistics import wilson


def scored(count: int, seed: int = 0, digits: int = 2) -> tuple[list[float], list[bool]]:
    """Calibrated scores."""
    chance = random.Random(seed)
    scores = [round(chance.random(), digits) for _ in range(count)]
    return scores, [chance.random() < score for score in scores]


def test_counts_at_thresholds() -> None:
    scores, sides = [0.95, 0.9, 0.6, 0.5, 0.4, 0.2], [True, True, False, True, False, True]
    report = evaluate(scores, sides)
    at = {each.threshold: each for each in report.thresholds}
    assert tuple(at) == THRESHOLDS
    assert at[0.5].precision == wilson(3, 4)
    assert at[0.5].recall == wilson(3, 4)
    assert at[0.5].negatives_kept == wilson(1, 2)
    assert at[0.5].f1.value == pytest.approx(0.75)
    assert at[0.5].f1.low < 0.75 < at[0.5].f1.high
    assert at[0.99].precision.n == 0
    assert (at[0.99].f1.value, at[0.99].recall.value) == (0, 0)
    assert (report.positives, report.negatives, report.not_scored) == (4, 2, 0)


def test_auc_brier_and_calibration_error_by_definition() -> None:
    scores, sides = scored(200, digits=1)
    report = evaluate(scores, sides)
    pairs = [
        1.0 if a > b else 0.5 if a == b else 0.0
        for (a, x), (b, y) in itertools.product(zip(scores, sides, strict=True), repeat=2)
        if x and not y
    ]
    assert report.auc.value == pytest.approx(sum(pairs) / len(pairs))
    assert report.brier.value == pytest.approx(sum((s - y) ** 2 for s, y in zip(scores, sides, strict=True)) / 200)
    error = 0.0
    for number in range(10):
        here = [(s, y) for s, y in zip(scores, sides, strict=True) if min(int(s * 10), 9) == number]
        error += abs(sum(s - y for s, y in here)) / 200
        assert report.bins[number].positives == wilson(sum(y for _, y in here), len(here))
        if here:
            assert report.bins[number].mean_score == pytest.approx(sum(s for s, _ in here) / len(here))
    assert report.calibration_error.value == pytest.approx(error)


def test_calibrated_scores_show_as_such_and_others_do_not() -> None:
    scores, sides = scored(4000)
    fair = evaluate(scores, sides)
    assert fair.calibration_error.value < 0.03
    assert all(each.positives.low - 0.05 < each.mean_score < each.positives.high + 0.05 for each in fair.bins)
    bold = evaluate([0.99 if score > 0.5 else 0.01 for score in scores], sides)
    assert bold.calibration_error.low > 0.15
    assert bold.brier.low > fair.brier.high


def test_intervals_hold_what_they_promise() -> None:
    """Of 40 samples, the intervals of about 38 hold the AUC of uniform calibrated scores, 5/6."""
    held = 0
    for seed in range(40):
        report = evaluate(*scored(150, seed + 1), seed=seed)
        held += report.auc.low <= 5 / 6 <= report.auc.high
    assert held >= 34


def test_rounding_many_scores_changes_nothing_that_matters() -> None:
    scores, sides = scored(12_000, digits=6)
    fine, coarse = evaluate(scores, sides), evaluate([round(score, 3) for score in scores], sides)
    assert fine.auc.value == pytest.approx(coarse.auc.value, abs=1e-4)
    assert fine.auc.high - fine.auc.low < 0.02


def test_what_is_not_scored_counts_apart() -> None:
    report = evaluate([None, 0.9, 0.1, None], [True, True, False, False])
    assert (report.positives, report.negatives, report.not_scored) == (1, 1, 2)
    assert "2 more without a word that the model knows" in table(report)


def test_nothing_is_not_zero() -> None:
    for report in (evaluate([], []), evaluate([0.3], [True])):
        plain = json.loads(json.dumps(report.as_dict(), allow_nan=False))
        assert plain["auc"]["value"] is None
        assert plain["thresholds"][5]["precision"]["value"] is None
        assert "-" in table(report)


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="1 scores, but 2 sides"):
        evaluate([0.5], [True, False])
    with pytest.raises(ValueError, match="between 0 and 1"):
        evaluate([1.5], [True])
