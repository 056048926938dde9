"""What every executor shares: how a run is stopped, and who is blamed when a worker dies."""

import contextlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from curation.journal import Entry, read_entry

if TYPE_CHECKING:
    from curation.plan import RunFolder

STRIKES = 2
"""A record that was in work this often when its worker was killed is quarantined."""


class Interrupted(Exception):
    """The user stopped the run (Ctrl-C or SIGTERM); everything finished is on disk."""


class TaskFailed(Exception):
    """A task ended with an error that is not a record's fault; the run can be resumed."""


class StopSignal:
    """Turns SIGINT and SIGTERM into a flag for as long as it is entered.

    Args:
        insistent: a second signal means "at once". Not so inside a job of a cluster, where one order to stop
            may arrive by several ways.
    """

    def __init__(self, insistent: bool = True) -> None:
        self.requests = 0
        self.insistent = insistent

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

    @property
    def at_once(self) -> bool:
        """Whether to kill what is at work rather than to let it commit."""
        return self.insistent and self.requests >= 2

    def check(self) -> None:
        """Raise Interrupted if a stop was requested."""
        if self.requests:
            raise Interrupted


def incomplete(folder: "RunFolder", stage: str, tasks: int) -> list[int]:
    """Ranks of a stage without datatrove's mark of completion."""
    try:
        done = {path.name for path in (folder.stage(stage) / "completions").iterdir()}
    except FileNotFoundError:
        done = set()
    return [rank for rank in range(tasks) if f"{rank:05d}" not in done]


@dataclass(slots=True)
class History:
    """What has befallen a task: deaths of the process that worked on it, and the record they are blamed on."""

    folder: "RunFolder"
    stage: str
    rank: int
    deaths: int = 0
    """Deaths in a row without a step forward."""
    blamed: tuple[object, ...] = ()
    strikes: int = 0
    parts: int = 0
    """Parts committed when the last process died."""

    def entry(self) -> Entry:
        """What the task is at, or was when its process died."""
        return read_entry(self.folder.journal(self.stage, self.rank))

    def died(self, entry: Entry, over_limit: bool = False) -> None:
        """Count a death against the record in work; quarantine it with the second, or when over its limit."""
        parts = self._committed_parts()
        self.deaths = 1 if parts > self.parts else self.deaths + 1
        self.parts = parts
        if entry.state == "starting" or self.stage != "extract":
            return
        self.strikes = self.strikes + 1 if entry.record == self.blamed else 1
        self.blamed = entry.record
        if self.strikes >= STRIKES or over_limit:
            self._quarantine(entry, "cpu_limit" if over_limit else "killed_worker")
            self.strikes, self.blamed = 0, ()

    def committed_documents(self) -> int:
        """Records of raw input that the task has committed; 0 in stages that read none."""
        if self.stage != "extract":
            return 0
        from curation.steps.common import committed

        return sum(sum(manifest["read"].values()) for manifest in committed(self.folder, self.rank))

    def committed(self, entry: Entry) -> bool:
        """Whether the record of a journal entry is committed: then the entry is not what was in work last."""
        from curation.steps.common import committed

        done = committed(self.folder, self.rank)
        return bool(done) and (entry.file, entry.offset, entry.index) <= tuple(done[-1]["after"])

    def _committed_parts(self) -> int:
        if self.stage == "extract":
            return len(list(self.folder.parts(self.rank).glob("*.json")))
        return len(list(self.folder.facts("").parent.glob("*/*.json")))

    def _quarantine(self, entry: Entry, reason: str) -> None:
        from curation.pipeline import load_poison, save_poison

        poison = load_poison(self.folder, self.rank)
        if entry.state == "working":
            poison.records[(entry.file, entry.offset, entry.index)] = reason
        else:
            poison.barriers[entry.file] = (entry.offset, entry.index, reason)
        save_poison(self.folder, self.rank, poison)
