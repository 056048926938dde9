"""Texts with personal data marked in them, invented for this purpose: what ``curation.pii`` is measured on.

``pii_cases.txt`` holds a case a line, ``language|text``, personal data in it as ``{kind|text}``; ``~`` is a new line.
``¦`` is left out: it keeps tools that look for secrets from stopping at the invented ones. Lines with ``#`` are titles.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from curation.language import known_languages
from curation.pii import KINDS, PiiConfig, Span, find

_MARKED = re.compile(r"\{(" + "|".join(KINDS) + r")\|([^{}]*)\}")


@dataclass(frozen=True)
class Case:
    """A text and what is to be found in it."""

    language: str
    text: str
    spans: tuple[Span, ...]


@dataclass
class Score:
    """Found spans of one kind, against marked ones."""

    right: int = 0
    wrong: int = 0
    missed: int = 0

    @property
    def precision(self) -> float:
        """Share of found spans that are marked; 1 where none is found."""
        return self.right / (self.right + self.wrong) if self.right + self.wrong else 1.0

    @property
    def recall(self) -> float:
        """Share of marked spans that are found; 1 where none is marked."""
        return self.right / (self.right + self.missed) if self.right + self.missed else 1.0


def cases() -> list[Case]:
    """All cases."""
    scripts = {each.code: each.scripts[0] for each in known_languages().values()}
    found = []
    for line in (Path(__file__).parent / "pii_cases.txt").read_text("utf-8").splitlines():
        if line.startswith("#") or not line:
            continue
        code, _, marked = line.replace("¦", "").replace("~", "\n").partition("|")
        text, spans, end = "", [], 0
        for each in _MARKED.finditer(marked):
            text += marked[end : each.start()]
            spans.append(Span(len(text), len(text) + len(each[2]), each[1]))
            text += each[2]
            end = each.end()
        language = code if code == "und" else f"{code}_{scripts[code]}"
        found.append(Case(language, text + marked[end:], tuple(spans)))
    return found


def scores(judged: Iterable[Case]) -> tuple[dict[str, Score], list[str]]:
    """Kind -> score, and what went wrong, a line each. A span is right if its kind and both its ends are."""
    result = {kind: Score() for kind in KINDS}
    lines = []
    for case in judged:
        found, marked = set(find(case.text, case.language, PiiConfig())), set(case.spans)
        for each in found & marked:
            result[each.kind].right += 1
        for each in found - marked:
            result[each.kind].wrong += 1
        for each in marked - found:
            result[each.kind].missed += 1
        lines += [
            f"{what} {each.kind} {case.text[each.start : each.end]!r} ({case.language}: {case.text!r})"
            for what, spans in (("wrong", found - marked), ("missed", marked - found))
            for each in sorted(spans)
        ]
    return result, lines
