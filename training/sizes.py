"""The model's sizes, with what null stands for filled in. Pure: neither torch nor nanotron."""

from dataclasses import asdict
from typing import Any

from training.config import ModelConfig


def model_sizes(model: ModelConfig) -> dict[str, Any]:
    """The fields of a model's configuration by their Hugging Face names, none of them null; without
    ``vocab_multiple``, which is no size of the model."""
    rounded_up = -(-8 * model.hidden_size // (3 * 64)) * 64
    sizes = asdict(model)
    del sizes["vocab_multiple"]
    if model.intermediate_size is None:
        sizes["intermediate_size"] = rounded_up
    if model.num_key_value_heads is None:
        sizes["num_key_value_heads"] = model.num_attention_heads
    return sizes


def vocabulary_rows(model: ModelConfig, vocab_size: int) -> int:
    """Rows of the embedding: the tokenizer's vocabulary, rounded up to a multiple of ``model.vocab_multiple``.

    The same for every topology, so that a checkpoint fits any. The rows beyond the vocabulary belong to no token: none
    is ever an input or a label, and training makes their probabilities small, as those of tokens that never occur.
    (Of a number of rows it is that number.)
    """
    return -(-vocab_size // model.vocab_multiple) * model.vocab_multiple
