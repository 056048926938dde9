"""Which process has which part of the model. Pure: neither nanotron nor torch."""

from curation.errors import UserError
from training.config import PretrainConfig
from training.sizes import model_sizes


def block_cost(config: PretrainConfig) -> int:
    """Multiplications of one decoder block for one token: its matrices, and causal attention over half the sequence
    on average."""
    sizes = model_sizes(config.model)
    width = sizes["hidden_size"]
    key_width = width // sizes["num_attention_heads"] * sizes["num_key_value_heads"]
    matrices = width * (2 * width + 2 * key_width + 3 * sizes["intermediate_size"])
    attention = config.batch.sequence_length * width
    return int(matrices + attention)


def stages(config: PretrainConfig, vocab_size: int) -> list[int]:
    """Decoder blocks of each pipeline stage, such that the slowest stage is as fast as can be.

    Every stage has a block at least. The embedding is in the first; norm, output matrix and loss are in the last, which
    therefore gets fewer blocks where the vocabulary is large.

    Raises:
        UserError: there are fewer blocks than stages.
    """
    blocks, count = config.model.num_hidden_layers, config.parallelism.pipeline
    if count == 1:
        return [blocks]
    if blocks < count:
        raise UserError(
            f"parallelism.pipeline: {count} stages, but model.num_hidden_layers is {blocks}, and each stage needs a "
            f"block; use at most {blocks} stages"
        )
    cost, head = block_cost(config), config.model.hidden_size * vocab_size

    def slowest(last: int) -> tuple[int, int]:
        others = -(-(blocks - last) // (count - 1))
        return max(others * cost, last * cost + head), -last

    last = min(range(1, blocks - count + 2), key=slowest)
    each, more = divmod(blocks - last, count - 1)
    # The later of them take the remainder: in 1f1b the earlier ones keep more micro-batches in memory.
    return [each] * (count - 1 - more) + [each + 1] * more + [last]


def micro_batches(config: PretrainConfig) -> int:
    """Micro-batches that each replica computes for one step."""
    return config.batch.global_batch_size // (config.parallelism.data * config.batch.micro_batch_size)


def check_topology(config: PretrainConfig, vocab_size: int, world_size: int) -> None:
    """Refuse what nanotron would only find out after processes have started, or never.

    Raises:
        UserError: the number of processes, a size that tensor parallelism does not divide, a batch that the replicas do
            not, or too few blocks or micro-batches for the pipeline.
    """
    split = config.parallelism
    needed = split.data * split.tensor * split.pipeline
    if world_size != needed:
        raise UserError(
            f"parallelism: data {split.data} x tensor {split.tensor} x pipeline {split.pipeline} = {needed} processes, "
            f"and there are {world_size}; start {needed} with python -m torch.distributed.run --nproc_per_node={needed}"
        )
    sizes = model_sizes(config.model)
    divided = {f"model.{name}": sizes[name] for name in ("num_attention_heads", "num_key_value_heads")}
    divided |= {"model.intermediate_size": sizes["intermediate_size"], "the vocabulary": vocab_size}
    if split.tensor_mode == "reduce_scatter":
        divided["batch.sequence_length"] = config.batch.sequence_length
    for name, size in divided.items():
        if size % split.tensor:
            raise UserError(f"parallelism.tensor: {split.tensor} does not divide {name}, which is {size}")
    at_once = split.data * config.batch.micro_batch_size
    if config.batch.global_batch_size % at_once:
        raise UserError(
            f"batch.global_batch_size: {config.batch.global_batch_size} is no multiple of parallelism.data x "
            f"batch.micro_batch_size = {at_once}"
        )
    stages(config, vocab_size)
    if split.engine == "1f1b" and micro_batches(config) < split.pipeline - 1:
        raise UserError(
            f"parallelism.engine: 1f1b keeps {split.pipeline} stages busy with {split.pipeline - 1} micro-batches or "
            f"more, and there are {micro_batches(config)}; lower batch.micro_batch_size or use afab"
        )
