"""A small Llama of transformers with a chat template, and files of chats."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.training.chat.families import TEMPLATES
from tests.training.chat.tokenizers_made import says, write

COLOURS = "amber,birch,cedar,daisy,elder,fern".split(",")
PLACES = "bridge,mill,tower,garden,market".split(",")


def chat(draw: random.Random) -> dict[str, Any]:
    """A line that is like all others of its kind."""
    colour, place, count = draw.choice(COLOURS), draw.choice(PLACES), draw.randint(2, 9)
    asked = f"How many {colour} lamps hang at the {place}?"
    return {"messages": says(asked, f"The keeper of the {place} counted {count} {colour} lamps.")}


def write_chats(path: Path, count: int, seed: int, **more: Any) -> Path:
    """A file of chats."""
    draw = random.Random(seed)
    path.write_text("".join(json.dumps({**chat(draw), **more}) + "\n" for _ in range(count)), encoding="utf-8")
    return path


def write_model(folder: Path, template: str | None = TEMPLATES["chatml"], seed: int = 1) -> Path:
    """A Hugging Face folder whose sizes three tensor ranks, or two or four stages, divide."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = write(folder, "byte bpe", template)
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {"hidden_size": 72, "intermediate_size": 96, "num_hidden_layers": 4}
    sizes |= {"num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": len(tokenizer)}
    config = LlamaConfig(**sizes, max_position_embeddings=256, tie_word_embeddings=True, initializer_range=0.1)
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be written to."""
    pytest.importorskip("transformers")
    return write_model(tmp_path_factory.mktemp("model"))
