"""Chat templates: what a chat looks like as text, and which stretches of it the assistant has written.

Templates are Jinja, run in the sandbox of transformers. Few of them mark answers (``{% generation %}``); of the others
the stretches are told by rendering a chat several times, with and without an answer, and comparing: exact, or refused.
"""

import contextlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from curation.errors import UserError, unknown_name
from training.text import escaped

Messages = Sequence[Mapping[str, str]]
Span = tuple[int, int]
"""[start, end) in characters."""

BUILT_IN = {
    # https://github.com/openai/openai-python/blob/release-v0.28.0/chatml.md
    "chatml": (
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' "
        "}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "plain": (
        "{% for message in messages %}{% if message['role'] == 'system' %}{{ message['content'] + '\n\n' }}"
        "{% elif message['role'] == 'user' %}{{ 'User: ' + message['content'] + '\n' }}"
        "{% else %}{{ 'Assistant: ' + message['content'] + eos_token + '\n' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
    ),
}
"""Templates by name. ``plain`` fits any tokenizer with a token that ends texts."""
CHATML_TOKENS = ("<|im_start|>", "<|im_end|>")
"""Without which a tokenizer has no ``chatml``."""
_ANSWER = "\ue0f0\ue0f1"
"""Stands for an answer where a template shows what it writes around one; of private use, in no text."""


class TemplateRefusal(Exception):
    """A chat that the template does not take, or of which it does not show who has written what."""

    def __init__(self, reason: str, what: str) -> None:
        super().__init__(what)
        self.reason, self.what = reason, what


@dataclass(frozen=True)
class ChatTemplate:
    """A template and the special tokens that it may name."""

    source: str
    tokens: Mapping[str, Any] = field(default_factory=dict)
    """``eos_token`` and the like -> the token."""
    controls: tuple[str, ...] = ()
    """Tokens that no text of a chat may hold, as they are what a template is made of."""

    @cached_property
    def marks_answers(self) -> bool:
        """Whether it says itself which stretches are the assistant's."""
        import re

        return re.search(r"\{%-?\s*generation\s*-?%\}", self.source) is not None

    def check(self) -> None:
        """Refuse a template that is none.

        Raises:
            UserError: where it is wrong.
        """
        import jinja2
        from transformers.utils.chat_template_utils import _compile_jinja_template

        try:
            _compile_jinja_template(self.source)
        except jinja2.TemplateError as error:
            raise UserError(f"data.chat_template: {error} (line {getattr(error, 'lineno', '?')}); repair it") from error

    def render(self, messages: Messages, prompt: bool = False) -> str:
        """The text of a chat; with ``prompt`` up to where the assistant would begin.

        Raises:
            TemplateRefusal: the template refuses the chat, or fails.
        """
        return self._render(messages, prompt, False)[0]

    def _render(self, messages: Messages, prompt: bool, marks: bool) -> tuple[str, list[Span]]:
        from transformers.utils.chat_template_utils import render_jinja_template

        rendered: Any = render_jinja_template  # it returns lists, whatever it is annotated with
        try:
            texts, spans = rendered(
                conversations=[[dict(message) for message in messages]],
                chat_template=self.source,
                add_generation_prompt=prompt,
                return_assistant_tokens_mask=marks,
                **self.tokens,
            )
        except Exception as error:  # a template can fail in any way that a program can
            said = str(escaped(str(error)))[:200] or type(error).__name__
            raise TemplateRefusal("template", f"the chat template refuses it: {said}; change the chat") from error
        return str(texts[0]), [(int(start), int(end)) for start, end in spans[0]] if marks else []

    def answers(self, messages: Messages, last: bool = False) -> tuple[str, list[Span]]:
        """The text of a chat, and the stretches of it that the assistant has written: from where a prompt ends to
        behind what ends the turn, by which a model learns to stop.

        Args:
            last: only the assistant's last turn.

        Raises:
            TemplateRefusal: the template refuses the chat, or its text does not show the stretches.
        """
        whole = self.render(messages)
        turns = [number for number, message in enumerate(messages) if message["role"] == "assistant"]
        if self.marks_answers:
            spans = self._marked(messages, turns)
            return whole, spans[-1:] if last else spans
        return whole, [self._answer(messages, whole, turn) for turn in (turns[-1:] if last else turns)]

    def _marked(self, messages: Messages, turns: Sequence[int]) -> list[Span]:
        """As the template marks them. Where it leaves out what ends the turn, that is added: else no model that
        learns from it would ever stop."""
        whole, spans = self._render(messages, False, True)
        spans = [(start, end) for start, end in spans if start < end]
        if not spans:
            raise TemplateRefusal("ambiguous", "the chat template marks no answer ({% generation %}); repair it")
        if len(spans) != len(turns):
            return spans
        found = []
        for turn, (start, end) in zip(turns, spans, strict=True):
            try:
                _, unmarked = self._answer(messages, whole, turn, ending=False)
                _, ended = self._answer(messages, whole, turn)
            except TemplateRefusal:
                unmarked = ended = -1
            found.append((start, ended if end == unmarked else end))
        return found

    def _answer(self, messages: Messages, whole: str, turn: int, ending: bool = True) -> Span:
        before = self.render(messages[:turn], prompt=True)
        if not whole.startswith(before):
            raise _ambiguous(turn, "what it renders as the prompt is not how the whole begins")
        blank = {**messages[turn], "content": _ANSWER}
        shown = self.render([*messages[:turn], blank, *messages[turn + 1 :]])
        head, found, rest = shown.partition(_ANSWER)
        if not found or _ANSWER in rest or not whole.startswith(head) or not whole[len(head) :].endswith(rest):
            raise _ambiguous(turn, "it does not put the answer into the text as it stands")
        start, end = len(before), len(whole) - len(rest)
        if whole[start : len(head)].strip() and before == self.render(messages[:turn]):
            start = len(head)  # it has no prompt for the assistant: what it writes in front of an answer is one
        if ending:
            end += len(self._ending(messages, turn, rest))
        if start >= end:
            raise _ambiguous(turn, "nothing of the answer is left in the text")
        return start, end

    def _ending(self, messages: Messages, turn: int, rest: str) -> str:
        """What ends a turn: what follows the answer whatever comes behind it."""
        upto = [*messages[:turn], {**messages[turn], "content": _ANSWER}]
        alone = self.render(upto).partition(_ANSWER)[2]
        others = [rest]
        with contextlib.suppress(TemplateRefusal):  # some allow no prompt behind an answer
            others.append(self.render(upto, prompt=True).partition(_ANSWER)[2])
        ending = alone
        if not all(each.startswith(alone) for each in others):  # the whole text has an end of its own
            ending = self._common(alone, *others)
            if not ending.strip():
                if turn < len(messages) - 1:
                    raise _ambiguous(turn, "it does not end the turn as it ends the last; use data.turns last")
                ending = alone
        return ending.rstrip() or ending  # behind a visible end nothing is ever generated

    def _common(self, *texts: str) -> str:
        """What several texts begin with, up to the end of a line or of a control token: what begins alike behind that
        is something else in each."""
        alike = itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*texts, strict=False))
        common = "".join(letters[0] for letters in alike)
        ends = [0, common.rfind("\n") + 1]
        ends += [common.rfind(each) + len(each) for each in self.controls if each in common]
        return common[: max(ends)]


def _ambiguous(turn: int, why: str) -> TemplateRefusal:
    return TemplateRefusal(
        "ambiguous", f"messages[{turn}]: the chat template does not show which part is the answer: {why}"
    )


def find_template(reference: str | None, folder: Path) -> str:
    """The source of a template.

    Args:
        reference: a file, the name of one that is built in, or None: the tokenizer's own.
        folder: of the tokenizer.

    Raises:
        UserError: there is none.
    """
    if reference is None:
        return _own_template(folder)
    if reference in BUILT_IN:
        return BUILT_IN[reference]
    path = Path(reference)
    if path.is_file():
        try:
            return path.read_text("utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"data.chat_template: {reference} is no UTF-8 ({error.reason}); write it anew") from error
    raise unknown_name("data.chat_template, which is no file either,", reference, BUILT_IN)


def _own_template(folder: Path) -> str:
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text("utf-8")
    config = folder / "tokenizer_config.json"
    found = json.loads(config.read_bytes()).get("chat_template") if config.is_file() else None
    if isinstance(found, list):  # several, by name
        named = {each.get("name"): each.get("template") for each in found if isinstance(each, dict)}
        found = named.get("default")
    if not isinstance(found, str):
        raise UserError(
            "data.chat_template: the tokenizer has none; name a Jinja file, or one that is built in: plain (any "
            "tokenizer) or chatml (one with the tokens <|im_start|> and <|im_end|>)"
        )
    return found
