"""The learning rate of each step. Pure: neither nanotron nor torch."""

import math

from training.config import BatchConfig, OptimizerConfig


def learning_rate(optimizer: OptimizerConfig, batch: BatchConfig, step: int) -> float:
    """The learning rate of a step, counted from 1; beyond the last step it stays at what it is in that.

    It rises linearly to ``learning_rate`` in step ``warmup_steps`` (the first step has its share, not 0) and reaches
    ``min_learning_rate`` in the last step: with ``cosine`` along half a cosine from the end of the warmup
    (https://arxiv.org/abs/1608.03983), with ``wsd`` linearly over the last ``decay_steps``
    (https://arxiv.org/abs/2405.18392). With ``exponential`` it is multiplied by the same factor from each step to the
    next, from ``min_learning_rate`` in the first to ``learning_rate`` in the last (https://arxiv.org/abs/1506.01186).
    """
    highest, lowest = optimizer.learning_rate, optimizer.min_learning_rate
    if optimizer.schedule == "exponential":
        done = min(1.0, (step - 1) / max(1, batch.steps - 1))
        return lowest * float((highest / lowest) ** done)
    if step <= optimizer.warmup_steps:
        return highest * step / optimizer.warmup_steps
    if optimizer.schedule == "cosine":
        begin = optimizer.warmup_steps
    else:
        decay = batch.steps // 5 if optimizer.decay_steps is None else optimizer.decay_steps
        begin = batch.steps - decay
    if step <= begin:
        return highest
    done = min(1.0, (step - begin) / max(1, batch.steps - begin))
    left = (1 + math.cos(math.pi * done)) / 2 if optimizer.schedule == "cosine" else 1 - done
    return lowest + (highest - lowest) * left
