"""What ``--dry-run`` prints."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from curation.config import CurationConfig, to_dict
from curation.dedup.similarity import match_curve
from curation.plan import plan_raw

if TYPE_CHECKING:
    from curation.sources.discover import IdentifiedFile


def configuration(config: CurationConfig) -> str:
    """The resolved configuration as YAML, and how likely it is that near-duplicates are found."""
    import yaml

    text: str = yaml.safe_dump(to_dict(config), sort_keys=False, allow_unicode=True)
    near = config.dedup.near
    if near.enabled:
        curve = match_curve(near.bands, near.rows, near.threshold)
        text += f"\nnear-duplicates ({near.bands} bands of {near.rows}, threshold {near.threshold}):\n{curve}\n"
    return text


def input_table(files: Sequence["IdentifiedFile"], config: CurationConfig, limit: int | None) -> str:
    """Files and bytes by format, and in how many tasks they would be read."""
    groups: dict[tuple[str, str], list[int]] = {}
    for file in files:
        counts = groups.setdefault((file.format, file.compression), [0, 0])
        counts[0] += 1
        counts[1] += file.bytes
    lines = [f"{'format':<12}{'compression':<14}{'files':>10}{'bytes':>18}"]
    for (name, compression), (count, size) in sorted(groups.items()):
        lines.append(f"{name:<12}{compression or '-':<14}{count:>10,}{size:>18,}")
    readable = [file for file in files if file.copy_of is None]
    tasks = plan_raw(readable, config.read, limit)
    lines.append(f"{len(files)} files, {len(files) - len(readable)} of them copies, in {len(tasks)} tasks")
    return "\n".join(lines)
