"""Samples of cases: seeded, in proportion, never the first ones."""

from hypothesis import given, settings
from hypothesis import strategies as st

from audit.items import Item
from audit.probes.base import Ask, Case
from audit.sampling import sample


def _cases(sizes: list[int]) -> list[Case]:
    found = []
    for group, size in enumerate(sizes):
        for number in range(size):
            ask = Ask("a", Item("", f"text {group} {number}", "none"))
            found.append(Case(f"{group}-{number}", f"{group}-{number}", (ask,), (f"group:{group}",)))
    return found


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.integers(1, 120), st.integers(0, 5))
@settings(deadline=None)
def test_groups_give_their_share(sizes: list[int], limit: int, seed: int) -> None:
    cases = _cases(sizes)
    chosen = sample(cases, limit, seed)
    assert len(chosen) == min(limit, len(cases))
    assert len({case.id for case in chosen}) == len(chosen)
    order = {case.id: place for place, case in enumerate(cases)}
    assert [order[case.id] for case in chosen] == sorted(order[case.id] for case in chosen)
    if len(sizes) <= limit < len(cases):
        counts = [sum(case.id.startswith(f"{group}-") for case in chosen) for group in range(len(sizes))]
        for size, count in zip(sizes, counts, strict=True):
            assert 1 <= count <= size
            exact = size * limit / len(cases)
            assert count >= min(size, int(exact)) - len(sizes)
            assert count <= max(1, exact + 1)


def test_the_seed_decides_and_the_order_of_the_data_does_not() -> None:
    cases = _cases([50, 50])
    first = {case.id for case in sample(cases, 20, 1)}
    assert first == {case.id for case in sample(cases, 20, 1)}
    assert first == {case.id for case in sample(cases[::-1], 20, 1)}
    assert first != {case.id for case in sample(cases, 20, 2)}
    assert first != {case.id for case in cases[:20]}


def test_a_larger_sample_holds_the_smaller() -> None:
    cases = _cases([100])
    assert {case.id for case in sample(cases, 10, 3)} < {case.id for case in sample(cases, 30, 3)}


def test_no_limit_takes_all() -> None:
    cases = _cases([3, 4])
    assert sample(cases, None, 0) == cases
    assert sample(cases, 7, 0) == cases
