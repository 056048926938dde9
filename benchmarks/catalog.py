"""Two processes that write records and three that read the catalog: does anybody wait?

Usage: python benchmarks/catalog.py [SECONDS]   (default 20)

Prints how many records were written and questions answered, and the longest that one writer and one reader
waited. The baseline is the bound that users feel: one second. Lost records would be an error, not a figure.
"""

import json
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # before this folder, whose curation.py hides ours

from curation.catalog import open_catalog, rows
from curation.records import FilterCount
from curation.workspace import Workspace


def write(root: str, seconds: float, told: Any) -> None:
    """Write a record every 10 ms or so; tell how many, and the longest and mean wait."""
    workspace, waits = Workspace(root), []
    end = time.monotonic() + seconds
    while (began := time.monotonic()) < end:
        fact = FilterCount(run_id="r", step="s", reason="r", language="und", documents=1, bytes=0)
        workspace.write([fact])
        waits.append(time.monotonic() - began)
        time.sleep(0.01)
    told.put(("writer", len(waits), max(waits), sum(waits) / len(waits)))


def read(root: str, seconds: float, told: Any) -> None:
    """Ask for a sum over all records every 50 ms or so."""
    workspace, waits = Workspace(root), []
    end = time.monotonic() + seconds
    while (began := time.monotonic()) < end:
        with open_catalog(workspace) as connection:
            rows(connection, "SELECT sum(documents) FROM filter_count")
        waits.append(time.monotonic() - began)
        time.sleep(0.05)
    told.put(("reader", len(waits), max(waits), sum(waits) / len(waits)))


def main() -> None:
    """Print the table and the JSON line."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    context = multiprocessing.get_context("spawn")
    told: Any = context.Queue()
    with tempfile.TemporaryDirectory() as root:
        Workspace(root).write([FilterCount(run_id="r", step="s", reason="r", language="und", documents=0, bytes=0)])
        processes = [context.Process(target=write, args=(root, seconds, told)) for _ in range(2)]
        processes += [context.Process(target=read, args=(root, seconds, told)) for _ in range(3)]
        for process in processes:
            process.start()
        results = sorted(told.get(timeout=seconds + 60) for _ in processes)
        for process in processes:
            process.join()
        with open_catalog(Workspace(root)) as connection:
            stored = int(rows(connection, "SELECT sum(documents)::BIGINT AS n FROM filter_count")[0]["n"])
    written = sum(count for kind, count, _, _ in results if kind == "writer")
    if stored != written:
        raise SystemExit(f"{written} records were written, the catalog holds {stored}")
    print(f"{'process':<10}{'operations':>12}{'longest s':>12}{'mean s':>10}")
    for kind, count, longest, mean in results:
        print(f"{kind:<10}{count:>12,}{longest:>12.3f}{mean:>10.4f}")
    longest = {name: round(max(r[2] for r in results if r[0] == name), 4) for name in ("writer", "reader")}
    print(json.dumps({"benchmark": "catalog", "seconds": seconds, "records": stored, "longest_wait_s": longest}))


if __name__ == "__main__":
    main()
