"""The pairs, made of the words of a language and axis: the same each time, whatever else is made."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from audit.pairs.grammar import LANGUAGES, Case, Features, Gender, attach, choose, phrase, sentence, word_spans, words
from audit.pairs.read import AXES, Attribute, Contrast, Template, Words, read_words
from curation.errors import UserError, unknown_name

VERSION = "1"
"""Goes up when a sentence or an id that has been given out changes; not when pairs are added."""

KINDS = ("stereotype", "preference", "control")
"""``stereotype``: one of the sentences says what a claim says; ``preference``: good or bad, of no group in particular;
``control``: the group should not matter at all, so that what is measured comes from the names of groups alone."""

Spans = tuple[tuple[int, int], ...]

_SLOT = re.compile(r"<(the|a|this) who( pl)?(?: (nom|acc|dat))?>")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two sentences of as many words, alike but for the group and what agrees with it."""

    id: str
    language: str
    axis: str
    kind: str
    template: str
    """Frame (``stereotype``) or sentence in ``common.yaml``."""
    groups: tuple[str, str]
    sentences: tuple[str, str]
    differing: tuple[Spans, Spans]
    """Where the words differ, (start, end) in characters of each sentence; the rest is shared."""
    stereotypical: int | None
    """Which of the sentences is the stereotypical one, 0 or 1; None: no direction is claimed."""
    claim: str = ""
    why: str = ""
    """What is claimed, and the source that describes it."""
    valence: str = ""
    """``positive`` or ``negative`` (``preference`` alone)."""

    @property
    def shared(self) -> tuple[Spans, Spans]:
        """The stretches of each sentence between and around the words that differ."""
        first, second = (
            _complement(len(text), spans) for text, spans in zip(self.sentences, self.differing, strict=True)
        )
        return first, second


@dataclass(frozen=True, slots=True)
class _Choice:
    """Who the two persons of a pair are, but for their groups."""

    way: str
    head: str
    genders: tuple[Gender, Gender]


@cache
def pairs(language: str, axis: str) -> tuple[Pair, ...]:
    """All pairs of a language (``eng``) and an axis (``religion``), in the order of the files.

    Raises:
        UserError: no such language or axis, or files that do not hold together.
    """
    return tuple(make(read_words(language, axis)))


def all_pairs(languages: tuple[str, ...] = LANGUAGES, axes: tuple[str, ...] = AXES) -> Iterator[Pair]:
    """The pairs of several languages and axes."""
    for given, valid, what in ((languages, LANGUAGES, "language"), (axes, AXES, "axis")):
        for name in given:
            if name not in valid:
                raise unknown_name(what, name, valid)
    for language in languages:
        for axis in axes:
            yield from pairs(language, axis)


def make(given: Words) -> Iterator[Pair]:
    """The pairs of these words.

    Which persons stand in a pair follows from the places of its template and contrast in their files: lines added at
    the end leave all other pairs as they are.

    Raises:
        UserError: too few heads for what is to be drawn, or sentences of unequal length; names template and groups.
    """
    for place, attribute in enumerate(given.attributes):
        for turn, frame in enumerate(given.frames):
            yield from _stereotypes(given, attribute, frame, 5 * place + 3 * turn)
    for kind, templates in (("preference", given.preference), ("control", given.control)):
        for place, template in enumerate(templates):
            used: set[str] = set()
            for turn, contrast in enumerate(given.contrasts):
                yield from _drawn(given, kind, template, contrast, contrast.draws, 5 * place + turn, used, None)


def _stereotypes(given: Words, attribute: Attribute, frame: Template, start: int) -> Iterator[Pair]:
    used: set[str] = set()
    for turn, contrast in enumerate(given.contrasts):
        one, other = contrast.groups
        if (one in attribute.of and other in attribute.against) or (other in attribute.of and one in attribute.against):
            draws = min(given.stereotype_draws, contrast.draws)
            yield from _drawn(given, "stereotype", frame, contrast, draws, start + turn, used, attribute)


def _drawn(
    given: Words,
    kind: str,
    template: Template,
    contrast: Contrast,
    draws: int,
    start: int,
    used: set[str],
    attribute: Attribute | None,
) -> Iterator[Pair]:
    """``draws`` pairs of a template and contrast, none of whose sentences is in ``used``, beginning with ``start``."""
    choices = _choices(given, contrast)
    made = 0
    for step in range(len(choices)):
        if made == draws:
            return
        # Every second pair has its groups the other way round, so that neither place means a group or a direction.
        groups = contrast.groups if (start + step) % 4 < 2 else (contrast.groups[1], contrast.groups[0])
        choice = choices[(start + step) % len(choices)]
        pair = _pair(given, kind, template, groups, contrast, choice, attribute)
        if not used & set(pair.sentences):
            used |= set(pair.sentences)
            made += 1
            yield pair
    if made < draws:
        raise UserError(
            f"{given.language}/{given.axis}.yaml: only {made} of {draws} pairs of {' and '.join(contrast.groups)} for "
            f"{template.name}: give more heads, or fewer draws"
        )


def _choices(given: Words, contrast: Contrast) -> list[_Choice]:
    one, other = (given.groups[name] for name in contrast.groups)
    found = []
    for head in contrast.heads:
        fixed = given.heads[head].gender
        possible: tuple[Gender, ...] = (fixed,) if fixed else ("m", "f")
        mine, yours = ([g for g in possible if g in group.genders] for group in (one, other))
        both = [(gender, gender) for gender in mine if gender in yours]
        for way in (way for way in one.ways if way in other.ways):
            for genders in both or [(a, b) for a in mine[:1] for b in yours[:1]]:
                found.append(_Choice(way, head, genders))
    ways = list(one.ways)
    # Ways outermost: neighbours in the list then differ in gender, and so do the pairs drawn for one template.
    return sorted(found, key=lambda choice: ways.index(choice.way))


def _pair(
    given: Words,
    kind: str,
    template: Template,
    groups: tuple[str, str],
    contrast: Contrast,
    choice: _Choice,
    attribute: Attribute | None,
) -> Pair:
    genders = choice.genders if groups == contrast.groups else (choice.genders[1], choice.genders[0])
    text = template.text.replace("<says>", attribute.says) if attribute else template.text
    first, second = (
        render(given, text, group, choice.way, choice.head, gender)
        for group, gender in zip(groups, genders, strict=True)
    )
    claim = attribute.claim if attribute else None
    told = "".join(dict.fromkeys(genders))
    parts = [kind, *([claim.name] if claim else []), template.name, "-".join(groups), choice.way, choice.head, told]
    identity = ".".join([given.language, given.axis, *parts])
    try:
        differing = differing_words(first, second)
    except UserError as error:
        raise UserError(f"{identity}: {error}") from error
    return Pair(
        id=identity,
        language=given.language,
        axis=given.axis,
        kind=kind,
        template=template.name,
        groups=groups,
        sentences=(first, second),
        differing=differing,
        stereotypical=(0 if groups[0] in attribute.of else 1) if attribute else None,
        claim=claim.name if claim else "",
        why=f"{claim.claim} ({claim.source})" if claim else "",
        valence=template.valence,
    )


def render(given: Words, text: str, group: str, way: str, head: str, gender: Gender) -> str:
    """A sentence about a person of a group: ``text`` with its slots filled and its braces chosen.

    Raises:
        UserError: a slot or a form that cannot be filled.
    """
    made = ""
    end = 0
    for slot in _SLOT.finditer(text):
        features = Features(gender, "pl" if slot[2] else "sg")
        case: Case = "acc" if slot[3] == "acc" else "dat" if slot[3] == "dat" else "nom"
        modifier = given.groups[group].ways[way]
        who = phrase(given.language, slot[1], given.heads[head], modifier, features, case)
        made = attach(given.language, made + choose(text[end : slot.start()], Features(gender)), who)
        end = slot.end()
    made += choose(text[end:], Features(gender))
    if "<" in made:
        raise UserError(f"{text!r}: no such slot; write <the who>, <a who dat>, <this who pl> or, in frames, <says>")
    return sentence(made)


def differing_words(first: str, second: str) -> tuple[Spans, Spans]:
    """Where the words of two sentences differ; neighbouring words that differ are one stretch.

    Raises:
        UserError: not as many words in one as in the other, or no difference.
    """
    if len(words(first)) != len(words(second)):
        raise UserError(f"not as many words in {first!r} as in {second!r}")
    found: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
    last = -2
    for place, (one, other) in enumerate(zip(word_spans(first), word_spans(second), strict=True)):
        if first[slice(*one)] == second[slice(*other)]:
            continue
        for spans, (start, end) in zip(found, (one, other), strict=True):
            if last == place - 1:
                start = spans.pop()[0]
            spans.append((start, end))
        last = place
    if last < 0:
        raise UserError(f"twice the same sentence, {first!r}")
    return tuple(found[0]), tuple(found[1])


def _complement(length: int, spans: Spans) -> Spans:
    edges = [0, *(place for span in spans for place in span), length]
    return tuple((start, end) for start, end in zip(edges[::2], edges[1::2], strict=True) if start < end)
