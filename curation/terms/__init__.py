"""Lists of words that audits look for, in readable files beside this one.

``eng.csv``, ``spa.csv``, ``fra.csv``, ``deu.csv`` name identity groups; ``dialects.csv`` has markers of language
varieties, ``attributes.csv`` words whose company is measured. The identity lists are our own; their dimensions are
those that audits of models ask about (Smith et al. 2022, HolisticBias, https://aclanthology.org/2022.emnlp-main.625;
Parrish et al. 2022, BBQ, https://aclanthology.org/2022.findings-acl.165).

How to read and write them:

- One line a group and way of matching; ``terms`` are separated by `` | ``. Forms of gender, number and case stand
  there one by one, for short in braces: ``musulm{án,ana,anes,anas}`` are four terms. Nothing is stemmed.
- Terms are words, or phrases of consecutive words. Hyphens and apostrophes separate words, in terms as in texts:
  ``african american`` finds "African-American", ``french`` "anti-French", ``homme`` "l'homme". A sentence mark or a
  comma ends a phrase. Accents count: ``papá`` is not ``papa``.
- ``match``: ``any`` upper and lower case alike; ``case`` exactly so (Polish food, polish the shoes);
  ``ambiguous`` more often something else, looked for only when asked; ``shield`` no mention, although a term is in
  it ("latin american" is not a mention of the United States): inside one dimension the longest match wins.
- A term stands in one group of a dimension only. Groups are the same in all languages.

What is left out on purpose: personal pronouns (nearly every text has some), names of countries and of persons (about
places and people rather than groups), slurs (they are about speech, and filters of bad words take them anyway), German
compounds (Judenverfolgung), and words that mostly mean something else even with a capital: colours alone (black, noir,
blanco, weiß: only in phrases such as "black people"), English may and blind (blind test), French vieux, German Alte.
Names of languages that equal a nationality (French, chino) count as mentions of it. A list finds who is named, not who
is meant, and misses many; a group that it finds rarely is not scored rather than 0.
"""

import csv
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from curation.errors import UserError

DIMENSIONS = ("gender", "religion", "ethnicity", "nationality", "disability", "age", "sexual_orientation")
MATCHES = ("any", "case", "ambiguous", "shield")

_BRACES = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Term:
    """A word or phrase that stands for a name (``religion:muslim``); ``shield`` stands for none."""

    kind: str
    """Dimension, ``dialect`` or ``attribute``: matches of one kind do not overlap."""
    name: str
    """``religion:muslim``; empty: a shield."""
    match: str
    text: str


def expand(term: str) -> list[str]:
    """A term with its braces written out: ``senior{,s}`` is senior, seniors."""
    parts = _BRACES.split(term)
    choices = [part.split(",") if place % 2 else [part] for place, part in enumerate(parts)]
    return ["".join(chosen) for chosen in itertools.product(*choices)]


def languages() -> list[str]:
    """Languages (``eng``) that have a list of identity terms."""
    found = (path.name for path in files(__name__).iterdir())
    return sorted(name[:-4] for name in found if re.fullmatch(r"[a-z]{3}\.csv", name))


@cache
def identity_terms(language: str) -> tuple[Term, ...]:
    """The identity terms of a language (``eng``, or ``eng_Latn``), empty for one without a list."""
    code = language.partition("_")[0]
    if code not in languages():
        return ()
    return tuple(_identity(_rows(f"{code}.csv")))


def _identity(rows: Iterable[dict[str, str]]) -> Iterator[Term]:
    for row in rows:
        name = f"{row['dimension']}:{row['group']}" if row["group"] else ""
        for text in _terms(row):
            yield Term(row["dimension"], name, row["match"], text)


def read_terms(path: Path) -> tuple[str, tuple[Term, ...]]:
    """(language, identity terms) of a list of one's own, ``<language>.csv`` in the format of those here.

    Raises:
        UserError: no such file, or another format.
    """
    if not re.fullmatch(r"[a-z]{3}(_[A-Z][a-z]{3})?", path.stem):
        raise UserError(f"--terms {path}: name the file by its language, por.csv for example")
    try:
        terms = tuple(_identity(_parsed(path.read_text("utf-8"))))
    except FileNotFoundError as error:
        raise UserError(f"--terms {path}: no such file") from error
    except (KeyError, AttributeError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"--terms {path}: is no CSV with the columns dimension, group, match, terms") from error
    if not terms:
        raise UserError(f"--terms {path}: has no term")
    return path.stem, terms


@cache
def dialect_terms(language: str) -> tuple[Term, ...]:
    """Markers of the varieties of a language."""
    return _of_language("dialects.csv", "dialect", language)


@cache
def attribute_terms(language: str) -> tuple[Term, ...]:
    """Attribute words of a language."""
    return _of_language("attributes.csv", "attribute", language)


def _of_language(file: str, kind: str, language: str) -> tuple[Term, ...]:
    rows = (row for row in _rows(file) if row["language"] == language.partition("_")[0])
    return tuple(Term(kind, f"{kind}:{row[kind]}", "any", text) for row in rows for text in _terms(row))


def _terms(row: dict[str, str]) -> Iterator[str]:
    for term in row["terms"].split(" | "):
        yield from expand(term.strip())


def _rows(file: str) -> list[dict[str, str]]:
    return _parsed((files(__name__) / file).read_text("utf-8"))


def _parsed(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
