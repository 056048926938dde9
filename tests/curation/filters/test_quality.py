"""The filter ``quality`` by itself: what is scored, what is not, and what its options say."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from datatrove.data import Document

from curation.errors import UserError
from curation.filters import build_filters, open_filters, prepare_filters, stale_scores
from curation.quality.__main__ import main
from tests.curation.quality import graded


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    files = [graded.write(folder / f"{n}.jsonl", texts) for n, texts in enumerate(graded.sides(300))]
    line = ["train", "--positive", str(files[0]), "--negative", str(files[1]), "--language", "eng_Latn"]
    assert main([*line, "--to", str(folder / "model.bin"), "--workspace", str(folder / "w")]) == 0
    return folder / "model.bin"


def opened(cache: Path, **options: Any) -> Any:
    named = {"quality": options}
    (found,) = open_filters(named, cache, prepare_filters(named, cache))
    return found


def score(each: Any, text: str, language: str = "eng_Latn") -> Any:
    return each.score(Document(text=text, id="x", metadata={"language": language}))["score"]


def test_scores_and_threshold(model: Path, tmp_path: Path) -> None:
    each = opened(tmp_path, model=str(model), min_score=0.5)
    good, bad = score(each, graded.text(1.0, 1)), score(each, graded.text(0.0, 1))
    assert 0 <= bad < 0.3 < 0.7 < good <= 1
    assert (each.reason({"score": good}), each.reason({"score": bad})) == (None, "below_min_score")
    assert each.reason({"score": 0.5}) is None
    turned = opened(tmp_path, model=str(model), label="negative")
    assert score(turned, graded.text(1.0, 1)) == pytest.approx(1 - good, abs=1e-4)
    assert turned.reason({"score": 0.0}) is None


def test_not_scored_is_null_and_stays(model: Path, tmp_path: Path) -> None:
    each = opened(tmp_path, model=str(model), min_score=1.0)
    assert score(each, graded.text(0.0, 1), "deu_Latn") is None
    assert score(each, " \n ") is None
    assert each.reason({"score": None}) is None
    assert score(opened(tmp_path), graded.text(0.0, 1)) is None


def test_it_depends_on_the_bytes_of_the_model_and_not_on_its_path(model: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    named = {"quality": {"model": str(model)}}
    prepared = prepare_filters(named, tmp_path)
    assert prepared == {"quality": {"model": digest, "languages": "eng_Latn"}}
    moved = tmp_path / "moved.bin"
    moved.write_bytes(model.read_bytes())
    Path(f"{moved}.json").write_bytes(Path(f"{model}.json").read_bytes())
    again = {"quality": {"model": str(moved), "keep_share": 0.5}}
    assert prepare_filters(again, tmp_path) == prepared
    assert stale_scores(named, again, prepared, prepared) == []
    other = {"quality": {"model": "0" * 64, "languages": "eng_Latn"}}
    assert stale_scores(named, again, prepared, other) == ["quality"]
    assert stale_scores({"quality": {}}, named, {}, prepared) == ["quality"]
    turned = {"quality": {"model": str(model), "label": "negative"}}
    assert stale_scores(named, turned, prepared, prepared) == ["quality"]
    moved.unlink()  # workers read the copy in the cache
    assert open_filters(again, tmp_path, prepared)


def test_a_model_without_a_card_needs_languages(model: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.bin"
    bare.write_bytes(model.read_bytes())
    with pytest.raises(UserError, match=r"filters\.quality\.languages: the model has no card"):
        opened(tmp_path, model=str(bare))
    each = opened(tmp_path, model=str(bare), languages=["en", "German"])
    assert score(each, "some words", "deu_Latn") is not None
    assert score(each, "some words", "fra_Latn") is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"min_score": 0.5, "keep_share": 0.1}, "filters.quality.keep_share: goes with no filters.quality.min_score"),
        ({"min_score": 1.5}, "filters.quality.min_score: 1.5 is not between 0 and 1"),
        ({"keep_share": 0}, "filters.quality.keep_share: 0 is not above 0 and at most 1"),
        ({"keep_share": 0.1, "model": ""}, "filters.quality.keep_share: needs a model"),
        ({"min_score": 0.1, "model": ""}, "filters.quality.min_score: needs a model"),
        ({"model": "/nowhere.bin"}, "filters.quality.model: /nowhere.bin: no such file"),
        ({"label": "hq"}, "filters.quality.label: unknown label of the quality model 'hq'; valid: negative, positive"),
        ({"languages": ["Klingon"]}, "filters.quality.languages: unknown language 'Klingon'"),
        ({"languages": ["en", "de"]}, "filters.quality.languages: the model was trained on eng_Latn, not on deu_Latn"),
        ({"max_score": 1}, "unknown option of filter 'quality' 'max_score'"),
    ],
)
def test_wrong_options_name_themselves(model: Path, tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as error:
        opened(tmp_path, **{"model": str(model), **options})
    assert said in str(error.value)


def test_what_is_no_model_is_named(model: Path, tmp_path: Path) -> None:
    odd = tmp_path / "odd.bin"
    odd.write_text("no model")
    with pytest.raises(UserError, match=r"filters\.quality\.model: .*odd\.bin: not a fastText classifier"):
        opened(tmp_path / "cache", model=str(odd), languages=["en"])
    Path(f"{odd}.json").write_bytes(Path(f"{model}.json").read_bytes())
    with pytest.raises(UserError, match=r"filters\.quality\.model: .*odd\.bin\.json: is the card of another model"):
        opened(tmp_path / "cache", model=str(odd))


def test_nothing_to_prepare_without_a_model(tmp_path: Path) -> None:
    assert prepare_filters({"quality": {}}, tmp_path) == {}
    assert build_filters({"quality": {}})[0].scores == {"score": float}
    assert not list(tmp_path.iterdir())
