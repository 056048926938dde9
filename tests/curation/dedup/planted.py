"""Documents with planted duplicates, and what must come of them by brute force: every pair, plain Python sets."""

import random
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product

from datatrove.data import Document

from curation.dedup.config import DedupConfig
from tests.curation.fixtures_text import SENTENCES

VOCABULARY = tuple("".join(each) for each in product(("ba", "do", "ki", "lu", "me", "no", "ri", "su"), repeat=3))
"""512 words that no tokenizer splits."""

Shingles = frozenset[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Page:
    """A document before it is dressed up."""

    id: str
    words: tuple[str, ...]
    page: int | None = None
    """Pages of one number have the same URL, but for what does not count."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is decided on one document."""

    reason: str | None
    duplicate_of: str | None
    jaccard: float | None
    cluster_size: int


@dataclass(frozen=True, slots=True)
class Held:
    """A document of an earlier run, and what it was removed for."""

    page: Page
    outcome: Outcome


def prose(chance: random.Random, count: int, vocabulary: Sequence[str] = VOCABULARY) -> tuple[str, ...]:
    """Words at random."""
    return tuple(chance.choice(vocabulary) for _ in range(count))


def edited(
    words: Sequence[str], jaccard: float, chance: random.Random, ngram: int = 5, vocabulary: Sequence[str] = VOCABULARY
) -> tuple[str, ...]:
    """The words with some replaced, so far apart that each ends ``ngram`` shingles: similarity about ``jaccard``."""
    shingles = len(words) - ngram + 1
    edits = round(shingles * (1 - jaccard) / (1 + jaccard) / ngram)
    places = chance.sample(range(1, len(words) // ngram - 1), edits)
    changed = list(words)
    for place in places:
        old = changed[place * ngram]
        changed[place * ngram] = chance.choice([word for word in vocabulary if word != old])
    return tuple(changed)


def page_id(chance: random.Random) -> str:
    """An id as documents have it."""
    return f"{chance.getrandbits(128):032x}"


def dressed(page: Page, chance: random.Random) -> Document:
    """The document: words with case, marks and white space that do not count, under one spelling of its URL."""
    written = []
    for word in page.words:
        word = chance.choice([word, word, word.capitalize(), word.upper()])
        written.append(word + chance.choice(["", "", "", ",", ".", ";", " -"]) + chance.choice([" ", " ", "\n", "  "]))
    url = None
    if page.page is not None:
        scheme, host = chance.choice(["http", "https"]), chance.choice(["", "www.", "user:word@"])
        port, end = chance.choice(["", ":80"]), chance.choice(["", "/", "#top"])
        url = f"{scheme}://{host}Site.example{port}/{page.page}{end}"
    return Document(
        text="".join(written), id=page.id, metadata={"url": url, "language": "eng_Latn", "raw_file_id": "f"}
    )


def words_in(text: str) -> tuple[str, ...]:
    """The words of such a text, found in a way of our own."""
    return tuple(re.findall(r"\w+", text.lower()))


def shingle_set(words: Sequence[str], ngram: int) -> Shingles:
    """Runs of ``ngram`` words; a shorter text is one."""
    size = min(ngram, len(words))
    return (
        frozenset(tuple(words[begin : begin + size]) for begin in range(len(words) - size + 1)) if size else frozenset()
    )


def true_jaccard(left: Shingles, right: Shingles) -> float:
    """|A and B| / |A or B|."""
    union = len(left | right)
    return len(left & right) / union if union else 0.0


def corpus(seed: int, ngram: int = 5, clusters: int = 25, alone: int = 60) -> list[Page]:
    """Some hundred pages in random order: clusters of edited texts, of copies, of one URL, mixed; and others."""
    chance = random.Random(seed)
    numbers = iter(range(10**6))
    pages: list[Page] = []

    def add(words: Sequence[str], page: int | None) -> None:
        pages.append(Page(page_id(chance), tuple(words), page))

    for _ in range(alone):
        add(prose(chance, chance.randint(1, 120)), next(numbers) if chance.random() < 0.7 else None)
    for _ in range(clusters):
        base = prose(chance, chance.randint(60, 200))
        page = next(numbers)
        add(base, page)
        for _ in range(chance.randint(1, 6)):
            kind = chance.random()
            if kind < 0.6:
                add(edited(base, chance.uniform(0.35, 0.98), chance, ngram), next(numbers))
            elif kind < 0.8:
                add(base, next(numbers))
            else:
                add(edited(base, chance.choice([0.4, 0.9]), chance, ngram), page)
    for short in (("badoki",), ("badoki",), ("badoki", "lumeno"), ("badoki", "lumeno"), ("lumeno", "badoki")):
        add(short, next(numbers))
    chance.shuffle(pages)
    return pages


def brute_force(pages: Iterable[Page], config: DedupConfig, held: Iterable[Held] = ()) -> dict[str, Outcome]:
    """Id -> outcome. Held documents stay before own ones, then the smallest id; URL, then text, then similarity."""
    earlier = sorted(held, key=lambda each: each.page.id)
    kept = [each.page for each in earlier if each.outcome.reason is None]
    stands_for = {each.page.id: each.outcome.duplicate_of for each in earlier if each.outcome.reason is not None}
    ordered = sorted(pages, key=lambda each: each.id)
    known = {each.id: each for each in [*ordered, *(each.page for each in earlier)]}
    shingles = {each: shingle_set(page.words, config.near.ngram) for each, page in known.items()}
    gone: dict[str, tuple[str, str]] = {}

    def go(reason: str, candidates: list[Page], key: str) -> None:
        first: dict[object, str] = {}
        for each in candidates:
            value = getattr(each, key)
            if value is None:
                continue
            if value in first and each in ordered:
                gone[each.id] = (reason, first[value])
            first.setdefault(value, each.id)

    if config.url:
        go("same_url", [*kept, *ordered], "page")
    if config.exact:
        comes_again = [each.page for each in earlier if each.outcome.reason != "same_url"]
        go("same_text", [*comes_again, *(each for each in ordered if each.id not in gone)], "words")
    if config.near.enabled:
        stay = [each.id for each in kept]
        for each in ordered:
            if each.id in gone:
                continue
            threshold = config.near.threshold
            similar = (other for other in stay if true_jaccard(shingles[each.id], shingles[other]) >= threshold)
            other = next(similar, None)
            if other is None:
                stay.append(each.id)
            else:
                gone[each.id] = ("near_duplicate", other)

    def final(document: str) -> str:
        while document in gone:
            document = gone[document][1]
        return stands_for.get(document) or document

    members: dict[str, int] = {}
    for document in gone:
        members[final(document)] = members.get(final(document), 0) + 1
    outcomes = {}
    for each in ordered:
        if each.id in gone:
            leader = final(each.id)
            value = true_jaccard(shingles[each.id], shingles[leader])
            outcomes[each.id] = Outcome(gone[each.id][0], leader, value, members[leader] + 1)
        else:
            outcomes[each.id] = Outcome(None, None, None, members.get(each.id, 0) + 1)
    return outcomes


def without_jaccard(outcomes: dict[str, Outcome]) -> dict[str, Outcome]:
    """Outcomes for a comparison in which similarities are compared by themselves."""
    return {each: replace(outcome, jaccard=None) for each, outcome in outcomes.items()}


def next_crawl(earlier: Sequence[Page], seed: int, ngram: int = 5) -> list[Page]:
    """Pages of a later crawl: what came before as it was, edited, under its URL with another text, and new ones."""
    chance = random.Random(f"next {seed}")
    pages = corpus(seed + 1, ngram, clusters=10, alone=30)
    pages = [replace(each, page=None if each.page is None else each.page + 10**6) for each in pages]
    for number, old in enumerate(chance.sample(list(earlier), len(earlier) // 2)):
        kind = chance.random()
        words, page = old.words, chance.choice([old.page, None, 2 * 10**6 + number])
        if kind < 0.4 and len(words) > 60:
            words = edited(words, chance.uniform(0.4, 0.95), chance, ngram)
        elif kind < 0.55:
            words, page = prose(chance, 80), old.page
        pages.append(Page(page_id(chance), words, page))
        if page is not None and chance.random() < 0.2:
            pages.append(Page(page_id(chance), prose(chance, 50) if chance.random() < 0.5 else words, page))
    chance.shuffle(pages)
    return pages


# ---- other scripts ----------------------------------------------------------------------------

UNSPACED = ("cmn_Hani", "jpn_Jpan", "tha_Thai")


def text_of(language: str, chance: random.Random, pieces: int = 260) -> str:
    """A long text of a language: words of our sentences in random order, three letters where no space parts words."""
    sentences = " ".join(SENTENCES[language])
    if language not in UNSPACED:
        return " ".join(chance.choice(sentences.split()) for _ in range(pieces)) + "."
    letters = "".join(each for each in sentences if unicodedata.category(each)[0] in "LM")
    begins = [chance.randrange(0, len(letters) - 3) for _ in range(pieces)]
    return "".join(letters[begin : begin + 3] for begin in begins)


def mistyped(text: str, share: float, chance: random.Random) -> str:
    """The text with a share of its letters exchanged for others of it."""
    characters = list(text)
    places = [place for place, each in enumerate(text) if each.isalpha()]
    for place in chance.sample(places, round(share * len(places))):
        characters[place] = text[chance.choice(places)]
    return "".join(characters)
