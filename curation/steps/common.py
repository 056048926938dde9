"""What the steps share. Every raw record becomes a ``Document`` and flows to the writer, also when it is
rejected or quarantined: each step passes on what an earlier one has decided, the writer counts.

``document.metadata`` holds the columns of ``curation.shards`` plus, where decided, ``step`` and ``reason``
(rejected) or ``quarantined`` and ``detail``.
"""

import hashlib
from typing import Any

import orjson
from datatrove.data import Document

from curation.plan import RunFolder

Position = tuple[int, int, int]
"""(index of the file in the task, record offset, record index)."""

FINAL_STEPS = frozenset({"read", "extract", "lines", "takedown"})
"""Steps whose rejections stay when a later run decides anew: there is no text, or no line of it is left."""


class StopRequested(BaseException):
    """The supervisor asked the worker to stop; everything finished is committed."""


def document_id(raw_file_id: str, offset: int, index: int) -> str:
    """The id of a document: 128 bits of BLAKE2b over where it comes from, hexadecimal."""
    return hashlib.blake2b(f"{raw_file_id}:{offset}:{index}".encode(), digest_size=16).hexdigest()


def decided(document: Document) -> bool:
    """Whether an earlier step rejected or quarantined the document."""
    return "step" in document.metadata or "quarantined" in document.metadata


def reject(document: Document, step: str, reason: str) -> None:
    """Reject a document; the first rejection stays."""
    document.metadata.setdefault("step", step)
    document.metadata.setdefault("reason", reason)


def quarantine(document: Document, reason: str, detail: str) -> None:
    """Set a document aside as not processable; its text is dropped."""
    document.text = ""
    document.metadata["quarantined"] = reason
    document.metadata["detail"] = detail


def committed(folder: RunFolder, rank: int) -> list[dict[str, Any]]:
    """Manifests of the parts that a task has committed, in order."""
    return [orjson.loads(path.read_bytes()) for path in sorted(folder.parts(rank).glob("*.json"))]
