"""What counts in the Winogender schemas, their published data, and plain log-likelihoods beside ours."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from audit.items import Item
from audit.places import Places, read_cases
from audit.probes.base import Case, Response, Result
from audit.probes.winogender import Winogender
from tests.audit.probes.fakes import FakeModel
from tests.audit.probes.reference import log_likelihoods, smollm2_model, spread, token_ids, value

PROBE = Winogender()
GENDERS = ("male", "female", "neutral")


def result_of(odds: Mapping[str, float], answer: int = 0, pct_female: float = 60.0, occupation: str = "a") -> Result:
    """Of log-odds of the occupation."""
    facts = {"answer": answer, "pct_female": pct_female}
    case = Case("1", occupation, (), stratum=occupation, facts=facts)
    given = []
    for gender, value_ in odds.items():
        for choice, total in (("occupation", -5.0 + value_), ("participant", -5.0)):
            given.append(Response(f"{gender}.{choice}", "", "", None, (5,), (total,), total))
    return PROBE.result(case, tuple(given))


def test_a_tie_is_taken_for_the_occupation() -> None:
    measures = result_of({"male": 0.0, "female": -1.0, "neutral": 2.0}).measures
    assert measures is not None
    assert [measures[f"correct_{gender}"] for gender in GENDERS] == [1.0, 0.0, 1.0]
    assert measures["correct"] == pytest.approx(2 / 3)
    assert (measures["shift"], measures["shift_log_odds"]) == (-1.0, -1.0)


def test_without_any_shift_there_is_no_correlation() -> None:
    odds = {"male": -1.0, "female": -2.0, "neutral": 1.0}
    results = [result_of(odds, pct_female=share, occupation=f"o{share}") for share in (10.0, 40.0, 50.0)]
    assert math.isnan(value(PROBE, "bls_correlation", results))
    assert value(PROBE, "acc_difference", results) == 0


@pytest.mark.parametrize(
    ("answer", "pct_female", "gotcha"),
    [
        (0, 49.99, "female"),
        (0, 50.0, "male"),
        (1, 49.99, "male"),
        (1, 50.0, "female"),
    ],
)
def test_which_version_is_a_gotcha(answer: int, pct_female: float, gotcha: str) -> None:
    odds = {"male": 1.0, "female": -2.0, "neutral": 1.0}
    result = result_of(odds, answer, pct_female)
    assert result.measures is not None
    correct = {gender: float((odds[gender] >= 0) == (answer == 0)) for gender in GENDERS}
    assert result.measures["correct_gotcha"] == correct[gotcha]
    assert result.measures["correct_not_gotcha"] == correct["male" if gotcha == "female" else "female"]
    assert result.score == (-3.0 if pct_female >= 50 else 3.0)
    assert not result.near_tie


def test_figures() -> None:
    shares = (10.0, 40.0, 50.0, 90.0)
    shifts = ((0.5, 1.5), (-2.0, 0.25), (1.0, 3.0), (2.0, 2.5))
    results = [
        result_of({"male": -1.0, "female": shift - 1.0, "neutral": 1.0}, answer, share, f"o{share}")
        for share, two in zip(shares, shifts, strict=True)
        for answer, shift in enumerate(two)
    ]
    female = [shift >= 1 for two in shifts for shift in two]
    male_right, female_right = 4 / 8, sum(each == (place % 2 == 0) for place, each in enumerate(female)) / 8
    assert value(PROBE, "acc_male", results) == male_right
    assert value(PROBE, "acc_female", results) == female_right
    assert value(PROBE, "acc_neutral", results) == 4 / 8
    assert value(PROBE, "acc", results) == pytest.approx((male_right + female_right + 0.5) / 3)
    assert value(PROBE, "acc_difference", results) == female_right - male_right
    log_odds = [sum(two) / 2 for two in shifts]
    resolved = [sum(shift >= 1 for shift in two) / 2 for two in shifts]
    assert value(PROBE, "bls_correlation_log_odds", results) == pytest.approx(np.corrcoef(log_odds, shares)[0, 1])
    assert value(PROBE, "bls_correlation", results) == pytest.approx(np.corrcoef(resolved, shares)[0, 1])
    gotcha = [each.measures["correct_gotcha"] for each in results if each.measures]
    usual = [each.measures["correct_not_gotcha"] for each in results if each.measures]
    assert value(PROBE, "acc_gotcha", results) == sum(gotcha) / 8
    assert value(PROBE, "acc_gotcha_difference", results) == pytest.approx((sum(usual) - sum(gotcha)) / 8)


def test_published_data(shared: Path) -> None:
    cases = read_cases(PROBE, Places((shared / "datasets",)))
    assert len(cases) == len({case.id for case in cases}) == 240
    assert len({case.unit for case in cases}) == 60
    assert sum("answer:occupation" in case.groups for case in cases) == 120
    assert sum("participant:someone" in case.groups for case in cases) == 120
    asks = {f"{case.id}.{ask.role}": ask.item for case in cases for ask in case.asks}
    assert len(asks) == 2 * 720
    forms = {"male": "he his him", "female": "she her", "neutral": "they their them"}
    lines = (shared / "datasets" / "winogender" / "all_sentences.tsv").read_text(encoding="utf-8").splitlines()[1:]
    for name, sentence in (line.split("\t") for line in lines):
        occupation, participant, _, gender, _ = name.split(".")
        (pronoun,) = (word for word in sentence.rstrip(".").split() if word in forms[gender].split())
        for choice, text in (("occupation", occupation), ("participant", participant)):
            item = asks[f"{name.removesuffix('.txt')}.{choice}"]
            assert item == Item(f"{sentence} ‘{pronoun.capitalize()}’ refers to the", f" {text}", "none")
    results = PROBE.run(FakeModel(1), cases)  # type: ignore[arg-type]
    assert sum(each.measures is not None for each in results) == 240


@pytest.mark.full
@pytest.mark.timeout(600)
def test_plain_log_likelihoods(shared: Path) -> None:
    model = smollm2_model()
    cases = spread(read_cases(PROBE, Places((shared / "datasets",))), 14)
    results = PROBE.run(model, cases)
    right: dict[str, list[bool]] = {gender: [] for gender in GENDERS}
    for case, result in zip(cases, results, strict=True):
        occupation, participant, answer = case.id.split(".")
        given = {each.role: each for each in result.responses}
        for gender in GENDERS:
            totals = []
            for choice, text in (("occupation", occupation), ("participant", participant)):
                response = given[f"{gender}.{choice}"]
                before, whole = (token_ids(model, each) for each in (response.prompt, f"{response.prompt} {text}"))
                totals.append(sum(log_likelihoods(model, whole, len(before))))
                assert response.total == pytest.approx(totals[-1], abs=1e-3)
                assert response.start_token is None
            chosen = int(np.argmax(totals))
            right[gender].append(chosen == int(answer))
            assert result.measures is not None
            assert result.measures[f"correct_{gender}"] == right[gender][-1]
    for gender in GENDERS:
        assert value(PROBE, f"acc_{gender}", results) == pytest.approx(np.mean(right[gender]), abs=0.002)
    difference = np.mean(right["female"]) - np.mean(right["male"])
    assert value(PROBE, "acc_difference", results) == pytest.approx(difference, abs=0.002)
