"""Fixtures of the tests of deduplication."""

from collections.abc import Iterator

import pytest

from curation.dedup.columns import open_columns


@pytest.fixture(autouse=True)
def _nothing_stays_open() -> Iterator[None]:
    """A file is kept open by its path, which a test may write again."""
    yield
    open_columns.cache_clear()
