"""What stands in for flash-attn computes what its name says."""

import pytest
import torch
from torch import Tensor

from training.engine import flash_attention

B, S, H, K, D = 2, 7, 4, 2, 6


def numbers(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def lengths() -> Tensor:
    return torch.arange(0, (B + 1) * S, S, dtype=torch.int32)


def test_attention_is_causal_and_grouped() -> None:
    q, k, v = numbers(B * S, H, D), numbers(B * S, K, D), numbers(B * S, K, D + 0)
    out = flash_attention.flash_attn_varlen_func(q, k, v, lengths(), lengths(), S, S, causal=True)
    for batch in range(B):
        rows = slice(batch * S, (batch + 1) * S)
        for head in range(H):
            scores = q[rows, head] @ k[rows, head // (H // K)].T / D**0.5
            weights = scores.masked_fill(torch.ones(S, S).triu(1).bool(), -torch.inf).softmax(-1)
            torch.testing.assert_close(out[rows, head], weights @ v[rows, head // (H // K)])


def test_rotation_turns_each_pair_by_its_angle() -> None:
    q, kv = numbers(B, S, H, D), numbers(B, S, 2, K, D)
    turned, turned_kv = flash_attention.RotaryEmbedding(D, base=100.0, interleaved=True)(q, kv)
    assert torch.equal(turned_kv[:, :, 1], kv[:, :, 1])
    for position in range(S):
        for pair in range(D // 2):
            angle = torch.tensor(position * 100.0 ** (-2 * pair / D))
            rotation = torch.stack((torch.stack((angle.cos(), -angle.sin())), torch.stack((angle.sin(), angle.cos()))))
            at = slice(2 * pair, 2 * pair + 2)
            torch.testing.assert_close(turned[:, position, :, at], q[:, position, :, at] @ rotation.T)
            torch.testing.assert_close(turned_kv[:, position, 0, :, at], kv[:, position, 0, :, at] @ rotation.T)


def test_rotation_keeps_the_type() -> None:
    turns = flash_attention.rotations(S, D, 100.0, torch.device("cpu"))[:, None]
    assert flash_attention.rotate(numbers(B, S, H, D).bfloat16(), turns).dtype == torch.bfloat16


def test_norm() -> None:
    x, weight = numbers(B, S, D), numbers(D)
    expected = x / (x.pow(2).mean(-1, keepdim=True) + 1e-3).sqrt() * weight
    out = flash_attention.layer_norm_fn(x, weight, None, eps=1e-3, is_rms_norm=True)
    torch.testing.assert_close(out, expected)


def test_what_is_not_there_says_so() -> None:
    x, weight = numbers(B, S, D), numbers(D)
    with pytest.raises(NotImplementedError, match="RMSNorm"):
        flash_attention.layer_norm_fn(x, weight, None)
    with pytest.raises(NotImplementedError, match="interleaved"):
        flash_attention.RotaryEmbedding(D)
    q = numbers(B * S - 1, H, D)
    with pytest.raises(NotImplementedError, match="padding"):
        flash_attention.flash_attn_varlen_func(q, q, q, lengths(), lengths(), S, S)
    modules = flash_attention.modules()
    with pytest.raises(NotImplementedError, match="export"):
        modules["flash_attn.bert_padding"].unpad_input(x)
