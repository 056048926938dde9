"""What items and documents are compared by: normalised words, and single letters where words have no spaces.

Words of Chinese or Thai come from dictionaries, and the same sentence is cut differently beside other text: a
verbatim item would be missed. Letters are not; where words count, several letters stand for one.

Where there are spaces, words depend on the language (``curation.word_rules``), which is often wrong for an item of
six words. So an item is split by the rules of every kind of language, and each way that differs is looked for: its
own language is never asked for, and that of the document may be any.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import chain
from typing import Any

import numpy as np
from datatrove.data import Document

from curation.language import known_languages
from curation.unspaced import letters_without_spaces, spread_letters, unspaced_splitter
from curation.word_rules import Kind, Rules, Tokens, kind_of
from curation.words import LONGEST_KEPT, Words, words_of

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Scale:
    """How many units stand for the words of the specification."""

    name: str
    least: int
    """Units of the shortest item that is looked for, as six words are."""
    short: int
    """Items with fewer units have n-grams of ``short_seed``."""
    short_seed: int
    seed: int
    """n-grams by which near copies are found."""
    run: int
    """n-grams of which one is enough, as 13 words are."""
    changed: float
    """Share of the units that may be changed."""
    changed_long: float
    """The same for items of three times ``least``."""


WORDS = Scale("words", least=6, short=9, short_seed=3, seed=4, run=13, changed=1 / 6, changed_long=1 / 5)
"""13 words: Brown et al. 2020, appendix C (https://arxiv.org/abs/2005.14165). An item of W words of which one in six
is changed has a run of at least (W - c) / (c + 1) words, c = W / 6, left: 3 words below 8, 4 up to 24."""
HAN = Scale("letters", least=10, short=0, short_seed=4, seed=4, run=21, changed=1 / 5, changed_long=1 / 4)
"""A word of Chinese or Japanese text has 1.6 letters on average, and one in six that is replaced by another, which may
be longer, changes a fifth of the letters."""
SYLLABIC = Scale("letters", least=24, short=0, short_seed=8, seed=8, run=52, changed=1 / 5, changed_long=1 / 4)
"""A word of Thai, Lao, Khmer or Burmese has about four letters and signs, one of Tibetan too."""
SCALES = (WORDS, HAN, SYLLABIC)


LONG_CHANGED = 1 / 4
"""Share of the units of texts of sixty words and more that may be changed: they are pieces of long items, some of which
have more than their share of the changes, and text that is alike by chance is far from it."""
TELLING = 45
"""Bits that the unchanged words of a match must carry where more than the nearest number to one in six is changed.

Of the English pages of ``shared/crawl`` 9 % had a match with any of 56,000 published items when two words of seven or
eight might differ (nearly all like "the purpose of this section is to", 36 bits), and 1.3 % with this bound, which 93 %
of the items reach when two of their words are changed.
"""


def changes_allowed(sizes: Array, scales: Array) -> tuple[Array, Array]:
    """int64, twice: how many units may be changed in texts of these sizes, by their index in ``SCALES``: in any case,
    and where the others are ``TELLING``.

    One in six, to the nearest number, and rounded up; rounded up in both from twelve words (as many letters) on, and
    more from 18 and from 60 on, where it makes no false match: what stands between spaces, such as ``can't``, may be
    two of our words. None in a text of fewer than six words.
    """
    least = np.array([each.least for each in SCALES])[scales]
    shares = np.array([(each.changed, each.changed_long) for each in SCALES])[scales]
    share = np.where(sizes < 3 * least, shares[..., 0], shares[..., 1])
    changes = sizes * np.where(sizes < 10 * least, share, LONG_CHANGED)
    most = np.where(sizes < least, 0, np.ceil(changes - 1e-9)).astype(np.int64)
    return np.where(sizes < 2 * least, np.minimum(most, np.floor(changes + 0.5)), most).astype(np.int64), most


def telling_bits(units_F: Array) -> Array:
    """uint8: how many bits each unit carries by its share of all, as if each had also been met once in 2**16 others,
    so that in a few items, where nothing is known of shares, nearly all words tell something."""
    _, inverse, counts = np.unique(units_F, return_inverse=True, return_counts=True)
    bits: Array = np.log2((len(units_F) + 2**16) / (counts[inverse] + 1)).astype(np.uint8)
    return bits


def scale_number(text: str, units: int) -> int:
    """Index in ``SCALES`` of the scale by which a text is measured: that of most of its units."""
    han, syllabic = letters_without_spaces(text)
    if 2 * syllabic > units:
        return 2
    return 1 if 2 * (han + syllabic) > units else 0


def document_words(document: Document, *, letters: bool) -> Words:
    """The words of a document, as items are split.

    Args:
        letters: whether single letters stand for words of scripts without spaces. Without, the words are those
            that all filters share, which is all that is needed where no item is of such a script.
    """
    if letters and any(letters_without_spaces(document.text)):
        language = document.metadata.get("language") or "und"
        return _in_letters(document.text, language, kind_of(language))
    return words_of(document)


def item_units(text: str) -> list[Array]:
    """uint64 of shape [W]: the units of an item, in each way that it may be split; the most likely first."""
    if not any(map(str.isalnum, text)):
        return []
    languages = _languages_of_each_kind()
    if all(map(_is_split_alike, text.split())):
        languages = languages[:1]
    unspaced = any(letters_without_spaces(text))
    found: dict[bytes, Array] = {}
    for language in languages:
        words = _in_letters(text, language, kind_of(language)) if unspaced else Words(text, language)
        found.setdefault(words.normal_W.tobytes(), words.normal_W)
    return list(found.values())


@lru_cache(maxsize=2**16)
def _is_split_alike(chunk: str) -> bool:
    """Whether the rules of every kind of language cut a chunk into the same words."""
    return len({tuple(_splitter(kind_of(language))(chunk)) for language in _languages_of_each_kind()}) == 1


@cache
def _languages_of_each_kind() -> tuple[str, ...]:
    """A label of each kind of language; English first."""
    kinds = {kind_of("eng_Latn"): "eng_Latn"}
    for code, scripts, _ in known_languages().values():
        label = f"{code}_{scripts[0]}"
        if unspaced_splitter("", label) is None:
            kinds.setdefault(kind_of(label), label)
    return tuple(kinds.values())


def _in_letters(text: str, language: str, kind: Kind) -> Words:
    split = _splitter(kind)
    strings = chain.from_iterable(map(split, spread_letters(text).split()))
    return Words.from_strings(text, language, list(strings))


@cache
def _splitter(kind: Kind) -> Callable[[str], Tokens]:
    split = Rules(kind).split
    known = lru_cache(maxsize=2**14)(split)
    return lambda chunk: known(chunk) if len(chunk) <= LONGEST_KEPT else split(chunk)


def places(words: Words) -> Iterator[tuple[int, int]]:
    """Where in the text each unit of ``normal_W`` begins and ends, as offsets of characters."""
    from curation.word_normal import normal_form

    at = 0
    for word in words.strings:
        found = words.text.find(word, at)
        if found < 0:
            return
        at = found + len(word)
        if normal_form(word):
            yield found, at
