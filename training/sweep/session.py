"""A sweep: draw trials, have them trained, follow their losses, stop those that fall behind, record how each ended.

Everything is decided from what is on record, in an order that does not depend on time where there is one job: an
interrupted sweep goes on with the trials that it had begun, and draws those that it would have drawn.
"""

import dataclasses
import json
import logging
import math
import os
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from curation.errors import UserError
from curation.executors import StopSignal
from curation.options import to_dict
from curation.records import Trial, TrialEnd, new_ulid, now
from curation.workspace import Workspace, write_durably
from training.config import PretrainConfig
from training.data import TrainingData
from training.runs import pruned_path
from training.sweep import trials
from training.sweep.config import SweepConfig
from training.sweep.results import TrialResult, shown_values, trial_results
from training.sweep.search import Search
from training.sweep.space import Space
from training.sweep.trials import Losses, TrialAtWork

log = logging.getLogger("training")

_POLL_SECONDS = 0.2
_MOST_STARTS = 3
"""Of a trial that signals keep killing, in one attempt at the sweep."""


class Sweep:
    """The trials of an attempt at a sweep."""

    def __init__(
        self, workspace: Workspace, run_id: str, config: SweepConfig, space: Space, data: TrainingData, stop: StopSignal
    ) -> None:
        """
        Args:
            run_id: of the sweep.
            space: with datasets by NAME@VERSION.
            data: those of ``space.base``.
            stop: whether to stop.
        """
        self.workspace, self.run_id, self.config, self.space = workspace, run_id, config, space
        self.sequences, self.stop = partial(count_sequences, data), stop
        self.folder = workspace.run_folder(run_id)
        startup = max(5, 2 * len(space.parameters)) if config.startup is None else config.startup
        batch, rule = space.base.batch, config.pruning
        first = -(-batch.steps // rule.factor) if rule.min_steps is None else rule.min_steps
        judged_at = first * batch.global_batch_size * batch.sequence_length
        self.search = Search(space, config.seed, startup, rule, judged_at)
        self.working: list[TrialAtWork] = []
        self.waiting: list[TrialAtWork] = []
        self.drawn = 0
        self.began = time.monotonic()
        self._devices = _devices() if config.jobs > 1 else 0

    def run(self) -> None:
        """All trials that are left.

        Raises:
            Interrupted: a signal came; trials at work have saved.
            OSError: disk full.
        """
        try:
            self._replay()
            while True:
                self.stop.check()
                self._fill()
                if not self.working:
                    return
                time.sleep(_POLL_SECONDS)
                for trial in list(self.working):
                    self._look_at(trial)
        finally:
            self._stop_all()

    # ---- what was before ----

    def _replay(self) -> None:
        """Make the study of an earlier attempt anew; its unfinished trials wait to go on."""
        known = trial_results(self.workspace, self.run_id)
        for found in known:
            trial = self._trial(found.number, found.run_id, found.values)
            if found.status == "unfinished":
                self.search.replay(found.values)
                self.waiting.append(trial)
            else:
                self.search.replay_trial(found.values, self.curve(found), found.status, found.value)
        self.drawn = len(known)
        if known:
            over = len(known) - len(self.waiting)
            log.info("%d trials are over, %d go on, %d are to be drawn", over, len(self.waiting), self._left())
        for trial in self.waiting:
            self._wait_for(trial.run_id)

    def _wait_for(self, run_id: str) -> None:
        """Wait until a trial of a killed sweep has saved and ended."""
        until = time.monotonic() + 2 * trials.PATIENCE_SECONDS
        while trials.is_locked(self.workspace, run_id):
            self.stop.check()
            if time.monotonic() > until:
                raise UserError(f"run {run_id}, a trial of this sweep, is still at work in another process; stop it")
            time.sleep(_POLL_SECONDS)

    def curve(self, trial: TrialResult) -> list[tuple[int, float]]:
        """(tokens, loss) of a trial's validations, as far as it was judged."""
        try:
            config = self.space.configure(trial.values, self.sequences)
        except UserError:
            return []
        per_step = config.batch.global_batch_size * config.batch.sequence_length
        read = Losses(self.workspace.run_folder(trial.run_id)).read()
        return [(step * per_step, loss) for step, loss in read if trial.step is None or step <= trial.step]

    # ---- trials begin ----

    def _left(self) -> int:
        most = self.config.trials if self.space.size is None else min(self.config.trials, self.space.size)
        return max(0, most - self.drawn)

    def _fill(self) -> None:
        """Start trials while there is room and budget."""
        while len(self.working) < self.config.jobs:
            if self.waiting:
                trial = self.waiting.pop(0)
            elif self._left() and not self._timed_out():
                trial = self._draw()
            else:
                return
            self._begin(trial)

    def _timed_out(self) -> bool:
        return self.config.timeout is not None and time.monotonic() - self.began > self.config.timeout

    def _draw(self) -> TrialAtWork:
        """The next trial, on record before anything else happens to it."""
        number, values = self.drawn, self.search.draw()
        self.drawn += 1
        trial = self._trial(number, new_ulid(), values)
        record = Trial(
            trial_id=trial.trial_id,
            sweep_run_id=self.run_id,
            number=number,
            run_id=trial.run_id,
            parameters=json.dumps(values),
            created_at=now(),
        )
        self.workspace.write([record], name=trial.trial_id)
        return trial

    def _trial(self, number: int, run_id: str, values: dict[str, Any]) -> TrialAtWork:
        config, refused = None, None
        try:
            config = self.space.configure(values, self.sequences)
        except UserError as error:
            refused = str(error)
        losses = Losses(self.workspace.run_folder(run_id))
        return TrialAtWork(number, f"{self.run_id}-{number:04d}", run_id, values, config, losses, refused)

    def _begin(self, trial: TrialAtWork) -> None:
        """Start a trial, or end it at once where that is clear."""
        if trial.config is None:
            self._end(trial, "failed", None, None, trial.refused)
            return
        if self._judge(trial):  # by what an earlier attempt has left
            return
        before = trials.outcome(self.workspace, trial.run_id, None, trials.log_file(self.folder, trial.number))
        if before is not None:
            self._conclude(trial, before)
            return
        taken = {each.slot for each in self.working}
        trial.slot = next(slot for slot in range(self.config.jobs) if slot not in taken)
        self._start(trial)
        self.working.append(trial)

    def _start(self, trial: TrialAtWork) -> None:
        assert trial.config is not None
        env = environment(os.environ, trial.slot, self.config.jobs, trial.processes, self._devices)
        how = "starts" if trial.starts == 0 else "goes on"
        log.info("trial %d %s: %s (run %s)", trial.number, how, self._told(trial.values), trial.run_id)
        trials.start(trial, self.workspace, self.folder, self.run_id, env)

    def _told(self, values: Mapping[str, Any]) -> str:
        shown = shown_values(self.space, values)
        return ", ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in shown.items()
        )

    # ---- trials at work ----

    def _look_at(self, trial: TrialAtWork) -> None:
        assert trial.process is not None
        if trial.over:
            if not trial.alive:
                self.working.remove(trial)
            elif time.monotonic() - trial.stopped_at > trials.PATIENCE_SECONDS:
                trials.kill(trial)
            return
        code = trial.process.poll()  # first: what it has written by then is complete
        if self._judge(trial) or code is None:
            return
        ended = trials.outcome(self.workspace, trial.run_id, code, trials.log_file(self.folder, trial.number))
        assert ended is not None
        if ended.status == "killed" and not self.stop.requests:
            if trials.is_locked(self.workspace, trial.run_id):  # torchrun was killed, its processes are ending
                return
            if trial.starts < _MOST_STARTS:
                log.warning("trial %d was killed (%s)", trial.number, ended.why)
                self._start(trial)
                return
            told = trials.last_error(trials.log_file(self.folder, trial.number))
            why = f"killed {trial.starts} times ({ended.why}); out of memory?" if told is None else told
            ended = trials.Outcome("failed", why)
        if ended.status != "killed":
            self.working.remove(trial)
            self._conclude(trial, ended)

    def _judge(self, trial: TrialAtWork) -> bool:
        """Report what a trial has newly written, and stop it for good where it has fallen behind."""
        assert trial.config is not None
        last = trial.config.batch.steps
        for step, loss in trial.losses.read():
            behind = self.search.report(trial.number, step * trial.tokens_per_step, loss)
            if behind and step < last:
                self._prune(trial, step, loss)
                return True
        return False

    def _prune(self, trial: TrialAtWork, step: int, loss: float) -> None:
        why = f"pruned at step {step}: loss {loss:.4f}, behind other trials (sweep {self.run_id})"
        self._end(trial, "pruned", loss, step, why)
        trial.over = True
        if trial.alive:
            write_durably(pruned_path(self.workspace, trial.run_id, trial.losses.attempt), why.encode())
            trials.stop(trial)

    def _conclude(self, trial: TrialAtWork, ended: trials.Outcome) -> None:
        """Record how a trial ended by itself."""
        assert trial.config is not None
        loss, step = trial.losses.newest
        if ended.status != "done":
            self._end(trial, "failed", None, None, ended.why)
        elif step != trial.config.batch.steps:
            self._end(trial, "failed", None, None, f"there is no validation loss of the last step, but of step {step}")
        elif not math.isfinite(loss):
            self._end(trial, "failed", None, step, "the validation loss is no number")
        else:
            self._end(trial, "done", loss, step, None)

    def _end(self, trial: TrialAtWork, status: str, value: float | None, step: int | None, why: str | None) -> None:
        value = value if value is not None and math.isfinite(value) else None
        self.search.end(trial.number, status, value)
        end = TrialEnd(
            trial_id=trial.trial_id,
            sweep_run_id=self.run_id,
            status=status,
            value=value,
            step=step,
            why=why,
            finished_at=now(),
        )
        self.workspace.write([end], name=trial.trial_id)
        said = why if status == "failed" else f"validation loss {value} at step {step}"
        log.info("trial %d is %s: %s", trial.number, status, said)

    # ---- the end ----

    def _stop_all(self) -> None:
        for trial in self.working:
            trials.stop(trial)
        trials.wait(self.working, lambda: self.stop.at_once)


def names_for_good(data: TrainingData) -> list[str]:
    """The datasets as NAME@VERSION, which mean the same for ever."""
    return [f"{dataset.name}@{dataset.version}" for dataset in data.datasets]


def count_sequences(data: TrainingData, config: PretrainConfig) -> int:
    """Sequences of an epoch, all datasets once, as a configuration cuts them."""
    return sum(dataclasses.replace(data, config=config).order.sequences)


def check_objective(base: PretrainConfig, data: TrainingData) -> None:
    """Refuse a base whose trials would have nothing to be compared by.

    Raises:
        UserError: no validation, or nothing is held out.
    """
    if base.validation.every == 0:
        raise UserError("validation.every: is 0 in base, and trials are compared by validation loss; use 1 or more")
    if not data.held_out:
        raise UserError(
            "data.datasets: nothing of them is held out, and trials are compared by validation loss; encode them with "
            "a share for it (python -m curation.tokens encode ... --validation-share 0.02)"
        )
    if base.batch.steps == 0:
        raise UserError("batch.steps: is 0 in base, and trials without training are all alike; use 1 or more")


def described(config: SweepConfig, space: Space) -> dict[str, Any]:
    """What is put on record of a sweep, as JSON values."""
    return to_dict(config) | {"base": to_dict(space.base)}


def environment(env: Mapping[str, str], slot: int, jobs: int, processes: int, devices: int) -> dict[str, str]:
    """The environment of a trial's processes: its share of the cores, and GPUs of its own where there are enough.

    Args:
        slot: which of the ``jobs`` trials at once it is, from 0.
        processes: of the trial.
        devices: GPUs of this machine; 0: none, or they are not to be divided.
    """
    made = dict(env)
    made.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // (jobs * processes))))
    if devices > processes:
        visible = env.get("CUDA_VISIBLE_DEVICES")
        names = visible.split(",") if visible else [str(each) for each in range(devices)]
        groups = devices // processes
        first = (slot % groups) * processes
        made["CUDA_VISIBLE_DEVICES"] = ",".join(names[first : first + processes])
    return made


def _devices() -> int:
    import torch

    return torch.cuda.device_count()
