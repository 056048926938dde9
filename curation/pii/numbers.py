"""Bank accounts (IBAN) and payment cards."""

import re
from collections.abc import Iterable, Iterator
from functools import cache

from curation.pii.spans import Span, Window, said, words

# ---- IBAN -------------------------------------------------------------------------------------

_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}(?=[ \u00a0.-]?[A-Z0-9]{2})")
_IBAN_BODY = re.compile(r"(?:[ \u00a0.-]?[A-Z0-9]){0,30}")


def ibans(text: str) -> Iterator[Span]:
    """IBANs (ISO 13616) in capitals, with or without single spaces, dots or hyphens.

    A country of the registry, its length and structure, and the check digits must be right (python-stdnum).
    """
    for each in _IBAN.finditer(text):
        length = _iban_lengths().get(each[0][:2])
        if length is None or (each.start() and text[each.start() - 1].isalnum() and text[each.start() - 1].isascii()):
            continue
        body = _IBAN_BODY.match(text, each.start() + 4)
        assert body is not None  # it may be empty
        characters = 4
        for at in range(each.start() + 4, body.end()):
            characters += text[at].isalnum()
            if characters == length:
                end = at + 1
                if not text[end : end + 1].isalnum() and _is_iban(text[each.start() : end]):
                    yield Span(each.start(), end, "iban")
                break


@cache
def _iban_lengths() -> dict[str, int]:
    """Country -> characters of its IBANs."""
    from stdnum import numdb

    lengths = {}
    for first in "ABCDEFGHIJKLMNOPQRSTUVWXYZ":
        for second in "ABCDEFGHIJKLMNOPQRSTUVWXYZ":
            info = numdb.get("iban").info(first + second)[0][1]
            if "bban" in info:
                lengths[first + second] = 4 + sum(int(n) for n in re.findall(r"([0-9]+)!", info["bban"]))
    return lengths


def _is_iban(written: str) -> bool:
    from stdnum import iban

    return iban.is_valid(re.sub(r"[ \u00a0.-]", "", written), check_country=False)


# ---- cards ------------------------------------------------------------------------------------

_GROUPED = re.compile(
    r"(?<![0-9A-Za-z_.,/=-])(?<![0-9][ \u00a0])"
    r"(?:[0-9]{4}([ \u00a0-])[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?:\1[0-9]{3})?|[0-9]{4}([ \u00a0-])[0-9]{6}\2[0-9]{4,5}|"
    r"[0-9]{13,19})"
    r"(?![A-Za-z_]|[ \u00a0]?[0-9]|[.,/-][0-9])"
)
_ISSUERS = re.compile(
    # Prefix and lengths: https://en.wikipedia.org/wiki/Payment_card_number#Issuer_identification_number_(IIN), from
    # ISO/IEC 7812-1 and the issuers
    r"4(?:[0-9]{15}|[0-9]{18})"  # Visa
    r"|(?:5[1-5][0-9]{2}|222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}"  # Mastercard
    r"|3[47][0-9]{13}"  # American Express
    r"|(?:6011|64[4-9][0-9]|65[0-9]{2})[0-9]{12}(?:[0-9]{3})?"  # Discover
    r"|(?:36|38|39|30[0-5]|3095)[0-9]{10,12}"  # Diners Club, 14 digits below
    r"|35(?:2[89]|[3-8][0-9])[0-9]{12}"  # JCB
    r"|62[0-9]{14}(?:[0-9]{3})?"  # UnionPay
    r"|(?:5018|5020|5038|5893|6304|6759|676[1-3])[0-9]{12}(?:[0-9]{3})?"  # Maestro
    r"|220[0-4][0-9]{12}"  # Mir
    r"|(?:508[0-9]|60[0-9]{2}|81[0-9]{2}|82[0-9]{2})[0-9]{12}"  # RuPay
    r"|(?:506[01]|6500)[0-9]{12}(?:[0-9]{3})?"  # Verve
    r"|9792[0-9]{12}"  # Troy
)
_CARD_WORDS = words(
    *("card", "visa$", "master ?card", "maestro", "amex", "american express", "diners", "jcb$", "carte", "cb$"),
    *("tarjeta", "cart[aã]o", "carta", "kreditkarte", "karte", "kaart", "creditcard", "kort", "kart", "kortti"),
    *("карт", "κάρτα", "thẻ", "kredit", "カード", "卡", "카드", "بطاقة", "کارت", "כרטיס", "कार्ड", "কার্ড", "บัตร"),
)


def cards(text: str, found: Iterable[Window]) -> Iterator[Span]:
    """Numbers of payment cards: the prefix and length of an issuer, and Luhn's check digit (ISO/IEC 7812-1).

    16 digits, or 15 of American Express, are a card by themselves, unless they are part of a longer number, of a URL
    or of an identifier. Other lengths (14, 19), and RuPay's prefixes of 81 and 82, are one only near a word such as
    "card" or "Visa": bar codes and time stamps have such lengths too. Visa's 13 digits are out of use and left alone.
    """
    for window in found:
        if len(window.digits) < 14:
            continue
        for each in _GROUPED.finditer(text, window.start, window.end + 3):
            digits = re.sub(r"[^0-9]", "", each[0])
            if not _ISSUERS.fullmatch(digits) or not _luhn(digits):
                continue
            if len(set(digits)) < 3 and digits[0] not in "45":
                continue
            if (
                (len(digits) in (15, 16) and digits[:2] not in ("81", "82", "36", "38", "39", "30"))
                or (len(digits) == 14 and each[2])
                or said(text, *each.span(), _CARD_WORDS)
            ):
                yield Span(*each.span(), "card")


def _luhn(digits: str) -> bool:
    from stdnum import luhn

    return luhn.is_valid(digits)
