"""Configuration -> datatrove steps, and the one function that a worker runs, whatever the executor.

Stages: ``extract`` (read, extract, clean, identify, score, decide, commit parts and sketches), ``dedup`` (compare
the sketches, decide; one stage, or one for each phase), ``quality`` (the best share of what is left), ``toxicity``
(score what is left and suspicious) and ``shards`` (parts in canonical order -> sorted shards).
All are datatrove pipelines over the tasks of a ``RunFolder``.
"""

import signal
from collections.abc import Callable

from datatrove.data import DocumentsPipeline
from datatrove.executor.base import DistributedEnvVars, PipelineExecutor
from datatrove.pipeline.base import PipelineStep

from curation.config import CurationConfig
from curation.deduplicate import STAGE, FindDuplicates
from curation.filters import score_columns
from curation.journal import Journal
from curation.plan import RunFolder
from curation.quality.stage import KeepTopShare
from curation.shards import ShardJob, save_facts, write_shard
from curation.steps.annotate import (
    CleanLines,
    Extract,
    IdentifyLanguage,
    PersonalData,
    RejectPersonalData,
    ScoreAndDecide,
    TakeDown,
)
from curation.steps.common import StopRequested
from curation.steps.read import Poison, ReadRecords, ReadShards
from curation.steps.write import WriteParts
from curation.tombstones import Tombstones
from curation.toxicity.prepared import STAGE as TOXICITY
from curation.toxicity.stage import CheapToxicity, ScoreToxicity
from curation.verdicts import QUALITY


class TaskExecutor(PipelineExecutor):
    """datatrove's executor for single ranks in the calling process: its logs, statistics and completions."""

    def __init__(self, pipeline: list[PipelineStep], folder: RunFolder, stage: str, tasks: int) -> None:
        super().__init__(pipeline, str(folder.stage(stage)))
        self.tasks = tasks

    def run(self) -> None:
        """Run every rank here, one after the other."""
        for rank in self.get_incomplete_ranks():
            self.run_rank(rank)

    def run_rank(self, rank: int) -> None:
        """Run one rank unless it is complete."""
        self._run_for_rank(rank, local_rank=1)  # 1: log to the task's file, only errors to stderr

    def get_distributed_env(self, node_rank: int = -1) -> DistributedEnvVars:
        """One process, no cluster."""
        return DistributedEnvVars(
            datatrove_node_ips="localhost",
            datatrove_cpus_per_task="1",
            datatrove_mem_per_cpu="-1",
            datatrove_gpus_on_node="-1",
            datatrove_executor="LOCAL",
        )

    @property
    def world_size(self) -> int:
        """Number of tasks of the stage."""
        return self.tasks


class WriteShards(PipelineStep):
    """Writes the shards of its rank, each whole or not at all; what is written already stays."""

    type = "writer"
    name = "shards"

    def __init__(
        self, folder: RunFolder, config: CurationConfig, journal: Journal, stopping: Callable[[], bool]
    ) -> None:
        super().__init__()
        self.folder, self.config, self.journal, self.stopping = folder, config, journal, stopping

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """Write shard after shard; raises StopRequested between two when told to stop."""
        scores = score_columns(self.config.filters)
        for number, raw in enumerate(self.folder.load(f"shards/{rank:05d}")):
            job = ShardJob(**raw)
            facts_path = self.folder.facts(job.name)
            self.journal.working(number, 0, 0, 0)
            if not facts_path.exists():
                level = self.config.shards.compression_level
                facts = write_shard(job, self.folder.shards, scores, level)
                if facts is not None:
                    self.folder.workspace.keep_shard(self.folder.shard_path(f"{job.name}.parquet"))
                save_facts(facts_path, facts)
            self.journal.finished()
            if self.stopping():
                raise StopRequested
        yield from ()


def build(
    folder: RunFolder,
    stage: str,
    config: CurationConfig,
    rank: int,
    stopping: Callable[[], bool],
    deaths: int = 0,
) -> list[PipelineStep]:
    """The steps of a stage for one rank."""
    journal = Journal(folder.journal(stage, rank))
    if stage == "shards":
        return [WriteShards(folder, config, journal, stopping)]
    if stage.startswith(STAGE):
        return [FindDuplicates(folder, config, stage, journal, stopping)]
    if stage == QUALITY:
        return [KeepTopShare(folder, config.filters, journal, stopping)]
    if stage == TOXICITY:
        return [ScoreToxicity(folder, config.toxicity, journal, stopping)]
    take_down = TakeDown(Tombstones(tuple(map(tuple, folder.load("tombstones")))))
    stale = folder.load("stale_scores") or ()
    decide = ScoreAndDecide(config, folder.workspace.cache, folder.load("prepared") or {}, stale)
    judge: list[PipelineStep] = [take_down]
    if config.pii.action != "off":
        judge.append(PersonalData(config, masked=bool(folder.load("masked"))))
    if config.toxicity.enabled:
        judge.append(CheapToxicity(folder))
    judge.append(decide)
    if config.pii.action == "drop":
        judge.append(RejectPersonalData())
    if folder.load_task(rank).shards:
        reader: ReadRecords | ReadShards = ReadShards(folder, journal)
        writer = WriteParts(folder, config, reader, stopping, deaths)
        return [reader, *judge, writer]
    reader = ReadRecords(folder, config, journal, load_poison(folder, rank))
    writer = WriteParts(folder, config, reader, stopping, deaths)
    make_text: list[PipelineStep] = [Extract(config), CleanLines(config), IdentifyLanguage(config)]
    return [reader, *make_text, *judge, writer]


def run_task(folder: RunFolder, stage: str, config: CurationConfig, tasks: int, rank: int, deaths: int = 0) -> None:
    """Run one task of a stage in this process, committing what is finished when SIGTERM comes.

    Raises:
        StopRequested: stopped by SIGTERM; a resume goes on.
        OSError: disk full or the like; a resume goes on.
    """
    stop = False

    def request_stop(signum: int, frame: object) -> None:
        nonlocal stop
        stop = True

    signal.signal(signal.SIGTERM, request_stop)
    steps = build(folder, stage, config, rank, lambda: stop, deaths)
    TaskExecutor(steps, folder, stage, tasks).run_rank(rank)


def save_poison(folder: RunFolder, rank: int, poison: Poison) -> None:
    """Remember across resumes what a task must not touch."""
    barriers = [[file, *rest] for file, rest in poison.barriers.items()]
    folder.save(f"poison/{rank:05d}", {"records": [[*k, v] for k, v in poison.records.items()], "barriers": barriers})


def load_poison(folder: RunFolder, rank: int) -> Poison:
    """What ``save_poison`` remembered."""
    raw = folder.load(f"poison/{rank:05d}") or {"records": [], "barriers": []}
    return Poison(
        {(file, offset, index): reason for file, offset, index, reason in raw["records"]},
        {file: (offset, index, reason) for file, offset, index, reason in raw["barriers"]},
    )
