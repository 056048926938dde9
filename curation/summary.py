"""The waterfall of a run: raw records, what left at each step and why, what was kept."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from curation.alarms import alarms
from curation.catalog import open_catalog, rows
from curation.catalog.query import create_document_view, run_config
from curation.dedup.config import AlarmConfig
from curation.dedup.decisions import REASONS
from curation.verdicts import LATE, LATE_STEPS, is_late
from curation.workspace import Workspace

STEP_ORDER = ("read", "extract", "lines", "takedown", "language")
"""Steps in the order in which they act; filters follow in the order of the configuration, then ``pii`` and
``LATE_STEPS``."""


@dataclass(frozen=True, slots=True)
class Level:
    """One row of a waterfall."""

    kind: Literal["raw", "quarantined", "rejected", "kept"]
    step: str
    reason: str
    records: int
    left: int
    """Records left after it."""


def waterfall(
    raw: int,
    kept: int,
    quarantined: Iterable[tuple[str, int]],
    rejected: Iterable[tuple[str, str, int]],
    filters: Sequence[str] = (),
) -> list[Level]:
    """From raw to kept, a row for each step and reason in the order in which they act.

    Args:
        quarantined: (reason, records).
        rejected: (step, reason, records).
        filters: names of the filters as configured.
    """
    early = [*STEP_ORDER, *filters, "pii"]
    order = {(False, step): rank for rank, step in enumerate(early)}
    order |= {(True, step): len(early) + rank for rank, step in enumerate(LATE_STEPS)}
    within = {reason: rank for rank, reason in enumerate(REASONS)}
    gone: list[tuple[Literal["quarantined", "rejected"], str, str, int]] = [
        ("quarantined", "quarantined", reason, records) for reason, records in sorted(quarantined)
    ]
    gone += [
        ("rejected", step, reason, records)
        for step, reason, records in sorted(
            rejected,
            key=lambda r: (order.get((is_late(r[0], r[1]), r[0]), len(order)), r[0], within.get(r[1], -1), r[1]),
        )
    ]
    left = raw
    levels = [Level("raw", "raw records", "", raw, raw)]
    for kind, step, reason, records in gone:
        left -= records
        levels.append(Level(kind, step, reason, records, left))
    return [*levels, Level("kept", "kept", "", kept, left)]


def as_table(levels: Sequence[Level]) -> str:
    """A waterfall for a terminal."""
    raw = levels[0].records
    steps = max(14, 2 + max(len(level.step) for level in levels))
    wide = max(len(level.reason) for level in levels)
    lines = [f"{'step':<{steps}}{'reason':<{wide}}{'records':>14}{'share':>10}{'left':>14}"]
    for level in levels:
        sign = "" if level.kind in ("raw", "kept") else "-"
        share = f"{100 * level.records / raw:.1f} %" if raw else "-"
        records = f"{sign}{level.records:,}"
        lines.append(f"{level.step:<{steps}}{level.reason:<{wide}}{records:>14}{share:>10}{level.left:>14,}")
    return "\n".join(lines)


def summary(workspace: Workspace, run_id: str) -> str:
    """The waterfall of a run and the commands to go on with, from the catalog."""
    with open_catalog(workspace) as connection:
        config = run_config(connection, run_id)
        raw = rows(connection, "SELECT coalesce(sum(records), 0) n FROM raw_file WHERE run_id = ?", [run_id])
        rejected = rows(
            connection,
            "SELECT step, reason, sum(documents)::BIGINT n FROM filter_count WHERE run_id = ? GROUP BY ALL",
            [run_id],
        )
        bad = rows(
            connection,
            "SELECT reason, count(*) n FROM quarantine WHERE run_id = ? GROUP BY ALL",
            [run_id],
        )
        kept = rows(
            connection,
            "SELECT coalesce(sum(documents), 0) n, count(*) shards, coalesce(sum(text_bytes), 0) size "
            "FROM c.shard WHERE run_id = ? AND shard_kind = 'kept' AND replaces IS NULL",
            [run_id],
        )[0]
    steps = waterfall(
        int(raw[0]["n"]),
        int(kept["n"]),
        [(row["reason"], row["n"]) for row in bad],
        [(row["step"], row["reason"], row["n"]) for row in rejected],
        list(config["curation"]["filters"]),
    )
    warnings = alarms(workspace, run_id, AlarmConfig(**config["curation"].get("dedup", {}).get("alarm", {})))
    return (
        f"{as_table(steps)}\n\n"
        + "".join(f"alarm: {line}\n" for line in warnings)
        + _toxicity_line(workspace, run_id, config)
        + f"{kept['n']:,} documents, {kept['size'] / 1e6:,.1f} MB of text in "
        f"{kept['shards']} shards: {workspace.shard_url(f'shards/{run_id}')}\nrun {run_id}\n\n"
        f"next: python -m curation.dataset create NAME --run {run_id} --workspace {workspace.name}"
    )


_SCORED = f"""
SELECT coalesce(toxicity.model, ''), count(*) FROM document
WHERE toxicity IS NOT NULL AND (shard_kind = 'kept' OR {LATE})
    AND (toxicity.model IS NOT NULL OR toxicity.cheap IS NOT NULL) GROUP BY ALL ORDER BY ALL
"""


def _toxicity_line(workspace: Workspace, run_id: str, config: Mapping[str, Any]) -> str:
    """Which model scored how many of the documents that survived all but the late steps."""
    if not config.get("prepared", {}).get("toxicity"):
        return ""
    with open_catalog(workspace) as connection:
        shards = rows(connection, "SELECT shard_id FROM shard WHERE run_id = ?", [run_id])
    with open_catalog(workspace, locked=False) as connection:
        create_document_view(workspace, connection, [row["shard_id"] for row in shards])
        found = connection.execute(_SCORED).fetchall()
    told = [f"{count:,} documents scored by {model or 'the cheap model alone'}" for model, count in reversed(found)]
    return f"toxicity: {', '.join(told)}\n" if told else ""
