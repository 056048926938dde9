"""The plan of a run: which task reads what. Written once, before work starts; a resume only reads it.

Tasks are contiguous in canonical order (raw_file_id, offset), so the documents of task n all lie before
those of task n + 1, and shards are made by concatenation.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from curation.shards import ShardFacts, ShardJob, load_facts
from curation.sources.discover import IdentifiedFile
from curation.sources.read import ReadConfig, spans
from curation.workspace import Workspace, write_durably

_LEAST_TASK_BYTES = 2**18
_MOST_TASK_BYTES = 128 * 2**20
_TASKS_WANTED = 64
_SHARD_TASKS_WANTED = 4


@dataclass(frozen=True, slots=True)
class Span:
    """A range of a file: records whose offset (byte, or row) is in [start, end)."""

    file: int
    """Index into the task's files."""
    start: int
    end: int | None
    weight: int
    """Bytes of the file that it covers, about."""


@dataclass(slots=True)
class Task:
    """What one worker process does: read some spans (or shards of a parent run), commit parts."""

    files: list[dict[str, Any]] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    limit: int | None = None
    """Stop after this many raw records."""
    shards: list[str] = field(default_factory=list)
    """Paths of parent shards to read instead of raw files, and the raw files to take from them:"""
    raw_file_ids: list[str] = field(default_factory=list)

    @property
    def weight(self) -> int:
        """Bytes of input, about."""
        return sum(span.weight for span in self.spans)


def plan_raw(files: Sequence[IdentifiedFile], config: ReadConfig, limit: int | None) -> list[Task]:
    """Tasks over raw files, in canonical order; with a limit one task, so that "the first N" is well defined."""
    total = sum(file.bytes for file in files)
    target = max(_LEAST_TASK_BYTES, min(_MOST_TASK_BYTES, total // _TASKS_WANTED))
    if limit is not None:
        target = total + 1
    tasks: list[Task] = []
    current = Task(limit=limit)
    for file in files:
        ranges = [(0, None)] if limit is not None else spans(file, target, config)
        for start, end in ranges:
            weight = max(1, file.bytes // len(ranges))
            if current.spans and current.weight + weight > target:
                tasks.append(current)
                current = Task(limit=limit)
            if not current.files or current.files[-1]["raw_file_id"] != file.raw_file_id:
                current.files.append(asdict(file))
            current.spans.append(Span(len(current.files) - 1, start, end, weight))
    if current.spans:
        tasks.append(current)
    return tasks


def plan_parent(shards: Iterable[tuple[str, dict[str, int]]], weights: dict[str, int]) -> list[Task]:
    """Tasks over the shards of a parent run: each takes the documents of a range of raw files.

    Args:
        shards: (path, raw_file_id -> documents) of every stored shard of the parent.
        weights: raw_file_id -> bytes of text, or any measure of work.
    """
    listed = list(shards)
    total = sum(weights.values())
    target = max(_LEAST_TASK_BYTES, min(_MOST_TASK_BYTES, total // _TASKS_WANTED))
    groups: list[list[str]] = []
    filled = target
    for raw_file_id in sorted(weights):
        if filled >= target:
            groups.append([])
            filled = 0
        groups[-1].append(raw_file_id)
        filled += weights[raw_file_id]
    tasks = []
    for group in groups:
        wanted = set(group)
        paths = [path for path, sources in listed if wanted & sources.keys()]
        weight = sum(weights[raw_file_id] for raw_file_id in group)
        tasks.append(Task(shards=paths, raw_file_ids=group, spans=[Span(0, 0, None, weight)]))
    return tasks


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Where the working files of a run lie, under ``runs/<run_id>``."""

    workspace: Workspace
    run_id: str

    @property
    def path(self) -> Path:
        """The folder itself."""
        return self.workspace.run_folder(self.run_id)

    @property
    def scratch(self) -> Path:
        """What is deleted when the run is done."""
        return self.path / "scratch"

    def stage(self, name: str) -> Path:
        """Logs, statistics and completions of a stage."""
        return self.path / "stages" / name

    def parts(self, rank: int) -> Path:
        """Committed parts of an extraction task."""
        return self.scratch / "parts" / f"{rank:05d}"

    def journal(self, stage: str, rank: int) -> Path:
        """The journal of a task."""
        return self.scratch / "journal" / f"{stage}-{rank:05d}"

    def facts(self, shard_name: str) -> Path:
        """What is known of a written shard."""
        return self.scratch / "facts" / f"{shard_name}.json"

    @property
    def shards(self) -> Path:
        """Where the run's shards go."""
        return self.workspace.shards / self.run_id

    def known_shards(self) -> list[ShardFacts]:
        """What is known of the shards written so far."""
        return load_facts(sorted(self.facts("x").parent.glob("*/*.json")))

    def shards_stand(self) -> bool:
        """Whether the shards in the workspace are those that are known to be written."""
        stored = self.workspace.run_shards(self.run_id)
        return all(stored.get(self.shard_path(f"{each.name}.parquet")) == each.bytes for each in self.known_shards())

    def shard_path(self, name: str) -> str:
        """A file among the run's shards, as in ``Shard.path``."""
        return f"shards/{self.run_id}/{name}"

    def save(self, name: str, value: Any) -> None:
        """Store a working file as JSON, durably."""
        path = self.scratch / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, orjson.dumps(value))

    def load(self, name: str) -> Any:
        """Read what ``save`` stored; None if it never was."""
        path = self.scratch / f"{name}.json"
        return orjson.loads(path.read_bytes()) if path.exists() else None

    def save_tasks(self, tasks: Sequence[Task]) -> None:
        """Store tasks one file each, then their number, which makes the plan complete."""
        for rank, task in enumerate(tasks):
            self.save(f"tasks/{rank:05d}", asdict(task))
        self.save("tasks/count", {"tasks": len(tasks), "weights": [task.weight for task in tasks]})

    def load_task(self, rank: int) -> Task:
        """Read a task of the plan."""
        raw = self.load(f"tasks/{rank:05d}")
        raw["spans"] = [Span(**span) for span in raw["spans"]]
        return Task(**raw)


def save_shard_tasks(folder: RunFolder, jobs: list[ShardJob], most: int) -> list[int]:
    """Group shard jobs into tasks of at most about ``most`` bytes; returns the weight of each task."""
    target = max(_LEAST_TASK_BYTES, min(most, sum(job.weight for job in jobs) // _SHARD_TASKS_WANTED))
    groups: list[list[ShardJob]] = []
    weights: list[int] = []
    for job in jobs:
        if not groups or weights[-1] + job.weight > target:
            groups.append([])
            weights.append(0)
        groups[-1].append(job)
        weights[-1] += job.weight
    for rank, group in enumerate(groups):
        folder.save(f"shards/{rank:05d}", [asdict(job) for job in group])
    folder.save("shards/count", weights)
    return weights
