"""Too short to say anything, or too long to be one document."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from datatrove.data import Document


@dataclass(frozen=True)
class Length:
    """Removes documents by their number of characters."""

    name: ClassVar[str] = "length"
    scores: ClassVar[Mapping[str, type]] = {"characters": int}
    keeps: ClassVar[tuple[str, ...]] = ("A sentence of an ordinary length, followed by one more. " * 4,)
    rejects: ClassVar[Mapping[str, str]] = {"Next page": "too_short"}

    min_characters: int = 100
    """Documents with fewer characters go; mC4 keeps pages of at least three lines of 200 characters
    (Xue et al. 2021, https://aclanthology.org/2021.naacl-main.41), we are far more lenient."""
    max_characters: int = 10_000_000
    """Documents with more characters go: a whole library in one document is an export gone wrong."""

    def score(self, document: Document) -> dict[str, Any]:
        """Count characters (code points)."""
        return {"characters": len(document.text)}

    def reason(self, scores: dict[str, Any]) -> str | None:
        """Compare with the two bounds, both included in what is kept."""
        if scores["characters"] < self.min_characters:
            return "too_short"
        if scores["characters"] > self.max_characters:
            return "too_long"
        return None
