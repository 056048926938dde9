"""Small tokenizers of different kinds, made here."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.training.chat.families import SPECIAL

TEXTS = [
    "How many lamps hang at the bridge by the river? The keeper counted seven lamps before the rain.",
    "Write a short answer. Certainly: the market opens at noon, and the mill closes after supper.",
    "system user assistant model ### [INST] [/INST] <<SYS>> <</SYS>>\n\nThe tower, the garden, the harbour.",
    "Grüße aus München, à bientôt, 你好，世界, नमस्ते दुनिया, 🙂 emoji.",
]
KINDS = ("byte bpe", "byte bpe without special tokens", "metaspace", "characters")


def make(kind: str, vocab_size: int = 384) -> Any:
    """A tokenizer of transformers. ``metaspace`` and ``byte bpe`` have the special tokens of all families."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    special = [*SPECIAL, "<unk>"] if "without" not in kind else ["</s>", "<unk>"]
    if kind.startswith("byte"):
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer: Any = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=special, initial_alphabet=alphabet)
    elif kind == "metaspace":
        made = Tokenizer(models.BPE(byte_fallback=False, unk_token="<unk>"))
        made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
        trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=special)
    else:
        made = Tokenizer(models.BPE(unk_token="<unk>"))
        trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=special, max_token_length=1)
    made.train_from_iterator(TEXTS * 3, trainer)
    made.add_special_tokens([AddedToken(each, special=True) for each in special])
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="</s>", unk_token="<unk>")


def write(folder: Path, kind: str, template: str | None = None) -> Any:
    """Write one as a folder; returns it."""
    tokenizer = make(kind)
    if template is not None:
        tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return tokenizer


def says(*turns: str, system: str | None = None) -> list[dict[str, str]]:
    """A chat: user and assistant in turn."""
    first: Sequence[dict[str, str]] = [] if system is None else [{"role": "system", "content": system}]
    return [*first, *({"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(turns))]
