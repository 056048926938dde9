"""The accounts of a run: what the reader counted against what the writers counted.

raw records = kept + rejected(step, reason) + quarantined(reason). The two sides come from different
places (the reader's counter; rows written and quarantine entries) and are never derived by subtraction.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from curation.records import Contamination, FilterCount, Quarantine, RawFile, Record, Shard, ShardSource
from curation.shards import ShardFacts


@dataclass(slots=True)
class Tally:
    """Counts of a run, summed over its parts."""

    read: Counter[str] = field(default_factory=Counter)
    """raw_file_id -> records, by the reader."""
    unstored: Counter[str] = field(default_factory=Counter)
    """raw_file_id -> records that are counted but kept as no row."""
    rejected: Counter[tuple[str, str, str, bool]] = field(default_factory=Counter)
    """(step, reason, language, stored) -> documents."""
    rejected_bytes: Counter[tuple[str, str, str, bool]] = field(default_factory=Counter)
    quarantined: list[tuple[str, int, int, str, str]] = field(default_factory=list)
    """(raw_file_id, offset, index, reason, detail)."""
    contaminated: list[tuple[Any, ...]] = field(default_factory=list)
    """Fields of ``Contamination`` behind the run's id, in order."""
    damaged: set[str] = field(default_factory=set)
    kept: int = 0
    copied: int = 0
    """Records of byte-identical copies of files, counted as often as there are copies."""

    def add(self, manifest: Mapping[str, Any]) -> None:
        """Add what a part's manifest says."""
        self.read.update(manifest["read"])
        self.unstored.update(manifest["unstored"])
        self.damaged.update(manifest["damaged"])
        for step, reason, language, stored, documents, size in manifest["rejected"]:
            self.rejected[(step, reason, language, stored)] += documents
            self.rejected_bytes[(step, reason, language, stored)] += size
        self.quarantined += [tuple(entry) for entry in manifest["quarantined"]]
        self.contaminated += [tuple(entry) for entry in manifest["contaminated"]]
        self.kept += sum(p["documents"] for p in manifest["pieces"] if p["shard_kind"] == "kept")

    def add_copy(self, raw_file_id: str) -> None:
        """Count the records of a file once more, as rejected, for a byte-identical copy of it."""
        documents = self.read[raw_file_id]
        self.copied += documents
        self.rejected[("read", "duplicate_file", "und", False)] += documents

    @property
    def raw(self) -> int:
        """Raw records, by the reader, those of copies included."""
        return sum(self.read.values()) + self.copied

    def verify(self) -> None:
        """Raise AssertionError if the two sides differ: a bug of ours, never of the input."""
        written = self.kept + sum(self.rejected.values()) + len(self.quarantined)
        if self.raw != written:
            raise AssertionError(f"the accounts do not add up: {self.raw} records read, {written} written")


def run_records(
    run_id: str, tally: Tally, files: Iterable[Mapping[str, Any]], shards: Iterable[ShardFacts]
) -> list[Record]:
    """Everything to be recorded of a finished run, apart from its end.

    Args:
        files: raw files as planned (uri, bytes, format, compression, license, copy_of, raw_file_id).
    """
    by_file = Counter(entry[0] for entry in tally.quarantined)
    records: list[Record] = []
    for file in files:
        raw_file_id, copy = file["raw_file_id"], file["copy_of"]
        records.append(
            RawFile(
                raw_file_id=raw_file_id,
                run_id=run_id,
                uri=file["uri"],
                bytes=file["bytes"],
                format=file["format"],
                compression=file["compression"],
                license=file["license"],
                copy_of=copy,
                records=tally.read[raw_file_id],
                unstored=tally.read[raw_file_id] if copy else tally.unstored[raw_file_id],
                quarantined=0 if copy else by_file[raw_file_id],
                damaged=raw_file_id in tally.damaged,
            )
        )
    for facts in shards:
        shard_id = f"{run_id}/{facts.name}"
        records.append(
            Shard(
                shard_id=shard_id,
                run_id=run_id,
                path=f"shards/{shard_id}.parquet",
                sha256=facts.sha256,
                shard_kind=facts.shard_kind,
                language=facts.language,
                documents=facts.documents,
                bytes=facts.bytes,
                text_bytes=facts.text_bytes,
            )
        )
        records += [
            ShardSource(shard_id=shard_id, raw_file_id=raw_file_id, documents=documents)
            for raw_file_id, documents in sorted(facts.sources.items())
        ]
    records += [
        FilterCount(
            run_id=run_id,
            step=step,
            reason=reason,
            language=language,
            documents=documents,
            bytes=tally.rejected_bytes[(step, reason, language, stored)],
            stored=stored,
        )
        for (step, reason, language, stored), documents in sorted(tally.rejected.items())
    ]
    records += [
        Quarantine(
            run_id=run_id,
            raw_file_id=raw_file_id,
            record_offset=offset,
            record_index=index,
            reason=reason,
            detail=detail,
        )
        for raw_file_id, offset, index, reason, detail in sorted(tally.quarantined)
    ]
    names = [field.name for field in fields(Contamination)][1:]
    records += [
        Contamination(run_id=run_id, **dict(zip(names, entry, strict=True))) for entry in sorted(tally.contaminated)
    ]
    return records
