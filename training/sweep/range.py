"""The learning-rate range test (Smith 2017, https://arxiv.org/abs/1506.01186): a run whose rate rises exponentially.

It is a run of training like any other, with a parent of kind ``range``, so that it is on record, is stopped and goes on
as others do.
"""

import dataclasses
import json
import logging
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from curation.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_USAGE, UserError
from curation.executors import Interrupted, StopSignal
from curation.options import to_dict
from curation.records import new_ulid
from curation.workspace import Workspace
from training.checks import check
from training.config import PretrainConfig
from training.data import open_data
from training.recording import Recorder
from training.sweep import trials
from training.sweep.plot import can_draw, draw_range
from training.sweep.record import choose
from training.sweep.results import write_tsv
from training.sweep.run import local_workspace
from training.sweep.session import environment, names_for_good
from training.sweep.space import Space
from training.sweep.trials import Losses, TrialAtWork

log = logging.getLogger("training")

KIND = "range"
_LEAST_STEPS = 20
_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class RangeRequest:
    """What was asked for."""

    config: PretrainConfig
    workspace: str
    resume: str
    low: float
    """Learning rate of the first step."""
    high: float
    """Of the last."""
    steps: int


@dataclass(frozen=True)
class Suggestion:
    """What the losses say."""

    steepest: float
    """Learning rate at which the smoothed loss falls most steeply, by the logarithm of the rate."""
    lowest: float
    """Learning rate at which the smoothed loss is lowest: it rises from there on."""
    rises: bool
    """Whether it does rise; else the range ends too early to tell."""
    points: tuple[tuple[float, float, float], ...]
    """(learning rate, loss, smoothed loss) of each step."""


def range_config(request: RangeRequest) -> PretrainConfig:
    """The configuration of the run.

    Raises:
        UserError: the range is empty, or too short to see anything.
    """
    if not 0 < request.low < request.high < math.inf:
        raise UserError(f"--low {request.low:g}: must be above 0 and below --high {request.high:g}, which is finite")
    if request.steps < _LEAST_STEPS:
        raise UserError(f"--steps {request.steps}: are too few to see a slope; give {_LEAST_STEPS} or more")
    config = request.config
    optimizer = dataclasses.replace(
        config.optimizer,
        schedule="exponential",
        learning_rate=request.high,
        min_learning_rate=request.low,
        warmup_steps=0,
        decay_steps=None,
    )
    return dataclasses.replace(
        config,
        optimizer=optimizer,
        batch=dataclasses.replace(config.batch, steps=request.steps),
        validation=dataclasses.replace(config.validation, every=0),
        checkpoints=dataclasses.replace(config.checkpoints, every=0, keep_every=None),
    )


def suggest(points: Sequence[tuple[float, float]]) -> Suggestion:
    """What learning rate the losses of a range test suggest.

    The loss is smoothed by the mean over a window of a tenth of the steps, centred, so that it does not lag, and taken
    twice; a loss that is no number ends the curve.

    Args:
        points: (learning rate, loss) of each step.

    Raises:
        UserError: too few points, or the loss falls nowhere.
    """
    finite = []
    for rate, loss in points:
        if not math.isfinite(loss):
            break
        finite.append((rate, loss))
    if len(finite) < _LEAST_STEPS // 2:
        raise UserError(f"the loss is a number in {len(finite)} steps alone; give a lower --low, or more --steps")
    rates_N, losses_N = np.array(finite).T
    half = max(1, len(finite) // 20)
    smoothed_N = _mean_around(_mean_around(losses_N, half), half)
    lowest = int(np.argmin(smoothed_N))
    if lowest == 0:
        raise UserError(f"the loss rises from {rates_N[0]:.2g} on; give a lower --low")
    slopes_N = np.gradient(smoothed_N, np.log(rates_N))
    steepest = int(np.argmin(slopes_N[: lowest + 1]))
    return Suggestion(
        steepest=float(rates_N[steepest]),
        lowest=float(rates_N[lowest]),
        rises=lowest < len(points) - 1 - half,
        points=tuple(zip(rates_N.tolist(), losses_N.tolist(), smoothed_N.tolist(), strict=True)),
    )


def _mean_around(values_N: "np.ndarray[Any, Any]", half: int) -> "np.ndarray[Any, Any]":
    """Means over [i - half, i + half], as far as there are values on both sides of i."""
    last = len(values_N) - 1
    reach = [min(half, i, last - i) for i in range(last + 1)]
    return np.array([values_N[i - r : i + r + 1].mean() for i, r in enumerate(reach)])


def run_range(request: RangeRequest, stop: StopSignal) -> int:
    """Do the test and tell what it suggests. Returns the exit code.

    Raises:
        UserError: a wrong configuration, or losses that say nothing.
        Interrupted: a signal came; the run has saved.
        OSError: disk full, say.
    """
    workspace = local_workspace(request.workspace)
    config = range_config(request)
    data = open_data(workspace, config)
    config = Space(config, ()).with_datasets(names_for_good(data)).base
    check(config, vocab_size=data.vocab_size)
    begin = choose(workspace, KIND, request.resume, {"base": to_dict(config)}, config.seed)
    child = next((r["run_id"] for r in workspace.rows("run") if r["parent_run_id"] == begin.run_id), new_ulid())
    if not begin.done:
        recorder = Recorder(workspace, begin.run_id, begin.attempt)
        recorder.begin(begin.run)
        log.info("range test %s, attempt %d, workspace %s", begin.run_id, begin.attempt, workspace.name)
        folder = workspace.run_folder(child)
        trial = TrialAtWork(0, f"{begin.run_id}-0000", child, {}, config, Losses(folder))
        try:
            _train(workspace, begin.run_id, trial, stop)
            _conclude(workspace, begin.run_id, folder, request)
        except Interrupted:
            recorder.end("interrupted", EXIT_INTERRUPTED, "stopped by a signal")
            log.warning("interrupted; the same command goes on, as does --resume %s", begin.run_id)
            raise
        except BaseException as error:
            recorder.end("failed", EXIT_USAGE, f"{type(error).__name__}: {error}"[:500])
            raise
        recorder.end("done", EXIT_DONE, None)
    else:
        _conclude(workspace, begin.run_id, workspace.run_folder(child), request)
    return EXIT_DONE


def _train(workspace: Workspace, run_id: str, trial: TrialAtWork, stop: StopSignal) -> None:
    """Have the run trained to its end, or to where its loss leaps."""
    folder = workspace.run_folder(run_id)
    said = trials.log_file(folder, 0)
    if trials.outcome(workspace, trial.run_id, None, said) is not None:
        return
    trials.start(trial, workspace, folder, run_id, environment(os.environ, 0, 1, trial.processes, 0))
    try:
        while trial.alive:
            stop.check()
            time.sleep(_POLL_SECONDS)
    finally:
        trials.stop(trial)
        trials.wait([trial], lambda: stop.at_once)
    stop.check()
    assert trial.process is not None
    ended = trials.outcome(workspace, trial.run_id, trial.process.returncode, said)
    assert ended is not None
    if ended.status == "killed":
        raise UserError(f"run {trial.run_id} was killed ({ended.why}); the same command goes on")
    if ended.status == "failed":
        if "Diverged" not in (ended.why or ""):
            raise UserError(f"run {trial.run_id}: {ended.why}")
        log.info("%s", ended.why)


def read_curve(folder: Path) -> list[tuple[float, float]]:
    """(learning rate, loss) of each step of a run, in order; a loss that is no number is nan."""
    found: dict[int, tuple[float, float]] = {}
    for path in sorted(folder.glob("metrics-*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except ValueError:  # cut off by a kill
                continue
            if "learning_rate" in row:
                loss = row.get("loss")
                found[row["step"]] = row["learning_rate"], math.nan if loss is None else loss
    return [found[step] for step in sorted(found)]


def _conclude(workspace: Workspace, run_id: str, run_folder: Path, request: RangeRequest) -> None:
    found = suggest(read_curve(run_folder))
    folder = workspace.run_folder(run_id)
    write_tsv(folder / "range.tsv", ["learning_rate", "loss", "smoothed_loss"], found.points)
    if can_draw():
        draw_range(folder / "range.svg", found.points, {"steepest": found.steepest, "lowest": found.lowest})
    print(f"range test {run_id}, run {run_folder.name}")
    print(f"table {folder / 'range.tsv'}")
    if (folder / "range.svg").exists():
        print(f"plot {folder / 'range.svg'}")
    print(f"the loss falls most steeply at {found.steepest:.3g} and is lowest at {found.lowest:.3g}")
    if not found.rises:
        log.warning("it does not rise up to --high %g: what is best may lie beyond", request.high)
    print(f"suggested learning rate: {found.steepest:.3g}")
    ratio = request.config.optimizer.min_learning_rate / request.config.optimizer.learning_rate
    lowest = f"--optimizer.min_learning_rate {ratio * found.steepest:.3g}"
    print(
        f"next: python -m training.pretrain --optimizer.learning_rate {found.steepest:.3g} {lowest} "
        f"--workspace {request.workspace}, with your other options"
    )
