"""Toxicity as part of a run: the cheap scores, and the stage that runs the model.

The cheap model scores every document as it is read. Behind all else the stage ``toxicity`` takes what is still kept
and above the threshold, and leaves verdicts (``curation.verdicts``). On a CPU a document's scores depend on
nothing but its text and what ``prepare_toxicity`` says, so that the split into tasks does not matter, and scores of a
parent run (``--from``) that were made the same way are taken over as they are.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from datatrove.data import DocumentsPipeline
from datatrove.pipeline.base import PipelineStep

from curation.deduplicate import committed_parts
from curation.errors import UserError
from curation.journal import Journal
from curation.plan import RunFolder
from curation.progress import log
from curation.shards import SEQUENCE, WEIGHT
from curation.steps.common import StopRequested, decided
from curation.toxicity.cascade import suspicious, verdict
from curation.toxicity.cheap import LANGUAGE, open_cheap
from curation.toxicity.config import ToxicityConfig
from curation.toxicity.prepared import STAGE, known_scores, prepared_of
from curation.verdicts import Verdict, part_verdicts, save_verdicts, steps_before, verdicts_folder

CHEAP_REASON = "cheap_model"
"""Reason of documents that the cheap model alone has rejected."""

_TASKS = 64
_LEAST_TASK_CHARACTERS = 50_000
"""What a task scores at least: loading the model costs as much as 20,000 characters."""


class CheapToxicity(PipelineStep):
    """Scores every English text with the cheap model; in other languages the score is null, which is not 0."""

    type = "annotator"
    name = "cheap toxicity"

    def __init__(self, folder: RunFolder) -> None:
        super().__init__()
        self.cheap = open_cheap(folder.workspace.cache, prepared_of(folder).cheap)

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """A score that is there already, from a parent run, stays."""
        for document in data or ():
            meta = document.metadata
            if not decided(document) and meta.get("toxicity") is None and meta["media"] != "code":
                score = round(self.cheap.score(document.text), 4) if meta["language"] == LANGUAGE else None
                meta["toxicity"] = {"cheap": score}
            yield document


def plan_toxicity(folder: RunFolder, config: ToxicityConfig, tasks: int) -> list[int]:
    """Find what is to be scored and share it out; returns the weights of the stage's tasks. A resume takes the plan
    that is there.

    Args:
        tasks: number of extraction tasks.
    """
    weights: list[int] | None = folder.load("toxicity/count")
    if weights is not None:
        return weights
    prepared = prepared_of(folder)
    least: float | None = float(prepared.threshold or 0)
    if not prepared.model:
        least = config.cheap_threshold
    if least is None:  # nobody decides: nothing to look for
        folder.save("toxicity/count", [])
        return []
    known_languages = set(prepared.languages.split(",")) if prepared.model else {LANGUAGE}
    found: list[tuple[str, list[list[Any]], int]] = []
    survivors = sent = 0
    for rank in range(tasks):
        for part, manifest in committed_parts(folder, rank):
            groups = [p["row_group"] for p in manifest["pieces"] if p["shard_kind"] == "kept"]
            rows = list(_candidates(part, groups))
            survivors += len(rows)
            chosen = [row for row in rows if row.language in known_languages and _is_sent(row.cheap, least)]
            if chosen:
                sent += len(chosen)
                weight = sum(min(row.weight, 2000 * config.max_windows) for row in chosen)
                found.append((str(part), [[r.sequence, r.piece, r.weight, r.id] for r in chosen], weight))
    if prepared.model:
        share = 100 * sent / survivors if survivors else 0.0
        log.info(
            "toxicity: %s of %s surviving documents go to the model (%.1f %%)", f"{sent:,}", f"{survivors:,}", share
        )
    target = max(_LEAST_TASK_CHARACTERS, sum(weight for *_, weight in found) // _TASKS)
    groups_: list[list[tuple[str, list[list[Any]]]]] = []
    weights = []
    for path, rows_, weight in found:
        if not groups_ or weights[-1] + weight > target:
            groups_.append([])
            weights.append(0)
        groups_[-1].append((path, rows_))
        weights[-1] += weight
    for number, group in enumerate(groups_):
        folder.save(f"toxicity/{number:05d}", group)
    folder.save("toxicity/count", weights)
    return weights


@dataclass(frozen=True, slots=True)
class _Row:
    sequence: int
    piece: int
    weight: int
    id: str
    language: str
    cheap: float | None


def _candidates(part: Path, groups: Sequence[int]) -> Iterator[_Row]:
    """The kept documents of a part that earlier late steps have left."""
    import pyarrow.parquet as pq

    gone = {sequence for sequence, each in part_verdicts(part, steps_before(STAGE)).items() if each.step}
    names = [SEQUENCE, WEIGHT, "id", "language", "toxicity"]
    with pq.ParquetFile(part, pre_buffer=False) as file:
        for group in sorted(groups):
            for row in file.read_row_group(group, columns=names).to_pylist():
                if row[SEQUENCE] not in gone and row["toxicity"] is not None:
                    cheap = row["toxicity"]["cheap"]
                    yield _Row(row[SEQUENCE], group, row[WEIGHT], row["id"], row["language"], cheap)


def _is_sent(cheap: float | None, least: float) -> bool:
    """Where the cheap model has no say, its threshold has none either."""
    return cheap is None or cheap >= round(least, 4)


class ScoreToxicity(PipelineStep):
    """Scores the documents of a task and leaves verdicts."""

    type = "filter"
    name = "toxicity"

    def __init__(
        self, folder: RunFolder, config: ToxicityConfig, journal: Journal, stopping: Callable[[], bool]
    ) -> None:
        super().__init__()
        self.folder, self.config, self.journal, self.stopping = folder, config, journal, stopping
        self.prepared = prepared_of(folder)
        self.cheap = open_cheap(folder.workspace.cache, self.prepared.cheap)

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """Part after part, what is done stays; raises StopRequested between two when told to stop."""
        for number, (path, rows) in enumerate(self.folder.load(f"toxicity/{rank:05d}")):
            part = Path(path)
            done = verdicts_folder(part, STAGE) / f"{part.stem}-{rank:05d}.json"
            if done.exists():
                continue
            self.journal.working(number, 0, 0, 0)
            save_verdicts(part, STAGE, rank, list(self._verdicts(part, rows, number)))
            self.journal.finished()
            if self.stopping():
                raise StopRequested
        yield from ()

    def _verdicts(self, part: Path, rows: Sequence[Sequence[Any]], number: int) -> Iterator[Verdict]:
        known = known_scores(part)
        places = {row[0]: row for row in rows}
        for sequence, cheap, text in _texts(part, places):
            _, piece, weight, document_id = places[sequence]
            scores: dict[str, Any] | None = None
            label: str | None = CHEAP_REASON
            if self.prepared.model:
                scores = known.get(sequence) or self._score(text, cheap)
                label = verdict_of(scores, self.config)
            step, reason = (STAGE, label) if label and self.config.action == "drop" else (None, None)
            columns = {"toxicity": {**scores, "cheap": cheap}} if scores else {}
            yield Verdict(sequence, piece, weight, document_id, step, reason, columns)
            self.journal.working(number, sequence, 0, 0)
            if self.stopping():
                raise StopRequested

    def _score(self, text: str, cheap: float | None) -> dict[str, Any]:
        scorer = _scorer(self.config.model, self.prepared.device, self.prepared.precision, self.prepared.model)
        hot = None
        if cheap is not None and self.prepared.threshold:
            hot = [suspicious(self.cheap.windows(text), min(float(self.prepared.threshold), cheap))]
        (found,) = scorer.score([text], hot, self.config.max_windows)
        return {
            "model": found.model,
            "windows": found.windows,
            "worst_start": found.start,
            "worst_end": found.end,
            "max": dict(sorted(found.max.items())),
            "mean": dict(sorted(found.mean.items())),
        }


def verdict_of(scores: Mapping[str, Any], config: ToxicityConfig) -> str | None:
    """``cascade.verdict`` on scores as they are stored."""
    from curation.toxicity.scorer import Toxicity

    found = Toxicity(scores["model"], scores["max"], scores["mean"], scores["windows"], 0, 0)
    return verdict(found, config)


def _texts(part: Path, places: Mapping[int, Sequence[Any]]) -> Iterator[tuple[int, float | None, str]]:
    """(sequence, cheap score, text) of rows of a part, in order."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(part, pre_buffer=False) as file:
        for group in sorted({row[1] for row in places.values()}):
            for batch in file.iter_batches(batch_size=64, row_groups=[group], columns=[SEQUENCE, "toxicity", "text"]):
                for row in batch.to_pylist():
                    if row[SEQUENCE] in places:
                        yield row[SEQUENCE], row["toxicity"]["cheap"], row["text"]


@lru_cache(maxsize=1)
def _scorer(model: str, device: str, precision: str, sha256: str) -> Any:
    """The model of this process. Raises UserError if it is another one by now."""
    import torch

    from curation.toxicity.checkpoint import find_checkpoint
    from curation.toxicity.scorer import Scorer

    torch.set_num_threads(1)  # sums do not depend on threads then, and workers do not fight for cores
    source = find_checkpoint(model)
    if source.sha256 != sha256:
        raise UserError(f"toxicity.model: {source.weights} has changed since the run began; start a new run")
    return Scorer(source, device, precision)
