"""What the heuristic filters measure where no other implementation says it: languages, sentences, odd texts."""

import pytest
from datatrove.data import Document

from curation.filters.c4 import C4, count_sentences
from curation.filters.gopher_quality import GopherQuality, stop_words
from curation.filters.gopher_repetition import GopherRepetition
from curation.language import known_languages


def of(text: str, language: str = "eng_Latn") -> Document:
    return Document(text=text, id="x", metadata={"language": language})


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("The mill stands. It turns! Does it? Yes.", 4),
        ("One line\nand another", 2),
        ("Dr. Hill and J. R. Mill met at 5 p.m. in the U.S. capital, e.g. on Jan. 5.", 1),
        ("It costs 3.50, see example.com for more", 1),
        ("Wait ... what… really?! Yes", 2),
        ('"It turns." (He said so.) Then he left.', 3),
        ("the end.The next", 2),
        ("これは水車です。川のそばにあります。回りますか？はい", 4),
        ("यह एक चक्की है। वह घूमती है।", 2),
        ("4.2. Selecting the keyboard", 2),  # as spaCy counts it
        ("...", 1),
        ("", 0),
    ],
)
def test_sentences(text: str, sentences: int) -> None:
    assert count_sentences(text, sum(not line.isspace() for line in text.split("\n") if line)) == sentences
    assert C4().score(of(text))["sentences"] == sentences


def test_stop_words_are_those_of_the_language() -> None:
    german = of("Der Müller und die Bäckerin haben das Korn mit dem Wagen gebracht.", "deu_Latn")
    assert GopherQuality().score(german)["stop_words"] == 4  # und, die, das, mit
    assert GopherQuality().score(of(german.text))["stop_words"] == 0
    unlisted = GopherQuality().score(of(german.text, "vol_Latn"))
    assert unlisted["stop_words"] == -1
    assert GopherQuality(min_words=None, min_stop_words=50).reason(unlisted) is None


def test_mean_word_length_does_not_apply_where_a_character_is_a_word_or_a_syllable() -> None:
    for language, text in {"cmn_Hani": "水车在河边。", "kor_Hang": "물레방아가 강가에 있다."}.items():
        scores = GopherQuality().score(of(text, language))
        assert scores["mean_word_length"] == -1
        assert GopherQuality(min_words=None, min_letter_words=None, min_stop_words=None).reason(scores) is None


def test_the_stop_word_file() -> None:
    labels = {f"{known.code}_{script}" for known in known_languages().values() for script in known.scripts}
    lists = stop_words()
    assert lists["eng_Latn"] == set("the be to of and that have with".split())
    assert len(lists) > 70
    for language, words in lists.items():
        assert language in labels
        assert 8 <= len(words) <= 16, language


def test_an_empty_text_repeats_nothing() -> None:
    assert set(GopherRepetition().score(of("")).values()) == {0.0}
    assert GopherRepetition().score(of("\n"))["repeated_lines"] == 0.5  # the two sides of a newline, both empty
