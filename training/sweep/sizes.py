"""Width and depth of a model as one number each, with all other sizes in keeping. Pure."""

from typing import Any

from curation.errors import UserError
from training.config import ModelConfig


def with_width(plain: dict[str, Any], base: ModelConfig, width: int) -> None:
    """Set the sizes of a model of another width: heads stay as wide as they are in ``base``, so that there are more or
    fewer of them; of key and value heads and of the MLP the ratios stay, as far as whole numbers go.

    Args:
        plain: the model's section, changed in place.

    Raises:
        UserError: the width is no multiple of a head's.
    """
    head = base.hidden_size // base.num_attention_heads
    if width % head:
        raise UserError(f"width: {width} is no multiple of {head}, which is how wide a head of base is")
    heads = width // head
    plain["hidden_size"], plain["num_attention_heads"] = width, heads
    if base.num_key_value_heads is not None:
        most = max(1, heads * base.num_key_value_heads // base.num_attention_heads)
        plain["num_key_value_heads"] = max(n for n in range(1, most + 1) if heads % n == 0)
    if base.intermediate_size is not None:
        inner = base.intermediate_size * width / base.hidden_size
        plain["intermediate_size"] = max(64, round(inner / 64) * 64)


def with_depth(plain: dict[str, Any], depth: int) -> None:
    """Set the number of blocks of a model, ``plain``, in place."""
    plain["num_hidden_layers"] = depth
