"""Chats as the data of a run (``training.data.RunData``)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from curation.steps.common import document_id
from training.chat.config import ChatConfig
from training.chat.examples import ChatSet, Example
from training.chat.packing import ChatOrder, Layout, fingerprint, pack
from training.config import PretrainConfig
from training.data import Rows


class HeldOutChats(NamedTuple):
    """Files of chats that a model is validated on."""

    name: str
    layout: Layout


class ChatPart(NamedTuple):
    """A line that a step reads."""

    file: Path
    line: int
    document_id: str
    raw_file_id: str
    record_offset: int
    tokens: int
    learned: int
    epoch: int
    hidden: bool
    """It is taken down: the step reads a blank in its place."""


@dataclass(frozen=True)
class ChatData:
    """Chats, packed and in order."""

    config: PretrainConfig
    """Resolved: with the steps of the run."""
    asked: ChatConfig
    chats: ChatSet
    validation: ChatSet
    vocab_size: int
    """Rows of the embedding."""
    eos_id: int
    epochs: int | None
    """After so many the rest of the last step is blank; None: it goes on for ever."""
    model_facts: Mapping[str, Any]
    """What checkpoints say of the model beside its sizes."""

    own_tokenizer = True

    @property
    def longest(self) -> int:
        """Tokens of a sequence, the one that is predicted alone included."""
        return self.config.batch.sequence_length + 1

    @cached_property
    def layout(self) -> Layout:
        """The sequences."""
        return self._laid_out(self.chats)

    def _laid_out(self, chats: ChatSet) -> Layout:
        rows = pack(chats.examples, self.longest, self.config.seed, self.asked.packing)
        return Layout(chats.examples, rows, self.longest, self.eos_id, chats.hidden)

    @cached_property
    def order(self) -> ChatOrder:
        """Which sequence is in which step."""
        return ChatOrder(self.layout.packed, self.config.batch.global_batch_size, self.config.seed, self.epochs)

    @cached_property
    def fingerprint(self) -> str:
        """Another one is another order, or other data."""
        batch = self.config.batch
        facts = [self.longest, batch.global_batch_size, self.config.seed, self.asked.packing, self.epochs]
        return fingerprint(self.chats.examples, facts)

    @property
    def facts(self) -> Mapping[str, Any]:
        """Of the model: the tokenizer is in the checkpoint."""
        return self.model_facts

    @property
    def segmented(self) -> bool:
        """Whether sequences have several chats."""
        return self.layout.segmented or any(held.layout.segmented for held in self.held_out)

    def rows(self, step: int, replica: int) -> Iterator[Rows]:
        """The micro-batches of a replica in a step."""
        split, micro = self.config.parallelism, self.config.batch.micro_batch_size
        for share in self.order.shares(step, replica, split.data, micro):
            numbers = [None if each is None else each[0] for each in share]
            yield Rows(*self.layout.fill(numbers, pairs=self.asked.pair_weight > 0))

    @cached_property
    def held_out(self) -> tuple[HeldOutChats, ...]:
        """Each validation file; those with the same name are told apart by a number."""
        found: list[HeldOutChats] = []
        names: set[str] = set()
        for number, file in enumerate(self.validation.files):
            name = plain_name(file.path)
            name = name if name not in names else f"{name}-{number}"
            names.add(name)
            mine = [
                each
                for index, each in enumerate(self.validation.examples)
                if each.file == number and index not in self.validation.hidden
            ]
            # Weights and pairs are of training: a held-out loss is a mean over tokens.
            bare = tuple(Example(x.file, x.line, x.offset, x.ids, x.mask, 1.0, None) for x in mine)
            if bare:
                found.append(HeldOutChats(name, self._laid_out(ChatSet((file,), bare, ()))))
        return tuple(found)

    def held_out_rows(self, held: HeldOutChats, replica: int) -> Iterator[Rows]:
        """The share of a replica: whole micro-batches, blanks included."""
        split, micro = self.config.parallelism, self.config.batch.micro_batch_size
        count = min(len(held.layout.packed), self.config.validation.sequences)
        mine: list[int | None] = list(range(replica, count, split.data))
        for begin in range(0, len(mine), micro):
            share = mine[begin : begin + micro]
            yield Rows(*held.layout.fill([*share, *[None] * (micro - len(share))], pairs=False))

    def step_documents(self, step: int) -> list[tuple[str, int]]:
        """``file:line`` of each chat of a step, and its tokens."""
        return [(f"{part.file}:{part.line}", part.tokens) for part in self.parts(step)]

    def parts(self, step: int, sample: int | None = None) -> list[ChatPart]:
        """The lines that a step reads, in the order of its sequences.

        Args:
            sample: of one sequence alone, from 0.
        """
        rows = self.order.step_rows(step)
        found = []
        for each in rows if sample is None else rows[sample : sample + 1]:
            for index in () if each is None else self.layout.packed[each[0]]:
                example = self.layout.examples[index]
                file = self.chats.files[example.file]
                name = document_id(file.sha256, example.offset, 0)
                place = (file.path, example.line, name, file.sha256, example.offset)
                hidden, epoch = index in self.chats.hidden, 0 if each is None else each[1]
                found.append(ChatPart(*place, example.tokens, int(example.mask.sum()), epoch, hidden))
        return found

    def tokens_seen(self, step: int) -> int:
        """Tokens of answers that were learned up to the end of a step."""
        learned, count = self.layout.learned, step * self.config.batch.global_batch_size
        epochs, rest = divmod(count, len(learned))
        if self.epochs is not None and epochs >= self.epochs:
            epochs, rest = self.epochs, 0
        partial = (self.order.row(epochs * len(learned) + place) for place in range(rest))
        return epochs * int(learned.sum()) + sum(int(learned[each[0]]) for each in partial if each is not None)


def plain_name(path: Path) -> str:
    """A file's name as one of a dataset or metric: letters, digits, ``-``, ``_`` and ``.``."""
    return "".join(each if each.isalnum() or each in "-_." else "-" for each in path.stem) or "chats"
