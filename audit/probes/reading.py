"""Published files, read with errors that name file, line and field."""

import csv
import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from curation.errors import UserError

Row = dict[str, Any]


class Malformed(UserError):
    """A data file does not hold what its published format says."""

    def __init__(self, path: Path, line: int | None, what: str) -> None:
        place = f"{path}" if line is None else f"{path}: line {line}"
        super().__init__(f"{place}: {what}; put the file right, or fetch it again")


def matching(folder: Path, pattern: str) -> list[Path]:
    """Files of a pattern, sorted by name; of ``a|b`` those of both."""
    return [path for each in pattern.split("|") for path in sorted(folder.glob(each)) if path.is_file()]


def find_files(folder: Path, patterns: Sequence[str]) -> list[Path]:
    """Files of these patterns (see ``matching``), sorted by name within each.

    Raises:
        UserError: there is none of some pattern.
    """
    found: list[Path] = []
    for pattern in patterns:
        some = matching(folder, pattern)
        if not some:
            raise UserError(f"{folder}: has no {pattern.replace('|', ' or ')}; put the published file there")
        found += some
    return found


def read_text(path: Path) -> str:
    """A file in UTF-8, with or without a byte order mark.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise Malformed(path, line, f"no UTF-8 ({error.reason})") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); fetch it again") from error


def read_table(path: Path, fields: Sequence[str], delimiter: str = ",") -> Iterator[tuple[int, dict[str, str]]]:
    """(line, row) of a CSV or TSV file with a header; each row has all fields.

    Raises:
        UserError: a field is missing, or a row has too few or too many.
    """
    text = io.StringIO(read_text(path), newline="")
    if delimiter == ",":
        reader = csv.reader(text, strict=True)
    else:
        reader = csv.reader(text, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    try:
        header = next(reader, [])
        for name in fields:
            if name not in header:
                raise Malformed(path, 1, f"has no field {name!r}, only {', '.join(map(repr, header)) or 'nothing'}")
        before = reader.line_num
        for values in reader:
            line, before = before + 1, reader.line_num
            if not values:
                continue
            if len(values) != len(header):
                missing = header[len(values)] if len(values) < len(header) else header[-1]
                raise Malformed(path, line, f"{len(values)} fields, not {len(header)}, near field {missing!r}")
            yield line, dict(zip(header, values, strict=True))
    except csv.Error as error:
        raise Malformed(path, reader.line_num, f"no table ({error})") from error


def read_jsonl(path: Path) -> Iterator[tuple[int, Row]]:
    """(line, object) of each line that is not blank.

    Raises:
        UserError: a line is no JSON object.
    """
    for line, text in enumerate(read_text(path).split("\n"), start=1):
        if text.strip():
            try:
                row = orjson.loads(text)
            except orjson.JSONDecodeError as error:
                raise Malformed(path, line, f"no JSON ({error})") from error
            if not isinstance(row, dict):
                raise Malformed(path, line, f"a JSON {type(row).__name__}, where an object stands")
            yield line, row


def read_json(path: Path) -> Any:
    """A JSON file.

    Raises:
        UserError: it is none; the line is named.
    """
    text = read_text(path)
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Malformed(path, error.lineno, f"no JSON ({error.msg})") from error


def line_of(path: Path, key: str) -> int | None:
    """First line of a JSON file that holds a key or text, for errors."""
    wanted = orjson.dumps(key).decode()
    return next((line for line, text in enumerate(read_text(path).split("\n"), 1) if wanted in text), None)


class Fields:
    """Fields of a row, checked; an error names the file, the line and the field."""

    def __init__(self, path: Path, line: int | None, row: Any, where: str = "") -> None:
        self.path, self.line, self.row, self.where = path, line, row, where

    def text(self, name: str) -> str:
        """Text that is not empty."""
        value = self._get(name, str, "text")
        if not value.strip():
            raise self.wrong(name, "is empty")
        return str(value)

    def integer(self, name: str) -> int:
        """A whole number, or text that is one."""
        value = self._get(name, (int, str), "a whole number")
        try:
            return int(value)
        except ValueError as error:
            raise self.wrong(name, f"{value!r} is no whole number") from error

    def number(self, name: str) -> float:
        """A number, or text that is one."""
        value = self._get(name, (int, float, str), "a number")
        try:
            return float(value)
        except ValueError as error:
            raise self.wrong(name, f"{value!r} is no number") from error

    def one_of(self, name: str, valid: Sequence[str]) -> str:
        """One of the valid values."""
        value = self._get(name, str, "text")
        if value not in valid:
            raise self.wrong(name, f"{value!r}; valid: {', '.join(valid)}")
        return str(value)

    def texts(self, name: str) -> list[str]:
        """A list of texts, none of them empty."""
        value = self._get(name, list, "a list")
        for each in value:
            if not isinstance(each, str) or not each.strip():
                raise self.wrong(name, f"holds {each!r}, where text stands")
        return [str(each) for each in value]

    def within(self, name: str) -> "Fields":
        """The fields of an object that is the value of a field."""
        return Fields(self.path, self.line, self._get(name, dict, "an object"), f"{self.where}{name}.")

    def wrong(self, name: str, what: str) -> Malformed:
        """The error that a field has such a value."""
        return Malformed(self.path, self.line, f"field {self.where + name!r} {what}")

    def _get(self, name: str, kinds: Any, expected: str) -> Any:
        if not isinstance(self.row, dict) or name not in self.row:
            raise self.wrong(name, "is missing")
        value = self.row[name]
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise self.wrong(name, f"is {type(value).__name__}, where {expected} stands")
        return value


def checked(fields: Fields, name: str, check: Callable[[Any], bool], what: str) -> Any:
    """The value of a field that a check accepts.

    Raises:
        UserError: it does not; ``what`` says what stands there.
    """
    value = fields.row.get(name)
    if not check(value):
        raise fields.wrong(name, f"{value!r}, where {what} stands")
    return value


def fingerprint(*parts: str) -> str:
    """A short name made of texts, for units and ids."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
