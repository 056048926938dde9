"""The proof that token shards are what their records say."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from curation.catalog.query import rows
from curation.shards import file_sha256
from curation.tokens import layout
from curation.tokens.tokenizer import FILE
from curation.workspace import Workspace

if TYPE_CHECKING:
    import duckdb


def wrong_tokens(workspace: Workspace, connection: "duckdb.DuckDBPyConnection") -> Iterator[str]:
    """What is wrong, a line each: files that are missing or changed, tables of documents that do not agree with the
    tokens, tokenizers that are not those of the dataset, and sums."""
    for shard in rows(connection, "SELECT * FROM token_shard ORDER BY path"):
        try:
            yield from _wrong_shard(workspace, shard)
        except FileNotFoundError as error:
            yield f"token shard {shard['token_shard_id']}: {error.filename or shard['path']} is missing"
    datasets = rows(
        connection,
        "SELECT d.*, (SELECT coalesce(sum(tokens), 0)::BIGINT FROM token_shard t WHERE t.dataset_id = d.dataset_id) "
        "AS there FROM dataset d WHERE tokenizer_sha256 IS NOT NULL ORDER BY dataset_id",
    )
    for dataset in datasets:
        label = f"dataset {dataset['name']}@{dataset['version']}"
        if dataset["tokens"] != dataset["there"]:
            yield f"{label}: {dataset['tokens']} tokens on record, but its shards have {dataset['there']}"
        path = f"{layout.folder(dataset['run_id'])}/{layout.TOKENIZER}/{FILE}"
        try:
            if file_sha256(workspace.open_shard(path)) != dataset["tokenizer_sha256"]:
                yield f"{label}: {path} is not its tokenizer (sha256 differs)"
        except FileNotFoundError:
            yield f"{label}: {path} is missing"


def _wrong_shard(workspace: Workspace, shard: dict[str, Any]) -> Iterator[str]:
    import numpy as np
    import pyarrow.parquet as pq

    name = f"token shard {shard['token_shard_id']}"
    path, index, _, documents = layout.files_of(shard["path"])
    for each, digest in ((path, shard["sha256"]), (documents, shard["documents_sha256"])):
        if file_sha256(workspace.open_shard(each)) != digest:
            yield f"{name}: {each} is not the file that was written (sha256 differs)"
            return
    ends = pq.read_table(workspace.open_shard(documents), columns=["token_end"]).column(0).to_numpy()
    stored = np.fromfile(workspace.local_file(index), dtype="<u8")
    if len(ends) != shard["documents"] or not np.array_equal(ends, stored):
        yield f"{name}: {shard['documents']} documents on record; {index} has {len(stored)}, its table {len(ends)}"
    elif shard["tokens"] != ends[-1] or shard["bytes"] != shard["tokens"] * shard["token_bytes"]:
        yield f"{name}: {shard['tokens']} tokens on record, but its documents end at {ends[-1]}"
