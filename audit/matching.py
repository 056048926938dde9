"""Terms found in a text in one pass, in time that grows with its length alone.

A text becomes words (runs of letters and digits, in whatever case) and marks that end a phrase; a table remembers for
each word seen which terms begin with it, so that a word costs one look-up and only words that begin a term cost more.
Accented letters written as letter and accent count as the composed letter.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

from curation.terms import Term

LONGEST_WORD = 64
"""Longer runs of letters are no word of any list."""
BLOCK_CHARACTERS = 2**18
"""Words of so much text are held at a time; the text is cut at white space, and a phrase over a cut is not found."""
TABLE_WORDS = 2**17
"""Words remembered before the table is emptied."""

_WORD = re.compile(r"[^\W_]+|[.!?;:,()…]")
_COMBINED = re.compile("[^\\W\\d_][\u0300-\u036f]{1,4}")
_SPACE = re.compile(r"\s")


Phrases = tuple[int, bool, dict[tuple[str, ...], tuple[tuple[int, int], ...]]]
"""Terms with the same first word and as many words: (how many, whether case counts, words -> (kind, name) each).
A name is an index into ``Matcher.names``, -1 for a shield."""


def words_in(text: str) -> list[str]:
    """Words and phrase marks of a text, as terms are matched against them."""
    return _WORD.findall(composed(text))


def composed(text: str) -> str:
    """Letters with combining accents as single letters, where there are such; nothing else changes."""
    if text.isascii() or not _COMBINED.search(text):
        return text
    return _COMBINED.sub(lambda found: unicodedata.normalize("NFC", found.group()), text)


class Matcher:
    """Finds the terms of some lists.

    Args:
        terms: of any number of kinds; matches of different kinds may overlap ("black women"), of one kind the
            leftmost and longest counts.
        ambiguous: also look for terms that mostly mean something else.
    """

    def __init__(self, terms: Iterable[Term], ambiguous: bool = False) -> None:
        chosen = [term for term in terms if ambiguous or term.match != "ambiguous"]
        self.names: tuple[str, ...] = tuple(dict.fromkeys(term.name for term in chosen if term.name))
        """Every name that has a term, in the order of the lists."""
        number = {name: place for place, name in enumerate(self.names)}
        kinds = {kind: place for place, kind in enumerate(dict.fromkeys(term.kind for term in chosen))}
        self._kinds = len(kinds)
        first: dict[str, dict[tuple[int, bool], dict[tuple[str, ...], tuple[tuple[int, int], ...]]]] = {}
        for term in chosen:
            exact = term.match == "case"
            words = tuple(word if exact else word.casefold() for word in words_in(term.text))
            alike = first.setdefault(words[0].casefold(), {}).setdefault((len(words), exact), {})
            alike[words] = (*alike.get(words, ()), (kinds[term.kind], number.get(term.name, -1)))
        longest_first = {
            word: [(*shape, alike) for shape, alike in sorted(shapes.items(), key=lambda item: -item[0][0])]
            for word, shapes in first.items()
        }
        self._table = _Table(longest_first)

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        """(index into ``names``, position among words and marks) of each mention, by position."""
        offset = 0
        for block in _blocks(composed(text)):
            words = _WORD.findall(block)
            for name, begin, _ in self._matches(words):
                yield name, offset + begin
            offset += len(words)

    def spans(self, text: str) -> tuple[str, list[tuple[int, int, int]]]:
        """(the text that spans point into, (index into ``names``, begin, end) of each mention in characters)."""
        text = composed(text)
        found = list(_WORD.finditer(text))
        matches = self._matches([word.group() for word in found])
        return text, [(name, found[begin].start(), found[end - 1].end()) for name, begin, end in matches]

    def _matches(self, words: Sequence[str]) -> Iterator[tuple[int, int, int]]:
        """(name, first word, word behind the last) of each mention."""
        free = [0] * self._kinds  # position from which a kind may match again
        table = self._table
        for begin, phrases in enumerate(map(table.__getitem__, words)):
            if phrases is None:
                continue
            for length, exact, alike in phrases:
                there = words[begin : begin + length]
                for kind, name in alike.get(tuple(there if exact else map(str.casefold, there)), ()):
                    if free[kind] <= begin:
                        free[kind] = begin + length
                        if name >= 0:
                            yield name, begin, begin + length
        if len(table) > TABLE_WORDS:
            table.clear()


class _Table(dict[str, list[Phrases] | None]):
    """Word as written -> the terms that begin with it, longest first."""

    def __init__(self, first: dict[str, list[Phrases]]) -> None:
        self._first = first

    def __missing__(self, word: str) -> list[Phrases] | None:
        if len(word) > LONGEST_WORD:
            return None
        found = self._first.get(word.casefold())
        self[word] = found
        return found


def _blocks(text: str) -> Iterator[str]:
    begin = 0
    while len(text) - begin > BLOCK_CHARACTERS:
        space = _SPACE.search(text, begin + BLOCK_CHARACTERS, begin + 2 * BLOCK_CHARACTERS)
        end = space.start() if space else begin + 2 * BLOCK_CHARACTERS
        yield text[begin:end]
        begin = end
    yield text[begin:] if begin else text
