"""The persistent index: sketches of the documents that finished runs have deduplicated, ``index/RUN/*``.

A new run compares its documents with these instead of with old text. A document that was itself removed as a
duplicate stays in the index with its text key alone and the id of the one that stands for it, so that a page
that comes again is decided as it was the first time. Take-downs leave the index with ``catalog gc``.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from curation.dedup.columns import Columns, save_columns
from curation.dedup.corpus import Segment
from curation.dedup.decisions import decision_path
from curation.dedup.sketch import id_array, parameters

Array = np.ndarray[Any, Any]

FILE_DOCUMENTS = 16_384
"""Documents of one file of the index, about 40 MB."""


def index_groups(segments: Sequence[Segment]) -> list[list[Segment]]:
    """The run's own segments, grouped into files of the index."""
    groups: list[list[Segment]] = []
    filled = FILE_DOCUMENTS
    for segment in segments:
        if segment.held:
            continue
        if filled >= FILE_DOCUMENTS:
            groups.append([])
            filled = 0
        groups[-1].append(segment)
        filled += segment.documents
    return groups


def build_index(group: Sequence[Segment], decisions: Path, path: Path) -> None:
    """Write one file of the index from the sketches of some parts and what was decided on them."""
    opened = [Columns(each.path) for each in group]
    sources = sorted({source for each in opened for source in each.meta["raw_file_ids"]})
    number = {source: index for index, source in enumerate(sources)}
    columns = {
        name: np.concatenate([each.read(name) for each in opened]) for name in ("ids", "url", "text", "signature")
    }
    renumbered = [
        np.array([number[source] for source in each.meta["raw_file_ids"]], dtype=np.uint32)[each.read("source")]
        for each in opened
    ]
    columns["source"] = np.concatenate(renumbered)
    columns["bands"] = np.concatenate([each.read("bands") for each in opened], axis=1).copy()
    lengths = np.concatenate([np.diff(each.read("offsets").astype(np.int64)) for each in opened])
    columns["offsets"] = np.concatenate(([0], np.cumsum(lengths))).astype(np.uint64)
    columns["shingles"] = np.concatenate([each.read("shingles") for each in opened])
    columns["leader"] = columns["ids"].copy()
    columns["leader_jaccard"] = np.ones(len(columns["ids"]))
    base = 0
    for segment in group:
        found = decision_path(decisions, segment.path)
        if found.exists():
            decided = Columns(found)
            rows = decided.read("row").astype(np.int64) + base
            columns["leader"][rows] = decided.read("duplicate_of")
            columns["leader_jaccard"][rows] = decided.read("jaccard")
            columns["url"][rows] = 0
            columns["bands"][:, rows] = 0
        base += segment.documents
    meta = {name: opened[0].meta[name] for name in ("ngram", "bands", "rows")}
    save_columns(path, columns, {"raw_file_ids": sources, **meta})


def index_files(folder: Path) -> list[Path]:
    """Files of one run's index, in order."""
    return sorted(folder.glob("*.safetensors"))


def held_segments(
    folders: Mapping[str, Path], counted: Mapping[str, set[str]], taken_down: Iterable[str], near: Any
) -> Iterator[Segment]:
    """What a run compares its documents with.

    Args:
        folders: run id -> its index.
        counted: run id -> raw files whose documents count.
        taken_down: ids of documents that do not.
        near: the run's ``NearConfig``; signatures made otherwise are not compared.
    """
    hidden = id_array(sorted(taken_down))
    for run_id, folder in sorted(folders.items()):
        for path in index_files(folder):
            columns = Columns(path)
            sources = [i for i, s in enumerate(columns.meta["raw_file_ids"]) if s not in counted[run_id]]
            if len(sources) == len(columns.meta["raw_file_ids"]):
                continue
            rows: tuple[int, ...] = ()
            if len(hidden):
                rows = tuple(np.flatnonzero(rows_among(columns.read("ids"), hidden)).tolist())
            comparable = all(columns.meta[name] == value for name, value in parameters(near).items())
            yield Segment(str(path), columns.rows("ids"), True, comparable, tuple(sources), rows)


def rows_among(ids_N2: Array, wanted_M2: Array) -> Array:
    """bool [N]: which ids are among the wanted."""
    pair = np.dtype([("high", np.uint64), ("low", np.uint64)])
    found: Array = np.isin(
        np.ascontiguousarray(ids_N2).view(pair).ravel(), np.ascontiguousarray(wanted_M2).view(pair).ravel()
    )
    return found


def forget(folder: Path, taken_down: Iterable[str]) -> int:
    """Remove documents from one run's index on disk; returns how many it held. Can be killed and run again."""
    hidden = id_array(sorted(taken_down))
    removed = 0
    for path in index_files(folder):
        opened = Columns(path)
        gone = rows_among(opened.read("ids"), hidden)
        if not gone.any():
            continue
        keep = ~gone
        removed += int(gone.sum())
        names = ("ids", "source", "url", "text", "signature", "leader", "leader_jaccard")
        columns = {name: opened.read(name)[keep] for name in names}
        columns["bands"] = opened.read("bands")[:, keep]
        lengths: Array = np.diff(opened.read("offsets").astype(np.int64))
        columns["shingles"] = opened.read("shingles")[np.repeat(keep, lengths)]
        columns["offsets"] = np.concatenate(([0], np.cumsum(lengths[keep]))).astype(np.uint64)
        save_columns(path, columns, opened.meta)
    return removed


def newest_readers(runs: Sequence[Mapping[str, Any]], files: Sequence[Mapping[str, Any]]) -> dict[str, set[str]]:
    """Run id -> raw files for which it counts: of the runs that read a file the newest, whole ones first.

    Args:
        runs: ``run_id``, ``config`` (JSON) of finished curation runs that have an index.
        files: ``run_id``, ``raw_file_id``.
    """
    limited = {row["run_id"]: json.loads(row["config"])["limit"] is not None for row in runs}
    best: dict[str, str] = {}
    for file in files:
        run_id, raw_file_id = file["run_id"], file["raw_file_id"]
        if run_id not in limited:
            continue
        old = best.get(raw_file_id)
        if old is None or (not limited[run_id], run_id) > (not limited[old], old):
            best[raw_file_id] = run_id
    counted: dict[str, set[str]] = {}
    for raw_file_id, run_id in best.items():
        counted.setdefault(run_id, set()).add(raw_file_id)
    return counted
