"""A trial at work: its process, the losses that it writes, and how it ended, as its own records tell."""

import contextlib
import fcntl
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from curation.errors import EXIT_INTERRUPTED
from curation.options import to_dict
from curation.workspace import Workspace, write_durably
from training.config import PretrainConfig
from training.metrics import ALL

PATIENCE_SECONDS = 60.0
"""How long a stopped trial may take to save."""


class Outcome(NamedTuple):
    """How the process of a trial ended."""

    status: str
    """``done``, ``failed``, or ``killed``: by a signal, so that it can go on."""
    why: str | None


class Losses:
    """The validation losses of a run, read as they are written, each step once, in order."""

    def __init__(self, folder: Path) -> None:
        """
        Args:
            folder: of the run; it may appear later.
        """
        self.folder = folder
        self.newest = 0.0, 0
        """Loss and step of the last one."""
        self._offsets: dict[Path, int] = {}

    @property
    def attempt(self) -> int:
        """The newest attempt that has written anything; 0: none has."""
        return max((int(path.stem.rpartition("-")[2]) for path in self._offsets), default=0)

    def read(self) -> list[tuple[int, float]]:
        """(step, loss) of the validations that are new; a loss that is no number is nan."""
        found: dict[int, float] = {}
        for path in sorted(self.folder.glob("metrics-*.jsonl")):
            with path.open("rb") as file:
                file.seek(self._offsets.get(path, 0))
                data = file.read()
            whole = data[: data.rfind(b"\n") + 1]  # what follows is being written
            self._offsets[path] = self._offsets.get(path, 0) + len(whole)
            for line in whole.splitlines():
                with contextlib.suppress(ValueError):  # cut off by a kill
                    row = json.loads(line)
                    if ALL in row:
                        found[row["step"]] = math.nan if row[ALL] is None else row[ALL]
        new = [(step, loss) for step, loss in sorted(found.items()) if step > self.newest[1]]
        if new:
            self.newest = new[-1][1], new[-1][0]
        return new


@dataclass
class TrialAtWork:
    """A trial that has not ended."""

    number: int
    trial_id: str
    run_id: str
    values: dict[str, Any]
    config: PretrainConfig | None
    """None: the values do not go together."""
    losses: Losses
    refused: str | None = None
    """Why there is no ``config``."""
    slot: int = 0
    """Which of the trials at once it is."""
    starts: int = 0
    process: "subprocess.Popen[bytes] | None" = None
    over: bool = False
    """Whether its end is on record, while its process may still be ending."""
    stopped_at: float = 0.0
    """When its process was told to end, on the monotonic clock; 0: it was not."""

    @property
    def alive(self) -> bool:
        """Whether it has a process that runs."""
        return self.process is not None and self.process.poll() is None

    @property
    def processes(self) -> int:
        """Processes that train it."""
        assert self.config is not None
        split = self.config.parallelism
        return split.data * split.tensor * split.pipeline

    @property
    def tokens_per_step(self) -> int:
        """Tokens that a step predicts."""
        assert self.config is not None
        return self.config.batch.global_batch_size * self.config.batch.sequence_length


def config_file(folder: Path, number: int) -> Path:
    """The configuration of a trial, in the folder of its sweep."""
    return folder / "trials" / f"trial-{number:04d}.yaml"


def log_file(folder: Path, number: int) -> Path:
    """What a trial's process said."""
    return folder / "trials" / f"trial-{number:04d}.log"


def write_config(path: Path, config: PretrainConfig, comment: str) -> None:
    """Write a configuration that ``training.pretrain`` runs as it is.

    Raises:
        OSError: disk full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(to_dict(config), sort_keys=False, allow_unicode=True)
    write_durably(path, f"# {comment}\n{text}".encode())


def start(trial: TrialAtWork, workspace: Workspace, folder: Path, sweep_run_id: str, env: Mapping[str, str]) -> None:
    """Start, or go on with, the process of a trial. It ends when this thread does.

    Raises:
        OSError: disk full, or no more processes.
    """
    assert trial.config is not None
    processes = trial.processes
    path = config_file(folder, trial.number)
    write_config(path, trial.config, f"trial {trial.number} of sweep {sweep_run_id}")
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"] if processes > 1 else []
    named = ["--run-id", trial.run_id, "--parent", sweep_run_id]
    command = [
        *(sys.executable, *launcher, "-m", "training.pretrain"),
        *("--config", str(path), "--workspace", workspace.name, *named),
    ]
    with log_file(folder, trial.number).open("ab") as log:
        trial.process = subprocess.Popen(
            [sys.executable, "-m", "training.sweep.child", str(os.getpid()), *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=dict(env),
            start_new_session=True,  # Ctrl-C reaches the sweep alone, which then stops each trial once
        )
    trial.starts += 1
    trial.stopped_at = 0.0


def stop(trial: TrialAtWork) -> None:
    """Have the process of a trial save and end."""
    if trial.process is not None and trial.process.poll() is None and not trial.stopped_at:
        trial.process.send_signal(signal.SIGTERM)
        trial.stopped_at = time.monotonic()


def kill(trial: TrialAtWork) -> None:
    """End the processes of a trial at once."""
    if trial.process is not None and trial.process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(trial.process.pid, signal.SIGKILL)
        trial.process.wait()


def wait(stopped: Sequence[TrialAtWork], at_once: Callable[[], bool]) -> None:
    """Wait until trials that were stopped are gone; those that take too long to save are killed.

    Args:
        at_once: whether to wait no longer.
    """
    while any(trial.alive for trial in stopped):
        for trial in stopped:
            if at_once() or time.monotonic() - trial.stopped_at > PATIENCE_SECONDS:
                kill(trial)
        time.sleep(0.05)


def is_locked(workspace: Workspace, run_id: str) -> bool:
    """Whether a process is at work on a run."""
    try:
        with (workspace.run_folder(run_id) / "lock").open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def outcome(workspace: Workspace, run_id: str, code: int | None, log: Path) -> Outcome | None:
    """How a trial whose process is gone ended.

    Args:
        code: exit code of its process, negative for a signal; None: there is no process, and records alone tell.
        log: what the process said.

    Returns:
        None: it has not ended, as far as anybody knows.
    """
    # A run of a sweep has few attempts, whose records are called as this.
    ends = _records(workspace, "run_end", run_id)
    attempts = _records(workspace, "attempt", run_id)
    newest = max(attempts, default=0)
    end = ends.get(newest) if newest else None
    if end is not None and end["status"] == "done":
        return Outcome("done", None)
    if end is not None and end["status"] == "failed":
        return Outcome("failed", end["why"])
    if code is None:
        return None
    if newest or code < 0 or code == EXIT_INTERRUPTED:
        return Outcome("killed", f"signal {-code}" if code < 0 else f"exit code {code}")
    return Outcome("failed", last_error(log) or f"exit code {code}")


def _records(workspace: Workspace, kind: str, run_id: str) -> dict[int, dict[str, Any]]:
    return {int(row["attempt"]): row for row in workspace.rows(kind) if row["run_id"] == run_id}


def last_error(log: Path) -> str | None:
    """The last line of a log that tells of an error, without its time."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-200:]
    except FileNotFoundError:
        return None
    told = [line.partition(" ERROR ")[2] for line in lines if " ERROR " in line]
    raised = [line for line in lines if "Error: " in line and not line.startswith(" ")]
    found = told or raised
    return found[-1] if found else None
