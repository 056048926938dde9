"""Plans: parameters as transformers counts them; operations and memory by hand and against PyTorch's own accounts."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from training.config import PRECISIONS, BatchConfig, ModelConfig, ParallelismConfig, PretrainConfig
from training.plan import plan, table
from training.sizes import model_sizes, vocabulary_rows

ROOT = Path(__file__).resolve().parents[2]
MODELS: dict[str, dict[str, Any]] = {
    "default": {},
    "untied": {"tie_word_embeddings": False},
    "grouped": {"num_attention_heads": 8, "num_key_value_heads": 2, "num_hidden_layers": 3},
    "one key head, untied": {"num_key_value_heads": 1, "tie_word_embeddings": False, "hidden_size": 64},
    "odd widths": {"hidden_size": 72, "num_attention_heads": 6, "intermediate_size": 100, "vocab_multiple": 1},
}


def of(model: dict[str, Any], **sections: Any) -> PretrainConfig:
    return PretrainConfig(model=ModelConfig(**model), **sections)


def theirs(config: PretrainConfig, vocab_size: int) -> Any:
    sizes = model_sizes(config.model)
    names = {field.name for field in dataclasses.fields(ModelConfig)} & sizes.keys()
    facts = {name: sizes[name] for name in names - {"rope_theta", "init_std"}}
    with torch.device("meta"):
        return LlamaForCausalLM(LlamaConfig(vocab_size=vocabulary_rows(config.model, vocab_size), **facts))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("vocab_size", [256, 1001])
def test_parameters_are_those_of_transformers(name: str, vocab_size: int) -> None:
    config = of(MODELS[name])
    model = theirs(config, vocab_size)
    found = plan(config, vocab_size)
    assert found.parameters == sum(each.numel() for each in model.parameters())
    outside = {id(model.model.embed_tokens.weight), id(model.lm_head.weight)}
    assert found.non_embedding_parameters == sum(e.numel() for e in model.parameters() if id(e) not in outside)


def test_parameters_of_a_published_model() -> None:
    """SmolLM2-135M (https://huggingface.co/HuggingFaceTB/SmolLM2-135M): 134,515,008."""
    model = {
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
    }
    assert plan(of(model), 49152).parameters == 134_515_008


def test_rows_are_rounded_up_once() -> None:
    model = ModelConfig()
    assert [vocabulary_rows(model, size) for size in (1, 64, 65, 1000)] == [64, 64, 128, 1024]
    assert all(
        vocabulary_rows(model, vocabulary_rows(model, size)) == vocabulary_rows(model, size) for size in range(1, 300)
    )
    assert plan(of({}), 1000) == plan(of({}), 1024)


def test_tokens() -> None:
    found = plan(of({}, batch=BatchConfig(sequence_length=128, global_batch_size=6, micro_batch_size=2, steps=50)), 300)
    assert (found.tokens_per_step, found.tokens, found.steps) == (768, 38_400, 50)


@pytest.mark.parametrize("name", MODELS)
def test_operations_are_those_of_the_matrices(name: str) -> None:
    """PyTorch counts each matrix product of a forward pass, two operations for a multiplication; backward costs twice
    that. Attention here is counted whole, so that the mask makes no difference."""
    from torch.utils.flop_counter import FlopCounterMode

    length = 48
    config = of(MODELS[name], batch=BatchConfig(sequence_length=length))
    sizes = theirs(config, 300).config
    sizes._attn_implementation = "eager"
    model = LlamaForCausalLM(sizes)
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        model(torch.zeros(1, length, dtype=torch.long))
    per_token = 3 * counted.get_total_flops() / length
    assert plan(config, 300).flops_per_token == per_token


def test_memory_of_one_process() -> None:
    config = of({}, batch=BatchConfig(global_batch_size=4, micro_batch_size=4))
    found = plan(config, 1000)
    assert found.memory.weights == 4 * found.parameters
    assert found.memory.gradients == 4 * found.parameters
    assert found.memory.optimizer == 8 * found.parameters
    half = plan(dataclasses.replace(config, precision="bfloat16"), 1000)
    assert half.memory.weights == 2 * found.parameters
    assert half.memory.optimizer == 12 * found.parameters
    assert 0.5 < half.memory.activations / found.memory.activations < 0.65  # norms compute in float32
    assert found.memory.total == sum(dataclasses.asdict(found.memory).values())


def test_memory_is_divided_as_the_model_is() -> None:
    batch = BatchConfig(global_batch_size=32, micro_batch_size=2)

    def memory(**split: Any) -> Any:
        return plan(of({}, batch=batch, parallelism=ParallelismConfig(**split)), 1000).memory

    alone = memory()
    assert memory(data=2).weights == alone.weights
    assert memory(data=2, zero_stage=1).optimizer == alone.optimizer // 2
    two = memory(tensor=2)
    assert 0.5 <= two.weights / alone.weights < 0.51  # norms are not divided
    assert two.logits == alone.logits // 2
    assert memory(tensor=2, tensor_mode="reduce_scatter").activations == alone.activations // 2 < two.activations
    assert memory(recompute=True).activations < alone.activations
    assert memory(engine="afab").activations == 16 * alone.activations
    assert memory(pipeline=2).weights < alone.weights
    assert memory(pipeline=4, engine="afab").activations > memory(pipeline=4).activations


KEPT = """
import sys, torch
from training.config import PRECISIONS, BatchConfig, ModelConfig, PretrainConfig
from training.engine.door import build_trainer
from training.plan import _activations

sizes = ModelConfig(hidden_size=128, num_hidden_layers=1, num_key_value_heads=int(sys.argv[2]))
batch = BatchConfig(sequence_length=256, global_batch_size=2, micro_batch_size=2, steps=50)
config = PretrainConfig(model=sizes, batch=batch, precision=sys.argv[1])
model = build_trainer(config, 512).unwrapped_model
block, kept = model.model.decoder[0].pp_block, {}
weights = {each.untyped_storage().data_ptr() for each in block.parameters()}

def keep(tensor):
    storage = tensor.untyped_storage()
    if storage.data_ptr() not in weights:
        kept[storage.data_ptr()] = storage
    return tensor

hidden_SBE = torch.randn(256, 2, 128, dtype=getattr(torch, sys.argv[1]), requires_grad=True)
with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
    block(hidden_SBE)
print(sum(storage.nbytes() for storage in kept.values()), _activations(config, 0, 1))
"""


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("heads", [4, 1])
def test_activations_are_what_autograd_keeps(precision: str, heads: int) -> None:
    """Of a block of the engine; the tables of the rotary embedding and the like are the rest."""
    pytest.importorskip("training.engine", reason="the engine is not there")
    line = [sys.executable, "-c", KEPT, precision, str(heads)]
    done = subprocess.run(line, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    kept, planned = map(int, done.stdout.split()[-2:])
    assert 0.97 < planned / kept <= 1


@pytest.mark.parametrize("name", MODELS)
def test_the_fullest_stage_counts(name: str) -> None:
    """Stages have all parameters between them, and a copy of a tied matrix in the first and the last."""
    from training.plan import _memory

    config = of(MODELS[name], parallelism=ParallelismConfig(pipeline=2))
    layers = config.model.num_hidden_layers
    rows = vocabulary_rows(config.model, 1000)
    weights = [_memory(config, rows, stage, [layers - 1, 1]).weights // 4 for stage in (0, 1)]
    copies = rows * config.model.hidden_size if config.model.tie_word_embeddings else 0
    assert sum(weights) == plan(config, 1000).parameters + copies


def test_the_table_has_what_is_known() -> None:
    found = dict(table(plan(of({}), 1000)))
    assert found["parameters"] == f"{plan(of({}), 1000).parameters:,}"
    assert {"tokens in all", "memory of a process, about", "  activations"} <= found.keys()
