"""``torchrun ... -m training.pretrain``: tokenized datasets -> a language model, its checkpoints and its metrics.

Every process runs this file. All of them parse and check alike, before any process group exists; rank 0 alone writes
records and metrics, and decides what the others are told: which run this is, and whether to stop.
"""

import logging
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from types import FrameType
from typing import TYPE_CHECKING, Any

from curation.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_USAGE, UserError
from training.options import Request, parse

if TYPE_CHECKING:
    from training.data import TrainingData
    from training.engine.trainer import Trainer
    from training.plan import Plan
    from training.recording import Recorder
    from training.resume import Start

log = logging.getLogger("training")
KIND = "pretrain"


class Diverged(Exception):
    """The loss says that the run goes wrong; the message names the documents of the batch."""


class Pretraining:
    """One attempt at a run, in one process of it."""

    def __init__(self, request: Request, data: "TrainingData", plan: "Plan", start: "Start", trainer: "Trainer") -> None:
        from training.metrics import Guard, MetricsLog
        from training.recording import Recorder

        self.request, self.config, self.data, self.plan = request, request.config, data, plan
        self.start, self.trainer = start, trainer
        self.first = trainer.world.rank == 0
        self.stopping = False
        self.guard = Guard(self.config.guard)
        self.recorder: Recorder | None = None
        self.metrics: MetricsLog | None = None
        self._saved = trainer.steps_done if start.checkpoint else 0
