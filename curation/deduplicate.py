"""Deduplication as part of a run: what it compares with, its stages, and how its decisions enter the accounts."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from datatrove.data import DocumentsPipeline
from datatrove.pipeline.base import PipelineStep

from curation.catalog import open_catalog, rows
from curation.config import CurationConfig
from curation.dedup.corpus import Segment
from curation.dedup.index import held_segments, newest_readers
from curation.dedup.moves import sketch_path
from curation.dedup.phases import Limits, Phases
from curation.errors import UserError
from curation.journal import Journal
from curation.plan import RunFolder
from curation.progress import log
from curation.steps.common import StopRequested, committed
from curation.workspace import Workspace

STAGE = "dedup"


def held_by(workspace: Workspace, config: CurationConfig, raw_file_ids: Iterable[str]) -> dict[str, set[str]]:
    """Run id -> raw files whose documents the workspace holds, as ``dedup.against`` says, without those that
    the run reads itself.

    Raises:
        UserError: ``dedup.against`` names a run that is unknown, unfinished, or has no index.
    """
    wanted = config.dedup.against
    named = [each for each in wanted if each != "workspace"]
    if not wanted or not config.dedup.enabled or not (named or workspace.exists):
        return {}
    with open_catalog(workspace) as connection:
        runs = rows(connection, "SELECT run_id, config FROM run WHERE kind = 'curate' AND status = 'done'")
        files = rows(connection, "SELECT DISTINCT run_id, raw_file_id FROM raw_file")
    indexed = workspace.index_runs()
    runs = [run for run in runs if run["run_id"] in indexed]
    known = sorted(run["run_id"] for run in runs)
    for run_id in named:
        if run_id not in known:
            newest = ", ".join(["workspace", *known[:-6:-1]])
            raise UserError(f"dedup.against: {run_id!r} is no finished run with an index; valid: {newest}")
    counted = newest_readers(runs, files) if "workspace" in wanted else {}
    for file in files:
        if file["run_id"] in named:
            counted.setdefault(file["run_id"], set()).add(file["raw_file_id"])
    own = set(raw_file_ids)
    return {run_id: left for run_id, found in counted.items() if (left := found - own)}


def plan_stages(
    folder: RunFolder, config: CurationConfig, tasks: int, held: Mapping[str, Sequence[str]], limits: Limits
) -> list[tuple[str, list[int]]]:
    """The stages, each with the weights of its tasks; planned once, a resume takes the plan that is there.

    Args:
        tasks: number of extraction tasks.
        held: what ``held_by`` said when the run began.
    """
    plan = folder.load("dedup/plan")
    if plan is None:
        segments = list(_own_segments(folder, tasks))
        own = sum(each.documents for each in segments)
        folders = folder.workspace.index_folders(held)
        counted = {run_id: set(files) for run_id, files in held.items()}
        hidden = taken_down(folder.workspace) if held else []
        segments += held_segments(folders, counted, hidden, config.dedup.near)
        other = {Path(each.path).parent.name for each in segments if not each.near}
        if other and config.dedup.near.enabled:
            log.warning(
                "dedup.near: %s made signatures with other ngram, bands or rows; their documents are compared by "
                "URL and text alone",
                ", ".join(sorted(other)),
            )
        phases = Phases(folder.scratch / "dedup", segments, config.dedup, limits).phases.values()
        if own <= limits.together:
            stages = [(STAGE, [own])] if own else []
        else:
            stages = [(f"{STAGE}-{each.name}", [own // each.tasks] * each.tasks) for each in phases if each.tasks]
        plan = {"segments": [asdict(each) for each in segments], "limits": asdict(limits), "stages": stages}
        folder.save("dedup/plan", plan)
    return [(name, weights) for name, weights in plan["stages"]]


def taken_down(workspace: Workspace) -> list[str]:
    """Ids of the documents that take-downs are known to hide."""
    with open_catalog(workspace) as connection:
        found = rows(
            connection,
            "SELECT document_id AS id FROM tombstone_hit WHERE document_id IS NOT NULL "
            "UNION SELECT value FROM tombstone WHERE what = 'id' AND regexp_full_match(value, '[0-9a-f]{32}')",
        )
    return [row["id"] for row in found]


def _own_segments(folder: RunFolder, tasks: int) -> Iterator[Segment]:
    for rank in range(tasks):
        for path, manifest in committed_parts(folder, rank):
            if manifest["sketches"]:
                yield Segment(str(sketch_path(path)), manifest["sketches"])


class FindDuplicates(PipelineStep):
    """Runs one task of one stage, or all tasks of all phases where the stage is all of them together."""

    type = "dedup"
    name = "duplicates"

    def __init__(
        self, folder: RunFolder, config: CurationConfig, stage: str, journal: Journal, stopping: Callable[[], bool]
    ) -> None:
        super().__init__()
        self.folder, self.config, self.stage = folder, config, stage
        self.journal, self.stopping = journal, stopping

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """Raises StopRequested between two tasks when told to stop."""
        plan = self.folder.load("dedup/plan")
        segments = [Segment(**each) for each in plan["segments"]]
        work = Phases(self.folder.scratch / "dedup", segments, self.config.dedup, Limits(**plan["limits"]))
        todo = [(self.stage.removeprefix(f"{STAGE}-"), rank)]
        if self.stage == STAGE:
            todo = [(each.name, number) for each in work.phases.values() for number in range(each.tasks)]
        for number, (phase, task) in enumerate(todo):
            self.journal.working(number, 0, 0, 0)
            work.run(phase, task)
            self.journal.finished()
            if self.stopping():
                raise StopRequested
        yield from ()


def committed_parts(folder: RunFolder, rank: int) -> Iterator[tuple[Path, dict[str, Any]]]:
    """(path of the part, manifest) of what a task has committed, in order."""
    for manifest in committed(folder, rank):
        yield folder.parts(rank) / manifest["part"], manifest
