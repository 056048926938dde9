"""``--from RUN``: a run over the stored documents of a finished one, and how it enters the accounts."""

from typing import Any

from curation.accounts import Tally
from curation.catalog import open_catalog, rows
from curation.catalog.query import run_config
from curation.config import CurationConfig, differences, to_dict
from curation.errors import UserError
from curation.pii import MASKING
from curation.plan import Task, plan_parent
from curation.workspace import Workspace


def check_parent(workspace: Workspace, parent: str, config: CurationConfig) -> None:
    """The options that decide how raw input becomes text must be those of the parent."""
    with open_catalog(workspace) as connection:
        before = run_config(connection, parent)["curation"]
        status = rows(connection, "SELECT status FROM run WHERE run_id = ?", [parent])[0]["status"]
    if status != "done":
        raise UserError(f"--from {parent}: that run is {status}; only a finished run has all its documents")
    new = to_dict(config)
    fixed = ("read", "extract", "lines")
    changed = differences({key: before.get(key) for key in fixed}, {key: new[key] for key in fixed})
    for name in ("model", "prefix_characters"):
        if before["language"][name] != new["language"][name]:
            changed.append(f"language.{name}: {before['language'][name]!r} -> {new['language'][name]!r}")
    old_pii, new_pii = before.get("pii", {"action": "off"}), new["pii"]
    if old_pii["action"] in MASKING and not (
        new_pii["action"] in MASKING and all(old_pii[key] == new_pii[key] for key in ("kinds", "phone_regions"))
    ):
        changed += differences({"pii": old_pii}, {"pii": new_pii})  # what is masked cannot be unmasked
    changed = [line for line in changed if not line.startswith("read.max_bad_share")]
    if changed:
        listed = "\n  ".join(changed)
        raise UserError(f"--from {parent}: these need the raw input; run it again without --from:\n  {listed}")


def parent_plan(workspace: Workspace, parent: str) -> tuple[list[dict[str, Any]], list[Task]]:
    """(raw files of the parent, tasks over its shards as they are on disk now)."""
    with open_catalog(workspace) as connection:
        files = rows(connection, "SELECT * FROM raw_file WHERE run_id = ? ORDER BY raw_file_id, uri", [parent])
        stored = rows(
            connection,
            "SELECT c.current_shard_id, s.path, ss.raw_file_id, ss.documents, ss.shard_id FROM c.shard o "
            "JOIN current_shard c ON c.shard_id = o.shard_id JOIN shard s ON s.shard_id = c.current_shard_id "
            "JOIN shard_source ss ON ss.shard_id = s.shard_id WHERE o.run_id = ? AND o.replaces IS NULL",
            [parent],
        )
    sources: dict[str, dict[str, int]] = {}
    weights: dict[str, int] = {}
    for row in stored:
        sources.setdefault(row["path"], {})[row["raw_file_id"]] = row["documents"]
        weights[row["raw_file_id"]] = weights.get(row["raw_file_id"], 0) + 8192 * row["documents"]
    return files, plan_parent(sorted(sources.items()), weights)


def parent_config(workspace: Workspace, parent: str) -> dict[str, Any]:
    """What is on record of how the parent was asked for."""
    with open_catalog(workspace) as connection:
        return run_config(connection, parent)


def add_parent(workspace: Workspace, tally: Tally, parent: str) -> None:
    """What the parent counted without keeping a row, and what was taken down from its shards since."""
    with open_catalog(workspace) as connection:
        unstored = rows(
            connection,
            "SELECT step, reason, language, documents, bytes FROM filter_count "
            "WHERE run_id = ? AND NOT stored AND reason <> 'duplicate_file'",
            [parent],
        )
        files = rows(
            connection,
            "SELECT raw_file_id, records, unstored, quarantined, damaged FROM raw_file "
            "WHERE run_id = ? AND copy_of IS NULL",
            [parent],
        )
        quarantined = rows(
            connection,
            "SELECT raw_file_id, record_offset, record_index, reason, detail FROM quarantine WHERE run_id = ?",
            [parent],
        )
    for row in unstored:
        tally.rejected[(row["step"], row["reason"], row["language"], False)] += row["documents"]
    tally.quarantined += [tuple(row.values()) for row in quarantined]
    for file in files:
        raw_file_id = file["raw_file_id"]
        gone = file["records"] - file["unstored"] - file["quarantined"] - tally.read[raw_file_id]
        if gone:  # rows that a take-down has removed from disk
            tally.rejected[("takedown", "tombstone", "und", False)] += gone
        tally.unstored[raw_file_id] += file["unstored"] + gone
        tally.read[raw_file_id] = file["records"]
        if file["damaged"]:
            tally.damaged.add(raw_file_id)
