"""Telephone numbers."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from curation.errors import unknown_name
from curation.pii.spans import CONTEXT, Span, Window, said, words

REGIONS: Mapping[str, str] = {
    "eng": "US GB AU IN NZ IE ZA", "deu": "DE AT CH", "gsw": "CH", "bar": "AT DE", "fra": "FR BE CH",
    "spa": "ES MX AR CO CL",
    "cat": "ES", "glg": "ES", "eus": "ES", "por": "BR PT", "ita": "IT CH", "nld": "NL BE", "fry": "NL", "afr": "ZA",
    "swe": "SE", "dan": "DK", "nob": "NO", "nno": "NO", "fin": "FI", "isl": "IS", "ekk": "EE", "lvs": "LV", "lit": "LT",
    "pol": "PL", "ces": "CZ", "slk": "SK", "hun": "HU", "ron": "RO", "bul": "BG", "ell": "GR CY", "slv": "SI",
    "hrv": "HR", "bos": "BA", "srp": "RS", "mkd": "MK", "als": "AL", "rus": "RU", "ukr": "UA", "bel": "BY", "kaz": "KZ",
    "kat": "GE", "hye": "AM", "azj": "AZ", "uzn": "UZ", "tur": "TR", "heb": "IL", "arb": "EG SA MA", "arz": "EG",
    "fas": "IR", "urd": "PK", "hin": "IN", "ben": "BD IN", "tam": "IN", "tel": "IN", "mar": "IN", "guj": "IN",
    "kan": "IN", "mal": "IN", "pan": "IN", "npi": "NP", "sin": "LK", "tha": "TH", "vie": "VN", "ind": "ID", "zsm": "MY",
    "fil": "PH", "tgl": "PH", "khm": "KH", "lao": "LA", "mya": "MM", "cmn": "CN TW", "yue": "HK", "jpn": "JP",
    "kor": "KR", "swh": "KE TZ", "amh": "ET", "gle": "IE", "cym": "GB", "gla": "GB", "mlt": "MT", "khk": "MN",
}  # fmt: skip
"""Language (ISO 639-3) -> regions (ISO 3166-1) whose numbers are looked for without a country code, in this order:
where most of its pages come from. Other languages have none, and there numbers need their ``+``."""

_WORDS = words(
    *("tel", "tél", "tlf", "telf", "phon", "fon$", "fono", "fax", "mob", "móvil", "movil", "cell", "celular", "cel$"),
    *("gsm", "handy", "portable", "call", "dial", "whats ?app", "sms$", "hotline", "text us", "ring$", "ruf", "anruf"),
    *("toll", "free ?phone", "puh", "lankap", "numéro", "appel", "llam", "ligue", "chiam", "bel$", "bellen", "simi$"),
    *("dzwo", "kom\\.", "volej", "zavol", "hív", "sună", "ara$", "gọi", "điện thoại", "[đs]?đt$", "hubungi", "hp$"),
    *("wa$", "тел", "моб", "факс", "звон", "виклик", "сот\\.", "τηλ", "κιν", "φαξ", "טל", "נייד", "פקס", "هاتف"),
    *("اتصال", "جوال", "موبايل", "فاكس", "اتصل", "تلفن", "همراه", "موبایل", "تماس", "فون", "رابطہ"),
    *("फ़ोन", "फोन", "मोबाइल", "दूरभाष"),
    *("ফোন", "মোবাইল", "தொலைபேசி", "ఫోన్", "โทร", "มือถือ", "电话", "電話", "手机", "手機", "传真", "傳真", "热线", "致电"),
    *("携帯", "ファックス", "ファクス", "☎", "📞", "☏", "✆", "📱", "📠", "전화", "휴대", "팩스", "연락처", "연락"),
)
_OTHER = re.compile(
    r"(?:isbn|issn|isni|orcid|doi|pmid|oclc|arxiv|ean|upc|gtin|asin|order|invoice|serial|part|model|sku|item|ticket|case|"
    r"ref|reference|account|acct|patent|pat|tracking|batch|lot|license|licence|vat|ein|duns|imei|iccid|bug|issue|commit|"
    r"build|revision|id|uid|bestell\w*|auftrag\w*|rechnung\w*|artikel\w*|kunden\w*|konto\w*|ust\w*|hrb|commande|facture|"
    r"siren|siret|rcs|tva|pedido|factura|cuenta|fattura|ordine|p\.? ?iva|nota|cnpj|cpf|cep|bestelling|factuur|kvk|btw|"
    r"zam[oó]wien\w*|faktur\w*|regon|krs|nip|заказ\w*|счет\w*|счёт\w*|инн|огрн|кпп|р/с|бик|订单|訂單|編號|编号|註冊|注文|"
    r"番号|주문|등록번호|사업자|sipari[sş]\w*|fatura|vergi|зак\w*|єдрпоу)"
    r"[\s.:#№°º-]{0,4}(?:(?:n[or]?|num(?:ber|ero|éro)?|nummer|numer|номер|number is|is)[\s.:#°º-]{0,3})?$",
    re.IGNORECASE,
)
"""What stands right before a number that is no telephone number."""
_IN_URL = re.compile(r"[#=_&%/]$|[A-Za-z]-$")
_DECIMALS = re.compile(r"[.,][0-9]{1,2}(?![0-9])")
_DIGITS = re.compile("[0-9]+")
_EXTENSION = re.compile(
    r" ?,? ?(?:ext(?:ension)?|extn|x|durchwahl|dw|poste|int|доб)\.? ?[0-9]{1,6}(?![0-9])", re.IGNORECASE
)
_ZIP = re.compile("[0-9]{5}[-\u2013][0-9]{4}")
"""Postal code of the United States."""
_TABLE = re.compile(r"[0-9]+(?:[ \u00a0\u2009\u202f][0-9]+){4,}")


def check_regions(regions: Sequence[str]) -> None:
    """Raises UserError, with the valid ones, for a region that phonenumbers does not know."""
    for region in regions:
        if region not in _known_regions():
            raise unknown_name("region in pii.phone_regions", region, _known_regions())


@cache
def _known_regions() -> frozenset[str]:
    from phonenumbers import SUPPORTED_REGIONS

    return frozenset(SUPPORTED_REGIONS)


def regions_of(language: str, regions: Sequence[str]) -> tuple[str, ...]:
    """Regions whose numbers may be written without a country code."""
    return tuple(regions) or tuple(REGIONS.get(language[:3], "").split())


def phones(text: str, found: Iterable[Window], regions: Sequence[str]) -> Iterator[Span]:
    """Telephone numbers, as ``phonenumbers`` (Google's libphonenumber) finds and validates them.

    With a ``+`` and country code: in any language. Without: those of ``regions``, if a word such as "phone" is near or
    the number is written as such: with an area code in parentheses, or in groups that are those of its region and
    look like no thousands. Whatever stands right behind "order", "ISBN" and so on is none.
    """
    last = -CONTEXT - 1
    for window in found:
        if not 7 <= len(window.digits) <= 24:
            continue
        start, end = window.start, window.end
        while start and window.start - start < 3 and text[start - 1] in "+( ":
            start -= 1
        extension = _EXTENSION.match(text, end)
        edge = extension.end() if extension else end
        # One character more on both sides: a letter, a currency or a percent sign there says that it is no number.
        part = text[max(0, start - 1) : edge + 1]
        shift = max(0, start - 1)
        plus = "+" in part
        near = start - last <= CONTEXT or said(text, start, edge, _WORDS)
        if not plus and not (near or _shaped(text, start, end)):
            continue
        if _OTHER.search(text, max(0, start - 32), start) or _IN_URL.search(
            text, max(0, window.start - 2), window.start
        ):
            continue
        for region in (None,) * plus + tuple(regions):
            if region and not plus and not _may_begin(region).match(window.digits):
                continue
            spans = [
                (shift + each.start, shift + each.end)
                for each in _matches(part, region, near)
                if not _DECIMALS.match(text, shift + each.end)
                and (near or each.raw_string.lstrip("(").startswith("+") or _evident(each.raw_string))
            ]
            for span in spans:
                last = span[1]
                yield Span(*span, "phone")
            if spans:
                break


def _shaped(text: str, start: int, end: int) -> bool:
    """Whether a number without a word near by may be one for its form: in groups, and no table of numbers."""
    written = text[start:end].strip()
    digits = sum(map(str.isdigit, written))
    return digits > 7 and not (
        written.isdigit() or _ZIP.fullmatch(written) or (_TABLE.fullmatch(written) and written[0] != "0")
    )


@cache
def _may_begin(region: str) -> re.Pattern[str]:
    """What the digits of a number of a region begin with: cheaper to ask than phonenumbers' matcher."""
    from phonenumbers import PhoneMetadata

    metadata = PhoneMetadata.metadata_for_region(region)
    assert metadata is not None  # regions are checked
    assert metadata.general_desc is not None
    prefixes = [each for each in (metadata.national_prefix_for_parsing, metadata.national_prefix) if each]
    number = metadata.general_desc.national_number_pattern
    abroad = metadata.international_prefix or "00"
    return re.compile(f"(?:{'|'.join(prefixes)})?(?:{number})|(?:{abroad})|{metadata.country_code}(?:{number})")


def _matches(part: str, region: str | None, near: bool) -> list[Any]:
    """What phonenumbers finds: valid; without a word near by also grouped as its region groups."""
    from phonenumbers import Leniency, PhoneNumberMatcher

    leniency = Leniency.VALID if near else Leniency.STRICT_GROUPING
    return list(PhoneNumberMatcher(part, region, leniency=leniency, max_tries=12))


def _evident(written: str) -> bool:
    """Whether the form of a number without country code says that it is a telephone number.

    In groups, which are no thousands (12 345 678), more than a digit and the rest, and do not end in a single digit (a
    check digit).
    """
    groups = _DIGITS.findall(written)
    if written.startswith("("):
        return len(groups) > 1
    if (
        len(groups) < 2
        or (len(groups) == 2 and len(groups[0]) == 1)
        or len(groups[-1]) < 2
        or sum(map(len, groups)) < 8
    ):
        return False
    thousands = all(len(group) == 3 for group in groups[1:]) and len(groups[0]) <= 3 and not groups[0].startswith("0")
    return not thousands
