"""The stock recipe: datatrove's own blocks as in its FineWeb example, by datatrove's own executor, one worker.

Run by ``benchmarks/curation.py`` in an environment of its own, which holds none of our code:

    python stock.py INPUT_FOLDER OUTPUT_FOLDER LID_MODEL              the recipe; prints survivors as JSON
    python stock.py INPUT_FOLDER OUTPUT_FOLDER LID_MODEL --extract    extraction alone: texts by record id, JSONL

Left out of that example, in the recipe's favour: the URL filter (its list takes 741 MiB in each process), the
writers of what filters remove, token counts and personal data. Its language model is a download; here it is
lid.176.ftz, the compressed form of the same model. All else is a default, two of which cost it documents: a
page whose extraction takes more than a second of wall time is skipped, and trafilatura compares paragraphs
with those of earlier pages.
"""

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
from datatrove.pipeline.extractors import Trafilatura
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
    LanguageFilter,
)
from datatrove.pipeline.readers import JsonlReader, WarcReader
from datatrove.pipeline.writers import JsonlWriter
from datatrove.utils.lid import FastTextLID

MINHASH = MinhashConfig(num_buckets=14, hashes_per_bucket=8, n_grams=5)
"""The values of the FineWeb paper (https://arxiv.org/abs/2406.17557, section 3.4)."""


def language_filter(model: str) -> LanguageFilter:
    """datatrove's filter at its default threshold, with a model that is a file here."""

    class Local(FastTextLID):
        MODEL_URL = model
        MODEL_SUBFOLDER = "local"

    block = LanguageFilter()
    block.model = Local()
    return block


def run(pipeline: list[Any], logs: Path, tasks: int = 1) -> None:
    """One stage, its tasks one after the other."""
    LocalPipelineExecutor(pipeline, tasks=tasks, workers=1, logging_dir=str(logs)).run()


def recipe(source: str, out: Path, model: str) -> None:
    """Extraction and filters, then the four stages of MinHash."""
    filters = [
        language_filter(model),
        GopherRepetitionFilter(),
        GopherQualityFilter(),
        C4QualityFilter(filter_no_terminal_punct=False),
        FineWebQualityFilter(),
    ]
    reader = WarcReader(source, glob_pattern="*.warc.gz")
    run([reader, Trafilatura(favour_precision=True), *filters, JsonlWriter(str(out / "filtered"))], out / "logs/1")
    texts = JsonlReader(str(out / "filtered"))
    signatures, buckets, removed = (str(out / name) for name in ("signatures", "buckets", "removed"))
    run([texts, MinhashDedupSignature(signatures, config=MINHASH)], out / "logs/2")
    run([MinhashDedupBuckets(signatures, buckets, config=MINHASH)], out / "logs/3", MINHASH.num_buckets)
    run([MinhashDedupCluster(buckets, removed, config=MINHASH)], out / "logs/4")
    run([texts, MinhashDedupFilter(removed), JsonlWriter(str(out / "kept"))], out / "logs/5")


def forwarded(logs: Path) -> list[tuple[str, int]]:
    """(block, documents that it passed on) of a stage, from its statistics."""
    blocks = json.loads((logs / "stats.json").read_text("utf-8"))
    return [(block["name"], block["stats"]["forwarded"]) for block in blocks if "forwarded" in block["stats"]]


def main() -> None:
    """Run what the command line asks for."""
    source, out, model = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    if "--extract" in sys.argv:
        reader = WarcReader(source, glob_pattern="*.warc.gz")
        texts = JsonlWriter(str(out / "texts"), compression=None)
        run([reader, Trafilatura(favour_precision=True), texts], out / "logs/extract")
        return
    recipe(source, out, model)
    passed = [*forwarded(out / "logs/1"), *forwarded(out / "logs/5")]
    print()  # the log's colours end in the line before
    print(json.dumps({"passed": passed, "kept": passed[-1][1]}))


if __name__ == "__main__":
    main()
