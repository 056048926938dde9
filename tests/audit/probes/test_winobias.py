"""What counts in WinoBias, its published data, and plain log-likelihoods beside ours."""

from collections import Counter
from pathlib import Path

import pytest

from audit.items import Item
from audit.places import Places, read_cases
from audit.probes.base import Ask, Case, Response
from audit.probes.winobias import WinoBias
from tests.audit.probes.fakes import FakeModel
from tests.audit.probes.reference import log_likelihoods, smollm2_model, spread, token_ids, value

PROBE = WinoBias()


def responses(pro: float, anti: float) -> tuple[Response, Response]:
    one, other = (
        Response(role, "", "", 1, (5, 6), (total / 2, total / 2), total)
        for role, total in (("pro", pro), ("anti", anti))
    )
    return one, other


@pytest.mark.parametrize(
    ("pro", "anti", "counts", "near"),
    [(-9.0, -10.0, 1.0, False), (-10.0, -9.0, 0.0, False), (-9.0, -9.0, 0.0, True), (-9.0, -9.0005, 1.0, True)],
)
def test_the_strictly_likelier_counts(pro: float, anti: float, counts: float, near: bool) -> None:
    case = Case("1", "u", (Ask("pro", Item("", "a", "bos")),), facts={"comparable": True})
    result = PROBE.result(case, responses(pro, anti))
    assert result.measures == {"pro_stereotypical": counts}
    assert result.score == pytest.approx(pro - anti)
    assert result.near_tie is near


def write(folder: Path, first: tuple[str, str]) -> None:
    for name in PROBE.data.files:
        side, kind, split = name.partition("_")[0], name.split("_")[2][:5], name.rpartition(".")[2]
        pro, anti = first if (kind, split) == ("type1", "dev") else ("[A cook] saw [him] go.", "[A cook] saw [her] go.")
        (folder / name).write_text(f"1 {pro if side == 'pro' else anti}\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("pro", "anti", "scored"),
    [
        ("[The cook] sat as [he] ate.", "[The cook] sat as [she] ate.", True),
        ("The cook sat by [the maid] 's [her].", "The cook sat by [the maid] 's [him].", True),
        ("[The cook] said [he] likes [his] hat.", "[The cook] said [she] likes [her] hat.", False),
        ("[The cook] sat as [he] ate.", "[The cook] sat as [she] ate it.", False),
        ("[The cook] sat as [he] ate.", "[The cook] sat as [he] ate.", False),
    ],
)
def test_pairs_that_differ_in_one_word_are_scored(tmp_path: Path, pro: str, anti: str, scored: bool) -> None:
    write(tmp_path, (pro, anti))
    case, *others = PROBE.read(tmp_path)
    assert len(others) == 3
    assert [ask.item for ask in case.asks] == [
        Item("", text.replace("[", "").replace("]", ""), "bos_or_eos") for text in (pro, anti)
    ]
    (result,) = PROBE.run(FakeModel(1), [case])  # type: ignore[arg-type]
    assert (result.measures is not None) is scored
    assert result.why == (None if scored else "its two sentences do not differ in exactly one word")


def test_groups_and_units(tmp_path: Path) -> None:
    write(tmp_path, ("The cook sat by [the Maid] when [she] ate.", "The cook sat by [the Maid] when [he] ate."))
    first, second, *_ = PROBE.read(tmp_path)
    assert (first.id, first.unit) == ("type1.dev.1", "maid")
    assert first.groups == ("type:type1", "split:dev", "pronoun:female")
    assert (second.id, second.unit) == ("type1.test.1", "cook")
    assert second.groups == ("type:type1", "split:test", "pronoun:male")


def test_published_data(shared: Path) -> None:
    cases = read_cases(PROBE, Places((shared / "datasets",)))
    assert len(cases) == len({case.id for case in cases}) == 1584
    assert Counter(group for case in cases for group in case.groups) == {
        **{"type:type1": 792, "type:type2": 792, "split:dev": 792, "split:test": 792},
        **{"pronoun:male": 792, "pronoun:female": 792},
    }
    for gender in ("male", "female"):
        names = (shared / "datasets" / "winobias" / f"{gender}_occupations.txt").read_text(encoding="utf-8").lower()
        assert {case.unit for case in cases if f"pronoun:{gender}" in case.groups} == set(names.split("\n")) - {""}
    excluded = Counter(case.groups[:2] for case in cases if not case.facts["comparable"])
    assert excluded == {
        **{("type:type1", "split:dev"): 11, ("type:type1", "split:test"): 27},
        **{("type:type2", "split:dev"): 14, ("type:type2", "split:test"): 10},
    }
    assert not any(mark in ask.item.continuation for case in cases for ask in case.asks for mark in "[]")
    assert not any(ask.item.continuation[0].isdigit() for case in cases for ask in case.asks)


@pytest.mark.full
@pytest.mark.timeout(600)
def test_plain_log_likelihoods(shared: Path) -> None:
    model = smollm2_model()
    cases = spread(read_cases(PROBE, Places((shared / "datasets",))), 40)
    results = PROBE.run(model, cases)
    preferred = []
    for case, result in zip(cases, results, strict=True):
        totals = []
        for ask, response in zip(case.asks, result.responses, strict=True):
            ids = [model.tokenizer.bos_token_id, *token_ids(model, ask.item.continuation)]
            totals.append(sum(log_likelihoods(model, ids, 1)))
            assert response.total == pytest.approx(totals[-1], abs=1e-3)
            assert (response.start_token, list(response.tokens)) == (ids[0], ids[1:])
        if result.measures is not None:
            preferred.append(totals[0] > totals[1])
            assert result.measures["pro_stereotypical"] == preferred[-1]
    assert len(preferred) > 30
    assert value(PROBE, "pct_pro_stereotypical", results) == pytest.approx(sum(preferred) / len(preferred), abs=0.002)
