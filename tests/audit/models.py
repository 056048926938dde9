"""Tiny random Llamas, and a tokenizer of bytes and frequent pairs."""

from functools import cache
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from audit.model import Model
from audit.source import Source
from tests.audit.texts import ORDINARY

LONGEST = 96


def made_tokenizer(bos: bool = True) -> Any:
    """BPE over bytes: a space belongs to the word behind it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(ORDINARY["eng"], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="</s>", **({"bos_token": "<s>"} if bos else {}))


def made_network(**changes: Any) -> Any:
    """A Llama whose probabilities differ widely."""
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 410,  # more rows than the tokenizer has tokens
        "max_position_embeddings": LONGEST,
        "bos_token_id": 0,
        "eos_token_id": 1,
        **changes,
    }
    torch.manual_seed(1)
    network: Any = LlamaForCausalLM(LlamaConfig(**sizes))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.3)
    return network.eval()


@cache
def tiny(tied: bool = False, batch_tokens: int = 200) -> Model:
    """A model to score with, the same each time."""
    source = Source("model", "tiny", "tiny", "0" * 64)
    return Model(made_network(tie_word_embeddings=tied), made_tokenizer(), source, batch_tokens)


def saved(folder: Path, **changes: Any) -> Any:
    """The same, as a Hugging Face folder."""
    network = made_network(**changes)
    network.save_pretrained(folder)
    made_tokenizer().save_pretrained(folder)
    return network
