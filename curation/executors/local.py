"""The local supervisor: the tasks of a stage in worker processes, watched.

datatrove's local executor hangs for ever when a worker is killed (by the system for want of memory,
say), and loses the whole run to one bad record. Here a killed task starts again behind what it has
committed, and a record that kills twice is quarantined. No process outlives the supervisor: a worker ends
when the pipe to it closes, whatever became of the other side.

A worker takes task after task, so that libraries loaded by the first serve the others too.
"""

import contextlib
import ctypes
import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from curation.errors import EXIT_INTERRUPTED, UserError
from curation.executors.common import History, StopSignal, TaskFailed

if TYPE_CHECKING:
    from curation.config import CurationConfig
    from curation.plan import RunFolder
    from curation.progress import Progress

GRACE_SECONDS = 10.0
"""How long workers may take to finish the record in work and commit when the run is stopped."""
MOST_DEATHS_WITHOUT_PROGRESS = 20
"""A task whose worker dies this often without a step forward ends the run: the machine is at fault."""
MOST_TASKS = 32
"""A worker gives way to a fresh one after this many tasks ..."""
MOST_RESIDENT_BYTES = 600 * 2**20
"""... or when it holds this much memory after one, which a library may never give back."""


def warm_up() -> None:
    """Start the fork server: it loads what workers need while this process reads its configuration."""
    forkserver.set_forkserver_preload(["curation.preload"])
    forkserver.ensure_running()


@dataclass(slots=True, eq=False)
class _Worker:
    """A living worker and what the supervisor knows of it."""

    rank: int
    """The task in work."""
    process: Any
    pipe: Connection
    """Our end: tasks go out; None comes back for one that is done, the traceback for one that failed.
    Closing it ends the worker."""
    tasks: int = 1
    """Tasks taken so far."""
    seen: tuple[object, ...] = ()
    cpu_at_seen: float = 0.0
    over_limit: bool = False


@dataclass(slots=True)
class _Count:
    """Records of a task in this attempt at the run, apart from those of the worker at it now."""

    base: int
    """Committed before this attempt."""
    documents: int = 0
    """Committed since by workers that have died."""


class Supervisor:
    """Runs tasks of a stage here, ``workers`` at a time."""

    def __init__(
        self,
        folder: "RunFolder",
        stage: str,
        config: "CurationConfig",
        weights: Sequence[int],
        stop: StopSignal,
        progress: "Progress",
        workers: int,
    ) -> None:
        self.folder, self.stage, self.config = folder, stage, config
        self.weights, self.stop, self.progress, self.limit = weights, stop, progress, workers
        self.context = multiprocessing.get_context("forkserver")
        self.workers: list[_Worker] = []
        self.queue: list[int] = []
        self.histories: dict[int, History] = {}
        self.counts: dict[int, _Count] = {}
        self.done_weight = 0
        self.done_documents = 0

    def run(self, todo: Sequence[int]) -> None:
        """Run these ranks, the heaviest first.

        Raises:
            Interrupted: the user stopped the run.
            TaskFailed: a task cannot go on; the message says why.
        """
        self.queue = sorted(todo, key=lambda rank: (-self.weights[rank], rank), reverse=True)
        self.histories = {rank: History(self.folder, self.stage, rank) for rank in todo}
        self.counts = {rank: _Count(self.histories[rank].committed_documents()) for rank in todo}
        try:
            while self.queue or self.workers:
                while self.queue and len(self.workers) < self.limit:
                    self._start(self.queue.pop())
                wait([each for worker in self.workers for each in (worker.pipe, worker.process.sentinel)], timeout=0.2)
                for worker in list(self.workers):
                    self._hear(worker)
                self._watch()
                self.stop.check()
        finally:
            self._end_all()

    def _start(self, rank: int) -> None:
        """A new worker, with its first task."""
        ours, theirs = self.context.Pipe()
        process = self.context.Process(
            target=_work,
            args=(theirs, self.folder, self.stage, self.config, len(self.weights)),
            name=f"{self.stage}-{rank}",
        )
        process.start()
        theirs.close()
        worker = _Worker(rank, process, ours)
        self.workers.append(worker)
        self._give(worker, rank)

    def _give(self, worker: _Worker, rank: int) -> None:
        worker.rank, worker.seen = rank, ()
        self.folder.journal(self.stage, rank).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # killed in this moment: it will be seen to have died
            worker.pipe.send((rank, self.histories[rank].deaths))

    def _hear(self, worker: _Worker) -> None:
        """What a worker has to say: nothing yet, a task done or failed, or it has died."""
        try:
            if not worker.pipe.poll():
                if worker.process.exitcode is not None:
                    self._died(worker)
                return
            message = worker.pipe.recv()
        except (EOFError, OSError):
            self._died(worker)
            return
        if message is not None:
            raise TaskFailed(message)
        self.done_weight += self.weights[worker.rank]
        self.done_documents += self.counts[worker.rank].documents + self.histories[worker.rank].entry().documents
        if self.queue and worker.tasks < MOST_TASKS and _resident_bytes(worker.process.pid) < MOST_RESIDENT_BYTES:
            worker.tasks += 1
            self._give(worker, self.queue.pop())
        else:
            self._dismiss(worker)

    def _dismiss(self, worker: _Worker) -> None:
        worker.pipe.close()
        worker.process.join()
        self.workers.remove(worker)

    def _died(self, worker: _Worker) -> None:
        """Blame the record in work, and let the task start again."""
        self._dismiss(worker)
        rank, code = worker.rank, worker.process.exitcode
        history, count = self.histories[rank], self.counts[rank]
        entry = history.entry()
        count.documents = history.committed_documents() - count.base  # the rest is worked on again
        self.queue.append(rank)
        if code == EXIT_INTERRUPTED:  # stopped by a signal of its own: whatever it had is committed
            return
        history.died(entry, worker.over_limit)
        if history.deaths > MOST_DEATHS_WITHOUT_PROGRESS:
            raise TaskFailed(
                f"the worker of {self.stage} task {rank} was killed {history.deaths} times without a step "
                "forward: is memory short? Free some, or run with --execution.workers 1, and resume"
            )
        self.progress.note(
            f"worker of {self.stage} task {rank} was killed ({_describe(code)}) "
            f"while {entry.state} at file {entry.file}, offset {entry.offset}; its task starts again"
        )

    def _watch(self) -> None:
        """Show progress; kill a worker whose record has burnt far more CPU than the extraction limit."""
        import psutil

        weight, documents = self.done_weight, self.done_documents
        allowance = 3 * self.config.extract.cpu_limit_s + 20
        for worker in self.workers:
            entry = self.histories[worker.rank].entry()
            documents += self.counts[worker.rank].documents + entry.documents
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
        for worker in self.workers:
            worker.process.terminate()
        deadline = time.monotonic() + GRACE_SECONDS
        for worker in self.workers:
            while worker.process.exitcode is None and time.monotonic() < deadline and not self.stop.at_once:
                if worker.pipe.poll():  # done with its task, or dead: nothing to wait for
                    break
                worker.process.join(0.1)
            worker.process.kill()
            worker.process.join()
            worker.pipe.close()
        self.workers.clear()


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _resident_bytes(pid: int) -> int:
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _describe(code: int | None) -> str:
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit code {code}"


def _work(pipe: Connection, folder: "RunFolder", stage: str, config: "CurationConfig", tasks: int) -> None:
    """The body of a worker process: task after task, until the supervisor closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the supervisor decides
    orders: queue.SimpleQueue[tuple[int, int]] = queue.SimpleQueue()
    _die_with_parent(pipe, orders)
    from curation.pipeline import run_task
    from curation.steps.common import StopRequested

    logs = folder.stage(stage) / "logs"
    stderr = sys.stderr
    while True:
        rank, deaths = orders.get()
        try:
            # Errors reach the user once, through the pipe; what libraries say beside goes to a file.
            logs.mkdir(parents=True, exist_ok=True)
            with (logs / f"stderr_{rank:05d}.log").open("a", buffering=1) as sys.stderr:
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
        sys.stderr = stderr
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        pipe.send(None)


def _fail(pipe: Connection, message: str) -> None:
    pipe.send(message)
    os._exit(1)


def _die_with_parent(pipe: Connection, orders: "queue.SimpleQueue[tuple[int, int]]") -> None:
    """Pass orders on; end this process when the supervisor's end closes, and with the fork server (Linux)."""

    def listen() -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                orders.put(pipe.recv())
        os._exit(EXIT_INTERRUPTED)

    threading.Thread(target=listen, daemon=True, name="supervisor-watch").start()
    if sys.platform == "linux":
        set_parent_death_signal = 1  # PR_SET_PDEATHSIG, <sys/prctl.h>
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
