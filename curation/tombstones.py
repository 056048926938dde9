"""Take-down rules: what a tombstone hides, the same in SQL and in Python.

Every read path goes through one of the two functions here: ``hide_condition`` in a query, ``Tombstones``
where documents stream by. Patterns are RE2 in both (DuckDB's and Arrow's).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from curation.errors import UserError, unknown_name
from curation.records import Tombstone

KINDS = ("id", "url", "domain", "pattern")


def hide_condition(alias: str) -> str:
    """SQL that is true for documents (columns id, url, domain of ``alias``) that no tombstone hides."""
    return (
        f"NOT EXISTS (SELECT 1 FROM c.tombstone t WHERE (t.what = 'id' AND t.value = {alias}.id)"
        f" OR (t.what = 'url' AND t.value = {alias}.url)"
        f" OR (t.what = 'domain' AND ({alias}.domain = t.value OR suffix({alias}.domain, '.' || t.value)))"
        f" OR (t.what = 'pattern' AND regexp_matches(coalesce({alias}.url, ''), t.value)))"
    )


def validate(what: str, value: str) -> None:
    """Raises UserError when a take-down names nothing that can be looked for."""
    if what not in KINDS:
        raise unknown_name("kind of take-down", what, KINDS)
    if not value.strip():
        raise UserError(f"--{what} is empty: name what is to be taken down")
    if what == "pattern":
        import pyarrow as pa
        import pyarrow.compute as pc

        try:
            matches = pc.match_substring_regex(pa.array([""]), pattern=value)[0].as_py()
        except pa.ArrowInvalid as error:
            raise UserError(f"--pattern {value!r} is not a regular expression (RE2): {error}") from error
        if matches:
            raise UserError(f"--pattern {value!r} matches the empty string, that is every document; narrow it")


@dataclass(frozen=True)
class Tombstones:
    """All rules of a workspace, ready to test documents as they stream by."""

    rules: tuple[tuple[str, str], ...] = field(default=())
    """(what, value) pairs."""

    @classmethod
    def of(cls, tombstones: Iterable[Tombstone | dict[str, Any]]) -> "Tombstones":
        """From records, or from rows of the table ``tombstone``."""
        pairs = [(t.what, t.value) if isinstance(t, Tombstone) else (t["what"], t["value"]) for t in tombstones]
        return cls(tuple(sorted(set(pairs))))

    @cached_property
    def _sets(self) -> dict[str, set[str]]:
        return {kind: {value for what, value in self.rules if what == kind} for kind in KINDS}

    def hides(self, document_id: str, url: str | None, domain: str | None) -> bool:
        """Whether a document is taken down."""
        if not self.rules:
            return False
        sets = self._sets
        if document_id in sets["id"] or (url is not None and url in sets["url"]):
            return True
        if domain and sets["domain"]:
            labels = domain.split(".")
            if any(".".join(labels[start:]) in sets["domain"] for start in range(len(labels))):
                return True
        if url and sets["pattern"]:
            import pyarrow as pa
            import pyarrow.compute as pc

            urls = pa.array([url])
            return any(pc.match_substring_regex(urls, pattern=p)[0].as_py() for p in sorted(sets["pattern"]))
        return False
