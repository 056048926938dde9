"""Association tests in the format of sent-bias."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.audit.probes.samples import Broken, Planted, Sample

_BEGINNINGS = "bro fla gri klu mor pel sta tri vun wex".split()
_SIDES = {"targ1": "nar", "targ2": "nel", "attr1": "dar", "attr2": "del"}
_TESTS = "abcd"
FILE = "weat1.jsonl"


def words_of(test: int) -> dict[str, list[str]]:
    """Eight made-up words a set, of one test alone."""
    return {name: [f"{each}{end}{_TESTS[test]}" for each in _BEGINNINGS[:8]] for name, end in _SIDES.items()}


def write_test(path: Path, sets: Mapping[str, Sequence[str]]) -> None:
    """A test, as it is published: over several lines."""
    row = {name: {"category": name.title(), "examples": list(examples)} for name, examples in sets.items()}
    path.write_text(json.dumps(row, indent=2), encoding="utf-8")


def write(folder: Path, times: int) -> None:
    """Four tests with 64 targets."""
    for number in range(4):
        sets = {name: examples * times for name, examples in words_of(number).items()}
        write_test(folder / f"weat{number + 1}.jsonl", sets)


def vector(text: str) -> np.ndarray[Any, Any]:
    """Sides that are told apart by their words."""
    side = sum(f"ar{test}" in text for test in _TESTS) - sum(f"el{test}" in text for test in _TESTS)
    found: np.ndarray[Any, Any] = 1.5 * side * np.eye(16)[0]
    return found


def broken(file: str) -> Sequence[Broken]:
    """Ways in which the file of a test can be malformed."""

    def changed(change: Callable[[dict[str, Any]], None]) -> Callable[[str], str]:
        def apply(text: str) -> str:
            row = json.loads(text)
            change(row)
            return json.dumps(row, indent=2)

        return apply

    return (
        Broken("no set", file, changed(lambda row: row.pop("attr2")), ["attr2"]),
        Broken("no list", file, changed(lambda row: row["targ1"].update(examples="x")), ["line 2", "targ1.examples"]),
        Broken("empty", file, changed(lambda row: row["attr1"].update(examples=[])), ["line", "attr1.examples"]),
        Broken("no category", file, changed(lambda row: row["targ2"].pop("category")), ["line", "targ2.category"]),
        Broken(
            "both sides",
            file,
            changed(lambda row: row["targ2"]["examples"].append(row["targ1"]["examples"][0])),
            ["line", "targ2.examples", "targ1"],
        ),
        Broken("no JSON", file, lambda text: text.replace(":", ";", 1), ["line 2"]),
    )


SAMPLE = Sample(write, Planted(("effect_size", "effect_size_no_space"), vector=vector), broken(FILE))
