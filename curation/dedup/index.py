"""The persistent index: sketches of the documents that finished runs have deduplicated, ``index/RUN/*``.

A new run compares its documents with these instead of with old text. A document that was itself removed for its
text stays in the index with its text key alone and the id of the one that stands for it, so that a page that comes
again is decided as it was the first time, as long as that one counts. One that was removed for its URL has no key:
the one that stands for it may say something else, which would then be lost. Take-downs never count, and leave the
index with ``catalog gc``. A folder whose run is not done (killed at its very end) never counts either.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from curation.dedup.columns import Columns, save_columns
from curation.dedup.corpus import Segment, rows_among
from curation.dedup.decisions import SAME_URL, decision_path
from curation.dedup.sketch import id_array, parameters

Array = np.ndarray[Any, Any]

FILE_BYTES = 16 * 2**20
"""A file of the index ends at this size, 7,000 documents of 400 words: a task holds three times as much."""


def index_groups(segments: Sequence[Segment]) -> list[list[Segment]]:
    """The run's own segments, grouped into files of the index."""
    groups: list[list[Segment]] = []
    filled = FILE_BYTES
    for segment in segments:
        if segment.held:
            continue
        size = Path(segment.path).stat().st_size
        if filled + size > FILE_BYTES:
            groups.append([])
            filled = 0
        groups[-1].append(segment)
        filled += size
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
            columns["text"][rows[decided.read("reason") == SAME_URL]] = 0
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


def forget(folder: Path, taken_down: Iterable[str]) -> int:
    """Remove documents from one run's index on disk: keys, signature and shingles go, the row and its id stay,
    so that rows keep their numbers for runs that are at work. Can be killed and run again.

    Returns:
        How many documents it held.
    """
    hidden = id_array(sorted(taken_down))
    removed = 0
    for path in index_files(folder):
        opened = Columns(path)
        gone = rows_among(opened.read("ids"), hidden)
        lengths: Array = np.diff(opened.read("offsets").astype(np.int64))
        held = gone & ((opened.read("text") != 0) | (lengths > 0))
        if not held.any():
            continue
        removed += int(held.sum())
        columns = {name: opened.read(name) for name in opened.shapes()}
        for name in ("url", "text", "signature"):
            columns[name][gone] = 0
        columns["bands"][:, gone] = 0
        columns["shingles"] = columns["shingles"][np.repeat(~gone, lengths)]
        lengths[gone] = 0
        columns["offsets"] = np.concatenate(([0], np.cumsum(lengths))).astype(np.uint64)
        save_columns(path, columns, opened.meta)
    return removed


def withdraw(folder: Path, ids: Iterable[str]) -> None:
    """Make documents of an index in the making count for nothing, nor what was removed for them: a later copy is then
    judged by itself. Rows and ids stay, as with ``forget``."""
    forget(folder, ids)
    wanted = id_array(sorted(ids))
    for path in index_files(folder):
        opened = Columns(path)
        stranded = rows_among(opened.read("leader"), wanted)
        if stranded.any():
            columns = {name: opened.read(name) for name in opened.shapes()}
            columns["text"][stranded] = 0
            save_columns(path, columns, opened.meta)


def verify_file(path: Path) -> int:
    """Number of documents of one file of the index.

    Raises:
        OSError: it cannot be read, or its columns do not fit together.
    """
    opened = Columns(path)
    shapes = opened.shapes()
    try:
        documents, hashes = opened.rows("ids"), opened.meta["bands"] * opened.meta["rows"]
        expected = {"ids": (documents, 2), "leader": (documents, 2), "offsets": (documents + 1,)}
        expected |= dict.fromkeys(("source", "url", "text", "leader_jaccard"), (documents,))
        expected |= {"signature": (documents, hashes), "bands": (opened.meta["bands"], documents)}
        wrong = sorted(name for name, shape in expected.items() if shapes[name] != shape)
        offsets = opened.read("offsets").astype(np.int64)
        if offsets[0] != 0 or (np.diff(offsets) < 0).any() or offsets[-1] != opened.rows("shingles"):
            wrong.append("offsets")
    except (KeyError, TypeError, IndexError) as error:
        raise OSError(f"{path} is damaged: {error} is missing or of the wrong kind") from error
    if wrong:
        raise OSError(f"{path} is damaged: {', '.join(wrong)} does not fit the other columns")
    return documents


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
