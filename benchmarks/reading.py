"""How fast raw archives are read: records/s and MB/s of our WARC reader beside warcio and fastwarc.

Usage: python benchmarks/reading.py [WARC ...]   (default: a crawl of the demo site, made on the spot)

All three decompress, parse headers and read every payload; ours also verifies checksums, undoes transfer and
content encodings, tells documents from what is none, and recovers from damage. The baseline is warcio, which
datatrove's reader is built on. Payload bytes are shown beside, so that a reader that reads less shows; ours
counts them with encodings undone, and without images and error pages.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # before this folder, whose curation.py hides ours

REPEATS = 3


def ours(path: Path) -> tuple[int, int]:
    """(records, payload bytes) by curation.sources.warc."""
    from curation.sources.warc import read_warc

    records = size = 0
    with path.open("rb") as file:
        for record in read_warc(file, "gzip", max_record_bytes=2**25):
            records += 1
            size += len(record.body or b"")
    return records, size


def by_warcio(path: Path) -> tuple[int, int]:
    """The same by warcio."""
    from warcio.archiveiterator import ArchiveIterator

    records = size = 0
    with path.open("rb") as file:
        for record in ArchiveIterator(file):
            records += 1
            body = record.raw_stream.read()  # undoing brotli fails in warcio 1.8
            size += len(body) if record.rec_type == "response" else 0
    return records, size


def by_fastwarc(path: Path) -> tuple[int, int]:
    """The same by fastwarc."""
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    records = size = 0
    with path.open("rb") as file:
        for record in ArchiveIterator(file):
            records += 1
            body = record.reader.read()
            size += len(body) if record.record_type == WarcRecordType.response else 0
    return records, size


def measure(read: Callable[[Path], tuple[int, int]], paths: Iterable[Path]) -> tuple[int, int, float]:
    """(records, payload bytes, best CPU seconds of ``REPEATS``) over all files."""
    best = float("inf")
    records = size = 0
    for _ in range(REPEATS):
        began = time.process_time()
        counts = [read(path) for path in paths]
        best = min(best, time.process_time() - began)
        records, size = sum(c[0] for c in counts), sum(c[1] for c in counts)
    return records, size, best


def main() -> None:
    """Print the table and the JSON line."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(argument) for argument in sys.argv[1:]]
        if not paths:
            from curation.demo import site
            from curation.demo.crawl import crawl, serve

            paths = [Path(folder) / "demo.warc.gz"]
            with serve(site.build()) as address:
                crawl(address, paths[0])
        figures = {}
        for name, read in (("warcio", by_warcio), ("fastwarc", by_fastwarc), ("ours", ours)):
            records, size, seconds = measure(read, paths)
            figures[name] = {"records": records, "payload_bytes": size, "cpu_s": round(seconds, 4)}
    base = figures["warcio"]["cpu_s"]
    print(f"{'reader':<10}{'records':>10}{'payload MB':>12}{'CPU s':>9}{'records/s':>12}{'x warcio':>10}")
    for name, row in figures.items():
        row["ratio"] = round(base / row["cpu_s"], 2)
        rate = row["records"] / row["cpu_s"]
        print(
            f"{name:<10}{row['records']:>10,}{row['payload_bytes'] / 1e6:>12.1f}{row['cpu_s']:>9.3f}"
            f"{rate:>12,.0f}{row['ratio']:>10.2f}"
        )
    print(json.dumps({"benchmark": "reading", "files": len(paths), "readers": figures}))


if __name__ == "__main__":
    main()
