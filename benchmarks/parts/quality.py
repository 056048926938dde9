"""Word 4-gram F1 of extracted text against text marked by people, mean over pages.

Usage: python -m benchmarks.parts.quality CRAWL_FOLDER EXTRACTOR        ours: precise or fast
       python -m benchmarks.parts.quality CRAWL_FOLDER TEXTS.jsonl      texts by record id, as datatrove writes them

``ground_truth.jsonl`` in the folder names the pages, by WARC-Record-ID. A page without a text counts 0. Prints
``f1_pages``, ``f1`` and the 95 % interval of a bootstrap over pages as JSON.
"""

import json
import random
import re
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

DRAWS = 1000


def grams(text: str) -> Counter[tuple[str, ...]]:
    """The 4-grams of words, as in scrapinghub's article-extraction-benchmark."""
    words = re.findall(r"\w+", text)
    return Counter(zip(*(words[n:] for n in range(4)), strict=False))


def f1(found: str, expected: str) -> float:
    """F1 of one page, 0 to 1."""
    one, other = grams(found), grams(expected)
    total = one.total() + other.total()
    return 2 * (one & other).total() / total if total else 1.0


def ours(crawl: Path, extractor: str) -> dict[str, str]:
    """Record id -> text by our reader and extractor."""
    from warcio.archiveiterator import ArchiveIterator

    from curation.extract import ExtractConfig, extract
    from curation.sources.content import resolve
    from curation.sources.warc import read_warc

    ids, texts = {}, {}
    config = ExtractConfig(extractor=extractor)  # type: ignore[arg-type]
    for path in sorted(crawl.glob("*.warc.gz")):
        with path.open("rb") as stream:
            for record in ArchiveIterator(stream):
                if record.rec_type == "response":
                    ids[record.rec_headers.get_header("WARC-Target-URI")] = record.rec_headers.get_header(
                        "WARC-Record-ID"
                    )
        with path.open("rb") as file:
            for raw in read_warc(file, "gzip", max_record_bytes=2**25):
                if raw.media == "html" and not raw.rejected and not raw.quarantined and raw.url in ids:
                    resolve(raw)
                    found = extract(raw.text or "", url=raw.url, config=config, crawled_at=raw.crawled_at)
                    texts[ids[raw.url]] = found.text
    return texts


def score(texts: Mapping[str, str], truth: Mapping[str, str]) -> dict[str, float | int | list[float]]:
    """Mean F1 over the pages of the ground truth, and its interval."""
    scores = [f1(texts.get(page, ""), text) for page, text in truth.items()]
    draw = random.Random(0).choices
    means = sorted(sum(draw(scores, k=len(scores))) / len(scores) for _ in range(DRAWS))
    interval = [round(means[int(DRAWS * share)], 4) for share in (0.025, 0.975)]
    return {"f1_pages": len(scores), "f1": round(sum(scores) / len(scores), 4), "f1_interval": interval}


def main() -> None:
    """Print the figures."""
    crawl, what = Path(sys.argv[1]), sys.argv[2]
    with (crawl / "ground_truth.jsonl").open(encoding="utf-8") as lines:
        truth = {row["id"]: row["text"] for row in map(json.loads, lines)}
    if what in ("precise", "fast"):
        texts = ours(crawl, what)
    else:
        with Path(what).open(encoding="utf-8") as lines:
            texts = {row["id"]: row["text"] for row in map(json.loads, lines)}
    print(json.dumps(score(texts, truth)))


if __name__ == "__main__":
    main()
