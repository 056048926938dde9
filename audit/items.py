"""What a model is asked to score, what it answers, and how text becomes the tokens in between.

Tokens are those of lm-evaluation-harness (``TemplateLM._encode_pair`` and ``HFLM._loglikelihood_tokens``,
https://github.com/EleutherAI/lm-evaluation-harness): context and whole are encoded, the continuation's tokens are what
the whole has more, and spaces that end the context begin the continuation. What starts a sequence is said with each
item, and written down with its result: another start token changes which of two sentences is likelier.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from curation.errors import UserError, unknown_name

Array = np.ndarray[Any, Any]

Start = Literal["none", "bos", "eos", "bos_or_eos"]
"""What comes before a text: nothing, the tokenizer's BOS, its EOS, or BOS where it has one, else EOS."""
TooLong = Literal["refuse", "cut"]
"""Of what is longer than the model's context: an error, or its left end is cut off, the start token with it."""


@dataclass(frozen=True, slots=True)
class Item:
    """A continuation to score behind a context."""

    context: str
    """May be empty."""
    continuation: str
    start: Start
    most: int | None = None
    """Score at most so many tokens, the first ones; those behind them are not computed."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """The tokens of an item."""

    context_ids: tuple[int, ...]
    """All that the model sees before the first scored token, the start token included."""
    token_ids: tuple[int, ...]
    """Of the continuation, those that are scored."""
    start_token: int | None
    """None: there is none, by rule or because it was cut off."""
    cut: int
    """Tokens cut off on the left."""
    unscored: int
    """Tokens of the continuation that nothing came before (1 or 0); they are among ``context_ids``."""
    joined: bool
    """The tokenizer joins the end of the context with the continuation: encoded apart they are other tokens."""


@dataclass(frozen=True, slots=True)
class Score:
    """How likely the tokens of a continuation are."""

    encoded: Encoded
    log_likelihoods: tuple[float, ...]
    """Natural logarithm, of each of ``encoded.token_ids`` given all before it."""
    greedy: tuple[bool, ...]
    """Whether each was the likeliest token (the first of equals)."""

    @property
    def total(self) -> float:
        """Sum over tokens, nats."""
        return math.fsum(self.log_likelihoods)

    @property
    def mean(self) -> float:
        """Mean over tokens, nats."""
        return self.total / len(self.log_likelihoods)

    @property
    def is_greedy(self) -> bool:
        """Whether greedy generation gives the continuation."""
        return all(self.greedy)


@dataclass(frozen=True, slots=True)
class TextScore:
    """How likely a text is, each token scored once."""

    token_ids: tuple[int, ...]
    log_likelihoods: tuple[float, ...]
    """Natural logarithm, of each of ``token_ids``, the first left out where nothing came before it."""
    greedy: tuple[bool, ...]
    """Whether each was the likeliest token there."""
    best: tuple[float, ...]
    """Log-likelihood of the token that was the likeliest there."""
    start_token: int | None
    window: int
    """Most tokens that a token is conditioned on."""
    stride: int
    bytes: int
    """Of the text in UTF-8."""

    @property
    def total(self) -> float:
        """Sum over tokens, nats."""
        return math.fsum(self.log_likelihoods)

    @property
    def bits_per_byte(self) -> float:
        """-log2 of the text's probability over its bytes; tokenizers differ in tokens, never in bytes (Gao et al. 2020,
        https://arxiv.org/abs/2101.00027, 3.1). Without a start token the first token's bits are missing."""
        return -self.total / math.log(2) / self.bytes

    @property
    def perplexity(self) -> float:
        """exp of the mean negative log-likelihood of a token."""
        mean = -self.total / len(self.log_likelihoods)
        return math.exp(mean) if mean < 700 else math.inf


@dataclass(frozen=True, slots=True)
class Generated:
    """What a model wrote behind a prompt."""

    prompt_ids: tuple[int, ...]
    """All that the model saw, the start token included."""
    start_token: int | None
    cut: int
    """Tokens of the prompt cut off on the left."""
    token_ids: tuple[int, ...]
    """As drawn, the one that ended it included."""
    text: str
    """Without special tokens, and up to the first stop text."""
    ended: Literal["eos", "stop", "length"]


@dataclass(frozen=True, slots=True)
class WordVectors:
    """Rows of the input embedding, as WEAT compares them."""

    token_ids: tuple[tuple[int, ...], ...]
    """Of each word."""
    vectors_WE: Array
    """float32; the mean over a word's tokens."""


@dataclass(frozen=True, slots=True)
class Inside:
    """What a model computes of a text."""

    token_ids: tuple[int, ...]
    """The start token first, where there is one."""
    start_token: int | None
    offsets: tuple[tuple[int, int], ...]
    """[begin, end) of each token in the text, in characters; (0, 0) for the start token."""
    values: Array
    """float32; of ``embeddings`` [layer, token, E], of ``attentions`` [layer, head, token that looks, token seen]."""


class Encoder:
    """Makes tokens of text; adds nothing by itself.

    Args:
        tokenizer: a fast tokenizer of transformers.
        longest: most tokens that the model can see.
    """

    def __init__(self, tokenizer: Any, longest: int) -> None:
        self.tokenizer, self.longest = tokenizer, longest

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text."""
        if not texts:
            return []
        found: list[list[int]] = self.tokenizer(
            list(texts), add_special_tokens=False, return_attention_mask=False, verbose=False
        )["input_ids"]
        return found

    def offsets(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """[begin, end) of each token of each text, in characters."""
        if not texts:
            return []
        found: list[list[tuple[int, int]]] = self.tokenizer(
            list(texts), add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )["offset_mapping"]
        return found

    def start_token(self, rule: Start) -> int | None:
        """The token that a rule puts first.

        Raises:
            UserError: there is no such rule, or the tokenizer has no such token.
        """
        if rule not in get_args(Start):
            raise unknown_name("start", str(rule), get_args(Start))
        if rule == "none":
            return None
        has = {"bos": self.tokenizer.bos_token_id, "eos": self.tokenizer.eos_token_id}
        found = next((has[name] for name in rule.split("_or_") if has[name] is not None), None)
        if found is None:
            there = ", ".join(name for name, token in has.items() if token is not None) or "neither"
            raise UserError(f"start {rule}: of bos and eos the tokenizer has {there}; use that, or none")
        return int(found)

    def encode(self, items: Sequence[Item], too_long: TooLong) -> list[Encoded]:
        """The tokens of items.

        Raises:
            UserError: an item has nothing to score, or is longer than the model's context; its number is named.
        """
        check_too_long(too_long)
        split = [moved_spaces(item.context, item.continuation) for item in items]
        contexts = sorted({context for context, _ in split if context})
        of_context = dict(zip(contexts, self.ids(contexts), strict=True))
        wholes = self.ids([context + continuation for context, continuation in split])
        return [
            self._encoded(number, item, of_context.get(context, []), whole, too_long)
            for number, (item, (context, _), whole) in enumerate(zip(items, split, wholes, strict=True))
        ]

    def unscorable(self, items: Sequence[Item], too_long: TooLong = "refuse") -> dict[int, str]:
        """Place -> why, of the items that ``encode`` refuses."""
        split = [moved_spaces(item.context, item.continuation) for item in items]
        contexts = self.ids([context for context, _ in split])
        wholes = self.ids([context + continuation for context, continuation in split])
        found = {}
        for number, (item, context, whole) in enumerate(zip(items, contexts, wholes, strict=True)):
            try:
                self._encoded(number, item, context, whole, too_long)
            except UserError as error:
                found[number] = str(error).partition(": ")[2]
        return found

    def _encoded(self, number: int, item: Item, context: list[int], whole: list[int], too_long: TooLong) -> Encoded:
        start = self.start_token(item.start)
        ahead = ([] if start is None else [start]) + context
        scored = whole[len(context) :]
        unscored = 0
        if not ahead:  # nothing came before the first token, so that it has no probability
            ahead, scored, unscored = scored[:1], scored[1:], 1
        scored = scored[: item.most]
        if not scored:
            raise UserError(f"item {number}: its continuation has no token to score; give text, or a start token")
        cut = max(0, len(ahead) + len(scored) - (self.longest + 1))
        if cut and too_long == "refuse":
            raise UserError(
                f"item {number}: {len(ahead) + len(scored)} tokens, and the model sees {self.longest} before the last; "
                "shorten it, or cut its context"
            )
        if cut >= len(ahead):
            raise UserError(
                f"item {number}: its continuation of {len(scored)} tokens is longer than the model's context of "
                f"{self.longest}; score it as a text, in windows"
            )
        joined = whole[: len(context)] != context
        return Encoded(tuple(ahead[cut:]), tuple(scored), None if cut else start, cut, unscored, joined)


def moved_spaces(context: str, continuation: str) -> tuple[str, str]:
    """Spaces that end a context begin the continuation: in most tokenizers a space is part of the word behind it."""
    bare = context.rstrip()
    return bare, context[len(bare) :] + continuation


def check_too_long(too_long: str) -> None:
    """Refuse what is no way to deal with texts that are too long.

    Raises:
        UserError: as said.
    """
    if too_long not in get_args(TooLong):
        raise unknown_name("too_long", too_long, get_args(TooLong))
