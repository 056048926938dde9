"""Words: as spaCy's for scripts with spaces, from dictionaries for others, whatever the text and the cache."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from datatrove.data import Document
from datatrove.utils.text import PUNCTUATION_SET
from hypothesis import given
from hypothesis import strategies as st

from curation import words as words_module
from curation.unspaced import unspaced_splitter
from curation.word_normal import normal_form
from curation.word_rules import Rules, kind_of
from curation.words import Words, ngram_hashes, use_words, word_hash, words_of
from tests.curation.fixtures_text import SENTENCES

COLUMNS = ("hashes_W", "lengths_W", "symbol_W", "letter_W", "normal_W")
LABELS = ("eng_Latn", "fra_Latn", "deu_Latn", "rus_Cyrl", "cmn_Hani", "jpn_Jpan", "tha_Thai", "und", "python")
MIXED = st.text(
    st.one_of(
        st.sampled_from("ab Z1.,'’-()/:$%… \n\t@#*_é中国语あアกาກາភាမြབོད་한𠀀😀\0\u00ad\u200d\u0301"),
        st.characters(categories=None),  # every code point, lone surrogates too
    ),
    max_size=60,
)


def spacy_words(text: str, language: str = "eng_Latn") -> list[str]:
    from datatrove.utils.word_tokenizers import load_word_tokenizer

    found: list[str] = load_word_tokenizer(language).word_tokenize(text)
    return found


def places(words: list[str]) -> set[tuple[int, int]]:
    """Where words begin and end in the text without white space."""
    ends = np.cumsum([len("".join(word.split())) for word in words]).tolist()
    return set(zip([0, *ends], ends, strict=False))


def agreement(pairs: list[tuple[list[str], list[str]]]) -> float:
    """F1 of words over texts."""
    same = sum(len(places(ours) & places(theirs)) for ours, theirs in pairs)
    return 2 * same / sum(len(ours) + len(theirs) for ours, theirs in pairs)


def forget() -> None:
    words_module._table.cache_clear()


# ---- beside spaCy -----------------------------------------------------------------------------


def test_english_pages_agree_with_spacy(shared: Path) -> None:
    pytest.importorskip("spacy", reason="spaCy is installed for development only")
    lines = (shared / "crawl" / "ground_truth.jsonl").read_text("utf-8").splitlines()[::5]
    texts = [text for text in (json.loads(line)["text"] for line in lines) if not unspaced_splitter(text, "eng_Latn")]
    assert len(texts) >= 30
    assert agreement([(Words(text, "eng_Latn").strings, spacy_words(text)) for text in texts]) >= 0.9999


def test_all_exceptions_of_spacy_are_known() -> None:
    spacy = pytest.importorskip("spacy", reason="spaCy is installed for development only")
    english = spacy.blank("en")
    chunks = [text for text in english.Defaults.tokenizer_exceptions if text.split() == [text]]
    rules = Rules(kind_of("eng_Latn"))
    assert len(chunks) > 1000
    assert [text for text in chunks if list(rules.split(text)) != [token.text for token in english(text)]] == []


# A few languages of each kind; spaCy has abbreviations of its own for many, which ours has not.
@pytest.mark.parametrize(
    "language",
    "fra_Latn ita_Latn deu_Latn spa_Latn por_Latn swe_Latn rus_Cyrl ukr_Cyrl ell_Grek heb_Hebr".split(),
)
def test_other_languages_agree_with_spacy(language: str) -> None:
    pytest.importorskip("spacy", reason="spaCy is installed for development only")
    text = "\n".join(SENTENCES[language])
    assert agreement([(Words(text, language).strings, spacy_words(text, language))]) >= 0.97


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("I don't, we'd've, it’s Mr. Smith's.", "I do n't , we 'd 've , it ’s Mr. Smith 's ."),
        ('"(well-known)..." U.S. e-mail', '" ( well - known ) ... " U.S. e - mail'),
        ("See https://a.example/b?c=d, or me@a.example!", "See https://a.example/b?c=d , or me@a.example !"),
        ("5km at 7pm for $3.50 (20%) fine:) -_- wait…what", "5 km at 7 pm for $ 3.50 ( 20 % ) fine :) -_- wait … what"),
        ("and/or either/or 1+2 x=y a,b 3.14 9-5", "and/or either / or 1 + 2 x = y a , b 3.14 9 - 5"),
        ("Chapter 1........ 12", "Chapter 1 ........ 12"),
    ],
)
def test_english(text: str, words: str) -> None:
    assert Words(text, "eng_Latn").strings == words.split()


def test_kinds_of_languages() -> None:
    assert Words("l'eau d’Italie", "fra_Latn").strings == ["l'", "eau", "d’", "Italie"]
    assert Words("Der USB-Stick", "deu_Latn").strings == ["Der", "USB-Stick"]
    assert Words("BIOS/UEFI", "nld_Latn").strings == ["BIOS/UEFI"]
    assert Words("don't", "fin_Latn").strings == ["don't"]
    assert Words("don't", "und").strings == ["do", "n't"]


# ---- scripts without spaces ---------------------------------------------------------------------

CHINESE = "我来到北京清华大学，今天天气很好。"
CHINESE_WORDS = "我 来到 北京 清华大学 ， 今天天气 很 好 。".split()
JAPANESE = "東京都に住んでいる人々は電車をよく使います。"
JAPANESE_WORDS = "東京 都 に 住ん で いる 人々 は 電車 を よく 使い ます 。".split()
THAI = "ภาษาไทยเป็นภาษาที่มีระดับเสียงของคำแน่นอน"
THAI_WORDS = "ภาษาไทย เป็น ภาษา ที่ มี ระดับเสียง ของ คำ แน่นอน".split()


@pytest.mark.parametrize("label", ["right", "und", "eng_Latn", "tha_Thai", "python"])
@pytest.mark.parametrize(
    ("right", "text", "words"),
    [
        ("cmn_Hani", CHINESE, CHINESE_WORDS),
        ("jpn_Jpan", JAPANESE, JAPANESE_WORDS),
        ("tha_Thai", THAI, THAI_WORDS),
        ("lao_Laoo", "ພາສາລາວເປັນພາສາ", "ພາສາ ລາວ ເປັນ ພາສາ".split()),
        ("khm_Khmr", "ភាសាខ្មែរគឺជាភាសាផ្លូវការ", "ភាសាខ្មែរ គឺជា ភាសាផ្លូវការ".split()),
        ("mya_Mymr", "မြန်မာစကားသည်။", "မြန်မာ စကား သည် ။".split()),
        ("bod_Tibt", "བོད་ཀྱི་མི་རིགས།", "བོད་ ཀྱི་ མི་ རིགས །".split()),
    ],
)
def test_dictionaries_serve_every_label(right: str, text: str, words: list[str], label: str) -> None:
    assert Words(text, right if label == "right" else label).strings == words


def test_thai_is_datatroves() -> None:
    from datatrove.utils.word_tokenizers import load_word_tokenizer

    text = "\n".join(SENTENCES["tha_Thai"])
    assert Words(text, "tha_Thai").strings == load_word_tokenizer("tha_Thai").word_tokenize(text)


def test_mixed_text() -> None:
    assert Words(f"{CHINESE} Don't panic: {THAI}", "cmn_Hani").strings == [
        *CHINESE_WORDS,
        *"Don't panic :".split(),
        *THAI_WORDS,
    ]
    english = f"This page of English words names a place, {CHINESE[3:5]}, once."
    assert Words(english, "eng_Latn").strings == spacyless(english)
    assert Words("カタカナ", "cmn_Hani").strings == ["カタカナ"]


def spacyless(text: str) -> list[str]:
    return [word for chunk in text.split() for word in Rules(kind_of("eng_Latn")).split(chunk)]


# ---- properties -------------------------------------------------------------------------------


@given(text=MIXED, language=st.sampled_from(LABELS))
def test_no_character_is_lost(text: str, language: str) -> None:
    words = Words(text, language).strings
    assert "".join(words) == "".join(text.split())
    assert all(word and word.split() == [word] for word in words)


@given(text=MIXED, language=st.sampled_from(LABELS))
def test_arrays_agree_with_strings(text: str, language: str) -> None:
    words = Words(text, language)
    arrays = {name: getattr(words, name).tolist() for name in COLUMNS}
    strings = words.strings
    assert len(words) == len(strings)
    assert arrays["hashes_W"] == [word_hash(word) for word in strings]
    assert arrays["lengths_W"] == [len(word) for word in strings]
    assert arrays["symbol_W"] == [all(c in PUNCTUATION_SET for c in word) for word in strings]
    assert arrays["letter_W"] == [any(c.isalpha() for c in word) for word in strings]
    forms = [form for form in map(normal_form, strings) if form]
    assert arrays["normal_W"] == [word_hash(form) for form in forms or strings]
    given_words = Words.from_strings(text, language, strings)
    assert given_words.strings == strings
    assert {name: getattr(given_words, name).tolist() for name in COLUMNS} == arrays


def test_types_and_empty_texts() -> None:
    for text in ("", " \n\t ", "one word"):
        words = Words(text, "eng_Latn")
        assert [getattr(words, name).dtype for name in COLUMNS] == [np.uint64, np.int64, bool, bool, np.uint64]
        assert len(words) == len(words.strings) == len(text.split())


def test_the_cache_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [("\n".join(SENTENCES[language]), language) for language in sorted(SENTENCES)]

    def results(order: list[tuple[str, str]]) -> dict[str, list[object]]:
        found = {}
        for text, language in order:
            words = Words(text, language)
            found[language] = [
                words.normal_W.tolist(),
                words.strings,
                words.hashes_W.tolist(),
                words.lengths_W.tolist(),
            ]
        return found

    forget()
    cold = results(texts)
    assert results(texts) == cold
    forget()
    assert results(texts[::-1]) == cold
    monkeypatch.setattr(words_module, "TABLE_WORDS", 5)  # emptied after every block
    assert results(texts) == cold
    monkeypatch.setattr(words_module, "BLOCK_CHARACTERS", 40)
    assert results(texts) == cold
    forget()


def test_tables_stay_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words_module, "TABLE_WORDS", 5_000)
    monkeypatch.setattr(words_module, "BLOCK_CHARACTERS", 10_000)
    forget()
    Words(" ".join(map(str, range(50_000))), "eng_Latn").normal_W  # noqa: B018
    table = words_module._table(kind_of("eng_Latn"))
    assert len(table._rows) <= len(table._words) <= 5_000
    assert len(table._columns.hashes) <= 20_000
    forget()


def test_every_process_finds_the_same() -> None:
    text = "\n".join(line for language in sorted(SENTENCES) for line in SENTENCES[language])
    code = (
        "import sys; from curation.words import Words, ngram_hashes; w = Words(sys.stdin.read(), 'eng_Latn'); "
        "print(len(w), int(w.normal_W.sum()), int(ngram_hashes(w.hashes_W, 5).sum()))"
    )
    words = Words(text, "eng_Latn")
    ours = f"{len(words)} {int(words.normal_W.sum())} {int(ngram_hashes(words.hashes_W, 5).sum())}"
    done = subprocess.run([sys.executable, "-c", code], input=text, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ours
    assert word_hash("word") == 0xE3CE369CF66C5C55
    assert word_hash("\ud800") != word_hash("\ud801")


@pytest.mark.parametrize(
    "unit",
    [
        *("a", "(", ".a", "a.", "a@", "a-", "'s", "..", "1+", "://a", "\0", "\ud800", "\u200d", "\u0301\u0323", "İ"),
        *("中国", "あ", "ア", "นานา", "เ", "ນານາ", "မြ", "ភា", "བོད", "བོད་", "あa", "中 "),
    ],
)
def test_hostile_texts_take_linear_time(unit: str) -> None:
    Words(unit * 10, "und").normal_W  # noqa: B018 (loads what it needs)
    chunks = (unit * 100_000)[:100_000], " ".join((unit * 250)[: 200 + n % 50] + str(n) for n in range(300))
    for text in chunks:
        began = time.process_time()
        words = Words(text, "und")
        assert len(words.normal_W) <= max(len(words), 1)
        assert time.process_time() - began < 4  # the slowest takes 0.6 s on a 2 GHz core


# ---- normal forms, n-grams, documents -----------------------------------------------------------


def test_normal_forms() -> None:
    same = ["Don't WORRY, Mr. Müller!", "don’t worry mr müller", "Ｄｏ n't\n\n* worry — «MR» Mu\u0308l\u00adler…"]
    forms = [[form for form in map(normal_form, Words(text, "eng_Latn").strings) if form] for text in same]
    assert forms == [["do", "n't", "worry", "mr", "müller"]] * 3
    assert len({tuple(Words(text, "eng_Latn").normal_W.tolist()) for text in same}) == 1
    assert normal_form("Straße") == normal_form("STRASSE")
    different = ["résumé", "resume", "U.S.", "us", "1,000", "2,000", "ค่า", "คา", "की", "कि"]
    assert len({*map(normal_form, different)}) == len(different)
    assert [normal_form(word) for word in ("...", "—", "•", "😀", "\u200b", "\ud800", "$")] == [""] * 7


def test_a_text_of_symbols_keeps_them() -> None:
    assert Words("😀 !", "und").normal_W.tolist() == [word_hash("😀"), word_hash("!")]
    assert Words("a !", "und").normal_W.tolist() == [word_hash("a")]


@given(
    words=st.lists(st.sampled_from("a b c d e".split()), max_size=30), n=st.integers(1, 6), scale=st.integers(0, 2**63)
)
def test_ngrams_are_told_apart(words: list[str], n: int, scale: int) -> None:
    hashes_W = np.array([word_hash(f"{word} {scale}") for word in words], dtype=np.uint64)
    hashes_N = ngram_hashes(hashes_W, n).tolist()
    grams = [tuple(words[at : at + n]) for at in range(max(0, len(words) - n + 1))]
    assert len(hashes_N) == len(grams)
    assert len(set(hashes_N)) == len(set(grams))
    assert len(dict(zip(grams, hashes_N, strict=True))) == len(set(zip(grams, hashes_N, strict=True)))


def test_ngram_hashes_are_even() -> None:
    hashes_W = np.array([word_hash(str(number)) for number in range(100_000)], dtype=np.uint64)
    hashes_N = ngram_hashes(hashes_W, 5)
    assert len(np.unique(hashes_N)) == len(hashes_N)
    for shift in (0, 20, 56):  # the bits that hash tables, bands and sketches take
        counts = np.bincount(((hashes_N >> np.uint64(shift)) & np.uint64(255)).astype(np.int64), minlength=256)
        chi_squared = float(((counts - counts.mean()) ** 2 / counts.mean()).sum())
        assert 150 < chi_squared < 380  # 255 degrees of freedom: 6 standard deviations either way
    with pytest.raises(ValueError, match="1 to 256"):
        ngram_hashes(hashes_W, 0)


def test_words_of_a_document_are_split_once() -> None:
    document = Document(text="Some words.", id="1", metadata={"language": "eng_Latn"})
    words = words_of(document)
    assert words.strings == ["Some", "words", "."]
    assert words_of(document) is words
    document.metadata["language"] = "fra_Latn"
    assert words_of(document) is not words
    document.text = "Other words"
    assert words_of(document).strings == ["Other", "words"]
    use_words(Words.from_strings(document.text, "fra_Latn", ["Other words"]))
    assert len(words_of(document)) == 1
