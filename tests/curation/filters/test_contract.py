"""What every filter promises, run over every filter that is found."""

import dataclasses
import math
import time
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

import pytest
from datatrove.data import Document

from curation.config import CurationConfig
from curation.errors import UserError
from curation.filters import Filter, build_filters, column, registry, stale_scores
from curation.language import LanguageConfig
from curation.shards import document_schema
from curation.steps.annotate import ScoreAndDecide


def of(text: str) -> Document:
    return Document(text=text, id="x", metadata={"language": "eng_Latn"})


@pytest.fixture(params=sorted(registry()))
def cls(request: pytest.FixtureRequest) -> type[Any]:
    """Each filter class in turn."""
    found: type[Any] = registry()[request.param]
    return found


def samples(cls: type[Any]) -> list[str]:
    """Texts of every kind."""
    odd = ["", "\n", "\n\n", " \n ", "ein Wort", "字" * 50, "a " * 3000, "...", "#", "- a\n- a\n", "\u0301", "{\n}"]
    return [*cls.keeps, *cls.rejects, *odd]


def test_it_has_the_shape_of_a_filter(cls: type[Any]) -> None:
    assert isinstance(cls(), Filter)
    assert cls.keeps
    assert cls.rejects or hasattr(cls, "prepare")  # judges by files that its options name
    assert column(cls) not in document_schema({}, "rejected").names
    field = dataclasses.fields(cls)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(cls(), field, 1)


def test_its_samples_are_decided_as_it_says(cls: type[Any]) -> None:
    each = cls()
    for text in cls.keeps:
        assert each.reason(each.score(of(text))) is None
    for text, reason in cls.rejects.items():
        assert each.reason(each.score(of(text))) == reason


def test_scores_are_as_declared_and_do_not_depend_on_what_came_before(cls: type[Any]) -> None:
    each = cls()
    texts = samples(cls)
    first = [each.score(of(text)) for text in texts]
    for scores in first:
        assert list(scores) == list(cls.scores)
        for name, python in cls.scores.items():
            nullable = name in getattr(cls, "nullable", ())
            assert type(scores[name]) is python or (scores[name] is None and nullable)
        assert all(math.isfinite(value) for value in scores.values() if isinstance(value, float))
    assert [each.score(of(text)) for text in reversed(texts)] == first[::-1]


def test_it_does_not_change_the_document(cls: type[Any]) -> None:
    document = of("Some text that stays as it is.")
    cls().score(document)
    assert document == of("Some text that stays as it is.")


def test_only_the_named_options_change_scores(cls: type[Any]) -> None:
    """Scores of an earlier run are used again unless an option of ``scored_with`` differs."""
    each = cls()
    free = {field.name for field in dataclasses.fields(cls)} - set(getattr(cls, "scored_with", ()))
    assert len(free) == len(dataclasses.fields(cls)) - len(getattr(cls, "scored_with", ()))
    for name in free:
        value = getattr(each, name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            other = dataclasses.replace(each, **{name: value * 2 + 1})
            assert [other.score(of(text)) for text in samples(cls)] == [each.score(of(text)) for text in samples(cls)]


def test_options_that_may_be_null_turn_their_rule_off(cls: type[Any]) -> None:
    nullable = [name for name, kind in get_type_hints(cls).items() if NoneType in get_args(kind)]
    (off,) = build_filters({cls.name: dict.fromkeys(nullable)})
    if len(nullable) == len(dataclasses.fields(cls)) - len(getattr(cls, "scored_with", ())):
        assert all(off.reason(off.score(of(text))) is None for text in samples(cls))


def test_source_code_is_scored_and_only_rejected_by_what_is_not_for_prose(cls: type[Any], tmp_path: Path) -> None:
    config = CurationConfig(language=LanguageConfig(threshold=0), filters={cls.name: {}})
    for text, reason in cls.rejects.items():
        meta = {"media": "code", "language": "eng_Latn", "language_score": 1.0}
        (done,) = ScoreAndDecide(config, tmp_path, {}).run([Document(text=text, id="x", metadata=meta)])
        assert done.metadata[column(cls)].keys() == cls.scores.keys()
        assert done.metadata.get("reason") == (None if getattr(cls, "prose_only", False) else reason)


@pytest.mark.parametrize("unit", ["a ", "ab\n", ".", "! ", "{", "\n", " ", "-", "字", "the old mill and the river. "])
def test_time_grows_with_length_alone(cls: type[Any], unit: str) -> None:
    """A square of the length would take minutes."""
    began = time.process_time()
    cls().score(of(unit * (400_000 // len(unit))))
    assert time.process_time() - began < 10


def test_a_wrong_option_names_itself(cls: type[Any]) -> None:
    with pytest.raises(UserError, match="no_such_option"):
        build_filters({cls.name: {"no_such_option": 1}})


def test_a_wrong_filter_lists_the_valid_ones() -> None:
    with pytest.raises(UserError, match=r"valid: .*length"):
        build_filters({"lenght": {}})


def test_a_wrong_value_names_the_filter() -> None:
    with pytest.raises(UserError, match=r"filters\.length"):
        build_filters({"length": {"min_characters": "many"}})


def test_options_are_used() -> None:
    (strict,) = build_filters({"length": {"min_characters": 50}})
    assert strict.reason({"characters": 49}) == "too_short"
    assert strict.reason({"characters": 50}) is None


def test_null_is_refused_where_there_is_nothing_to_turn_off() -> None:
    with pytest.raises(UserError, match=r"filters\.length\.min_characters: has no value"):
        build_filters({"length": {"min_characters": None}})


def test_scores_are_stale_when_what_they_depend_on_differs() -> None:
    old = {"fineweb": {}, "c4": {"min_sentences": 5}}
    assert stale_scores(old, {"fineweb": {"short_line_length": 30}, "c4": {"min_sentences": 1}}) == []
    assert stale_scores(old, {"fineweb": {"short_line_length": 31}, "length": {}}) == ["fineweb"]
    assert stale_scores({}, {"fineweb": {"short_line_length": 31}}) == []  # no scores: nothing to be stale
