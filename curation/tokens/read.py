"""Reading token shards: a dataset's split as one long row of tokens, and the documents behind any stretch of it.

Files are mapped into memory, so that reading costs what is read, and any number of processes share it. What is taken
down reads as the token that ends a document, at once, and keeps its place: no other token moves.
"""

import bisect
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from curation.catalog import open_catalog, rows
from curation.dataset import find
from curation.errors import UserError, unknown_name
from curation.tokens.layout import SPLITS, TOKENIZER, documents_path, folder, index_path, token_dtype
from curation.tokens.tokenizer import local_folder, read_folder
from curation.workspace import Workspace

if TYPE_CHECKING:
    import duckdb
    import pyarrow.parquet as pq

Array = np.ndarray[Any, Any]

_MOST_OPEN = 64
"""Files of a kind that are kept open."""


@dataclass(frozen=True, slots=True)
class TokenShardFacts:
    """A token shard on this machine."""

    token_shard_id: str
    shard_id: str
    """The shard of documents that it was made from."""
    path: Path
    split: str
    language: str
    documents: int
    tokens: int
    token_bytes: int
    hidden: tuple[tuple[int, int], ...] = ()
    """[start, end) of documents that are taken down, in tokens of the file."""


class TokenDocument(NamedTuple):
    """A document, and where it is in a stream."""

    document_id: str
    shard_id: str
    raw_file_id: str
    record_offset: int
    record_index: int
    language: str
    token_start: int
    token_end: int
    """Behind its last token, which is the one that ends a document."""


@dataclass(frozen=True)
class TokenStream:
    """Token shards as one row of tokens. ``i`` counts tokens from 0."""

    shards: Sequence[TokenShardFacts]
    eos_id: int

    @cached_property
    def _starts(self) -> list[int]:
        """Where each shard starts, and the end of the last."""
        return [0, *itertools.accumulate(shard.tokens for shard in self.shards)]

    @property
    def tokens(self) -> int:
        """How many there are."""
        return self._starts[-1]

    def read(self, start: int, end: int) -> Array:
        """int64 [end - start]: the tokens of [start, end).

        Raises:
            IndexError: not within the stream.
        """
        parts = self._parts(start, end)
        found = np.empty(end - start, dtype=np.int64)
        for shard, offset, first, last in parts:
            part = found[offset + first - start : offset + last - start]
            part[:] = _tokens(shard.path, shard.token_bytes)[first:last]
            for low, high in shard.hidden:
                if low < last and high > first:
                    part[max(low - first, 0) : max(high - first, 0)] = self.eos_id
        return found

    def documents(self, start: int, end: int) -> list[TokenDocument]:
        """The documents that have a token in [start, end), in order, with their places in the stream.

        Raises:
            IndexError: not within the stream.
        """
        found: list[TokenDocument] = []
        for shard, offset, first, last in self._parts(start, end):
            ends = _ends(shard.path)
            rows = (int(np.searchsorted(ends, first, "right")), int(np.searchsorted(ends, last, "left")) + 1)
            for row in _rows(_table(shard.path), *rows):
                places = {"token_start": row["token_start"] + offset, "token_end": row["token_end"] + offset}
                found.append(TokenDocument(**{**row, **places}))
        return found

    def _parts(self, start: int, end: int) -> list[tuple[TokenShardFacts, int, int, int]]:
        """(shard, its start in the stream, first token of it, behind the last) for each shard of a stretch."""
        if not 0 <= start <= end <= self.tokens:
            raise IndexError(f"[{start}, {end}) is not within the {self.tokens} tokens of the stream")
        parts = []
        place = bisect.bisect_right(self._starts, start) - 1
        while start < end:
            offset, behind = self._starts[place], self._starts[place + 1]
            stop = min(end, behind)
            if start < stop:
                parts.append((self.shards[place], offset, start - offset, stop - offset))
            start, place = max(start, stop), place + 1
        return parts


@dataclass(frozen=True)
class TokenDataset:
    """A tokenized dataset."""

    dataset_id: str
    name: str
    version: int
    tokenizer_folder: Path
    tokenizer_sha256: str
    vocab_size: int
    eos_id: int
    """The token that ends each document."""
    shards: Sequence[TokenShardFacts] = field(repr=False)
    """In canonical order."""

    def stream(self, split: str, language: str | None = None) -> TokenStream:
        """A split, or its part in one language. It is empty where no document is.

        Raises:
            UserError: no such split, or no such language in it; the valid ones are listed.
        """
        if split not in SPLITS:
            raise unknown_name("split", split, SPLITS)
        if language is not None and language not in self.languages(split):
            reference = f"{self.name}@{self.version}"
            raise unknown_name(f"language in {split} of {reference}", language, self.languages(split))
        chosen = [each for each in self.shards if each.split == split and language in (None, each.language)]
        return TokenStream(chosen, self.eos_id)

    def languages(self, split: str) -> list[str]:
        """The languages of a split, sorted."""
        return sorted({shard.language for shard in self.shards if shard.split == split})


def open_token_dataset(workspace: Workspace, reference: str) -> TokenDataset:
    """A tokenized dataset, by ``NAME``, ``NAME@VERSION`` or id.

    Raises:
        UserError: there is none, it is not tokenized, or its files are not as they were written.
    """
    with open_catalog(workspace) as connection:
        dataset = find(connection, reference)
        label = f"{dataset['name']}@{dataset['version']}"
        if dataset["tokenizer_sha256"] is None:
            raise UserError(
                f"dataset {label} holds texts, not tokens: python -m curation.tokens encode {label} "
                f"--tokenizer T --workspace {workspace.name}"
            )
        sql = "SELECT * FROM token_shard WHERE dataset_id = ? ORDER BY path"
        found = rows(connection, sql, [dataset["dataset_id"]])
        gone = hidden_documents(connection, dataset["dataset_id"])
    home = folder(dataset["run_id"])
    try:
        tokenizer_folder = local_folder(workspace, f"{home}/{TOKENIZER}")
        shards = [_facts(workspace, row, gone.get(row["token_shard_id"], set())) for row in found]
    except FileNotFoundError as error:
        raise UserError(f"dataset {label}: {error.filename} is missing; restore it, or encode anew") from error
    tokenizer = read_folder(dataset["tokenizer"], tokenizer_folder)
    if tokenizer.sha256 != dataset["tokenizer_sha256"]:
        raise UserError(f"dataset {label}: {tokenizer_folder} is not the tokenizer that it was made with; restore it")
    return TokenDataset(
        dataset_id=dataset["dataset_id"],
        name=dataset["name"],
        version=dataset["version"],
        tokenizer_folder=tokenizer_folder,
        tokenizer_sha256=tokenizer.sha256,
        vocab_size=tokenizer.vocab_size,
        eos_id=tokenizer.eos_id,
        shards=shards,
    )


def hidden_documents(connection: "duckdb.DuckDBPyConnection", dataset_id: str | None = None) -> dict[str, set[str]]:
    """token_shard_id -> documents that are taken down and may be in it; of one dataset, or of all."""
    found = rows(
        connection,
        "SELECT t.token_shard_id, list(DISTINCT h.document_id) AS ids FROM c.tombstone_hit h "
        "JOIN _descent e ON e.shard_id = h.shard_id JOIN token_shard t ON t.shard_id = e.ancestor "
        "WHERE ? IS NULL OR t.dataset_id = ? GROUP BY ALL",
        [dataset_id, dataset_id],
    )
    return {row["token_shard_id"]: set(row["ids"]) for row in found}


def hidden_places(documents: Path, hidden: set[str]) -> tuple[tuple[int, int], ...]:
    """[token_start, token_end) of each of some documents in a table of documents."""
    if not hidden:
        return ()
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(documents, columns=["document_id", "token_start", "token_end"], partitioning=None)
    chosen = table.filter(pc.is_in(table["document_id"], pa.array(sorted(hidden), pa.string())))
    return tuple((row["token_start"], row["token_end"]) for row in chosen.to_pylist())


def _facts(workspace: Workspace, row: Mapping[str, Any], hidden: set[str]) -> TokenShardFacts:
    path, documents = (workspace.local_file(each) for each in (row["path"], documents_path(row["path"])))
    index = workspace.local_file(index_path(row["path"]))
    for file, wanted in ((path, row["bytes"]), (index, 8 * row["documents"])):
        if file.stat().st_size != wanted:
            raise UserError(f"{file}: has {file.stat().st_size:,} bytes, but {wanted:,} were written; restore it")
    names = ("token_shard_id", "shard_id", "split", "language", "documents", "tokens", "token_bytes")
    facts = {name: row[name] for name in names}
    return TokenShardFacts(path=path, hidden=hidden_places(documents, hidden), **facts)


@lru_cache(maxsize=_MOST_OPEN)
def _tokens(path: Path, size: int) -> Array:
    return np.memmap(path, dtype=token_dtype(size), mode="r")


@lru_cache(maxsize=_MOST_OPEN)
def _ends(path: Path) -> Array:
    return np.memmap(index_path(str(path)), dtype="<u8", mode="r")


@lru_cache(maxsize=_MOST_OPEN)
def _table(path: Path) -> "pq.ParquetFile":
    import pyarrow.parquet as pq

    return pq.ParquetFile(documents_path(str(path)), memory_map=True)


def _rows(table: "pq.ParquetFile", first: int, last: int) -> list[dict[str, Any]]:
    """Rows [first, last) of a table, out of the row groups that have them."""
    found: list[dict[str, Any]] = []
    start = 0
    for group in range(table.metadata.num_row_groups):
        count = table.metadata.row_group(group).num_rows
        low, high = max(first - start, 0), min(last - start, count)
        if low < high:
            found += table.read_row_group(group).slice(low, high - low).to_pylist()
        start += count
    return found
