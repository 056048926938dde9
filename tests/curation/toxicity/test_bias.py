"""Bias of scorers: metrics against their definition, planted bias found, formats of others read."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.errors import UserError
from curation.toxicity.bias import Example, Measured, measure, packaged_examples, read_examples, table, weighted_auc
from tests.curation.toxicity.small_model import SHARED

EXAMPLES = packaged_examples()


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.integers(0, 3)), min_size=1, max_size=25))
def test_auc_is_the_probability_of_the_right_order(rows: list[tuple[int, bool, int]]) -> None:
    scores, positive, weights = (np.array(column) for column in zip(*rows, strict=True))
    pairs = [
        ((a > b) + (a == b) / 2, v * w)
        for (a, up, v), (b, down, w) in product(rows, rows)
        if up and not down
    ]  # fmt: skip
    total = sum(weight for _, weight in pairs)
    found = weighted_auc(scores, positive.astype(bool), weights.astype(float))
    if total:
        assert found == pytest.approx(sum(value * weight for value, weight in pairs) / total)
    else:
        assert np.isnan(found)


def test_our_templates_and_identities() -> None:
    identities = {each.identity for each in EXAMPLES} - {""}
    assert len(identities) > 50
    texts = [each.text for each in EXAMPLES]
    assert len(set(texts)) == len(texts)
    assert not any("{" in text for text in texts)
    for identity in identities | {""}:
        toxic = [each.toxic for each in EXAMPLES if each.identity == identity]
        assert min(sum(toxic), len(toxic) - sum(toxic)) >= 20


def by_metric(measured: list[Measured], identity: str) -> dict[str, Measured]:
    return {each.metric: each for each in measured if each.identity == identity}


def scores(offset: dict[str, float], noise: float = 0.15) -> list[float]:
    """A scorer that knows what is toxic, but for an offset on identities."""
    random = np.random.default_rng(0)
    return [0.5 * each.toxic + offset.get(each.identity, 0.0) + noise * random.random() + 0.1 for each in EXAMPLES]


def test_a_fair_scorer_is_found_fair() -> None:
    for each in measure(EXAMPLES, scores({}), 0.5):
        ideal = 0.0 if each.metric == "false_positive_rate" else 1.0
        assert each.estimate.low <= ideal <= each.estimate.high


def test_a_planted_bias_is_found_and_named() -> None:
    measured = measure(EXAMPLES, scores({"muslim": 0.45}), 0.5)
    biased, other = by_metric(measured, "muslim"), by_metric(measured, "jewish")
    assert biased["bpsn_auc"].estimate.high < 0.9
    assert biased["subgroup_auc"].estimate.low > 0.95
    assert biased["false_positive_rate"].estimate.low > 0.7
    assert other["bpsn_auc"].estimate.low > 0.95
    assert other["false_positive_rate"].estimate.high < 0.05
    assert table(measured).splitlines()[1].startswith("muslim")
    missed = by_metric(measure(EXAMPLES, scores({"deaf": -0.45}), 0.5), "deaf")
    assert missed["bnsp_auc"].estimate.high < 0.9
    assert missed["bpsn_auc"].estimate.low > 0.95


def test_templates_are_the_units() -> None:
    """Copies of every sentence make nothing more certain."""
    noisy = scores({}, noise=1.5)
    once = by_metric(measure(EXAMPLES, noisy, 0.5), "gay")["subgroup_auc"].estimate
    twice = by_metric(measure([*EXAMPLES, *EXAMPLES], [*noisy, *noisy], 0.5), "gay")["subgroup_auc"].estimate
    assert once.n == twice.n
    assert once.value == pytest.approx(twice.value)
    assert [twice.low, twice.high] == pytest.approx([once.low, once.high])


def test_few_texts_are_not_measured() -> None:
    few = [each for each in EXAMPLES if each.identity != "blind"] + [Example("They are blind.", False, "blind", "t")]
    assert not by_metric(measure(few, [0.5] * len(few), 0.5), "blind")


@pytest.mark.parametrize("header", ["Text,Label\n", "template,toxicity,phrase\n"])
def test_formats(tmp_path: Path, header: str) -> None:
    path = tmp_path / "m.csv"
    row = "{text},{label}\n" if header.startswith("Text") else "x,{label},{text}\n"
    bad, good = ("BAD", "NOT_BAD") if header.startswith("Text") else ("toxic", "nontoxic")
    path.write_text(header + row.format(text="I hate gay men", label=bad) + row.format(text="A nice day", label=good))
    assert read_examples(path) == [
        Example("I hate gay men", True, "gay", "i hate men"),
        Example("A nice day", False, "", "a nice day"),
    ]
    path.write_text(header + row.format(text="x", label="maybe"))
    with pytest.raises(UserError, match="line 2: label 'maybe'"):
        read_examples(path)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="needs the columns"):
        read_examples(path)


def test_the_published_madlibs() -> None:
    folder = SHARED / "datasets" / "unintended_bias_madlibs"
    if not folder.is_dir():
        pytest.skip(f"needs {folder}")
    found = read_examples(folder / "en_sentence_templates.csv")
    assert len(found) == 76_564
    assert sum(bool(each.identity) for each in found) > 0.5 * len(found)
    assert 0.3 < sum(each.toxic for each in found) / len(found) < 0.7
