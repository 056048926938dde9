"""Scoring texts with a checkpoint: windows, precision, batches.

A text is cut into windows that fill the model, without overlap; the first window is what Detoxify itself looks at.
On a CPU weights are int8 (Linear layers, activations quantised as they come) and windows are scored one at a time: on
one core a window of 128 tokens or more costs the same alone as in a batch (``benchmarks/toxicity.py``), and alone its
score depends on nothing but itself, however the work is split. On a GPU weights are half precision, and windows of
like length share batches; scores then differ in the third decimal with the company.

Array suffixes: ``B`` windows of a batch, ``S`` tokens, ``L`` labels, ``N`` windows of a text.
"""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from curation.errors import UserError
from curation.toxicity.checkpoint import Checkpoint, Source, load_checkpoint

BATCH_TOKENS = 16_384
"""Tokens of a batch on a GPU, padding included."""
ROUNDED = 4
"""Decimals kept of a score."""


@dataclass(frozen=True, slots=True)
class Toxicity:
    """Scores of a text."""

    model: str
    """Which model scored."""
    max: dict[str, float]
    """Label -> score of the worst window."""
    mean: dict[str, float]
    """Label -> mean of the windows that were scored, weighted by their tokens."""
    windows: int
    """Windows that were scored."""
    start: int
    end: int
    """Characters of the window that is worst by its highest label."""

    def of(self, aggregate: str) -> dict[str, float]:
        """``max`` or ``mean``."""
        return self.max if aggregate == "max" else self.mean


class _Window(NamedTuple):
    text: int
    start: int
    end: int
    tokens: list[int]


class Scorer:
    """A checkpoint, ready to score.

    Args:
        device: ``auto`` takes a GPU where there is one.
        precision: ``fp32``, ``int8`` (CPU), ``half`` (GPU), ``auto``.

    Raises:
        UserError: the checkpoint cannot be loaded, or the precision does not go with the device.
    """

    def __init__(self, source: Source, device: str = "auto", precision: str = "auto") -> None:
        import torch

        checkpoint: Checkpoint = load_checkpoint(source)
        self.source, self.labels = source, checkpoint.labels
        self.device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        self.on_cpu = self.device.startswith("cpu")
        self.precision = ("int8" if self.on_cpu else "half") if precision == "auto" else precision
        if self.precision == "int8" and not self.on_cpu:
            raise UserError("toxicity.precision: int8 is for CPUs; take half or fp32 on a GPU")
        if self.precision == "half" and self.on_cpu:
            raise UserError("toxicity.precision: half is for GPUs; take int8 or fp32 on a CPU")
        self._tokenizer, self._most = checkpoint.tokenizer, checkpoint.most_tokens
        self._model = _converted(checkpoint.model, self.device, self.precision)
        ends = (self._tokenizer.cls_token_id, self._tokenizer.sep_token_id)
        if None in ends:
            raise UserError(f"toxicity.model: {source.folder}: its tokenizer has no tokens that begin and end a text")
        self._ends = ends

    def score(
        self, texts: Sequence[str], suspicious: Sequence[Sequence[tuple[int, int, float]]] | None = None, most: int = 64
    ) -> list[Toxicity]:
        """Scores of texts, each by itself.

        Args:
            suspicious: for each text stretches (start, end, score of another model): only windows that touch one of
                them are scored, those with the highest first; None: all windows are looked at.
            most: windows scored of a text.
        """
        windows = []
        for number, text in enumerate(texts):
            found = self._windows(number, text)
            hot = None if suspicious is None else suspicious[number]
            windows += _chosen(found, hot, most)
        return self._gather(len(texts), windows, self._run(windows))

    def _windows(self, number: int, text: str) -> list[_Window]:
        encoded = self._tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, return_attention_mask=False, verbose=False
        )
        tokens, offsets = encoded["input_ids"], encoded["offset_mapping"]
        room = self._most - len(self._ends)
        return [
            _Window(number, offsets[low][0], offsets[min(low + room, len(tokens)) - 1][1], tokens[low : low + room])
            for low in range(0, len(tokens), room)
        ] or [_Window(number, 0, len(text), [])]

    def _run(self, windows: Sequence[_Window]) -> list[list[float]]:
        """Scores of each window by label."""
        import torch

        found: list[list[float]] = [[]] * len(windows)
        with torch.inference_mode():
            for batch in self._batches(windows):
                inputs = self._tokenizer.pad(
                    {"input_ids": [self._with_special(windows[place].tokens) for place in batch]}, return_tensors="pt"
                )
                logits_BL = self._model(**inputs.to(self.device)).logits
                for place, scores in zip(batch, torch.sigmoid(logits_BL.float()).cpu().tolist(), strict=True):
                    found[place] = [round(each, ROUNDED) for each in scores]
        return found

    def _with_special(self, tokens: list[int]) -> list[int]:
        start, end = self._ends
        return [start, *tokens, end]

    def _batches(self, windows: Sequence[_Window]) -> Iterable[list[int]]:
        """Places of windows, those of like length together."""
        if self.on_cpu:
            yield from ([place] for place in range(len(windows)))
            return
        batch: list[int] = []
        for place in sorted(range(len(windows)), key=lambda each: -len(windows[each].tokens)):
            longest = len(windows[batch[0]].tokens) if batch else 0
            if batch and (len(batch) + 1) * (longest + len(self._ends)) > BATCH_TOKENS:
                yield batch
                batch = []
            batch.append(place)
        if batch:
            yield batch

    def _gather(self, texts: int, windows: Sequence[_Window], scores: list[list[float]]) -> list[Toxicity]:
        members: list[list[int]] = [[] for _ in range(texts)]
        for place, window in enumerate(windows):
            members[window.text].append(place)
        found = []
        for places in members:
            worst = max(places, key=lambda place: (max(scores[place]), -windows[place].start))
            weights = [max(1, len(windows[place].tokens)) for place in places]
            columns = list(zip(*(scores[place] for place in places), strict=True))
            means = [sum(w * s for w, s in zip(weights, column, strict=True)) / sum(weights) for column in columns]
            found.append(
                Toxicity(
                    self.source.title,
                    dict(zip(self.labels, map(max, columns), strict=True)),
                    {label: round(mean, ROUNDED) for label, mean in zip(self.labels, means, strict=True)},
                    len(places),
                    windows[worst].start,
                    windows[worst].end,
                )
            )
        return found


def _chosen(windows: list[_Window], hot: Sequence[tuple[int, int, float]] | None, most: int) -> list[_Window]:
    """The windows to score: at least one, in order."""
    if hot is None and len(windows) <= most:
        return windows
    heat = [0.0] * len(windows)
    if hot is not None:
        for place, window in enumerate(windows):
            heat[place] = max(
                (score for start, end, score in hot if start < window.end and end > window.start), default=0
            )
    order = sorted(range(len(windows)), key=lambda place: (-heat[place], place))
    wanted = [place for place in order[:most] if hot is None or heat[place] > 0] or order[:1]
    return [windows[place] for place in sorted(wanted)]


def _converted(model: Any, device: str, precision: str) -> Any:
    """The model on its device, in its precision."""
    import torch

    if precision == "int8":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch announces that this moves to another package some day
            return torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
    return model.to(device).half() if precision == "half" else model.to(device)
