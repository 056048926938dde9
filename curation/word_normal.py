"""The form of a word in which duplicates are compared."""

import unicodedata

import regex

LONGEST_PIECE = 256
"""Characters normalised together: Unicode's normal forms sort the marks on a letter, which takes the square of
their number, and a hostile word is nothing but marks."""

_EDGES = regex.compile(r"\A[\p{P}\p{S}\p{Z}\p{C}]+|[\p{P}\p{S}\p{Z}\p{C}]+\Z")
_INVISIBLE = regex.compile(r"\p{Default_Ignorable_Code_Point}+")  # soft hyphens, joiners, variation selectors
_APOSTROPHES = str.maketrans("’‘ʼ＇", "''''")
_ASCII_EDGES = "".join(chr(code) for code in range(128) if not chr(code).isalnum())


def normal_form(word: str) -> str:
    """Case, width, typography and marks around a word undone; empty for a word of marks and symbols alone.

    The form is NFKC with case folded (https://www.unicode.org/reports/tr15/), so that ``Ｆｕｌｌ``, ``full`` and
    ``FULL`` are one, without invisible characters, with one kind of apostrophe, and without marks and symbols at
    its ends: ``Mr.`` is ``mr``, ``U.S.`` stays apart from ``us``.

    datatrove's ``simplify_text``, which goes before its MinHash, goes further: it drops accents, which in many
    scripts are vowels or tones (Hindi, Thai, Arabic, Vietnamese: other words), and makes every number 0, so that
    tables of different figures become one. We keep both: exact duplicates must be exact, and a near duplicate
    with other numbers is still found by the words around them.
    """
    if word.isascii():
        return word.lower() if word.isalnum() else word.lower().strip(_ASCII_EDGES)
    if len(word) > LONGEST_PIECE:
        pieces = (word[begin : begin + LONGEST_PIECE] for begin in range(0, len(word), LONGEST_PIECE))
        form = "".join(map(_fold, pieces))
    else:
        form = _fold(word)
    return form if form.isalnum() else _EDGES.sub("", _INVISIBLE.sub("", form).translate(_APOSTROPHES))


def _fold(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", folded)  # folding can leave a form that is not normal
