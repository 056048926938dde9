"""Keys that are equal for what counts as equal, and the file of sketches of a part."""

import random

import numpy as np
import pytest
from datatrove.data import Document
from hypothesis import given
from hypothesis import strategies as st

from curation.dedup.columns import Columns
from curation.dedup.config import NearConfig
from curation.dedup.similarity import band_keys, jaccard, shingles, signatures
from curation.dedup.sketch import Sketches, id_array, id_text, parameters, text_key, url_key
from curation.words import Words
from tests.curation.dedup.planted import UNSPACED, mistyped, text_of

PAGE = "http://site.example/a/b"


@pytest.mark.parametrize(
    "same",
    [
        "https://site.example/a/b",
        "http://www.site.example/a/b",
        "http://SITE.Example/a/b",
        "http://site.example./a/b",
        "http://site.example:8080/a/b",
        "http://user:secret@site.example/a/b",
        "http://site.example/a/b/",
        "http://site.example/a/b#part",
        "http://site.example/a/b?",
        "  http://site.example/a/b\n",
        "ftp://www.site.example:21/a/b//#x",
        "//site.example/a/b",
    ],
)
def test_one_page(same: str) -> None:
    assert url_key(same) == url_key(PAGE) != 0


@pytest.mark.parametrize(
    "other",
    [
        "http://site.example/a/B",
        "http://site.example/a",
        "http://site.example/a/b.html",
        "http://site.example/a//b",
        "http://site.example/a/b;v=1",
        "http://site.example/a/b?page=2",
        "http://site.example/a/b?page=3",
        "http://site.example/a/b/?page=3&all",
        "http://m.site.example/a/b",
        "http://www2.site.example/a/b",
        "http://site.example.net/a/b",
        "http://site.example/",
        "http://wwwsite.example/a/b",
    ],
)
def test_other_pages(other: str) -> None:
    assert url_key(other) not in (0, url_key(PAGE))
    assert url_key(f"{other}#top") == url_key(other)


def test_a_query_belongs_to_a_page() -> None:
    keys = {url_key(f"http://site.example/a?{query}") for query in ("", "a=1", "a=2", "a=1&b=2", "b=2&a=1")}
    assert len(keys) == 5
    assert url_key("http://www.site.example/a/?a=1#top") == url_key("https://site.example/a?a=1")


@pytest.mark.parametrize(
    "none",
    [None, "", " ", "/a/b", "site.example/a", "http://", "http:///a", "http://[::1/a", "mailto:a@b.example", "?"],
)
def test_no_page(none: str | None) -> None:
    assert url_key(none) == 0


@given(st.text())
def test_any_url_has_a_key(url: str) -> None:
    for each in (url, f"http://{url}", f"http://site.example/{url}", f"http://{url}/\ud800"):
        assert 0 <= url_key(each) < 2**64


def key(text: str, language: str = "eng_Latn") -> int:
    return text_key(text, Words(text, language).normal_W, language)


@pytest.mark.parametrize(
    "same",
    [
        "the old mill, by the river!",
        "THE OLD MILL - by the River.",
        "  the\told\n\nmill\u00a0by the river",
        "“The old mill” … by (the) river?",
        "the old mi\u00adll by the river",
        "Ｔｈｅ　ｏｌｄ　ｍｉｌｌ by the river",
    ],
)
def test_one_text(same: str) -> None:
    assert key(same) == key("The old mill by the river.")


@pytest.mark.parametrize(
    "other",
    [
        "the old mill by the",
        "the old mill by the river river",
        "old the mill by the river",
        "the old mills by the river",
        "theold mill by the river",
        "thé old mill by the river",
        "the old mill by the river 1",
        "",
    ],
)
def test_other_texts(other: str) -> None:
    assert key(other) != key("The old mill by the river.")


def test_in_code_marks_and_case_count() -> None:
    assert key("a = b\n", "python") == key("a  =\n\tb", "python")
    for other in ("a = B", "a == b", "a = b;", "a=b"):
        assert key(other, "python") != key("a = b", "python")


def test_texts_of_marks_alone_are_apart() -> None:
    assert key("--- ***") != key("!!! ***")
    assert key("\n ") == key("")


@given(st.lists(st.integers(0, 2**128 - 1), max_size=20))
def test_ids_come_back_and_keep_their_order(numbers: list[int]) -> None:
    texts = [f"{number:032x}" for number in numbers]
    array = id_array(texts)
    assert array.shape == (len(numbers), 2)
    assert [id_text(each) for each in array] == texts
    assert sorted(array.tolist()) == id_array(sorted(texts)).tolist()


@given(st.lists(st.sampled_from(["", "one two", "one two three four five six", "seven " * 9]), max_size=9))
def test_the_file_of_a_part(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    near = NearConfig(ngram=3, bands=4, rows=2)
    sketches, path = Sketches(near), tmp_path_factory.mktemp("part") / "x.safetensors"
    languages = ["deu_Latn" if number % 2 else "eng_Latn" for number in range(len(texts))]
    for number, text in enumerate(texts):
        meta = {"url": PAGE if text else None, "language": languages[number], "raw_file_id": "ab"[number // 5]}
        sketches.add(Document(text=text, id=f"{number:032x}", metadata=meta), 2 * number, 100 + number)
    assert sketches.save(path, {"eng_Latn": 1, "deu_Latn": 0}) == len(texts)
    assert sketches.save(path.with_name("again"), {}) == 0, "saving empties"
    saved = Columns(path)
    assert saved.meta == {"raw_file_ids": sorted({"ab"[n // 5] for n in range(len(texts))}), **parameters(near)}
    numbers = list(range(len(texts)))
    assert saved.read("sequence").tolist() == [2 * number for number in numbers]
    assert saved.read("weight").tolist() == [100 + number for number in numbers]
    assert saved.read("piece").tolist() == [1 - number % 2 for number in numbers]
    assert saved.read("source").tolist() == [number // 5 for number in numbers]
    assert [id_text(each) for each in saved.read("ids")] == [f"{number:032x}" for number in numbers]
    offsets = saved.read("offsets").astype(np.int64)
    for number, text in enumerate(texts):
        expected = shingles(Words(text, languages[number]).normal_W, 3)
        assert (saved.read("shingles", *offsets[number : number + 2]) == expected).all()
        assert saved.read("url")[number] == (url_key(PAGE) if text else 0)
        assert saved.read("text")[number] == key(text, languages[number])
        signature, bands = saved.read("signature", number, number + 1), saved.read("bands")[:, number]
        if text:
            assert (signature == signatures(expected, np.array([0, len(expected)]), 8)).all()
            assert (bands == band_keys(signature, 4, 2)[:, 0]).all()
        else:
            assert (signature == 0).all()
            assert (bands == 0).all()


@pytest.mark.parametrize("language", ["eng_Latn", "arb_Arab", "hin_Deva", "kor_Hang", *UNSPACED])
def test_near_duplicates_of_every_script(language: str) -> None:
    """With a letter in 200 changed a text is still like itself; another text of the same words is not."""
    chance = random.Random(language)
    text, other = text_of(language, chance), text_of(language, chance)
    one, near, far = (
        shingles(Words(each, language).normal_W, 5) for each in (text, mistyped(text, 0.005, chance), other)
    )
    assert len(one) > 100
    assert 0.7 < jaccard(one, near) < 1
    assert jaccard(one, far) < 0.3
