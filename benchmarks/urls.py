"""What a list of 4.56 million domains costs: our compiled, mapped list beside datatrove's sets of strings.

Usage: python benchmarks/urls.py

Both take the list that datatrove ships, and each runs in a process of its own: CPU seconds until the first URL can
be judged (ours: once a run, and then again in each worker), private memory that one worker needs for it after
judging 100,000 URLs, and microseconds a URL. datatrove splits hosts with tldextract, ours with its own few lines.
"""

import json
import mmap
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # before this folder, whose curation.py hides ours

from curation.domains import BUILT_IN, find_source
from curation.filters import open_filters, prepare_filters

URLS = [f"https://www.site{n}.example.com/{n % 1000}/section/page-{n}.html" for n in range(100_000)]
OPTIONS: dict[str, Any] = {"url": {"block": [BUILT_IN]}}


def ours(cache: Path) -> Callable[[Any], Any]:
    """The filter ``url``, its list compiled already."""
    (each,) = open_filters(OPTIONS, cache, prepare_filters(OPTIONS, cache))
    return lambda document: each.reason(each.score(document))


def theirs(cache: Path) -> Callable[[Any], Any]:
    """datatrove's ``URLFilter``, with its lists of domains and URLs but without its lists of words."""
    import tldextract
    from datatrove.pipeline.filters import URLFilter

    with tarfile.open(find_source(BUILT_IN, "").paths[0]) as archive:
        archive.extractall(cache, filter="data")
    with (cache / "domains").open() as domains, (cache / "urls").open() as urls:
        found = URLFilter(extra_domains=domains, extra_urls=urls, use_integrated_lists=False)
    found.tldextractor = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    return found.filter


def worker(which: str, cache: Path) -> None:
    """Measure in this process, and print the result as JSON."""
    from datatrove.data import Document

    documents = [Document(text="", id="", metadata={"url": url}) for url in URLS]
    before, began = psutil.Process().memory_full_info().uss, time.process_time()
    judge = {"ours": ours, "theirs": theirs}[which](cache)
    ready = time.process_time()
    for document in documents:
        judge(document)
    done, after = time.process_time(), psutil.Process().memory_full_info().uss
    print(json.dumps([ready - began, after - before, (done - ready) / len(documents)]))


def main() -> None:
    """Compile, then run both."""
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        began = time.process_time()
        prepare_filters(OPTIONS, cache)
        print(f"compiled once, in {time.process_time() - began:.1f} CPU-s")
        (compiled,) = (cache / "url_lists").iterdir()
        print(f"{compiled.stat().st_size / 2**20:.0f} MiB on disk")
        with compiled.open("rb") as file:
            other_worker = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        sum(other_worker[:: mmap.PAGESIZE])  # maps each page, so that what the worker shares is not its own
        print(f"{'':<10}{'ready, CPU-s':>14}{'own memory, MiB':>18}{'us a URL':>12}")
        for which in ("ours", "theirs"):
            line = [sys.executable, __file__, which, folder]
            done = subprocess.run(line, capture_output=True, text=True, check=True)
            ready, memory, each = json.loads(done.stdout.splitlines()[-1])
            print(f"{which:<10}{ready:>14.2f}{memory / 2**20:>18.1f}{1e6 * each:>12.1f}")


if __name__ == "__main__":
    worker(sys.argv[1], Path(sys.argv[2])) if len(sys.argv) > 1 else main()
