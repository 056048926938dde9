"""Texts of the real pages of ``shared/crawl``, extracted by us, once for all tests of a process."""

import json
from functools import cache
from pathlib import Path

from curation.extract import ExtractConfig, TooDeep, TooLarge, extract
from curation.language import Identifier, LanguageConfig
from curation.sources.content import resolve
from curation.sources.warc import read_warc


@cache
def english_texts(crawl: Path) -> tuple[str, ...]:
    """Texts of the English pages of all archives, and the English texts that people marked in them.

    ``fast`` leaves more menus and footers in than ``precise``, which gives the rules more to find.
    """
    config = ExtractConfig(extractor="fast")
    identifier = Identifier(LanguageConfig())
    found = []
    for archive in sorted(crawl.glob("*.warc.gz")):
        with archive.open("rb") as file:
            for record in map(resolve, read_warc(file, "gzip", max_record_bytes=2**25)):
                if record.text is None:
                    continue
                text = record.text
                if record.media == "html":
                    try:
                        text = extract(text, url=record.url, config=config, crawled_at=None).text
                    except (TooLarge, TooDeep):
                        continue
                found.append(text)
    found += [json.loads(line)["text"] for line in (crawl / "ground_truth.jsonl").open(encoding="utf-8")]
    return tuple(text for text in found if text and identifier.identify(text)[0] == "eng_Latn")
