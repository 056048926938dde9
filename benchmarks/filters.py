"""What the heuristic filters cost: CPU milliseconds a document, beside datatrove's blocks on the same texts.

Usage: python benchmarks/filters.py [WARC ...]   (default: the archives of ../shared/crawl, else a demo crawl)

Texts are the English pages, extracted once and not timed. Ours: removal of lines, words, and the scores and
decisions of every filter, words split anew for each document. datatrove: its four blocks as FineWeb ran them,
with spaCy's words, and with its word cache emptied between documents; each block alone, since they stop at the
first rule that a page breaks, where ours score all. `agree` is the share of equal decisions (keep, or drop for
the same reason): with each side's own words, and where both are given ours.
"""

import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.utils import text as datatrove_text

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # before this folder, whose curation.py hides ours

from curation.filters import build_filters
from curation.lines import LinesConfig, remove_lines
from curation.words import words_of

ROOT = Path(__file__).resolve().parents[1]
REPEATS = 3
Decide = Callable[[str, str], str | None]
"""(filter, text) -> reason."""
BLOCKS: dict[str, Callable[[], Any]] = {
    "gopher_repetition": GopherRepetitionFilter,
    "gopher_quality": GopherQualityFilter,
    "c4": lambda: C4QualityFilter(filter_no_terminal_punct=False),
    "fineweb": FineWebQualityFilter,
}


def texts_of(paths: list[Path]) -> list[str]:
    """The English texts of archives."""
    from curation.extract import ExtractConfig, TooDeep, TooLarge, extract
    from curation.language import Identifier, LanguageConfig
    from curation.sources.content import resolve
    from curation.sources.warc import read_warc

    identifier, config = Identifier(LanguageConfig()), ExtractConfig()
    found = []
    for path in paths:
        with path.open("rb") as file:
            for record in map(resolve, read_warc(file, "gzip", max_record_bytes=2**25)):
                try:
                    if record.media == "html" and record.text:
                        record.text = extract(record.text, url=record.url, config=config, crawled_at=None).text
                except (TooLarge, TooDeep):
                    continue
                if record.text and identifier.identify(record.text)[0] == "eng_Latn":
                    found.append(record.text)
    return found


def fresh(text: str) -> Document:
    """A document whose text is an object of its own, so that nothing is remembered of it."""
    return Document(text=text.encode().decode(), id="x", metadata={"language": "eng_Latn"})


def milliseconds(work: Callable[[str], object], texts: list[str], repeats: int = REPEATS) -> float:
    """CPU milliseconds a text, the best of some repeats."""
    best = float("inf")
    for _ in range(repeats):
        began = time.process_time()
        for text in texts:
            work(text)
        best = min(best, time.process_time() - began)
    return 1000 * best / len(texts)


def agreement(ours: Decide, theirs: Decide, texts: list[str]) -> dict[str, float]:
    """Filter -> share of texts on which two sides decide the same."""
    return {name: sum(ours(name, text) == theirs(name, text) for text in texts) / len(texts) for name in BLOCKS}


def main() -> None:
    """Print the table and the JSON line."""
    from tests.curation.filters.test_agreement import REASONS

    paths = [Path(argument) for argument in sys.argv[1:]]
    with tempfile.TemporaryDirectory() as folder:
        if not paths:
            paths = sorted(Path(os.environ.get("SHARED", ROOT.parent / "shared")).glob("crawl/*.warc.gz"))
        if not paths:
            from curation.demo import site
            from curation.demo.crawl import crawl, serve

            paths = [Path(folder) / "demo.warc.gz"]
            with serve(site.build()) as address:
                crawl(address, paths[0])
        texts = texts_of(paths)
    filters = {each.name: each for each in build_filters(dict.fromkeys(BLOCKS))}
    blocks = {name: make() for name, make in BLOCKS.items()}
    cleaned = {text: remove_lines(text, LinesConfig())[0] for text in texts}

    def ours(name: str, text: str) -> str | None:
        scored = fresh(cleaned[text] if name == "c4" else text)
        reason: str | None = filters[name].reason(filters[name].score(scored))
        return reason

    def theirs(name: str, text: str) -> str | None:
        datatrove_text.split_into_parts.cache_clear()
        decision = blocks[name].filter(Document(text=text, id="x", metadata={}))
        return None if decision is True else REASONS[name][decision[1]]

    def all_ours(text: str) -> None:
        document = fresh(remove_lines(text, LinesConfig())[0])
        for each in filters.values():
            each.reason(each.score(document))

    def our_words(text: str) -> None:
        words = words_of(fresh(text))
        _ = words.hashes_W, words.lengths_W, words.symbol_W, words.letter_W

    def all_theirs(text: str) -> None:
        datatrove_text.split_into_parts.cache_clear()
        for block in blocks.values():
            block.filter(Document(text=text, id="x", metadata={}))

    all_ours(texts[0])
    all_theirs(texts[0])  # both load what they need
    own = agreement(ours, theirs, texts)
    with contextlib.ExitStack() as patched:
        for block in (GopherRepetitionFilter, GopherQualityFilter, FineWebQualityFilter):
            split = f"{block.__module__}.split_into_words"
            patched.enter_context(mock.patch(split, lambda text, language: words_of(fresh(text)).strings))
        same = agreement(ours, theirs, texts)
    rows = {
        name: {
            "ours_ms": milliseconds(lambda text, name=name: ours(name, text), texts),
            "datatrove_ms": milliseconds(lambda text, name=name: theirs(name, text), texts, 1),
            "agree_own_words": own[name],
            "agree_same_words": same[name],
        }
        for name in BLOCKS
    }
    total = {"ours_ms": milliseconds(all_ours, texts), "datatrove_ms": milliseconds(all_theirs, texts, 1)}
    words_ms = milliseconds(our_words, texts)
    size = sum(map(len, texts)) / len(texts)
    print(f"{len(texts)} English texts, {size:,.0f} characters on average; CPU ms a document")
    print(f"{'filter':<24}{'ours':>9}{'datatrove':>11}{'times':>8}{'agree: own words':>18}{'same words':>12}")
    for name, row in rows.items():
        ratio = row["datatrove_ms"] / row["ours_ms"]
        agree = f"{100 * row['agree_own_words']:>16.1f} %{100 * row['agree_same_words']:>10.1f} %"
        print(f"{name:<24}{row['ours_ms']:>9.3f}{row['datatrove_ms']:>11.2f}{ratio:>8.1f}{agree}")
    ratio = total["datatrove_ms"] / total["ours_ms"]
    print(f"{'all, words split once':<24}{total['ours_ms']:>9.3f}{total['datatrove_ms']:>11.2f}{ratio:>8.1f}")
    print(f"{'of it words':<24}{words_ms:>9.3f}")
    figures = {name: {key: round(value, 4) for key, value in row.items()} for name, row in rows.items()}
    totals = {key: round(value, 4) for key, value in total.items()} | {"words_ms": round(words_ms, 4)}
    print(json.dumps({"benchmark": "filters", "texts": len(texts), "filters": figures, "all": totals}))


if __name__ == "__main__":
    main()
