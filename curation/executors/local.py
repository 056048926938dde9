"""The local supervisor: each task of a stage in a process of its own, watched.

datatrove's local executor hangs for ever when a worker is killed (by the system for want of memory,
say), and loses the whole run to one bad record. Here a killed task starts again behind what it has
committed, and a record that kills twice is quarantined. No process outlives the supervisor: a worker ends
when the pipe to it closes, whatever became of the other side.
"""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from curation.errors import EXIT_INTERRUPTED, UserError
from curation.journal import Entry, read_entry

if TYPE_CHECKING:
    from curation.config import CurationConfig
    from curation.plan import RunFolder
    from curation.progress import Progress

GRACE_SECONDS = 10.0
"""How long workers may take to finish the record in work and commit when the run is stopped."""
MOST_DEATHS_WITHOUT_PROGRESS = 20
"""A task whose worker dies this often without a step forward ends the run: the machine is at fault."""
STRIKES = 2
"""A record that was in work this often when its worker was killed is quarantined."""


def warm_up() -> None:
    """Start the fork server: it loads what workers need while this process reads its configuration."""
    forkserver.set_forkserver_preload(["curation.preload"])
    forkserver.ensure_running()


class Interrupted(Exception):
    """The user stopped the run (Ctrl-C or SIGTERM); everything finished is on disk."""


class TaskFailed(Exception):
    """A task ended with an error that is not a record's fault; the run can be resumed."""


@dataclass(slots=True)
class _Worker:
    """A living worker and what the supervisor knows of it."""

    rank: int
    process: Any
    pipe: Connection
    """Our end: closing it ends the worker; it sends the traceback of an error through it."""
    seen: tuple[object, ...] = ()
    cpu_at_seen: float = 0.0
    over_limit: bool = False


@dataclass(slots=True)
class _Task:
    """The history of a task across its worker processes."""

    rank: int
    deaths: int = 0
    blamed: tuple[object, ...] = ()
    strikes: int = 0
    base: int = 0
    """Records committed before this attempt at the run."""
    documents: int = 0
    """Records committed since by workers that have ended."""
    parts: int = 0
    """Parts committed when the last worker ended."""


class StopSignal:
    """Turns SIGINT and SIGTERM into a flag for as long as it is entered; a second one kills at once."""

    def __init__(self) -> None:
        self.requests = 0

    @contextlib.contextmanager
    def watch(self) -> Iterator["StopSignal"]:
        """Install the handlers (main thread only), and put the old ones back."""

        def request(signum: int, frame: object) -> None:
            self.requests += 1

        old = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)

    def check(self) -> None:
        """Raise Interrupted if a stop was requested."""
        if self.requests:
            raise Interrupted


def run_stage(
    folder: "RunFolder",
    stage: str,
    config: "CurationConfig",
    weights: Sequence[int],
    stop: StopSignal,
    progress: "Progress",
) -> None:
    """Run all tasks of a stage that are not complete, ``config.execution.workers`` at a time.

    Args:
        weights: bytes of each task; the heaviest start first, and progress is told in them.

    Raises:
        Interrupted: the user stopped the run.
        TaskFailed: a task cannot go on; the message says why.
    """
    completions = folder.stage(stage) / "completions"
    todo = [rank for rank in range(len(weights)) if not (completions / f"{rank:05d}").exists()]
    progress.start(stage, sum(weights), sum(weights) - sum(weights[rank] for rank in todo))
    if todo:
        _Supervisor(folder, stage, config, weights, stop, progress).run(todo)
    progress.finish()


class _Supervisor:
    def __init__(
        self,
        folder: "RunFolder",
        stage: str,
        config: "CurationConfig",
        weights: Sequence[int],
        stop: StopSignal,
        progress: "Progress",
    ) -> None:
        self.folder, self.stage, self.config = folder, stage, config
        self.weights, self.stop, self.progress = weights, stop, progress
        self.limit = max(1, config.execution.workers or _cores())
        self.context = multiprocessing.get_context("forkserver")
        self.workers: dict[int, _Worker] = {}
        self.tasks: dict[int, _Task] = {}
        self.done_weight = 0
        self.done_documents = 0

    def run(self, todo: Sequence[int]) -> None:
        queue = sorted(todo, key=lambda rank: (-self.weights[rank], rank), reverse=True)
        self.tasks = {rank: _Task(rank, base=self._committed_documents(rank)) for rank in todo}
        try:
            while queue or self.workers:
                while queue and len(self.workers) < self.limit:
                    self._start(queue.pop())
                wait([worker.process.sentinel for worker in self.workers.values()], timeout=0.2)
                for worker in [w for w in self.workers.values() if w.process.exitcode is not None]:
                    if not self._ended(worker):
                        queue.append(worker.rank)
                self._watch()
                self.stop.check()
        finally:
            self._end_all()

    def _start(self, rank: int) -> None:
        ours, theirs = self.context.Pipe()
        self.folder.journal(self.stage, rank).unlink(missing_ok=True)
        process = self.context.Process(
            target=_work,
            args=(
                theirs,
                self.folder,
                self.stage,
                self.config,
                len(self.weights),
                rank,
                self.tasks[rank].deaths,
            ),
            name=f"{self.stage}-{rank}",
        )
        process.start()
        theirs.close()
        self.workers[rank] = _Worker(rank, process, ours)

    def _entry(self, rank: int) -> Entry:
        return read_entry(self.folder.journal(self.stage, rank))

    def _ended(self, worker: _Worker) -> bool:
        """Take note of an ended worker; True when its task is complete, False to start it again."""
        task = self.tasks[worker.rank]
        entry = self._entry(worker.rank)
        message: str | None = None
        with contextlib.suppress(EOFError, OSError):  # a killed worker leaves an empty pipe
            message = worker.pipe.recv() if worker.pipe.poll() else None
        worker.pipe.close()
        worker.process.join()
        del self.workers[worker.rank]
        code = worker.process.exitcode
        if code == 0:
            self.done_weight += self.weights[worker.rank]
            self.done_documents += task.documents + entry.documents
            return True
        if message is not None:
            raise TaskFailed(message)
        if self.stage == "extract":  # what was not committed is worked on again
            task.documents = self._committed_documents(task.rank) - task.base
        if code == EXIT_INTERRUPTED:  # stopped by a signal of its own: whatever it had is committed
            return False
        self._blame(task, entry, worker.over_limit)
        self.progress.note(
            f"worker of {self.stage} task {task.rank} was killed ({_describe(code)}) "
            f"while {entry.state} at file {entry.file}, offset {entry.offset}; its task starts again"
        )
        return False

    def _blame(self, task: _Task, entry: Entry, over_limit: bool) -> None:
        """Count a death against the record in work; quarantine it with the second."""
        parts = self._committed_parts(task.rank)
        task.deaths = 1 if parts > task.parts else task.deaths + 1
        task.parts = parts
        if task.deaths > MOST_DEATHS_WITHOUT_PROGRESS:
            raise TaskFailed(
                f"the worker of {self.stage} task {task.rank} was killed {task.deaths} times without a step "
                "forward: is memory short? Free some, or run with --execution.workers 1, and resume"
            )
        if entry.state == "starting" or self.stage != "extract":
            return
        task.strikes = task.strikes + 1 if entry.record == task.blamed else 1
        task.blamed = entry.record
        if task.strikes >= STRIKES or over_limit:
            self._quarantine(task.rank, entry, "cpu_limit" if over_limit else "killed_worker")
            task.strikes, task.blamed = 0, ()

    def _committed_documents(self, rank: int) -> int:
        from curation.steps.common import committed

        return sum(sum(manifest["read"].values()) for manifest in committed(self.folder, rank))

    def _committed_parts(self, rank: int) -> int:
        if self.stage == "extract":
            return len(list(self.folder.parts(rank).glob("*.json")))
        return len(list(self.folder.facts("").parent.glob("*/*.json")))

    def _quarantine(self, rank: int, entry: Entry, reason: str) -> None:
        from curation.pipeline import load_poison, save_poison

        poison = load_poison(self.folder, rank)
        if entry.state == "working":
            poison.records[(entry.file, entry.offset, entry.index)] = reason
        else:
            poison.barriers[entry.file] = (entry.offset, entry.index, reason)
        save_poison(self.folder, rank, poison)

    def _watch(self) -> None:
        """Show progress; kill a worker whose record has burnt far more CPU than the extraction limit."""
        import psutil

        weight, documents = self.done_weight, self.done_documents
        allowance = 3 * self.config.extract.cpu_limit_s + 20
        for worker in self.workers.values():
            entry = self._entry(worker.rank)
            documents += self.tasks[worker.rank].documents + entry.documents
            weight += min(entry.bytes_done, self.weights[worker.rank])
            try:
                times = psutil.Process(worker.process.pid).cpu_times()
            except psutil.NoSuchProcess:
                continue
            cpu = times.user + times.system
            if entry.record != worker.seen:
                worker.seen, worker.cpu_at_seen = entry.record, cpu
            elif self.stage == "extract" and entry.state == "working" and cpu - worker.cpu_at_seen > allowance:
                worker.over_limit = True
                worker.process.kill()
        self.progress.update(weight, documents)

    def _end_all(self) -> None:
        """Ask the workers to commit and end; kill those that do not, or all on a second Ctrl-C."""
        for worker in self.workers.values():
            worker.process.terminate()
        deadline = time.monotonic() + GRACE_SECONDS
        for worker in self.workers.values():
            while worker.process.exitcode is None and time.monotonic() < deadline and self.stop.requests < 2:
                worker.process.join(0.1)
            worker.process.kill()
            worker.process.join()
            worker.pipe.close()
        self.workers.clear()


def _cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _describe(code: int | None) -> str:
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit code {code}"


def _work(
    pipe: Connection,
    folder: "RunFolder",
    stage: str,
    config: "CurationConfig",
    tasks: int,
    rank: int,
    deaths: int,
) -> None:
    """The body of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the supervisor decides
    _die_with_parent(pipe)
    from curation.pipeline import run_task
    from curation.steps.common import StopRequested

    try:
        # Errors reach the user once, through the pipe; what libraries say beside goes to a file.
        errors = folder.stage(stage) / "logs" / f"stderr_{rank:05d}.log"
        errors.parent.mkdir(parents=True, exist_ok=True)
        sys.stderr = errors.open("a", buffering=1)
        run_task(folder, stage, config, tasks, rank, deaths)
    except StopRequested:
        os._exit(EXIT_INTERRUPTED)
    except UserError as error:
        _fail(pipe, str(error))
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        _fail(pipe, f"{error.strerror or error}{where}; put that right and resume")
    except Exception:
        _fail(pipe, f"{stage} task {rank} failed:\n{traceback.format_exc()}")


def _fail(pipe: Connection, message: str) -> None:
    pipe.send(message)
    os._exit(1)


def _die_with_parent(pipe: Connection) -> None:
    """End this process when the supervisor's end of the pipe closes, and with the fork server (Linux)."""

    def watch() -> None:
        with contextlib.suppress(EOFError, OSError):
            pipe.recv()
        os._exit(EXIT_INTERRUPTED)

    threading.Thread(target=watch, daemon=True, name="supervisor-watch").start()
    if sys.platform == "linux":
        set_parent_death_signal = 1  # PR_SET_PDEATHSIG, <sys/prctl.h>
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
