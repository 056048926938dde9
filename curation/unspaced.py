"""Words of scripts that put no spaces between them: Chinese, Japanese, Thai, Lao, Khmer, Burmese, Tibetan.

Runs of letters of such a script are cut by a dictionary, the rest of the text by the rules of ``word_rules``.
The libraries are loaded at the first run that needs them (CPU ms on a 2 GHz core, memory):

=========== ============================================ ===== ====== ===================================
script      splitter                                      load memory beside datatrove's tokenizer
=========== ============================================ ===== ====== ===================================
Han         rjieba (jieba's algorithm and dictionary)    100   33 MB  jieba: the same words, 12 times slower,
                                                                      680 ms to load
Han + kana  SudachiPy, shortest units, small dictionary   27   36 MB  the core dictionary (193 MB on disk, not
                                                                      110): 99.8 % of words are the same
Thai        PyThaiNLP's newmm, safe mode                 400   78 MB  the same
Lao, Khmer, ICU's dictionaries                            10    5 MB  laonlp takes minutes for a repeated
Burmese                                                               syllable; khmer-nltk brings scikit-learn
                                                                      and pyidaungsu is no longer kept
Tibetan     syllables, which a tsheg ends                  0    0     botok downloads its dictionary
=========== ============================================ ===== ====== ===================================
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import chain
from typing import Any

import numpy as np

LONGEST_RUN = 1000
"""Letters in a row above which a run is cut, so that time stays linear; sentences are shorter."""

_RANGES = {
    "Hani": "\u3005\u3007\u3021-\u3029\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff",
    "Kana": "\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f",
    "Thai": "\u0e01-\u0e3a\u0e40-\u0e4e\u0e50-\u0e59",
    "Laoo": "\u0e81-\u0edf",
    "Khmr": "\u1780-\u17d3\u17d7\u17dc\u17dd\u17e0-\u17e9",
    "Mymr": "\u1000-\u1049\u1050-\u109f\ua9e0-\ua9fe\uaa60-\uaa7f",
    "Tibt": "\u0f00-\u0f0c\u0f18-\u0f39\u0f3e-\u0fbc",
}
"""Letters, vowel signs and digits of each script, as the inside of a character class; no punctuation marks."""
_JAPANESE = frozenset(("Jpan", "Hira", "Kana", "Hrkt"))
_CHINESE = frozenset(("Hani", "Hans", "Hant", "Bopo"))

Split = Callable[[str], Iterable[str]]

# ---- which text is meant --------------------------------------------------------------------------

_OTHER = 1
_FIRST = 2  # the class of the first script in _RANGES


def unspaced_splitter(text: str, language: str) -> "Splitter | None":
    """How to split a text without spaces between words, or None where there are spaces.

    The label decides when it names such a script (``tha_Thai``); otherwise, and for a label that is wrong, the
    text does: most of its letters, and one in 50 characters, are of such scripts. Texts in Han are Japanese if a
    tenth of that is kana.
    """
    script = language.partition("_")[2]
    if script in _CHINESE:
        return Splitter(japanese=False)
    if script in _JAPANESE:
        return Splitter(japanese=True)
    if script not in _RANGES:
        beyond_ascii = len(text.encode("utf-8", "surrogatepass")) - len(text)  # 2 or more for each such letter
        if beyond_ascii * 50 < 2 * len(text) or not text:
            return None
    counts = _letters(text)
    unspaced = counts[_FIRST:].sum()
    if script not in _RANGES and 2 * unspaced <= unspaced + counts[_OTHER]:
        return None
    han, kana = counts[_FIRST], counts[_FIRST + 1]
    return Splitter(japanese=bool(10 * kana >= han + kana > 0))


def _letters(text: str) -> np.ndarray[Any, Any]:
    """How many characters are nothing, other letters, and of each script of _RANGES."""
    classes = _classes()
    counts = np.zeros(_FIRST + len(_RANGES), dtype=np.int64)
    for begin in range(0, len(text), 2**20):
        units = np.frombuffer(text[begin : begin + 2**20].encode("utf-16-le", "surrogatepass"), dtype="<u2")
        counts += np.bincount(classes[units], minlength=len(counts))
    return counts


@cache
def _classes() -> np.ndarray[Any, Any]:
    """uint8 class of each UTF-16 code unit, shape [65536]; the surrogates of Han beyond the basic plane too."""
    classes = np.frombuffer(bytes(map(str.isalpha, map(chr, range(0x10000)))), dtype=np.uint8) * np.uint8(_OTHER)
    for number, ranges in enumerate(_RANGES.values(), start=_FIRST):
        for first, last in re.findall(r"(.)(?:-(.))?", ranges):
            classes[ord(first) : ord(last or first) + 1] = number
    classes[0xD840:0xD8C0] = _FIRST  # U+20000 to U+3FFFF
    return classes


def letters_without_spaces(text: str) -> tuple[int, int]:
    """How many letters of a text are of scripts without spaces: (Han and kana, Thai and the like)."""
    if text.isascii():
        return 0, 0
    counts = _letters(text)[_FIRST:]
    return int(counts[:2].sum()), int(counts[2:].sum())


def spread_letters(text: str) -> str:
    """The text with a space on either side of each letter of a script without spaces."""
    return _any_letter().sub(r" \g<0> ", text)


@cache
def _any_letter() -> re.Pattern[str]:
    return re.compile(f"[{''.join(_RANGES.values())}]")


# ---- splitting ------------------------------------------------------------------------------------


class Splitter:
    """Cuts runs of letters of scripts without spaces into words."""

    def __init__(self, *, japanese: bool) -> None:
        self._runs = _run_pattern(japanese)

    def split(self, text: str, rest: Callable[[str], Iterable[str]]) -> list[str]:
        """The words of a text; ``rest`` splits chunks, without white space, of what is between the runs."""
        words: list[str] = []
        end = 0
        for run in self._runs.finditer(text):
            words += chain.from_iterable(map(rest, text[end : run.start()].split()))
            split = _splitter(run.lastgroup or "")
            for begin in range(run.start(), run.end(), LONGEST_RUN):
                words += split(text[begin : min(begin + LONGEST_RUN, run.end())])
            end = run.end()
        words += chain.from_iterable(map(rest, text[end:].split()))
        return words


@cache
def _run_pattern(japanese: bool) -> re.Pattern[str]:
    ranges = {script: each for script, each in _RANGES.items() if script not in ("Hani", "Kana")}
    ranges |= {"Jpan": _RANGES["Hani"] + _RANGES["Kana"]} if japanese else {"Hani": _RANGES["Hani"]}
    return re.compile("|".join(f"(?P<{script}>[{each}]+)" for script, each in ranges.items()))


@cache
def _splitter(script: str) -> Split:
    """The splitter of one script; loads what it needs."""
    return {"Hani": _chinese, "Jpan": _japanese, "Thai": _thai, "Tibt": _tibetan}.get(script, _by_icu)()


def _chinese() -> Split:
    import rjieba

    split: Split = rjieba.cut
    return split


def _japanese() -> Split:
    from sudachipy import Dictionary, SplitMode

    tokenizer = Dictionary(dict="small").tokenizer(mode=SplitMode.A)
    return lambda run: [word.surface() for word in tokenizer.tokenize(run)]


def _thai() -> Split:
    if not {"PYTHAINLP_READ_ONLY", "PYTHAINLP_READ_MODE"} & os.environ.keys():
        os.environ["PYTHAINLP_READ_ONLY"] = "1"  # else it makes a folder in the user's home
    from pythainlp.tokenize.newmm import segment

    return lambda run: segment(run, safe_mode=True)


def _by_icu() -> Split:
    from icu4py.breakers import WordBreaker

    def split(run: str) -> Iterator[str]:
        # Offsets are UTF-16 units; the letters of these scripts are one each.
        return (run[begin:end] for begin, end in WordBreaker(run, "und").segments())

    return split


_SYLLABLE = re.compile("[^\u0f0b\u0f0c]+[\u0f0b\u0f0c]*|[\u0f0b\u0f0c]+")


def _tibetan() -> Split:
    return _SYLLABLE.findall
