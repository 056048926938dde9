"""The configuration of a curation run: one dataclass of dataclasses, a docstring under each field."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from curation.dedup.config import DedupConfig
from curation.errors import UserError, unknown_name
from curation.executors.options import ExecutionConfig
from curation.extract import ExtractConfig
from curation.language import LanguageConfig
from curation.lines import LinesConfig
from curation.pii import PiiConfig
from curation.sources.read import ReadConfig
from curation.toxicity.config import ToxicityConfig

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser


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


def instantiate(parser: "ArgumentParser", options: Any) -> CurationConfig:
    """The configuration out of parsed options.

    Raises:
        UserError: a value left empty in YAML, which is null and which few fields can be (and options of filters).
    """
    names = [each.name for each in dataclasses.fields(CurationConfig)]
    plain = options.as_dict()
    nullable = _nullable(CurationConfig)
    for name, value in _leaves({name: plain[name] for name in names}):
        if value is None and name not in nullable:
            raise UserError(f"{name}: has no value; give one, or leave the line out")
    values = parser.instantiate(options)
    return CurationConfig(**{name: values[name] for name in names})


def _leaves(plain: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in plain.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        elif not (prefix.startswith("filters.") and value is None):
            yield f"{prefix}{key}", value


def _nullable(section: type, prefix: str = "") -> set[str]:
    """Dotted names of the fields that can be null."""
    found = set()
    for name, hint in get_type_hints(section).items():
        if dataclasses.is_dataclass(hint):
            found |= _nullable(hint, f"{prefix}{name}.")  # type: ignore[arg-type]
        elif NoneType in get_args(hint):
            found.add(f"{prefix}{name}")
    return found


def to_dict(config: CurationConfig) -> dict[str, Any]:
    """The configuration as plain JSON values."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))
    return plain


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


def presets() -> dict[str, Path]:
    """Name -> file of the presets that ship with the package."""
    folder = Path(str(files("curation") / "configs"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_config(name: str) -> Path:
    """The file of ``--config``: a path, or the name of a preset with or without ``.yaml``.

    Raises:
        UserError: neither; the presets are listed.
    """
    path = Path(name)
    if path.is_file():
        return path
    preset = presets().get(name.removesuffix(".yaml"))
    if preset is None:
        if path.suffix or "/" in name:
            raise UserError(f"--config {name}: no such file; presets: {', '.join(presets())}")
        raise unknown_name("preset for --config", name, presets())
    return preset


def from_dict(plain: Mapping[str, Any]) -> CurationConfig:
    """The inverse of ``to_dict``, with every value checked.

    Raises:
        UserError: an unknown field or a wrong value.
    """
    from jsonargparse import ArgumentError, ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(CurationConfig, None)
    try:
        return instantiate(parser, parser.parse_object(dict(plain)))
    except (ArgumentError, TypeError, ValueError) as error:
        raise UserError(f"configuration: {error}") from error
