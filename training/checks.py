"""Refusing a wrong configuration before any process group starts: one error that names the field and what to do.

Pure: no torch, no nanotron.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from curation.errors import UserError, unknown_name
from training.config import ENGINES, PRECISIONS, SCHEDULES, TENSOR_MODES, PretrainConfig
from training.sizes import model_sizes, vocabulary_rows

_LARGEST = 2**31 - 1

# Dotted name -> least value. Whole numbers; null stays null.
_LEAST = {
    "model.hidden_size": 1,
    "model.intermediate_size": 1,
    "model.num_hidden_layers": 1,
    "model.num_attention_heads": 1,
    "model.num_key_value_heads": 1,
    "model.vocab_multiple": 1,
    "parallelism.data": 1,
    "parallelism.tensor": 1,
    "parallelism.pipeline": 1,
    "parallelism.zero_stage": 0,
    "batch.sequence_length": 1,
    "batch.global_batch_size": 1,
    "batch.micro_batch_size": 1,
    "batch.steps": 0,
    "optimizer.warmup_steps": 0,
    "optimizer.decay_steps": 1,
    "validation.every": 0,
    "validation.sequences": 1,
    "checkpoints.every": 0,
    "checkpoints.keep_last": 1,
    "checkpoints.keep_every": 1,
    "guard.spike_window": 2,
    "seed": 0,
}

# Dotted name -> (what it must lie between, whether the lower end is allowed); the upper end never is.
_BETWEEN = {
    "model.rope_theta": (1.0, math.inf, False),
    "model.rms_norm_eps": (0.0, 1.0, False),
    "model.init_std": (0.0, math.inf, False),
    "optimizer.learning_rate": (0.0, math.inf, False),
    "optimizer.min_learning_rate": (0.0, math.inf, True),
    "optimizer.weight_decay": (0.0, math.inf, True),
    "optimizer.beta1": (0.0, 1.0, True),
    "optimizer.beta2": (0.0, 1.0, True),
    "optimizer.eps": (0.0, 1.0, False),
    "optimizer.clip_grad": (0.0, math.inf, False),
    "guard.spike_factor": (1.0, math.inf, False),
}

_NAMES = {
    "parallelism.engine": ENGINES,
    "parallelism.tensor_mode": TENSOR_MODES,
    "optimizer.schedule": SCHEDULES,
    "precision": PRECISIONS,
}


def check(
    config: PretrainConfig, world_size: int | None = None, vocab_size: int | None = None, datasets: bool = True
) -> None:
    """Refuse a configuration that cannot be trained, or not as it says.

    Args:
        world_size: processes that there are; None: not known yet.
        vocab_size: of the tokenizer, or rows of the embedding; None: not known yet.
        datasets: whether the data are those of ``data.datasets``.

    Raises:
        UserError: the first thing that is wrong: the field, its value, what to do.
    """
    _check_values(config)
    _check_model(config)
    _check_schedule(config)
    _check_checkpoints(config)
    if datasets:
        _check_mixture(config)
    check_split(config, world_size, vocab_size)


def check_split(config: PretrainConfig, world_size: int | None = None, vocab_size: int | None = None) -> None:
    """Refuse a division over processes that nanotron would only object to after they have started, or never.

    Args:
        world_size, vocab_size: as for ``check``.

    Raises:
        UserError: a batch that the replicas do not divide, a size that tensor parallelism does not, too few blocks or
            micro-batches for the pipeline, or another number of processes.
    """
    _check_batch(config)
    _check_topology(config)
    if vocab_size is not None:
        _check_vocabulary(config, vocab_size)
    if world_size is not None:
        _check_world(config, world_size)


def _leaves(plain: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in plain.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _check_values(config: PretrainConfig) -> None:
    """Each value by itself."""
    for name, value in _leaves(asdict(config)):
        if value is None:
            continue
        if name in _LEAST:
            if value < _LEAST[name]:
                raise UserError(f"{name}: {value} is below {_LEAST[name]}; give a larger one")
            if value > _LARGEST:
                raise UserError(f"{name}: {value} is above {_LARGEST}; give a smaller one")
        elif name in _BETWEEN:
            low, high, closed = _BETWEEN[name]
            if not (low < value < high or (closed and value == low)):
                least = f"{'at least' if closed else 'above'} {low:g}"
                most = " and finite" if high == math.inf else f" and below {high:g}"
                raise UserError(f"{name}: {value} is no good; give a number {least}{most}")
        elif name in _NAMES and value not in _NAMES[name]:
            raise unknown_name(name, value, _NAMES[name])
    if config.parallelism.zero_stage > 1:
        raise UserError(f"parallelism.zero_stage: {config.parallelism.zero_stage} is not there; valid: 0, 1")


def _check_model(config: PretrainConfig) -> None:
    sizes = model_sizes(config.model)
    hidden, heads, groups = (sizes[n] for n in ("hidden_size", "num_attention_heads", "num_key_value_heads"))
    if hidden % heads:
        raise UserError(
            f"model.num_attention_heads: {heads} heads do not divide model.hidden_size {hidden}; "
            f"use {_nearest_divisor(hidden, heads)} heads, or a width that is a multiple of {heads}"
        )
    if hidden // heads % 2:
        raise UserError(
            f"model.num_attention_heads: a head is {hidden // heads} wide ({hidden} / {heads}), and the rotary "
            "embedding needs an even width; change model.hidden_size or the number of heads"
        )
    if heads % groups:
        raise UserError(
            f"model.num_key_value_heads: {groups} does not divide the {heads} query heads; use "
            f"{_nearest_divisor(heads, groups)}"
        )


def _check_batch(config: PretrainConfig) -> None:
    batch, replicas = config.batch, config.parallelism.data
    if batch.micro_batch_size > batch.global_batch_size:
        raise UserError(
            f"batch.micro_batch_size: {batch.micro_batch_size} is more than batch.global_batch_size "
            f"{batch.global_batch_size}; lower it"
        )
    at_once = replicas * batch.micro_batch_size
    if batch.global_batch_size % at_once:
        near = max(1, round(batch.global_batch_size / at_once)) * at_once
        raise UserError(
            f"batch.global_batch_size: {batch.global_batch_size} is no multiple of parallelism.data {replicas} x "
            f"batch.micro_batch_size {batch.micro_batch_size} = {at_once}; use {near}"
        )


def _check_schedule(config: PretrainConfig) -> None:
    optimizer, steps = config.optimizer, config.batch.steps
    if optimizer.min_learning_rate > optimizer.learning_rate:
        raise UserError(
            f"optimizer.min_learning_rate: {optimizer.min_learning_rate} is above optimizer.learning_rate "
            f"{optimizer.learning_rate}; lower it"
        )
    if steps == 0:  # the weights alone: imported, or as they are drawn
        return
    if optimizer.warmup_steps > steps:
        raise UserError(f"optimizer.warmup_steps: {optimizer.warmup_steps} are more than batch.steps {steps}; lower it")
    if optimizer.schedule == "exponential":
        _check_rise(config)
    if optimizer.schedule == "cosine" and optimizer.decay_steps is not None:
        raise UserError(
            f"optimizer.decay_steps: {optimizer.decay_steps}, but the schedule cosine decays from the end of the "
            "warmup to the last step; leave it out, or use optimizer.schedule wsd"
        )
    decay = steps // 5 if optimizer.decay_steps is None else optimizer.decay_steps
    if optimizer.schedule == "wsd" and optimizer.warmup_steps + decay > steps:
        raise UserError(
            f"optimizer.decay_steps: {optimizer.warmup_steps} steps of warmup and {decay} of decay are more than "
            f"batch.steps {steps}; lower one of them"
        )


def _check_rise(config: PretrainConfig) -> None:
    """The schedule that rises from the first step to the last: with anything else it would not."""
    optimizer = config.optimizer
    if not 0 < optimizer.min_learning_rate < optimizer.learning_rate:
        raise UserError(
            f"optimizer.min_learning_rate: {optimizer.min_learning_rate}, and the schedule exponential rises from it "
            f"to optimizer.learning_rate {optimizer.learning_rate}; give a number above 0 and below that"
        )
    for name, value in (("warmup_steps", optimizer.warmup_steps), ("decay_steps", optimizer.decay_steps)):
        if value:
            raise UserError(f"optimizer.{name}: {value}, but the schedule exponential has none; use 0 or leave it out")


def _check_checkpoints(config: PretrainConfig) -> None:
    every, keep = config.checkpoints.every, config.checkpoints.keep_every
    if keep is not None and (every == 0 or keep % every):
        raise UserError(
            f"checkpoints.keep_every: {keep} is no multiple of checkpoints.every {every}, and some checkpoints "
            "would be missed; make it one, or leave it out"
        )


def _check_mixture(config: PretrainConfig) -> None:
    entries = config.data.datasets
    if not entries:
        raise UserError(
            "data.datasets: is empty; name a tokenized dataset: --data.datasets '[{dataset: NAME}]' "
            "(python -m curation.dataset list has them)"
        )
    for name, count in Counter(entry.dataset for entry in entries).items():
        if not name:
            raise UserError("data.datasets: an entry has an empty name; give NAME, NAME@VERSION or an id")
        if count > 1:
            raise UserError(f"data.datasets: {name} is there {count} times; name it once, with the sum of the weights")
    for entry in entries:
        if not 0 < entry.weight < math.inf:
            raise UserError(
                f"data.datasets: {entry.dataset} has weight {entry.weight}; give a finite number above 0, or leave the "
                "dataset out"
            )


def _check_topology(config: PretrainConfig) -> None:
    split, sizes = config.parallelism, model_sizes(config.model)
    divided = {
        f"model.{name}": sizes[name] for name in ("num_attention_heads", "num_key_value_heads", "intermediate_size")
    }
    if split.tensor_mode == "reduce_scatter":
        divided["batch.sequence_length"] = config.batch.sequence_length
    for name, size in divided.items():
        if size % split.tensor:
            raise UserError(
                f"parallelism.tensor: {split.tensor} does not divide {name}, which is {size}; use "
                f"{_nearest_divisor(size, split.tensor)}, or change {name}"
            )
    if config.model.num_hidden_layers < split.pipeline:
        raise UserError(
            f"parallelism.pipeline: {split.pipeline} stages, but model.num_hidden_layers is "
            f"{config.model.num_hidden_layers}, and each stage needs a block; use at most as many stages"
        )
    accumulated = config.batch.global_batch_size // (split.data * config.batch.micro_batch_size)
    if split.engine == "1f1b" and accumulated < split.pipeline - 1:
        raise UserError(
            f"parallelism.engine: 1f1b keeps {split.pipeline} stages busy with {split.pipeline - 1} micro-batches or "
            f"more, and there are {accumulated}; lower batch.micro_batch_size, or use afab"
        )


def _check_vocabulary(config: PretrainConfig, vocab_size: int) -> None:
    if vocab_size < 2:
        raise UserError(f"data.datasets: their tokenizer has {vocab_size} token(s), which leaves nothing to predict")
    rows, multiple = vocabulary_rows(config.model, vocab_size), config.model.vocab_multiple
    tensor = config.parallelism.tensor
    if rows % tensor:
        raise UserError(
            f"model.vocab_multiple: {multiple} makes {rows:,} rows of {vocab_size:,} tokens, "
            f"which parallelism.tensor {tensor} does not divide; use {math.lcm(multiple, tensor)}"
        )


def _check_world(config: PretrainConfig, world_size: int) -> None:
    split = config.parallelism
    needed = split.data * split.tensor * split.pipeline
    if world_size != needed:
        raise UserError(
            f"parallelism: data {split.data} x tensor {split.tensor} x pipeline {split.pipeline} are {needed} "
            f"process(es), and there are {world_size}; start it with python -m torch.distributed.run "
            f"--nproc-per-node {needed} (on one machine), or change parallelism"
        )


def _nearest_divisor(size: int, wanted: int) -> int:
    return min((each for each in range(1, size + 1) if size % each == 0), key=lambda each: abs(each - wanted))
