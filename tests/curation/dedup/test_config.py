"""Options of deduplication: a wrong one names itself, when the configuration is made and not in a worker."""

import numpy as np
import pytest

from curation.dedup.config import AlarmConfig, DedupConfig, NearConfig
from curation.dedup.similarity import shingles
from curation.errors import UserError


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in ("ngram", "bands", "rows") for value in (0, -1)),
        ("ngram", 257),
        *(("threshold", value) for value in (0.0, -0.5, 1.01, 70.0, float("nan"), float("inf"))),
    ],
)
def test_wrong_options_of_near_duplicates(name: str, value: float) -> None:
    with pytest.raises(UserError, match=rf"dedup\.near\.{name}: {value}"):
        NearConfig(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_removed_share", -0.1),
        ("max_removed_share", 1.1),
        ("max_removed_share", float("nan")),
        ("min_documents", 0),
    ],
)
def test_wrong_options_of_alarms(name: str, value: float) -> None:
    with pytest.raises(UserError, match=rf"dedup\.alarm\.{name}: {value}"):
        AlarmConfig(**{name: value})  # type: ignore[arg-type]


def test_what_is_allowed_works() -> None:
    words = np.arange(1, 400, dtype=np.uint64)
    for ngram in (1, 5, 256):
        assert len(shingles(words, NearConfig(ngram=ngram, threshold=1.0).ngram)) == 400 - ngram
    assert AlarmConfig(max_removed_share=0, min_documents=1).max_removed_share == 0


def test_whether_anything_is_looked_for() -> None:
    off = NearConfig(enabled=False)
    assert DedupConfig().enabled
    assert DedupConfig(url=False, exact=False).enabled
    assert DedupConfig(url=False, near=off).enabled
    assert DedupConfig(exact=False, near=off).enabled
    assert not DedupConfig(url=False, exact=False, near=off).enabled
