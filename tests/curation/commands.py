"""Running the real commands, as a user would, and looking at what they leave."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from curation.catalog import open_catalog, rows
from curation.storage import open_workspace

ROOT = Path(__file__).resolve().parents[2]

NO_DEDUP = ("--dedup.url", "false", "--dedup.exact", "false", "--dedup.near.enabled", "false")
"""For inputs whose documents are alike on purpose."""


def environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """The environment of commands: our code, one thread for numerical libraries."""
    path = os.pathsep.join(filter(None, [(extra or {}).get("PYTHONPATH"), str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "OMP_NUM_THREADS": "1", **(extra or {}), "PYTHONPATH": path}


def command(module: str, *arguments: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``python -m module`` to its end."""
    line = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, env=environment(env), timeout=300, check=False)


def start(module: str, *arguments: object, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Start ``python -m module`` in a process group of its own."""
    line = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.Popen(
        line,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(env),
        start_new_session=True,
    )


def curate(workspace: Path | str, *arguments: object, code: int = 0, env: dict[str, str] | None = None) -> str:
    """``curation.run``, with its exit code checked; returns what it printed on stdout."""
    done = command("curation.run", *arguments, "--workspace", workspace, env=env)
    assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def digests(workspace: Path, run: int = -1) -> dict[str, str]:
    """Path inside the run -> sha256 of everything that a run (the newest) put under shards/."""
    folder = sorted((workspace / "shards").iterdir())[run]
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def ask(workspace: Path | str, sql: str) -> list[dict[str, Any]]:
    """Rows of a query, documents included."""
    with open_catalog(open_workspace(workspace), documents="document" in sql) as connection:
        return rows(connection, sql)


def reasons(workspace: Path) -> dict[tuple[str, str], int]:
    """(step or "quarantined" or "kept", reason) -> records, of all runs of a workspace."""
    found = ask(
        workspace,
        "SELECT step, reason, sum(documents)::BIGINT AS n FROM filter_count GROUP BY ALL UNION ALL "
        "SELECT 'quarantined', reason, count(*) FROM quarantine GROUP BY ALL UNION ALL "
        "SELECT 'kept', '', sum(documents)::BIGINT FROM shard WHERE shard_kind = 'kept'",
    )
    return {(row["step"], row["reason"]): row["n"] for row in found if row["n"]}


def check(workspace: Path | str) -> None:
    """``catalog check`` finds nothing wrong."""
    done = command("curation.catalog", "check", "--workspace", workspace)
    assert done.returncode == 0, done.stdout + done.stderr


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """All living descendants of a process."""
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def workers(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The worker processes of a run: grandchildren, forked by the fork server."""
    direct = {child.pid for child in psutil.Process(process.pid).children()}
    return [child for child in family(process) if child.pid not in direct]


def none_left(processes: list[psutil.Process], seconds: float = 5.0) -> bool:
    """Whether all of these processes are gone within some seconds."""
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def kill_group(process: subprocess.Popen[str], number: int = signal.SIGKILL) -> None:
    """Signal a whole process group."""
    os.killpg(process.pid, number)


def wait_for_parts(workspace: Path, least: int, process: subprocess.Popen[str], seconds: float = 60.0) -> None:
    """Wait until a run has committed some parts."""
    end = time.monotonic() + seconds
    while len(list(workspace.glob("runs/*/scratch/parts/*/*.json"))) < least:
        assert process.poll() is None, f"ended early: {process.communicate()}"
        assert time.monotonic() < end, "no part was committed in time"
        time.sleep(0.02)
