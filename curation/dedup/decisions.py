"""What deduplication decided, a file for each part that it concerns.

Columns: of removed documents ``row`` uint32 (their place among the part's sketches), ``reason`` uint8 (index
into ``REASONS``), ``duplicate_of`` uint64 [n, 2], ``jaccard`` float64 (NaN where it cannot be measured: what
is repeated is held by a run whose shingles have another length); ``kept_row`` uint32 of the documents that others
were removed for; ``cluster_size`` and ``kept_size`` uint32.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np

from curation.dedup.columns import Columns, save_columns
from curation.dedup.corpus import Corpus

Array = np.ndarray[Any, Any]

STEP = "dedup"
REASONS = ("same_url", "same_text", "near_duplicate")
"""Reasons of the step ``dedup``, in the order in which they act."""
SAME_URL, SAME_TEXT, NEAR = range(3)


def decision_path(folder: Path, sketch: str | Path) -> Path:
    """The decisions that belong to a part's file of sketches (``.../sketches/00003/000001.safetensors``)."""
    path = Path(sketch)
    return folder / path.parent.name / path.name


def save_decisions(folder: Path, corpus: Corpus, batches: Iterable[list[Array]]) -> None:
    """Split decisions, ascending by document number, into the parts' files.

    Args:
        batches: columns number, reason (null or NaN for a survivor), id high, id low, jaccard, cluster size.
    """
    held: list[list[Array]] = []
    index = 0
    own = [each for each in corpus.segments if not each.held]

    def flush(upto: int) -> None:
        nonlocal held, index
        while index < len(own) and corpus.bases[index + 1] <= upto:
            columns = [np.concatenate(parts) for parts in zip(*held, strict=True)] if held else []
            if columns:
                cut = int(np.searchsorted(columns[0], corpus.bases[index + 1]))
                if cut:
                    _save_part(decision_path(folder, own[index].path), corpus.bases[index], [c[:cut] for c in columns])
                held = [[c[cut:] for c in columns]]
            index += 1

    for batch in batches:
        held.append([np.asarray(column, dtype=np.float64) if i in (1, 4) else column for i, column in enumerate(batch)])
        flush(int(batch[0][-1]))
    flush(corpus.own)


def _save_part(path: Path, base: int, columns: list[Array]) -> None:
    numbers, reasons, high, low, jaccard, size = columns
    rows = (numbers - base).astype(np.uint32)
    removed = ~np.isnan(reasons)
    save_columns(
        path,
        {
            "row": rows[removed],
            "reason": reasons[removed].astype(np.uint8),
            "duplicate_of": np.stack([high[removed], low[removed]], axis=1).astype(np.uint64),
            "jaccard": jaccard[removed].astype(np.float64),
            "cluster_size": size[removed].astype(np.uint32),
            "kept_row": rows[~removed],
            "kept_size": size[~removed].astype(np.uint32),
        },
    )


@dataclass(frozen=True, slots=True)
class PartDecisions:
    """The decisions about one part, by the sequence number of its rows."""

    removed: dict[int, tuple[str, str, float | None, int]]
    """sequence -> (reason, duplicate_of, jaccard, cluster size)."""
    sizes: dict[int, int]
    """sequence -> cluster size, of documents that others were removed for."""


def load_decisions(sketch: Path, decisions: Path) -> PartDecisions:
    """Read the decisions about a part; none where nothing of it is concerned."""
    from curation.dedup.sketch import id_text

    if not decisions.exists():
        return PartDecisions({}, {})
    found, sequence = Columns(decisions), Columns(sketch).read("sequence")
    removed = {}
    ids = found.read("duplicate_of")
    columns = [found.read(name).tolist() for name in ("reason", "jaccard", "cluster_size")]
    for place, row in enumerate(found.read("row").tolist()):
        reason, jaccard, size = (column[place] for column in columns)
        similarity = None if isnan(jaccard) else jaccard
        removed[int(sequence[row])] = (REASONS[reason], id_text(ids[place]), similarity, size)
    rows, sizes = found.read("kept_row"), found.read("kept_size").tolist()
    return PartDecisions(removed, dict(zip(sequence[rows].tolist(), sizes, strict=True)))
