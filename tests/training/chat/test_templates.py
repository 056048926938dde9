"""Which tokens are learned: exactly those that the assistant has written, in formats of several families."""

import dataclasses
import re
from typing import Any

import numpy as np
import pytest

pytest.importorskip("transformers")

from curation.errors import UserError
from tests.training.chat.families import PIECES, TEMPLATES
from tests.training.chat.tokenizers_made import KINDS, make, says
from training.chat.examples import ChatEncoder, _within
from training.chat.templates import BUILT_IN, ChatTemplate, TemplateRefusal, find_template

CHATS = {
    "one turn": says("How many lamps?", "Seven lamps."),
    "three turns": says("How many lamps?", "Seven.", "And at the mill?", "None, I think.", "Why?", "It closes."),
    "system": says("How many lamps?", "Seven.", "Sure?", "Yes.", system="Write a short answer."),
    "the same again": says("Yes.", "Yes.", "Yes.", "Yes."),
    "scripts": says("你好", "नमस्ते 🙂 Grüße\n\nà bientôt"),
    "like a prompt": says("### assistant\nSeven", "[INST] assistant: model\n### user"),
    "white space": says("  How many?  ", "Seven  lamps \n of the mill."),
}


@pytest.fixture(scope="module")
def tokenizers() -> dict[str, Any]:
    return {kind: make(kind) for kind in KINDS}


@pytest.mark.parametrize("family", TEMPLATES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chat", CHATS)
def test_the_mask_is_exact(family: str, kind: str, chat: str, tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers[kind]
    pieces = PIECES[family](CHATS[chat])
    found = ChatEncoder(tokenizer, TEMPLATES[family]).encode(CHATS[chat])
    assert found.text == "".join(text for text, _ in pieces)
    learned = np.array([who for text, who in pieces for _ in text])
    tokens = tokenizer(found.text, add_special_tokens=False, return_offsets_mapping=True)
    assert found.ids.tolist() == tokens["input_ids"]
    wanted = [bool(learned[start : max(end, start + 1)].any()) for start, end in tokens["offset_mapping"]]
    assert found.mask.tolist() == wanted
    assert 0 < sum(wanted) < len(wanted)


@pytest.mark.parametrize("family", TEMPLATES)
def test_the_last_turn_alone(family: str, tokenizers: dict[str, Any]) -> None:
    tokenizer, chat = tokenizers["byte bpe"], CHATS["three turns"]
    every = ChatEncoder(tokenizer, TEMPLATES[family]).encode(chat)
    last = ChatEncoder(tokenizer, TEMPLATES[family], last_turn=True).encode(chat)
    assert last.ids.tolist() == every.ids.tolist()
    assert "It closes." in tokenizer.decode(last.ids[last.mask])
    assert "Seven" not in tokenizer.decode(last.ids[last.mask])
    assert not (last.mask & ~every.mask).any()


def refused(source: str, chat: list[dict[str, str]]) -> TemplateRefusal:
    with pytest.raises(TemplateRefusal) as caught:
        ChatTemplate(source, {"eos_token": "</s>"}).answers(chat)
    return caught.value


def test_what_a_template_refuses_is_told_with_its_words() -> None:
    strict = (
        "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('roles must alternate') }}{% endif %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}"
    )
    two = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}, {"role": "assistant", "content": "c"}]
    found = refused(strict, two)
    assert (found.reason, "roles must alternate" in found.what) == ("template", True)
    assert refused("{{ messages[0].nothing.there }}", two).reason == "template"
    assert refused("{{ ''.__class__.__mro__ }}", two).reason == "template"


@pytest.mark.parametrize(
    "source",
    [
        # Nothing between the answer and the next turn, and an end of the whole alone.
        "{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}{{ '' if add_generation_prompt else "
        "'END' }}{{ 'assistant:' if add_generation_prompt }}",
        # Older answers are not there as they stand.
        "{% for m in messages %}{{ m.role + ': ' + (m.content if loop.last else m.content[:2]) + '\n' }}{% endfor %}"
        "{{ 'assistant:' if add_generation_prompt }}",
        # A prompt that is not how the whole goes on.
        "{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}"
        "{{ 'reply:' if add_generation_prompt }}",
        # Answers are written twice.
        "{% for m in messages %}{{ m.role + ': ' + m.content + m.content + '\n' }}{% endfor %}"
        "{{ 'assistant:' if add_generation_prompt }}",
    ],
)
def test_what_is_ambiguous_is_refused(source: str) -> None:
    assert refused(source, says("a question", "an answer", "another", "the last")).reason == "ambiguous"


def test_a_token_over_the_border_is_refused() -> None:
    tokenizer = make("byte bpe without special tokens")
    source = "{% for m in messages %}{{ m.content }}{% endfor %}"
    with pytest.raises(TemplateRefusal, match="reaches over the beginning"):
        ChatEncoder(tokenizer, source).encode(says("the brid", "ge by the river"))


def test_white_space_at_a_border_decides_nothing() -> None:
    """A token with white space of the prompt and the beginning of the answer is learned; the other way round not."""
    text = "user: a b"
    assert _within(text, np.array([[0, 5], [5, 7], [7, 9]]), 6, 9).tolist() == [False, True, True]
    assert _within(text, np.array([[0, 6], [6, 7], [7, 9]]), 5, 9).tolist() == [False, True, True]
    assert _within(text, np.array([[0, 6], [6, 8], [8, 9]]), 6, 7).tolist() == [False, True, False]


def test_texts_cannot_hold_what_templates_are_made_of() -> None:
    encoder = ChatEncoder(make("byte bpe"), TEMPLATES["chatml"])
    with pytest.raises(TemplateRefusal, match=re.escape("<|im_end|>")):
        encoder.encode(says("a<|im_end|>\n<|im_start|>assistant\nb", "c"))


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_templates(name: str) -> None:
    tokenizer = make("byte bpe")
    found = ChatEncoder(tokenizer, BUILT_IN[name]).encode(CHATS["system"])
    learned = tokenizer.decode(found.ids[found.mask])
    end = {"chatml": "<|im_end|>", "plain": "</s>"}[name]
    assert learned.replace(" ", "") == f"Seven.{end}Yes.{end}"


def test_templates_are_found_or_named(tmp_path: Any) -> None:
    with pytest.raises(UserError, match=r"plain \(any tokenizer\)"):
        find_template(None, tmp_path)
    with pytest.raises(UserError, match="chatml, plain"):
        find_template("nope", tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"chat_template": "{{ messages }}"}')
    assert find_template(None, tmp_path) == "{{ messages }}"
    (tmp_path / "chat_template.jinja").write_text("{{ 1 }}")
    assert find_template(None, tmp_path) == "{{ 1 }}"
    with pytest.raises(UserError, match=r"data\.chat_template.*line 1"):
        dataclasses.replace(ChatTemplate("{% for %}")).check()
