"""What all finders of personal data share: spans, the context of a number, and windows that may hold numbers."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Span(NamedTuple):
    """One piece of personal data."""

    start: int
    """Index of its first character."""
    end: int
    """Index behind its last character."""
    kind: str
    """One of ``KINDS``."""


KINDS = ("key", "email", "ip", "iban", "card", "national_id", "phone")
"""Every kind, in the order of precedence: of two that overlap the one named first stands. What is told by a prefix
or a check digit goes before what merely has the right length."""

PLACEHOLDERS = {kind: f"<{kind.upper()}>" for kind in KINDS}
"""Kind -> what masking puts in its place."""

CONTEXT = 48
"""Characters before a number in which a word may say what it is (behind it: half as many)."""

# ---- digits -----------------------------------------------------------------------------------

_ZEROS = (
    # Decimal digits of scripts that write phone numbers (Unicode 15, category Nd): Arabic-Indic, Persian, Devanagari,
    # Bengali, Gurmukhi, Gujarati, Odia, Tamil, Telugu, Kannada, Malayalam, Thai, Lao, Tibetan, Burmese, Khmer, full
    # width
    *(0x660, 0x6F0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xE50, 0xED0, 0xF20, 0x1040),
    *(0x17E0, 0xFF10),
)
_TO_ASCII = {zero + digit: str(digit) for zero in _ZEROS for digit in range(10)} | {
    ord(wide): narrow for wide, narrow in zip("＋－．（）／＠：＿　", "+-.()/@:_ ", strict=True)
}
_FOREIGN = re.compile("[" + "".join(f"{chr(zero)}-{chr(zero + 9)}" for zero in _ZEROS) + "＠]")


def plain(text: str) -> str:
    """The text with digits of other scripts, and fullwidth punctuation, in ASCII; as many characters as before."""
    if text.isascii() or not _FOREIGN.search(text):
        return text
    return text.translate(_TO_ASCII)


# ---- windows ----------------------------------------------------------------------------------

SEPARATORS = "-./() \u00a0\u2009\u202f\u2010-\u2015\u2212"
"""What may stand between the digits of one number, for a character class."""
MOST_DIGITS = 24
"""Digits of the longest number that is looked for, and some more."""

_RUN = re.compile(rf"[0-9][0-9{SEPARATORS}]{{4,}}[0-9]")
_GAP = re.compile(rf"[{SEPARATORS}]{{4,}}| / | [-\u2010-\u2015] |\) ?\(")
_WIDE_GAP = re.compile(rf"[{SEPARATORS}]{{4,}}")
_STRIP = "-./() \u00a0\u2009\u202f\u2010\u2011\u2012\u2013\u2014\u2015\u2212"
_NO_DIGIT = re.compile(r"[^0-9]+")
_YEAR = "(?:1[5-9]|20)[0-9]{2}"
_DAY = "[0-3]?[0-9]"
_DATE = re.compile(
    rf"{_YEAR}([-./]){_DAY}\1{_DAY}(?: [0-2]?[0-9])?|{_DAY}([-./]){_DAY}\2{_YEAR}(?: [0-2]?[0-9])?"
    rf"|{_YEAR} ?[-/\u2010-\u2015] ?{_YEAR}|[0-9]{{1,3}}\.[0-9]{{4,}}"
)
"""Dates, ranges of years, and numbers with decimals such as coordinates; a whole window."""
_BYTE = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_QUAD = re.compile(rf"(?<![0-9.])(?:{_BYTE}\.){{3}}{_BYTE}(?:/[0-9]{{1,2}})?(?![0-9]|\.[0-9])")
"""An IPv4 address or network, which is no other number."""


class Window(NamedTuple):
    """A stretch of digits and separators within one line, with at least 6 digits."""

    start: int
    end: int
    digits: str
    """Its digits alone."""


def windows(text: str) -> list[Window]:
    """Where numbers may be, dates and decimals left out.

    A stretch of more than ``MOST_DIGITS`` digits is cut at wide gaps and slashes; a part that is still longer is a
    table or a constant, and is left out.
    """
    found = []
    for run in _RUN.finditer(text):
        for wide in _cut(text, run.start(), run.end(), _WIDE_GAP):
            for start, end in _cut(text, *wide, _QUAD):
                digits = _NO_DIGIT.sub("", text[start:end])
                if len(digits) > MOST_DIGITS:
                    found += [part for cut in _cut(text, start, end, _GAP) if (part := _window(text, *cut))]
                elif part := _window(text, start, end):
                    found.append(part)
    return found


def _window(text: str, start: int, end: int) -> Window | None:
    """Separators at both ends cut off; None for what is no number or too long."""
    piece = text[start:end]
    start += len(piece) - len(piece.lstrip(_STRIP))
    piece = piece.strip(_STRIP)
    digits = _NO_DIGIT.sub("", piece)
    if not 6 <= len(digits) <= MOST_DIGITS or _DATE.fullmatch(piece):
        return None
    return Window(start, start + len(piece), digits)


def _cut(text: str, start: int, end: int, gap: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    for each in gap.finditer(text, start, end):
        if each.start() > start:
            yield start, each.start()
        start = each.end()
    if end > start:
        yield start, end


# ---- context ----------------------------------------------------------------------------------


def words(*alternatives: str) -> re.Pattern[str]:
    """A pattern for words that say what a number is; each a regular expression, matched in any case.

    A Latin, Cyrillic or Greek one begins where a word begins; write ``$`` behind one that must be the whole word.
    """
    return re.compile(
        "|".join((rf"(?<![^\W\d_]){each}" if _CASED.match(each) else each).replace("$", r"(?![^\W\d_])")
                 for each in alternatives),
        re.IGNORECASE,
    )  # fmt: skip


_CASED = re.compile("[A-Za-z\u00c0-\u024f\u0370-\u03ff\u0400-\u052f]")


def said(text: str, start: int, end: int, pattern: re.Pattern[str]) -> bool:
    """Whether a word stands near ``text[start:end]``: before it, or closer behind it; in its paragraph."""
    before = text[max(0, start - CONTEXT) : start]
    blank = before.rfind("\n\n")
    if pattern.search(before, blank + 1):
        return True
    after = text[end : end + CONTEXT // 2]
    return bool(pattern.search(after.partition("\n")[0]))


class Taken:
    """Spans without overlap, kept sorted."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def free(self, start: int, end: int) -> bool:
        """Whether nothing there is taken."""
        at = bisect_right(self.spans, (start, end))
        return not (at and self.spans[at - 1].end > start) and not (at < len(self.spans) and self.spans[at].start < end)

    def add(self, spans: Iterable[Span]) -> None:
        """Take those that are free, the earliest and longest first."""
        found = sorted(spans, key=lambda each: (each.start, -each.end))
        new = []
        end = -1
        for each in found:
            if each.start >= end and self.free(each.start, each.end):
                new.append(each)
                end = each.end
        if new:
            self.spans = sorted(self.spans + new)
