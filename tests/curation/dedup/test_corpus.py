"""Document numbers over many files, and access by number, in stretches of any length."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curation.dedup import corpus as module
from curation.dedup.columns import save_columns
from curation.dedup.corpus import Corpus, Segment, rows_among
from curation.dedup.sketch import id_array


def segment(path: Path, ids: list[int], leaders: list[int] | None = None, **facts: object) -> Segment:
    """A file of sketches: document n has source n % 2, three bands, and n % 4 shingles."""
    array = id_array([f"{each:032x}" for each in ids])
    lengths = [each % 4 for each in ids]
    columns = {
        "ids": array,
        "source": np.array([each % 2 for each in ids], dtype=np.uint32),
        "bands": np.array([[1000 * band + each for each in ids] for band in range(3)], dtype=np.uint64),
        "offsets": np.concatenate(([0], np.cumsum(lengths, dtype=np.int64))).astype(np.uint64),
        "shingles": np.array([each for each in ids for _ in range(each % 4)], dtype=np.uint32),
    }
    if leaders is not None:
        columns["leader"] = id_array([f"{each:032x}" for each in leaders])
        columns["leader_jaccard"] = np.array([1.0 if a == b else 0.75 for a, b in zip(ids, leaders, strict=True)])
    save_columns(path, columns)
    return Segment(str(path), len(ids), leaders is not None, **facts)  # type: ignore[arg-type]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(0, 12), min_size=1, max_size=6), stretch=st.integers(1, 5), data=st.data())
def test_numbers(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    sizes: list[int],
    stretch: int,
    data: st.DataObject,
) -> None:
    monkeypatch.setattr(module, "STRETCH", stretch)
    folder = tmp_path_factory.mktemp("corpus")
    everything = [3 * number + 1 for number in range(sum(sizes))]
    cuts = [0, *np.cumsum(sizes).tolist()]
    parts = [everything[low:high] for low, high in pairwise(cuts)]
    own = data.draw(st.integers(0, len(parts)))
    segments = [segment(folder / f"{place}", part, None if place < own else part) for place, part in enumerate(parts)]
    corpus = Corpus(segments)
    assert len(corpus) == len(everything)
    assert corpus.own == sum(sizes[:own])
    covered = [
        (number, row, file.path)
        for file, low, high, first in corpus.stretches()
        for number, row in zip(range(first, first + high - low), range(low, high), strict=True)
    ]
    assert [number for number, _, _ in covered] == list(range(len(everything)))
    assert all(high - low <= stretch for _, low, high, _ in corpus.stretches())
    for file, low, high, first in corpus.stretches():
        for band in range(3):
            found = corpus.column(file, f"band_{band}", low, high).tolist()
            assert found == [1000 * band + each for each in everything[first : first + high - low]]
    chosen = sorted(data.draw(st.sets(st.integers(0, max(0, len(everything) - 1)), max_size=len(everything))))
    ids = corpus.ids(np.array(chosen, dtype=np.uint64))
    assert ids[:, 1].tolist() == [everything[number] for number in chosen]
    for number in chosen:
        assert corpus.shingles(number).tolist() == [everything[number]] * (everything[number] % 4)


def test_ids_far_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that lie further apart than what is read at once are read one by one."""
    monkeypatch.setattr(module, "STRETCH", 3)
    corpus = Corpus([segment(tmp_path / "a", list(range(100))), segment(tmp_path / "b", list(range(100, 150)))])
    wanted = [0, 1, 98, 99, 100, 149]
    assert corpus.ids(np.array(wanted))[:, 1].tolist() == wanted


def test_what_does_not_count(tmp_path: Path) -> None:
    held = segment(tmp_path / "a", [10, 11, 12, 13, 14], [10, 11, 12, 13, 14], sources=(1,), rows=(2, 4))
    corpus = Corpus([held])
    assert corpus.visible(held, 0, 5).tolist() == [True, False, False, False, False]
    assert corpus.visible(held, 2, 4).tolist() == [False, False]
    assert corpus.visible(held, 0, 1).tolist() == [True]


def test_who_stands_for_removed_documents(tmp_path: Path) -> None:
    """Of the held 20 to 27: 21 was removed for 20, 23 for 40 in another file, 25 for 41 that does not count, 27 for
    99 that is nowhere, 26 for 21 that is no survivor."""
    own = segment(tmp_path / "own", [50, 51])
    one = segment(tmp_path / "one", [20, 21, 22, 23, 24, 25, 26, 27], [20, 20, 22, 40, 24, 41, 21, 99])
    two = segment(tmp_path / "two", [40, 41], [40, 41], rows=(1,))
    corpus = Corpus([own, one, two])
    held = np.arange(2, 12)
    represented = corpus.represented(held)
    assert represented.tolist() == [True, True, True, True, True, False, False, False, True, True]
    ids, jaccard = corpus.stand_ins(np.arange(12))
    assert ids[:, 1].tolist() == [50, 51, 20, 20, 22, 40, 24, 41, 21, 99, 40, 41]
    assert jaccard.tolist() == [1, 1, 1, 0.75, 1, 0.75, 1, 0.75, 0.75, 0.75, 1, 1]
    standing = corpus.standing(np.arange(12))
    assert standing[np.concatenate(([True, True], represented))].tolist() == [0, 1, 2, 2, 4, 10, 6, 10, 11]
    assert corpus.represented(np.array([2, 4])).tolist() == [True, True]
    assert corpus.represented(np.array([], dtype=np.int64)).tolist() == []


@given(st.lists(st.integers(0, 2**128 - 1), max_size=9), st.lists(st.integers(0, 2**128 - 1), max_size=9))
def test_rows_among(ids: list[int], others: list[int]) -> None:
    wanted = others + ids[::2]
    arrays = [id_array([f"{each:032x}" for each in numbers]) for numbers in (ids, wanted)]
    assert rows_among(*arrays).tolist() == [each in wanted for each in ids]


def test_ids_that_share_one_half_are_others() -> None:
    one, other = (id_array([each]) for each in ("1" * 16 + "2" * 16, "1" * 16 + "3" * 16))
    assert not rows_among(one, other).any()
    assert not rows_among(one, one[:, ::-1]).any()
