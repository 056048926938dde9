"""Sequences of chats: every example once an epoch, pairs together, and nothing learned that no answer has."""

import numpy as np
import pytest

from training.chat.examples import Example
from training.chat.packing import ChatOrder, Layout, fingerprint, pack

LONGEST = 33


def examples(count: int, pairs: int = 0, seed: int = 0) -> list[Example]:
    draw = np.random.default_rng(seed)
    found = []
    for number in range(count):
        tokens = int(draw.integers(3, 15))
        mask = draw.random(tokens) < 0.5
        mask[0], mask[-1] = False, True
        pair = f"p{number // 2}" if number < 2 * pairs else None
        ids = draw.integers(1, 100, tokens).astype(np.int32)
        found.append(Example(0, number + 1, 100 * number, ids, mask, 1.0 + number % 3, pair))
    return found


@pytest.mark.parametrize("packing", [True, False])
def test_every_example_has_its_place(packing: bool) -> None:
    made = examples(101, pairs=10)
    rows = pack(made, LONGEST, 3, packing)
    assert sorted(index for row in rows for index in row) == list(range(101))
    assert all(sum(made[index].tokens for index in row) <= LONGEST for row in rows)
    for number in range(10):
        (row,) = [row for row in rows if 2 * number in row]
        assert row.index(2 * number + 1) == row.index(2 * number) + 1
    if packing:
        tokens = sum(each.tokens for each in made)
        assert len(rows) <= 11 / 9 * -(-tokens // LONGEST) + 1
    else:
        assert len(rows) == 91
    assert pack(made, LONGEST, 3, packing) == rows
    assert pack(made, LONGEST, 4, packing) != rows


def test_rows_hold_examples_side_by_side() -> None:
    made = examples(40, pairs=5)
    layout = Layout(made, pack(made, LONGEST, 0, True), LONGEST, 0)
    count = len(layout.packed)
    ids, mask, segments, sides = layout.fill([*range(count), None], pairs=True)
    assert segments is not None
    assert sides is not None
    assert mask.dtype == np.float32
    seen = 0
    for number, row in enumerate(layout.packed):
        for segment, index in enumerate(row, 1):
            within = segments[number] == segment
            assert ids[number][within].tolist() == made[index].ids.tolist()
            assert mask[number][within].tolist() == (made[index].mask * made[index].weight).tolist()
            assert len(set(sides[number][within].tolist())) == 1
            if made[index].pair is not None and index % 2 == 0:
                (after,) = set(sides[number][segments[number] == segment + 1].tolist())
                assert after == sides[number][within][0] + 1
                seen += 1
    assert seen == 5
    assert set(sides.flatten().tolist()) == set(range(11))
    rest = segments == 0
    assert not mask[rest].any()
    assert not ids[rest].any()
    assert rest[-1].all()


def test_a_pair_twice_in_a_micro_batch_is_two_pairs() -> None:
    made = examples(2, pairs=1)
    layout = Layout(made, pack(made, LONGEST, 0, True), LONGEST, 0)
    _, _, segments, sides = layout.fill([0, 0], pairs=True)
    assert segments is not None
    assert sides is not None
    assert [sorted(set(row[part > 0].tolist())) for row, part in zip(sides, segments, strict=True)] == [[1, 2], [3, 4]]


def test_epochs_have_everything_once_and_end_in_blanks() -> None:
    order = ChatOrder([(number,) for number in range(11)], 4, 5, epochs=2)
    assert order.steps == 6
    rows = [each for step in range(1, 7) for each in order.step_rows(step)]
    for epoch in (0, 1):
        assert sorted(row[0] for row in rows if row is not None and row[1] == epoch) == list(range(11))
    assert rows[-2:] == [None, None]
    first, second = ([row[0] for row in rows if row and row[1] == epoch] for epoch in (0, 1))
    assert first != second
    endless = ChatOrder(order.packed, 4, 5, epochs=None)
    assert endless.step_rows(9) == [endless.row(index) for index in range(32, 36)]
    assert all(endless.step_rows(9))


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("micro", [1, 2, 4])
def test_replicas_share_a_step(replicas: int, micro: int) -> None:
    order = ChatOrder([(number,) for number in range(50)], 8, 0, None)
    parts = [list(order.shares(3, replica, replicas, micro)) for replica in range(replicas)]
    merged = [each for group in zip(*parts, strict=True) for part in group for each in part]
    assert merged == order.step_rows(3)


def test_another_order_has_another_fingerprint() -> None:
    made = examples(5)
    whole = fingerprint(made, [1])
    assert fingerprint(examples(5), [1]) == whole
    assert len({whole, fingerprint(made, [2]), fingerprint(made[::-1], [1]), fingerprint(examples(5, 1), [1])}) == 4
