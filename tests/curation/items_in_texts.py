"""Documents that hold items, changed or not, for tests and benchmarks of decontamination."""

import json
import random
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from datatrove.data import Document

from curation.decontaminate.compiling import compile_items
from curation.decontaminate.index import Index
from curation.decontaminate.items import Item
from curation.decontaminate.matching import Match, find
from curation.decontaminate.units import document_words

Change = Literal["replace", "remove", "add", "any"]


def index_of(items: Iterable[Item], folder: Path, min_words: int = 6) -> Index:
    """The index of some items, in a file of the folder."""
    data = compile_items(list(items), min_words)
    path = folder / f"{random.Random(data).getrandbits(64):x}.items"
    path.write_bytes(data)
    return Index(path)


def matches(index: Index, text: str, language: str = "eng_Latn") -> list[Match]:
    """What a document with this text holds."""
    document = Document(text=text, id="x", metadata={"language": language})
    hits, found = find(index, document_words(document, letters=index.letters))
    assert hits >= len(found)
    return found


def write_items(path: Path, items: Iterable[Item]) -> Path:
    """A file of items."""
    rows = ({"set": item.item_set, "item_id": item.item_id, "text": item.text} for item in items)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def changed(words: Sequence[str], others: Sequence[str], change: Change, chance: random.Random) -> list[str]:
    """One word in six, at random places, replaced by another, removed, or one added beside it."""
    return changed_at(words, chance.sample(range(len(words)), max(1, len(words) // 6)), others, change, chance)


def changed_at(
    words: Sequence[str], places: Iterable[int], others: Sequence[str], change: Change, chance: random.Random
) -> list[str]:
    """The words with those at some places changed."""
    found = list(words)
    for place in sorted(places, reverse=True):
        how = chance.choice(["replace", "remove", "add"]) if change == "any" else change
        other = [] if how == "remove" else [chance.choice(others)]
        found[place : place + (how != "add")] = other
    return found


def embedded(words: Sequence[str], text: str, chance: random.Random) -> str:
    """The words within a text: at its beginning, its end, or anywhere between two of its words."""
    around = re.split(r"(?<=\s)", text)
    at = chance.choice([0, len(around), chance.randrange(len(around) + 1)])
    return "".join(around[:at]) + " " + " ".join(words) + " " + "".join(around[at:])
