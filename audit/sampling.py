"""Which cases of a probe are put to a model when not all are: drawn by a seed, in proportion, never the first ones."""

import hashlib
from collections.abc import Sequence

from audit.probes.base import Case


def sample(cases: Sequence[Case], limit: int | None, seed: int) -> list[Case]:
    """At most ``limit`` cases, in the order of the data.

    Each group of the first dimension (a bias type, say) gives its share, and at least one where there is room. Which
    ones depends on the seed and their ids alone, so that a larger sample holds the smaller one of the same groups.
    """
    if limit is None or limit >= len(cases):
        return list(cases)
    strata: dict[str, list[int]] = {}
    for place, case in enumerate(cases):
        strata.setdefault(f"{case.language} {case.groups[0] if case.groups else ''}", []).append(place)
    chosen: list[int] = []
    for name, count in _shares({name: len(places) for name, places in sorted(strata.items())}, limit).items():
        drawn = sorted(strata[name], key=lambda place: _drawn(seed, cases[place].id))
        chosen += drawn[:count]
    return [cases[place] for place in sorted(chosen)]


def _shares(sizes: dict[str, int], limit: int) -> dict[str, int]:
    """How many of each: in proportion, by largest remainders, and one of each first where there is room."""
    total = sum(sizes.values())
    least = 1 if limit >= len(sizes) else 0
    exact = {name: size * limit / total for name, size in sizes.items()}
    counts = {name: max(least, int(share)) for name, share in exact.items()}
    by_remainder = sorted(sizes, key=lambda name: (counts[name] - exact[name], name))
    while (missing := limit - sum(counts.values())) != 0:
        for name in by_remainder if missing > 0 else reversed(by_remainder):
            step = 1 if missing > 0 else -1
            if least <= counts[name] + step <= sizes[name] and missing:
                counts[name] += step
                missing -= step
    return counts


def _drawn(seed: int, case_id: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{case_id}".encode()).digest()
