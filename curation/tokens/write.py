"""Writing token shards: aside, then to their places, each whole or not at all."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curation.shards import file_sha256
from curation.tokens import layout
from curation.tokens.tokenizer import Tokenizer
from curation.workspace import Workspace, sync_folder


@dataclass(frozen=True)
class Source:
    """A shard of documents that becomes tokens."""

    run_id: str
    """The run that makes the tokens."""
    number: int
    """Place among the shards of the dataset."""
    shard_id: str
    path: str
    language: str
    tokenizer: str
    """Its name."""


class ShardWriter:
    """Writes the files of one token shard aside; nothing where there is no document."""

    def __init__(self, aside: Path, source: Source, split: str, tokenizer: Tokenizer) -> None:
        self._aside, self._source, self._split = aside, source, split
        self._name = layout.shard_name(split, source.number, source.language)
        self._eos = tokenizer.eos_id
        self._token_bytes = layout.token_bytes(tokenizer.vocab_size)
        self._files: tuple[Any, Any] | None = None
        self._rows: list[dict[str, Any]] = []
        self._documents = 0

    def add(self, documents: list[tuple[dict[str, Any], list[int]]]) -> None:
        """Write documents, each with its token ids."""
        import numpy as np

        if not documents:
            return
        tokens, _ = self._files = self._files or self._open()
        start = tokens.write_idx
        ends = np.cumsum([len(ids) + 1 for _, ids in documents])
        flat = [each for _, ids in documents for each in (*ids, self._eos)]
        tokens.write_bytes(np.array(flat, dtype=layout.token_dtype(self._token_bytes)).tobytes(), ends.tolist())
        for (document, ids), end in zip(documents, ends.tolist(), strict=True):
            places = {"token_start": start + end - len(ids) - 1, "token_end": start + end}
            row = {key: document[key] for key in ("raw_file_id", "record_offset", "record_index", "language")}
            self._rows.append({"document_id": document["id"], "shard_id": self._source.shard_id, **row, **places})
        self._documents += len(documents)
        while len(self._rows) >= layout.ROWS_A_GROUP:
            self._write_rows(layout.ROWS_A_GROUP)

    def _open(self) -> tuple[Any, Any]:
        """datatrove's writer of tokens, and the table of documents."""
        import pyarrow.parquet as pq
        from datatrove.pipeline.tokens.tokenizer import TokenizedFile

        self._aside.mkdir(parents=True)
        tokens = TokenizedFile(
            str(self._aside),
            "tokens.ds",
            tokenizer_name_or_path=self._source.tokenizer,
            save_final_metadata=True,
            token_size=self._token_bytes,
        )
        return tokens, pq.ParquetWriter(
            layout.documents_path(str(self._aside / "tokens.ds")), layout.documents_schema(), compression="zstd"
        )

    def _write_rows(self, count: int) -> None:
        import pyarrow as pa

        assert self._files is not None
        rows, self._rows = self._rows[:count], self._rows[count:]
        self._files[1].write_table(pa.Table.from_pylist(rows, schema=layout.documents_schema()))

    def finish(self, workspace: Workspace) -> dict[str, Any] | None:
        """Let the files appear, the tokens last; returns the facts of the token shard."""
        if self._files is None:
            return None
        if self._rows:
            self._write_rows(len(self._rows))
        tokens, table = self._files
        table.close()
        tokens.close()
        path = f"{layout.folder(self._source.run_id)}/{self._name}.ds"
        made = layout.files_of(str(self._aside / "tokens.ds"))
        size, digests = os.path.getsize(made[0]), [file_sha256(Path(each)) for each in (made[0], made[-1])]
        place_files(workspace, made, path)
        return {
            "token_shard_id": f"{self._source.run_id}/{self._name}",
            "shard_id": self._source.shard_id,
            "path": path,
            "sha256": digests[0],
            "documents_sha256": digests[1],
            "split": self._split,
            "language": self._source.language,
            "documents": self._documents,
            "tokens": size // self._token_bytes,
            "token_bytes": self._token_bytes,
            "bytes": size,
        }


def place_files(workspace: Workspace, made: tuple[str, ...], path: str) -> None:
    """Bring the files of a token shard that are complete aside to their places, the tokens last."""
    places = layout.files_of(path)
    (workspace.root / path).parent.mkdir(parents=True, exist_ok=True)
    for aside, place in reversed([*zip(made, places, strict=True)]):
        with open(aside, "rb") as file:
            os.fsync(file.fileno())
        Path(aside).replace(workspace.root / place)
    sync_folder((workspace.root / path).parent)
    for place in reversed(places):
        workspace.keep_shard(place)
