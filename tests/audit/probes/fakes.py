"""Models whose preferences are known: none at all, or one that is planted."""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from audit.items import Encoded, Generated, Inside, Item, Score, Start, TooLong, WordVectors
from audit.source import Source

Preference = Callable[[str], float]


def drawn(*parts: object) -> np.random.Generator:
    """Random numbers that depend on these values alone."""
    digest = hashlib.blake2b("\0".join(map(str, parts)).encode(), digest_size=8).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))


class FakeEncoder:
    """A token a word."""

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Hashes of words."""
        return [[hash(word) % 50_000 for word in text.split()] for text in texts]

    def offsets(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """[begin, end) of words."""
        return [[word.span() for word in re.finditer(r"\S+", text)] for text in texts]

    def unscorable(self, items: Sequence[Item], too_long: TooLong = "refuse") -> dict[int, str]:
        """All can be scored."""
        return {}


class FakeModel:
    """Scores texts at random, the same text the same each time.

    Args:
        seed: another seed, another model.
        preference: nats that are added to the log-likelihood of a text (context and continuation).
        writes: what it goes on to write behind a prompt; None: random words.
        vectors: of words and texts; None: random.
    """

    def __init__(
        self,
        seed: int,
        preference: Preference | None = None,
        writes: Callable[[str, np.random.Generator], str] | None = None,
        vector: Callable[[str], np.ndarray[Any, Any]] | None = None,
    ) -> None:
        self.seed, self.preference, self.writes, self.vector = seed, preference, writes, vector
        self.encoder = FakeEncoder()
        self.source = Source("model", f"fake-{seed}", "fake", "0" * 64)
        self.layers, self.longest, self.batch_tokens = 2, 1024, None

    def log_likelihood(self, items: Sequence[Item], too_long: TooLong = "refuse", packed: bool = True) -> list[Score]:
        """About 3 nats a word, and noise."""
        return [self._score(item) for item in items]

    def _score(self, item: Item) -> Score:
        words = item.continuation.split()[: item.most] or [""]
        values = -3 + drawn(self.seed, item.start, item.context, item.continuation).normal(0, 1, len(words))
        if self.preference:
            values += self.preference(item.context + item.continuation) / len(words)
        ids = tuple(self.encoder.ids([" ".join(words)])[0]) or (0,)
        encoded = Encoded((1,), ids, None if item.start == "none" else 1, 0, 0, False)
        return Score(encoded, tuple(values.tolist()), (False,) * len(values))

    def generate(
        self,
        prompts: Sequence[str],
        start: Start,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
        stop: Sequence[str] = (),
        too_long: TooLong = "refuse",
    ) -> list[Generated]:
        """Random words, or what ``writes`` says."""
        found = []
        for number, prompt in enumerate(prompts):
            random = drawn(self.seed, prompt, sum(each == prompt for each in prompts[:number]))
            text = self.writes(prompt, random) if self.writes else " ".join(random.choice(list("abcdefgh"), 6))
            found.append(Generated((1,), 1, 0, tuple(self.encoder.ids([text])[0]), text, "length"))
        return found

    def word_vectors(self, words: Sequence[str], leading_space: bool) -> WordVectors:
        """Of 16 dimensions."""
        vectors = np.stack([self._vector(word) for word in words]).astype(np.float32)
        return WordVectors(tuple((1,) for _ in words), vectors)

    def embeddings(self, texts: Sequence[str], start: Start, layers: Sequence[int] | None = None) -> Iterator[Inside]:
        """One vector a text, for each word of it."""
        for text in texts:
            count = len(text.split()) + (start != "none")
            values = np.tile(self._vector(text), (len(layers or (0, 1, 2)), count, 1)).astype(np.float32)
            yield Inside(tuple(range(count)), None, ((0, 0),) * count, values)

    def _vector(self, text: str) -> np.ndarray[Any, Any]:
        own = drawn(self.seed, text).normal(0, 1, 16)
        return own if self.vector is None else own + self.vector(text)
