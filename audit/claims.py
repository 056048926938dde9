"""Who audits what: files that only one of several watchers, on whatever hosts, can make.

A claim ties a piece of work (a checkpoint and a configuration) to one run for ever, so that whoever does it does the
same run. A lease says who is at it now; it is renewed as long as its holder lives, and whoever finds it dead makes the
next one. Both are made by a hard link, which succeeds for one of several who try.
"""

import contextlib
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from curation.processes import is_alive, this_process
from curation.records import new_ulid
from curation.workspace import Workspace, write_durably

LEASE_SECONDS = 60.0
"""A holder on another machine that has not renewed its lease for so long is dead."""


class Claims:
    """Claims on work of a workspace."""

    def __init__(self, workspace: Workspace, lease_seconds: float = LEASE_SECONDS) -> None:
        self.folder = workspace.root / "audits" / "claims"
        self.lease_seconds = lease_seconds

    def run_of(self, key: str) -> str:
        """The run that does a piece of work, the same for all who ask. Raises OSError."""
        path = self.folder / key / "run"
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            if not path.exists():
                write_durably(path, new_ulid().encode(), replace=False)
        return path.read_text(encoding="ascii")

    @contextlib.contextmanager
    def lease(self, key: str, run_id: str) -> Iterator[bool]:
        """Be the one who does a piece of work, within this block; yields False where somebody else is at it.

        Raises:
            OSError: the workspace cannot be written to.
        """
        path = self._take(key, run_id)
        if path is None:
            yield False
            return
        stopped = threading.Event()

        def renew() -> None:
            while not stopped.wait(self.lease_seconds / 6):
                with contextlib.suppress(OSError):  # the file system may be back before the lease is over
                    os.utime(path)

        threading.Thread(target=renew, daemon=True, name="lease").start()
        try:
            yield True
        finally:
            stopped.set()
            with contextlib.suppress(OSError):
                path.rename(path.with_suffix(".given-back"))

    def _take(self, key: str, run_id: str) -> Path | None:
        folder = self.folder / key
        newest = max((int(path.stem.partition("-")[2]) for path in folder.glob("lease-*.*")), default=0)
        held = folder / f"lease-{newest:06d}.json"
        if newest and self._is_held(held):
            return None
        path = folder / f"lease-{newest + 1:06d}.json"
        holder = {
            name: value for name, value in asdict(this_process(run_id, newest + 1)).items() if name != "started_at"
        }
        try:
            write_durably(path, json.dumps(holder).encode(), replace=False)
        except FileExistsError:
            return None
        return path

    def _is_held(self, path: Path) -> bool:
        try:
            holder = json.loads(path.read_bytes())
            renewed = path.stat().st_mtime
        except (FileNotFoundError, ValueError):  # given back, also while we look
            return False
        return is_alive(holder, renewed, self.lease_seconds)
