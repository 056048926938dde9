"""Metrics: the lines, TensorBoard, and when a loss is objected to."""

import json
import math
from pathlib import Path

import pytest

from training.config import GuardConfig
from training.metrics import Guard, MetricsLog


def test_lines_say_what_was_measured_and_null_for_what_is_not_finite(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path, 1)
    log.write(1, {"loss": 2.5, "mfu": None})
    log.write(2, {"loss": math.nan})
    written = [json.loads(line) for line in (tmp_path / "metrics-0001.jsonl").read_text().splitlines()]
    log.close()
    assert written == [{"step": 1, "loss": 2.5}, {"step": 2, "loss": None}]


def test_tensorboard_shows_each_step_once_after_a_resume(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="no tensorboard")
    first = MetricsLog(tmp_path, 1)
    for step in range(1, 8):
        first.write(step, {"loss": 10.0 + step})
    first.close()
    second = MetricsLog(tmp_path, 2, done=4)  # from the checkpoint behind step 4
    for step in range(5, 11):
        second.write(step, {"loss": 20.0 + step})
    second.close()
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    shown = [(each.step, each.value) for each in events.Scalars("loss")]
    assert shown == [(step, 10.0 + step) for step in range(1, 5)] + [(step, 20.0 + step) for step in range(5, 11)]


@pytest.mark.parametrize(
    ("losses", "norm", "message"),
    [
        ([2.0, math.inf], 1.0, "the loss is inf"),
        ([2.0], math.nan, "the norm of the gradient is nan"),
        ([2.0, 2.0, 2.0, 5.9], 1.0, None),
        ([2.0, 2.0, 2.0, 6.1], 1.0, "more than 3 times its median of 2.0000"),
        ([2.0, 2.0, 6.1], 1.0, None),  # too early to tell
    ],
)
def test_what_is_objected_to(losses: list[float], norm: float, message: str | None) -> None:
    guard = Guard(GuardConfig(spike_factor=3.0, spike_window=3))
    *before, last = losses
    assert all(guard.objection(loss, 1.0) is None for loss in before)
    why = guard.objection(last, norm)
    assert (why is None) if message is None else (why is not None and message in why)
