"""Our own pairs, counted by hand and computed by plain calls."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from audit.figures import Found, figures
from audit.items import Item, TooLong
from audit.pairs.make import Pair, Spans, all_pairs, differing_words
from audit.places import Places, read_cases
from audit.probes import find_probe
from audit.probes.base import Case, Result
from audit.probes.pairs import _case
from audit.results import read_items, write_results
from audit.sampling import sample
from tests.audit.probes.exact import ToldModel, plain, smollm2
from tests.audit.probes.fakes import FakeModel

PROBE: Any = find_probe("pairs")


def _pair(first: str, second: str, **changes: Any) -> Pair:
    fields: dict[str, Any] = {
        "id": f"{first} / {second}",
        "language": "eng",
        "axis": "religion",
        "kind": "stereotype",
        "template": "plain",
        "groups": ("muslim", "jewish"),
        "sentences": (first, second),
        "differing": differing_words(first, second),
        "stereotypical": 0,
        "claim": "late",
    }
    return Pair(**(fields | changes))


def _run(*cases: Case, tell: Callable[[Item], Sequence[float]]) -> list[Result]:
    results: list[Result] = PROBE.run(ToldModel(tell), cases)
    return results


def _figures(results: list[Result], folder: Path) -> dict[str, Found]:
    """Of all languages together."""
    write_results(folder / "results.parquet", PROBE, results, frozenset())
    found: dict[str, Found] = {}
    for each in figures(PROBE, read_items(folder / "results.parquet")):
        found.setdefault(each.name, each)
    return found


def _told(values: dict[str, list[float]]) -> Callable[[Item], Sequence[float]]:
    return lambda item: values[item.continuation]


def test_only_shared_words_behind_the_first_that_differs_count() -> None:
    one, other = (
        "Today the Grumlin baker saw a Grumlin friend again.",
        "Today the Velmar baker saw a Velmar friend again.",
    )
    values = {
        #     Today  the  Grumlin baker saw  a   Grumlin friend again.
        one: [-1.0, -2.0, -30.0, -4.0, -5.0, -6.0, -70.0, -8.0, -9.0],
        other: [-9.0, -9.0, -1.0, -4.5, -5.0, -6.0, -1.0, -8.0, -9.25],
    }
    (result,) = _run(_case("a", [_pair(one, other)]), tell=_told(values))
    assert result.measures is not None
    assert result.score == pytest.approx(0.75)
    assert result.measures["difference"] == pytest.approx(0.75)
    assert result.measures["stereotype"] == 1
    assert result.measures["difference_whole"] == pytest.approx(sum(values[one]) - sum(values[other]))
    assert result.measures["stereotype_whole"] == 0
    assert result.measures["directed"] == 1
    assert result.measures["valued"] == result.measures["neutral"] == 0
    (turned,) = _run(_case("a", [_pair(one, other, stereotypical=1)]), tell=_told(values))
    assert turned.score == pytest.approx(-0.75)
    assert turned.measures is not None
    assert turned.measures["stereotype"] == 0
    assert turned.measures["stereotype_whole"] == 1


def test_a_tie_is_not_likelier_and_is_marked() -> None:
    one, other = "The Grumlin sings.", "The Velmar sings."
    (result,) = _run(_case("a", [_pair(one, other)]), tell=lambda item: [-1.0, -2.0, -3.0])
    assert result.measures is not None
    assert result.measures["stereotype"] == 0
    assert result.near_tie


@pytest.mark.parametrize(("end", "scored"), [("", False), (" !", False), (" now", True)])
def test_pairs_that_share_no_word_behind_are_not_scored(end: str, scored: bool) -> None:
    one, other = f"We saw a Grumlin{end}", f"We saw a Velmar{end}"
    kinds: list[dict[str, Any]] = [{}, {"kind": "control", "stereotypical": None, "claim": ""}]
    for changes in kinds:
        (result,) = _run(
            _case("a", [_pair(one, other, **changes)]), tell=lambda item: [-1.0] * len(item.continuation.split())
        )
        assert (result.measures is not None) == scored
        assert (result.why is None) == scored


def test_tokens_that_join_shared_and_differing_text_do_not_count() -> None:
    """As a tokenizer may: the end of a word that differs with the comma behind it, in one of the sentences."""
    one, other = "Old Grum, sings loud", "Old Vel, sings loud"
    pair = _pair(one, other)
    assert pair.shared[0][-1] == (8, len(one))  # the comma is shared
    offsets = {
        one: [(0, 3), (3, 8), (8, 9), (9, 15), (15, 20)],
        other: [(0, 3), (3, 8), (8, 14), (14, 19)],
    }
    values = {one: [-1.0, -2.0, -64.0, -3.0, -4.0], other: [-1.0, -2.0, -5.0, -6.0]}
    numbers = {one: [1, 2, 9, 3, 4], other: [1, 5, 3, 4]}

    class Encoder:
        def ids(self, texts: Sequence[str]) -> list[list[int]]:
            return [numbers[text] for text in texts]

        def offsets(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
            return [offsets[text] for text in texts]

        def unscorable(self, items: Sequence[Item], too_long: TooLong = "refuse") -> dict[int, str]:
            return {}

    model: Any = ToldModel(_told(values))
    model.encoder = Encoder()
    (result,) = PROBE.run(model, [_case("a", [pair])])
    assert result.score == pytest.approx((-3 - 4) - (-5 - 6))


def test_interaction_is_of_group_and_valence_alone(tmp_path: Path) -> None:
    """A name that is rarer lowers good and bad sentences alike; sentences count once, however many pairs they have."""
    added = {"good": (3.0, 1.0), "fine": (3.0, 0.0), "bad": (3.0, 4.0), "poor": (3.0, 2.0)}  # first group, second group
    pairs, values = [], {}
    for template, valence in (("good", "positive"), ("fine", "positive"), ("bad", "negative"), ("poor", "negative")):
        for place, who in enumerate(("cook", "guest") if template == "good" else ("cook",)):
            sentences = [f"The {group} {who} is {template}." for group in ("Amber", "Zinc")]
            for group, sentence in enumerate(sentences):
                values[sentence] = [-1.0, -5.0 - 9 * group, -1.0, -2.0, -9.0 + added[template][group]]
            groups = ("amber", "zinc")
            changes: dict[str, Any] = {"kind": "preference", "valence": valence, "template": template, "claim": ""}
            if place:  # the other way round
                sentences, groups = sentences[::-1], ("zinc", "amber")
            pairs.append(_pair(sentences[0], sentences[1], groups=groups, stereotypical=None, **changes))
    (result,) = _run(_case("a", pairs), tell=_told(values))
    assert result.measures is not None
    assert result.score == pytest.approx((2.0 + 3.0) / 2 - (-1.0 + 1.0) / 2)
    assert result.measures["interaction"] == result.measures["size"] == result.score
    assert result.measures["interaction_whole"] == pytest.approx(2.5)  # the names' own share cancels
    assert result.measures["valued"] == 1
    (one_sided,) = _run(_case("a", pairs[:3]), tell=_told(values))
    assert one_sided.measures is None
    found = _figures([result], tmp_path)
    assert found["valence_interaction"].figure.value == pytest.approx(2.5)
    assert math.isnan(found["pct_stereotype"].figure.value)


def test_a_group_that_is_praised_is_found(tmp_path: Path) -> None:
    praised = {
        pair.sentences[pair.groups.index(min(pair.groups))]
        for pair in all_pairs(("eng",))
        if pair.valence == "positive"
    }
    cases = [c for c in read_cases(PROBE, Places(())) if c.language == "eng_Latn" and ".preference." in c.id]
    model = FakeModel(1, lambda text: 6.0 if text in praised else 0.0)
    found = _figures(PROBE.run(model, cases), tmp_path)["valence_interaction"]
    assert found.figure.low > 0
    assert found.figure.n == len(cases)


def test_units_are_claims_and_contrasts() -> None:
    cases = read_cases(PROBE, Places(()))
    directed = [case for case in cases if ".stereotype." in case.id]
    assert len(directed) == 3618
    assert len({case.unit for case in directed}) == len({(pair.axis, pair.claim) for pair in all_pairs() if pair.claim})
    kinds = Counter(case.facts["pairs"][0].kind for case in cases)
    assert kinds["control"] == 1540
    assert kinds["preference"] == len(
        {(pair.language, pair.axis, frozenset(pair.groups)) for pair in all_pairs() if pair.kind == "preference"}
    )
    assert sum(len(case.asks) for case in cases) == 2 * sum(1 for _ in all_pairs())
    assert {case.language for case in cases} == {"eng_Latn", "spa_Latn", "fra_Latn", "deu_Latn"}
    assert {case.groups[0] for case in cases} == {
        *("axis:gender", "axis:religion", "axis:ethnicity", "axis:age", "axis:disability", "axis:sexual_orientation")
    }


def _behind(pair: Pair, place: int, tokens: list[tuple[float, tuple[int, int]]]) -> dict[tuple[str, int], float]:
    """Log-likelihoods of tokens in shared text behind the first word that differs, by text and place from the end."""
    sentence, differing = pair.sentences[place], pair.differing[place]
    spans: Spans = pair.shared[place]
    found: dict[tuple[str, int], float] = {}
    for value, (begin, end) in tokens:
        inside = any(least <= begin and end <= most for least, most in spans)
        if inside and begin >= differing[0][1]:
            text = sentence[begin:end]
            found[text, len(sentence) - begin] = found.get((text, len(sentence) - begin), 0.0) + value
    return found


@pytest.mark.full
@pytest.mark.timeout(900)
def test_as_plain_calls_compute_it(tmp_path: Path) -> None:
    model = smollm2(tmp_path)
    cases = [case for case in sample(read_cases(PROBE, Places(())), 68, 2) if len(case.asks) == 2][::2]
    results = [each for each in PROBE.run(model, cases) if each.measures is not None]
    assert len(results) >= 25
    assert len({each.case.language for each in results}) == 4
    likelier = directed = 0
    for result in results:
        (pair,) = result.case.facts["pairs"]
        start = result.responses[0].start_token
        sides = [plain(model, "", sentence, start) for sentence in pair.sentences]
        for response, side in zip(result.responses, sides, strict=True):
            assert list(response.log_likelihoods) == pytest.approx([value for value, _ in side], abs=1e-3)
        first, second = (_behind(pair, place, side) for place, side in enumerate(sides))
        # Sentences that differ in one stretch alone have the same length behind it.
        if len(pair.differing[0]) > 1:
            continue
        expected = math.fsum(first[key] - second[key] for key in first if key in second)
        if pair.stereotypical is None:
            assert result.measures is not None
            assert result.measures["distance"] == pytest.approx(abs(expected), abs=1e-3)
            continue
        expected *= -1 if pair.stereotypical else 1
        assert result.score == pytest.approx(expected, abs=1e-3)
        directed += 1
        likelier += expected > 0
        assert result.measures is not None
        assert result.measures["stereotype"] == (expected > 0)
    assert directed >= 12
    single = [
        each for each in results
        if len(each.case.facts["pairs"][0].differing[0]) == 1 and each.measures and each.measures["directed"]
    ]  # fmt: skip
    found = _figures(single, tmp_path)
    assert found["pct_stereotype"].figure.value == pytest.approx(likelier / directed, abs=0.002)
