"""Our deduplication alone: words, shingles, signatures, sketches on disk, all phases, and the kept documents written.

Usage: python -m benchmarks.parts.dedup_ours INPUT.jsonl OUTPUT_FOLDER

Prints ``{"removed": [id, ...], "seconds": {step: CPU seconds}}``. Does what a run does with these modules, without
the run around it: in one process, with the limits of a run, so that the phases have the tasks that they have there.
"""

import json
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import orjson
from datatrove.data import Document

from curation.dedup.config import DedupConfig
from curation.dedup.corpus import Segment
from curation.dedup.decisions import decision_path, load_decisions
from curation.dedup.phases import Limits, Phases
from curation.dedup.sketch import Sketches

PART = 4096
"""Documents of a part."""


def read(path: Path) -> Iterator[dict[str, object]]:
    """The lines of a corpus."""
    with path.open("rb") as file:
        yield from map(orjson.loads, file)


def main() -> None:
    """Run it."""
    source, out = Path(sys.argv[1]), Path(sys.argv[2])
    config, segments = DedupConfig(against=[]), []
    seconds = {}
    marks = [time.process_time()]

    def lap(name: str) -> None:
        marks.append(time.process_time())
        seconds[name] = round(marks[-1] - marks[-2], 3)

    rows = read(source)
    sketches = Sketches(config.near)
    meta = {"raw_file_id": "f", "language": "eng_Latn", "url": None}
    for number in range(sys.maxsize):
        part = list(islice(rows, PART))
        if not part:
            break
        for sequence, row in enumerate(part):
            text = str(row["text"])
            sketches.add(Document(text=text, id=f"{row['id']:032x}", metadata=meta), sequence, len(text))
        path = out / "sketches" / "00000" / f"{number:06d}.safetensors"
        segments.append(Segment(str(path), sketches.save(path, {"eng_Latn": 0})))
    lap("sketch")
    phases = Phases(out / "dedup", segments, config, Limits())
    for phase in phases.phases.values():
        for rank in range(phase.tasks):
            phases.run(phase.name, rank)
        lap(phase.name)
    removed = []
    rows = read(source)
    with (out / "kept.jsonl").open("wb") as kept:
        for segment in segments:
            found = load_decisions(Path(segment.path), decision_path(phases.decisions, segment.path)).removed
            for sequence, row in enumerate(islice(rows, segment.documents)):
                if sequence in found:
                    removed.append(row["id"])
                else:
                    kept.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
    lap("write")
    print(json.dumps({"removed": removed, "seconds": seconds}))


if __name__ == "__main__":
    main()
