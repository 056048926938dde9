"""The phases of deduplication: tasks that read sketches and what earlier phases found, and write one file.

``url`` -> ``text`` -> ``bands`` -> ``verify`` -> ``cluster`` -> ``index``. Each task covers a slice of the keys
or of the documents, so that its memory is bounded whatever the run holds; the outcome does not depend on the slices.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from curation.dedup.buckets import candidate_pairs, similarities, unpack
from curation.dedup.cluster import Clusters
from curation.dedup.columns import Columns, save_columns
from curation.dedup.config import DedupConfig
from curation.dedup.corpus import Corpus, Segment
from curation.dedup.decisions import SAME_TEXT, SAME_URL
from curation.dedup.index import build_index, index_groups
from curation.dedup.keys import equal_keys, key_range

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Limits:
    """Documents of one task; the defaults bound its memory to about 200 MB."""

    together: int = 20_000
    """Up to this many documents all phases are one task: more would cost more than it saves."""
    slice: int = 2_000_000
    verify: int = 200_000


@dataclass(frozen=True, slots=True)
class Phase:
    """One step over all sketches."""

    name: str
    tasks: int


def plan_phases(segments: Sequence[Segment], config: DedupConfig, limits: Limits) -> list[Phase]:
    """The phases for a run with these sketches; a phase that is switched off has no tasks."""
    documents = sum(each.documents for each in segments if not each.held)
    slices = max(1, -(-documents // limits.slice))
    near = config.near.enabled
    return [
        Phase("url", slices if config.url else 0),
        Phase("text", slices if config.exact else 0),
        Phase("bands", slices * config.near.bands if near else 0),
        Phase("verify", max(1, -(-documents // limits.verify)) if near else 0),
        Phase("cluster", 1),
        Phase("index", len(index_groups(segments))),
    ]


class Phases:
    """What a task needs: the sketches, the configuration, and the folder in which phases leave their files."""

    def __init__(self, folder: Path, segments: Sequence[Segment], config: DedupConfig, limits: Limits) -> None:
        self.folder, self.config = folder, config
        self.corpus = Corpus(segments)
        self.phases = {each.name: each for each in plan_phases(segments, config, limits)}

    @property
    def decisions(self) -> Path:
        """Folder of the outcome."""
        return self.folder / "decisions"

    def _path(self, phase: str, rank: int) -> Path:
        return self.folder / phase / f"{rank:05d}.safetensors"

    def _found(self, phase: str) -> list[Columns]:
        return [Columns(self._path(phase, rank)) for rank in range(self.phases[phase].tasks)]

    def run(self, phase: str, rank: int) -> None:
        """Do one task. What it leaves is whole or absent; doing it again changes nothing."""
        if phase == "url":
            self._equal("url", rank, [])
        elif phase == "text":
            self._equal("text", rank, ["url"])
        elif phase == "bands":
            self._bands(rank)
        elif phase == "verify":
            self._verify(rank)
        elif phase == "cluster":
            self._cluster()
        else:
            group = index_groups(self.corpus.segments)[rank]
            build_index(group, self.decisions, self._path("index", rank))

    def _gone(self, phases: Sequence[str]) -> Array:
        gone = np.zeros(self.corpus.own, dtype=bool)
        for phase in phases:
            for found in self._found(phase):
                gone[found.read("removed").astype(np.int64)] = True
        return gone

    def _equal(self, phase: str, rank: int, before: Sequence[str]) -> None:
        slice_ = key_range(rank, self.phases[phase].tasks)
        removed, leaders = equal_keys(self.corpus, phase, slice_, self._gone(before))
        save_columns(self._path(phase, rank), {"removed": removed, "leaders": leaders})

    def _bands(self, rank: int) -> None:
        slices = self.phases["bands"].tasks // self.config.near.bands
        band, index = divmod(rank, slices)
        gone = self._gone(["url", "text"])
        pairs = candidate_pairs(self.corpus, band, key_range(index, slices), gone)
        save_columns(self._path("bands", rank), {"pairs": pairs})

    def _verify(self, rank: int) -> None:
        tasks = self.phases["verify"].tasks
        low = np.uint64(self.corpus.own * rank // tasks) << np.uint64(32)
        high = np.uint64(self.corpus.own * (rank + 1) // tasks) << np.uint64(32)
        chosen = [np.empty(0, dtype=np.uint64)]
        for found in self._found("bands"):
            pairs = found.read("pairs")
            chosen.append(pairs[np.searchsorted(pairs, low) : np.searchsorted(pairs, high)])
        one, two = unpack(np.unique(np.concatenate(chosen)))
        similarity = similarities(self.corpus, one, two)
        near = similarity >= self.config.near.threshold
        save_columns(
            self._path("verify", rank),
            {"low": one[near], "high": two[near], "jaccard": similarity[near], "compared": np.array([len(one)])},
        )

    def _cluster(self) -> None:
        clusters = Clusters(self.folder / "clusters.duckdb", self.corpus)
        try:
            for reason, phase in ((SAME_URL, "url"), (SAME_TEXT, "text")):
                for found in self._found(phase):
                    clusters.add_equal(reason, found.read("removed"), found.read("leaders"))
            for found in self._found("verify"):
                clusters.add_pairs(found.read("low"), found.read("high"), found.read("jaccard"))
            clusters.decide_near(self.config.near.threshold)
            clusters.save(self.decisions)
        finally:
            clusters.close()
