"""The best share of a run by quality: one task behind deduplication, since it needs all scores.

For each language the scores of what filters and deduplication have left are counted, and the score found from which on
documents stay; of those that have just that score as many as there is room for, smaller ids first. So exactly the
share stays, rounded up, whatever the workers, and verdicts (``curation.verdicts``) tell the rest. A language that the
model does not know has no scores, and loses nothing.

Memory: 8 MB for each language that is scored, and the ids of documents with the score of a cut.
"""

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from datatrove.data import DocumentsPipeline
from datatrove.pipeline.base import PipelineStep

from curation.deduplicate import committed_parts
from curation.filters import build_filters
from curation.journal import Journal
from curation.plan import RunFolder
from curation.quality.model import DECIMALS
from curation.shards import SEQUENCE, WEIGHT
from curation.steps.common import StopRequested
from curation.verdicts import (
    BELOW_SHARE,
    QUALITY,
    Verdict,
    part_verdicts,
    save_verdicts,
    steps_before,
    verdicts_folder,
)

if TYPE_CHECKING:
    import pyarrow as pa

Array = np.ndarray[Any, Any]
_LEVELS = 10**DECIMALS
"""A score is a whole number of these parts."""


def top_share(filters: Mapping[str, Any]) -> float | None:
    """The share that the filter ``quality`` of a configuration keeps; None where it is not asked for."""
    if QUALITY not in filters:
        return None
    (found,) = build_filters({QUALITY: filters[QUALITY]})
    share: float | None = found.keep_share
    return share


def plan_quality(folder: RunFolder, tasks: int) -> list[int]:
    """The weight of the stage's one task; none where nothing is kept.

    Args:
        tasks: number of extraction tasks.
    """
    pieces = (p for rank in range(tasks) for _, manifest in committed_parts(folder, rank) for p in manifest["pieces"])
    kept = sum(piece["weight"] for piece in pieces if piece["shard_kind"] == "kept")
    return [kept] if kept else []


def stays(share: float, documents: int) -> int:
    """How many of so many documents are a share of them, rounded up, computed as it is written (.1 is a tenth)."""
    return math.ceil(Fraction(repr(share)) * documents)


def find_cut(counts_L: Array, share: float) -> tuple[int, int]:
    """(score of the cut in parts of a million, how many documents with just that score stay).

    Args:
        counts_L: documents by score.
    """
    wanted = stays(share, int(counts_L.sum()))
    at_least_L = np.cumsum(counts_L[::-1])[::-1]
    cut = int(np.flatnonzero(at_least_L >= wanted)[-1])
    return cut, wanted - int(at_least_L[cut] - counts_L[cut])


class KeepTopShare(PipelineStep):
    """Finds the cut of each language and leaves verdicts."""

    type = "filter"
    name = "quality"

    def __init__(
        self, folder: RunFolder, filters: Mapping[str, Any], journal: Journal, stopping: Callable[[], bool]
    ) -> None:
        super().__init__()
        self.folder, self.journal, self.stopping = folder, journal, stopping
        self.share = top_share(filters)
        self._step = 0

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """Part after part, two or three times; verdicts that are there stay. Raises StopRequested when told to stop."""
        assert self.share is not None
        counts: dict[str, Array] = {}
        for _, rows in self._parts():
            for language, level_N in by_language(rows):
                counts_L = counts.setdefault(language, np.zeros(_LEVELS + 1, dtype=np.int64))
                np.add.at(counts_L, level_N, 1)
        cuts = {language: find_cut(counts_L, self.share) for language, counts_L in counts.items()}
        torn = {language: cut for language, cut in cuts.items() if counts[language][cut[0]] > cut[1]}
        counts.clear()
        last = self._last_ids(torn)
        for part, rows in self._parts(unfinished=True):
            verdicts = [
                Verdict(row[SEQUENCE], row["piece"], row[WEIGHT], row["id"], QUALITY, BELOW_SHARE)
                for row in rows.to_pylist()
                if row["level"] < cuts[row["language"]][0]
                or (row["level"] == cuts[row["language"]][0] and row["id"] > last.get(row["language"], row["id"]))
            ]
            save_verdicts(part, QUALITY, rank, verdicts)
        yield from ()

    def _last_ids(self, cuts: Mapping[str, tuple[int, int]]) -> dict[str, str]:
        """Language -> the last id that stays among the documents with the score of the cut."""
        ids: dict[str, list[Array]] = {language: [] for language in cuts}
        for _, rows in self._parts() if cuts else ():
            for language, level_N in by_language(rows, cuts):
                here = rows.filter(_equal(rows, language)).column("id").to_numpy()[level_N == cuts[language][0]]
                ids[language].append(here.astype("S32"))
        return {
            language: np.sort(np.concatenate(ids[language]))[room - 1].decode() for language, (_, room) in cuts.items()
        }

    def _parts(self, unfinished: bool = False) -> Iterator[tuple[Path, "pa.Table"]]:
        """(part, its ``scored_rows``) of each part, or of those without verdicts."""
        for rank in range(len(self.folder.load("tasks/count")["weights"])):
            for part, manifest in committed_parts(self.folder, rank):
                if unfinished and (verdicts_folder(part, QUALITY) / f"{part.stem}-00000.json").exists():
                    continue
                self.journal.working(self._step, 0, 0, 0)
                self._step += 1
                groups = [p["row_group"] for p in manifest["pieces"] if p["shard_kind"] == "kept"]
                yield part, scored_rows(part, groups)
                self.journal.finished()
                if self.stopping():
                    raise StopRequested


def scored_rows(part: Path, groups: list[int]) -> "pa.Table":
    """The kept documents of a part that earlier steps have left and the model has scored: sequence, weight, ``id``,
    ``language``, ``piece`` (row group), and ``level``, the score as a whole number."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    verdicts = part_verdicts(part, steps_before(QUALITY))
    gone = pa.array([sequence for sequence, each in verdicts.items() if each.step], pa.int64())
    names = [SEQUENCE, WEIGHT, "id", "language"]
    tables = []
    with pq.ParquetFile(part, pre_buffer=False) as file:
        for group in sorted(groups):
            table = file.read_row_group(group, columns=[*names, QUALITY])
            score = pc.struct_field(table.column(QUALITY), "score")
            here = pc.and_(pc.is_valid(score), pc.invert(pc.is_in(table.column(SEQUENCE), value_set=gone)))
            level_N = np.rint(score.filter(here).to_numpy() * _LEVELS).astype(np.int64)
            found = table.select(names).filter(here)
            found = found.append_column("piece", pa.array([group] * len(level_N), pa.int64()))
            tables.append(found.append_column("level", pa.array(level_N)))
    return pa.concat_tables(tables) if tables else pa.table({name: [] for name in (*names, "piece", "level")})


def _equal(rows: "pa.Table", language: str) -> Any:
    import pyarrow.compute as pc

    return pc.equal(rows.column("language"), language)


def by_language(rows: "pa.Table", wanted: Collection[str] | None = None) -> Iterator[tuple[str, Array]]:
    """(language, its levels) of ``scored_rows``."""
    for language in rows.column("language").unique().to_pylist():
        if wanted is None or language in wanted:
            yield language, rows.filter(_equal(rows, language)).column("level").to_numpy()
