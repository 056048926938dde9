"""The configuration of a sweep: what is searched, from where, and for how long."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curation import options
from curation.errors import UserError
from training.config import PretrainConfig

FREE = ("trials", "jobs", "timeout")
"""What may change when a sweep goes on: how much is tried, not what a trial is."""


@dataclass(frozen=True)
class PruningConfig:
    """Asynchronous successive halving (https://arxiv.org/abs/1810.05934): trials that fall behind are stopped."""

    enabled: bool = True
    """Whether trials are stopped at all."""
    min_steps: int | None = None
    """A trial is first judged when it has seen as many tokens as ``base`` in so many steps; null: in 1 / ``factor`` of
    all its steps. (What learns fastest at first is rarely what ends best.)"""
    factor: int = 3
    """Of the trials that came so far the best 1 / ``factor`` go on, and are judged again after ``factor`` times as many
    tokens."""


@dataclass(frozen=True)
class SweepConfig:
    """Everything that decides what a sweep tries."""

    base: str | dict[str, Any] = "pretrain"
    """The configuration of a training run that all trials begin with: a YAML file, a preset, or its fields."""
    search: dict[str, Any] = field(default_factory=dict)
    """What is searched: a dotted field of ``base``, or ``epochs``, ``warmup`` (share of the steps), ``width``,
    ``depth`` or ``mixture``; each with ``{low: , high: , log: , step: }`` or ``{choices: [...]}``."""
    trials: int = 12
    """Trials in all."""
    jobs: int = 1
    """Trials at once, on this machine."""
    timeout: float | None = None
    """Seconds after which no more trials begin; null: none."""
    seed: int = 0
    """Seed of what is drawn. (That of weights and data is ``base``'s.)"""
    startup: int | None = None
    """Trials that are spread evenly, and never stopped, before TPE (https://papers.nips.cc/paper/4443) learns from
    them; null: two for each parameter, at least five."""
    pruning: PruningConfig = field(default_factory=PruningConfig)
    """Which trials are stopped early."""


def check_values(config: SweepConfig) -> None:
    """Refuse values that are wrong by themselves.

    Raises:
        UserError: the first of them.
    """
    least = {
        "trials": (config.trials, 1),
        "jobs": (config.jobs, 1),
        "seed": (config.seed, 0),
        "startup": (config.startup, 1),
        "pruning.min_steps": (config.pruning.min_steps, 1),
        "pruning.factor": (config.pruning.factor, 2),
    }
    for name, (value, lowest) in least.items():
        if value is not None and value < lowest:
            raise UserError(f"{name}: {value} is below {lowest}; give a larger one")
    if config.timeout is not None and not 0 < config.timeout < float("inf"):
        raise UserError(f"timeout: {config.timeout} is no time; give seconds above 0, or leave it out")
    if not config.search:
        raise UserError("search: is empty; name at least one field, such as optimizer.learning_rate")


def read_base(base: str | Mapping[str, Any]) -> PretrainConfig:
    """The configuration that trials begin with.

    Raises:
        UserError: no such file or preset, an unknown field, or a wrong value.
    """
    if not isinstance(base, str):
        try:
            return options.from_dict(base, PretrainConfig)
        except UserError as error:
            raise UserError(f"base: {str(error).removeprefix('configuration: ')}") from error
    return read_config(options.find_config(base, "training", "base:"))


def read_config(path: Path) -> PretrainConfig:
    """A training configuration out of a file.

    Raises:
        UserError: an unknown field or a wrong value.
    """
    from jsonargparse import ArgumentError, ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(PretrainConfig, None)
    try:
        return options.instantiate(parser, parser.parse_path(path), PretrainConfig)
    except (ArgumentError, TypeError, ValueError) as error:
        raise UserError(f"{path}: {options.message(error, PretrainConfig)}") from error
