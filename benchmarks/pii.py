"""Personal data and licences: how well they are found, and what looking for them costs.

Usage: python benchmarks/pii.py [WARC ...]   (default: the archives of ../shared/crawl, else a demo crawl)

How well: precision and recall for each kind on the marked cases of ``tests/curation/pii_cases.txt``, exact ends of
spans asked for. Cases and rules are by the same hand, and the rules were corrected on the cases: the table shows
regressions, and is no promise for the web. Measured once, before anything was changed, were

- 556 cases, on which the rules had not been tried: precision .96 (ip) to 1.00, recall .91 (key), .94 (phone), .96 (ip),
  .97 (card), .99 (national_id), 1.00 (email, iban);
- 98 more, written after these corrections: precision 1.00 for all, recall .94 of phone (48 of 51; one of the three
  was no possible number), 1.00 of email, ip, card and key (6, 3, 1, 4); of 3 national numbers 1, the others having
  been written down with wrong check digits.

``matcher`` is ``phonenumbers``' own matcher run over whole texts, with each leniency and the first region of a case's
language; it says why ours looks at words and groups too.

What it costs: CPU milliseconds a page on the texts of real pages, those without personal data and those with some, of
datatrove's PIIFormatter (e-mail and IP alone) and of the matcher on the same texts. One core of a shared 2-core
machine, 720 pages in 27 languages: 0.22 ms a page without personal data (4,048 characters; 0.16 for 3,000), 1.5 ms a
page with some (two looks, and phonenumbers), datatrove's 0.26, the matcher alone 0.61. ``hostile``: the slowest of some
texts of 100,000 characters; time grows with their length alone.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # before this folder, whose curation.py hides ours

from curation.page_license import license_of_html
from curation.pii import KINDS, PiiConfig, find
from curation.pii.phones import regions_of
from curation.pii.spans import plain

ROOT = Path(__file__).resolve().parents[1]
REPEATS = 3
HOSTILE = (
    "030 1234567 / ",
    "phone 4155552671 ",
    "+49 30 1234567 ",
    "12345678:AA",
    "1.2.3.4 ",
    "a@b.c",
    "1",
    "@",
    "+",
    "a",
)
Page = tuple[str, str, str]
"""(language, text, HTML or empty)."""


def pages_of(paths: Sequence[Path]) -> list[Page]:
    """The pages of archives."""
    from curation.extract import ExtractConfig, TooDeep, TooLarge, extract
    from curation.language import Identifier, LanguageConfig
    from curation.sources.content import resolve
    from curation.sources.warc import read_warc

    identifier, config = Identifier(LanguageConfig()), ExtractConfig(extractor="fast")
    found = []
    for path in paths:
        with path.open("rb") as file:
            for record in map(resolve, read_warc(file, "gzip", max_record_bytes=2**25)):
                if not record.text:
                    continue
                text, html = record.text, ""
                if record.media == "html":
                    try:
                        text, html = extract(text, url=record.url, config=config, crawled_at=None).text, text
                    except (TooLarge, TooDeep):
                        continue
                if text:
                    found.append((identifier.identify(text)[0], text, html))
    return found


def milliseconds(work: Callable[[Page], object], pages: Sequence[Page], repeats: int = REPEATS) -> float:
    """CPU milliseconds a page, the best of some repeats; 0 without pages."""
    best = float("inf")
    for _ in range(repeats):
        began = time.process_time()
        for page in pages:
            work(page)
        best = min(best, time.process_time() - began)
    return 1000 * best / len(pages) if pages else 0.0


def matcher_alone() -> dict[str, tuple[float, float]]:
    """Leniency -> precision and recall of phonenumbers' matcher alone, on the cases."""
    from phonenumbers import Leniency, PhoneNumberMatcher

    from tests.curation.pii_cases import cases

    result = {}
    for name in ("VALID", "STRICT_GROUPING", "EXACT_GROUPING"):
        right = wrong = missed = 0
        for case in cases():
            region = next(iter(regions_of(case.language, [])), None)
            found = {
                (each.start, each.end)
                for each in PhoneNumberMatcher(plain(case.text), region, leniency=getattr(Leniency, name))
            }
            marked = {(each.start, each.end) for each in case.spans if each.kind == "phone"}
            right, wrong = right + len(found & marked), wrong + len(found - marked)
            missed += len(marked - found)
        result[name] = (right / (right + wrong), right / (right + missed))
    return result


def main() -> None:
    """Print the tables and the JSON line."""
    from datatrove.pipeline.formatters import PIIFormatter
    from phonenumbers import PhoneNumberMatcher

    from tests.curation.pii_cases import cases, scores

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
        pages = pages_of(paths)

    config = PiiConfig()
    judged = cases()
    table, lines = scores(judged)
    print(f"{len(judged)} cases in {len({each.language for each in judged})} languages, "
          f"{sum(not each.spans for each in judged)} of them without personal data")  # fmt: skip
    print(f"{'kind':<14}{'marked':>8}{'precision':>11}{'recall':>9}")
    for kind in KINDS:
        score = table[kind]
        print(f"{kind:<14}{score.right + score.missed:>8}{score.precision:>11.3f}{score.recall:>9.3f}")
    for line in lines:
        print(f"  {line}")
    alone = matcher_alone()
    for name, (precision, recall) in alone.items():
        print(f"phone, phonenumbers' matcher alone, {name:<16}{precision:>7.3f}{recall:>9.3f}")

    def ours(page: Page) -> object:
        return find(page[1], page[0], config)

    def matcher(page: Page) -> object:
        return list(PhoneNumberMatcher(page[1], next(iter(regions_of(page[0], [])), None)))

    formatter = PIIFormatter()
    with_data = [page for page in pages if ours(page)]
    without = [page for page in pages if not ours(page)]
    htmls = [page for page in pages if page[2]]
    silent = [page for page in htmls if "icense" not in page[2]]
    size = sum(len(page[1]) for page in without) / max(1, len(without))
    work: dict[str, tuple[Callable[[Page], object], list[Page]]] = {
        "without personal data": (ours, without),
        "with personal data": (ours, with_data),
        "datatrove: e-mail and IP": (lambda page: formatter.format(page[1]), pages),
        "matcher alone: telephone": (matcher, pages),
        "licence, none mentioned": (lambda page: license_of_html(page[2]), silent),
        "licence, all HTML": (lambda page: license_of_html(page[2]), htmls),
    }
    costs = {name: milliseconds(do, some, 1 if "matcher" in name else REPEATS) for name, (do, some) in work.items()}
    print(f"{len(pages)} pages; CPU ms a page; {size:,.0f} characters where there is no personal data")
    for name, cost in costs.items():
        print(f"{name:<28}{len(work[name][1]):>7}{cost:>9.3f}")
    hostile = {unit: milliseconds(ours, [("eng_Latn", unit * (100_000 // len(unit)), "")], 1) for unit in HOSTILE}
    slowest = max(hostile, key=lambda unit: hostile[unit])
    print(f"hostile, 100,000 characters  {slowest!r:>18}{hostile[slowest]:>9.0f}")
    figures = {
        "kinds": {kind: [round(table[kind].precision, 4), round(table[kind].recall, 4)] for kind in KINDS},
        "matcher_alone": {name: [round(each, 4) for each in pair] for name, pair in alone.items()},
        "ms": {name: round(cost, 4) for name, cost in costs.items()},
        "characters_without": round(size),
        "hostile_ms": round(hostile[slowest]),
    }
    print(json.dumps({"benchmark": "pii", "cases": len(judged), "pages": len(pages), **figures}))


if __name__ == "__main__":
    main()
