"""Personal data in texts: e-mail and IP addresses, telephone, card, account and identity numbers, and secrets.

``find`` says where it stands, ``mask`` puts a placeholder in its place, ``counts`` counts it. All three are functions
of their arguments alone: nothing depends on other documents or on what came before.

What is found is what can be told by its form, its check digits and the words next to it. Names, postal addresses and
birthdays are not looked for, and numbers only within one line. Kinds and their rules:

===========  =====================================================================================================
key          API keys, private keys, tokens, written-out passwords: ``curation.pii.keys``
email        ``curation.pii.network.emails``
ip           public IPv4 and IPv6: ``curation.pii.network.addresses``
iban         ``curation.pii.numbers.ibans``
card         ``curation.pii.numbers.cards``
national_id  numbers of some 50 kinds from 45 countries: ``curation.pii.national``
phone        ``curation.pii.phones``
===========  =====================================================================================================

Digits of other scripts (Arabic-Indic, Persian, those of India, Thai, fullwidth, ...) count as digits throughout.
Without a language, or in one without regions in ``curation.pii.phones.REGIONS``, telephone numbers need their country
code. Measured: ``benchmarks/pii.py``.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from curation.errors import UserError, unknown_name
from curation.pii.keys import keys
from curation.pii.national import national_ids
from curation.pii.network import addresses, emails
from curation.pii.numbers import cards, ibans
from curation.pii.phones import check_regions, phones, regions_of
from curation.pii.spans import KINDS, PLACEHOLDERS, Span, Taken, plain, windows

_MOST_ROUNDS = 8
_A_DIGIT = re.compile("[0-9]")

Action = Literal["mask", "drop", "count", "off"]
MASKING: tuple[Action, ...] = ("mask", "drop")
"""Actions after which no personal data is stored."""


@dataclass(frozen=True)
class PiiConfig:
    """Personal data, and what becomes of it."""

    action: Action = "mask"
    """``mask`` puts placeholders such as ``<EMAIL>`` in its place, ``drop`` rejects documents that hold any, ``count``
    only counts it, ``off`` does not look."""
    kinds: list[str] = field(default_factory=lambda: list(KINDS))
    """What is acted upon: email, ip, phone, card, iban, national_id, key. All are looked for in any case, so that the
    number of a card is not taken for a telephone number where cards are left alone."""
    phone_regions: list[str] = field(default_factory=list)
    """Regions (ISO 3166-1, such as US) whose telephone numbers are found without a country code, in every language;
    empty: those of the document's language (English: US GB AU IN; German: DE AT CH; ...), none where there is none."""

    def __post_init__(self) -> None:
        for kind in self.kinds:
            if kind not in KINDS:
                raise unknown_name("kind in pii.kinds", kind, KINDS)
        if not self.kinds:
            raise UserError("pii.kinds: names no kind; leave the line out for all, or say pii.action: off")
        check_regions(self.phone_regions)


def find(text: str, language: str, config: PiiConfig) -> list[Span]:
    """Personal data of the kinds asked for, sorted, without overlap.

    What is found does not depend on ``config.action`` (but for ``off``, which finds nothing). Masking brings what is
    around closer together, so that a word may come to stand near a number: what masking would lay open is found at
    once, in up to 8 rounds.

    Args:
        text: any text; the time taken grows with its length alone.
        language: ``code_Script`` as in ``curation.language``; of it only telephone numbers and a few national ones
            depend.
        config: kinds and regions.
    """
    if config.action == "off" or not text:
        return []
    found: list[Span] = []
    masked = text
    for _ in range(_MOST_ROUNDS):
        merged = _merge(found, _scan(masked, language, config))
        if len(merged) == len(found):
            break
        found = merged
        masked = mask(text, found)
    wanted = frozenset(config.kinds)
    return [each for each in found if each.kind in wanted]


def _scan(text: str, language: str, config: PiiConfig) -> list[Span]:
    """One look at a text."""
    text = plain(text)
    taken = Taken()
    taken.add(keys(text))
    taken.add(emails(text))
    if _A_DIGIT.search(text):
        taken.add(addresses(text))
        taken.add(ibans(text))
        numbers = windows(text)
        if numbers:
            taken.add(cards(text, numbers))
        taken.add(national_ids(text, numbers, language))
        if numbers:
            free = [each for each in numbers if taken.free(each.start, each.end)]
            taken.add(phones(text, free, regions_of(language, config.phone_regions)))
    return taken.spans


def _merge(found: list[Span], new: list[Span]) -> list[Span]:
    """Spans of a masked text, moved to where they stand in the text itself, among those that were masked."""
    if not found:
        return new
    moved = []
    shift = 0  # what is to be added to an index of the masked text
    known = iter(found)
    next_known = next(known, None)
    for start, end, kind in new:
        while next_known and next_known.start - shift <= start:
            shift += next_known.end - next_known.start - len(PLACEHOLDERS[next_known.kind])
            next_known = next(known, None)
        if next_known and next_known.start - shift < end:
            continue  # a placeholder inside
        moved.append(Span(start + shift, end + shift, kind))
    return sorted(found + moved)


def mask(text: str, spans: Iterable[Span]) -> str:
    """The text with a placeholder for each span: ``<EMAIL>``, ``<PHONE>``, ...; always the same one for a kind.

    Args:
        text: as given to ``find``.
        spans: as ``find`` gave them, or some of them.
    """
    parts = []
    end = 0
    for each in spans:
        parts += [text[end : each.start], PLACEHOLDERS[each.kind]]
        end = each.end
    parts.append(text[end:])
    return "".join(parts)


def counts(spans: Iterable[Span]) -> dict[str, int]:
    """Kind -> how many, for every kind."""
    result = dict.fromkeys(KINDS, 0)
    for each in spans:
        result[each.kind] += 1
    return result


__all__ = ["KINDS", "PLACEHOLDERS", "Action", "PiiConfig", "Span", "counts", "find", "mask"]
