"""One Llama in two notations: Hugging Face's and nanotron's. Names, layouts, and what of theirs we can represent.

nanotron keeps query, key and value matrices in one, gate and up in another, and pairs neighbouring numbers of a head in
the rotary embedding (0 with 1, 2 with 3), where Hugging Face pairs halves (0 with D / 2). Shapes: R rows of a matrix, E
model width.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from curation.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

EMBEDDING = "model.token_position_embeddings.pp_block.token_embedding.weight"
HEAD = "model.lm_head.pp_block.weight"
SIZES = (
    *("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"),
    *("vocab_size", "tie_word_embeddings", "rope_theta", "rms_norm_eps", "max_position_embeddings", "hidden_act"),
)
TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id")


class Origin(NamedTuple):
    """Where in nanotron's parameters a tensor of Hugging Face's is: rows [start, stop) of one of them."""

    parameter: str
    start: int
    stop: int
    columns: int | None
    """None: it is a vector."""
    heads: int = 0
    """Rotary heads, whose rows are in another order; 0: none."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the tensor."""
        rows = self.stop - self.start
        return (rows,) if self.columns is None else (rows, self.columns)


def origins(model: Mapping[str, Any]) -> dict[str, Origin]:
    """Hugging Face's name of each tensor -> where it is in nanotron's; the tensors of a parameter follow each other.

    Args:
        model: sizes by Hugging Face's names; ``vocab_size`` are the rows of the embedding.
    """
    hidden, inner, rows = model["hidden_size"], model["intermediate_size"], model["vocab_size"]
    heads, groups = model["num_attention_heads"], model["num_key_value_heads"]
    key = hidden // heads * groups
    found = {"model.embed_tokens.weight": Origin(EMBEDDING, 0, rows, hidden)}
    for number in range(model["num_hidden_layers"]):
        theirs, ours = f"model.layers.{number}", f"model.decoder.{number}.pp_block"
        qkv, gate_up = f"{ours}.attn.qkv_proj.weight", f"{ours}.mlp.gate_up_proj.weight"
        found |= {
            f"{theirs}.input_layernorm.weight": Origin(f"{ours}.input_layernorm.weight", 0, hidden, None),
            f"{theirs}.self_attn.q_proj.weight": Origin(qkv, 0, hidden, hidden, heads),
            f"{theirs}.self_attn.k_proj.weight": Origin(qkv, hidden, hidden + key, hidden, groups),
            f"{theirs}.self_attn.v_proj.weight": Origin(qkv, hidden + key, hidden + 2 * key, hidden),
            f"{theirs}.self_attn.o_proj.weight": Origin(f"{ours}.attn.o_proj.weight", 0, hidden, hidden),
            f"{theirs}.post_attention_layernorm.weight": Origin(
                f"{ours}.post_attention_layernorm.weight", 0, hidden, None
            ),
            f"{theirs}.mlp.gate_proj.weight": Origin(gate_up, 0, inner, hidden),
            f"{theirs}.mlp.up_proj.weight": Origin(gate_up, inner, 2 * inner, hidden),
            f"{theirs}.mlp.down_proj.weight": Origin(f"{ours}.mlp.down_proj.weight", 0, hidden, inner),
        }
    found["model.norm.weight"] = Origin("model.final_layer_norm.pp_block.weight", 0, hidden, None)
    if not model["tie_word_embeddings"]:
        found["lm_head.weight"] = Origin(HEAD, 0, rows, hidden)
    return found


def to_hf(parameter: "Tensor", origin: Origin) -> "Tensor":
    """A tensor of Hugging Face's out of nanotron's parameter."""
    part = parameter[origin.start : origin.stop]
    if origin.heads:
        part = part.unflatten(0, (origin.heads, -1, 2)).transpose(1, 2).flatten(0, 2)
    return part.contiguous()


def from_hf(tensor: "Tensor", origin: Origin) -> "Tensor":
    """The rows of nanotron's parameter out of a tensor of Hugging Face's."""
    if origin.heads:
        paired: Tensor = tensor.unflatten(0, (origin.heads, 2, -1)).transpose(1, 2).flatten(0, 2)
        return paired
    return tensor


def pad_rows(matrix_RE: "Tensor", rows: int) -> "Tensor":
    """A matrix of embeddings with more rows, each the mean of those that are there.

    As an output matrix it gives the new rows the mean of all logits, and exp of a mean is at most the mean of exp: no
    new row is likelier than tokens are on average, and all together take at most (new rows) / (all rows).
    """
    import torch

    mean_E = matrix_RE.double().mean(0).to(matrix_RE.dtype)
    return torch.cat((matrix_RE, mean_E.expand(rows - matrix_RE.shape[0], -1)))


def hf_config(model: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    """``config.json`` of a model. ``rope_theta`` is there twice: transformers 5 reads it in ``rope_parameters``, and
    older ones beside the other fields.

    Args:
        dtype: ``float32``, say.
    """
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        **{name: model[name] for name in SIZES},
        **{name: model.get(name) for name in TOKENS},
        "head_dim": model["hidden_size"] // model["num_attention_heads"],
        "rope_parameters": {"rope_theta": model["rope_theta"], "rope_type": "default"},
        "rope_scaling": None,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "mlp_bias": False,
        "pretraining_tp": 1,
        "use_cache": True,
        "dtype": dtype,
        "torch_dtype": dtype,
    }


_MUST_BE: dict[str, tuple[Any, ...]] = {
    "model_type": ("llama",),
    "hidden_act": ("silu", "swish"),
    "attention_bias": (False, None),
    "mlp_bias": (False, None),
    "sliding_window": (None,),
    "quantization_config": (None,),
    "partial_rotary_factor": (1, None),
}


def model_of(config: Mapping[str, Any], where: object) -> dict[str, Any]:
    """The sizes of a model out of Hugging Face's ``config.json``.

    Args:
        where: how messages call it.

    Raises:
        UserError: what we cannot represent; the field is named.
    """
    for name, allowed in _MUST_BE.items():
        default = {"model_type": None, "hidden_act": "silu"}.get(name)
        if config.get(name, default) not in allowed:
            raise UserError(
                f"{where}: {name} is {config.get(name)!r}, and only {allowed[0]!r} can be represented here; this model "
                "cannot be used"
            )
    rope = dict(config.get("rope_parameters") or {})
    for name, scaling in (("rope_scaling", config.get("rope_scaling")), ("rope_parameters", rope)):
        kind = (scaling or {}).get("rope_type", (scaling or {}).get("type", "default"))
        if kind != "default":
            raise UserError(f"{where}: {name} is of type {kind!r}, and only 'default' can be represented here")
    model = {"rms_norm_eps": 1e-6, "tie_word_embeddings": False, "max_position_embeddings": 2048, **config}
    model["rope_theta"] = float(rope.get("rope_theta", config.get("rope_theta") or 10000.0))
    model["hidden_act"] = "silu"
    if model.get("num_key_value_heads") is None:
        model["num_key_value_heads"] = model.get("num_attention_heads")
    for name in SIZES[:6]:
        if not isinstance(model.get(name), int) or model[name] < 1:
            raise UserError(f"{where}: {name} is {model.get(name)!r}, not a whole number above 0; repair it")
    width, rest = divmod(model["hidden_size"], model["num_attention_heads"])
    if rest or config.get("head_dim") not in (None, width):
        raise UserError(
            f"{where}: head_dim is {config.get('head_dim')!r}, and only hidden_size / num_attention_heads = "
            f"{model['hidden_size'] / model['num_attention_heads']:g}, a whole number, can be represented here"
        )
    if width % 2 or model["num_attention_heads"] % model["num_key_value_heads"]:
        raise UserError(f"{where}: num_attention_heads {model['num_attention_heads']} does not fit the other sizes")
    return {name: model[name] for name in SIZES} | {name: config.get(name) for name in TOKENS}
