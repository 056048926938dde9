"""Small data sets in the published formats, written for these tests, with what is planted in them.

A file here is named like its probe and has ``SAMPLE``; a probe without one fails the contract tests.
"""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Broken:
    """A way in which a data file can be malformed."""

    name: str
    file: str
    """The file that is changed."""
    change: Callable[[str], str]
    says: Sequence[str]
    """What the error has to name: line and field."""


@dataclass(frozen=True)
class Planted:
    """What a model prefers that is known to prefer something, and the metrics that have to find it."""

    metrics: Sequence[str]
    above: bool = True
    """Whether the preference takes the figures above their ideal."""
    preference: Callable[[str], float] | None = None
    """Text -> nats that are added."""
    writes: Callable[[str, np.random.Generator], str] | None = None
    vector: Callable[[str], np.ndarray[Any, Any]] | None = None


@dataclass(frozen=True)
class Sample:
    """A probe's data for tests."""

    write: Callable[[Path, int], None]
    """Writes the published files into a folder, each item so many times; nothing where the data is shipped."""
    planted: Planted
    broken: Sequence[Broken] = ()
    writes: Callable[[str, np.random.Generator], str] | None = None
    """What a model without preference writes; None: random letters."""
    limit: int | None = None
    """Of shipped data, how many items the tests take; None: all."""


def sample_of(probe: str) -> Sample:
    """The sample of a probe."""
    found: Sample = importlib.import_module(f"tests.audit.probes.samples.{probe}").SAMPLE
    return found
