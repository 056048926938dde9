"""The writer of parts: what it has committed is done, what it has not is done again."""

import secrets
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
from datatrove.data import Document, DocumentsPipeline
from datatrove.pipeline.base import PipelineStep

from curation.config import CurationConfig
from curation.dedup.moves import sketch_path
from curation.dedup.sketch import Sketches
from curation.filters import score_columns
from curation.filters.decontaminate import METADATA as MATCHES
from curation.plan import RunFolder
from curation.shards import ROW_WEIGHT, PartWriter
from curation.steps.common import Position, StopRequested
from curation.steps.read import ReadRecords, ReadShards
from curation.toxicity.prepared import save_known
from curation.workspace import write_durably

COMMIT_SECONDS = 0.5
COMMIT_SHARE = 0.05
"""A part is committed after half a second, later after 5 % of the task's time: that is what a kill can cost."""
COMMIT_WEIGHT = 48 * 2**20
"""... and at this many bytes of text, which bounds a worker's memory."""


class WriteParts(PipelineStep):
    """Commits parts: the rows, and a manifest written last, whose existence means that the part counts."""

    type = "writer"
    name = "parts"

    def __init__(
        self,
        folder: RunFolder,
        config: CurationConfig,
        reader: ReadRecords | ReadShards,
        stopping: Callable[[], bool],
        deaths: int = 0,
    ) -> None:
        super().__init__()
        self.folder, self.reader, self.stopping = folder, reader, stopping
        self.scores = score_columns(config.filters)
        self.writer = PartWriter(self.scores)
        self.sketches = Sketches(config.dedup.near) if config.dedup.enabled else None
        # After a death commit sooner, so that even a worker that is killed again and again gets on.
        self.commit_seconds = COMMIT_SECONDS / 2**deaths
        self._clear()

    def _clear(self) -> None:
        self.after: Position | None = None
        self.rejected: dict[tuple[str, str, str, bool], list[int]] = {}
        self.contaminated: list[tuple[str, str, str, str, str, float, int, int]] = []
        self.known_toxicity: dict[int, Any] = {}
        """Row -> scores that a parent run has from the model, used again if the document survives."""
        self.quarantined: list[tuple[str, int, int, str, str]] = []
        self.unstored: dict[str, int] = {}
        self.damaged: set[str] = set()

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """Consume all documents of the task; raises StopRequested after a commit when told to stop."""
        path = self.folder.parts(rank)
        path.mkdir(parents=True, exist_ok=True)
        number = len(list(path.glob("*.json")))
        began = last = time.monotonic()
        for document in data or ():
            self._take(document)
            now = time.monotonic()
            due = now - last > max(self.commit_seconds, COMMIT_SHARE * (now - began))
            if due or self.writer.weight >= COMMIT_WEIGHT or self.stopping():
                self._commit(path, number)
                number, last = number + 1, now
                if self.stopping():
                    raise StopRequested
        if self.after is not None:
            self._commit(path, number)
        yield from ()

    def _take(self, document: Document) -> None:
        meta = document.metadata
        self.after = meta["_position"]
        raw_file_id = meta["raw_file_id"]
        if meta["_damage"]:
            self.damaged.add(raw_file_id)
        if "quarantined" in meta:
            place = (raw_file_id, meta["record_offset"], meta["record_index"])
            self.quarantined.append((*place, meta["quarantined"], meta["detail"]))
            return
        stored = (meta.get("step"), meta.get("reason")) != ("read", "record_type")
        text_bytes = 0
        if stored:
            row = {name: value for name, value in meta.items() if not name.startswith("_")}
            row |= {"id": document.id, "text": document.text}
            sketched = self.sketches is not None and "step" not in meta
            row["cluster_size"] = 1 if sketched else None
            sequence = self.writer.documents
            text_bytes = self.writer.add("rejected" if "step" in meta else "kept", row)
            for match in meta.get(MATCHES, ()):
                found = (match.item_set, match.item_id, match.how, match.overlap, match.begin, match.end)
                self.contaminated.append((document.id, raw_file_id, *found))
            if "_toxicity" in meta:
                self.known_toxicity[sequence] = meta["_toxicity"]
            if self.sketches is not None and sketched:
                self.sketches.add(document, sequence, ROW_WEIGHT + text_bytes)
        else:
            self.unstored[raw_file_id] = self.unstored.get(raw_file_id, 0) + 1
        if "step" in meta:
            counts = self.rejected.setdefault((meta["step"], meta["reason"], meta["language"], stored), [0, 0])
            counts[0] += 1
            counts[1] += text_bytes

    def _commit(self, folder: Path, number: int) -> None:
        # No two workers ever write the same file, and of two that are at the same task (on a cluster, the first
        # on a node that was given up for lost) only one can commit part ``number``; the other starts again.
        path = folder / f"{number:06d}-{secrets.token_hex(4)}.parquet"
        try:
            manifest = self._save(path)
            write_durably(folder / f"{number:06d}.json", orjson.dumps(manifest), replace=False)
        except BaseException as error:
            path.unlink(missing_ok=True)
            sketch_path(path).unlink(missing_ok=True)
            if isinstance(error, FileExistsError):
                raise StopRequested from None
            raise
        self.reader.counts = {}
        self._clear()

    def _save(self, path: Path) -> dict[str, Any]:
        """Write rows and sketches; returns the manifest that makes them count."""
        pieces = self.writer.write(path)
        sketches = 0
        if self.sketches is not None:
            row_groups = {each.language: each.row_group or 0 for each in pieces if each.shard_kind == "kept"}
            sketches = self.sketches.save(sketch_path(path), row_groups)
        if self.known_toxicity:
            save_known(path, self.known_toxicity)
        return {
            "part": path.name,
            "sketches": sketches,
            "after": self.after,
            "read": self.reader.counts,
            "unstored": self.unstored,
            "damaged": sorted(self.damaged),
            "pieces": [asdict(piece) for piece in pieces],
            "rejected": [[*key, *counts] for key, counts in sorted(self.rejected.items())],
            "quarantined": self.quarantined,
            "contaminated": self.contaminated,
        }
