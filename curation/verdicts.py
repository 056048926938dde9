"""What is decided about kept documents after they were written to parts, and how the shards follow it.

Some steps can decide only when all documents are known (deduplication), or are too dear for any but those that have
survived everything else (toxicity). Such a step leaves verdicts beside the parts: documents that go, with step and
reason, and values of columns. The shard writer moves what goes to the rejected and sets the columns. A step sees only
documents that no earlier one has removed.

Files: the sketches and decisions of deduplication (``curation.dedup``); of any other step the verdicts on the part
``scratch/parts/R/N.parquet`` in ``scratch/verdicts/STEP/R/N-*.json``, one file for each task that had a share in it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from curation.dedup.decisions import STEP as DEDUP
from curation.dedup.moves import dedup_verdicts
from curation.shards import ROW_WEIGHT, SEQUENCE, Piece
from curation.workspace import write_durably

if TYPE_CHECKING:
    import pyarrow as pa

QUALITY = "quality"
"""Step of the filter of that name, which decides alone by a least score, and late by a share of the best."""
LATE_STEPS = (DEDUP, QUALITY, "toxicity")
"""In the order in which they act, behind everything that is decided document by document."""
BELOW_SCORE, BELOW_SHARE = "below_min_score", "below_top_share"
"""Reasons of the step ``quality``: decided with the other filters, and late."""
LATE = f"(step IN {LATE_STEPS} AND reason <> '{BELOW_SCORE}')"
"""SQL: whether a rejection with columns ``step`` and ``reason`` was decided late."""


def is_late(step: str, reason: str) -> bool:
    """Whether a rejection was decided late."""
    return step in LATE_STEPS and reason != BELOW_SCORE


def steps_before(step: str) -> tuple[str, ...]:
    """The late steps that act before one of them."""
    return LATE_STEPS[: LATE_STEPS.index(step)]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a step says of one document of a part."""

    sequence: int
    """The row's number in the part."""
    piece: int
    """Its row group."""
    weight: int
    id: str
    step: str | None = None
    reason: str | None = None
    """Both null for a document that stays."""
    columns: Mapping[str, Any] = field(default_factory=dict)
    """Column -> new value."""


def verdicts_folder(part: Path, step: str) -> Path:
    """Where the verdicts of a step on the parts of a task lie."""
    return part.parents[2] / "verdicts" / step / part.parent.name


def save_verdicts(part: Path, step: str, task: int, verdicts: Sequence[Verdict]) -> None:
    """Store what a task decided about documents of a part, whole or not at all."""
    path = verdicts_folder(part, step) / f"{part.stem}-{task:05d}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, orjson.dumps([asdict(each) for each in verdicts]))


def part_verdicts(part: Path | str, steps: Iterable[str] = LATE_STEPS) -> dict[int, Verdict]:
    """Sequence -> what all steps (or some) say of a part's documents."""
    path = Path(part)
    found: dict[int, Verdict] = {}
    for step in steps:
        for each in dedup_verdicts(path) if step == DEDUP else _stored(path, step):
            new = each if isinstance(each, Verdict) else Verdict(*each)
            old = found.get(new.sequence)
            found[new.sequence] = new if old is None else replace(new, columns={**old.columns, **new.columns})
    return found


def _stored(part: Path, step: str) -> Iterator[Verdict]:
    for path in sorted(verdicts_folder(part, step).glob(f"{part.stem}-*.json")):
        for row in orjson.loads(path.read_bytes()):
            yield Verdict(**row)


# ---- rows ------------------------------------------------------------------------------------------


def staying_rows(part: str, tables: Iterable["pa.Table"]) -> Iterator["pa.Table"]:
    """Kept rows without those that go, with the columns that steps have set."""
    import pyarrow as pa

    verdicts = part_verdicts(part)
    gone = {sequence for sequence, each in verdicts.items() if each.step}
    for table in tables:
        if gone:
            sequence = table.column(SEQUENCE).to_pylist()
            table = table.filter(pa.array([number not in gone for number in sequence]))
        yield _with_columns(table, verdicts) if verdicts else table


def moved_rows(part: str, tables: Iterable["pa.Table"]) -> Iterator["pa.Table"]:
    """Those of kept rows that go, with step, reason and columns."""
    import pyarrow as pa

    gone = {sequence: each for sequence, each in part_verdicts(part).items() if each.step}
    for table in tables:
        sequence = table.column(SEQUENCE).to_pylist()
        table = table.filter(pa.array([number in gone for number in sequence]))
        if table.num_rows:
            told = {n: replace(v, columns={**v.columns, "step": v.step, "reason": v.reason}) for n, v in gone.items()}
            yield _with_columns(table, told)


def with_moved(rejected: Iterable["pa.Table"], moved: Iterable["pa.Table"]) -> "pa.Table":
    """Both as one table in canonical order; the rows of one part fit into memory."""
    import pyarrow as pa

    return pa.concat_tables([*rejected, *moved]).sort_by(SEQUENCE)


def _with_columns(table: "pa.Table", verdicts: Mapping[int, Verdict]) -> "pa.Table":
    import pyarrow as pa

    here = [verdicts.get(number) for number in table.column(SEQUENCE).to_pylist()]
    names = dict.fromkeys(name for each in here if each for name in each.columns)
    for name in names:
        place = table.schema.get_field_index(name)
        before = table.column(name).to_pylist(maps_as_pydicts="strict")
        values = [
            each.columns[name] if each and name in each.columns else old for each, old in zip(here, before, strict=True)
        ]
        kind = table.schema.field(place)
        table = table.set_column(place, kind, pa.array(values, kind.type))
    return table


def late_ids(parts: Iterable[Path]) -> set[str]:
    """Ids of documents that a step behind deduplication has removed."""
    later = [step for step in LATE_STEPS if step != DEDUP]
    return {each.id for part in parts for each in part_verdicts(part, later).values() if each.step}


# ---- accounts --------------------------------------------------------------------------------------


def decided_manifest(path: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """A part's manifest as it is after all late steps: some kept documents are rejected."""
    gone = [each for each in part_verdicts(path).values() if each.step]
    if not gone:
        return manifest
    pieces: dict[tuple[str, str], Piece] = {}
    for raw in manifest["pieces"]:
        piece = Piece(**raw)
        pieces[(piece.shard_kind, piece.language)] = piece
    rejected = {tuple(entry[:4]): list(entry[4:]) for entry in manifest["rejected"]}
    documents, weights = Counter(each.piece for each in gone), Counter[int]()
    for each in gone:
        weights[each.piece] += each.weight
    for (kind, language), piece in list(pieces.items()):
        group = piece.row_group
        if kind != "kept" or group is None or not documents[group]:
            continue
        left = replace(piece, documents=piece.documents - documents[group], weight=piece.weight - weights[group])
        if left.documents:
            pieces[(kind, language)] = left
        else:
            del pieces[(kind, language)]
        target = pieces.get(("rejected", language)) or Piece(path.name, None, "rejected", language, 0, 0)
        pieces[("rejected", language)] = replace(
            target,
            documents=target.documents + documents[group],
            weight=target.weight + weights[group],
            moved=group,
        )
        for each in gone:
            if each.piece == group:
                counts = rejected.setdefault((each.step, each.reason, language, True), [0, 0])
                counts[0] += 1
                counts[1] += each.weight - ROW_WEIGHT
    return {
        **manifest,
        "pieces": [asdict(piece) for _, piece in sorted(pieces.items())],
        "rejected": [[*key, *counts] for key, counts in rejected.items()],
    }
