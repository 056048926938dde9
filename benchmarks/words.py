"""Words: CPU time and agreement beside datatrove's tokenizers, and what another word means to each filter.

Usage: python benchmarks/words.py [SHARED]   (default: ../shared, the folder with crawl/)

Pages are those of crawl/: the texts of ground_truth.jsonl, and of the Debian manuals in many languages what our
"fast" extraction gives. "cold" begins with empty tables, "warm" has met the pages before; both make all arrays
that filters use. Agreement is F1 of words at the same place, against datatrove's tokenizer for the language, where
that can be loaded here. A decision is what a filter with its defaults says of an English page, once with our
words and once with spaCy's.
"""

import json
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # before this folder, whose curation.py hides ours

SHARED = Path(os.environ.get("SHARED", Path(__file__).resolve().parents[2] / "shared"))
REPEATS = 3


def read_pages(shared: Path) -> dict[str, list[str]]:
    """Language label -> texts."""
    from curation.charset import decode
    from curation.extract import ExtractConfig, extract
    from curation.language import Identifier, LanguageConfig
    from curation.sources.warc import read_warc

    pages = defaultdict(list)
    for line in (shared / "crawl" / "ground_truth.jsonl").read_text("utf-8").splitlines():
        pages["eng_Latn"].append(json.loads(line)["text"])
    identifier = Identifier(LanguageConfig())
    config = ExtractConfig(extractor="fast")
    with (shared / "crawl" / "debian-00000.warc.gz").open("rb") as file:
        for record in read_warc(file, "gzip", max_record_bytes=2**25):
            if record.body:
                html, _ = decode(record.body, html=True)
                text = extract(html, url="", config=config, crawled_at=None).text
                pages[identifier.identify(text)[0]].append(text)
    return pages


def all_arrays(text: str, language: str) -> int:
    """Words of a text, with everything that filters and MinHash ask of them."""
    from curation.words import Words

    words = Words(text, language)
    for array in (words.hashes_W, words.lengths_W, words.symbol_W, words.letter_W, words.normal_W):
        assert array.ndim == 1
    return len(words)


def cpu_ms(work: Callable[[str], object], texts: Sequence[str], repeats: int = 1) -> float:
    """Best CPU milliseconds a text."""
    best = float("inf")
    for _ in range(repeats):
        began = time.process_time()
        for text in texts:
            work(text)
        best = min(best, time.process_time() - began)
    return 1000 * best / len(texts)


def places(words: Sequence[str]) -> set[tuple[int, int]]:
    """Where words begin and end in the text without white space."""
    ends = np.cumsum([len("".join(word.split())) for word in words]).tolist()
    return set(zip([0, *ends], ends, strict=False))


def agreement(ours: Sequence[Sequence[str]], theirs: Sequence[Sequence[str]]) -> float:
    """F1 of words over all texts."""
    same = sum(len(places(a) & places(b)) for a, b in zip(ours, theirs, strict=True))
    return 2 * same / (sum(map(len, ours)) + sum(map(len, theirs)))


def datatroves(language: str) -> Callable[[str], list[str]]:
    """datatrove's tokenizer for a language, loaded.

    Raises:
        ImportError, ValueError: it cannot be had here.
    """
    from datatrove.utils.word_tokenizers import load_word_tokenizer

    split: Callable[[str], list[str]] = load_word_tokenizer(language).word_tokenize
    split("Load it.")
    return split


def compare(language: str, texts: list[str]) -> dict[str, Any]:
    """Times and agreement for the pages in one language."""
    from curation.words import Words, _table

    all_arrays(texts[0], language)  # loads dictionaries
    _table.cache_clear()
    words: list[int] = []
    row: dict[str, Any] = {"pages": len(texts)}
    row["cold_ms"] = cpu_ms(lambda text: words.append(all_arrays(text, language)), texts)
    row["words"] = sum(words)
    row["warm_ms"] = cpu_ms(lambda text: all_arrays(text, language), texts, REPEATS)
    try:
        split = datatroves(language)
    except (ImportError, ValueError, LookupError, OSError) as error:
        row["why_not"] = str(error).splitlines()[0]
        return row
    theirs: list[list[str]] = []
    row["datatrove_ms"] = cpu_ms(lambda text: theirs.append(split(text)), texts)
    row["agreement"] = round(agreement([Words(text, language).strings for text in texts], theirs), 5)
    return row


def decisions(texts: list[str]) -> dict[str, dict[str, Any]]:
    """Filter -> on how many English pages it decides alike, and how the decisions differ where not."""
    from datatrove.data import Document

    from curation.filters import build_filters, registry
    from curation.words import Words, use_words

    split = datatroves("eng_Latn")
    filters = build_filters(dict.fromkeys(registry()))
    differences: dict[str, Counter[str]] = {each.name: Counter() for each in filters}
    alike = Counter[str]()
    for text in texts:
        reasons = []
        for words in (Words(text, "eng_Latn"), Words.from_strings(text, "eng_Latn", split(text))):
            document = Document(text=text, id="page", metadata={"language": "eng_Latn", "url": "http://a.example/"})
            use_words(words)
            reasons.append({each.name: each.reason(each.score(document)) for each in filters})
        for name in differences:
            ours, theirs = reasons[0][name], reasons[1][name]
            if ours == theirs:
                alike[name] += 1
            else:
                differences[name][f"{ours or 'kept'} / {theirs or 'kept'}"] += 1
    return {
        name: {"pages": len(texts), "alike": alike[name], "differences": dict(different)}
        for name, different in differences.items()
    }


def main() -> None:
    """Print the tables and the JSON line."""
    from curation.unspaced import unspaced_splitter

    pages = read_pages(Path(sys.argv[1]) if sys.argv[1:] else SHARED)
    rows = {language: compare(language, texts) for language, texts in sorted(pages.items(), key=lambda p: -len(p[1]))}
    print(f"{'':<10}{'':>6}{'':>9}{'CPU ms a page: cold':>20}{'warm':>8}{'datatrove':>11}{'x':>7}")
    print(f"{'language':<10}{'pages':>6}{'words':>9}{'':>46}{'agreement':>11}")
    for language, row in rows.items():
        times = f"{row['cold_ms']:>20.3f}{row['warm_ms']:>8.3f}"
        if "agreement" in row:
            ratio = row["datatrove_ms"] / row["warm_ms"]
            beside = f"{row['datatrove_ms']:>11.2f}{ratio:>7.1f}{row['agreement']:>11.4f}"
        else:
            beside = f"   n/a: {row['why_not']}"
        print(f"{language:<10}{row['pages']:>6}{row['words']:>9,}{times}{beside}")
    page = min(pages["eng_Latn"], key=lambda text: abs(len(text.split()) - 500))
    all_arrays(page, "eng_Latn")
    warm = cpu_ms(lambda text: all_arrays(text, "eng_Latn"), [page] * 100, REPEATS)
    print(f"\nan English page of {len(page.split())} chunks: {warm:.3f} ms warm")
    by_filter = decisions(pages["eng_Latn"])
    mislabelled = sum(unspaced_splitter(text, "eng_Latn") is not None for text in pages["eng_Latn"])
    print(f"{mislabelled} of the pages in English are in scripts without spaces, one word a sentence to spaCy")
    print(f"\n{'filter':<22}{'pages':>6}{'alike':>7}   ours / spaCy's")
    for name, row in by_filter.items():
        print(f"{name:<22}{row['pages']:>6}{row['alike']:>7}   {row['differences'] or ''}")
    print(
        json.dumps({"benchmark": "words", "languages": rows, "page_of_500_ms": round(warm, 4), "decisions": by_filter})
    )


if __name__ == "__main__":
    main()
