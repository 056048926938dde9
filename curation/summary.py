"""The waterfall of a run: raw records, what left at each step and why, what was kept."""

from collections import Counter
from collections.abc import Iterable, Sequence

from curation.catalog import open_catalog, rows
from curation.catalog.query import run_config
from curation.records import Workspace

STEP_ORDER = ("read", "extract", "takedown", "language")
"""Steps in the order in which they act; filters follow in the order of the configuration."""


def waterfall(
    raw: int,
    rejected: Iterable[tuple[str, str, int]],
    quarantined: Iterable[tuple[str, int]],
    kept: int,
    filter_order: Sequence[str] = (),
) -> str:
    """The waterfall as a table: raw records, what left at each step and why, what was kept.

    Args:
        rejected: (step, reason, documents), any order, repeats added up.
        quarantined: (reason, documents).
        filter_order: names of the filters as configured.
    """
    by_step: Counter[tuple[str, str]] = Counter()
    for step, reason, documents in rejected:
        by_step[(step, reason)] += documents
    order = {step: rank for rank, step in enumerate([*STEP_ORDER, *filter_order])}
    lines = [("raw records", "", raw, raw)]
    left = raw
    bad: Counter[str] = Counter()
    for reason, documents in quarantined:
        bad[reason] += documents
    for reason, documents in sorted(bad.items()):
        left -= documents
        lines.append(("quarantined", reason, -documents, left))
    for (step, reason), documents in sorted(
        by_step.items(), key=lambda item: (order.get(item[0][0], len(order)), item[0])
    ):
        left -= documents
        lines.append((step, reason, -documents, left))
    lines.append(("kept", "", kept, kept))
    wide = max(len(line[1]) for line in lines)
    out = [f"{'step':<18}{'reason':<{wide}}{'records':>12}{'share':>9}{'left':>12}"]
    for step, reason, change, remaining in lines:
        share = f"{100 * abs(change) / raw:.1f} %" if raw else "-"
        out.append(f"{step:<18}{reason:<{wide}}{change:>+12,}{share:>9}{remaining:>12,}")
    return "\n".join(out).replace(f"{raw:>+12,}", f"{raw:>12,}").replace(f"{kept:>+12,}", f"{kept:>12,}")


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
    table = waterfall(
        int(raw[0]["n"]),
        [(row["step"], row["reason"], row["n"]) for row in rejected],
        [(row["reason"], row["n"]) for row in bad],
        int(kept["n"]),
        list(config["curation"]["filters"]),
    )
    return (
        f"{table}\n\n{kept['n']:,} documents, {kept['size'] / 1e6:,.1f} MB of text in {kept['shards']} shards: "
        f"{workspace.shards / run_id}\nrun {run_id}\n\n"
        f"next: python -m curation.dataset create NAME --run {run_id} --workspace {workspace.root}"
    )
