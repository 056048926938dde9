"""The configuration of a curation run: one dataclass of dataclasses, a docstring under each field."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from curation import options
from curation.dedup.config import DedupConfig
from curation.errors import UserError
from curation.executors.options import ExecutionConfig
from curation.extract import ExtractConfig
from curation.language import LanguageConfig
from curation.lines import LinesConfig
from curation.pii import PiiConfig
from curation.sources.read import ReadConfig
from curation.toxicity.config import ToxicityConfig


@dataclass(frozen=True)
class ShardConfig:
    """How documents are stored."""

    max_text_bytes: int = 256 * 2**20
    """A new shard begins where the texts of one kind and language pass a multiple of this many bytes."""
    compression_level: int = 3
    """zstd level of the Parquet files (1 fast to 19 small)."""

    def __post_init__(self) -> None:
        if self.max_text_bytes < 1:
            raise UserError(f"shards.max_text_bytes: {self.max_text_bytes} is not positive")
        if not 1 <= self.compression_level <= 19:
            raise UserError(f"shards.compression_level: {self.compression_level} is not between 1 and 19")


@dataclass(frozen=True)
class CardConfig:
    """What the Croissant description beside the shards says of them."""

    name: str = "curated-crawl"
    """Name of the collection."""
    description: str = "Documents curated from raw crawls, kept and rejected, with scores and reasons."
    """What it is, for people."""
    license: str = "unknown"
    """Licence of the collection, an SPDX id or a URL; ``unknown`` where nobody has said."""
    creator: str = "unknown"
    """Person or organisation that answers for it."""
    url: str = ""
    """Where it is published; empty if it is not."""


def _web_filters() -> dict[str, dict[str, Any]]:
    """Filters of web pages, in the order of FineWeb's recipe."""
    return {name: {} for name in ("gopher_repetition", "gopher_quality", "c4", "fineweb", "length")}


@dataclass(frozen=True)
class CurationConfig:
    """Everything that decides what a run makes of its input."""

    read: ReadConfig = field(default_factory=ReadConfig)
    """Reading raw files."""
    extract: ExtractConfig = field(default_factory=ExtractConfig)
    """HTML to text."""
    lines: LinesConfig = field(default_factory=LinesConfig)
    """Removing lines from the text of web pages."""
    language: LanguageConfig = field(default_factory=LanguageConfig)
    """Language identification and which languages are kept."""
    filters: dict[str, dict[str, Any]] = field(default_factory=_web_filters)
    """Filter name -> its options, in the order in which they decide; the first to object gives the reason."""
    pii: PiiConfig = field(default_factory=PiiConfig)
    """Personal data in texts, titles and authors, of kept and rejected documents alike."""
    dedup: DedupConfig = field(default_factory=DedupConfig)
    """Removing duplicates among what the filters keep, and of what the workspace holds."""
    toxicity: ToxicityConfig = field(default_factory=ToxicityConfig)
    """Scoring how toxic documents are, and rejecting those above a threshold, behind everything else."""
    shards: ShardConfig = field(default_factory=ShardConfig)
    """Storing documents."""
    card: CardConfig = field(default_factory=CardConfig)
    """Describing them."""
    execution: ExecutionConfig = field(default_factory=ExecutionConfig)
    """Workers; not part of what a run is."""
    seed: int = 0
    """Seed of everything random; recorded with the run."""


def to_dict(config: CurationConfig) -> dict[str, Any]:
    """The configuration as plain JSON values."""
    return options.to_dict(config)


def from_dict(plain: Mapping[str, Any]) -> CurationConfig:
    """The inverse of ``to_dict``, with every value checked.

    Raises:
        UserError: an unknown field or a wrong value.
    """
    return options.from_dict(plain, CurationConfig)


def identity(plain: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a configuration that decides the result: all but ``execution``, and the order of filters."""
    return {key: value for key, value in plain.items() if key != "execution"} | {"filter_order": [*plain["filters"]]}


def config_hash(plain: Mapping[str, Any]) -> str:
    """sha256 of the canonical JSON of what decides the result."""
    canonical = json.dumps(identity(plain), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Lines such as ``language.threshold: 0.65 -> 0.8``, for every value that differs."""
    lines = []
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += differences(before, after, f"{prefix}{key}.")
        elif before != after:
            lines.append(f"{prefix}{key}: {json.dumps(before)} -> {json.dumps(after)}")
    return lines
