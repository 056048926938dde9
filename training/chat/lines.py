"""Chats out of JSON Lines: what each line says, or why it cannot be learned from. One bad line costs one line.

A line is ``{"messages": [{"role": ..., "content": ...}, ...]}`` or ``{"prompt": ..., "response": ...}``, with
``system`` beside these if need be. Both may have ``weight``, a number above 0, and ``pair``, a text that two lines
share; whatever else there is, is left alone.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curation.errors import UserError
from training.text import escaped

ROLES = ("system", "user", "assistant")
_MOST_SHOWN = 80
"""Characters of a wrong value that a message shows."""


@dataclass(frozen=True, slots=True)
class Chat:
    """A line that says what a chat should."""

    file: int
    """Index of its file."""
    line: int
    """Its number there, from 1."""
    offset: int
    """Where it begins, in bytes of the file."""
    messages: tuple[dict[str, str], ...]
    """``role`` and ``content`` each; at least one is of the role assistant."""
    weight: float = 1.0
    pair: str | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A line that is not learned from."""

    file: int
    line: int
    offset: int
    reason: str
    """One word, to count by."""
    what: str
    """What is wrong, and what to do."""


@dataclass(frozen=True, slots=True)
class ChatFile:
    """A file of chats."""

    path: Path
    sha256: str
    bytes: int
    lines: int


class _Wrong(Exception):
    def __init__(self, reason: str, what: str) -> None:
        super().__init__(what)
        self.reason, self.what = reason, what


def read_file(path: Path, number: int, found: list[Chat | Refusal]) -> ChatFile:
    """Append what each line of a file is to ``found``; returns the facts of the file.

    Args:
        number: index of the file among all.

    Raises:
        UserError: there is no such file, or it cannot be read.
    """
    digest = hashlib.sha256()
    offset = lines = 0
    try:
        with path.open("rb") as file:
            for lines, raw in enumerate(file, 1):
                digest.update(raw)
                found.append(_line(raw, number, lines, offset))
                offset += len(raw)
    except FileNotFoundError:
        raise UserError(f"data: {path}: no such file; name a JSONL file of chats") from None
    except OSError as error:
        raise UserError(f"data: {path}: cannot be read ({error.strerror}); name a JSONL file of chats") from error
    return ChatFile(path.absolute(), digest.hexdigest(), offset, lines)


def _line(raw: bytes, file: int, line: int, offset: int) -> Chat | Refusal:
    try:
        value = _parse(raw.removeprefix(b"\xef\xbb\xbf") if line == 1 else raw)
        messages = tuple(_messages(value))
        if not any(message["role"] == "assistant" for message in messages):
            raise _Wrong("no_answer", "no message is of the role assistant; there is nothing to learn, add an answer")
        return Chat(file, line, offset, messages, _weight(value), _pair(value))
    except _Wrong as wrong:
        return Refusal(file, line, offset, wrong.reason, wrong.what)


def _parse(raw: bytes) -> Mapping[str, Any]:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _Wrong(
            "not_utf8", f"byte {error.start} of the line is no UTF-8 ({error.reason}); write the file anew in UTF-8"
        ) from None
    if not text.strip():
        raise _Wrong("empty", "the line is blank; remove it")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _Wrong("not_json", f"is no JSON ({str(error)[:100]}); write one object a line") from None
    if not isinstance(value, dict):
        raise _Wrong("wrong_type", f"is {_kind(value)}, not an object; write {{'messages': [...]}}")
    return value


_PLAIN = {"system": "system", "prompt": "user", "response": "assistant"}
"""Field of a line without ``messages`` -> role of the message that it is."""


def _messages(value: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    turns = value.get("messages")
    if turns is None:
        yield from _plain_messages(value)
        return
    if "prompt" in value or "response" in value:
        raise _Wrong("no_chat", "has messages, and prompt or response as well; leave one of them out")
    if not isinstance(turns, list):
        raise _Wrong("wrong_type", f"messages: is {_kind(turns)}, not a list; write [{{'role': ..., 'content': ...}}]")
    if not turns:
        raise _Wrong("empty", "messages: is empty; remove the line")
    for number, turn in enumerate(turns):
        where = f"messages[{number}]"
        if not isinstance(turn, dict):
            raise _Wrong("wrong_type", f"{where}: is {_kind(turn)}, not an object with role and content")
        role = turn.get("role")
        if not isinstance(role, str):
            raise _Wrong("wrong_type", f"{where}.role: is {_kind(role)}, not a text; valid: {', '.join(ROLES)}")
        if role not in ROLES:
            raise _Wrong("unknown_role", f"{where}.role: unknown role {_shown(role)}; valid: {', '.join(ROLES)}")
        yield _message(role, turn.get("content"), f"{where}.content")


def _plain_messages(value: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    if value.get("prompt") is None and value.get("response") is None:
        raise _Wrong("no_chat", f"has neither messages nor prompt and response, but {_names(value)}; rename them")
    for name in ("prompt", "response"):
        if name not in value:
            raise _Wrong("no_chat", f"has no {name}; give prompt and response, or messages")
    for name, role in _PLAIN.items():
        if name in value:
            yield _message(role, value[name], name)


def _message(role: str, content: object, name: str) -> dict[str, str]:
    if not isinstance(content, str):
        raise _Wrong("wrong_type", f"{name}: is {_kind(content)}, not a text; write it as one")
    if not content.strip() and role != "system":
        raise _Wrong("empty", f"{name}: is empty; write a text, or remove the line")
    try:
        content.encode()
    except UnicodeEncodeError:
        raise _Wrong("not_utf8", f"{name}: has half of a surrogate pair, which is no character; repair it") from None
    return {"role": role, "content": content}


def _weight(value: Mapping[str, Any]) -> float:
    weight = value.get("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        raise _Wrong("wrong_weight", f"weight: is {_kind(weight)}, not a number; give one above 0, or leave it out")
    try:
        number = float(weight)
    except OverflowError:
        number = math.inf
    if not 0 < number < math.inf:
        raise _Wrong("wrong_weight", f"weight: {number} is no good; give a finite number above 0, or remove the line")
    return number


def _pair(value: Mapping[str, Any]) -> str | None:
    pair = value.get("pair")
    if pair is None:
        return None
    if isinstance(pair, bool) or not isinstance(pair, str | int) or pair == "":
        raise _Wrong("wrong_pair", f"pair: is {_kind(pair)}, not a text; give both lines of a pair the same, or none")
    return str(pair)


def _kind(value: object) -> str:
    if value is None:
        return "missing or null"
    kinds = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "a text",
        list: "a list",
        dict: "an object",
    }
    return f"{kinds[type(value)]} ({_shown(value)})"


def _shown(value: object) -> str:
    text = str(escaped(value if isinstance(value, str) else json.dumps(value)))
    return repr(text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}...")


def _names(value: Mapping[str, Any]) -> str:
    return ", ".join(_shown(name) for name in list(value)[:8]) or "nothing"
