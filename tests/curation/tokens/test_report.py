"""Figures of a report, against those worked out by hand."""

import csv
import io
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from curation.catalog.check import check
from curation.terms import Term
from curation.tokens.__main__ import main
from curation.tokens.measure import Counts, Probe, premium, ratio, words_of
from curation.tokens.report import Figure, count, group_figures, language_figures
from curation.tokens.tokenizer import Tokenizer, from_json
from curation.tokens.train import TrainConfig, from_texts
from curation.workspace import Workspace
from tests.curation.commands import ask

BYTE = from_texts("byte", ["a"], TrainConfig("byte", 260))
CHAR = from_texts("char", ["the cat sat. é"], TrainConfig("char", 500))


def lossy() -> Tokenizer:
    """Words of a short list in lower case; all others are unknown."""
    vocabulary = {"[UNK]": 0, "the": 1, "cat": 2, "sat": 3, ".": 4, "##s": 5}
    model = {
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
        "vocab": vocabulary,
    }
    state: dict[str, object] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": None,
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": False},
        "model": model,
    }
    return from_json("lossy", json.dumps(state).encode(), {"eos_token": "."})


def figures(tokenizer: Tokenizer, documents: list[tuple[str, str]]) -> dict[tuple[str | None, str], Figure]:
    counts = {language: each[0] for language, each in count(documents, [Probe(tokenizer)]).items()}
    found = language_figures(tokenizer.name, tokenizer.vocab_size, counts)
    return {(figure.language, figure.metric): figure for figure in found}


def test_bytes_are_counted() -> None:
    found = figures(BYTE, [("eng_Latn", "the cat sat."), ("eng_Latn", "a é")])
    value = {metric: figure.value for (language, metric), figure in found.items() if language == "eng_Latn"}
    # Words: the, cat, sat, the full stop; a, é. Tokens: bytes, of which é has two.
    assert value["tokens_per_word"] == pytest.approx((12 + 4) / 6)
    assert value["bytes_per_token"] == 1
    assert value["words_split"] == pytest.approx(4 / 6)  # neither "." nor "a"
    assert value["unknown_tokens"] == value["documents_changed"] == value["characters_lost"] == 0
    assert value["vocabulary_used"] == pytest.approx(len(set(b"the cat sat.") | set("a é".encode())) / 260)
    assert found["eng_Latn", "tokens_per_word"].n == 2
    assert found[None, "tokens_per_word"].value == value["tokens_per_word"]
    assert found["eng_Latn", "premium_per_word"].why == "fewer than 20 documents"


def test_what_is_lost_is_counted() -> None:
    found = figures(lossy(), [("eng_Latn", "the cats sat."), ("eng_Latn", "The dog sat."), ("eng_Latn", "the cat")])
    value = {metric: figure.value for (language, metric), figure in found.items() if language == "eng_Latn"}
    # the cat ##s sat . | the [UNK] sat . | the cat -- which decode to "the cats sat .", "the [UNK] sat ." and itself.
    assert value["tokens_per_word"] == pytest.approx(11 / 10)
    assert value["unknown_tokens"] == pytest.approx(1 / 11)
    assert value["words_split"] == pytest.approx(1 / 10)
    assert value["documents_changed"] == pytest.approx(2 / 3)
    # Of "The dog sat." T, d, o, g are gone; the first text lost none, though a space came in.
    assert value["characters_lost"] == pytest.approx(4 / (13 + 12 + 7))
    assert value["vocabulary_used"] == 1


def test_a_word_after_a_space_may_have_it_in_its_token() -> None:
    words = words_of("Le chat, le\nchat", "fra_Latn")
    assert words == [(False, "Le"), (True, "chat"), (False, ","), (True, "le"), (True, "chat")]
    state = json.loads(BYTE.json)
    state["added_tokens"] = []
    state["model"]["vocab"] |= {"Ġc": 256, "Ġca": 257, "Ġcat": 258}
    state["model"]["merges"] = [["Ġ", "c"], ["Ġc", "a"], ["Ġca", "t"]]
    spaced = from_json("s", json.dumps(state).encode())
    assert [spaced.model.id_to_token(each) for each in spaced.encode([" cat"])[0]] == ["Ġcat"]
    assert len(spaced.encode(["cat"])[0]) > 1
    probe = Probe(spaced)
    assert probe.counts("a cat", words_of("a cat", "eng_Latn"))[0][4] == 0
    assert probe.counts("(cat", words_of("(cat", "eng_Latn"))[0][4] == 1


def test_premium_of_a_language() -> None:
    documents = [("eng_Latn", f"cat {'sat ' * (n % 3)}") for n in range(30)]
    documents += [("rus_Cyrl", f"кот {'сел ' * (n % 3)}") for n in range(30)]
    documents += [("deu_Latn", "Katze")] * 19
    found = figures(BYTE, documents)
    characters = sum(len(text) for language, text in documents if language == "rus_Cyrl")
    letters = sum(1 for language, text in documents if language == "rus_Cyrl" for each in text if each != " ")
    paid = found["rus_Cyrl", "premium_per_character"]
    assert paid.value == pytest.approx((characters + letters) / characters)  # two bytes a letter, one a space
    assert paid.ci_low is not None
    assert paid.ci_high is not None
    assert 1 < paid.ci_low <= (characters + letters) / characters <= paid.ci_high
    assert paid.n == 30
    best = found["eng_Latn", "premium_per_character"]
    assert (best.value, best.ci_low, best.ci_high) == (1, 1, 1)
    few = found["deu_Latn", "premium_per_character"]
    assert (few.value, few.why) == (None, "fewer than 20 documents")


def test_premium_of_a_group() -> None:
    names = {"religion:a": ["ab", "abc", "abd", "ab ab", "abx"], "religion:b": ["éé"] * 5, "religion:c": ["a"] * 4}
    terms = [Term("religion", name, "any", text) for name, texts in names.items() for text in texts]
    terms += [Term("religion", "", "shield", "zz"), Term("religion", "religion:a", "ambiguous", "zzzzzz")]
    found = {(each.group_name, each.metric): each for each in group_figures(Probe(BYTE), "eng", terms)}
    # " ab", " abc", " abd", " ab ab", " abx": 3 + 4 + 4 + 6 + 4 bytes, 6 words; " éé": 5 bytes, of one word.
    assert found["religion:a", "group_tokens_per_word"].value == pytest.approx(21 / 6)
    assert found["religion:b", "group_tokens_per_word"].value == 5
    assert found["religion:a", "group_premium_per_word"].value == 1
    paid = found["religion:b", "group_premium_per_word"]
    assert paid.value == pytest.approx(5 / (21 / 6))
    assert paid.n == 5
    assert found["religion:b", "group_premium_per_character"].value == pytest.approx((25 / 10) / (21 / 16))
    assert found["religion:c", "group_premium_per_word"].why == "fewer than 5 terms"


def test_a_term_counts_in_its_cheaper_spelling() -> None:
    made = from_texts("m", ["a Muslim and a Muslim"] * 50, TrainConfig("bpe", 280))
    terms = [Term("religion", "religion:muslim", "any", "muslim")]
    (found, *_) = group_figures(Probe(made), "eng", terms)
    assert found.value == 1


def test_the_linearised_ratio_has_the_spread_of_resampled_ones() -> None:
    import numpy as np

    chance = np.random.default_rng(0)
    words = chance.integers(5, 200, 300)
    tokens = words + chance.integers(0, 100, 300)
    found = ratio(tokens, words)
    assert found is not None
    assert found.value == pytest.approx(tokens.sum() / words.sum())
    assert found.linear_N.mean() == pytest.approx(found.value)
    drawn = chance.integers(0, 300, (4000, 300))
    spread = float((tokens[drawn].sum(1) / words[drawn].sum(1)).std())
    assert found.error == pytest.approx(spread, rel=0.08)
    paid = premium(found, found)
    assert paid is not None
    assert (paid.value, paid.low, paid.high) == (1, 1, 1)
    assert ratio(tokens, words * 0) is None
    few = ratio(tokens[:9], words[:9])
    assert few is not None
    assert math.isinf(few.error)
    assert math.isinf(few.estimate().high)
    paid = premium(few, found)
    assert paid is not None
    assert paid.value == few.value / found.value
    assert math.isinf(paid.high)


def test_nothing_is_not_zero() -> None:
    assert Counts().ratio("tokens", "words") is None


def test_the_command_stores_what_it_prints(
    copy: Callable[[str], Workspace], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = copy("report")
    rows = ('age,young,any,"{a,b,c,d,e}"', 'age,old,any,"{elder,elders,old,older,oldest}"')
    (tmp_path / "eng.csv").write_text("\n".join(["# ours", "dimension,group,match,terms", *rows]))
    line = ["report", "news", "--tokenizer", "small", "--terms", str(tmp_path / "eng.csv"), "--sample", "40"]
    where = ["--workspace", str(workspace.root)]
    assert main([*line, *where, "--format", "json"]) == 0
    first = [json.loads(each) for each in capsys.readouterr().out.splitlines()]
    assert main([*line, *where, "--format", "csv"]) == 0
    second = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(first) == len(second)
    assert [row["metric"] for row in first] == [row["metric"] for row in second]
    assert main([*line, *where, "--all"]) == 0
    table = capsys.readouterr().out
    for part in ("tokens/word", "premium/word", "hin_Deva", "age:young", "next: python -m curation.catalog sql"):
        assert part in table
    stored = ask(
        workspace.root,
        "SELECT scorer AS tokenizer, language, group_name, metric, value, ci_low, ci_high, ci_method, n, why "
        "FROM finding WHERE run_id = (SELECT min(run_id) FROM finding) ORDER BY finding_id",
    )
    assert sorted(map(str, stored)) == sorted(map(str, first))
    assert {row["group_name"] for row in stored} == {None, "age:young", "age:old"}
    english = next(row for row in first if (row["language"], row["metric"]) == ("eng_Latn", "tokens_per_word"))
    assert 20 <= english["n"] <= 60
    assert english["ci_low"] < english["value"] < english["ci_high"]
    ideal = ask(workspace.root, "SELECT ideal FROM probe_metric WHERE metric = 'premium_per_word'")
    assert ideal == [{"ideal": 1.0}]
    assert check(workspace) == []


def test_lists_of_ones_own_are_checked(tmp_path: Path, curated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text, message in (
        ("x,y\n1,2\n", "is no CSV with the columns dimension, group, match, terms"),
        ("dimension,group,match,terms\n", "has no term"),
        ("dimension,group,match,terms\nage\n", "is no CSV with the columns"),
    ):
        (tmp_path / "por.csv").write_text(text)
        arguments = ["report", "news", "--tokenizer", "small", "--terms", str(tmp_path / "por.csv")]
        assert main([*arguments, "--workspace", str(curated)]) == 2
        assert message in capsys.readouterr().err
