"""The programming language of a source file, from its name and, where that is ambiguous, its text."""

import io
import re
from functools import cache, lru_cache

_PROSE = frozenset(
    {"text", "todotxt", "output", "markdown", "restructuredtext", "html", "groff", "mediawiki", "trac-wiki"}
    | {"org", "tid", "email", "irc", "asc"}
)
"""Pygments' names for what is text, or HTML, and not code."""

_NAMES = {"splus": "r", "perl6": "raku", "asm": "gas", "sql+jinja": "sql"}
"""The usual name where the first one that pygments lists is another."""

_EXTRA = {".r": ("r",), ".ipynb": ("json",), ".h": ("c", "cpp", "objective-c"), ".mjs": ("javascript",)}
"""Extensions that pygments lacks, or that nearly always mean something else than it says."""

_USUAL = frozenset(
    {"c", "cpp", "perl", "r", "sql", "gas", "nasm", "matlab", "verilog", "fsharp", "php", "actionscript3"}
    | {"common-lisp", "aspx-cs", "ini", "lean4", "gdscript", "turtle", "prolog", "python", "tex", "xslt"}
    | {"gherkin", "vb.net", "swig", "gap", "idl", "promela", "maxima"}
)
"""Of several languages with one extension, the one that is meant where the text does not tell."""

_CPP = re.compile(r"^\s*(?:class\s+\w+|namespace\b|template\s*<|(?:public|private|protected):|using\s)", re.M)
_OBJECTIVE_C = re.compile(r"^\s*(?:@(?:interface|protocol|implementation|class|import)\b|#import\b)", re.M)
_TEXT_CHARACTERS = 8192
"""How much of a file decides between languages."""


def programming_language(name: str, head: bytes) -> str | None:
    """The programming language (``python``, ``c``, pygments' first alias); None for text and HTML.

    Args:
        name: the file's name without a compression suffix, with or without folders.
        head: the beginning of its content, in an encoding that contains ASCII.
    """
    base = name.rpartition("/")[2]
    candidates = _candidates_by_name(base)
    if not candidates:
        return _by_shebang(head) if head.startswith(b"#!") and "." not in base else None
    language = candidates[0]
    if len(candidates) > 1:
        language = _by_text(candidates, head[:_TEXT_CHARACTERS].decode("utf-8", "replace"))
    return None if language in _PROSE else _NAMES.get(language, language)


@cache
def _patterns() -> tuple[dict[str, tuple[str, ...]], list[tuple[re.Pattern[str], str]]]:
    """File name or extension -> languages, and the rest of pygments' patterns."""
    import fnmatch

    from pygments.lexers import get_all_lexers

    exact: dict[str, tuple[str, ...]] = {}
    others = []
    for title, aliases, patterns, _ in get_all_lexers(plugins=False):
        language = (aliases[0] if aliases else title).lower()
        for pattern in patterns:
            key = pattern.removeprefix("*") if pattern.startswith("*.") else pattern
            if not any(c in key for c in "*?["):
                exact[key] = (*exact.get(key, ()), language)
            elif language not in _PROSE:
                others.append((re.compile(fnmatch.translate(pattern)), language))
    return exact | _EXTRA, others


@lru_cache(maxsize=4096)
def _candidates_by_name(base: str) -> tuple[str, ...]:
    exact, others = _patterns()
    for key in (base, base.lower()):
        at = 0
        while at >= 0:  # the whole name, then every suffix, the longest first
            if (found := exact.get(key[at:])) is not None:
                return found
            at = key.find(".", at + 1)
    return next(((language,) for pattern, language in others if pattern.match(base)), ())


def _by_text(candidates: tuple[str, ...], text: str) -> str:
    from pygments.lexers import find_lexer_class_by_name

    if "objective-c" in candidates and _OBJECTIVE_C.search(text):
        return "objective-c"
    if candidates == _EXTRA[".h"]:
        return "cpp" if _CPP.search(text) else "c"

    def rank(language: str) -> tuple[float, bool, str]:
        return find_lexer_class_by_name(language).analyse_text(text), language in _USUAL, language

    return max(candidates, key=rank)


def _by_shebang(head: bytes) -> str | None:
    """From a first line such as ``#!/usr/bin/env python3``."""
    from identify.identify import parse_shebang, tags_from_interpreter

    command = parse_shebang(io.BytesIO(head[:1024]))
    tags = tags_from_interpreter(command[0]) if command else set()
    named = sorted(tag for tag in tags if _is_alias(tag))
    for language in ("bash" if "shell" in tags else "", *named):
        if language:
            return language
    return None


@cache
def _is_alias(tag: str) -> bool:
    """Whether a tag of the package identify is pygments' first name of a language."""
    from pygments.lexers import get_all_lexers

    return any(aliases[:1] == (tag,) for _, aliases, _, _ in get_all_lexers(plugins=False))
