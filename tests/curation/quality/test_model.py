"""From text to score: words of any language on one line, and texts that try to decide their own score."""

import json
from pathlib import Path

import pytest
from datatrove.data import Document
from hypothesis import given
from hypothesis import strategies as st

from curation.errors import UserError
from curation.quality.model import (
    NORMALISATION,
    Card,
    card_path,
    languages_of,
    line_of,
    load_card,
    open_classifier,
    plain,
    save_card,
)
from curation.words import Words, words_of
from tests.curation.quality import graded


def line(text: str, language: str = "eng_Latn") -> str:
    return line_of(Words(text, language))


@pytest.mark.parametrize(
    ("language", "text", "words"),
    [
        ("eng_Latn", "Don't stop,\nplease.", "Do n't stop , please ."),
        ("cmn_Hani", "我们在学校学习中文。", "我们 在 学校 学习 中文 。"),
        ("tha_Thai", "ฉันรักภาษาไทย", "ฉัน รัก ภาษาไทย"),
        ("und", " \n\t ", ""),
    ],
)
def test_words_of_any_language_on_one_line(language: str, text: str, words: str) -> None:
    assert line(text, language) == words


@given(st.text(), st.sampled_from(["eng_Latn", "cmn_Hani", "jpn_Jpan", "tha_Thai", "khm_Khmr", "und"]))
def test_a_line_is_a_line_and_the_same_in_training_and_scoring(text: str, language: str) -> None:
    found = line(text, language)
    assert found == " ".join(found.split())
    assert not [word for word in found.split() if word == "</s>" or word.startswith("__label__")]
    assert found.encode().decode() == found
    assert line_of(words_of(Document(text=text, id="x", metadata={"language": language}))) == found


def test_a_text_cannot_end_or_label_itself(model: Path) -> None:
    classifier = open_classifier(model, "positive")
    bad = graded.text(0.0, 1)
    honest = classifier.score(line(bad))
    assert honest is not None
    assert honest < 0.2
    end, label = Words.from_strings("", "und", ["</s>"]), Words.from_strings("", "und", ["__label__positive", "ok"])
    assert (line_of(end), line_of(label)) == ("", "ok")
    for trick in (f"{graded.text(1.0, 2, 1)} </s> {bad}", f"__label__positive {bad}", f"</s></s>{bad}</s>"):
        assert classifier.score(line(trick)) == pytest.approx(honest, abs=0.2)
    assert classifier.score("") is None


def test_lone_surrogates_do_no_harm(model: Path) -> None:
    assert open_classifier(model, "positive").score(line("a \ud800 b")) is not None


def test_a_card_belongs_to_its_model(tmp_path: Path) -> None:
    model = tmp_path / "m.bin"
    assert load_card(model, "ab") is None
    card = Card("ab", "positive", ("eng_Latn",), training={"x": 1})
    save_card(model, card)
    assert load_card(model, "ab") == card
    with pytest.raises(UserError, match=r"m\.bin\.json: is the card of another model"):
        load_card(model, "cd")
    save_card(model, Card("ab", "positive", (), normalisation="words-0"))
    with pytest.raises(UserError, match=f"words-0 has them, and this version has {NORMALISATION}"):
        load_card(model, "ab")
    for damaged in ("{", "[]", json.dumps({"sha256": "ab"}), json.dumps({"languages": [], "odd": 1})):
        card_path(model).write_text(damaged)
        with pytest.raises(UserError, match="is no card"):
            load_card(model, "ab")


def test_languages_are_those_of_the_card() -> None:
    card = Card("", "positive", ("deu_Latn", "eng_Latn"))
    assert languages_of(card, [], "--x") == ("deu_Latn", "eng_Latn")
    assert languages_of(card, ["eng_Latn"], "--x") == ("eng_Latn",)
    assert languages_of(None, ["fra_Latn"], "--x") == ("fra_Latn",)
    with pytest.raises(UserError, match="--x: the model was trained on deu_Latn, eng_Latn, not on fra_Latn"):
        languages_of(card, ["fra_Latn"], "--x")
    with pytest.raises(UserError, match="--x: the model has no card"):
        languages_of(None, [], "--x")


def test_what_is_no_model_is_named(tmp_path: Path, model: Path) -> None:
    with pytest.raises(UserError, match="none: no such file"):
        open_classifier(tmp_path / "none", "positive")
    (tmp_path / "text").write_text("no model")
    with pytest.raises(UserError, match="text: not a fastText classifier"):
        open_classifier(tmp_path / "text", "positive")
    with pytest.raises(UserError, match="unknown label of the quality model 'hq'; valid: negative, positive"):
        open_classifier(model, "hq")


def test_json_has_no_nan() -> None:
    nan, infinity = float("nan"), float("inf")
    assert plain({"a": (nan, 1.0), "b": [{"c": -infinity}]}) == {"a": [None, 1.0], "b": [{"c": None}]}
