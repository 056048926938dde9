"""Lines of chats, and files of them: each bad line costs itself, with its place and reason."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")

from curation.errors import UserError
from tests.training.chat.families import TEMPLATES
from tests.training.chat.tokenizers_made import make, says
from training.chat.examples import ChatEncoder, ChatSet, read_chats
from training.chat.lines import Chat, Refusal, read_file

GOOD = {"messages": says("How many lamps?", "Seven.")}

WRONG: dict[str, tuple[bytes, str, str]] = {
    "blank": (b"", "empty", "blank"),
    "spaces": (b"  \t", "empty", "blank"),
    "no JSON": (b'{"messages": [', "not_json", "is no JSON"),
    "deep": (b'{"messages": ' + b"[" * 100_000, "not_json", "is no JSON"),
    "latin-1": ('{"prompt": "é", "response": "x"}'.encode("latin-1"), "not_utf8", "byte 12"),
    "utf-16": (json.dumps(GOOD).encode("utf-16"), "not_utf8", "byte 0"),
    "half a character": (b'{"prompt": "\\ud83d", "response": "x"}', "not_utf8", "prompt"),
    "a list": (b"[1, 2]", "wrong_type", "not an object"),
    "null": (b"null", "wrong_type", "not an object"),
    "nothing": (b"{}", "no_chat", "neither messages nor prompt"),
    "other names": (b'{"question": "a", "answer": "b"}', "no_chat", "question"),
    "no response": (b'{"prompt": "a"}', "no_chat", "no response"),
    "no prompt": (b'{"response": "a"}', "no_chat", "no prompt"),
    "both": (b'{"messages": [], "prompt": "a"}', "no_chat", "as well"),
    "messages: text": (b'{"messages": "hello"}', "wrong_type", "messages: is a text"),
    "messages: none": (b'{"messages": []}', "empty", "messages: is empty"),
    "message: text": (b'{"messages": ["hello"]}', "wrong_type", "messages[0]"),
    "no role": (b'{"messages": [{"content": "a"}]}', "wrong_type", "messages[0].role"),
    "role: number": (b'{"messages": [{"role": 1, "content": "a"}]}', "wrong_type", "messages[0].role: is a number"),
    "role": (b'{"messages": [{"role": "bot", "content": "a"}]}', "unknown_role", "valid: system, user, assistant"),
    "content: list": (b'{"messages": [{"role": "user", "content": ["a"]}]}', "wrong_type", "messages[0].content"),
    "content: null": (b'{"messages": [{"role": "user", "content": null}]}', "wrong_type", "missing or null"),
    "content: blank": (b'{"messages": [{"role": "user", "content": " "}]}', "empty", "messages[0].content"),
    "response: blank": (b'{"prompt": "a", "response": ""}', "empty", "response"),
    "response: number": (b'{"prompt": "a", "response": 3}', "wrong_type", "response: is a number"),
    "no assistant": (b'{"messages": [{"role": "user", "content": "a"}]}', "no_answer", "no message is of the role"),
    "weight: text": (b'{"prompt": "a", "response": "b", "weight": "1"}', "wrong_weight", "weight"),
    "weight: 0": (b'{"prompt": "a", "response": "b", "weight": 0}', "wrong_weight", "weight"),
    "weight: NaN": (b'{"prompt": "a", "response": "b", "weight": NaN}', "wrong_weight", "weight"),
    "weight: huge": (b'{"prompt": "a", "response": "b", "weight": 1' + b"0" * 400 + b"}", "wrong_weight", "weight"),
    "weight: true": (b'{"prompt": "a", "response": "b", "weight": true}', "wrong_weight", "weight"),
    "pair: list": (b'{"prompt": "a", "response": "b", "pair": ["p"]}', "wrong_pair", "pair"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_line_costs_itself(name: str, tmp_path: Path) -> None:
    raw, reason, says_so = WRONG[name]
    good = json.dumps(GOOD).encode()
    (tmp_path / "c.jsonl").write_bytes(good + b"\n" + raw.replace(b"\n", b"") + b"\n" + good)
    found: list[Chat | Refusal] = []
    facts = read_file(tmp_path / "c.jsonl", 0, found)
    assert (facts.lines, len(found)) == (3, 3)
    first, wrong, last = found
    assert isinstance(first, Chat)
    assert isinstance(last, Chat)
    assert isinstance(wrong, Refusal)
    assert (wrong.line, wrong.offset, wrong.reason) == (2, len(good) + 1, reason)
    assert says_so in wrong.what
    assert last.offset == facts.bytes - len(good)


def test_what_a_line_may_say(tmp_path: Path) -> None:
    lines: list[Any] = [
        {"prompt": "a", "response": "b", "system": "c", "weight": 2, "pair": "p", "id": [1]},
        {"messages": [{"role": "system", "content": ""}, *GOOD["messages"]], "pair": 7},
    ]
    text = "\ufeff" + "\r\n".join(json.dumps(line) for line in lines)
    (tmp_path / "c.jsonl").write_text(text, encoding="utf-8", newline="")
    found: list[Chat | Refusal] = []
    assert read_file(tmp_path / "c.jsonl", 3, found).lines == 2
    first, second = found
    assert isinstance(first, Chat)
    assert isinstance(second, Chat)
    assert [m["role"] for m in first.messages] == ["system", "user", "assistant"]
    assert (first.file, first.weight, first.pair, second.weight, second.pair) == (3, 2.0, "p", 1.0, "7")


def read(tmp_path: Path, lines: list[Any], longest: int = 60, truncate: bool = False) -> ChatSet:
    path = tmp_path / "chats.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return read_chats([path], ChatEncoder(make("byte bpe"), TEMPLATES["chatml"]), longest, truncate)


def test_counts_add_up(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(raw for raw, _, _ in WRONG.values() if b"\n" not in raw))
    (tmp_path / "b.jsonl").write_text((json.dumps(GOOD) + "\n") * 3)
    paths = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    chats = read_chats(paths, ChatEncoder(make("byte bpe"), TEMPLATES["chatml"]), 99, False)
    table = dict(chats.table())
    assert table.pop("lines") == table.pop("used") + sum(table.values())
    assert table == Counter(f"refused: {refusal.reason}" for refusal in chats.refusals)
    assert len(chats.examples) == 3
    assert chats.message(chats.refusals[1]).startswith(f"{tmp_path / 'a.jsonl'}:2: ")


def test_what_is_too_long_is_refused_or_cut_off(tmp_path: Path) -> None:
    long_answer = {"messages": says("How many?", "Seven lamps. " * 40)}
    long_prompt = {"messages": says("How many? " * 40, "Seven.")}
    refused = read(tmp_path, [GOOD, long_answer, long_prompt])
    assert [each.reason for each in refused.refusals] == ["too_long", "too_long"]
    assert "data.truncate" in refused.refusals[0].what
    cut = read(tmp_path, [GOOD, long_answer, long_prompt], truncate=True)
    assert [(each.line, each.tokens) for each in cut.examples if each.line > 1] == [(2, 60)]
    assert cut.examples[1].mask[-1]
    assert ["no answer begins" in each.what for each in cut.refusals] == [True]


def test_pairs_are_two_lines_that_fit_together(tmp_path: Path) -> None:
    def line(pair: str | None, answer: str = "Seven.") -> dict[str, Any]:
        return {"prompt": "How many?", "response": answer, "pair": pair}

    bad = {**line("broken"), "weight": -1}
    long = [line("long", "Seven lamps hang there, I think."), line("long", "Eight lamps hang there, I think.")]
    lines = [line("a"), line("a"), line(None), line("one"), *[line("three")] * 3, line("broken"), bad, *long]
    chats = read(tmp_path, lines)
    assert [each.line for each in chats.examples] == [1, 2, 3]
    reasons = {each.line: each.reason for each in chats.refusals}
    assert reasons == {
        **dict.fromkeys((4, 5, 6, 7, 8), "wrong_pair"),
        9: "wrong_weight",
        **dict.fromkeys((10, 11), "too_long"),
    }


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.jsonl: no such file"):
        read_file(tmp_path / "none.jsonl", 0, [])
    with pytest.raises(UserError, match="cannot be read"):
        read_file(tmp_path, 0, [])
