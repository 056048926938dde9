"""Running the phases of deduplication over documents, as a run does, and reading what they decided."""

from collections.abc import Sequence
from pathlib import Path

from datatrove.data import Document

from curation.dedup.columns import Columns
from curation.dedup.config import DedupConfig
from curation.dedup.corpus import Segment
from curation.dedup.decisions import decision_path, load_decisions
from curation.dedup.index import held_segments
from curation.dedup.phases import Limits, Phases
from curation.dedup.sketch import Sketches
from tests.curation.dedup.planted import Outcome


def save_sketches(folder: Path, parts: Sequence[Sequence[Document]], config: DedupConfig) -> list[Segment]:
    """A file of sketches for each part that has documents."""
    segments = []
    for number, documents in enumerate(parts):
        sketches = Sketches(config.near)
        for sequence, document in enumerate(documents):
            sketches.add(document, sequence, 1)
        path = folder / "sketches" / f"{number:05d}" / "000000.safetensors"
        if documents:
            segments.append(Segment(str(path), sketches.save(path, {"eng_Latn": 0})))
    return segments


def run_phases(folder: Path, segments: Sequence[Segment], config: DedupConfig, limits: Limits) -> Phases:
    """All tasks of all phases."""
    phases = Phases(folder, segments, config, limits)
    for phase in phases.phases.values():
        for rank in range(phase.tasks):
            phases.run(phase.name, rank)
    return phases


def decide(
    folder: Path,
    parts: Sequence[Sequence[Document]],
    config: DedupConfig,
    limits: Limits | None = None,
    held: Sequence[Segment] = (),
) -> dict[str, Outcome]:
    """Id -> outcome of every document; sketches and files of phases are left in ``folder``."""
    segments = save_sketches(folder, parts, config)
    run_phases(folder, [*segments, *held], config, limits or Limits())
    outcomes = {}
    for segment, documents in zip(segments, [part for part in parts if part], strict=True):
        found = load_decisions(Path(segment.path), decision_path(folder / "decisions", segment.path))
        for sequence, document in enumerate(documents):
            if sequence in found.removed:
                outcomes[document.id] = Outcome(*found.removed[sequence])
            else:
                outcomes[document.id] = Outcome(None, None, None, found.sizes.get(sequence, 1))
    return outcomes


def index_of(folder: Path, config: DedupConfig) -> list[Segment]:
    """The index that the phases in ``folder`` have left, as a later run sees it."""
    return list(held_segments({"run": folder / "index"}, {"run": {"f"}}, (), config.near))


def compared(folder: Path) -> int:
    """Pairs of which the similarity was looked at."""
    return sum(int(Columns(path).read("compared")[0]) for path in sorted(folder.glob("verify/*.safetensors")))
