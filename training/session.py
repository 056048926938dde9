"""One attempt at a training run: check, begin, train step by step, validate, save, end.

Every process of the run does this; what only one may do, rank 0 does.
"""

import logging
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from curation.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_USAGE, UserError
from curation.progress import Progress
from curation.records import RunDataset
from curation.storage import open_workspace
from training.checks import check
from training.data import TrainingData, open_data
from training.folders import checkpoint_folder
from training.metrics import Guard, MetricsLog
from training.options import Request
from training.plan import Plan, plan
from training.recording import Recorder, new_run
from training.resume import Start, choose, identity_hash
from training.runs import describe_run

if TYPE_CHECKING:
    from training.engine.trainer import StepResult, Trainer

log = logging.getLogger("training")


class Stopped(Exception):
    """SIGTERM or SIGINT came; what is done is saved."""


class Diverged(Exception):
    """The loss says that the run goes wrong; the message names the documents of the batch."""


def train(kind: str, request: Request) -> int:
    """Train as asked for, from the beginning or from where an earlier attempt left off. Returns the exit code.

    Raises:
        UserError: before any process group exists, unless a file is damaged.
        Stopped, Diverged: the run is on record as interrupted, or as failed.
    """
    workspace = open_workspace(request.workspace)
    if not workspace.local:
        raise UserError(f"--workspace {workspace.name}: training needs a folder that all its processes see")
    data = open_data(workspace, request.config)
    config = request.config
    check(config, vocab_size=data.vocab_size)
    described = describe_run(config, data.datasets)
    start = choose(workspace, kind, request.resume, described)
    if start.done:
        log.info("run %s is done already; --resume never starts another one like it", start.run_id)
        return EXIT_DONE
    return 0
