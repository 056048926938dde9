"""Files of chats on record: raw file, shard with a document for each chat, dataset; the same file only once."""

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from curation.errors import UserError
from curation.language import UNDETERMINED
from curation.recorded import recorded_run
from curation.records import Dataset, DatasetShard, Quarantine, RawFile, Record, Shard, ShardSource, new_ulid, now
from curation.shards import document_schema, file_sha256
from curation.steps.common import document_id
from curation.workspace import Workspace
from training.chat.data import plain_name
from training.chat.lines import Chat, ChatFile, Refusal, read_file

KIND = "chats"
_ROWS_AT_ONCE = 4096


def register(workspace: Workspace, file: ChatFile) -> str:
    """Put a file of chats on record, unless it is: every line is a document of a dataset, or quarantined. Returns the
    id of the dataset.

    Raises:
        UserError: the file is not what was read before.
        OSError: the workspace cannot be written to.
    """
    with locked(workspace, "chats"):
        known = _registered(workspace, file.sha256)
        if known is not None:
            return known
        found: list[Chat | Refusal] = []
        again = read_file(file.path, 0, found)
        if again.sha256 != file.sha256:
            raise UserError(f"data: {file.path}: has changed since the command began; start it again")
        dataset_id = new_ulid()
        with recorded_run(workspace, KIND, {"file": str(file.path), "sha256": file.sha256}) as run_id:
            workspace.write(_records(workspace, file, found, run_id, dataset_id), name=run_id)
        return dataset_id


@contextmanager
def locked(workspace: Workspace, name: str) -> Iterator[None]:
    """One process at a time."""
    workspace.prepare()
    workspace.cache.mkdir(parents=True, exist_ok=True)
    with (workspace.cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _registered(workspace: Workspace, sha256: str) -> str | None:
    """The dataset of a file that is on record."""
    done = {row["run_id"] for row in workspace.rows("run_end") if row["status"] == "done"}
    runs = {row["run_id"] for row in workspace.rows("run") if row["run_kind"] == KIND} & done
    runs &= {row["run_id"] for row in workspace.rows("raw_file") if row["raw_file_id"] == sha256}
    return next((row["dataset_id"] for row in workspace.rows("dataset") if row["run_id"] in runs), None)


def _records(
    workspace: Workspace, file: ChatFile, found: Sequence[Chat | Refusal], run_id: str, dataset_id: str
) -> list[Record]:
    chats = [each for each in found if isinstance(each, Chat)]
    refused = [each for each in found if isinstance(each, Refusal)]
    raw = RawFile(
        raw_file_id=file.sha256,
        run_id=run_id,
        uri=str(file.path),
        bytes=file.bytes,
        format="jsonl",
        compression="",
        records=file.lines,
        quarantined=len(refused),
    )
    records: list[Record] = [
        Quarantine(
            run_id=run_id,
            raw_file_id=file.sha256,
            record_offset=each.offset,
            record_index=0,
            reason=each.reason,
            detail=each.what,
        )
        for each in refused
    ]
    name = plain_name(file.path)
    older = max(
        (row for row in workspace.rows("dataset") if row["name"] == name),
        key=lambda row: int(row["version"]),
        default=None,
    )
    shard = _write_shard(workspace, file, chats, run_id)
    source = ShardSource(shard_id=shard.shard_id, raw_file_id=file.sha256, documents=len(chats))
    dataset = Dataset(
        dataset_id=dataset_id,
        name=name,
        version=1 if older is None else int(older["version"]) + 1,
        parent_dataset_id=None if older is None else older["dataset_id"],
        run_id=run_id,
        why="chats to fine-tune on",
        created_at=now(),
    )
    # Members first: a dataset on record is whole.
    member = DatasetShard(dataset_id=dataset_id, shard_id=shard.shard_id)
    return [*records, raw, shard, source, member, dataset]


def _write_shard(workspace: Workspace, file: ChatFile, chats: Sequence[Chat], run_id: str) -> Shard:
    """A document for each chat, in the order of the file: what was said, by whom."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    name = f"kept/{UNDETERMINED}-00000"
    path = f"shards/{run_id}/{name}.parquet"
    target = workspace.root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    schema, text_bytes = document_schema({}, "kept"), 0
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for begin in range(0, len(chats), _ROWS_AT_ONCE):
            rows = [_row(file, chat) for chat in chats[begin : begin + _ROWS_AT_ONCE]]
            text_bytes += sum(len(row["text"].encode()) for row in rows)
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
    workspace.keep_shard(path)
    return Shard(
        shard_id=f"{run_id}/{name}",
        run_id=run_id,
        path=path,
        sha256=file_sha256(target),
        shard_kind="kept",
        language=UNDETERMINED,
        documents=len(chats),
        bytes=target.stat().st_size,
        text_bytes=text_bytes,
    )


def _row(file: ChatFile, chat: Chat) -> dict[str, Any]:
    return {
        "id": document_id(file.sha256, chat.offset, 0),
        "raw_file_id": file.sha256,
        "record_offset": chat.offset,
        "record_index": 0,
        "language": UNDETERMINED,
        "text": "\n\n".join(f"{message['role']}: {message['content']}" for message in chat.messages),
    }
