"""``python -m curation.catalog gc``: what can go goes. Taken-down text from disk, leftovers, small files.

Every step can be killed and run again: a new shard is on disk before its record, and its record, which
also says what it replaces, before the old file goes.
"""

import contextlib
import itertools
import shutil
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from curation.catalog.compaction import compact
from curation.catalog.query import open_catalog, rows, run_config
from curation.catalog.store import refresh, refresh_lock
from curation.dedup.index import forget
from curation.deduplicate import taken_down
from curation.plan import RunFolder
from curation.records import RECORD_TYPES, Shard, ShardRemoval, ShardSource, now
from curation.shards import ROW_WEIGHT, WEIGHT, ShardFacts, ShardJob, write_documents
from curation.tokens.takedown import forget_tokens
from curation.tombstones import Tombstones
from curation.workspace import Workspace

if TYPE_CHECKING:
    import pyarrow as pa


def collect(workspace: Workspace, tell: Callable[[str], None] = lambda line: None) -> None:
    """Compact taken-down documents away, in index and shards, then leftovers of ended runs, then record files.

    Args:
        tell: called with a line for each thing done.
    """
    indexed = sorted(workspace.index_runs())  # before the runs are listed
    with open_catalog(workspace, locked=False) as connection:
        tombstones = Tombstones.of(rows(connection, "SELECT what, value FROM tombstone"))
        shards = rows(connection, "SELECT * FROM shard ORDER BY path")
        gone = rows(connection, "SELECT path FROM shard_all WHERE NOT on_disk")
        ended = rows(connection, "SELECT run_id, status FROM run WHERE status <> 'running'")
        running = {row["run_id"] for row in rows(connection, "SELECT run_id FROM run WHERE status = 'running'")}
    for row in gone:  # a removal on record whose file a killed gc left behind
        workspace.remove_shard(row["path"])
    if tombstones.rules:
        hidden = {shard["shard_id"]: _hidden_ids(workspace, shard, tombstones) for shard in shards}
        # The index first: what is to be forgotten there is found in the shards.
        forgotten = set(taken_down(workspace)).union(*hidden.values())
        for run_id, folder in workspace.index_folders(indexed).items():
            if count := forget(folder, forgotten):
                workspace.index_changed(run_id)
                tell(f"index/{run_id}: {count} taken-down document(s) forgotten")
        forget_tokens(workspace, set().union(*hidden.values()), tell)
        affected = [shard for shard in shards if hidden[shard["shard_id"]]]
        for shard in affected:
            _rewrite(workspace, shard, hidden[shard["shard_id"]])
            tell(f"{shard['path']}: {len(hidden[shard['shard_id']])} taken-down document(s) removed from disk")
        for run_id in sorted({shard["run_id"] for shard in affected}):
            _describe_anew(workspace, run_id)
        if affected and (note := workspace.removal_note()):
            tell(note)
    for run in ended:
        _remove_leftovers(workspace, run, tombstones, tell)
    done = {run["run_id"] for run in ended if run["status"] == "done"}
    for run_id in indexed:
        # One that was killed after it had left its index here, and can go on, still needs it.
        if run_id not in done | running and not RunFolder(workspace, run_id).scratch.is_dir():
            workspace.remove_index(run_id)
            tell(f"index/{run_id}: removed, no run that is done or can go on has made it")
    _remove_unfinished_files(workspace, [run["run_id"] for run in ended])
    with refresh_lock(workspace):
        merged = sum(compact(workspace, kind) for kind in RECORD_TYPES)
    if merged:
        tell(f"{merged} record files merged")
    refresh(workspace)


def _remove_unfinished_files(workspace: Workspace, ended: list[str]) -> None:
    """What a killed writer left under a temporary name; a living one is done with its own in no time."""
    long_ago = time.time() - 3600
    left = [*workspace.records.glob("*/.*.tmp")]
    for run_id in ended:
        left += (workspace.shards / run_id).rglob(".*.tmp")
    for path in left:
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < long_ago:
                path.unlink()


def _describe_anew(workspace: Workspace, run_id: str) -> None:
    """Write the Croissant description of a run's shards as they are now."""
    from curation.config import from_dict
    from curation.croissant import write_croissant
    from curation.filters import score_columns

    with open_catalog(workspace) as connection:
        asked = run_config(connection, run_id).get("curation")
        if asked is None:  # of chats to fine-tune on, which have no description
            return
        config = from_dict(asked)
        shards = rows(connection, "SELECT * FROM shard WHERE run_id = ? ORDER BY path", [run_id])
    facts = [
        ShardFacts(
            name=shard["shard_id"].removeprefix(f"{run_id}/"),
            shard_kind=shard["shard_kind"],
            language=shard["language"],
            sha256=shard["sha256"],
            documents=shard["documents"],
            bytes=shard["bytes"],
            text_bytes=shard["text_bytes"],
            sources={},
        )
        for shard in shards
    ]
    folder = RunFolder(workspace, run_id)
    write_croissant(folder.shards, config.card, facts, score_columns(config.filters))
    workspace.keep_shard(folder.shard_path("croissant.json"))


def _remove_leftovers(
    workspace: Workspace, run: dict[str, Any], tombstones: Tombstones, tell: Callable[[str], None]
) -> None:
    """Working files of done runs; those of unfinished runs stay for a resume, unless they may hold
    text that was taken down."""
    folder = RunFolder(workspace, run["run_id"])
    if run["status"] != "done":
        # On object storage a run that was at work on another host has shards here, its working files there.
        here = folder.scratch.is_dir() or not workspace.local
        if here and tombstones.rules and _holds_hidden(folder, tombstones):
            workspace.begin_anew(run["run_id"])
            tell(f"run {run['run_id']} ({run['status']}): working files held taken-down text; a resume begins anew")
    elif folder.scratch.is_dir():
        shutil.rmtree(folder.scratch, ignore_errors=True)
        tell(f"run {run['run_id']}: working files removed")


def _holds_hidden(folder: RunFolder, tombstones: Tombstones) -> bool:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sources = [*folder.scratch.glob("parts/*/*.parquet")]
    for path in itertools.chain(sources, map(folder.workspace.open_shard, folder.workspace.run_shards(folder.run_id))):
        try:
            keys = pq.read_table(path, columns=["id", "url", "domain"], partitioning=None)
        except pa.ArrowInvalid:
            return True  # cut off when its writer was killed: nobody can tell what it holds
        for row in keys.to_pylist():
            if tombstones.hides(row["id"], row["url"], row["domain"]):
                return True
    return False


def _hidden_ids(workspace: Workspace, shard: dict[str, Any], tombstones: Tombstones) -> set[str]:
    """Ids of the documents of a shard that are taken down."""
    import pyarrow.parquet as pq

    keys = pq.read_table(workspace.open_shard(shard["path"]), columns=["id", "url", "domain"]).to_pylist()
    return {row["id"] for row in keys if tombstones.hides(row["id"], row["url"], row["domain"])}


def _rewrite(workspace: Workspace, shard: dict[str, Any], hidden: set[str]) -> None:
    """Write a shard anew without hidden documents."""
    import pyarrow.parquet as pq

    path = shard["path"]
    ids = pq.read_table(workspace.open_shard(path), columns=["id"]).column("id").to_pylist()
    keep = [each not in hidden for each in ids]
    generation = shard["shard_id"].count("+") + 1
    new_id = f"{shard['shard_id'].split('+')[0]}{'+' * generation}"
    new_path = f"shards/{new_id}.parquet"
    schema = pq.read_schema(workspace.open_shard(path))
    job = ShardJob(shard["shard_kind"], shard["language"], 0, 0, 0, [], 0)
    tables = _kept_tables(workspace.open_shard(path), keep)
    facts = write_documents(tables, workspace.root / new_path, schema, 3, job)
    if facts is None:
        emptied = ShardRemoval(shard_id=shard["shard_id"], why="take-down", removed_at=now())
        workspace.write([emptied], name=_record_name(shard["shard_id"]))
    else:
        workspace.keep_shard(new_path)
        workspace.write(_replacement(shard, new_id, new_path, facts), name=_record_name(new_id))
    workspace.remove_shard(path)


def _record_name(shard_id: str) -> str:
    return shard_id.replace("/", "-")


def _replacement(shard: dict[str, Any], new_id: str, new_path: str, facts: ShardFacts) -> list[Shard | ShardSource]:
    # The shard last: with its record the old one is gone, in one stroke.
    sources = [
        ShardSource(shard_id=new_id, raw_file_id=raw_file_id, documents=documents)
        for raw_file_id, documents in sorted(facts.sources.items())
    ]
    new = Shard(
        shard_id=new_id,
        run_id=shard["run_id"],
        path=new_path,
        sha256=facts.sha256,
        shard_kind=shard["shard_kind"],
        language=shard["language"],
        documents=facts.documents,
        bytes=facts.bytes,
        text_bytes=facts.text_bytes,
        replaces=shard["shard_id"],
    )
    return [*sources, new]


def _kept_tables(path: Any, keep: list[bool]) -> Iterator["pa.Table"]:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    start = 0
    with pq.ParquetFile(path, pre_buffer=False) as shard:
        for batch in shard.iter_batches(batch_size=256):
            mask = pa.array(keep[start : start + batch.num_rows])
            start += batch.num_rows
            table = pa.Table.from_batches([batch]).filter(mask)
            weights = pc.add(pc.cast(pc.binary_length(table.column("text")), pa.int64()), ROW_WEIGHT)
            yield table.append_column(WEIGHT, weights)
