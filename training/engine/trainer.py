"""nanotron's ``DistributedTrainer``, driven step by step.

``Trainer.step`` calls nanotron's own ``training_step``: pipeline engine, accumulation, reduction over replicas and tied
weights, clipping, optimizer and scheduler are upstream's. Ours are what is built (``model``), what is loaded and saved
(``checkpoint``, ``optimizer``), and what a step's loss is the mean of.
"""

import itertools
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nanotron.distributed as dist
import torch
from nanotron.trainer import DistributedTrainer
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.optim.lr_scheduler import LambdaLR

from curation.errors import UserError
from training.checks import check_split
from training.config import PretrainConfig
from training.engine import checkpoint, cpu
from training.engine.model import Llama, TokenLoss
from training.engine.optimizer import load_optimizer
from training.engine.processes import start_processes
from training.engine.schedule import learning_rate
from training.engine.settings import nanotron_config
from training.engine.topology import stages
from training.manifest import check_fits, read_manifest

Batch = Mapping[str, Any]
"""A micro-batch as ``training.engine.batches.micro_batch`` makes it."""


@dataclass(frozen=True)
class StepResult:
    """What one step did; the same on every rank."""

    step: int
    """Its number, from 1."""
    loss: float
    """Mean over all tokens that were learned from, by their weights, before the step, in nats; with what pairs add."""
    learning_rate: float
    """The one that this step used."""
    grad_norm: float
    """L2 norm of the gradient before clipping."""
    tokens: int
    """Tokens that were learned from: those that the masks name."""
    seconds: float
    """How long it took this rank, data included."""
    difference: float | None = None
    """Mean squared difference of the pairs of the batch (``TokenLoss``); None where there is none, or it counts 0."""


class Trainer(DistributedTrainer):
    """A model, its optimizer and schedule in one of the processes that train it; see ``door.build_trainer``."""

    def __init__(
        self,
        config: PretrainConfig,
        vocab_size: int,
        *,
        eos_id: int | None,
        load: Path | None,
        weights_only: bool,
        pair_weight: float = 0.0,
    ) -> None:
        self.pair_weight = pair_weight
        self.world = start_processes()
        check_split(config, self.world.size, vocab_size)
        self.run_config, self.vocab_size, self.eos_id = config, vocab_size, eos_id
        self.load_folder = load
        self.resumed: dict[str, Any] | None = None  # manifest of the checkpoint that is gone on from
        if load is not None:
            manifest = read_manifest(load)
            check_fits(load, manifest, config, vocab_size, weights_only)
            self.resumed = None if weights_only else manifest
        with cpu.building():
            super().__init__(nanotron_config(config, vocab_size, eos_id))

    # ---- what nanotron's constructor calls ----

    def _init_model_instance(self) -> Any:
        return self._init_model(
            model_builder=lambda: Llama(
                config=self.model_config,
                parallel_context=self.parallel_context,
                parallel_config=self.config.parallelism,
                blocks_per_stage=stages(self.run_config, self.vocab_size),
                theta=self.run_config.model.rope_theta,
                recompute=self.run_config.parallelism.recompute,
                device=self.world.device,
            )
        )

    def _load_model_checkpoint(self, model: Any) -> Any:
        self.init_checkpoint_path = None  # else nanotron loads the optimizer, which it cannot in another topology
        plain = model.module if isinstance(model, DistributedDataParallel) else model
        if self.load_folder is None:
            plain.init_model_randomly(self.config)
        else:
            checkpoint.load_weights(plain, self.parallel_context, self.load_folder)
        return model

    def setup_log_writers(self) -> None:
        """None: what a step did is returned."""

    def post_init(self) -> None:
        """Finish what nanotron's constructor, and the beginning of its ``train``, leave to do."""
        if self.resumed is not None:
            assert self.load_folder is not None
            load_optimizer(self, self.load_folder)
            self.start_iteration_step = self.iteration_step = int(self.resumed["step"])
            self.consumed_train_samples = int(self.resumed["samples"])
        self._set_schedule()
        self.pipeline_engine = self.config.parallelism.pp_engine
        self.pipeline_engine.nb_microbatches = self.n_micro_batches_per_batch
        prefixes = {id(module): f"{name}." for name, module in self.unwrapped_model.named_modules()}
        self.unwrapped_model.module_id_to_prefix = {**prefixes, id(self.unwrapped_model): ""}

    def _set_schedule(self) -> None:
        """Our schedule in place of nanotron's, which begins at 0, does not end at the lowest rate, and, after a resume,
        uses the first step's rate once more."""
        optimizer, batch = self.run_config.optimizer, self.run_config.batch
        self.lr_scheduler = LambdaLR(
            self.optimizer.get_base_optimizer(),
            lambda done: learning_rate(optimizer, batch, done + 1) / optimizer.learning_rate,
            last_epoch=self.start_iteration_step - 1,
        )

    # ---- where this rank stands ----

    @property
    def replica(self) -> int:
        """Which of the ``parallelism.data`` replicas this rank belongs to: its share of the batch."""
        return int(dist.get_rank(self.parallel_context.dp_pg))

    @property
    def stage(self) -> int:
        """This rank's pipeline stage."""
        return int(dist.get_rank(self.parallel_context.pp_pg))

    @property
    def is_first_stage(self) -> bool:
        """Whether this rank needs the input tokens."""
        return bool(self.stage == self.unwrapped_model.input_pp_rank)

    @property
    def is_last_stage(self) -> bool:
        """Whether this rank needs the labels, and has the loss."""
        return bool(self.stage == self.unwrapped_model.output_pp_rank)

    @property
    def steps_done(self) -> int:
        """Steps behind the weights as they are."""
        return int(self.iteration_step)

    # ---- what it does ----

    def step(self, next_step: int, batches: Iterator[Batch]) -> StepResult:
        """Train on the next micro-batches of this replica, as many as accumulate to a step.

        Raises:
            ValueError: there are fewer.
            UserError: the masks of the global batch leave nothing to learn from.
        """
        began = time.perf_counter()
        micro = list(itertools.islice(batches, self.n_micro_batches_per_batch))
        if len(micro) < self.n_micro_batches_per_batch:
            raise ValueError(f"step {next_step} needs {self.n_micro_batches_per_batch} micro-batches, got {len(micro)}")
        tokens, weight, pairs = self._total(self._counts(micro))
        if tokens == 0:
            raise UserError(f"step {next_step}: every token of its batch is masked, there is nothing to learn from")
        # nanotron takes the mean over micro-batches, then over replicas.
        parts = self.n_micro_batches_per_batch * self.parallel_context.dp_pg.size()
        self._scale_loss(parts / weight, self.pair_weight * parts / pairs if pairs else 0.0)
        rate = float(self.optimizer.get_base_optimizer().param_groups[0]["lr"])
        self.iteration_step = next_step
        _, loss = self.training_step(dataloader=iter(micro))
        self.consumed_train_samples += self.global_batch_size
        # The loss is on the last stage alone.
        facts = torch.zeros(2, dtype=torch.float32, device=self.world.device)
        if loss is not None:
            facts = torch.stack((loss.detach(), self.grad_norm_unclipped.detach()))
        dist.broadcast(facts, src=int(self.logger_ranks[0]), group=self.parallel_context.world_pg)
        total, norm = facts.tolist()
        difference = self._total([self._differences()])[0] / pairs if pairs and self.pair_weight else None
        return StepResult(next_step, total, rate, norm, int(tokens), time.perf_counter() - began, difference)

    @torch.no_grad()
    def evaluate(self, batches: Iterable[Batch]) -> tuple[float, int]:
        """Sum of the losses of all tokens that the masks name, and their number; the same on every rank.

        The replicas may have different numbers of micro-batches; all ranks of one replica have the same.
        """
        self._scale_loss(1.0)
        total = torch.zeros(2, dtype=torch.float64, device=self.world.device)
        for batch in batches:
            loss = self.unwrapped_model(**batch)["loss"]
            if isinstance(loss, Tensor):
                total += torch.stack((loss.double(), batch["label_mask"].sum().double()))
        counted = dist.get_rank(self.parallel_context.tp_pg) == 0  # the others have the same
        loss_sum, tokens = self._total(total.tolist() if counted else [0.0, 0.0])
        return loss_sum, int(tokens)

    def save(self, folder: Path, facts: Mapping[str, Any]) -> None:
        """Write a checkpoint into a fresh folder on a file system that all ranks see; all of them call this together.

        ``checkpoint.save_atomically`` is the way to have it whole or not at all.
        """
        checkpoint.write(self, folder, facts)

    def close(self) -> None:
        """Give up the process groups of this trainer; others can be built afterwards. All ranks call this together."""
        dist.barrier()
        context = self.parallel_context
        for group in {id(group): group for group in (context.world_pg, *context.world_ranks_to_pg.values())}.values():
            if group is not torch.distributed.GroupMember.NON_GROUP_MEMBER:
                torch.distributed.destroy_process_group(group)

    @property
    def _counts_labels(self) -> bool:
        """Whether this rank speaks for its replica: of those that have the labels one does."""
        return self.is_last_stage and dist.get_rank(self.parallel_context.tp_pg) == 0

    def _counts(self, micro: list[Batch]) -> list[float]:
        """Tokens that are learned, the sum of their weights, and pairs."""
        if not self._counts_labels:
            return [0.0, 0.0, 0.0]
        counts = [
            torch.stack((batch["label_mask"].count_nonzero(), batch["label_mask"].sum(dtype=torch.float64)))
            for batch in micro
        ]
        pairs = sum(int(batch["label_sides"].max()) // 2 for batch in micro if "label_sides" in batch)
        return [*torch.stack(counts).sum(0).tolist(), float(pairs)]

    def _differences(self) -> float:
        return float(self.unwrapped_model.loss.pp_block.differences) if self._counts_labels else 0.0

    def _total(self, values: list[float] | list[int]) -> list[float]:
        """Sums over all ranks."""
        sums = torch.tensor(values, dtype=torch.float64, device=self.world.device)
        dist.all_reduce(sums, group=self.parallel_context.world_pg)
        return [float(value) for value in sums.tolist()]

    def _scale_loss(self, scale: float, pair_scale: float = 0.0) -> None:
        if self.is_last_stage:
            loss: TokenLoss = self.unwrapped_model.loss.pp_block
            loss.scale, loss.pair_scale, loss.differences = scale, pair_scale, 0.0
