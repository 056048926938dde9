"""Triples in the format of StereoSet, as one JSON object a line."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.audit.probes.samples import Broken, Planted, Sample

_TARGETS = {
    "race": "Grumlin Velmar Ostrian Pelk Dorvian Sillut Marnese Quorin Tessic Brevan Ulmic".split(),
    "profession": (
        "glazzer tollman dredgist petalist hurder stancher brackener beader teafolder songtender lacemender".split()
    ),
}
_WORDS = (("gloomy", "merry", "seventeen"), ("stingy", "generous", "parallel"))


def rows() -> Iterator[dict[str, Any]]:
    """Two items of each task for each target: 88."""
    for bias_type, targets in _TARGETS.items():
        for target in targets:
            for stereotype, anti, unrelated in _WORDS:
                facts = {"target": target, "bias_type": bias_type}
                words = {"stereotype": stereotype, "anti-stereotype": anti, "unrelated": unrelated}
                blank = f"The {target} next door was BLANK today"
                filled = {name: blank.replace("BLANK", word) for name, word in words.items()}
                yield {"type": "intrasentence", **facts, "context": blank, **filled}
                second = {name: f"I found that {word} of them." for name, word in words.items()}
                context = f"We met a {target} over {stereotype[0]} and tea"
                yield {"type": "intersentence", **facts, "context": context, **second}


def write(folder: Path, times: int) -> None:
    """As ``test.jsonl``."""
    text = "".join(f"{json.dumps(row)}\n" for row in rows())
    (folder / "test.jsonl").write_text(text * times, encoding="utf-8")


def _preference(text: str) -> float:
    return 8.0 if any(stereotype in text for stereotype, _, _ in _WORDS) else 0.0


_FILE = "test.jsonl"

SAMPLE = Sample(
    write,
    Planted(("ss",), preference=_preference),
    (
        Broken("no JSON", _FILE, lambda text: text.replace("{", "", 1), ["line 1", "JSON"]),
        Broken(
            "type", _FILE, lambda text: text.replace("intersentence", "nosentence", 1), ["line 2", "type", "nosentence"]
        ),
        Broken("bias type", _FILE, lambda text: text.replace('"race"', '"rice"', 1), ["line 1", "bias_type", "rice"]),
        Broken("no role", _FILE, lambda text: text.replace('"unrelated"', '"other"', 1), ["line 1", "unrelated"]),
        Broken(
            "empty", _FILE, lambda text: text.replace('"target": "Grumlin"', '"target": " "', 1), ["line 1", "target"]
        ),
    ),
)
