"""Where the parts of a tokenized dataset lie, and which document is held out.

``tokens/<run_id>/<split>/<number>-<language>.ds`` has the token ids of one shard's documents, in canonical order, in
datatrove's format: little-endian uint16 or uint32, each document followed by the token that ends one. Beside it are
``.ds.index`` (uint64: where each document ends, in tokens), ``.ds.metadata`` (text) and ``.parquet``, the table of the
documents. ``tokens/<run_id>/tokenizer/`` is the tokenizer.
"""

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

SPLITS = ("train", "validation")
TOKENIZER = "tokenizer"
ROWS_A_GROUP = 8192
"""Rows of a row group of a table of documents: what is read to name one document."""


def folder(run_id: str) -> str:
    """The folder of a tokenized dataset; as every path here relative to the workspace."""
    return f"tokens/{run_id}"


def shard_name(split: str, number: int, language: str) -> str:
    """A token shard below its folder, without suffix; by path, shards are in canonical order."""
    return f"{split}/{number:06d}-{language}"


def index_path(path: str) -> str:
    """The ends of the documents of a file of tokens."""
    return f"{path}.index"


def documents_path(path: str) -> str:
    """The table of the documents of a file of tokens."""
    return f"{path.removesuffix('.ds')}.parquet"


def files_of(path: str) -> tuple[str, str, str, str]:
    """All files of a token shard; the tokens first."""
    return path, index_path(path), f"{path}.metadata", documents_path(path)


def documents_schema() -> "pa.Schema":
    """The table of documents: who they are, and [``token_start``, ``token_end``) within the file, the token that ends
    the document included."""
    import pyarrow as pa

    text, number = pa.string(), pa.int64()
    return pa.schema(
        [
            *(("document_id", text), ("shard_id", text), ("raw_file_id", text)),
            *(("record_offset", number), ("record_index", number), ("language", text)),
            *(("token_start", number), ("token_end", number)),
        ]
    )


def token_bytes(vocab_size: int) -> int:
    """Bytes of a token id: 4 where the vocabulary has 65,536 entries or more."""
    return 2 if vocab_size < 2**16 else 4


def token_dtype(size: int) -> str:
    """The type of a token id of ``size`` bytes as numpy names it."""
    return f"<u{size}"


def is_held_out(document_id: str, share: float, seed: int) -> bool:
    """Whether a document is for validation. It depends on nothing but its id; a larger share holds out the same
    documents and more."""
    digest = hashlib.sha256(f"{seed}:{document_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64
