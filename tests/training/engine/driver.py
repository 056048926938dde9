"""Started by torchrun: does the jobs of a JSON file one after another, and rank 0 writes what came of them.

A job is ``{"name": ..., "do": name of a function below, "config": fields that differ from SMALL, ...}``.
"""

import copy
import errno
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from curation.errors import UserError
from training.command import leave
from training.config import BatchConfig, ModelConfig, OptimizerConfig, ParallelismConfig, PretrainConfig
from training.endings import FirstRankFailed
from training.engine import checkpoint, cpu
from training.engine.batches import micro_batch
from training.engine.checkpoint import save_atomically
from training.engine.door import build_trainer
from training.engine.processes import start_processes, stop_processes
from training.sizes import model_sizes

VOCABULARY = 512
SECTIONS: dict[str, Callable[..., Any]] = {
    "model": ModelConfig,
    "batch": BatchConfig,
    "optimizer": OptimizerConfig,
    "parallelism": ParallelismConfig,
}
SMALL: dict[str, Any] = {
    "model": {"hidden_size": 64, "num_key_value_heads": 2, "intermediate_size": 128, "tie_word_embeddings": False},
    "batch": {"sequence_length": 32, "global_batch_size": 8, "micro_batch_size": 2, "steps": 20},
    "optimizer": {"learning_rate": 5e-3, "warmup_steps": 3},
    "seed": 3,
}


def configuration(changes: dict[str, Any]) -> PretrainConfig:
    fields: dict[str, Any] = {
        name: make(**{**SMALL.get(name, {}), **changes.get(name, {})}) for name, make in SECTIONS.items()
    }
    return PretrainConfig(**fields, precision=changes.get("precision", "float32"), seed=changes.get("seed", 3))


def samples(step: int, config: PretrainConfig, masks: str) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Tokens and mask of a step's global batch, [G, S + 1]; few different tokens, so that there is much to learn."""
    generator = torch.Generator().manual_seed(1000 + step)
    shape = (config.batch.global_batch_size, config.batch.sequence_length + 1)
    ids = torch.randint(0, 64, shape, generator=generator)
    if masks == "none":
        return ids, None
    mask = torch.rand(shape, generator=generator) < torch.linspace(0.1, 0.9, shape[0])[:, None]
    mask[: 2 if masks == "uneven" else None] = False  # a micro-batch, or all, without anything to learn
    return ids, mask


def batches(trainer: Any, step: int, config: PretrainConfig, masks: str) -> Iterator[dict[str, Any]]:
    """This replica's micro-batches: all replicas' first ones come first in the global batch."""
    ids, mask = samples(step, config, masks)
    size, stride = config.batch.micro_batch_size, config.parallelism.data * config.batch.micro_batch_size
    for at in range(trainer.replica * size, ids.shape[0], stride):
        yield micro_batch(ids[at : at + size], None if mask is None else mask[at : at + size], trainer)


def train(job: dict[str, Any]) -> dict[str, Any]:
    config = configuration(job.get("config", {}))
    load = Path(job["load"]) if "load" in job else None
    trainer = build_trainer(config, VOCABULARY, eos_id=0, load=load, weights_only=job.get("weights_only", False))
    shards = digests(trainer)
    masks, results = job.get("masks", "none"), []
    done = trainer.steps_done
    for step in range(done + 1, job.get("steps", 20) + 1):
        results.append(trainer.step(step, batches(trainer, step, config, masks)))
        if step == job.get("save_at"):
            save_atomically(trainer, Path(job["save"]), {"tag": job["name"]})
    evaluated = trainer.evaluate(batches(trainer, 99, config, masks))
    trainer.close()
    return {
        "from": done,
        "loss": [each.loss for each in results],
        "norm": [each.grad_norm for each in results],
        "rate": [each.learning_rate for each in results],
        "tokens": [each.tokens for each in results],
        "seconds": sum(each.seconds for each in results),
        "evaluated": evaluated,
        "shards": shards,
    }


def digests(trainer: Any) -> dict[str, list[float]]:
    """Matrix of this pipeline stage and replica -> sum of each tensor rank's shard, in order."""
    group, found = trainer.parallel_context.tp_pg, {}
    for name, parameter in trainer.unwrapped_model.named_parameters():
        if parameter.is_sharded:
            mine = parameter.detach().double().sum()
            sums = [torch.zeros_like(mine) for _ in range(group.size())]
            torch.distributed.all_gather(sums, mine, group=group)
            found[name] = [float(each) for each in sums]
    return found


def transformers_agree(job: dict[str, Any]) -> dict[str, Any]:
    """Loss and gradient norm of the first step, and of a transformers Llama with the same weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = configuration(job.get("config", {}))
    trainer = build_trainer(config, VOCABULARY)
    ours = {name: each.detach().clone() for name, each in trainer.unwrapped_model.state_dict().items()}
    model = config.model
    theirs = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=model.hidden_size,
            intermediate_size=model_sizes(model)["intermediate_size"],
            num_hidden_layers=model.num_hidden_layers,
            num_attention_heads=model.num_attention_heads,
            num_key_value_heads=model.num_key_value_heads,
            tie_word_embeddings=model.tie_word_embeddings,
            rms_norm_eps=model.rms_norm_eps,
            rope_parameters={"rope_type": "default", "rope_theta": model.rope_theta},
        )
    )
    theirs.load_state_dict(as_transformers(ours, model), strict=False)
    ids, mask = samples(1, config, job.get("masks", "none"))
    labels = ids if mask is None else ids.where(mask, -100)
    loss = theirs(ids, labels=labels).loss
    loss.backward()
    norm = torch.nn.utils.get_total_norm([each.grad for each in theirs.parameters() if each.grad is not None])
    result = trainer.step(1, batches(trainer, 1, config, job.get("masks", "none")))
    trainer.close()
    return {"ours": [result.loss, result.grad_norm], "theirs": [float(loss.detach()), float(norm)]}


def as_transformers(state: dict[str, torch.Tensor], model: ModelConfig) -> dict[str, torch.Tensor]:
    """Weights by their Hugging Face names; rotary pairs are (0, 1) and so on in nanotron, (0, D/2) there."""
    heads, key_heads = model.num_attention_heads, model.num_key_value_heads or model.num_attention_heads
    width = model.hidden_size // heads

    def halves(weight: torch.Tensor, count: int) -> torch.Tensor:
        return weight.view(count, -1, 2, weight.shape[-1]).transpose(1, 2).reshape(weight.shape)

    out = {
        "model.embed_tokens.weight": state["model.token_position_embeddings.pp_block.token_embedding.weight"],
        "model.norm.weight": state["model.final_layer_norm.pp_block.weight"],
        "lm_head.weight": state["model.lm_head.pp_block.weight"],
    }
    for layer in range(model.num_hidden_layers):
        at, to = f"model.decoder.{layer}.pp_block.", f"model.layers.{layer}."
        q, k, v = state[f"{at}attn.qkv_proj.weight"].split([heads * width, *[key_heads * width] * 2])
        gate, up = state[f"{at}mlp.gate_up_proj.weight"].chunk(2)
        out |= {
            f"{to}self_attn.q_proj.weight": halves(q, heads),
            f"{to}self_attn.k_proj.weight": halves(k, key_heads),
            f"{to}self_attn.v_proj.weight": v,
            f"{to}self_attn.o_proj.weight": state[f"{at}attn.o_proj.weight"],
            f"{to}mlp.gate_proj.weight": gate,
            f"{to}mlp.up_proj.weight": up,
            f"{to}mlp.down_proj.weight": state[f"{at}mlp.down_proj.weight"],
            f"{to}input_layernorm.weight": state[f"{at}input_layernorm.weight"],
            f"{to}post_attention_layernorm.weight": state[f"{at}post_attention_layernorm.weight"],
        }
    return out


def upstream_step_is_used(job: dict[str, Any]) -> dict[str, Any]:
    """What a step raises when nanotron's own training step does."""
    from nanotron.trainer import DistributedTrainer

    config = configuration({})
    trainer = build_trainer(config, VOCABULARY)
    original = DistributedTrainer.training_step

    def broken(self: Any, dataloader: Any) -> None:
        raise ArithmeticError("broken on purpose")

    DistributedTrainer.training_step = broken
    try:
        trainer.step(1, batches(trainer, 1, config, "none"))
        raised = ""
    except ArithmeticError as error:
        raised = str(error)
    finally:
        DistributedTrainer.training_step = original
    trainer.close()
    return {"raised": raised}


def save_often(job: dict[str, Any]) -> dict[str, Any]:
    """Train and save after every step, without end, to be killed."""
    config = configuration(job.get("config", {}))
    trainer = build_trainer(config, VOCABULARY)
    for step in range(1, 100_000):
        trainer.step(step, batches(trainer, step, config, "none"))
        save_atomically(trainer, Path(job["save"]) / str(step), {})
    return {}


def killed_save(job: dict[str, Any]) -> dict[str, Any]:
    """Die as if the machine did, at one moment of saving."""

    def die(*args: Any, **kwargs: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    trainer = build_trainer(configuration({}), VOCABULARY)
    holder: Any = Path if job["at"] == "rename" else checkpoint
    setattr(holder, job["at"], die)
    save_atomically(trainer, Path(job["save"]), {})
    return {}


def full_disk(job: dict[str, Any]) -> dict[str, Any]:
    """What each rank raises when the last one has no room for its part."""
    trainer = build_trainer(configuration(job["config"]), VOCABULARY)
    part, said = checkpoint._write_part, [""] * trainer.world.size

    def write_part(trainer: Any, folder: Path) -> None:
        if trainer.world.rank == trainer.world.size - 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        part(trainer, folder)

    checkpoint._write_part = write_part
    try:
        save_atomically(trainer, Path(job["save"]), {})
        mine = ""
    except (UserError, FirstRankFailed) as error:
        mine = f"{type(error).__name__}: {error}"
    checkpoint._write_part = part
    torch.distributed.all_gather_object(said, mine)
    trainer.close()
    return {"said": said}


def nanotron_reads(job: dict[str, Any]) -> dict[str, Any]:
    """What nanotron's own loaders make of a checkpoint."""
    from nanotron.config import LlamaConfig, get_config_from_file
    from nanotron.serialize import load_lr_scheduler, load_meta, load_optimizer

    folder, config = Path(job["load"]), configuration(job.get("config", {}))
    trainer = build_trainer(config, VOCABULARY, load=folder)
    ours = copy.deepcopy(trainer.optimizer.state_dict())
    rate = trainer.lr_scheduler.get_last_lr()
    with cpu.building():
        load_optimizer(trainer.optimizer, trainer.parallel_context, folder, model=trainer.unwrapped_model)
    load_lr_scheduler(trainer.lr_scheduler, folder)
    theirs = trainer.optimizer.state_dict()
    same = all(
        torch.equal(value, theirs["state"][index][name])
        for index, state in ours["state"].items()
        for name, value in state.items()
    )
    read = get_config_from_file(str(folder / "config.yaml")).model.model_config
    trainer.close()
    return {
        "metas": load_meta(trainer.parallel_context, folder).metas,
        "states": len(theirs["state"]),
        "same": same and len(ours["state"]) == len(theirs["state"]),
        "rates": [rate, trainer.lr_scheduler.get_last_lr()],
        "model": [vars(read), vars(LlamaConfig(**json.loads((folder / "model_config.json").read_text())))],
    }


def refused(job: dict[str, Any]) -> dict[str, Any]:
    """The message of the UserError that a job ends with."""
    try:
        train(job)
    except UserError as error:
        return {"message": str(error)}
    return {"message": ""}


DO = {
    each.__name__: each
    for each in (
        train,
        transformers_agree,
        upstream_step_is_used,
        save_often,
        killed_save,
        full_disk,
        nanotron_reads,
        refused,
    )
}


def main() -> None:
    jobs, out = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    world = start_processes()
    torch.set_num_threads(1)
    results = {}
    for job in jobs:
        began = time.perf_counter()
        results[job["name"]] = DO[job.get("do", "train")](job)
        if world.rank == 0:
            print(f"{job['name']}: {time.perf_counter() - began:.1f} s", flush=True)
    if world.rank == 0:
        out.write_text(json.dumps(results))
    stop_processes()


if __name__ == "__main__":
    main()
    leave(0)
