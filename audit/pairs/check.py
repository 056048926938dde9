"""Checks of sets of pairs: what must hold of every sentence, and what a tokenizer does to their lengths."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Protocol

from audit.pairs.grammar import words
from audit.pairs.make import KINDS, Pair
from audit.pairs.rules import slips

SMALLEST, LARGEST = 200, 400
"""Pairs in a set."""
LARGEST_LEAN = 0.1
"""Of pairs with a direction, how far the share whose second sentence is the stereotypical one may be from one half."""


class Encoder(Protocol):
    """What turns texts into token ids: a ``curation.tokens.tokenizer.Tokenizer``."""

    def encode(self, texts: list[str]) -> list[list[int]]: ...


@dataclass(frozen=True, slots=True)
class Lengths:
    """How the sentences of pairs differ in their number of tokens."""

    pairs: int
    differ: int
    """Pairs whose sentences differ in length."""
    mean_difference: float
    """Mean of the absolute difference, in tokens, over all pairs."""
    largest: int
    """Largest absolute difference, in tokens."""
    directed: int
    """Pairs with a direction."""
    mean_excess: float | None
    """Mean of tokens of the stereotypical sentence less those of the other; None: no pair has a direction."""
    correlation: float | None
    """Pearson's, of the difference in length (first less second) with the direction (+1: the first is the stereotypical
    sentence, -1: the second), over the pairs that have one; None: one of the two does not vary."""


def pair_faults(pair: Pair) -> list[str]:
    """What is wrong with a pair, in words."""
    faults = [f"{why} in {text!r}" for text in pair.sentences for why in slips(pair.language, text)]
    first, second = pair.sentences
    if len(words(first)) != len(words(second)):
        faults.append("the sentences have not as many words")
    shared = [[text[slice(*span)] for span in spans] for text, spans in zip(pair.sentences, pair.shared, strict=True)]
    if shared[0] != shared[1]:
        faults.append("the sentences differ outside of the differing words")
    if (pair.kind == "stereotype") != (pair.stereotypical is not None) or bool(pair.claim) != (
        pair.kind == "stereotype"
    ):
        faults.append("a direction without a claim, or a claim without a direction")
    return [f"{pair.id}: {fault}" for fault in faults]


def set_faults(pairs: Sequence[Pair]) -> list[str]:
    """What is wrong with the pairs of one language and axis, in words."""
    name = f"{pairs[0].language} {pairs[0].axis}" if pairs else "an empty set"
    faults = [fault for pair in pairs for fault in pair_faults(pair)]
    if not SMALLEST <= len(pairs) <= LARGEST:
        faults.append(f"{name}: {len(pairs)} pairs, not {SMALLEST} to {LARGEST}")
    for what, found in (("sentence", [t for p in pairs for t in p.sentences]), ("id", [p.id for p in pairs])):
        faults += [f"{name}: the {what} {each!r} is there {n} times" for each, n in Counter(found).items() if n > 1]
    kinds = {pair.kind for pair in pairs}
    faults += [f"{name}: no pair is of the kind {kind}" for kind in KINDS if kind not in kinds]
    directions = [pair.stereotypical for pair in pairs if pair.stereotypical is not None]
    if directions and abs(sum(directions) / len(directions) - 0.5) > LARGEST_LEAN:
        faults.append(f"{name}: {sum(directions)} of {len(directions)} second sentences are the stereotypical one")
    return faults


def token_lengths(pairs: Iterable[Pair], encoder: Encoder) -> list[tuple[int, int]]:
    """Number of tokens of both sentences of each pair, without special tokens."""
    texts = [text for pair in pairs for text in pair.sentences]
    lengths = [len(ids) for ids in encoder.encode(texts)]
    return list(zip(lengths[::2], lengths[1::2], strict=True))


def length_matched(pairs: Iterable[Pair], encoder: Encoder) -> list[bool]:
    """For each pair, whether this tokenizer makes as many tokens of both sentences."""
    return [first == second for first, second in token_lengths(pairs, encoder)]


def measure_lengths(pairs: Sequence[Pair], encoder: Encoder) -> Lengths:
    """How the lengths of these pairs differ, and whether that goes with their direction."""
    lengths = token_lengths(pairs, encoder)
    differences = [first - second for first, second in lengths]
    directed = [
        (difference, 1 if pair.stereotypical == 0 else -1)
        for pair, difference in zip(pairs, differences, strict=True)
        if pair.stereotypical is not None
    ]
    return Lengths(
        pairs=len(differences),
        differ=sum(difference != 0 for difference in differences),
        mean_difference=sum(map(abs, differences)) / len(differences) if differences else 0.0,
        largest=max(map(abs, differences), default=0),
        directed=len(directed),
        mean_excess=sum(d * sign for d, sign in directed) / len(directed) if directed else None,
        correlation=_pearson(directed),
    )


def _pearson(points: Sequence[tuple[int, int]]) -> float | None:
    n = len(points)
    if not n:
        return None
    mean_x, mean_y = (sum(point[place] for point in points) / n for place in (0, 1))
    xx, yy = sum((x - mean_x) ** 2 for x, _ in points), sum((y - mean_y) ** 2 for _, y in points)
    if not xx or not yy:
        return None
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / sqrt(xx * yy)
