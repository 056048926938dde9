"""The words of a document, split once and shared by all filters and by MinHash.

A text between white space (a chunk) mostly occurred before, so its words and what is known of each word are kept
in a table, and the arrays of a document are gathers from it. The table is emptied when it is full: no result
depends on what it holds.

Array suffixes: ``W`` words of the document, ``N`` its n-grams.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache, cached_property
from itertools import chain
from typing import Any, NamedTuple, Self

import numpy as np
import xxhash
from datatrove.data import Document
from datatrove.utils.text import PUNCTUATION_SET

from curation.unspaced import unspaced_splitter
from curation.word_normal import normal_form
from curation.word_rules import Kind, Rules, kind_of

Array = np.ndarray[Any, Any]

BLOCK_CHARACTERS = 2**18
"""How much of a text is split at a time, which bounds the memory of what is not yet in arrays. A text is cut at
white space, a chunk longer than this wherever that is."""
TABLE_WORDS = 2**17
"""Words in a table above which it is emptied after a block: 25 MB. Each kind of language has one, seven at most."""
LONGEST_KEPT = 64
"""Characters of a chunk above which it is not kept: it will not come again."""


class Words:
    """What filters and MinHash ask of the words of one text.

    Words of scripts with spaces are those of spaCy's blank tokenizers (``word_rules``), as in datatrove; those of
    other scripts come from dictionaries (``unspaced``).
    """

    def __init__(self, text: str, language: str) -> None:
        self.text, self.language = text, language

    @classmethod
    def from_strings(cls, text: str, language: str, strings: Sequence[str]) -> Self:
        """A text with words split by somebody else, such as another tokenizer."""
        words = cls(text, language)
        words.strings = list(strings)
        return words

    def __len__(self) -> int:
        return len(self._columns.hashes)

    @cached_property
    def strings(self) -> list[str]:
        """The words in order, punctuation marks among them. Dearer than the arrays: 0.1 ms a page."""
        return list(chain.from_iterable(table.strings(chunks) for table, chunks in self._chunks()))

    @property
    def hashes_W(self) -> Array:
        """uint64: ``word_hash`` of each word."""
        return self._columns.hashes

    @property
    def lengths_W(self) -> Array:
        """int64: characters of each word."""
        return self._columns.lengths

    @property
    def symbol_W(self) -> Array:
        """bool: whether a word consists of punctuation alone, as datatrove's ``PUNCTUATION_SET`` has it."""
        return self._columns.symbol

    @property
    def letter_W(self) -> Array:
        """bool: whether a word has at least one letter."""
        return self._columns.letter

    @cached_property
    def normal_W(self) -> Array:
        """uint64: ``word_hash`` of the ``normal_form`` of each word that has one (a shorter array).

        A text without a letter or digit has the hashes of all its words instead, so that not all such texts are
        equal.
        """
        normal = self._columns.normal
        kept = normal[normal != 0]
        return kept if len(kept) else self._columns.hashes

    @cached_property
    def _columns(self) -> "_Columns":
        blocks = [table.columns(chunks) for table, chunks in self._chunks()]
        if len(blocks) == 1:
            return blocks[0]
        return _Columns(*(np.concatenate(parts) for parts in zip(_Columns.empty(), *blocks, strict=True)))

    def _chunks(self) -> Iterator[tuple["_Table", Sequence[str]]]:
        """Each block of the text as chunks, and the table that knows how to split them."""
        given = self.__dict__.get("strings")
        if given is not None:
            for begin in range(0, max(len(given), 1), BLOCK_CHARACTERS):
                yield _table(None), given[begin : begin + BLOCK_CHARACTERS]
            return
        splitter = unspaced_splitter(self.text, self.language)
        table = _table(kind_of(self.language))
        for block in _blocks(self.text):
            if splitter:
                yield _table(None), splitter.split(block, table.split)
                table.keep_small()
            else:
                yield table, block.split()


_SPACE = re.compile(r"\s")


def _blocks(text: str) -> Iterator[str]:
    begin = 0
    while len(text) - begin > BLOCK_CHARACTERS:
        space = _SPACE.search(text, begin + BLOCK_CHARACTERS, begin + 2 * BLOCK_CHARACTERS)
        end = space.start() if space else begin + 2 * BLOCK_CHARACTERS
        yield text[begin:end]
        begin = end
    yield text[begin:] if begin else text


def word_hash(word: str) -> int:
    """64 bits of XXH3 (https://xxhash.com), the same in every process. Never 0, which means "no word"."""
    return xxhash.xxh3_64_intdigest(word.encode("utf-8", "surrogatepass")) or 1


_last = Words("", "und")


def words_of(document: Document) -> Words:
    """The words of a document, split at the first call: filters and MinHash ask one after the other, so the
    words of the last text are remembered (by identity, which holding the text makes safe)."""
    language = document.metadata.get("language") or "und"
    if _last.text is not document.text or _last.language != language:
        use_words(Words(document.text, language))
    return _last


def use_words(words: Words) -> None:
    """Make these the words of their text (the same object, not an equal one) until another text is asked about."""
    global _last
    _last = words


# ---- n-grams --------------------------------------------------------------------------------------

_WEIGHTS = np.array([word_hash(f"n-gram weight {place}") | 1 for place in range(256)], dtype=np.uint64)


def ngram_hashes(hashes_W: Array, n: int) -> Array:
    """uint64 hash of each run of ``n`` (1 to 256) consecutive words, shape [max(0, W - n + 1)].

    The sum of the words' hashes, each times a fixed odd random number for its place, modulo 2**64, with the bits
    mixed afterwards. Hashes of words are as good as random, hence two different n-grams meet with a probability
    near 2**-64 (2**-63 if they are the same words in another order, where the difference of two odd numbers
    loses a bit): in a document of a million words one of two million documents has one such pair.

    Raises:
        ValueError: n is out of range.
    """
    if not 1 <= n <= len(_WEIGHTS):
        raise ValueError(f"n-grams of {n} words: 1 to {len(_WEIGHTS)} are possible")
    if len(hashes_W) < n:
        return np.empty(0, dtype=np.uint64)
    hashes_N: Array = np.correlate(hashes_W, _WEIGHTS[:n], "valid")
    # The finalizer of SplitMix64 (https://doi.org/10.1145/2714064.2660195): a bijection in which each bit of the
    # sum reaches each bit of the hash.
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        hashes_N ^= hashes_N >> np.uint64(shift)
        hashes_N *= np.uint64(factor)
    hashes_N ^= hashes_N >> np.uint64(31)
    return hashes_N


# ---- the tables -----------------------------------------------------------------------------------


class _Columns(NamedTuple):
    """What is known of words, one array each."""

    hashes: Array
    lengths: Array
    symbol: Array
    letter: Array
    normal: Array
    """uint64: ``word_hash`` of the normal form, 0 for a word without one."""

    @classmethod
    def empty(cls) -> Self:
        return cls(*(np.empty(0, dtype=dtype) for dtype in (np.uint64, np.int64, np.bool_, np.bool_, np.uint64)))


_COUNT_BITS = 32  # a chunk in a table is one number: its first row, and how many rows it has


class _Table:
    """Chunk -> rows, row -> word and its columns."""

    def __init__(self, split: Callable[[str], tuple[str, ...]]) -> None:
        self._split = split
        self._empty()

    def _empty(self) -> None:
        self._rows = _Rows(self._add)
        self._words: list[str] = []
        self._columns = _Columns.empty()  # of the first rows; arrays are longer than what they hold
        self._filled = 0

    def split(self, chunk: str) -> list[str]:
        """The words of one chunk."""
        packed = self._rows[chunk]
        first = packed >> _COUNT_BITS
        return self._words[first : first + (packed & (2**_COUNT_BITS - 1))]

    def strings(self, chunks: Sequence[str]) -> list[str]:
        """The words of chunks, in order."""
        strings = list(map(self._words.__getitem__, self._gather(chunks).tolist()))
        self.keep_small()
        return strings

    def columns(self, chunks: Sequence[str]) -> _Columns:
        """The columns of the words of chunks, in order."""
        rows_W = self._gather(chunks)
        self._fill()
        columns = _Columns(*(column.take(rows_W) for column in self._columns))
        self.keep_small()
        return columns

    def _gather(self, chunks: Sequence[str]) -> Array:
        packed = np.fromiter(map(self._rows.__getitem__, chunks), dtype=np.int64, count=len(chunks))
        first, count = packed >> _COUNT_BITS, packed & (2**_COUNT_BITS - 1)
        ends = np.cumsum(count)
        total = int(ends[-1]) if len(ends) else 0
        if total == len(chunks):
            return first  # one word each: a chunk has at least one
        rows_W: Array = np.arange(total) + np.repeat(first - ends + count, count)
        return rows_W

    def _add(self, chunk: str) -> int:
        words = self._split(chunk)
        first = len(self._words)
        self._words += words
        return first << _COUNT_BITS | len(words)

    def _fill(self) -> None:
        """Make the columns of words added since."""
        words = self._words[self._filled :]
        if not words:
            return
        size = len(self._words)
        if size > len(self._columns.hashes):
            room = max(2 * size, 1024)
            self._columns = _Columns(*(np.resize(column, room) for column in self._columns))
        new = slice(self._filled, size)
        columns = self._columns
        hashes = list(map(word_hash, words))
        columns.hashes[new] = hashes
        columns.lengths[new] = list(map(len, words))
        columns.symbol[new] = list(map(PUNCTUATION_SET.issuperset, words))
        columns.letter[new] = [word.isalpha() or any(map(str.isalpha, word)) for word in words]
        columns.normal[new] = [
            (own if form == word else word_hash(form)) if form else 0
            for form, word, own in zip(map(normal_form, words), words, hashes, strict=True)
        ]
        self._filled = size

    def keep_small(self) -> None:
        """Begin again when full; never between a look at rows and at what they hold."""
        if len(self._words) > TABLE_WORDS:
            self._empty()


class _Rows(dict[str, int]):
    """Chunk -> where its words are; adds them when they are asked for first."""

    def __init__(self, add: Callable[[str], int]) -> None:
        self._add = add

    def __missing__(self, chunk: str) -> int:
        rows = self._add(chunk)
        if len(chunk) <= LONGEST_KEPT:
            self[chunk] = rows
        return rows


@cache
def _table(kind: Kind | None) -> _Table:
    """The table of a kind of language, or of words that are split already."""
    return _Table(Rules(kind).split if kind else lambda word: (word,))
