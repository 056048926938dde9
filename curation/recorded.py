"""A command's run on record: what was asked for, that it is alive, and how it ended.

``curation.session`` does more (locks, resumes); commands that begin, work and end in one process need no more than
this.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from curation.errors import EXIT_INTERRUPTED, EXIT_USAGE
from curation.processes import this_process
from curation.provenance import code_version, package_versions
from curation.records import Run, RunEnd, new_ulid, now
from curation.workspace import Workspace


@contextlib.contextmanager
def recorded_run(
    workspace: Workspace,
    kind: str,
    config: Mapping[str, Any],
    parent: str | None = None,
    seed: int = 0,
    packages: Sequence[str] = (),
) -> Iterator[str]:
    """Record a run around a block; yields its id. An exception is recorded as its failure, and goes on.

    Args:
        kind: ``audit``, say: the column ``kind`` of the table ``run``.
        config: everything that decides the result, as JSON values.
        packages: distributions that decide the result, beside those that decide what curation makes.

    Raises:
        OSError: the workspace cannot be written to.
    """
    versions = package_versions() | {name: importlib.metadata.version(name) for name in packages}
    commit, dirty = code_version()
    run = Run(
        run_id=new_ulid(),
        run_kind=kind,
        parent_run_id=parent,
        config=json.dumps(config),
        config_hash=hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest(),
        git_commit=commit,
        git_dirty=dirty,
        versions=json.dumps(versions),
        seed=seed,
        created_at=now(),
    )
    workspace.prepare()
    workspace.write([run, this_process(run.run_id, 1)], name=run.run_id)
    workspace.run_folder(run.run_id).mkdir(parents=True, exist_ok=True)
    workspace.beat(run.run_id)
    stopped = threading.Event()

    def keep_beating() -> None:
        while not stopped.wait(workspace.beat_seconds):
            with contextlib.suppress(OSError):  # a full disk must not end the run from here
                workspace.beat(run.run_id)

    def end(status: str, code: int, why: str | None) -> None:
        ended = RunEnd(run_id=run.run_id, attempt=1, status=status, exit_code=code, why=why, finished_at=now())
        workspace.write([ended], name=run.run_id)
        with contextlib.suppress(OSError):  # the end is on record, which is what counts
            workspace.end_beat(run.run_id)

    threading.Thread(target=keep_beating, daemon=True, name="heartbeat").start()
    try:
        yield run.run_id
    except KeyboardInterrupt:
        end("interrupted", EXIT_INTERRUPTED, "stopped by the user")
        raise
    except BaseException as error:
        with contextlib.suppress(OSError):  # a full disk takes not even this; the run then shows as dead
            end("failed", EXIT_USAGE, f"{type(error).__name__}: {error}"[:500])
        raise
    else:
        end("done", 0, None)
    finally:
        stopped.set()
