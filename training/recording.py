"""What a training run puts on record: itself, its attempts and datasets, its checkpoints, and how it ended.

Rank 0 alone writes. A run that is gone on with keeps its id; each attempt has a number.
"""

import contextlib
import fcntl
import json
import logging
import shutil
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from curation.errors import UserError
from curation.processes import this_process
from curation.provenance import code_version, package_versions
from curation.records import Checkpoint, CheckpointRemoval, Run, RunDataset, RunEnd, now
from curation.weights import weights_sha256
from curation.workspace import Workspace
from training.config import CheckpointConfig
from training.folders import checkpoint_folder, checkpoint_id, checkpoint_steps, checkpoints_folder
from training.manifest import read_manifest

log = logging.getLogger("training")

PACKAGES = ("torch", "nanotron", "safetensors", "tokenizers")
"""Beside what decides what curation makes: what decides what training makes."""


class Recorder:
    """One attempt at a run, on record from ``begin`` to ``end``."""

    def __init__(self, workspace: Workspace, run_id: str, attempt: int) -> None:
        self.workspace, self.run_id, self.attempt = workspace, run_id, attempt
        self._stopped = threading.Event()
        self._background = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoints")
        self._lock: Any = None

    def begin(self, run: Run | None, datasets: Sequence[RunDataset] = ()) -> None:
        """Go on record, with the run itself if it is new, and give signs of life from now on.

        Raises:
            UserError: another process is at work on the run.
            OSError: the workspace cannot be written to.
        """
        folder = self.workspace.run_folder(self.run_id)
        self.workspace.prepare()
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = (folder / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"run {self.run_id} is at work in another process; stop that first") from None
        if run is not None:
            self.workspace.write([*datasets, run], name=run.run_id)
        attempt = this_process(self.run_id, self.attempt)
        self.workspace.write([attempt], name=f"{self.run_id}-{self.attempt:04d}")
        self.workspace.beat(self.run_id)
        threading.Thread(target=self._keep_beating, daemon=True, name="heartbeat").start()
        self.complete_records()

    def _keep_beating(self) -> None:
        while not self._stopped.wait(self.workspace.beat_seconds):
            with contextlib.suppress(OSError):  # a full disk must not end the run from here
                self.workspace.beat(self.run_id)

    def end(self, status: str, code: int, why: str | None) -> None:
        """Record how the attempt ended, once the last checkpoint is on record.

        Raises:
            OSError: disk full.
        """
        self._background.shutdown()
        ended = RunEnd(
            run_id=self.run_id, attempt=self.attempt, status=status, exit_code=code, why=why, finished_at=now()
        )
        self.workspace.write([ended], name=f"{self.run_id}-{self.attempt:04d}")
        self._stopped.set()
        with contextlib.suppress(OSError):  # the end is on record, which is what counts
            self.workspace.end_beat(self.run_id)

    # ---- checkpoints ----

    def keep_checkpoint(self, step: int, rule: CheckpointConfig) -> None:
        """Record a checkpoint that has just appeared, and remove those that the rule gives up; in the background, as
        hashing weights and deleting files take a while."""
        self._background.submit(self._keep, step, rule)

    def _keep(self, step: int, rule: CheckpointConfig) -> None:
        try:
            self._record(step)
            self.remove_old(rule)
        except Exception as error:  # the run goes on, and the next attempt at it tries again
            log.warning("checkpoint %s: %s: %s", checkpoint_id(self.run_id, step), type(error).__name__, error)

    def complete_records(self) -> None:
        """Record the checkpoints that a killed attempt has left without a record."""
        known = {row["checkpoint_id"] for row in self.workspace.rows("checkpoint")}
        for step in checkpoint_steps(self.workspace, self.run_id):
            if checkpoint_id(self.run_id, step) not in known:
                self._record(step)

    def _record(self, step: int) -> None:
        folder = checkpoint_folder(self.workspace, self.run_id, step)
        facts = read_manifest(folder)["facts"]
        found = Checkpoint(
            checkpoint_id=checkpoint_id(self.run_id, step),
            run_id=self.run_id,
            step=step,
            tokens_seen=facts["tokens_seen"],
            path=folder.relative_to(self.workspace.root).as_posix(),
            weights_sha256=weights_sha256(folder),
            data_position=facts["data_position"],
            created_at=now(),
        )
        self.workspace.write([found], name=found.checkpoint_id)

    def remove_old(self, rule: CheckpointConfig) -> None:
        """Remove the checkpoints that the rule does not keep and that no audit is at work on.

        Raises:
            OSError: no permission, say.
        """
        steps = checkpoint_steps(self.workspace, self.run_id)
        claimed = claimed_checkpoints(self.workspace)
        gone = {row["checkpoint_id"] for row in self.workspace.rows("checkpoint_removal")}
        for step in removable(steps, rule):
            name = checkpoint_id(self.run_id, step)
            if name in claimed:
                continue
            if name not in gone:  # else an attempt was killed behind this
                removal = CheckpointRemoval(checkpoint_id=name, why="checkpoints.keep_last", removed_at=now())
                self.workspace.write([removal], name=name)
            folder = checkpoint_folder(self.workspace, self.run_id, step)
            aside = folder.with_name(f".{folder.name}.removing")
            folder.rename(aside)  # gone at once, whatever happens while files are deleted
            shutil.rmtree(aside)
        for left in checkpoints_folder(self.workspace, self.run_id).glob(".*.removing"):
            shutil.rmtree(left, ignore_errors=True)


def new_run(
    run_id: str, kind: str, config: Mapping[str, Any], config_hash: str, seed: int, parent: str | None = None
) -> Run:
    """The record of a run that begins now."""
    commit, dirty = code_version()
    import importlib.metadata

    versions = package_versions() | {name: importlib.metadata.version(name) for name in PACKAGES}
    return Run(
        run_id=run_id,
        run_kind=kind,
        parent_run_id=parent,
        config=json.dumps(config),
        config_hash=config_hash,
        git_commit=commit,
        git_dirty=dirty,
        versions=json.dumps(versions),
        seed=seed,
        created_at=now(),
    )


def removable(steps: Sequence[int], rule: CheckpointConfig) -> list[int]:
    """The steps whose checkpoints the rule gives up, oldest first."""
    newest = set(sorted(steps)[-rule.keep_last :])
    return [
        step for step in sorted(steps) if step not in newest and not (rule.keep_every and step % rule.keep_every == 0)
    ]


def claimed_checkpoints(workspace: Workspace) -> set[str]:
    """Checkpoints that an unfinished audit has claimed."""
    ended = {row["run_id"] for row in workspace.rows("run_end")}
    return {row["checkpoint_id"] for row in workspace.rows("checkpoint_claim") if row["run_id"] not in ended}
