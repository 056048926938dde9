"""The configuration of a training run: one dataclass of dataclasses, a docstring under each field.

Names of the model's sizes are those of Hugging Face's ``LlamaConfig``; sizes of batches are in sequences or tokens, as
each field says.
"""

from dataclasses import dataclass, field

PRECISIONS = ("float32", "bfloat16")
ENGINES = ("afab", "1f1b")
TENSOR_MODES = ("all_reduce", "reduce_scatter")
SCHEDULES = ("cosine", "wsd")


@dataclass(frozen=True)
class ModelConfig:
    """A Llama (https://arxiv.org/abs/2302.13971): its sizes."""

    hidden_size: int = 256
    """Width of the residual stream."""
    intermediate_size: int | None = None
    """Width of the gated MLP; null: 8/3 of ``hidden_size``, rounded up to a multiple of 64."""
    num_hidden_layers: int = 4
    """Decoder blocks."""
    num_attention_heads: int = 4
    """Query heads; each is ``hidden_size / num_attention_heads`` wide."""
    num_key_value_heads: int | None = None
    """Key and value heads (grouped-query attention, https://arxiv.org/abs/2305.13245); null: as many as query heads."""
    tie_word_embeddings: bool = True
    """Whether the output matrix is the embedding matrix."""
    rope_theta: float = 10000.0
    """Base of the rotary embedding's wavelengths (https://arxiv.org/abs/2104.09864)."""
    rms_norm_eps: float = 1e-5
    """Added to the mean square in RMSNorm."""
    init_std: float = 0.02
    """Standard deviation of the initial weights; of matrices that write to the residual stream divided by
    sqrt(2 num_hidden_layers), as in GPT-2."""
    vocab_multiple: int = 64
    """The embedding's rows are the tokenizer's vocabulary rounded up to a multiple of this, whatever the topology;
    ``parallelism.tensor`` must divide them. 1: no rounding."""


@dataclass(frozen=True)
class ParallelismConfig:
    """How the model and its batches are split over ``data * tensor * pipeline`` processes."""

    data: int = 1
    """Replicas, each with a share of the batch."""
    tensor: int = 1
    """Processes that split every matrix."""
    pipeline: int = 1
    """Stages that split the decoder blocks."""
    engine: str = "1f1b"
    """Order of pipeline work: ``afab`` (all forward, all backward) or ``1f1b`` (one forward, one backward: less
    memory)."""
    tensor_mode: str = "all_reduce"
    """``all_reduce``, or ``reduce_scatter``: activations between blocks are split along the sequence."""
    zero_stage: int = 0
    """0, or 1: optimizer states are split over the replicas (https://arxiv.org/abs/1910.02054)."""
    recompute: bool = False
    """Recompute the activations of each block in the backward pass instead of keeping them."""


@dataclass(frozen=True)
class BatchConfig:
    """What one step sees, and how many steps there are."""

    sequence_length: int = 256
    """Tokens of a sequence."""
    global_batch_size: int = 32
    """Sequences of a step, over all replicas."""
    micro_batch_size: int = 4
    """Sequences that a process computes at once; the rest is accumulated."""
    steps: int = 200
    """Optimizer steps of the run; with 0 it keeps the weights that it begins with."""


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW (https://arxiv.org/abs/1711.05101) and its learning rate."""

    learning_rate: float = 1e-3
    """The highest learning rate, reached at the end of the warmup."""
    min_learning_rate: float = 1e-4
    """What it decays to."""
    schedule: str = "cosine"
    """``cosine`` from the end of the warmup to the last step, or ``wsd`` (warmup, stable, linear decay over the last
    ``decay_steps``, https://arxiv.org/abs/2405.18392)."""
    warmup_steps: int = 20
    """Steps of linear warmup."""
    decay_steps: int | None = None
    """Steps of the decay of ``wsd``; null: a fifth of all."""
    weight_decay: float = 0.1
    """Decay of the weights, decoupled from the gradient."""
    beta1: float = 0.9
    """Decay of the mean of gradients."""
    beta2: float = 0.95
    """Decay of the mean of squared gradients."""
    eps: float = 1e-8
    """Added to the root of the mean of squared gradients."""
    clip_grad: float | None = 1.0
    """Largest norm of the gradient; null: no clipping."""


@dataclass(frozen=True)
class MixtureEntry:
    """A tokenized dataset of the workspace and its share."""

    dataset: str
    """``NAME``, ``NAME@VERSION`` or an id."""
    weight: float = 1.0
    """Its share of the sequences, relative to the other weights."""


@dataclass(frozen=True)
class DataConfig:
    """What is trained on."""

    datasets: tuple[MixtureEntry, ...] = ()
    """Tokenized datasets and their weights; all with the same tokenizer."""


@dataclass(frozen=True)
class ValidationConfig:
    """Loss on held-out documents, per dataset and language."""

    every: int = 100
    """Steps between two validations; there is one at the end as well. 0: none."""
    sequences: int = 64
    """Sequences of each dataset and language that are looked at, the same each time."""


@dataclass(frozen=True)
class CheckpointConfig:
    """Which checkpoints are written, and which are kept."""

    every: int = 100
    """Steps between two checkpoints; the last step always has one. 0: the last alone."""
    keep_last: int = 2
    """How many of the newest are kept."""
    keep_every: int | None = None
    """Checkpoints of steps that this divides are kept for good; null: none but the newest."""


@dataclass(frozen=True)
class GuardConfig:
    """When a run stops by itself, naming the documents of the batch."""

    spike_factor: float | None = 3.0
    """Stop when the loss exceeds its median over the last ``spike_window`` steps this many times; null: never."""
    spike_window: int = 50
    """Steps of that median; nothing is a spike before so many are done."""


@dataclass(frozen=True)
class PretrainConfig:
    """Everything that decides what a pretraining run makes of its data."""

    model: ModelConfig = field(default_factory=ModelConfig)
    """The model."""
    parallelism: ParallelismConfig = field(default_factory=ParallelismConfig)
    """Processes."""
    batch: BatchConfig = field(default_factory=BatchConfig)
    """Sequences and steps."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """Optimizer and learning rate."""
    data: DataConfig = field(default_factory=DataConfig)
    """Datasets."""
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    """Held-out loss."""
    checkpoints: CheckpointConfig = field(default_factory=CheckpointConfig)
    """Checkpoints."""
    guard: GuardConfig = field(default_factory=GuardConfig)
    """Divergence."""
    precision: str = "float32"
    """Of weights and activations: ``float32``, or ``bfloat16`` with float32 master weights and accumulation."""
    seed: int = 0
    """Seed of the initial weights and of the order of the data; recorded with the run."""
