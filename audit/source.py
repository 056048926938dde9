"""Where a model that is audited comes from."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Source:
    """What findings are about (a ``curation.findings.Subject``)."""

    kind: Literal["checkpoint", "model"]
    """In the workspace's catalog, or not."""
    id: str
    """Of the checkpoint; else name and beginning of the hash of the weights."""
    label: str
    """As it was asked for."""
    weights_sha256: str
