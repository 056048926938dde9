"""The filter registry: every module of this package that defines a ``Filter`` is found by itself.

A filter is one file with one frozen dataclass: its fields are its thresholds, each with a docstring
that says where it comes from. Scoring and deciding are apart, so that scores stay for later thresholds
and for review, and every filter scores every document, even one that another filter removes.

A filter that needs more than its options (files that they name) has two further methods, and scores only after
``open``; whoever wants names and score columns alone needs neither:

- ``prepare(cache: Path) -> dict[str, str]``: in the main process, before the run is recorded: makes what workers
  share in the folder ``cache`` of the workspace, and returns what it depends on, name -> sha256. That is recorded
  with the run and is part of what the run is.
- ``open(cache: Path, prepared: Mapping[str, str]) -> Self``: in each worker: this filter, ready to score.

Further class facts, where the defaults do not fit: ``column`` (of its scores in the shards, its name if absent),
``reuse_scores = False`` (scores of a parent run are never taken over) and ``nullable = ("a_score",)`` (scores that are
null where a document was not scored, which is not 0).
"""

import importlib
import inspect
import json
import pkgutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any, ClassVar, Protocol, get_args, get_type_hints, runtime_checkable

from datatrove.data import Document

from curation.errors import UserError, unknown_name

Scores = dict[str, Any]


@runtime_checkable
class Filter(Protocol):
    """What a filter offers. Two more facts are optional:

    - ``prose_only: ClassVar[bool]``: its rules make no sense for source code, which it scores but never
      rejects (default False);
    - ``scored_with: ClassVar[tuple[str, ...]]``: its options on which scores depend, not decisions alone; scores
      of an earlier run are used again only if these are the same (default none).
    """

    name: ClassVar[str]
    """Its name in configurations, the step in the accounts, and its column in the shards (but see ``column``)."""
    scores: ClassVar[Mapping[str, type]]
    """Name -> type (int, float, bool, str) of each score that it leaves. A filter scores every document, and
    whatever an option decides is left out of the scores: else ``scored_with`` must name that option."""
    keeps: ClassVar[tuple[str, ...]]
    """Sample texts, in English, that the default thresholds keep; the contract test runs them."""
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
    return [_build(name, json.dumps(values or {}, default=str)) for name, values in options.items()]


def _find(name: str) -> type[Any]:
    cls = registry().get(name)
    if cls is None:
        raise unknown_name("filter", name, registry())
    return cls


def column(each: Any) -> str:
    """The column of a filter's scores, for a filter or its class."""
    return getattr(each, "column", None) or str(each.name)


def score_columns(options: Mapping[str, Mapping[str, Any] | None]) -> dict[str, Mapping[str, type]]:
    """Column -> its scores and their types, for the filters of a configuration."""
    return {column(cls): cls.scores for cls in map(_find, options)}


def prepare_filters(options: Mapping[str, Mapping[str, Any] | None], cache: Path) -> dict[str, dict[str, str]]:
    """Make ready what filters need beside their options; returns filter -> name -> sha256 for those that need any.

    Raises:
        UserError: a file that an option names is missing or damaged.
    """
    found = {each.name: each.prepare(cache) for each in build_filters(options) if hasattr(each, "prepare")}
    return {name: facts for name, facts in found.items() if facts}


def open_filters(
    options: Mapping[str, Mapping[str, Any] | None], cache: Path, prepared: Mapping[str, Mapping[str, str]]
) -> list[Any]:
    """The filters of a configuration, ready to score, with what ``prepare_filters`` returned."""
    return [
        each.open(cache, prepared.get(each.name, {})) if hasattr(each, "open") else each
        for each in build_filters(options)
    ]


@cache
def _parser(name: str) -> Any:
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(registry()[name])
    return parser


@cache  # filters are frozen, and parsing takes milliseconds, which every task would spend
def _build(name: str, options: str) -> Any:
    from jsonargparse import ArgumentError

    cls = _find(name)
    parser, values = _parser(name), json.loads(options)
    valid = [action.dest for action in parser._actions if action.dest not in ("help", "config")]
    types = get_type_hints(cls)
    for key, value in values.items():
        if key not in valid:
            raise unknown_name(f"option of filter {cls.name!r}", key, valid)
        if value is None and NoneType not in get_args(types[key]):
            raise UserError(f"filters.{cls.name}.{key}: has no value; give one, or leave the line out")
    try:
        return cls(**parser.parse_object(values).as_dict())
    except (ArgumentError, TypeError, ValueError) as error:
        raise UserError(f"filters.{cls.name}: {error}") from error


def stale_scores(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    old_prepared: Mapping[str, Any] | None = None,
    new_prepared: Mapping[str, Any] | None = None,
) -> list[str]:
    """Filters of a new configuration whose scores differ from those that an old one gave, since an option
    that ``scored_with`` names differs, or what ``prepare`` returned.

    Args:
        old, new: filter name -> options, as in ``CurationConfig.filters``.
        old_prepared, new_prepared: what ``prepare_filters`` returned for them.
    """
    stale = []
    for name, options in new.items():
        if (old_prepared or {}).get(name) != (new_prepared or {}).get(name):
            stale.append(name)
            continue
        depends = getattr(registry().get(name), "scored_with", ())
        if not depends or name not in old:
            continue
        (before,), (after,) = build_filters({name: old[name]}), build_filters({name: options})
        if any(getattr(before, option) != getattr(after, option) for option in depends):
            stale.append(name)
    return stale
