"""Which processes are at work on a run: how a killed run is told from a running one."""

import os
import socket
import time
from functools import cache
from pathlib import Path
from typing import Any

from curation.records import Attempt, now
from curation.workspace import Workspace


def this_process(run_id: str, attempt: int) -> Attempt:
    """The attempt record of the calling process."""
    import psutil

    return Attempt(
        run_id=run_id,
        attempt=attempt,
        host=socket.gethostname(),
        boot_id=boot_id(),
        pid=os.getpid(),
        pid_created=psutil.Process().create_time(),
        started_at=now(),
    )


@cache
def boot_id() -> str:
    """Names this boot of this machine, so that a pid is compared only where it means something."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        import psutil

        return f"{socket.gethostname()}-{psutil.boot_time():.0f}"


def is_alive(attempt: dict[str, Any], heartbeat_at: float | None, stale_seconds: float) -> bool:
    """Whether an attempt without an end is still running.

    On the same boot of the same machine its process tells, at once; elsewhere the heartbeat must be
    younger than ``stale_seconds``.
    """
    if attempt["host"] == socket.gethostname() and attempt["boot_id"] == boot_id():
        import psutil

        try:
            process = psutil.Process(attempt["pid"])
            same = abs(process.create_time() - attempt["pid_created"]) < 1.0
            return bool(same and process.status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False
    return heartbeat_at is not None and time.time() - heartbeat_at < stale_seconds


def host_at_work(workspace: Workspace, run_id: str, stale_seconds: float) -> str | None:
    """The host on which the newest attempt at a run is alive: no lock reaches all who use an object store."""
    attempts = [row for row in workspace.rows("attempt") if row["run_id"] == run_id]
    ended = {row["attempt"] for row in workspace.rows("run_end") if row["run_id"] == run_id}
    newest = max(attempts, key=lambda row: int(row["attempt"]), default=None)
    if newest is None or newest["attempt"] in ended:
        return None
    beat = workspace.beats([run_id]).get(run_id)
    return str(newest["host"]) if is_alive(newest, beat, stale_seconds) else None
