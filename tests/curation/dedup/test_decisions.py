"""What the phases decide on documents, beside brute force, however the work is split."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from datatrove.data import Document

from curation.dedup import cluster
from curation.dedup.config import DedupConfig, NearConfig
from curation.dedup.phases import Limits, plan_phases
from curation.dedup.similarity import match_probability
from tests.curation.dedup.deciding import compared, decide, save_sketches
from tests.curation.dedup.planted import (
    Outcome,
    Page,
    brute_force,
    corpus,
    dressed,
    edited,
    page_id,
    prose,
    shingle_set,
    true_jaccard,
    without_jaccard,
)

SURE = NearConfig(bands=64, rows=1)
"""Bands that miss a pair at Jaccard .5 once in 10^19."""


def documents(pages: Sequence[Page], seed: int = 0) -> list[Document]:
    chance = random.Random(seed)
    return [dressed(page, chance) for page in pages]


def split(found: list[Document], parts: int, chance: random.Random) -> list[list[Document]]:
    """The documents in order, cut at random places, so that some parts may be empty."""
    cuts = sorted(chance.randint(0, len(found)) for _ in range(parts - 1))
    return [found[low:high] for low, high in zip([0, *cuts], [*cuts, len(found)], strict=True)]


def check_invariants(pages: Sequence[Page], outcomes: dict[str, Outcome], config: DedupConfig) -> None:
    """What holds whatever the bands miss."""
    words = {page.id: page.words for page in pages}
    assert outcomes.keys() == words.keys()
    members = Counter(outcome.duplicate_of for outcome in outcomes.values() if outcome.reason)
    for number, outcome in outcomes.items():
        if outcome.reason is None:
            assert outcome.cluster_size == members[number] + 1
            continue
        leader = outcome.duplicate_of
        assert leader is not None
        assert leader < number
        assert outcomes[leader].reason is None, "nobody is removed for a removed one"
        assert outcome.cluster_size == outcomes[leader].cluster_size == members[leader] + 1
        true = true_jaccard(*(shingle_set(words[each], config.near.ngram) for each in (number, leader)))
        assert outcome.jaccard == true
        if outcome.reason == "near_duplicate":
            assert true >= config.near.threshold


@pytest.mark.parametrize(
    ("ngram", "threshold", "switches"),
    [
        *(
            (ngram, threshold, "url exact near")
            for ngram, threshold in [(5, 0.7), (3, 0.5), (2, 0.9), (9, 0.8), (5, 0.3)]
        ),
        *((5, 0.7, switches) for switches in ["url exact", "exact near", "url near", "near"]),
        *((1, 1.0, switches) for switches in ["url exact near", "url near"]),
    ],
)
def test_as_brute_force_where_bands_miss_nothing(tmp_path: Path, ngram: int, threshold: float, switches: str) -> None:
    url, exact, near = (kind in switches.split() for kind in ("url", "exact", "near"))
    bands = SURE if ngram > 1 else NearConfig()  # single words are in too many buckets
    config = DedupConfig(url, exact, replace(bands, enabled=near, ngram=ngram, threshold=threshold))
    seed = round(100 * threshold) + ngram
    pages = corpus(seed, ngram, clusters=40)
    expected = brute_force(pages, config)
    found = decide(tmp_path, [documents(pages)], config)
    assert without_jaccard(found) == without_jaccard(expected)
    assert found == expected
    check_invariants(pages, found, config)
    counts = Counter(outcome.reason for outcome in found.values())
    assert counts["same_url"] > 10 if url else "same_url" not in counts
    assert counts["same_text"] > 10 if exact else "same_text" not in counts
    assert counts["near_duplicate"] > 3 if near and (threshold < 1 or not exact) else True


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8, 0.9])
def test_the_default_bands_miss_no_more_than_they_say(tmp_path: Path, threshold: float) -> None:
    """200 pairs at known similarities: as many are found as the match probability says, and none below."""
    config = DedupConfig(near=NearConfig(threshold=threshold))
    chance = random.Random(round(1000 * threshold))
    pages, similarity = [], {}
    for _ in range(200):
        base = prose(chance, 160)
        pair = [base, edited(base, chance.uniform(max(0.4, threshold - 0.1), 1), chance)]
        pages += [Page(page_id(chance), words) for words in pair]
        similarity[pages[-1].id] = similarity[pages[-2].id] = true_jaccard(*(shingle_set(each, 5) for each in pair))
    found = decide(tmp_path, [documents(pages)], config)
    check_invariants(pages, found, config)
    removed = [number for number, outcome in found.items() if outcome.reason == "near_duplicate"]
    chances = [match_probability(each, 14, 8) for each in similarity.values() if threshold <= each < 1][::2]
    expected, spread = sum(chances), sum(each * (1 - each) for each in chances) ** 0.5
    assert abs(len(removed) - expected) <= 4 * spread + 0.5
    assert all(similarity[number] >= threshold for number in removed)


@pytest.mark.parametrize("bands", [SURE, NearConfig()])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_outcome_does_not_depend_on_how_work_is_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, bands: NearConfig
) -> None:
    config = DedupConfig(near=replace(bands, ngram=3, threshold=0.6))
    chance = random.Random(seed)
    pages = corpus(seed, 3)
    whole = documents(pages, seed)
    expected = decide(tmp_path / "whole", [whole], config)
    check_invariants(pages, expected, config)
    for number, limits in enumerate([Limits(1, 1000, 7), Limits(1, 60, 1000), Limits(1, 25, 40)]):
        parts = split(whole, chance.randint(2, 12), chance)
        assert decide(tmp_path / str(number), parts, config, limits) == expected
    monkeypatch.setattr("curation.dedup.corpus.STRETCH", 11)
    monkeypatch.setattr("curation.dedup.buckets._BATCH_SHINGLES", 100)
    monkeypatch.setattr(cluster, "_BATCH", 13)
    assert decide(tmp_path / "stretches", split(whole, 5, chance), config, Limits(1, 70, 70)) == expected
    chance.shuffle(whole)
    assert decide(tmp_path / "shuffled", split(whole, 5, chance), config) == expected


def test_phases_and_their_tasks(tmp_path: Path) -> None:
    config = DedupConfig(near=NearConfig(bands=3, rows=2))
    segments = save_sketches(tmp_path, [documents(corpus(1))[:50], documents(corpus(1))[50:101]], config)

    def tasks(config: DedupConfig, limits: Limits) -> dict[str, int]:
        return {each.name: each.tasks for each in plan_phases(segments, config, limits)}

    one = {"url": 1, "text": 1, "bands": 3, "verify": 1, "cluster": 1, "index": 1}
    assert tasks(config, Limits()) == one
    assert tasks(config, Limits(1, 101, 101)) == one
    assert tasks(config, Limits(1, 50, 20)) == {**one, "url": 3, "text": 3, "bands": 9, "verify": 6}
    off = DedupConfig(url=False, exact=False, near=NearConfig(enabled=False))
    assert tasks(off, Limits(1, 50, 20)) == {**dict.fromkeys(one, 0), "cluster": 1, "index": 1}


# ---- corpora at the edge ----------------------------------------------------------------------


def page(number: int, text: str, url: int | None = None) -> Page:
    return Page(f"{number:032x}", tuple(text.split()), url)


def test_an_empty_corpus(tmp_path: Path) -> None:
    for parts in range(3):
        assert decide(tmp_path, [[]] * parts, DedupConfig(), Limits(1, 1, 1)) == {}


def test_one_document(tmp_path: Path) -> None:
    (outcome,) = decide(tmp_path, [documents([page(1, "one lone text", 1)])], DedupConfig()).values()
    assert outcome == Outcome(None, None, None, 1)


@pytest.mark.parametrize("config", [DedupConfig(), DedupConfig(url=False, exact=False)])
def test_all_equal(tmp_path: Path, config: DedupConfig) -> None:
    pages = [page(number, "the same six words again here", 7) for number in range(300, 0, -1)]
    found = decide(tmp_path, split(documents(pages), 4, random.Random(0)), config, Limits(1, 50, 50))
    reason = "same_url" if config.url else "near_duplicate"
    first = f"{1:032x}"
    assert found.pop(first) == Outcome(None, None, None, 300)
    assert set(found.values()) == {Outcome(reason, first, 1.0, 300)}


def test_short_texts_and_none(tmp_path: Path) -> None:
    """A text shorter than a shingle is like itself alone; one without a word is like no other."""
    texts = ["", "", "badoki", "badoki lume", "badoki lume", "lume badoki", "badoki lume suri nodo"]
    pages = [page(number, text) for number, text in enumerate(texts)]
    near = decide(tmp_path / "near", [documents(pages)], DedupConfig(exact=False))
    assert {number for number, each in near.items() if each.reason} == {pages[4].id}
    assert near[pages[4].id] == Outcome("near_duplicate", pages[3].id, 1.0, 2)
    exact = decide(tmp_path / "exact", [documents(pages)], DedupConfig())
    assert {number: each.reason for number, each in exact.items() if each.reason} == {
        pages[1].id: "same_text",
        pages[4].id: "same_text",
    }


def test_marks_alone(tmp_path: Path) -> None:
    texts = ["--- ***", "!!! ***", "--- ***"]
    made = [
        Document(text=text, id=f"{number:032x}", metadata={"url": None, "language": "eng_Latn", "raw_file_id": "f"})
        for number, text in enumerate(texts)
    ]
    assert [each.reason for each in decide(tmp_path, [made], DedupConfig()).values()] == [None, None, "same_text"]


def test_a_chain_does_not_drag_in_what_is_unlike(tmp_path: Path) -> None:
    """Each text is like the next, the first is not like the third: every second one stays, and is the leader of
    the next."""
    chance = random.Random(5)
    chain = [prose(chance, 204)]
    for step in range(7):
        words = list(chain[-1])
        words[20 * step : 20 * step + 20] = prose(chance, 20)  # 20 of 200 shingles at the start, else 24
        chain.append(tuple(words))
    config = DedupConfig(near=replace(SURE, threshold=0.75))
    pages = [Page(f"{number:032x}", words) for number, words in enumerate(chain)]
    found = decide(tmp_path, [documents(pages)], config)
    check_invariants(pages, found, config)
    assert [each.duplicate_of for each in found.values()] == [
        None if number % 2 == 0 else f"{number - 1:032x}" for number in range(8)
    ]


def test_what_was_removed_for_a_removed_one_goes_to_the_one_that_stays(tmp_path: Path) -> None:
    """4 has the URL of 3, 3 the text of 2, 2 is like 1."""
    chance = random.Random(1)
    base = prose(chance, 100)
    like = edited(base, 0.85, chance)
    other = prose(chance, 100)
    pages = [
        Page(f"{n:032x}", words, url) for n, words, url in [(1, base, 1), (2, like, 2), (3, like, 3), (4, other, 3)]
    ]
    config = DedupConfig()
    found = decide(tmp_path, [documents(pages)], config)
    check_invariants(pages, found, config)
    assert [each.reason for each in found.values()] == [None, "near_duplicate", "same_text", "same_url"]
    assert {each.duplicate_of for each in found.values()} == {None, pages[0].id}
    assert {each.cluster_size for each in found.values()} == {4}


def test_thousands_of_near_copies_are_linear_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """5,000 documents of which each differs from a template in one word: pairs compared stay a few a document, and
    one document stays."""
    monkeypatch.setattr(cluster, "_BATCH", 700)
    chance = random.Random(2)
    template = list(prose(chance, 120))
    counts = {}
    for size in (1250, 5000):
        pages = []
        for number in range(size):
            words = list(template)
            words[number % 120] = f"badoki{'abcdefghij'[number // 120 % 10]}{'abcdefghij'[number // 1200]}"
            pages.append(Page(page_id(chance), tuple(words)))
        folder = tmp_path / str(size)
        found = decide(folder, [documents(pages)], DedupConfig(), Limits(1, 2000, 2000))
        counts[size] = compared(folder)
        first = min(each.id for each in pages)
        assert {each.duplicate_of for each in found.values()} == {None, first}
        assert {each.cluster_size for each in found.values()} == {size}
    assert counts[5000] < 2 * 14 * 5000
    assert counts[5000] < 4.5 * counts[1250]
