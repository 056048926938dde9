"""Drawing tokens, so that what a prompt is answered depends on it and on the seed alone.

A token is drawn by the Gumbel-max trick (Maddison et al. 2014, https://arxiv.org/abs/1411.0030): the largest of
logits / temperature plus noise. The noise of a prompt comes from a generator of its own; rounding of logits, which
batches change, changes a token only where the two largest sums are as good as equal.

Shapes: B rows, S tokens, V vocabulary.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from audit.model import Model

Ended = Literal["eos", "stop", "length"]
Drawn = tuple[tuple[int, ...], str, Ended]


def generate(
    model: "Model",
    prompts: Sequence[tuple[int, ...]],
    max_tokens: int,
    temperature: float,
    seed: int,
    stop: Sequence[str],
) -> list[Drawn]:
    """(tokens, text, what ended it) of each prompt."""
    times: Counter[tuple[int, ...]] = Counter()
    chances = []
    for ids in prompts:
        chances.append(_chance(seed, ids, times[ids]))
        times[ids] += 1
    found: dict[int, Drawn] = {}
    order = sorted(range(len(prompts)), key=lambda number: -len(prompts[number]))
    while order:
        rows = max(1, model.batch_tokens // (len(prompts[order[0]]) + max_tokens))
        here, order = order[:rows], order[rows:]
        noise = _Noise([chances[number] for number in here], temperature, model.tokens)
        ending = _Ending(model, [len(prompts[number]) for number in here], max_tokens, stop)
        for number, drawn in zip(here, _batch(model, [prompts[number] for number in here], noise, ending), strict=True):
            found[number] = drawn
    return [found[number] for number in range(len(prompts))]


def _chance(seed: int, ids: tuple[int, ...], time: int) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed} {time} {' '.join(map(str, ids))}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "big")))


class _Noise:
    """Adds to logits what makes the largest one a draw (a ``LogitsProcessor``), and rules out rows of the embedding
    that no token has."""

    def __init__(self, chances: Sequence[np.random.Generator], temperature: float, tokens: int) -> None:
        self._chances, self._temperature, self._tokens = chances, temperature, tokens

    def __call__(self, ids_BS: "Tensor", logits_BV: "Tensor") -> "Tensor":
        import torch

        logits_BV = logits_BV.double()
        if self._temperature > 0:
            waits_BV = np.stack([chance.standard_exponential(logits_BV.shape[1]) for chance in self._chances])
            noise_BV = -np.log(np.maximum(waits_BV, 1e-300))
            logits_BV = logits_BV / self._temperature + torch.from_numpy(noise_BV).to(logits_BV.device)
        logits_BV[:, self._tokens :] = -torch.inf
        return logits_BV


class _Ending:
    """Which rows are done (a ``StoppingCriteria``), and with how many tokens."""

    def __init__(self, model: "Model", lengths: Sequence[int], max_tokens: int, stop: Sequence[str]) -> None:
        self._model, self._stop, self._max = model, stop, max_tokens
        self._width = max(lengths)
        self.drawn: list[Drawn | None] = [None] * len(lengths)

    def __call__(self, ids_BS: "Tensor", scores: Any, **_: Any) -> "Tensor":
        import torch

        for row, tokens in enumerate(ids_BS[:, self._width :].tolist()):
            if self.drawn[row] is None:
                self.drawn[row] = self._ended(tokens)
        return torch.tensor([each is not None for each in self.drawn], device=ids_BS.device)

    def _ended(self, tokens: list[int]) -> Drawn | None:
        if tokens[-1] in self._model.ending:
            return tuple(tokens), self._text(tokens[:-1]), "eos"
        if self._stop:
            text = self._text(tokens)
            places = [place for place in map(text.find, self._stop) if place >= 0]
            if places:
                return tuple(tokens), text[: min(places)], "stop"
        return (tuple(tokens), self._text(tokens), "length") if len(tokens) >= self._max else None

    def _text(self, tokens: list[int]) -> str:
        return str(self._model.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False))


def _batch(model: "Model", prompts: Sequence[tuple[int, ...]], noise: _Noise, ending: _Ending) -> list[Drawn]:
    import torch
    from transformers import LogitsProcessorList, StoppingCriteriaList

    width = max(map(len, prompts))
    ids_BS = torch.zeros((len(prompts), width), dtype=torch.int64)
    seen_BS = torch.zeros_like(ids_BS)
    for row, ids in enumerate(prompts):  # padding on the left: what is drawn goes on at the right
        ids_BS[row, width - len(ids) :] = torch.tensor(ids)
        seen_BS[row, width - len(ids) :] = 1
    with torch.inference_mode():
        model.network.generate(
            ids_BS.to(model.device),
            attention_mask=seen_BS.to(model.device),
            max_new_tokens=ending._max,
            do_sample=False,
            logits_processor=LogitsProcessorList([noise]),
            stopping_criteria=StoppingCriteriaList([ending]),
        )
    found = [each for each in ending.drawn if each is not None]
    assert len(found) == len(prompts)
    return found
