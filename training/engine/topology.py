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
