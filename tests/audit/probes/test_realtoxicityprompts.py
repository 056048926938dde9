"""RealToxicityPrompts: both formats, and the worst of k."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audit.estimates import Table, figure
from audit.figures import figures
from audit.places import NotThere, Places, read_cases
from audit.probes import find_probe
from audit.probes.base import Case
from audit.probes.writing import prompt, toxicity
from audit.results import read_items, write_results
from curation.errors import UserError
from tests.audit.probes.fakes import FakeModel
from tests.audit.probes.test_writing import CALM, RUDE, writer

PROBE = find_probe("realtoxicityprompts")


def _row(text: str, score: Any) -> str:
    given = {"text": text, "toxicity": score, "threat": 0.1}
    return json.dumps({"filename": "x.txt", "begin": 0, "challenging": False, "prompt": given, "continuation": given})


def test_both_formats(tmp_path: Path) -> None:
    rows = [_row("The bell rang ", 0.5), _row("The bread was", 0.4999), _row("No score", None)]
    (tmp_path / "prompts.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (tmp_path / "rtp_threat.txt").write_text("The bell rang\nThey came\n\n", encoding="utf-8")
    (tmp_path / "rtp_insult.txt").write_text("They came\n", encoding="utf-8")
    found = {case.text: case.groups for case in read_cases(PROBE, Places((tmp_path,)))}
    assert found == {
        "The bell rang": ("prompt:toxic", "attribute:threat"),
        "The bread was": ("prompt:nontoxic",),
        "No score": ("prompt:unknown",),
        "They came": ("attribute:insult", "attribute:threat"),
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (_row("a", 0.1) + "\n" + _row("b", 7), ["line 2", "prompt.toxicity"]),
        (_row("a", 0.1) + "\n" + _row(" ", 0.2), ["line 2", "prompt.text", "empty"]),
        (_row("a", "high"), ["line 1", "prompt.toxicity"]),
        ('{"continuation": {}}', ["line 1", "'prompt' is missing"]),
        ("{", ["line 1", "JSON"]),
    ],
)
def test_malformed_rows_are_refused(text: str, says: list[str], tmp_path: Path) -> None:
    (tmp_path / "prompts.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as raised:
        read_cases(PROBE, Places((tmp_path,)))
    for part in ("prompts.jsonl", *says):
        assert part in str(raised.value)


def test_an_empty_list_and_missing_data_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotThere, match=r"prompts.jsonl or rtp_\*.txt"):
        read_cases(PROBE, Places((tmp_path,)))
    (tmp_path / "rtp_threat.txt").write_text("\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"rtp_threat.txt: line 1: is empty"):
        read_cases(PROBE, Places((tmp_path,)))


def test_the_worst_of_k() -> None:
    case = Case("1", "1", prompt("A"))
    (result,) = PROBE.run(writer(CALM, "", RUDE, CALM, CALM), [case])
    assert result.measures == {"maximum": toxicity(RUDE), "any_toxic": 1.0}
    (result,) = PROBE.run(writer(CALM, ""), [case])
    assert result.measures == {"maximum": toxicity(CALM), "any_toxic": 0.0}


def test_figures_by_hand() -> None:
    columns = {"maximum": np.array([0.9, 0.2, 0.4]), "any_toxic": np.array([1.0, 0.0, 0.0])}
    maximum, probability = (figure(metric, Table(list("abc"), columns)) for metric in PROBE.metrics)
    assert maximum.value == pytest.approx(0.5)
    assert probability.value == pytest.approx(1 / 3)


def test_figures_by_attribute_and_repeated_prompts(tmp_path: Path) -> None:
    def writes(text: str, random: np.random.Generator) -> str:
        return RUDE if "market" in text and random.random() < 0.9 else CALM

    for name, place in (("threat", "market"), ("insult", "mill")):
        lines = [f"Number {number} of the {place} began to" for number in range(15)] * 3
        (tmp_path / f"rtp_{name}.txt").write_text("\n".join(lines), encoding="utf-8")
    cases = read_cases(PROBE, Places((tmp_path,)))
    assert len(cases) == 30
    model: Any = FakeModel(0, writes=writes)
    results = PROBE.run(model, cases)
    write_results(tmp_path / "results.parquet", PROBE, results, frozenset())
    found = {(each.name, each.group): each for each in figures(PROBE, read_items(tmp_path / "results.parquet"))}
    assert found["toxicity_probability", "attribute:threat"].figure.value == 1.0
    assert found["toxicity_probability", "attribute:insult"].figure.value == 0.0
    assert found["toxicity_probability", None].figure.value == 0.5
    assert found["toxicity_probability.gap", "attribute"].figure.low > 0.3
    assert found["expected_maximum_toxicity", None].ideal is None


def test_published_lists(shared: Path) -> None:
    cases = read_cases(PROBE, Places((shared / "datasets",)))
    attributes = Counter(group for case in cases for group in case.groups)
    assert len(attributes) == 7
    assert all(95 <= count <= 100 for count in attributes.values()), attributes
    assert len(cases) == 623, "of 700: some prompts are in several lists"
