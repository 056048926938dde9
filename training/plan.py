"""What a configuration amounts to: parameters, tokens, memory of a process, operations. Neither torch nor nanotron.

Symbols: V rows of the embedding, L blocks, E width, F width of the MLP, H query heads, K key and value heads, D width
of a head, S sequence length, B micro-batch; t, p, d: processes that split tensors, blocks and the batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from training.config import PretrainConfig
from training.sizes import model_sizes, vocabulary_rows


@dataclass(frozen=True)
class Memory:
    """Bytes of the process that needs the most, by what they are for; estimated."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    """Logits, their log-softmax and their gradient, of a micro-batch."""

    @property
    def total(self) -> int:
        """All of them; libraries, buffers of communication and what allocators waste come on top."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.logits


@dataclass(frozen=True)
class Plan:
    """What a configuration amounts to."""

    parameters: int
    """Of the model, exactly; tied matrices count once."""
    non_embedding_parameters: int
    """Without embedding and output matrix."""
    vocabulary_rows: int
    """Rows of the embedding."""
    processes: int
    steps: int
    tokens_per_step: int
    tokens: int
    """Of the whole run."""
    flops_per_token: int
    """Floating-point operations of forward and backward, without those of recomputation."""
    memory: Memory


def plan(config: PretrainConfig, vocab_size: int, blocks_per_stage: Sequence[int] | None = None) -> Plan:
    """What a checked configuration amounts to.

    Args:
        vocab_size: of the tokenizer.
        blocks_per_stage: decoder blocks of each pipeline stage; None: as even as can be.
    """
    split, batch, layers = config.parallelism, config.batch, config.model.num_hidden_layers
    rows = vocabulary_rows(config.model, vocab_size)
    inner = layers * _block_parameters(config) + config.model.hidden_size
    matrix = rows * config.model.hidden_size
    if blocks_per_stage is None:
        each, more = divmod(layers, split.pipeline)
        blocks_per_stage = [each + (stage < more) for stage in range(split.pipeline)]
    stages = [_memory(config, rows, stage, blocks_per_stage) for stage in range(split.pipeline)]
    tokens = batch.global_batch_size * batch.sequence_length
    return Plan(
        parameters=inner + matrix * (1 if config.model.tie_word_embeddings else 2),
        non_embedding_parameters=inner,
        vocabulary_rows=rows,
        processes=split.data * split.tensor * split.pipeline,
        steps=batch.steps,
        tokens_per_step=tokens,
        tokens=tokens * batch.steps,
        flops_per_token=_flops_per_token(config, rows),
        memory=max(stages, key=lambda memory: memory.total),
    )


def table(plan: Plan) -> list[tuple[str, str]]:
    """A plan as names and values, for people."""
    memory = plan.memory
    return [
        ("parameters", f"{plan.parameters:,}"),
        ("  without embeddings", f"{plan.non_embedding_parameters:,}"),
        ("rows of the embedding", f"{plan.vocabulary_rows:,}"),
        ("processes", f"{plan.processes:,}"),
        ("steps", f"{plan.steps:,}"),
        ("tokens of a step", f"{plan.tokens_per_step:,}"),
        ("tokens in all", f"{plan.tokens:,}"),
        ("  for each parameter", f"{plan.tokens / plan.parameters:,.2f}"),
        ("operations for a token", f"{plan.flops_per_token:.3g}"),
        ("operations in all", f"{plan.flops_per_token * plan.tokens:.3g}"),
        ("memory of a process, about", _size(memory.total)),
        ("  weights", _size(memory.weights)),
        ("  gradients", _size(memory.gradients)),
        ("  optimizer", _size(memory.optimizer)),
        ("  activations", _size(memory.activations)),
        ("  logits", _size(memory.logits)),
    ]


def summary(plan: Plan) -> str:
    """A plan in one line."""
    return (
        f"{plan.parameters:,} parameters, {plan.tokens:,} tokens in {plan.steps:,} steps, {plan.processes} process(es) "
        f"of about {_size(plan.memory.total)}"
    )


def _size(count: int) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"


def _widths(config: PretrainConfig) -> tuple[int, int, int, int]:
    """E, H D, K D, F."""
    sizes = model_sizes(config.model)
    hidden = int(sizes["hidden_size"])
    head = hidden // int(sizes["num_attention_heads"])
    return hidden, hidden, head * int(sizes["num_key_value_heads"]), int(sizes["intermediate_size"])


def _block_matrices(config: PretrainConfig) -> int:
    """Parameters of the matrices of a block: E (H D + 2 K D) + H D E + 3 E F."""
    hidden, query, key, inner = _widths(config)
    return hidden * (query + 2 * key) + query * hidden + 3 * hidden * inner


def _block_parameters(config: PretrainConfig) -> int:
    return _block_matrices(config) + 2 * config.model.hidden_size


def _flops_per_token(config: PretrainConfig, rows: int) -> int:
    """6 N + 12 L H D S (Chowdhery et al. 2022, PaLM, https://arxiv.org/abs/2204.02311, appendix B).

    N are the parameters that are multiplied: those of the blocks' matrices and of the output matrix (tied or not), not
    the embedding, which is looked up. As in the paper attention counts whole, although half of it is masked, and what
    is computed anew in the backward pass does not count.
    """
    hidden, query, _, _ = _widths(config)
    multiplied = config.model.num_hidden_layers * _block_matrices(config) + rows * hidden
    return 6 * multiplied + 12 * config.model.num_hidden_layers * query * config.batch.sequence_length


def _memory(config: PretrainConfig, rows: int, stage: int, blocks_per_stage: Sequence[int]) -> Memory:
    """Memory of a process of a pipeline stage.

    Weights in bfloat16 have a float32 copy in the optimizer, beside Adam's two moments, and float32 gradients, into
    which each micro-batch's are added as they come. ZeRO stage 1 divides what the optimizer has by d
    (https://arxiv.org/abs/1910.02054).
    """
    split, half = config.parallelism, config.precision == "bfloat16"
    first, last = stage == 0, stage == len(blocks_per_stage) - 1
    hidden, tensor, blocks = config.model.hidden_size, split.tensor, blocks_per_stage[stage]
    matrices = blocks * _block_matrices(config)
    # Where the tied matrix is in two stages, each has a copy.
    matrices += rows * hidden * (first + last if not (config.model.tie_word_embeddings and first and last) else 1)
    parameters = matrices // tensor + blocks * 2 * hidden + last * hidden
    shards = split.data if split.zero_stage else 1
    return Memory(
        weights=parameters * (2 if half else 4),
        gradients=parameters * 4,
        optimizer=-(-parameters * (12 if half else 8) // shards),
        activations=_activations(config, stage, blocks),
        logits=_logits(config, rows) if last else 0,
    )


def _activations(config: PretrainConfig, stage: int, blocks: int) -> int:
    """Bytes that a stage keeps for the backward pass.

    By the method of Korthikanti et al. 2022 (https://arxiv.org/abs/2205.05198, section 4), whose block keeps S B E (34
    + 5 H S / E) bytes, for the engine's block. For each token: of each of two norms input, normalised, and result (6 E;
    in bfloat16 its input in float32 as well); query, key and value as they come out of one matrix, of which the value
    is a part, and query and key rotated (2 H D + 3 K D); the attention's result (H D: scaled dot-product attention
    keeps no S x S matrix, and there is no dropout); gate and up, silu of the gate, and their product (4 F). Tensor
    parallelism divides what lies within attention and MLP, with ``reduce_scatter`` the rest too. With recomputation a
    block keeps its input, E, and one block at a time the rest.

    That, for each micro-batch that waits for its backward pass.
    """
    split, batch = config.parallelism, config.batch
    size, upcast = (2, 4) if config.precision == "bfloat16" else (4, 0)
    hidden, query, key, inner = _widths(config)
    outer = split.tensor if split.tensor_mode == "reduce_scatter" else 1
    tokens = batch.micro_batch_size * batch.sequence_length
    within = size * (3 * query + 3 * key + 4 * inner) // split.tensor
    whole = tokens * ((6 * size + 2 * upcast) * hidden // outer + within)
    waiting = _waiting(config, stage)
    if not split.recompute:
        return waiting * blocks * whole
    return waiting * blocks * tokens * size * hidden // outer + whole


def _waiting(config: PretrainConfig, stage: int) -> int:
    """Micro-batches that are forward and not yet backward: with ``afab`` all of a step, with ``1f1b`` as many as there
    are stages from this one to the last."""
    split, batch = config.parallelism, config.batch
    accumulated = batch.global_batch_size // (split.data * batch.micro_batch_size)
    return accumulated if split.engine == "afab" else min(accumulated, split.pipeline - stage)


def _logits(config: PretrainConfig, rows: int) -> int:
    """Bytes of the last stage: log-softmax in float32 of each micro-batch that waits; of one at a time the logits, in
    float32 as well where that is not the precision, and their gradient in float32."""
    split, batch = config.parallelism, config.batch
    each = batch.micro_batch_size * batch.sequence_length * rows // split.tensor
    at_once = 2 + 4 + 4 if config.precision == "bfloat16" else 4 + 4
    return each * (4 * _waiting(config, split.pipeline - 1) + at_once)
