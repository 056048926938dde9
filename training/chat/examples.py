"""Chats as examples: token ids, and which of them are learned, of every line that can be learned from."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from curation.errors import UserError
from training.chat.lines import Chat, ChatFile, Refusal, read_file
from training.chat.templates import ChatTemplate, TemplateRefusal
from training.text import escaped

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Example:
    """A line that is learned from."""

    file: int
    line: int
    offset: int
    ids: Array
    """int32 [T]."""
    mask: Array
    """bool [T]: what is learned, the first token never."""
    weight: float
    pair: str | None

    @property
    def tokens(self) -> int:
        """T."""
        return len(self.ids)


class Encoded(NamedTuple):
    """A chat as tokens."""

    text: str
    ids: Array
    mask: Array


class ChatEncoder:
    """A tokenizer and a template."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", source: str, last_turn: bool = False) -> None:
        """
        Args:
            tokenizer: one of Hugging Face's tokenizers, which tell where in the text a token is.
            source: of the template.
            last_turn: learn the assistant's last turn alone.

        Raises:
            UserError: the template is none, or the tokenizer is of the other kind.
        """
        if not tokenizer.is_fast:
            raise UserError("the tokenizer has no tokenizer.json, and so cannot tell where tokens are; convert it")
        special = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
        self.tokenizer, self.last_turn = tokenizer, last_turn
        self.controls = tuple(sorted(special.union(tokenizer.all_special_tokens)))
        self.template = ChatTemplate(source, dict(tokenizer.special_tokens_map), self.controls)
        self.template.check()

    def encode(self, messages: Sequence[dict[str, str]]) -> Encoded:
        """A chat, tokenised once as a whole, and which of its tokens have a part of an answer in them.

        Raises:
            TemplateRefusal: it cannot be told, or the chat holds what only a template may.
        """
        for number, message in enumerate(messages):
            for token in self.controls:
                if token in message["content"]:
                    raise TemplateRefusal(
                        "control_token",
                        f"messages[{number}]: has {escaped(token)!r} in its text, a token of the template; reword it",
                    )
        text, spans = self.template.answers(messages, self.last_turn)
        found = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        places_T2 = np.array(found["offset_mapping"], dtype=np.int64).reshape(-1, 2)
        mask_T = np.zeros(len(places_T2), dtype=bool)
        for start, end in spans:
            mask_T |= _within(text, places_T2, start, end)
        mask_T[:1] = False  # nothing is there to predict it from
        if not mask_T.any():
            raise TemplateRefusal("ambiguous", "no token of the text is part of an answer; use another template")
        return Encoded(text, np.array(found["input_ids"], dtype=np.int32), mask_T)


def _within(text: str, places_T2: Array, start: int, end: int) -> Array:
    """Which tokens have a part of [start, end).

    One that reaches over a border is part of the answer where what it has beside is white space alone, and not where
    what it has of it is.
    """
    begins_T, ends_T = places_T2[:, 0], places_T2[:, 1]
    within_T: Array = (begins_T < end) & (np.maximum(ends_T, begins_T + 1) > start)
    for token in np.flatnonzero(within_T & ((begins_T < start) | (ends_T > end))).tolist():
        first, last = int(begins_T[token]), int(ends_T[token])
        if not (text[first:start].strip() if first < start else text[end:last].strip()):
            continue
        if text[max(first, start) : min(last, end)].strip():
            raise _crossing(text[first:last], "beginning" if first < start else "end")
        within_T[token] = False
    return within_T


def _crossing(token: str, where: str) -> TemplateRefusal:
    return TemplateRefusal(
        "ambiguous", f"the token {escaped(token)!r} reaches over the {where} of an answer; use another template"
    )


@dataclass(frozen=True)
class ChatSet:
    """Files of chats, read: what can be learned from, what cannot, and why."""

    files: tuple[ChatFile, ...]
    examples: tuple[Example, ...]
    refusals: tuple[Refusal, ...]
    hidden: frozenset[int] = frozenset()
    """Indices of examples that are taken down: they keep their place, so that no other moves, and are not read."""

    @property
    def lines(self) -> int:
        """Of all files."""
        return sum(file.lines for file in self.files)

    def table(self) -> list[tuple[str, int]]:
        """Counts for people: lines, used, and refused by reason."""
        counts = Counter(refusal.reason for refusal in self.refusals)
        rows = [("lines", self.lines), ("used", len(self.examples) - len(self.hidden))]
        rows += [("taken down", len(self.hidden))] if self.hidden else []
        return rows + [(f"refused: {reason}", count) for reason, count in sorted(counts.items())]

    def message(self, refusal: Refusal) -> str:
        """``file:line: what is wrong, and what to do``."""
        return f"{self.files[refusal.file].path}:{refusal.line}: {refusal.what}"


def read_chats(
    paths: Sequence[Path], encoder: ChatEncoder, longest: int, truncate: bool, tell: Callable[[int], None] | None = None
) -> ChatSet:
    """Read, render and encode files of chats.

    Args:
        longest: the most tokens that an example can have.
        truncate: cut longer ones off, where some of an answer is left; else they are refused.

    Raises:
        UserError: a file cannot be read.
    """
    files: list[ChatFile] = []
    examples: list[Example] = []
    refusals: list[Refusal] = []
    for number, path in enumerate(paths):
        found: list[Chat | Refusal] = []
        files.append(read_file(path, number, found))
        for each in found:
            made = _example(each, encoder, longest, truncate) if isinstance(each, Chat) else each
            if isinstance(made, Example):
                examples.append(made)
            else:
                refusals.append(made)
            if tell is not None:
                tell(len(examples) + len(refusals))
    examples, broken = _whole_pairs(examples, longest)
    refused = sorted([*refusals, *broken], key=lambda refusal: (refusal.file, refusal.line))
    return ChatSet(tuple(files), tuple(examples), tuple(refused))


def _example(chat: Chat, encoder: ChatEncoder, longest: int, truncate: bool) -> Example | Refusal:
    try:
        _, ids, mask = encoder.encode(chat.messages)
        if len(ids) > longest:
            if not truncate:
                raise TemplateRefusal(
                    "too_long",
                    f"has {len(ids):,} tokens, and batch.sequence_length leaves room for {longest:,}; raise that, or "
                    "cut off with data.truncate true",
                )
            total, ids, mask = len(ids), ids[:longest], mask[:longest]
            if not mask.any():
                raise TemplateRefusal(
                    "too_long",
                    f"has {total:,} tokens, and no answer begins within the first {longest:,}; raise "
                    "batch.sequence_length, or shorten the prompt",
                )
    except TemplateRefusal as refusal:
        return Refusal(chat.file, chat.line, chat.offset, refusal.reason, refusal.what)
    return Example(chat.file, chat.line, chat.offset, ids, mask, chat.weight, chat.pair)


def _whole_pairs(examples: Iterable[Example], longest: int) -> tuple[list[Example], list[Refusal]]:
    """Without pairs that lack a line, have one too many, or do not fit into a sequence together."""
    pairs: dict[str, list[Example]] = {}
    examples = list(examples)
    for each in examples:
        if each.pair is not None:
            pairs.setdefault(each.pair, []).append(each)
    wrong: dict[str, tuple[str, str]] = {}
    for name, members in pairs.items():
        shown = repr(str(escaped(name))[:80])
        total = sum(each.tokens for each in members)
        if len(members) != 2:
            what = f"pair {shown}: {len(members)} usable line(s) have it, and it takes two; repair or remove them"
            wrong[name] = ("wrong_pair", what)
        elif total > longest:
            what = (
                f"pair {shown}: has {total:,} tokens, and both must fit into {longest:,}; raise batch.sequence_length"
            )
            wrong[name] = ("too_long", what)
    refused = [Refusal(x.file, x.line, x.offset, *wrong[x.pair]) for x in examples if x.pair in wrong]
    return [each for each in examples if each.pair not in wrong], refused
