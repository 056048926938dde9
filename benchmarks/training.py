"""Training: tokens per second of ours beside bare nanotron and a plain PyTorch loop, on the same Llama and batches.

Usage: python benchmarks/training.py [ROUNDS]   (default 4)

One process. "nanotron" is its own Llama in its own ``train`` loop, with the repairs without which it does not run on
this machine; "plain" is a transformers Llama with AdamW and gradient clipping. The three take turns, a few steps each,
and the median step counts. On the CPU all is float32; with CUDA weights are bfloat16 with float32 master weights, in
the plain loop float32 with autocast.

MFU is model FLOPs over the device's peak: 6 N + 12 L E S for each token, with N the weights that are multiplied with
(embedding rows are looked up), L layers, E width, S sequence (Chowdhery et al. 2022, PaLM, appendix B,
https://arxiv.org/abs/2204.02311, where E is written H Q).
"""

import contextlib
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # before this folder, whose files hide ours

import torch

from training.config import BatchConfig, ModelConfig, OptimizerConfig, PretrainConfig
from training.engine.batches import micro_batch
from training.engine.door import build_trainer, open_engine
from training.engine.processes import stop_processes
from training.engine.topology import micro_batches, model_sizes

STEPS = 4
"""Steps of a turn; the first is not timed."""
PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12}
"""bfloat16 FLOP/s without sparsity, from the vendor's data sheets (SXM where there are several)."""
ON_GPU = torch.cuda.is_available()
VOCABULARY = 32_768 if ON_GPU else 8_192


def configuration() -> PretrainConfig:
    """A model that keeps the machine busy for about a second a step."""
    if ON_GPU:
        model = ModelConfig(hidden_size=2048, num_hidden_layers=12, num_attention_heads=16, num_key_value_heads=8)
        batch = BatchConfig(sequence_length=2048, global_batch_size=32, micro_batch_size=8, steps=10_000)
        return PretrainConfig(model=model, batch=batch, precision="bfloat16")
    model = ModelConfig(hidden_size=256, num_hidden_layers=4, num_attention_heads=8, num_key_value_heads=4)
    batch = BatchConfig(sequence_length=256, global_batch_size=16, micro_batch_size=4, steps=10_000)
    return PretrainConfig(model=model, batch=batch, optimizer=OptimizerConfig(learning_rate=1e-3))


def token_ids(config: PretrainConfig) -> Iterator[torch.Tensor]:
    """The same micro-batches for everybody, [B, S + 1]."""
    generator = torch.Generator().manual_seed(0)
    shape = (config.batch.micro_batch_size, config.batch.sequence_length + 1)
    while True:
        yield torch.randint(0, VOCABULARY, shape, generator=generator)


def timed(ids: Iterator[torch.Tensor], each: int, seconds: list[float]) -> Iterator[torch.Tensor]:
    """Note how long it takes from one step's first micro-batch to the next one's."""
    began = None
    for count, micro in enumerate(ids):
        if count % each == 0:
            if ON_GPU:
                torch.cuda.synchronize()
            now = time.perf_counter()
            if began is not None:
                seconds.append(now - began)
            began = now
        yield micro


def ours(config: PretrainConfig) -> Callable[[Iterator[torch.Tensor]], float]:
    """A function that trains a turn and returns the last loss."""
    trainer = build_trainer(config, VOCABULARY)

    def turn(ids: Iterator[torch.Tensor]) -> float:
        loss = 0.0
        for _ in range(STEPS):
            loss = trainer.step(trainer.steps_done + 1, (micro_batch(micro, None, trainer) for micro in ids)).loss
        return loss

    return turn


def bare_nanotron(config: PretrainConfig) -> Callable[[Iterator[torch.Tensor]], float]:
    """The same with nothing of ours but what makes nanotron run at all."""
    open_engine()
    import nanotron.distributed as dist
    import nanotron.trainer
    from nanotron.models.llama import LlamaForTraining, RotaryEmbedding

    from training.engine import cpu
    from training.engine.settings import nanotron_config

    if not ON_GPU:
        RotaryEmbedding.init_rotary_embeddings = lambda self: None  # for generation; insists on CUDA
        nanotron.trainer.sanity_check_dataloader = lambda dataloader, **kwargs: dataloader  # moves to CUDA
        torch.cuda.synchronize = lambda device=None: None
        reduce = dist.all_reduce  # gloo averages in place, which autograd refuses on the parameters of the first sync
        dist.all_reduce = lambda tensor, **kwargs: reduce(tensor.detach(), **kwargs)
    settings = nanotron_config(config, VOCABULARY, None)
    settings.checkpoints.checkpoint_interval = settings.tokens.train_steps + 1
    with cpu.building():
        trainer = nanotron.trainer.DistributedTrainer(settings, model_class=LlamaForTraining)
    losses: list[float] = []
    log = trainer.train_step_logs

    def keep_loss(outputs: Any, loss_avg: torch.Tensor) -> None:
        losses.append(loss_avg.item())
        log(outputs=outputs, loss_avg=loss_avg)

    trainer.train_step_logs = keep_loss
    device = "cuda" if ON_GPU else "cpu"

    def turn(ids: Iterator[torch.Tensor]) -> float:
        def batches() -> Iterator[dict[str, torch.Tensor]]:
            for micro in ids:
                here = micro.to(device)
                whole = torch.ones_like(here[:, 1:], dtype=torch.bool)
                parts = {"input_ids": here[:, :-1], "label_ids": here[:, 1:]}
                yield {name: part.contiguous() for name, part in parts.items()} | {
                    "input_mask": whole,
                    "label_mask": whole,
                }

        settings.tokens.train_steps = trainer.start_iteration_step + STEPS
        trainer.train(batches())
        trainer.start_iteration_step = settings.tokens.train_steps
        return losses[-1]

    return turn


def plain(config: PretrainConfig) -> Callable[[Iterator[torch.Tensor]], float]:
    """A loop as anybody would write it."""
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {name: value for name, value in model_sizes(config.model).items() if name not in ("init_std", "rope_theta")}
    device = "cuda" if ON_GPU else "cpu"
    model = LlamaForCausalLM(LlamaConfig(vocab_size=VOCABULARY, attn_implementation="sdpa", **sizes)).to(device)
    chosen = config.optimizer
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=chosen.learning_rate,
        betas=(chosen.beta1, chosen.beta2),
        weight_decay=chosen.weight_decay,
        fused=True,
    )
    count = micro_batches(config)

    def turn(ids: Iterator[torch.Tensor]) -> float:
        loss = 0.0
        for _ in range(STEPS):
            total = torch.zeros((), device=device)
            for _ in range(count):
                micro = next(ids).to(device)
                with torch.autocast("cuda", torch.bfloat16) if ON_GPU else contextlib.nullcontext():
                    logits_BSV = model(micro[:, :-1], use_cache=False).logits
                mean = torch.nn.functional.cross_entropy(logits_BSV.flatten(0, 1).float(), micro[:, 1:].flatten())
                (mean / count).backward()
                total += mean.detach() / count
            torch.nn.utils.clip_grad_norm_(model.parameters(), chosen.clip_grad or float("inf"))
            optimizer.step()
            optimizer.zero_grad()
            loss = total.item()
        return loss

    return turn


def flops_per_token(config: PretrainConfig) -> float:
    """See above."""
    sizes, length = model_sizes(config.model), config.batch.sequence_length
    width, layers = sizes["hidden_size"], sizes["num_hidden_layers"]
    key_width = width // sizes["num_attention_heads"] * sizes["num_key_value_heads"]
    weights = layers * width * (2 * width + 2 * key_width + 3 * sizes["intermediate_size"]) + VOCABULARY * width
    return float(6 * weights + 12 * layers * width * length)


def main() -> None:
    """Print the table and the JSON line."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    torch.set_num_threads(1 if not ON_GPU else torch.get_num_threads())
    config = configuration()
    turns = {"ours": ours(config), "nanotron": bare_nanotron(config), "plain": plain(config)}
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    losses: dict[str, float] = {}
    ids = {name: token_ids(config) for name in turns}
    for _ in range(rounds):
        for name, turn in turns.items():
            waits: list[float] = []
            losses[name] = turn(timed(ids[name], micro_batches(config), waits))
            seconds[name] += waits[1:]
    tokens = config.batch.global_batch_size * config.batch.sequence_length
    speeds = {name: tokens / statistics.median(times) for name, times in seconds.items()}
    device = torch.cuda.get_device_name() if ON_GPU else "CPU, one thread"
    peak = next((peak for name, peak in PEAK.items() if ON_GPU and name in device), None)
    per_token = flops_per_token(config)
    mfu = {name: None if peak is None else speed * per_token / peak for name, speed in speeds.items()}
    print(f"{device}, {config.precision}, {per_token / 1e6:,.1f} MFLOP a token")
    print(f"{'training':<10}{'tokens/s':>12}{'beside ours':>14}{'MFU':>8}{'loss':>8}")
    for name, speed in speeds.items():
        share = mfu[name]
        shown = "-" if share is None else f"{share:.1%}"
        print(f"{name:<10}{speed:>12,.0f}{speed / speeds['ours']:>14.2f}{shown:>8}{losses[name]:>8.3f}")
    facts = {"tokens_per_s": {name: round(speed) for name, speed in speeds.items()}, "mfu": mfu, "device": device}
    print(json.dumps({"benchmark": "training", **facts}))
    stop_processes()


if __name__ == "__main__":
    main()
