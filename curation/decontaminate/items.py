"""Items of test sets: JSONL with ``set``, ``item_id`` and ``text``, read and checked."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from curation.errors import UserError
from curation.sources.decompress import MemberError, Source, decompressed

MOST_LINE_BYTES = 32 * 2**20
"""Longer lines are refused, as larger records are quarantined."""


class Item(NamedTuple):
    """One item of a test set."""

    item_set: str
    item_id: str
    text: str


@dataclass(frozen=True, slots=True)
class ItemFile:
    """A file of items."""

    path: Path
    field: str
    """The option that named it, for errors."""

    def digest(self) -> str:
        """sha256 of the file as it is.

        Raises:
            UserError: there is no such file, or it cannot be read.
        """
        try:
            with self.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise UserError(
                f"{self.field}: {self.path}: cannot be read ({error.strerror}); give the path of a file of items, "
                'one JSON object a line: {"set": "...", "item_id": "...", "text": "..."}'
            ) from error

    def items(self) -> Iterator[tuple[int, Item]]:
        """(line, item) of each line that is not blank.

        Raises:
            UserError: a line is no item, or the file is damaged.
        """
        number = 0
        try:
            for number, line in enumerate(_lines(self.path), start=1):
                if line.strip():
                    yield number, self._item(number, line)
        except (MemberError, OSError) as error:
            raise UserError(f"{self.field}: {self.path}: after line {number}: {error}; put the file right") from error

    def _item(self, number: int, line: bytes) -> Item:
        if len(line) > MOST_LINE_BYTES:
            raise self.error(number, f"longer than {MOST_LINE_BYTES:,} bytes; give it in parts")
        try:
            row = orjson.loads(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line)
        except orjson.JSONDecodeError as error:
            raise self.error(number, f"no JSON ({error}); give one JSON object a line") from error
        if not isinstance(row, dict):
            raise self.error(number, f"a JSON {type(row).__name__}, where an object with set, item_id and text stands")
        item_id = row.get("item_id")
        if isinstance(item_id, int) and not isinstance(item_id, bool):
            row["item_id"] = str(item_id)
        for name in Item._fields:
            key = "set" if name == "item_set" else name
            if not isinstance(row.get(key), str) or (key != "text" and not row[key].strip()):
                raise self.error(number, f"{_shown(key, row)}; it must be text{'' if key == 'text' else ', not empty'}")
        return Item(row["set"], row["item_id"], row["text"])

    def error(self, number: int, what: str) -> UserError:
        """An error in one line."""
        return UserError(f"{self.field}: {self.path}: line {number}: {what}")


def _shown(key: str, row: dict[str, Any]) -> str:
    if key not in row:
        return f"{key!r} is missing (keys: {', '.join(map(repr, list(row)[:8])) or 'none'})"
    return f"{key!r} is {ascii(row[key])[:40]}"


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        rest = b""
        for chunk in decompressed(Source(file)):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines
            if len(rest) > MOST_LINE_BYTES:
                break
        yield rest


def read_items(files: Sequence[ItemFile]) -> tuple[list[Item], int]:
    """(items of all files in order, how many lines said again what another had said).

    Raises:
        UserError: a line is no item, two items of a set have the same id and different texts, or there is none.
    """
    found: dict[tuple[str, str], tuple[str, str]] = {}
    repeated = 0
    for file in files:
        for number, item in file.items():
            key = (item.item_set, item.item_id)
            text, where = found.setdefault(key, (item.text, f"line {number} of {file.path}"))
            if text != item.text:
                raise file.error(
                    number,
                    f"item {ascii(item.item_id)[:60]} of set {ascii(item.item_set)[:60]} has another text in {where}; "
                    "give each item an id of its own",
                )
            repeated += where != f"line {number} of {file.path}"
    if files and not found:
        raise UserError(f"{files[0].field}: {', '.join(str(each.path) for each in files)}: holds no item")
    return [Item(*key, text) for key, (text, _) in found.items()], repeated
