"""The filter registry: every module of this package that defines a ``Filter`` is found by itself.

A filter is one file with one frozen dataclass: its fields are its thresholds, each with a docstring
that says where it comes from. Scoring and deciding are apart, so that scores stay for later thresholds
and for review, and every filter scores every document, even one that another filter removes.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar, Protocol, runtime_checkable

from datatrove.data import Document

from curation.errors import UserError, unknown_name

Scores = dict[str, Any]


@runtime_checkable
class Filter(Protocol):
    """What a filter offers."""

    name: ClassVar[str]
    """Its name in configurations, the step in the accounts, and its column in the shards."""
    scores: ClassVar[Mapping[str, type]]
    """Name -> type (int, float, bool, str) of each score that it leaves."""
    keeps: ClassVar[tuple[str, ...]]
    """Sample texts that the default thresholds keep; the contract test runs them."""
    rejects: ClassVar[Mapping[str, str]]
    """Sample text -> the reason for which the default thresholds reject it."""

    def score(self, document: Document) -> Scores:
        """Measure a document; never decides."""

    def reason(self, scores: Scores) -> str | None:
        """Why a document with these scores goes, or None to keep it."""


@cache
def registry() -> dict[str, type[Any]]:
    """Name -> class of every filter in this package."""
    found: dict[str, type[Any]] = {}
    for module_info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{module_info.name}")
        for _, cls in inspect.getmembers(module, inspect.isclass):
            if cls.__module__ == module.__name__ and isinstance(name := getattr(cls, "name", None), str):
                found[name] = cls
    return found


def build_filters(options: Mapping[str, Mapping[str, Any] | None]) -> list[Any]:
    """The filters of a configuration, in its order.

    Raises:
        UserError: an unknown filter (the valid ones are listed) or a wrong option (it is named).
    """
    filters = []
    for name, values in options.items():
        cls = registry().get(name)
        if cls is None:
            raise unknown_name("filter", name, registry())
        filters.append(_build(cls, values or {}))
    return filters


def _build(cls: type[Any], values: Mapping[str, Any]) -> Any:
    from jsonargparse import ArgumentError, ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(cls)
    valid = [action.dest for action in parser._actions if action.dest not in ("help", "config")]
    for key in values:
        if key not in valid:
            raise unknown_name(f"option of filter {cls.name!r}", key, valid)
    try:
        return cls(**parser.parse_object(dict(values)).as_dict())
    except (ArgumentError, TypeError, ValueError) as error:
        raise UserError(f"filters.{cls.name}: {error}") from error
