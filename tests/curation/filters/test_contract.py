"""What every filter promises, run over every filter that is found."""

import dataclasses
from typing import Any

import pytest
from datatrove.data import Document

from curation.errors import UserError
from curation.filters import Filter, build_filters, column, registry
from curation.shards import document_schema


def of(text: str) -> Document:
    return Document(text=text, id="x", metadata={})


@pytest.fixture(params=sorted(registry()))
def cls(request: pytest.FixtureRequest) -> type[Any]:
    """Each filter class in turn."""
    found: type[Any] = registry()[request.param]
    return found


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
    texts = [*cls.keeps, *cls.rejects, "", "\n", "ein Wort", "字" * 50, "a " * 3000]
    first = [each.score(of(text)) for text in texts]
    for scores in first:
        assert scores.keys() == cls.scores.keys()
        assert all(isinstance(scores[name], python) for name, python in cls.scores.items())
    assert [each.score(of(text)) for text in reversed(texts)] == first[::-1]


def test_it_does_not_change_the_document(cls: type[Any]) -> None:
    document = of("Some text that stays as it is.")
    cls().score(document)
    assert document == of("Some text that stays as it is.")


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
