"""Decisions on a later crawl, beside brute force: what earlier runs hold goes before what is new."""

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from curation.dedup.columns import open_columns
from curation.dedup.config import DedupConfig, NearConfig
from curation.dedup.index import forget, held_segments
from curation.dedup.phases import Limits
from tests.curation.dedup.deciding import decide, index_of
from tests.curation.dedup.planted import (
    Held,
    Outcome,
    Page,
    brute_force,
    corpus,
    dressed,
    edited,
    next_crawl,
    prose,
)
from tests.curation.dedup.test_decisions import SURE, documents, split


@pytest.mark.parametrize(("seed", "threshold"), [(1, 0.7), (2, 0.5), (5, 0.9), (13, 0.6)])
def test_a_second_crawl_as_brute_force_has_it(tmp_path: Path, seed: int, threshold: float) -> None:
    config = DedupConfig(url=seed != 2, near=replace(SURE, ngram=3, threshold=threshold))
    one = corpus(seed, 3)
    earlier = decide(tmp_path / "one", [documents(one)], config)
    two = next_crawl(one, seed, 3)
    expected = brute_force(two, config, [Held(page, earlier[page.id]) for page in one])
    whole = documents(two)
    found = decide(tmp_path / "two", [whole], config, held=index_of(tmp_path / "one", config))
    assert found == expected
    held = {page.id for page in one if earlier[page.id].reason is None}
    assert Counter(each.duplicate_of in held for each in found.values() if each.reason)[True] > 20
    parts = split(whole, 4, random.Random(seed))
    assert decide(tmp_path / "x", parts, config, Limits(1, 50, 30), index_of(tmp_path / "one", config)) == expected


def run(folder: Path, pages: list[Page], config: DedupConfig, held: Path | None = None) -> list[Outcome]:
    return list(decide(folder, [documents(pages)], config, held=index_of(held, config) if held else ()).values())


def test_a_page_that_changed_does_not_take_its_old_text_along(tmp_path: Path) -> None:
    """Two fetches of one URL in the first crawl, with different texts: one stays. A later page with the text of the
    other one repeats nothing that is kept."""
    chance = random.Random(1)
    texts = [prose(chance, 100) for _ in range(2)]
    one = [Page(f"{number:032x}", words, 1) for number, words in enumerate(texts)]
    first = run(tmp_path / "one", one, DedupConfig())
    assert [each.reason for each in first] == [None, "same_url"]
    two = [Page("f" * 32, texts[1], 2), Page("e" * 32, texts[0], 3), Page("d" * 32, texts[1], 1)]
    found = run(tmp_path / "two", two, DedupConfig(), held=tmp_path / "one")
    assert [each.reason for each in found] == [None, "same_text", "same_url"]


def test_similarity_is_that_to_the_document_on_record(tmp_path: Path) -> None:
    """Of three fetches of a URL the first has the text of a copy that an earlier run has removed: all three go for
    what that copy was removed for, each with its own similarity to it."""
    chance = random.Random(2)
    base = prose(chance, 100)
    like, other = edited(base, 0.8, chance), edited(base, 0.4, chance)
    one = [Page(f"{number:032x}", words) for number, words in enumerate([base, like])]
    (_, removed) = run(tmp_path / "one", one, DedupConfig())
    assert removed.reason == "near_duplicate"
    two = [Page(f"{number:032x}", words, 1) for number, words in [(10, like), (11, other), (12, base)]]
    found = run(tmp_path / "two", two, DedupConfig(), held=tmp_path / "one")
    expected = list(
        brute_force(two, DedupConfig(), [Held(one[0], Outcome(None, None, None, 2)), Held(one[1], removed)]).values()
    )
    assert found == expected
    assert [each.reason for each in found] == ["same_text", "same_url", "same_url"]
    assert found[2].jaccard == 1.0
    assert found[0].jaccard == removed.jaccard


def test_a_third_crawl(tmp_path: Path) -> None:
    """Against the indexes of two earlier ones, of which the second holds documents removed for the first."""
    config = DedupConfig(near=SURE)
    chance = random.Random(3)
    base = prose(chance, 100)
    run(tmp_path / "1", [Page("a" * 32, base)], config)
    run(
        tmp_path / "2",
        [Page("b" * 32, edited(base, 0.85, chance)), Page("c" * 32, prose(chance, 50))],
        config,
        tmp_path / "1",
    )
    (again,) = documents([Page("0" * 32, base)])
    held = [*index_of(tmp_path / "1", config), *index_of(tmp_path / "2", config)]
    found = decide(tmp_path / "3", [[again]], config, held=held)
    assert found["0" * 32] == Outcome("same_text", "a" * 32, 1.0, 2)


def test_what_does_not_count(tmp_path: Path) -> None:
    """Documents of files that the run reads itself, documents taken down, and what was removed for those."""
    chance = random.Random(4)
    base = prose(chance, 100)
    like = edited(base, 0.85, chance)
    run(tmp_path / "one", [Page("a" * 32, base, 1), Page("b" * 32, like, 2)], DedupConfig())
    again = [Page("1" * 32, base, 1), Page("2" * 32, like, 9)]
    folders = {"run": tmp_path / "one" / "index"}

    def reasons(name: str, counted: set[str], hidden: tuple[str, ...] = ()) -> list[str | None]:
        held = list(held_segments(folders, {"run": counted}, hidden, DedupConfig().near))
        return [each.reason for each in decide(tmp_path / name, [documents(again)], DedupConfig(), held=held).values()]

    assert reasons("all", {"f"}) == ["same_url", "same_text"]
    assert reasons("other file", {"g"}) == [None, "near_duplicate"]
    assert reasons("the copy is hidden", {"f"}, ("b" * 32,)) == ["same_url", "near_duplicate"]
    assert reasons("the one that stays is hidden", {"f"}, ("a" * 32,)) == [None, "near_duplicate"]
    assert forget(tmp_path / "one" / "index", ["a" * 32]) == 1
    open_columns.cache_clear()  # of a process that begins after it
    assert reasons("forgotten", {"f"}, ("a" * 32,)) == [None, "near_duplicate"]


def test_shingles_of_another_length_are_not_measured(tmp_path: Path) -> None:
    """A run with other shingles holds what is repeated: how like it is cannot be told, unless the text is the same."""
    chance = random.Random(5)
    base = prose(chance, 100)
    run(tmp_path / "one", [Page("a" * 32, base, 1), Page("b" * 32, edited(base, 0.85, chance), 2)], DedupConfig())
    config = DedupConfig(near=NearConfig(ngram=3))
    again = [Page("1" * 32, base, 1), Page("2" * 32, base, 3), Page("3" * 32, edited(base, 0.9, chance), 4)]
    found = run(tmp_path / "two", again, config, held=tmp_path / "one")
    assert [(each.reason, each.jaccard) for each in found] == [("same_url", None), ("same_text", 1.0), (None, None)]
    bands = DedupConfig(near=NearConfig(bands=3))
    found = run(tmp_path / "three", again, bands, held=tmp_path / "one")
    assert [(each.reason, each.jaccard) for each in found] == [("same_url", 1.0), ("same_text", 1.0), (None, None)]


def test_order_among_the_held_is_that_of_ids(tmp_path: Path) -> None:
    """A document like two that are held goes for the one with the smaller id, whichever run holds it."""
    chance = random.Random(6)
    base = prose(chance, 204)
    left, right = (edited(base, 0.85, random.Random(seed)) for seed in (1, 2))
    config = DedupConfig(near=replace(SURE, threshold=0.8))
    run(tmp_path / "1", [Page("b" * 32, left)], config)
    run(tmp_path / "2", [Page("a" * 32, right)], config)
    for names in ("12", "21"):
        held = [segment for name in names for segment in index_of(tmp_path / name, config)]
        found = decide(tmp_path / f"with {names}", [[dressed(Page("0" * 32, base), chance)]], config, held=held)
        assert found["0" * 32].duplicate_of == "a" * 32
    assert np.isclose(found["0" * 32].jaccard or 0, 0.85, atol=0.02)
