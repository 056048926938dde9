"""Carrying out the decisions: kept documents that duplicate others move to the rejected.

Paths: the sketches and decisions of the part ``scratch/parts/R/N.parquet`` are
``scratch/sketches/R/N.safetensors`` and ``scratch/dedup/decisions/R/N.safetensors``.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.dedup.columns import Columns
from curation.dedup.decisions import REASONS, STEP, PartDecisions, load_decisions

if TYPE_CHECKING:
    import pyarrow as pa

_SEQUENCE = "_sequence"


def sketch_path(part: Path | str) -> Path:
    """The sketches of a part."""
    path = Path(part)
    return path.parents[2] / "sketches" / path.parent.name / f"{path.stem}.safetensors"


def part_decisions(part: Path | str) -> PartDecisions:
    """The decisions about a part; empty where there are none."""
    sketch = sketch_path(part)
    return load_decisions(sketch, sketch.parents[2] / "dedup" / "decisions" / sketch.parent.name / sketch.name)


def staying_rows(part: str, tables: Iterable["pa.Table"]) -> Iterator["pa.Table"]:
    """Kept rows without the removed ones, with the sizes of their clusters."""
    import pyarrow as pa

    decisions = part_decisions(part)
    for table in tables:
        if decisions.removed:
            sequence = table.column(_SEQUENCE).to_pylist()
            table = table.filter(pa.array([number not in decisions.removed for number in sequence]))
        if decisions.sizes and table.num_rows:
            sequence = table.column(_SEQUENCE).to_pylist()
            before = table.column("cluster_size").to_pylist()
            sizes = [decisions.sizes.get(number, size) for number, size in zip(sequence, before, strict=True)]
            table = _set(table, "cluster_size", sizes)
        yield table


def moved_rows(part: str, tables: Iterable["pa.Table"]) -> Iterator["pa.Table"]:
    """The removed among kept rows, with step, reason and what they duplicate."""
    import pyarrow as pa

    removed = part_decisions(part).removed
    for table in tables:
        chosen = [number in removed for number in table.column(_SEQUENCE).to_pylist()]
        table = table.filter(pa.array(chosen))
        if not table.num_rows:
            continue
        found = [removed[number] for number in table.column(_SEQUENCE).to_pylist()]
        reasons, originals, similarities, sizes = zip(*found, strict=True)
        columns = {"step": [STEP] * len(found), "reason": reasons, "duplicate_of": originals}
        for name, values in {**columns, "jaccard": similarities, "cluster_size": sizes}.items():
            table = _set(table, name, values)
        yield table


def with_moved(rejected: Iterable["pa.Table"], moved: Iterable["pa.Table"]) -> "pa.Table":
    """Both as one table in canonical order; the rows of one part fit into memory."""
    import pyarrow as pa

    return pa.concat_tables([*rejected, *moved]).sort_by(_SEQUENCE)


def _set(table: "pa.Table", name: str, values: Iterable[Any]) -> "pa.Table":
    import pyarrow as pa

    place = table.schema.get_field_index(name)
    return table.set_column(place, table.schema.field(place), pa.array(list(values), table.schema.field(place).type))


@dataclass(slots=True)
class Moves:
    """What leaves the kept documents of one part, by row group."""

    documents: Counter[int] = field(default_factory=Counter)
    weight: Counter[int] = field(default_factory=Counter)
    reasons: Counter[tuple[int, str]] = field(default_factory=Counter)
    """(row group, reason) -> documents."""
    reason_weight: Counter[tuple[int, str]] = field(default_factory=Counter)


def part_moves(part: Path | str) -> Moves:
    """Count the moves of a part."""
    moves = Moves()
    sketch = sketch_path(part)
    decisions = sketch.parents[2] / "dedup" / "decisions" / sketch.parent.name / sketch.name
    if not decisions.exists():
        return moves
    found, sketches = Columns(decisions), Columns(sketch)
    rows = found.read("row")
    pieces, weights = sketches.read("piece")[rows].tolist(), sketches.read("weight")[rows].tolist()
    for piece, weight, reason in zip(pieces, weights, found.read("reason").tolist(), strict=True):
        moves.documents[piece] += 1
        moves.weight[piece] += weight
        moves.reasons[(piece, REASONS[reason])] += 1
        moves.reason_weight[(piece, REASONS[reason])] += weight
    return moves
