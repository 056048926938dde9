"""The catalog: a DuckDB view of a workspace's records, rebuilt at will, and questions put to it."""

from curation.catalog.query import open_catalog, rows
from curation.catalog.store import refresh

__all__ = ["open_catalog", "refresh", "rows"]
