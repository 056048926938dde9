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
    resume: tuple[str, int] | None = None,
) -> Iterator[str]:
    """Record a run around a block; yields its id. An exception is recorded as its failure, and goes on.

    Args:
        resume: (run id, attempts so far) of an unfinished run of the same ``config``, which this goes on with.
        kind: ``audit``, say: the column ``kind`` of the table ``run``.
        config: everything that decides the result, as JSON values.
        packages: distributions that decide the result, beside those that decide what curation makes.

    Raises:
        OSError: the workspace cannot be written to.
    """
    versions = package_versions() | {name: importlib.metadata.version(name) for name in packages}
    commit, dirty = code_version()
    run_id, attempt = (new_ulid(), 1) if resume is None else (resume[0], resume[1] + 1)
    name = run_id if attempt == 1 else f"{run_id}-{attempt:04d}"
    run = Run(
        run_id=run_id,
        run_kind=kind,
        parent_run_id=parent,
        config=json.dumps(config),
        config_hash=config_hash(config),
        git_commit=commit,
        git_dirty=dirty,
        versions=json.dumps(versions),
        seed=seed,
        created_at=now(),
    )
    workspace.prepare()
    workspace.write([run], name=run_id)
    workspace.write([this_process(run_id, attempt)], name=name)
    workspace.run_folder(run_id).mkdir(parents=True, exist_ok=True)
    workspace.beat(run_id)
    stopped = threading.Event()

    def keep_beating() -> None:
        while not stopped.wait(workspace.beat_seconds):
            with contextlib.suppress(OSError):  # a full disk must not end the run from here
                workspace.beat(run_id)

    def end(status: str, code: int, why: str | None) -> None:
        ended = RunEnd(run_id=run_id, attempt=attempt, status=status, exit_code=code, why=why, finished_at=now())
        workspace.write([ended], name=name)
        with contextlib.suppress(OSError):  # the end is on record, which is what counts
            workspace.end_beat(run_id)

    threading.Thread(target=keep_beating, daemon=True, name="heartbeat").start()
    try:
        yield run_id
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


def config_hash(config: Mapping[str, Any]) -> str:
    """sha256 of the canonical JSON of a configuration."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()
