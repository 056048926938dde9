"""Decontamination: time and memory for 0 to 100,000 items, recall and false matches, LSH Ensemble beside.

    python benchmarks/decontamination.py [--quick]

Items are the published ones of ``shared/datasets`` (``$SHARED``, else ``../shared``), 100,000 with posts and with the
items of BBQ once more for each answer; documents are the real English pages of ``shared/crawl``. Without that folder
it says so and ends. Times are CPU time, the best of three.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OMP_NUM_THREADS", "1")

from datatrove.data import Document  # noqa: E402

from curation.decontaminate.compiling import compile_items  # noqa: E402
from curation.decontaminate.ensemble import LONG, Ensemble, recall  # noqa: E402
from curation.decontaminate.index import Index  # noqa: E402
from curation.decontaminate.items import Item  # noqa: E402
from curation.decontaminate.matching import find  # noqa: E402
from curation.decontaminate.units import document_words, item_units  # noqa: E402
from curation.words import Words, ngram_hashes  # noqa: E402
from tests.curation.items_in_texts import changed, changed_at, embedded, index_of, matches  # noqa: E402
from tests.curation.real_items import more_items, published_items  # noqa: E402
from tests.curation.real_pages import english_texts  # noqa: E402

MEMORY = """
import sys
import psutil
from pathlib import Path
from curation.decontaminate.index import Index
from curation.decontaminate.matching import find
from curation.words import Words
find_in = lambda index, text: find(index, Words(text, "eng_Latn"))
index = Index(Path(sys.argv[1]))
texts = sys.stdin.read().split("\\0")
Words(texts[0], "eng_Latn").normal_W
before = psutil.Process().memory_full_info().uss
for text in texts:
    find_in(index, text)
print(psutil.Process().memory_full_info().uss - before)
"""
"""Memory that a process has for itself alone, after it has looked documents up."""


def timed(index: Index | None, pages: list[str]) -> tuple[float, float]:
    """(ms a document of 3 kB for looking up, the same for splitting words), the best of three."""
    documents = [Document(text=text, id="x", metadata={"language": "eng_Latn"}) for text in pages]
    kilobytes = sum(len(text.encode()) for text in pages) / 3000
    best = [float("inf"), float("inf")]
    for _ in range(3):
        spent = [0.0, 0.0]
        for document in documents:
            begin = time.process_time()
            words = document_words(document, letters=index.letters if index else False)
            _ = words.normal_W
            split = time.process_time()
            if index:
                find(index, words)
            spent = [spent[0] + time.process_time() - split, spent[1] + split - begin]
        best = [min(old, new) for old, new in zip(best, spent, strict=True)]
    return best[0] / kilobytes * 1000, best[1] / kilobytes * 1000


def private_bytes(index: Index, pages: list[str]) -> int:
    """Memory of a process of its own for looking documents up."""
    line = [sys.executable, "-c", MEMORY, str(index.path)]
    done = subprocess.run(line, input="\0".join(pages), capture_output=True, text=True, check=True, cwd=ROOT)
    return int(done.stdout)


def speed(items: list[Item], pages: list[str], folder: Path) -> list[dict[str, float]]:
    """A row for each number of items."""
    rows = []
    for count in (0, 1000, 10_000, len(items)):
        if not count:
            ms, words = timed(None, pages)
            rows.append({"items": 0, "ms": ms, "words_ms": words, "compile_s": 0, "file_mb": 0, "private_mb": 0})
            continue
        chosen = random.Random(count).sample(items, count)
        begin = time.perf_counter()
        data = compile_items(chosen, 6)
        seconds = time.perf_counter() - begin
        path = folder / f"{count}.items"
        path.write_bytes(data)
        index = Index(path)
        ms, words = timed(index, pages)
        own = private_bytes(index, pages) / 1e6
        rows.append(
            {
                "items": count,
                "ms": ms,
                "words_ms": words,
                "compile_s": seconds,
                "file_mb": len(data) / 1e6,
                "private_mb": own,
            }
        )
    return rows


def quality(items: list[Item], pages: list[str], folder: Path, each_set: int) -> dict[str, dict[str, float]]:
    """Set -> share of its items that is found, by what was done to them."""
    chance = random.Random(0)
    index = index_of(items, folder)
    others = [word for word in " ".join(pages[:40]).split() if word.isalpha()]
    by_set: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        ways = item_units(item.text)
        if ways and len(ways[0]) >= 6:
            by_set[item.item_set].append(item)
    around = [page for page in pages if len(page) < 6000]
    found: dict[str, dict[str, float]] = {}
    for name, all_of_set in by_set.items():
        chosen = chance.sample(all_of_set, min(each_set, len(all_of_set)))
        hits: dict[str, int] = defaultdict(int)
        for item in chosen:
            words = item.text.split()
            copies = {change: changed(words, others, change, chance) for change in ("replace", "remove", "add")}
            first = chance.randrange(6)
            copies |= {
                "verbatim": words,
                "every 6th": changed_at(words, range(first, len(words), 6), others, "replace", chance),
            }
            for how, copy in copies.items():
                hits[how] += bool(matches(index, embedded(copy, chance.choice(around), chance)))
        order = ("verbatim", "replace", "remove", "add", "every 6th")
        found[name] = {"items": len(chosen)} | {how: hits[how] / len(chosen) for how in order}
    return found


def false_matches(items: list[Item], pages: list[str], folder: Path) -> tuple[int, int, int]:
    """(pages with a match, of these with one by a run or word for word, pages)."""
    index = index_of(items, folder)
    found = [matches(index, page) for page in pages]
    return sum(map(bool, found)), sum(any(m.how != "near" for m in each) for each in found), len(pages)


def unlike(pages: list[str]) -> list[str]:
    """Pages of which no two have a fifth of their runs of five words in common."""
    kept: list[tuple[str, set[int]]] = []
    for page in pages:
        runs = set(ngram_hashes(Words(page, "eng_Latn").normal_W, 5).tolist())
        if all(len(runs & other) < 0.2 * min(len(runs), len(other)) for _, other in kept):
            kept.append((page, runs))
    return [page for page, _ in kept]


def long_items(pages: list[str]) -> dict[str, float]:
    """LSH Ensemble on pages as items of which one word in six is changed, within longer documents."""
    chance = random.Random(0)
    chosen = unlike([page for page in pages if LONG < len(page.split()) < 1500])
    others = " ".join(pages[:40]).split()
    with tempfile.TemporaryDirectory() as folder:
        index = index_of([Item("long", str(n), text) for n, text in enumerate(chosen)], Path(folder))
        documents = {}
        for number, text in enumerate(chosen):
            copy = changed(text.split(), others, "any", chance)
            documents[str(number)] = embedded(copy, chance.choice(chosen) if number % 2 else "", chance)
        begin = time.process_time()
        expected: dict[str, set[str]] = defaultdict(set)
        words = {}
        for name, text in documents.items():
            words[name] = document_words(Document(text=text, id=name, metadata={"language": "eng_Latn"}), letters=False)
            for match in find(index, words[name])[1]:
                expected[match.item_id].add(name)
        ours = time.process_time() - begin
        begin = time.process_time()
        ensemble = Ensemble.of(words.items())
        found = {str(number): ensemble.query(text) for number, text in enumerate(chosen)}
        theirs = time.process_time() - begin
    planted = {str(number): {str(number)} for number in range(len(chosen))}
    pairs, hit, others_found = recall(found, planted)
    return {
        "items": pairs,
        "matcher_recall": recall(expected, planted)[1] / pairs,
        "matcher_ms_a_document": ours / pairs * 1000,
        "ensemble_recall": hit / pairs,
        "ensemble_false": others_found,
        "ensemble_ms_a_document": theirs / pairs * 1000,
    }


def main() -> None:
    """Print the tables, and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer items of each set")
    options = parser.parse_args()
    shared = Path(os.environ.get("SHARED", ROOT.parent / "shared"))
    if not shared.is_dir():
        print(f"no test inputs at {shared}: set SHARED to the folder that holds crawl/ and datasets/")
        return
    published = [Item(*each) for each in published_items(shared / "datasets")]
    pages = sorted(set(english_texts(shared / "crawl")))
    items = [*published, *(Item(*each) for each in more_items(shared / "datasets"))][:100_000]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = speed(items, pages, folder)
        print("   items   ms / 3 kB  (words)  compile s  file MB  private MB")
        for row in rows:
            print(
                "{items:8,} {ms:11.3f} {words_ms:8.3f} {compile_s:10.1f} {file_mb:8.1f} {private_mb:11.1f}".format(
                    **row
                )
            )
        shares = quality(published, pages, folder, 50 if options.quick else 300)
        print(f"\nrecall{'':14} items  verbatim  replaced  removed   added   every 6th")
        for set_name, row in shares.items():
            print(f"{set_name:20} {row['items']:5} " + " ".join(f"{row[how]:8.3f}" for how in list(row)[1:]))
        hit, certain, total = false_matches(published, pages, folder)
        print(
            f"\n{hit} of {total} real pages match any of {len(published):,} published items, {certain} of them surely"
        )
        lsh = long_items(pages)
        print("\n{items} long items, one word in six changed, each in a document of its own:".format(**lsh))
        for who in ("matcher", "ensemble"):
            print(f"{who:10} recall {lsh[who + '_recall']:.3f}, {lsh[who + '_ms_a_document']:.2f} ms a document")
        print(f"pairs that only LSH Ensemble has: {lsh['ensemble_false']}")
    print(json.dumps({"speed": rows, "recall": shares, "pages_matched": hit, "pages": total, "long": lsh}))


if __name__ == "__main__":
    main()
