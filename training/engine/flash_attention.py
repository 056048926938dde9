"""What nanotron 0.4 imports of flash-attn, on plain PyTorch, for machines without it.

Our own model (``training.engine.model``) needs only ``layer_norm_fn``. Training with nanotron's own Llama, against
which ours is measured, needs ``flash_attn_varlen_func`` and ``RotaryEmbedding`` as well. What only its text generation
needs says that it is not here.

Shapes: B batch, S sequence, H heads, K key and value heads, D width of a head, N = B S.
"""

import importlib.machinery
import types
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.nn import functional


def flash_attn_varlen_func(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seqlens_q: Tensor,
    cu_seqlens_k: Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    return_attn_probs: bool = False,
) -> Tensor:
    """Attention over sequences laid end to end: q [N, H, D], k and v [N, K, D], result [N, H, D].

    Raises:
        NotImplementedError: sequences of different lengths. In training all have the same: padding is hidden by the
            mask of the labels.
    """
    batch = cu_seqlens_q.numel() - 1
    if q.shape[0] != batch * max_seqlen_q or k.shape[0] != q.shape[0] or return_attn_probs:
        raise NotImplementedError("only sequences without padding, and without attention weights returned")
    q_BHSD, k_BKSD, v_BKSD = (x.unflatten(0, (batch, -1)).transpose(1, 2) for x in (q, k, v))
    gqa = q.shape[1] != k.shape[1]
    out_BHSD = functional.scaled_dot_product_attention(
        q_BHSD, k_BKSD, v_BKSD, dropout_p=dropout_p, is_causal=causal, scale=softmax_scale, enable_gqa=gqa
    )
    return out_BHSD.transpose(1, 2).flatten(0, 1)


class RotaryEmbedding(nn.Module):
    """Rotary position embedding (https://arxiv.org/abs/2104.09864) of queries and keys, angles in float32."""

    def __init__(self, dim: int, base: float = 10000.0, interleaved: bool = False) -> None:
        super().__init__()
        if not interleaved:
            raise NotImplementedError("only interleaved pairs, as nanotron's Llama has them")
        self.dim, self.base = dim, base

    def forward(self, q_BSHD: Tensor, kv: Tensor) -> tuple[Tensor, Tensor]:
        """q [B, S, H, D] and kv [B, S, 2, K, D] with queries and keys rotated by their position."""
        turns_SF = rotations(q_BSHD.shape[1], self.dim, self.base, q_BSHD.device)[:, None]
        k_BSKD, v_BSKD = kv.unbind(2)
        return rotate(q_BSHD, turns_SF), torch.stack((rotate(k_BSKD, turns_SF), v_BSKD), 2)


def rotations(length: int, width: int, base: float, device: torch.device) -> Tensor:
    """exp(i position base^(-2f/width)) for each position and pair f: complex64 [length, width / 2]."""
    frequencies_F = base ** (-torch.arange(0, width, 2, device=device, dtype=torch.float32) / width)
    angles_SF = torch.outer(torch.arange(length, device=device, dtype=torch.float32), frequencies_F)
    return torch.polar(torch.ones_like(angles_SF), angles_SF)


def rotate(x: Tensor, turns: Tensor) -> Tensor:
    """Turn each pair (2f, 2f + 1) of the last dimension; ``turns`` is complex and broadcast to the pairs."""
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turns).flatten(-2).to(x.dtype)


def layer_norm_fn(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    residual: Tensor | None = None,
    eps: float = 1e-6,
    dropout_p: float = 0.0,
    prenorm: bool = False,
    residual_in_fp32: bool = False,
    is_rms_norm: bool = False,
    return_dropout_mask: bool = False,
) -> Tensor:
    """RMSNorm (https://arxiv.org/abs/1910.07467) over the last dimension, computed in float32.

    Raises:
        NotImplementedError: anything else that flash-attn's function can do and Llama does not ask for.
    """
    if not is_rms_norm or bias is not None or residual is not None or prenorm or dropout_p or return_dropout_mask:
        raise NotImplementedError("only RMSNorm without bias, residual and dropout")
    return functional.rms_norm(x, weight.shape, weight, eps)


def _generation_only(*args: Any, **kwargs: Any) -> NoReturn:
    raise NotImplementedError("nanotron's text generation needs flash-attn; export the checkpoint and use transformers")


def modules() -> dict[str, types.ModuleType]:
    """Dotted name -> module, for ``sys.modules``."""
    content: dict[str, dict[str, Any]] = {
        "flash_attn": {},
        "flash_attn.flash_attn_interface": {
            "flash_attn_varlen_func": flash_attn_varlen_func,
            "flash_attn_with_kvcache": _generation_only,
        },
        "flash_attn.bert_padding": {"unpad_input": _generation_only, "pad_input": _generation_only},
        "flash_attn.layers": {},
        "flash_attn.layers.rotary": {"RotaryEmbedding": RotaryEmbedding},
        "flash_attn.ops": {},
        "flash_attn.ops.triton": {},
        "flash_attn.ops.triton.layer_norm": {"layer_norm_fn": layer_norm_fn},
    }
    made: dict[str, types.ModuleType] = {}
    for name, attributes in content.items():
        module = types.ModuleType(name, "flash-attn as far as nanotron needs it, on PyTorch")
        module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
        module.__path__ = []
        vars(module).update(attributes)
        made[name] = module
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(made[parent], child, module)
    return made
