"""Files of items: what may stand in them, and that what is wrong is named by file and line."""

import gzip
from pathlib import Path

import pytest
import zstandard

from curation.decontaminate.items import Item, ItemFile, read_items
from curation.errors import UserError

GOOD = b'{"set": "s", "item_id": 7, "text": "some words that are an item", "more": null}\n'


def read(path: Path, *more: Path) -> tuple[list[Item], int]:
    return read_items([ItemFile(each, "filters.decontaminate.items") for each in (path, *more)])


@pytest.mark.parametrize("packed", [bytes, gzip.compress, zstandard.ZstdCompressor().compress])
def test_files_may_be_compressed(tmp_path: Path, packed: "type[bytes]") -> None:
    path = tmp_path / "items"
    path.write_bytes(packed(b"\xef\xbb\xbf" + GOOD + b"\n" + GOOD))
    assert read(path) == ([Item("s", "7", "some words that are an item")], 1)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b"plain text", "line 2: no JSON"),
        (b"[1, 2]", "line 2: a JSON list"),
        (b'{"set": "s", "text": "x"}', r"line 2: 'item_id' is missing \(keys: 'set', 'text'\)"),
        (b'{"set": "", "item_id": "1", "text": "x"}', "line 2: 'set' is ''; it must be text, not empty"),
        (b'{"set": "s", "item_id": true, "text": "x"}', "line 2: 'item_id' is True"),
        (b'{"set": "s", "item_id": "1", "text": null}', "line 2: 'text' is None"),
        (b'{"set": "s", "item_id": "7", "text": "other words"}', "line 2: item '7' of set 's' has another text in lin"),
        (b'{"set": "s", "item_id": "1", "text": "\xff"}', "line 2: no JSON"),
        (b'{"set": "s", "item_id": "\\ud800", "text": "x"}', "line 2: no JSON"),
    ],
)
def test_a_line_that_is_no_item_is_named(tmp_path: Path, line: bytes, what: str) -> None:
    path = tmp_path / "items.jsonl"
    path.write_bytes(GOOD + line + b"\n")
    with pytest.raises(UserError, match=rf"filters\.decontaminate\.items: .*items\.jsonl: {what}"):
        read(path)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl.gz"
    path.write_bytes(gzip.compress(GOOD * 1000)[:-9])
    with pytest.raises(UserError, match=r"items\.jsonl\.gz: after line \d+: truncated"):
        read(path)
    path.write_bytes(b"\n\n")
    with pytest.raises(UserError, match="holds no item"):
        read(path)
    with pytest.raises(UserError, match="cannot be read"):
        ItemFile(tmp_path / "none", "filters.decontaminate.items").digest()
