"""datatrove's four stages of MinHash over JSONL, as its example has them, by its own executor with one worker.

Run by ``benchmarks/dedup.py`` in an environment of its own, which holds none of our code:

    python dedup_stock.py INPUT_FOLDER OUTPUT_FOLDER

Prints ``{"removed": [id, ...]}``.
"""

import gzip
import json
import sys
from pathlib import Path
from typing import Any

from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.dedup import (
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter

MINHASH = MinhashConfig(num_buckets=14, hashes_per_bucket=8, n_grams=5)
"""The values of the FineWeb paper (https://arxiv.org/abs/2406.17557, section 3.4)."""


def run(pipeline: list[Any], logs: Path, tasks: int = 1) -> None:
    """One stage, its tasks one after the other."""
    LocalPipelineExecutor(pipeline, tasks=tasks, workers=1, logging_dir=str(logs)).run()


def main() -> None:
    """Run the stages."""
    source, out = sys.argv[1], Path(sys.argv[2])
    texts = JsonlReader(source, glob_pattern="*.jsonl")
    signatures, buckets, numbers = (str(out / name) for name in ("signatures", "buckets", "numbers"))
    run([texts, MinhashDedupSignature(signatures, config=MINHASH)], out / "logs/1")
    run([MinhashDedupBuckets(signatures, buckets, config=MINHASH)], out / "logs/2", MINHASH.num_buckets)
    run([MinhashDedupCluster(buckets, numbers, config=MINHASH)], out / "logs/3")
    gone = JsonlWriter(str(out / "removed"))
    run([texts, MinhashDedupFilter(numbers, exclusion_writer=gone), JsonlWriter(str(out / "kept"))], out / "logs/4")
    removed = []
    for path in sorted((out / "removed").glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            removed += [int(json.loads(line)["id"]) for line in lines]
    print()  # the log's colours end in the line before
    print(json.dumps({"removed": removed}))


if __name__ == "__main__":
    main()
