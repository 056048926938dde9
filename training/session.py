"""One attempt at a training run: check, begin, train step by step, validate, save, end.

Every process of the run does this. What only one may do, rank 0 does: it decides which run this is and tells the
others, and it alone writes records and metrics.
"""

import logging
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np

from curation.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_SOME_FAILED, EXIT_USAGE
from curation.progress import Progress
from curation.records import RunDataset
from curation.workspace import Workspace
from training.checks import check
from training.config import PretrainConfig
from training.convert import TOKENIZER
from training.data import Rows, RunData, open_data
from training.endings import Diverged, Stopped
from training.folders import checkpoint_folder, checkpoint_id, find_checkpoint
from training.job import Job, open_training_workspace, world_size
from training.manifest import check_fits, read_manifest
from training.metrics import ALL, Guard, MetricsLog
from training.options import Request
from training.plan import plan, summary
from training.recording import Recorder, new_run
from training.resume import Start, choose, choose_named, identity_hash
from training.runs import describe_run, why_pruned

if TYPE_CHECKING:
    from training.engine.trainer import StepResult, Trainer

log = logging.getLogger("training")

_MOST_NAMED = 20
"""Documents that the message of a run gone wrong lists."""


_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def train(kind: str, request: Request) -> int:
    """Pretrain as asked for, from the beginning or from where an earlier attempt left off. Returns the exit code.

    Raises:
        UserError: wrong configuration, data or checkpoint; all but damaged files is found before processes are joined.
        Stopped, Diverged, OSError: as ``train_job``.
    """
    workspace = open_training_workspace(request.workspace)
    data = open_data(workspace, request.config)
    described = describe_run(request.config, data)
    check(request.config, world_size=world_size(), vocab_size=data.vocab_size)

    def prepare(folder: Path) -> list[tuple[str, float]]:
        entries = request.config.data.datasets
        return [(each.dataset_id, entry.weight) for each, entry in zip(data.datasets, entries, strict=True)]

    job = Job(
        workspace=workspace,
        kind=kind,
        config=request.config,
        data=data,
        described=described,
        rows=described["vocab_size"],
        prepare=prepare,
        resume=request.resume,
        run_id=request.run_id,
        parent=request.parent,
        weights=find_checkpoint(workspace, request.initialise_from) if request.initialise_from else None,
    )
    return train_job(job)


def train_job(job: Job) -> int:
    """Train, from the beginning or from where an earlier attempt left off. Returns the exit code: where inputs were
    left out, 1 on rank 0 alone, as torchrun ends all others as soon as one process fails.

    Raises:
        UserError: the checkpoint does not fit; before processes are joined.
        Stopped, Diverged: the attempt is on record as interrupted, or as failed.
        OSError: disk full, say; the attempt is on record as failed.
    """
    workspace, config = job.workspace, job.config
    if job.run_id is None:
        start = choose(workspace, job.kind, job.resume, job.described)
    else:
        start = choose_named(workspace, job.kind, job.run_id, job.parent, job.described)
    if start.done:
        log.info("run %s is done already; --resume never starts another one like it", start.run_id)
        return EXIT_DONE
    log.info("%s", summary(plan(config, job.rows)))
    load = start.checkpoint or job.weights
    if load is not None:
        check_fits(load, read_manifest(load), config, job.rows, start.checkpoint is None)
    from training.engine.door import build_trainer
    from training.engine.processes import start_processes, stop_processes

    _end_with_launcher()
    world = start_processes()
    start = _told(start)
    load = start.checkpoint or job.weights
    recorder = _begin(job, start) if world.rank == 0 else None
    try:
        with _watch_signals() as stop:
            trainer = build_trainer(
                config,
                job.rows,
                eos_id=job.data.eos_id,
                load=load,
                weights_only=start.checkpoint is None,
                pair_weight=job.pair_weight,
            )
            Session(workspace, config, job.data, trainer, start, recorder, stop).run(job.validate_first)
            trainer.close()
    except Stopped:
        if recorder:
            pruned = why_pruned(workspace, start.run_id, start.attempt)
            status, why = ("pruned", pruned) if pruned else ("interrupted", "stopped by a signal")
            recorder.end(status, EXIT_INTERRUPTED, why)
            log.warning("interrupted; the same command goes on, as does --resume %s", start.run_id)
        raise
    except BaseException as error:
        if recorder:
            recorder.end("failed", EXIT_USAGE, f"{type(error).__name__}: {error}"[:500])
        raise
    stop_processes()
    if recorder is None:
        return EXIT_DONE
    code = EXIT_SOME_FAILED if job.refused else EXIT_DONE
    recorder.end("done", code, f"{job.refused} inputs were left out" if job.refused else None)
    name = checkpoint_id(start.run_id, config.batch.steps)
    print(f"run {start.run_id}")
    print(f"checkpoint {name}: {checkpoint_folder(workspace, start.run_id, config.batch.steps)}")
    print(f"next: python -m training.export {name} FOLDER --workspace {workspace.name}")
    return code


def _end_with_launcher() -> None:
    """Have SIGTERM sent to this process when torchrun is gone: killed by SIGKILL it leaves its processes at work, which
    would go on writing to the run. Linux alone can do that."""
    if "TORCHELASTIC_RUN_ID" in os.environ and sys.platform == "linux":
        import ctypes

        parent = os.getppid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
        if os.getppid() != parent:  # it was gone before
            raise Stopped


def _told(start: Start) -> Start:
    """What rank 0 has chosen: others may have looked a moment earlier or later."""
    from torch import distributed

    chosen = [start]
    distributed.broadcast_object_list(chosen, src=0)
    return chosen[0]


def _begin(job: Job, start: Start) -> Recorder:
    run, members = None, []
    datasets = job.prepare(job.workspace.run_folder(start.run_id))
    if start.new:
        parent = start.parent or job.parent
        run = new_run(start.run_id, job.kind, job.described, identity_hash(job.described), job.config.seed, parent)
        for dataset_id, weight in datasets:
            members.append(RunDataset(run_id=start.run_id, dataset_id=dataset_id, stage=job.kind, weight=weight))
    recorder = Recorder(job.workspace, start.run_id, start.attempt)
    recorder.begin(run, members)
    log.info("run %s, attempt %d, workspace %s", start.run_id, start.attempt, job.workspace.name)
    if start.checkpoint:
        log.info("going on from %s", start.checkpoint)
    return recorder


@contextmanager
def _watch_signals() -> Iterator[list[int]]:
    """A list that holds the signals that asked for a stop."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Session:
    """The steps of an attempt, in one of its processes."""

    def __init__(
        self,
        workspace: Workspace,
        config: PretrainConfig,
        data: RunData,
        trainer: "Trainer",
        start: Start,
        recorder: Recorder | None,
        stop: list[int],
    ) -> None:
        self.workspace, self.config, self.data, self.trainer = workspace, config, data, trainer
        self.start, self.recorder, self.stop = start, recorder, stop
        self.tokens_per_step = self.config.batch.global_batch_size * self.config.batch.sequence_length
        self.guard = Guard(self.config.guard)
        self.saved = trainer.steps_done  # the step of the newest checkpoint
        self.metrics = MetricsLog(workspace.run_folder(start.run_id), start.attempt, self.saved) if recorder else None
        self.flops_per_token = plan(self.config, data.vocab_size).flops_per_token
        self.progress = Progress() if recorder else None
        self._losses: deque[float] = deque(maxlen=10)

    def run(self, validate_first: bool = False) -> None:
        """All steps that are left.

        Args:
            validate_first: before the first step, too.

        Raises:
            Stopped: a signal came; a checkpoint of the last step is saved.
            Diverged: nothing of the step that went wrong is saved.
        """
        steps, done = self.config.batch.steps, self.trainer.steps_done
        if self.progress:
            self.progress.start("train", steps, done, unit="step")
        try:
            if validate_first and done == 0 and self.config.validation.every:
                self._validate(0)
            if steps == 0:
                self._save(0)
            for step in range(done + 1, steps + 1):
                result = self.trainer.step(step, self._batches(step))
                self._write(result)
                self._object(result)
                if self.config.validation.every and self._due(step, self.config.validation.every):
                    self._validate(step)
                if self._due(step, self.config.checkpoints.every):
                    self._save(step)
                if self._told_to_stop():
                    if self.saved < step:
                        self._save(step)
                    raise Stopped
        except BaseException:
            if self.progress:
                self.progress.abandon()
            raise
        finally:
            if self.metrics:
                self.metrics.close()
        if self.progress:
            self.progress.finish(f"loss {self._losses[-1]:.3f}" if self._losses else "nothing was left to do")

    def _due(self, step: int, every: int) -> bool:
        return step == self.config.batch.steps or bool(every and step % every == 0)

    def _batches(self, step: int) -> Iterator[Any]:
        from training.engine.batches import micro_batch

        if not (self.trainer.is_first_stage or self.trainer.is_last_stage or self.data.segmented):
            while True:
                yield micro_batch(None, None, self.trainer)
        for rows in self.data.rows(step, self.trainer.replica):
            yield self._micro_batch(rows)

    def _micro_batch(self, rows: Rows) -> dict[str, Any]:
        import torch

        from training.engine.batches import micro_batch

        ids, mask, segments, sides = (None if each is None else torch.from_numpy(each) for each in rows)
        return micro_batch(ids, mask, self.trainer, segments, sides)

    # ---- what is told ----

    def _write(self, result: "StepResult") -> None:
        if self.metrics is None:
            return
        rate = self.tokens_per_step / result.seconds
        self.metrics.write(
            result.step,
            {
                "loss": result.loss,
                "learning_rate": result.learning_rate,
                "grad_norm": result.grad_norm,
                "tokens_seen": self.data.tokens_seen(result.step),
                "pair_difference": result.difference,
                "tokens_per_s": rate,
                "mfu": self._mfu(rate),
            },
        )
        self._losses.append(result.loss)
        if self.progress:
            mean = sum(self._losses) / len(self._losses)
            self.progress.tell(result.step - self.start_step, f"loss {mean:.3f}, {rate:,.0f} tokens/s")

    @property
    def start_step(self) -> int:
        """Steps that were done before this attempt."""
        return self.trainer.start_iteration_step

    def _mfu(self, tokens_per_s: float) -> float | None:
        """Share of the devices' highest rate of multiplications that the model's own take."""
        from training.devices import peak_flops

        peak = peak_flops(self.config.precision)
        return tokens_per_s * self.flops_per_token / (peak * self.trainer.world.size) if peak else None

    def _object(self, result: "StepResult") -> None:
        """Stop where the loss goes wrong; the result is the same on every rank, and so is the objection."""
        why = self.guard.objection(result.loss, result.grad_norm)
        if why is None:
            return
        parts = self.data.step_documents(result.step)
        named = [f"{name} ({tokens} tokens)" for name, tokens in parts[:_MOST_NAMED]]
        more = f", and {len(parts) - _MOST_NAMED} more" if len(parts) > _MOST_NAMED else ""
        raise Diverged(
            f"step {result.step}: {why}. The step read the documents {', '.join(named)}{more}; all of them: python -m "
            f"training.batch {self.start.run_id} {result.step} --workspace {self.workspace.name}. Lower "
            "optimizer.learning_rate, or remove what is wrong in them and start anew"
        )

    def _told_to_stop(self) -> bool:
        """Whether any rank has received a signal: they stop behind the same step."""
        import torch
        from torch import distributed

        flag = torch.tensor([len(self.stop)], device=self.trainer.world.device)
        distributed.all_reduce(flag, op=distributed.ReduceOp.MAX)
        return bool(flag.item())

    # ---- validation and checkpoints ----

    def _validate(self, step: int) -> None:
        values: dict[str, float] = {}
        everything = np.zeros(2)  # sum of losses, tokens
        began = time.perf_counter()
        for held in self.data.held_out:
            batches = (self._micro_batch(rows) for rows in self.data.held_out_rows(held, self.trainer.replica))
            total, tokens = self.trainer.evaluate(batches)
            if tokens:
                values[f"validation/{held.name}"] = total / tokens
                everything += np.array((total, tokens))
        if values:
            values[ALL] = float(everything[0] / everything[1])
        if self.metrics and values:
            self.metrics.write(step, values)
            shown = {name: value for name, value in values.items() if name != ALL or len(values) > 2}
            told = ", ".join(f"{name.partition('/')[2]} {value:.4f}" for name, value in shown.items())
            log.info("step %d, validation loss: %s (%.1f s)", step, told, time.perf_counter() - began)

    def _save(self, step: int) -> None:
        from training.engine.checkpoint import save_atomically

        folder: Path = checkpoint_folder(self.workspace, self.start.run_id, step)
        facts = {
            "run_id": self.start.run_id,
            "tokens_seen": self.data.tokens_seen(step),
            "data_position": step * self.config.batch.global_batch_size,
            **self.data.facts,
        }
        own = self.workspace.run_folder(self.start.run_id) / TOKENIZER if self.data.own_tokenizer else None
        save_atomically(self.trainer, folder, facts, own)
        self.saved = step
        if self.recorder:
            self.recorder.keep_checkpoint(step, self.config.checkpoints)
