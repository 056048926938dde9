"""The words of a document, split once and shared by all filters and by MinHash.

Array suffixes: ``W`` words of the document.
"""

import re
from functools import cached_property
from typing import Any

import numpy as np
import xxhash
from datatrove.data import Document
from datatrove.utils.text import PUNCTUATION_SET

_TOKEN = re.compile(r"\w+|[^\w\s]")


class Words:
    """What filters and MinHash ask of the words of one text."""

    def __init__(self, text: str, language: str) -> None:
        self.text, self.language = text, language
        self.strings: list[str] = _TOKEN.findall(text)
        """The words in order, punctuation marks among them."""

    def __len__(self) -> int:
        return len(self.strings)

    @cached_property
    def hashes_W(self) -> np.ndarray[Any, Any]:
        """uint64: ``word_hash`` of each word."""
        return np.array([word_hash(word) for word in self.strings], dtype=np.uint64)

    @cached_property
    def lengths_W(self) -> np.ndarray[Any, Any]:
        """int64: characters of each word."""
        return np.array([len(word) for word in self.strings], dtype=np.int64)

    @cached_property
    def symbol_W(self) -> np.ndarray[Any, Any]:
        """bool: whether a word consists of punctuation alone."""
        return np.array([all(c in PUNCTUATION_SET for c in word) for word in self.strings], dtype=bool)

    @cached_property
    def letter_W(self) -> np.ndarray[Any, Any]:
        """bool: whether a word has at least one letter."""
        return np.array([any(map(str.isalpha, word)) for word in self.strings], dtype=bool)

    @cached_property
    def normal_W(self) -> np.ndarray[Any, Any]:
        """uint64: ``word_hash`` of each word that is not punctuation alone, case folded (a shorter array)."""
        words = [word.casefold() for word, symbol in zip(self.strings, self.symbol_W, strict=True) if not symbol]
        return np.array([word_hash(word) for word in words], dtype=np.uint64)


def word_hash(word: str) -> int:
    """64 bits of XXH3, the same in every process."""
    return xxhash.xxh3_64_intdigest(word.encode("utf-8", "surrogatepass"))


_last: Words | None = None


def words_of(document: Document) -> Words:
    """The words of a document, split at the first call: filters and MinHash ask one after the other, so the
    words of the last text are remembered (by identity, which holding the text makes safe)."""
    global _last
    language = document.metadata.get("language") or "und"
    if _last is None or _last.text is not document.text or _last.language != language:
        _last = Words(document.text, language)
    return _last


def ngram_hashes(hashes_W: np.ndarray[Any, Any], n: int) -> np.ndarray[Any, Any]:
    """uint64 hash of each run of ``n`` consecutive words, shape [max(0, W - n + 1)]."""
    count = len(hashes_W) - n + 1
    if count < 1:
        return np.empty(0, dtype=np.uint64)
    odd = np.uint64(0x9E3779B97F4A7C15)
    combined = hashes_W[:count].copy()
    for offset in range(1, n):
        combined *= odd
        combined ^= combined >> np.uint64(29)
        combined += hashes_W[offset : offset + count]
    combined ^= combined >> np.uint64(32)
    combined *= np.uint64(0xD6E8FEB86659FD93)
    combined ^= combined >> np.uint64(32)
    return combined
