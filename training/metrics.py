"""What a run measures at each step: ``runs/<run_id>/metrics-<attempt>.jsonl``, a line a step, and TensorBoard.

The catalog's table ``metric`` reads the lines: each number is a row, named by its key; of a step that several
attempts have done the newest counts.
"""

import importlib.util
import json
import math
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from training.config import GuardConfig

ALL = "validation/all"
"""The loss of a validation over everything that is held out: its mean over tokens, whatever dataset they are of."""


class MetricsLog:
    """Appends lines; each is in the file when ``write`` returns, so that a reader sees a run as it goes."""

    def __init__(self, folder: Path, attempt: int, done: int = 0) -> None:
        """
        Args:
            folder: of the run.
            attempt: number of this attempt at it.
            done: the step that it goes on from; TensorBoard forgets what earlier attempts did behind it.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / f"metrics-{attempt:04d}.jsonl").open("a", encoding="utf-8")
        self._board: Any = None
        if importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=done + 1 if attempt > 1 else None)

    def write(self, step: int, values: Mapping[str, float | int | None]) -> None:
        """Write a step's numbers; what is not finite is null, as JSON has no other word for it."""
        known = {name: value for name, value in values.items() if value is not None}
        plain = {name: value if math.isfinite(value) else None for name, value in known.items()}
        self._file.write(json.dumps({"step": step, **plain}) + "\n")
        self._file.flush()
        if self._board is not None:
            for name, value in known.items():
                self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Nothing is written afterwards."""
        self._file.close()
        if self._board is not None:
            self._board.close()


class Guard:
    """Tells when a loss says that the run goes wrong."""

    def __init__(self, config: GuardConfig) -> None:
        self.config = config
        self._recent: deque[float] = deque(maxlen=config.spike_window)

    def objection(self, loss: float, grad_norm: float) -> str | None:
        """Why a step's loss must not be gone on from; None where all is well."""
        if not math.isfinite(loss):
            return f"the loss is {loss}"
        if not math.isfinite(grad_norm):
            return f"the norm of the gradient is {grad_norm}"
        factor = self.config.spike_factor
        if factor is not None and len(self._recent) == self.config.spike_window:
            usual = median(self._recent)
            if loss > factor * usual:
                return (
                    f"the loss is {loss:.4f}, more than {factor:g} times its median of {usual:.4f} over the last "
                    f"{self.config.spike_window} steps (guard.spike_factor)"
                )
        self._recent.append(loss)
        return None
