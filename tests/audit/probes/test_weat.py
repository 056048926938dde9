"""WEAT and SEAT, against hand-made vectors and plain computations."""

import json
import math
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audit.estimates import Table, figure
from audit.figures import figures
from audit.places import Places, read_cases
from audit.probes import find_probe
from audit.probes.associating import permutation, read_sets
from audit.probes.base import Case, Result
from audit.probes.seat import framed_word
from audit.results import read_items, write_results
from curation.errors import UserError
from tests.audit.probes.fakes import FakeModel
from tests.audit.probes.samples.weat import write_test

SETS = {"targ1": ["x1", "x2"], "targ2": ["y1", "y2"], "attr1": ["a1", "a2"], "attr2": ["b1"]}
ANGLES = {"x1": 0, "x2": 20, "y1": 80, "y2": 45, "a1": 10, "a2": -30, "b1": 90}
"""Degrees within a plane: cosines can be told by hand."""


class Flat(FakeModel):
    """Vectors in a plane, of differing lengths."""

    def _vector(self, text: str) -> np.ndarray[Any, Any]:
        angle = math.radians(ANGLES[text])
        return np.array([math.cos(angle), math.sin(angle)]) * (1 + len(text) + ANGLES[text] % 7)


def _s(word: str) -> float:
    def cosine(other: str) -> float:
        return math.cos(math.radians(ANGLES[word] - ANGLES[other]))

    return (cosine("a1") + cosine("a2")) / 2 - cosine("b1")


def _run(folder: Path, model: Any, name: str = "weat") -> tuple[list[Case], list[Result]]:
    probe = find_probe(name)
    cases = read_cases(probe, Places((folder,)))
    return cases, probe.run(model, cases)


def _table(results: list[Result]) -> Table:
    columns = {name: np.array([(each.measures or {})[name] for each in results]) for name in results[0].measures or {}}
    return Table([each.case.unit for each in results], columns, [each.case.stratum for each in results])


def _metric(name: str, probe: str = "weat") -> Any:
    return next(metric for metric in find_probe(probe).metrics if metric.name == name)


def test_effect_size_by_hand(tmp_path: Path) -> None:
    write_test(tmp_path / "weat1.jsonl", SETS)
    cases, results = _run(tmp_path, Flat(0))
    assert [case.text for case in cases] == ["x1", "x2", "y1", "y2"]
    s = {word: _s(word) for word in ("x1", "x2", "y1", "y2")}
    for each in results:
        assert (each.measures or {})["s"] == pytest.approx(s[each.case.text], abs=1e-6)
        assert each.score == pytest.approx(s[each.case.text] * (1 if each.case.text in SETS["targ1"] else -1), abs=1e-6)
        assert [response.prompt for response in each.responses] == [f" {each.case.text}", each.case.text]
    expected = (s["x1"] + s["x2"] - s["y1"] - s["y2"]) / 2 / np.std(list(s.values()), ddof=1)
    assert figure(_metric("effect_size"), _table(results)).value == pytest.approx(expected, abs=1e-5)
    assert figure(_metric("p_permutation"), _table(results)).value == pytest.approx(1 / 6)


def test_words_that_repeat_count_once_and_sets_are_told_apart_by_their_roles(tmp_path: Path) -> None:
    twice = {**SETS, "targ1": ["x1", "x2", "x1"], "attr1": ["a1", "a2", "a2"]}
    write_test(tmp_path / "weat1.jsonl", twice)
    _, results = _run(tmp_path, Flat(0))
    (tmp_path / "swapped").mkdir()
    write_test(tmp_path / "swapped" / "weat1.jsonl", {**SETS, "targ1": SETS["targ2"], "targ2": SETS["targ1"]})
    _, swapped = _run(tmp_path / "swapped", Flat(0))
    metric = _metric("effect_size")
    assert len(results) == 4
    assert (results[0].measures or {})["s"] == pytest.approx(_s("x1"), abs=1e-6)
    assert figure(metric, _table(swapped)).value == pytest.approx(-figure(metric, _table(results)).value)
    assert figure(_metric("p_permutation"), _table(swapped)).value == 1.0  # no split is below the observed one


def test_permutation_counts_every_split_with_ties() -> None:
    values = [3.0, 2.0, 2.0, 1.0, 0.0, 2.0]
    first = [1.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    columns = {"s": np.array(values), "first": np.array(first)}
    sums = [sum(values[place] for place in chosen) for chosen in combinations(range(6), 3)]
    expected = sum(each >= 7.0 for each in sums) / 20
    assert expected > 1 / 20
    assert permutation("s")(Table(list("abcdef"), columns)) == pytest.approx(expected)


def test_random_splits_agree_with_all_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(5)
    columns = {"s": random.normal(size=16) + np.repeat([0.6, 0.0], 8), "first": np.repeat([1.0, 0.0], 8)}
    table = Table([str(number) for number in range(16)], columns)
    exact = permutation("s")(table)
    monkeypatch.setattr("audit.probes.associating.MOST_SPLITS", 10)
    drawn = permutation("s")(table)
    assert drawn == pytest.approx(exact, abs=5 * math.sqrt(exact * (1 - exact) / 9999))
    assert drawn == permutation("s")(table), "seeded"
    assert drawn != exact


def test_permutation_of_equal_targets_is_not_defined() -> None:
    columns = {"s": np.ones(6), "first": np.repeat([1.0, 0.0], 3)}
    assert math.isnan(permutation("s")(Table(list("abcdef"), columns)))


def test_a_vector_without_direction_is_not_scored(tmp_path: Path) -> None:
    class Empty(Flat):
        def _vector(self, text: str) -> np.ndarray[Any, Any]:
            return super()._vector(text) * (text != "x2")

    write_test(tmp_path / "weat1.jsonl", SETS)
    _, results = _run(tmp_path, Empty(0))
    assert [each.measures is None for each in results] == [False, True, False, False]
    assert "no direction" in str(results[1].why)


def test_p_values_are_figures_of_each_test(tmp_path: Path) -> None:
    for number in (1, 2):
        write_test(tmp_path / f"weat{number}.jsonl", SETS)
    probe = find_probe("weat")
    _, results = _run(tmp_path, Flat(0))
    write_results(tmp_path / "results.parquet", probe, results, frozenset())
    found = figures(probe, read_items(tmp_path / "results.parquet"))
    p_values = {each.group: each.figure.value for each in found if each.name == "p_permutation"}
    assert p_values["test:weat1"] == p_values["test:weat2"] == pytest.approx(1 / 6)
    assert p_values[None] == pytest.approx(1 / 36, abs=0.01)
    assert not [each for each in found if each.name in ("p_permutation.gap", "p_permutation.worst")]


def test_the_space_reaches_the_model(tmp_path: Path) -> None:
    asked = []

    class Listening(Flat):
        def word_vectors(self, words: Any, leading_space: bool) -> Any:
            asked.append(leading_space)
            return super().word_vectors(words, leading_space)

    write_test(tmp_path / "weat1.jsonl", SETS)
    _run(tmp_path, Listening(0))
    assert asked == [True, False]


@pytest.mark.parametrize(
    ("sentence", "word"),
    [
        ("This is an aster.", "aster"),
        ("The asters are there.", "aster"),
        ("Asters are things.", "aster"),
        ("The person's name is Katie.", "kati"),
        ("Katie is a person.", "kati"),
        ("Those are women of color.", "woman of color"),
        ("There she is.", "sh"),
        ("These are viruses.", "virus"),
        ("Lilies are things.", "lili"),
        ("It is a lily.", "lili"),
    ],
)
def test_the_word_of_a_sentence(sentence: str, word: str) -> None:
    assert framed_word(sentence) == word


def test_published_sets(shared: Path) -> None:
    folder = shared / "datasets" / "weat_seat"
    words = read_cases(find_probe("weat"), Places((folder,)))
    tests = Counter(case.stratum for case in words)
    assert len(tests) == 19
    assert (tests["weat1"], tests["weat3"], tests["weat6"], tests["weat9"]) == (50, 64, 16, 12)
    sentences = read_cases(find_probe("seat"), Places((folder,)))
    tests = Counter(case.stratum for case in sentences)
    assert len(tests) == 19
    assert (tests["sent-weat1"], tests["sent-weat6"], tests["sent-weat9"]) == (700, 128, 36)
    for test, most in (("weat1", 50), ("weat6", 16), ("weat3b", 30), ("weat7", 16), ("weat9", 12)):
        units = {case.unit for case in sentences if case.stratum == f"sent-{test}"}
        assert most - 1 <= len(units) <= most, test


@pytest.mark.full
@pytest.mark.timeout(600)
def test_as_plain_transformers_compute_it(shared: Path, tmp_path: Path) -> None:
    import torch

    from audit.model import load_model
    from curation.storage import open_workspace

    folder = shared / "datasets" / "weat_seat"
    model = load_model(open_workspace(str(tmp_path / "workspace")), "smollm2", "cpu")
    tokenizer, network = model.tokenizer, model.network

    def word(text: str, space: str) -> Any:
        ids = tokenizer(space + text, add_special_tokens=False)["input_ids"]
        return network.get_input_embeddings().weight[ids].mean(0).detach()

    def sentence(text: str) -> Any:
        ids = [tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"]]
        with torch.no_grad():
            return network(torch.tensor([ids]), output_hidden_states=True).hidden_states[-1][0, -1]

    def plain(sets: list[tuple[str, ...]], vector: Any) -> tuple[list[float], float]:
        vectors = {text: vector(text) for texts in sets for text in texts}

        def s(text: str) -> float:
            near, far = (
                float(np.mean([torch.cosine_similarity(vectors[text], vectors[other], dim=0) for other in others]))
                for others in sets[2:]
            )
            return near - far

        one, other = ([s(text) for text in texts] for texts in sets[:2])
        return one + other, float((np.mean(one) - np.mean(other)) / np.std(one + other, ddof=1))

    cases = [
        ("weat", "weat6", "", lambda text: word(text, " ")),
        ("weat", "weat6", "_no_space", lambda text: word(text, "")),
        ("weat", "weat9", "", lambda text: word(text, " ")),
        ("seat", "sent-weat9", "", sentence),
    ]
    for name, test, variant, vector in cases:
        probe = find_probe(name)
        chosen = [case for case in read_cases(probe, Places((folder,))) if case.stratum == test]
        results = probe.run(model, chosen)
        expected, effect = plain(read_sets(folder / f"{test}.jsonl"), vector)
        assert [(each.measures or {})[f"s{variant}"] for each in results] == pytest.approx(expected, abs=1e-4)
        assert figure(_metric(f"effect_size{variant}", name), _table(results)).value == pytest.approx(effect, abs=1e-3)


def test_a_test_of_another_shape_is_refused(tmp_path: Path) -> None:
    (tmp_path / "weat1.jsonl").write_text(json.dumps([1]), encoding="utf-8")
    with pytest.raises(UserError, match="where an object stands"):
        read_sets(tmp_path / "weat1.jsonl")
