"""Our Llama, made of nanotron's parts: attention without padding, a loss over tokens, weights drawn alike everywhere.

Names and layouts of parameters are those of nanotron's own Llama, so that its checkpoints and tools fit.

Shapes: B batch, S sequence, E model width, H query heads, K key and value heads, A = H + 2 K, D width of a head,
V vocabulary (heads and vocabulary: the part of this tensor rank).
"""

import functools
import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from nanotron.config import Config, LlamaConfig, ParallelismArgs
from nanotron.models.llama import MLP, Embedding, LlamaForTraining
from nanotron.nn.layer_norm import TritonRMSNorm
from nanotron.parallel import ParallelContext
from nanotron.parallel.tensor_parallel.functional import sharded_cross_entropy
from nanotron.parallel.tensor_parallel.nn import TensorParallelColumnLinear, TensorParallelRowLinear
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from training.engine.flash_attention import rotate, rotations


@functools.lru_cache(maxsize=4)
def _turns(length: int, width: int, theta: float, device: torch.device) -> Tensor:
    """Rotations of each position, [S, 1, 1, D / 2], for all blocks; no buffer, which checkpoints refuse."""
    return rotations(length, width, theta, device)[:, None, None]


class Sight:
    """What attention sees in the micro-batch that is computed: shared by the blocks of a rank, as nanotron's pipeline
    passes on nothing but what it may have to send."""

    mask_B1SS: Tensor | None = None
    """True where a query sees a key; None: all before it, and itself."""


def sight_of(segments_BS: Tensor) -> Tensor:
    """Segments [B, S] -> bool [B, 1, S, S]: each token sees those before it, and itself, in its own segment.

    Positions go on from one segment to the next: the rotary embedding depends on their differences alone.
    """
    same_BSS = segments_BS[:, :, None] == segments_BS[:, None, :]
    return same_BSS.tril()[:, None]


class Attention(nn.Module):
    """Causal self-attention of whole sequences.

    nanotron's own takes padding out of every batch in every block; here sequences are always full, and what is not to
    be learned is masked in the loss.
    """

    def __init__(self, config: LlamaConfig, parallel: ParallelismArgs, tensor_group: Any, theta: float) -> None:
        super().__init__()
        width = config.hidden_size // config.num_attention_heads
        parts = (config.num_attention_heads * width, *[config.num_key_value_heads * width] * 2)
        self.qkv_proj = TensorParallelColumnLinear(
            config.hidden_size, sum(parts), pg=tensor_group, mode=parallel.tp_mode, bias=False, contiguous_chunks=parts
        )
        self.o_proj = TensorParallelRowLinear(
            parts[0], config.hidden_size, pg=tensor_group, mode=parallel.tp_mode, bias=False
        )
        self.heads = config.num_attention_heads // tensor_group.size()
        self.key_heads = config.num_key_value_heads // tensor_group.size()
        self.width, self.theta = width, theta

    def forward(self, hidden_SBE: Tensor, mask_B1SS: Tensor | None = None) -> Tensor:
        """hidden [S, B, E] -> [S, B, E]; with ``reduce_scatter`` S is this rank's part of the sequence."""
        qkv_SBAD = self.qkv_proj(hidden_SBE).unflatten(-1, (-1, self.width))
        qk_SBAD, v_SBKD = qkv_SBAD.split((self.heads + self.key_heads, self.key_heads), 2)
        qk_SBAD = rotate(qk_SBAD, _turns(qk_SBAD.shape[0], self.width, self.theta, qk_SBAD.device))
        q_SBHD, k_SBKD = qk_SBAD.split((self.heads, self.key_heads), 2)
        q_BHSD, k_BKSD, v_BKSD = (x.permute(1, 2, 0, 3) for x in (q_SBHD, k_SBKD, v_SBKD))
        out_BHSD = functional.scaled_dot_product_attention(
            q_BHSD,
            k_BKSD,
            v_BKSD,
            attn_mask=mask_B1SS,
            is_causal=mask_B1SS is None,
            enable_gqa=self.heads != self.key_heads,
        )
        result: Tensor = self.o_proj(out_BHSD.permute(2, 0, 1, 3).flatten(2))
        return result


class Block(nn.Module):
    """A decoder block: attention and gated MLP, each behind a norm and beside the residual stream."""

    def __init__(
        self,
        config: LlamaConfig,
        parallel: ParallelismArgs,
        tensor_group: Any,
        theta: float,
        recompute: bool,
        sight: Sight,
    ) -> None:
        super().__init__()
        self.sight = sight
        self.input_layernorm = TritonRMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.attn = Attention(config, parallel, tensor_group, theta)
        self.post_attention_layernorm = TritonRMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.mlp = MLP(config, parallel, tensor_group)
        self.recompute = recompute

    def forward(self, hidden_states: Tensor) -> dict[str, Tensor]:
        """hidden [S, B, E] -> {"hidden_states": [S, B, E]}, as nanotron's pipeline passes it on."""
        mask_B1SS = self.sight.mask_B1SS  # now: when it is computed again, another micro-batch may be at work
        if self.recompute and torch.is_grad_enabled():  # no dropout anywhere, so no random state to keep
            return {
                "hidden_states": checkpoint(
                    self._forward, hidden_states, mask_B1SS, use_reentrant=False, preserve_rng_state=False
                )
            }
        return {"hidden_states": self._forward(hidden_states, mask_B1SS)}

    def _forward(self, hidden_SBE: Tensor, mask_B1SS: Tensor | None) -> Tensor:
        hidden_SBE = hidden_SBE + self.attn(self.input_layernorm(hidden_SBE), mask_B1SS)
        mlp_SBE: Tensor = self.mlp(self.post_attention_layernorm(hidden_SBE))["hidden_states"]
        return hidden_SBE + mlp_SBE


class TokenEmbedding(Embedding):
    """nanotron's embedding without the mask, which it keeps for text generation."""

    def forward(self, input_ids: Tensor) -> dict[str, Tensor]:
        """ids [B, S] -> {"input_embeds": [S, B, E]}; with ``reduce_scatter`` this rank's part of S."""
        return {"input_embeds": self.token_embedding(input_ids.transpose(0, 1))}


class TokenLoss(nn.Module):
    """The sum of the losses of all tokens that the mask names, each times its weight there, times ``scale``.

    nanotron's own is the mean over a micro-batch, and a step's is the mean of those: tokens of a sparsely masked
    micro-batch count more, and one without any gives NaN. Here the trainer sets ``scale`` for each step such that
    the step's loss is the mean over all tokens of its global batch, however that is divided.

    Where ``sides_BS`` names pairs of answers, ``pair_scale`` times the sum of their squared differences is added: of
    the mean log-likelihoods of a token in each. Sides 2k + 1 and 2k + 2 are the pair k; 0 is in none.
    """

    def __init__(self, tensor_group: Any) -> None:
        super().__init__()
        self.tensor_group = tensor_group
        self.scale, self.pair_scale = 1.0, 0.0
        self.sides_BS: Tensor | None = None
        self.differences = 0.0
        """Sum of the squared differences since the trainer has set it to 0."""

    def forward(self, sharded_logits: Tensor, label_ids: Tensor, label_mask: Tensor) -> dict[str, Tensor]:
        """logits [S, B, V], labels and their mask or weights [B, S] -> {"loss": scalar}, in float32."""
        labels_SB = label_ids.transpose(0, 1).contiguous()
        # In one process too: it makes the gradient in place, more than twice as fast as PyTorch's on a CPU.
        loss_SB = sharded_cross_entropy(sharded_logits, labels_SB, group=self.tensor_group, dtype=torch.float)
        weight_SB = label_mask.transpose(0, 1)
        weighted_SB = loss_SB if weight_SB.dtype == torch.bool else loss_SB * weight_SB
        total = torch.where(weight_SB > 0, weighted_SB, loss_SB.new_zeros(())).sum() * self.scale
        if self.pair_scale and self.sides_BS is not None:
            squares = self._differences(loss_SB, weight_SB > 0, self.sides_BS.transpose(0, 1))
            self.differences += float(squares.detach())
            total = total + squares * self.pair_scale
        return {"loss": total}

    @staticmethod
    def _differences(loss_SB: Tensor, learned_SB: Tensor, sides_SB: Tensor) -> Tensor:
        sides_N, loss_N = sides_SB[learned_SB], loss_SB[learned_SB]
        count = int(sides_SB.max()) + 1
        sums = loss_N.new_zeros(count).index_add(0, sides_N, loss_N)
        tokens = loss_N.new_zeros(count).index_add(0, sides_N, torch.ones_like(loss_N))
        means_P2 = (sums / tokens.clamp(min=1))[1:].unflatten(0, (-1, 2))
        squares: Tensor = (means_P2[:, 0] - means_P2[:, 1]).square().sum()
        return squares


class Llama(LlamaForTraining):
    """nanotron's Llama with the parts above, divided into given pipeline stages.

    Args:
        blocks_per_stage: decoder blocks of each pipeline stage.
        theta: base of the rotary embedding, for which nanotron has no setting.
        recompute: compute the activations of a block anew in the backward pass.
    """

    def __init__(
        self,
        config: LlamaConfig,
        parallel_context: ParallelContext,
        parallel_config: ParallelismArgs,
        *,
        blocks_per_stage: Sequence[int],
        theta: float,
        recompute: bool,
        device: torch.device,
    ) -> None:
        super().__init__(config=config, parallel_context=parallel_context, parallel_config=parallel_config)
        model, group = self.model, parallel_context.tp_pg
        model.p2p.device = device
        model.token_position_embeddings.module_builder = TokenEmbedding
        model.token_position_embeddings.module_input_keys = {"input_ids"}
        self.sight = Sight()
        for block in model.decoder:
            # A builder of its own for each block, by which ``get_block_compute_costs`` tells them apart.
            block.module_builder = functools.partial(
                Block, config, parallel_config, group, theta, recompute, self.sight
            )
            block.module_kwargs = {}
            block.module_input_keys = block.module_output_keys = {"hidden_states"}
        self.loss.module_builder = TokenLoss
        self.loss.module_kwargs = {"tensor_group": group}
        self.blocks_per_stage = blocks_per_stage

    def forward(
        self,
        input_ids: Any,
        label_ids: Any,
        label_mask: Any,
        segments: Tensor | None = None,
        label_sides: Tensor | None = None,
    ) -> dict[str, Any]:
        """ids, labels and their mask or weights, [B, S] each -> {"loss": scalar}.

        On ranks of other pipeline stages each of them is a ``TensorPointer`` to the stage that has it. Every stage has
        the segments of its tokens, where there are several; the last has the sides of pairs (``TokenLoss``).
        """
        model = self.model
        self.sight.mask_B1SS = None if segments is None else sight_of(segments)
        if hasattr(self.loss, "pp_block"):
            self.loss.pp_block.sides_BS = label_sides
        hidden = model.token_position_embeddings(input_ids=input_ids)["input_embeds"]
        for block in model.decoder:
            hidden = block(hidden_states=hidden)["hidden_states"]
        hidden = model.final_layer_norm(input=hidden)["hidden_states"]
        logits = model.lm_head(x=hidden)["logits"]
        return {"loss": self.loss(sharded_logits=logits, label_ids=label_ids, label_mask=label_mask)["loss"]}

    def get_block_compute_costs(self) -> dict[Callable[..., Any], int]:
        """Costs by which nanotron divides the model into ``blocks_per_stage``.

        It begins a new stage behind the block with which the costs so far exceed that stage's share of all. Where only
        the last block of each stage but the final one costs anything, that is behind each of these.
        """
        ends = [sum(self.blocks_per_stage[: stage + 1]) - 1 for stage in range(len(self.blocks_per_stage) - 1)]
        return {self.model.decoder[index].module_builder: 1 for index in ends}

    @torch.no_grad()
    def init_model_randomly(self, config: Config) -> None:
        """Draw the weights: the same for one seed whatever the topology.

        nanotron's own draws each shard from the same seed, and so gives all tensor ranks identical ones, which stay
        identical. Here each parameter is drawn whole, from a seed of its own, and each rank keeps its part. Normal
        with ``init_std``, divided by sqrt(2 layers) where a matrix writes to the residual stream (Radford et al. 2019,
        "Language models are unsupervised multitask learners", section 2.3); norms are 1.
        """
        std = config.model.init_method.std
        for name, parameter in self.named_parameters():
            if not parameter.is_sharded:  # norms are all that is not
                parameter.fill_(1.0)
                continue
            module = self.get_submodule(name.rpartition(".")[0])
            scale = (
                std / math.sqrt(2 * self.config.num_hidden_layers)
                if isinstance(module, TensorParallelRowLinear)
                else std
            )
            if parameter.is_tied:
                name = parameter.get_tied_info().get_full_name_from_model(self)
            info = parameter.get_sharded_info()
            whole = _draw(info.unsharded_shape, scale, f"{config.general.seed}/{name}")
            for pair in info.local_global_slices_pairs:
                parameter[pair.local_slices] = whole[pair.global_slices].to(parameter)


def _draw(shape: Sequence[int], std: float, key: str) -> Tensor:
    """Normal float32 numbers that depend on the key alone; on the CPU, so that they are the same on every machine."""
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:7], "big")
    return torch.empty(tuple(shape)).normal_(0.0, std, generator=torch.Generator().manual_seed(seed))
