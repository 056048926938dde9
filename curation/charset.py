"""Bytes to text: which charset a body is really in, whatever it is declared to be.

Labels mean what browsers take them to mean (https://encoding.spec.whatwg.org/): iso-8859-1 is
windows-1252, gb2312 is gb18030. Text that is plainly UTF-8 is UTF-8. For everything else the
declared charsets compete with the guess of chardetng, the detector of Firefox
(https://hsivonen.fi/chardetng/), and the one under which a sample costs the fewest nats wins:
a crude description length, in which letters of one alphabet are cheap, and what wrong charsets
produce (symbols and capitals inside words, mixed scripts, rare ideographs) is dear.
"""

import codecs
import re
import unicodedata
from collections import Counter, defaultdict
from functools import cache, lru_cache
from itertools import pairwise
from math import log

from webencodings.labels import LABELS

MAX_BAD_SHARE = 0.1
"""Share of characters that may be U+FFFD or control characters before a body counts as binary.
Random bytes have 0.11 and more in each single-byte charset."""
SAMPLE_BYTES = 8192
"""How much of the non-ASCII text is looked at when a charset must be guessed."""


class Undecodable(ValueError):
    """The bytes are no text in any charset."""


# ---- names ------------------------------------------------------------------------------------

_CODECS = {
    "gbk": "gb18030", "gb18030": "gb18030", "big5": "big5hkscs", "euc-jp": "euc_jp",
    "iso-2022-jp": "iso2022_jp_ext", "iso-2022-kr": "iso2022_kr", "shift_jis": "cp932", "euc-kr": "cp949",
    "utf-8": "utf_8", "utf-16le": "utf_16_le", "utf-16be": "utf_16_be",
    "utf-32le": "utf_32_le", "utf-32be": "utf_32_be",
    "koi8-r": "koi8_r", "koi8-u": "koi8_u", "ibm866": "cp866", "macintosh": "mac_roman",
    "x-mac-cyrillic": "mac_cyrillic", "iso-8859-8-i": "iso8859_8", "windows-874": "cp874",
    **{f"windows-125{n}": f"cp125{n}" for n in range(9)},
    **{f"iso-8859-{n}": f"iso8859_{n}" for n in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)},
}  # fmt: skip
"""Name on the web -> Python's codec. No other codec is ever used on input."""

_WEB_NAMES = {codec: name for name, codec in _CODECS.items()} | {"iso8859_8": "iso-8859-8"}

_WILD = {
    "cp949": "euc-kr", "ms949": "euc-kr", "uhc": "euc-kr", "x-windows-949": "euc-kr",
    "cp932": "shift_jis", "eucjp": "euc-jp", "eucjis": "euc-jp", "cp936": "gbk", "gb-2312": "gbk",
    "cp950": "big5", "cp874": "windows-874", "koi8r": "koi8-r", "koi8u": "koi8-u",
    "latin-1": "windows-1252", "ansi": "windows-1252", "iso-8859-1-windows": "windows-1252",
    "utf-16-le": "utf-16le", "utf-16-be": "utf-16be", "utf-32": "utf-32le",
    **{f"{prefix}125{n}": f"windows-125{n}" for prefix in ("win-", "win", "windows") for n in range(9)},
}  # fmt: skip
"""Labels that servers and pages use although the standard does not have them."""


def _codec(label: str | None) -> str | None:
    """Python's codec for a declared label, None for one that is unknown (or not a charset)."""
    label = (label or "").strip("\t\n\f\r \"'").lower()
    name = LABELS.get(label) or _WILD.get(label.replace("_", "-"), label)
    return _CODECS.get(name)


_BOMS = (
    (b"\xef\xbb\xbf", "utf_8"),
    (b"\xff\xfe\x00\x00", "utf_32_le"),
    (b"\x00\x00\xfe\xff", "utf_32_be"),
    (b"\xff\xfe", "utf_16_le"),
    (b"\xfe\xff", "utf_16_be"),
)
_COMMENT = re.compile(rb"<!--.*?-->", re.S)
_XML_ENCODING = re.compile(rb"""^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([\w.:-]+)""")
_META_CHARSET = re.compile(rb"""<meta\s[^>]{0,300}?charset\s*=\s*["']?\s*([\w.:-]+)""", re.I)


def _charset_in_html(body: bytes) -> str | None:
    """Codec named by an XML declaration or a meta tag at the start of a page."""
    head = _COMMENT.sub(b"", body[:4096])
    match = _XML_ENCODING.search(head) or _META_CHARSET.search(head)
    return _codec(match[1].decode("ascii", "replace")) if match else None


# ---- clean text -------------------------------------------------------------------------------

_ASCII_CONTROLS = "".join(map(chr, [*range(9), *range(0x0B, 0x20), 0x7F]))
_UNWANTED = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_NEWLINES = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_CONTROLS = re.compile("[\0-\x08\x0e-\x1f\x7f-\x9f]+")


def clean_text(text: str) -> str:
    """Text that can be stored anywhere: no NUL or control character but tab and newline, every
    kind of line end as ``\\n``, and each lone surrogate as U+FFFD. No copy where all is well."""
    if text.isascii():
        # One memchr a character is ten times faster than a regular expression.
        if not any(control in text for control in _ASCII_CONTROLS):
            return text
    elif not _UNWANTED.search(text):
        return text
    text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return _CONTROLS.sub("", _NEWLINES.sub("\n", text))


def _finish(text: str, codec: str) -> tuple[str, str]:
    """Cleaned text and the charset's name; refuses what is no text."""
    clean = clean_text(text.removeprefix("\ufeff"))
    name = _WEB_NAMES[codec]
    if clean is not text or "\ufffd" in text:
        removed = len(text) - len(clean) - text.count("\0") - text.count("\r\n")
        _refuse_binary(removed + clean.count("\ufffd"), len(text), name)
    if codec.startswith(("utf_16", "utf_32")):  # where most bytes are some character
        head = clean[:4096]
        _refuse_binary(_strange(head), len(head), name)
    return clean, name


def _refuse_binary(bad: int, characters: int, name: str) -> None:
    if bad > MAX_BAD_SHARE * characters and bad > 4:
        raise Undecodable(f"{bad} of {characters} characters make no sense even as {name}")


def _strange(text: str) -> int:
    """How many characters are unassigned, private, surrogates, control characters, or U+FFFD."""
    kinds = Counter(map(unicodedata.category, text))
    white = sum(map(text.count, "\t\n\r\f"))
    return kinds["Cn"] + kinds["Co"] + kinds["Cs"] + kinds["Cc"] + text.count("\ufffd") - white


# ---- decoding ---------------------------------------------------------------------------------


def decode(body: bytes, declared: str | None = None, *, html: bool = False) -> tuple[str, str]:
    """Text of ``body`` and the charset it was in (as named on the web, lower case).

    ``declared`` is the label from outside (HTTP header); with ``html`` an XML declaration or
    meta tag is heard too. A declaration is believed unless the bytes speak clearly against it.
    Bytes that are not valid become U+FFFD. The text is clean in the sense of ``clean_text``.

    Raises Undecodable for bytes that are no text.
    """
    for bom, bom_codec in _BOMS:
        if body.startswith(bom):
            return _finish(body[len(bom) :].decode(bom_codec, "replace"), bom_codec)
    header = _codec(declared)
    if b"\0" in body or (header or "").startswith(("utf_16", "utf_32")):
        wide = wide_codec(body)
        if wide:
            return _finish(body.decode(wide, "replace"), wide)
    if b"\x1b$" in body:
        escaped = _escaped_codec(body)
        if escaped:
            return _finish(body.decode(escaped, "replace"), escaped)
    try:
        return _finish(body.decode("utf_8"), "utf_8")
    except UnicodeDecodeError:
        pass
    text = body.decode("utf_8", "replace")
    errors = text.count("\ufffd") - body.count(b"\xef\xbf\xbd")
    multibyte = len(text) - len(text.encode("ascii", "ignore")) - errors
    if multibyte > errors:
        return _finish(text, "utf_8")
    sample = _sample(body)
    if sum(map(sample.count, _CONTROL_BYTES)) > len(sample) // 200:
        wide = wide_codec(body)
        if wide:
            return _finish(body.decode(wide, "replace"), wide)
    codec = _choose(sample, header, _charset_in_html(body) if html else None)
    text = body.decode(codec, "replace")
    if codec == "euc_jp" and "\ufffd" in text:
        text = body.decode(codec, _NEC)
    return _finish(text, codec)


_CONTROL_BYTES = [bytes([n]) for n in (*range(9), *range(0x0E, 0x1B), *range(0x1C, 0x20))]
_PRINTABLE = b"\t\n\r" + bytes(range(0x20, 0x7F))
_MARKUP = re.compile(rb"[<>\r\n]")
_NON_ASCII = re.compile(rb"[\x80-\xff]")


def _sample(body: bytes) -> bytes:
    """The stretches of text, between tags or line ends, that hold non-ASCII bytes; in no charset
    met here is an angle bracket or a line end part of a longer character. Linear in ``body``."""
    pieces, size, position = [], 0, 0
    while size < SAMPLE_BYTES and (match := _NON_ASCII.search(body, position)):
        lowest = max(position, match.start() - 100)
        start = max(body.rfind(mark, lowest, match.start()) + 1 for mark in (b"<", b">", b"\n"))
        start = max(start, lowest)
        stop = _MARKUP.search(body, match.start(), start + SAMPLE_BYTES - size)
        position = stop.start() if stop else min(len(body), start + SAMPLE_BYTES - size)
        pieces.append(body[start:position])
        size += position - start + 1
    return b"\n".join(pieces)


def wide_codec(body: bytes) -> str | None:
    """UTF-16 or UTF-32 without a byte order mark, told by where the zero bytes are."""
    head = body[:4096]
    zeros = head.count(0)
    if zeros < 0.3 * len(head) and len(head.translate(None, _PRINTABLE)) - zeros < 0.05 * len(head):
        return None  # ASCII with stray zeros
    quads = len(head) // 4
    if quads and head[3::4].count(0) == quads == sum(b <= 0x10 for b in head[2 : 4 * quads : 4]):
        return "utf_32_le"
    if quads and head[0::4].count(0) >= quads == sum(b <= 0x10 for b in head[1 : 4 * quads : 4]):
        return "utf_32_be"
    even, odd = head[0::2], head[1::2]
    # All high bytes of a text are alike, the low ones are not: fewer different ones, or more zeros.
    big = (len(set(even)), -even.count(0)) < (len(set(odd)), -odd.count(0))
    codec, high = ("utf_16_be", even) if big else ("utf_16_le", odd)
    text = head[: len(head) & ~1].decode(codec, "replace")
    spaced = sum(map(text.count, " \n<>,.\u3000\u3001\u3002\uff0c"))
    return codec if _strange(text) <= len(text) // 50 and (spaced or high.count(0) > len(high) // 2) else None


def _escaped_codec(body: bytes) -> str | None:
    """ISO-2022-JP or ISO-2022-KR where their escape sequences decode."""
    codec = "iso2022_kr" if b"\x1b$)C" in body else "iso2022_jp_ext"
    head = body[: 16 * SAMPLE_BYTES]
    text = head.decode(codec, "replace")
    return codec if text.count("\ufffd") <= len(text) // 50 else None


def _decode_nec(error: UnicodeError) -> tuple[str, int]:
    """Error handler for EUC-JP: the circled digits and ideographs of NEC and IBM, which Python's
    codec lacks and web pages use, are found at the same row and cell in Shift_JIS."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    pair = error.object[error.start : error.start + 2]
    if len(pair) == 2 and min(pair) >= 0xA1:
        row, cell = pair[0] - 0xA1, pair[1] - 0xA1
        lead = row // 2 + (0x81 if row < 62 else 0xC1)
        trail = cell + 0x9F if row % 2 else cell + 0x40 + (cell > 62)
        text = bytes((lead, trail)).decode("cp932", "ignore")
        if len(text) == 1 and not text.isascii():
            return text, error.start + 2
    return "\ufffd", error.start + 1


_NEC = "curation.nec"
codecs.register_error(_NEC, _decode_nec)


# ---- choosing ---------------------------------------------------------------------------------

_LATIN = ("cp1252", "cp1250", "iso8859_2", "cp1254", "cp1257")
_RARE_LATIN = {f"iso8859_{n}" for n in (3, 4, 10, 13, 14, 15, 16)}
_SPECIFIC, _DEFAULT = 6.0, 1.0
"""What a declaration is worth, in nats: one that someone must have chosen, and windows-1252 (with
its labels iso-8859-1 and us-ascii), which servers claim for everything."""
_MOST_COMMON = 1.0
"""What windows-1252 is worth undeclared."""
_GUESS, _GUESS_PER_BYTE, _GUESS_AT_MOST = 3.0, 0.5, 40.0
"""What the detector's guess is worth, and for scripts other than Latin (there it hardly errs,
and costs of different ideographs say little) how much more with each non-ASCII byte."""


def _choose(sample: bytes, *declared: str | None) -> str:
    """The likeliest codec for text that is not UTF-8."""
    guess = _detect(sample)
    worth: dict[str, float] = defaultdict(float)
    for codec in declared:
        if codec and not codec.startswith("utf"):
            worth[codec] += _DEFAULT if codec == "cp1252" else _SPECIFIC
    if set(worth) == {guess}:
        return guess
    worth["cp1252"] += _MOST_COMMON
    latin = guess in _LATIN or guess in _RARE_LATIN
    if guess not in _RARE_LATIN:
        worth[guess] += _GUESS
    if not latin:
        worth[guess] += min(_GUESS_PER_BYTE * sum(b > 0x7F for b in sample), _GUESS_AT_MOST)
    if latin or not worth.keys().isdisjoint(_LATIN[1:]):
        for codec in _LATIN:
            worth[codec] += 0.0
    return min(worth, key=lambda codec: _cost(sample.decode(codec, "replace")) - worth[codec])


def _detect(sample: bytes) -> str:
    from chardetng_py import EncodingDetector

    detector = EncodingDetector()
    detector.feed(sample, last=len(sample) < SAMPLE_BYTES)
    return _codec(detector.guess(tld=None, allow_utf8=False)) or "cp1252"


_ALPHABETS = {
    "Latn": (
        "éàèêçôîâûùëïœæ", "óíáúéñüªº", "ãçáéíõêóâàúôºª", "àèùéòìó", "óàèéíçúòïü", "äüöß", "äåöé",
        "øåæéôò", "ëéïöèü", "ëç", "ðþáíéóöæúý", "áíúéó", "áíéěýžčřšůúťňďó", "áýžčéúťšíľôňďäóĺŕ",
        "éáőöüóíűú", "łżąóśęćńź", "čšžćđ", "ăţşîâșț", "ıüşçğöiâîû", "əıüşöçği", "ėųąžšįęūč",
        "īāēšņūļģķžčōŗ", "õäüöšž", "ĉŭĝŝĵĥ", "âôêîûŵŷ", "ħżġàċùèò", "ñùêü", "éëäöêü",
    ),
    "Cyrl": (
        "оеиантвсрлдпмкяубыьгчжйзхющцшэфъё", "оаніивтрседуплямкбзюгьжхчїцйєшщфґ",
        "аныірвеосдялкпцумтбзўгчьхжюйэшёф", "аоиенвтсрдклпбзчямъугжщцйхшюфь",
        "аоиенврустдпкмлјбзчњгшцљжхђћф", "аоиентврсдлпкумјбзчгцшњжќѓхфљџѕ",
    ),
    "Grek": ("αιετονκρσηπςυίμδλθωέάήόγχώύξφβζψϊϋΐΰ",),
}  # fmt: skip
"""Letters beyond ASCII of one or of several close languages each, the frequent ones first."""
_FOREIGN_LETTER = 10.0


def _letter_costs(alphabet: str) -> dict[str, float]:
    """-log p of each letter, with p as in Zipf's law."""
    total = sum(1 / rank for rank in range(1, len(alphabet) + 1))
    return {letter: log(rank * total) for rank, letter in enumerate(alphabet, 1)}


_LETTER_COSTS = {script: [_letter_costs(a) for a in alphabets] for script, alphabets in _ALPHABETS.items()}

_PUNCTUATION = frozenset("\u00a0\u00ad“”„‘’‚–—…«»‹›€§©®°·•™№£€¿¡ªº")
_CASED = "A-Za-zÀ-ÖØ-öø-\u024f\u0370-\u052f"
_SYMBOL_IN_WORD = re.compile(rf"(?<=[{_CASED}])[\x80-\x9f¡-©«-¬®-¶¸-¹»-¿×÷ˇ˘-˝†-‡…‰‹›€™•“”„‚─-◿]+(?=[{_CASED}])")
_MIXED_SCRIPTS = re.compile(
    "[A-Za-z](?=[\u0370-\u052f])|[\u0370-\u052f](?=[A-Za-z])|[À-\u052f](?=[0-9])"
    "|[À-\u024f](?=[\u0370-\u06ff\u0e00-\u0e7f])|[\u0370-\u06ff\u0e00-\u0e7f](?=[À-\u024f])"
)
_WORD = re.compile(r"[^\W\d_]{2,}")


@cache
def _common_ideographs() -> frozenset[str]:
    """The first levels of GB 2312, Big5 and JIS X 0208: ideographs in everyday use."""
    levels = (("gb2312", 0xB0, 0xD7), ("big5", 0xA4, 0xC6), ("euc_jp", 0xB0, 0xCF))
    trails = (*range(0x40, 0x7F), *range(0xA1, 0xFF))
    return frozenset(
        bytes((lead, trail)).decode(codec, "ignore")
        for codec, first, last in levels
        for lead in range(first, last + 1)
        for trail in trails
    )


@lru_cache(maxsize=8192)
def _character_cost(character: str) -> float | str:
    """Nats for one character, or for a letter of a cased script the name of that script."""
    code = ord(character)
    if code < 0x80:
        return 0.0
    if code < 0xA0:
        return 8.0
    if character in _PUNCTUATION:
        return 1.5
    if 0x4E00 <= code <= 0x9FFF:
        return 6.5 if character in _common_ideographs() else 10.0
    if 0xAC00 <= code <= 0xD7A3:
        # Python's codec spells out in eight bytes what KS X 1001 lacks.
        return 6.5 if len(character.encode("euc_kr", "ignore")) == 2 else 12.0
    for first, last, cost in _RANGES:
        if first <= code <= last:
            return cost if character.isalpha() or not isinstance(cost, str) else 6.0
    category = unicodedata.category(character)
    if category in ("Cn", "Co"):
        return 12.0
    return 8.0 if category[0] in "LM" else 6.0


_RANGES: tuple[tuple[int, int, float | str], ...] = (
    (0x00C0, 0x024F, "Latn"), (0x1E00, 0x1EFF, "Latn"), (0x0300, 0x0323, 3.0),
    (0x0370, 0x03FF, "Grek"), (0x0400, 0x052F, "Cyrl"), (0x05D0, 0x05EA, 3.0), (0x0621, 0x0652, 3.0),
    (0x0660, 0x06F9, 4.0), (0x0E01, 0x0E4E, 3.0), (0x3000, 0x303F, 5.0), (0x3040, 0x309F, 4.5),
    (0x30A0, 0x30FF, 5.5), (0xFF01, 0xFF5E, 5.0), (0xFF61, 0xFF9F, 5.5), (0xFFFD, 0xFFFD, 9.0),
)  # fmt: skip
"""First, last, nats. An everyday ideograph or syllable takes two bytes, so that it has to cost
about as much as two letters of an alphabet, and less than two that do not belong together."""


def _cost(text: str) -> float:
    """Nats that the non-ASCII part of ``text`` takes: the lower, the likelier it is language."""
    cost = 0.0
    letters: dict[str, Counter[str]] = {script: Counter() for script in _LETTER_COSTS}
    for character, count in Counter(text).items():
        one = _character_cost(character)
        if isinstance(one, str):
            letters[one][character.lower()] += count
        else:
            cost += one * count
    for script, counts in letters.items():
        if counts:
            cost += min(
                sum(costs.get(letter, _FOREIGN_LETTER) * n for letter, n in counts.items())
                for costs in _LETTER_COSTS[script]
            )
    cost += 4.0 * len(_SYMBOL_IN_WORD.findall(text)) + 5.0 * len(_MIXED_SCRIPTS.findall(text))
    for word in _WORD.findall(text):
        if not word.isascii() and not word[1:].islower():
            if word.isupper():
                cost += len(word)
            else:
                cost += 4.0 * sum(a.islower() and b.isupper() for a, b in pairwise(word))
    return cost
