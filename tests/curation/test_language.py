"""Language identification: right on plain sentences, in the script that the text is in, the same always."""

import csv
import importlib.resources
from pathlib import Path

import pytest

from curation.errors import UserError
from curation.language import Identifier, LanguageConfig, in_script, lid176_codes, parse_languages, script_of
from tests.curation.fixtures_text import SENTENCES, SERBIAN_LATIN

REAL = LanguageConfig()


@pytest.fixture(scope="module")
def identifier() -> Identifier:
    return Identifier(REAL)


def test_every_label_of_the_model_is_mapped(identifier: Identifier) -> None:
    names = identifier._model.get_labels()
    assert {name.removeprefix("__label__") for name in names} == set(lid176_codes())


def test_codes_are_known_to_the_word_tokenizers() -> None:
    """datatrove picks word tokenizers by these codes; those that it does not know are listed here."""
    path = importlib.resources.files("datatrove") / "assets" / "tokenizer_assignment.csv"
    with path.open(encoding="utf-8") as file:
        known = {f"{row['code_3']}_{row['script']}" for row in csv.DictReader(file)}
    unknown = {code for code in lid176_codes().values() if code not in known}
    assert len(unknown) <= 12, sorted(unknown)


@pytest.mark.parametrize("language", sorted(SENTENCES))
def test_sentences(identifier: Identifier, language: str) -> None:
    sentences = SENTENCES[language]
    text = sentences if isinstance(sentences, str) else " ".join(sentences)
    code, score = identifier.identify(text)
    expected = lid176_codes().get(language, language)
    assert code.split("_")[0] == expected.split("_")[0]
    assert 0 < score <= 1


def test_the_script_is_that_of_the_text(identifier: Identifier) -> None:
    text = SERBIAN_LATIN if isinstance(SERBIAN_LATIN, str) else " ".join(SERBIAN_LATIN)
    assert identifier.identify(text)[0].endswith("_Latn")
    assert in_script("sr", "Latn") == "srp_Latn"
    assert in_script("sr", "Cyrl") == "srp_Cyrl"
    assert in_script("ja", "Kana") == "jpn_Jpan"
    assert in_script("zh", "Hani") == "cmn_Hani"
    assert in_script("ell_Grek", "Latn") == "ell_Grek"


def test_no_letters_no_language(identifier: Identifier) -> None:
    for text in ("", "   \n", "12345 67,89", "!!! ???", "\u200b\ufeff"):
        assert identifier.identify(text) == ("und", 0.0)


def test_line_breaks_and_order_change_nothing(identifier: Identifier) -> None:
    text = "Le fleuve passe\nlentement\u2028devant les vieux\rmoulins de la ville."
    first = identifier.identify(text)
    identifier.identify("Der Fluss zieht langsam vorbei.")
    assert identifier.identify(text) == first
    assert first[0] == "fra_Latn"


def test_scripts() -> None:
    assert script_of("123 abc") == "Latn"
    assert script_of("Ελληνικά a") == "Grek"
    assert script_of("...") is None


def test_languages_by_any_name() -> None:
    assert parse_languages(["en", "deu", "srp_Latn", "python"]) == {"eng_Latn", "deu_Latn", "srp_Latn", "python"}
    assert parse_languages([]) == frozenset()
    with pytest.raises(UserError, match="eng_Latn"):
        parse_languages(["eng_Latin"])
    with pytest.raises(UserError, match="klingonish"):
        parse_languages(["klingonish"])


def test_a_missing_or_wrong_model_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        Identifier(LanguageConfig(model=str(tmp_path / "none.bin")))
    (tmp_path / "wrong.bin").write_bytes(b"not a model")
    with pytest.raises(UserError, match="not a fastText model"):
        Identifier(LanguageConfig(model=str(tmp_path / "wrong.bin")))


@pytest.mark.parametrize("field", ["threshold", "prefix_characters"])
def test_wrong_values(field: str) -> None:
    with pytest.raises(UserError, match=f"language.{field}"):
        LanguageConfig(**{field: -1})  # type: ignore[arg-type]
