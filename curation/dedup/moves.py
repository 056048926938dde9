"""The decisions of deduplication as verdicts on a part's documents (``curation.verdicts`` carries them out).

Paths: the sketches and decisions of the part ``scratch/parts/R/N.parquet`` are
``scratch/sketches/R/N.safetensors`` and ``scratch/dedup/decisions/R/N.safetensors``.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from curation.dedup.columns import Columns
from curation.dedup.decisions import STEP, load_decisions
from curation.dedup.sketch import id_text


def sketch_path(part: Path | str) -> Path:
    """The sketches of a part."""
    path = Path(part)
    return path.parents[2] / "sketches" / path.parent.name / f"{path.stem}.safetensors"


def dedup_verdicts(part: Path) -> Iterator[tuple[int, int, int, str, str | None, str | None, dict[str, Any]]]:
    """What was decided about a part: (sequence, row group, weight, id, step, reason, columns) of each document that
    goes, and of each that others go for."""
    sketch = sketch_path(part)
    decisions = sketch.parents[2] / "dedup" / "decisions" / sketch.parent.name / sketch.name
    if not decisions.exists():
        return
    found, sketches = load_decisions(sketch, decisions), Columns(sketch)
    names = ("sequence", "piece", "weight")
    sequences, pieces, weights = (sketches.read(name).tolist() for name in names)
    ids_N2 = sketches.read("ids")
    for sequence, piece, weight, id_2 in zip(sequences, pieces, weights, ids_N2, strict=True):
        if sequence in found.removed:
            reason, original, jaccard, size = found.removed[sequence]
            told = {"duplicate_of": original, "jaccard": jaccard, "cluster_size": size}
            yield sequence, piece, weight, id_text(id_2), STEP, reason, told
        elif sequence in found.sizes:
            yield sequence, piece, weight, id_text(id_2), None, None, {"cluster_size": found.sizes[sequence]}
