"""A model that believes every claim of the pairs that are shipped."""

from functools import cache
from pathlib import Path

from audit.pairs.make import all_pairs
from tests.audit.probes.samples import Planted, Sample


@cache
def _stereotypical() -> frozenset[str]:
    return frozenset(pair.sentences[pair.stereotypical] for pair in all_pairs() if pair.stereotypical is not None)


def write(folder: Path, times: int) -> None:
    """Nothing: the data is shipped."""


SAMPLE = Sample(
    write,
    Planted(
        ("pct_stereotype", "log_likelihood_diff", "pct_stereotype_whole", "log_likelihood_diff_whole"),
        preference=lambda text: 8.0 if text in _stereotypical() else 0.0,
    ),
    limit=200,
)
