"""Numbers by which states know their people: identity cards, social security, personal taxes."""

import importlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from curation.pii.spans import Span, Window, said, words


@dataclass(frozen=True)
class NationalId:
    """One kind of number."""

    name: str
    """Its country and name; the module of python-stdnum that checks it, whose docstring names the sources."""
    form: str
    """How it may be written, near a word of ``context``."""
    context: re.Pattern[str]
    """Words that say what it is, in the languages of its country."""
    strong: str = ""
    """How it is written where that, with its check digits or date, says enough without a word; empty: never."""
    languages: str = ""
    """Languages (ISO 639-3) in which ``strong`` says enough; empty: in all."""


_S = r"[ \u00a0-]?"
"""What may stand between groups."""
_TAX = ("tax id", "tin$", "tax number", "taxpayer")
_ID = ("national id", "identity (?:number|card)", "id (?:number|card|no)$", "personal (?:number|id|code)")

IDS: tuple[NationalId, ...] = (
    NationalId(
        "us.ssn", rf"[0-9]{{3}}{_S}[0-9]{{2}}{_S}[0-9]{{4}}",
        words("ssns?$", "social[ -]?sec", "soc\\.? sec", "seguro social", "taxpayer", "itin$"),
    ),
    NationalId("us.itin", rf"9[0-9]{{2}}{_S}[0-9]{{2}}{_S}[0-9]{{4}}", words("itin$", *_TAX)),
    NationalId("ca.sin", rf"[1-79][0-9]{{2}}{_S}[0-9]{{3}}{_S}[0-9]{{3}}",
               words("sin$", "social insurance", "nas$", "assurance sociale")),
    NationalId("gb.nhs", rf"[0-9]{{3}}{_S}[0-9]{{3}}{_S}[0-9]{{4}}", words("nhs")),
    NationalId("au.tfn", rf"[0-9]{{3}}{_S}[0-9]{{3}}{_S}[0-9]{{2,3}}", words("tfn$", "tax file")),
    NationalId("nz.ird", rf"[0-9]{{2,3}}{_S}[0-9]{{3}}{_S}[0-9]{{3}}", words("ird$")),
    NationalId("ie.pps", r"[0-9]{7}[A-W][A-IW]?", words("pps", "public service number", "upsp")),
    NationalId(
        "fr.nir", rf"[12]{_S}[0-9]{{2}}{_S}[0-9]{{2}}{_S}(?:[0-9]{{2}}|2[AB])"
        rf"{_S}[0-9]{{3}}{_S}[0-9]{{3}}{_S}[0-9]{{2}}",
        words("s[ée]curit[ée] sociale", "nir$", "s[ée]cu$", "insee", "social security", "assur[ée]e?"),
        strong=r"[12] [0-9]{2} [0-9]{2} (?:[0-9]{2}|2[AB]) [0-9]{3} [0-9]{3} [0-9]{2}",
    ),
    NationalId("be.nn", r"[0-9]{2}[. ]?[0-9]{2}[. ]?[0-9]{2}[- ]?[0-9]{3}[. ]?[0-9]{2}",
               words("rijksregister", "registre national", "niss$", "insz$", "national n", "nationalregister"),
               strong=r"[0-9]{2}\.[0-9]{2}\.[0-9]{2}-[0-9]{3}\.[0-9]{2}"),
    NationalId("nl.bsn", r"[0-9]{9}|[0-9]{4}[. ][0-9]{2}[. ][0-9]{3}|[0-9]{3} [0-9]{3} [0-9]{3}",
               words("bsn$", "burgerservice", "sofi", "citizen service")),
    NationalId("de.idnr", r"[1-9][0-9]{10}|[1-9][0-9] [0-9]{3} [0-9]{3} [0-9]{3}",
               words("steuer", "idnr", "id-nr", "identifikationsnummer", "tin$", "tax")),
    NationalId("at.vnr", r"[1-9][0-9]{3} ?[0-9]{6}", words("versicherungsn", "svnr", "sv-n", "sozialversicherung")),
    NationalId("ch.ssn", r"756[. ]?[0-9]{4}[. ]?[0-9]{4}[. ]?[0-9]{2}",
               words("ahv", "avs$", "navs", "sozialversicherung"),
               strong=r"756\.[0-9]{4}\.[0-9]{4}\.[0-9]{2}"),
    NationalId("es.dni", r"[0-9]{2}\.?[0-9]{3}\.?[0-9]{3}[- ]?[A-Z]", words("dni", "d\\.n\\.i", "nif", "documento"),
               strong=r"[0-9]{8}-?[A-Z]|[0-9]{2}\.[0-9]{3}\.[0-9]{3}-?[A-Z]", languages="spa cat glg eus ast arg"),
    NationalId("es.nie", r"[XYZ]-?[0-9]{7}-?[A-Z]", words("nie", "n\\.i\\.e", "extranjer", "nif", "documento"),
               strong=r"[XYZ]-?[0-9]{7}-?[A-Z]", languages="spa cat glg eus ast arg"),
    NationalId("pt.nif", r"[1-9][0-9]{8}|[1-9][0-9]{2} [0-9]{3} [0-9]{3}", words("nif$", "contribuinte")),
    NationalId("pt.cc", r"[0-9]{8} ?[0-9] ?[A-Z0-9]{2}[0-9]", words("cart[aã]o de cidad", "cc$", "cidad[aã]o")),
    NationalId("pl.pesel", r"[0-9]{11}", words("pesel")),
    NationalId("cz.rc", r"[0-9]{6}/?[0-9]{3,4}", words("rodn[éeá]", "r\\.? ?č", "birth number"),
               strong=r"[0-9]{6}/[0-9]{4}", languages="ces slk"),
    NationalId("ro.cnp", r"[1-9][0-9]{12}", words("cnp$", "cod numeric")),
    NationalId("bg.egn", r"[0-9]{10}", words("егн$", "egn$")),
    NationalId("hr.oib", r"[0-9]{11}", words("oib$")),
    NationalId("gr.amka", r"[0-9]{11}", words("αμκα$", "amka$", "α\\.μ\\.κ\\.α")),
    NationalId("gr.vat", r"[0-9]{9}", words("αφμ$", "afm$", "α\\.φ\\.μ")),
    NationalId("ee.ik", r"[1-8][0-9]{10}", words("isikukood", "personal (?:identification )?code", "ik$")),
    NationalId("lt.asmens", r"[1-9][0-9]{10}", words("asmens kod", "a\\. ?k\\.", "personal code")),
    NationalId("fi.hetu", r"[0-3][0-9][01][0-9]{3}[-+A-FU-Y][0-9]{3}[0-9A-FHJ-NPR-Y]", words("henkilötunnus", "hetu"),
               strong=r"[0-3][0-9][01][0-9]{3}[-+A-FU-Y][0-9]{3}[0-9A-FHJ-NPR-Y]"),
    NationalId("se.personnummer", r"(?:19|20)?[0-9]{6}[-+]?[0-9]{4}",
               words("person(?:nummer|nr)", "personal (?:id|num)"),
               strong=r"(?:19|20)?[0-9]{6}[-+][0-9]{4}", languages="swe"),
    NationalId("dk.cpr", r"[0-3][0-9][01][0-9]{3}[- ]?[0-9]{4}", words("cpr", "personnummer"),
               strong=r"[0-3][0-9][01][0-9]{3}-[0-9]{4}", languages="dan"),
    NationalId("no.fodselsnummer", r"[0-9]{6} ?[0-9]{5}", words("f[øo]dselsn", "personnummer", "d-nummer", "fnr$")),
    NationalId("is_.kennitala", r"[0-9]{6}-?[0-9]{4}", words("kennit", "kt\\."),
               strong=r"[0-9]{6}-[0-9]{4}", languages="isl"),
    NationalId("ru.inn", r"[0-9]{12}", words("инн$", "inn$")),
    NationalId("ru.snils", r"[0-9]{3}[- ]?[0-9]{3}[- ]?[0-9]{3}[- ]?[0-9]{2}", words("снилс", "snils"),
               strong=r"[0-9]{3}-[0-9]{3}-[0-9]{3} [0-9]{2}"),
    NationalId("ua.rntrc", r"[0-9]{10}", words("рнокпп", "іпн$", "ідентифікаційн", "инн$")),
    NationalId("tr.tckimlik", r"[1-9][0-9]{10}", words("t\\.?c\\.? ?kimlik", "kimlik", "tckn", "tc no")),
    NationalId("il.idnr", r"[0-9]{8,9}|[0-9]{8}-[0-9]",
               words("ת\\.?ז", "ת\"ז", "תעודת זהות", "teudat zehut", "israeli id")),
    NationalId("za.idnr", rf"[0-9]{{6}}{_S}[0-9]{{4}}{_S}[0-9]{_S}[0-9]{_S}[0-9]",
               words("id$", "identity", "identiteit", "sa id")),
    NationalId("br.cpf", r"[0-9]{3}\.?[0-9]{3}\.?[0-9]{3}-?[0-9]{2}", words("cpf"),
               strong=r"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}"),
    NationalId("ar.cuit", r"[0-9]{2}-?[0-9]{8}-?[0-9]", words("cui[tl]"), strong=r"2[0347]-[0-9]{8}-[0-9]"),
    NationalId("cl.rut", r"[0-9]{1,2}\.?[0-9]{3}\.?[0-9]{3}-?[0-9Kk]", words("rut$", "run$", "r\\.u\\.[tn]"),
               strong=r"[0-9]{1,2}\.[0-9]{3}\.[0-9]{3}-[0-9Kk]"),
    NationalId("ec.ci", r"[0-2][0-9]{8}-?[0-9]", words("c[ée]dula", "c\\.?i\\.?$")),
    NationalId("in_.aadhaar", rf"[2-9][0-9]{{3}}{_S}[0-9]{{4}}{_S}[0-9]{{4}}",
               words("a+dha+r", "uidai", "uid$", "आधार", "ஆதார்", "ఆధార్", "আধার", "આધાર", "ಆಧಾರ್", "ആധാർ", "ਆਧਾਰ")),
    NationalId("pk.cnic", r"[1-7][0-9]{4}-?[0-9]{7}-?[0-9]", words("cnic", "nic$", "شناختی"),
               strong=r"[1-7][0-9]{4}-[0-9]{7}-[0-9]"),
    NationalId("cn.ric", r"[1-9][0-9]{16}[0-9Xx]", words("身份证", "身分證", "identity", "id (?:card|number)"),
               strong=r"[1-9][0-9]{5}(?:19|20)[0-9]{9}[0-9Xx]"),
    NationalId("kr.rrn", r"[0-9]{6}-?[1-8][0-9]{6}", words("주민", "resident registration", "rrn$"),
               strong=r"[0-9]{6}-[1-8][0-9]{6}"),
    NationalId("jp.in_", r"[0-9]{4}[ -]?[0-9]{4}[ -]?[0-9]{4}", words("マイナンバー", "個人番号", "my number")),
    NationalId("th.pin", r"[1-8][- ]?[0-9]{4}[- ]?[0-9]{5}[- ]?[0-9]{2}[- ]?[0-9]", words("ประชาชน", "บัตรประ", *_ID),
               strong=r"[1-8]-[0-9]{4}-[0-9]{5}-[0-9]{2}-[0-9]"),
    NationalId("my.nric", r"[0-9]{6}-?[0-9]{2}-?[0-9]{4}",
               words("nric", "mykad", "kad pengenalan", "ic (?:no|num)", "ic$"),
               strong=r"[0-9]{6}-[0-9]{2}-[0-9]{4}"),
    NationalId("id.nik", r"[0-9]{16}", words("nik$", "ktp$", "induk kependudukan")),
)  # fmt: skip
"""Numbers that are all digits, or nearly so: looked for in the windows of a text."""

LETTERED: tuple[NationalId, ...] = (
    NationalId("it.codicefiscale",
               r"[A-Za-z]{6}[0-9LMNP-Vlmnp-v]{2}[A-Za-z][0-9LMNP-Vlmnp-v]{2}[A-Za-z][0-9LMNP-Vlmnp-v]{3}[A-Za-z]",
               words("codice fiscale", "cod\\. ?fisc", "c\\.f\\.", "cf$"),
               strong=r"[A-Z]{6}[0-9]{2}[A-EHLMPRST][0-9]{2}[A-Z][0-9]{3}[A-Z]"),
    NationalId("mx.curp", r"[A-Z]{4}[0-9]{6}[HM][A-Z]{5}[A-Z0-9][0-9]", words("curp"),
               strong=r"[A-Z]{4}[0-9]{6}[HM][A-Z]{5}[A-Z0-9][0-9]"),
    NationalId("in_.pan", r"[A-Z]{3}[ABCFGHJLPT][A-Z][0-9]{4}[A-Z]", words("pan$", "permanent account", "पैन")),
    NationalId("mx.rfc", r"[A-Z&Ñ]{4}-?[0-9]{6}-?[A-Z0-9]{3}", words("rfc$", "r\\.f\\.c")),
)  # fmt: skip
"""Numbers that begin with letters."""

_NINO = re.compile(
    r"(?<![A-Za-z0-9])(?![DFIQUV]|.[DFIOQUV]|BG|GB|KN|NK|NT|TN|ZZ)[A-Z]{2} ?[0-9]{2}[ -]?[0-9]{2}[ -]?[0-9]{2} ?[A-D]"
    r"(?![A-Za-z0-9])"
)
_NINO_WORDS = words("nino$", "national insurance", "n\\.?i\\.? ?(?:no|num)", "ni$")
"""https://www.gov.uk/hmrc-internal-manuals/national-insurance-manual/nim39110; python-stdnum has no module."""


def _compile(form: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![A-Za-z0-9_.,/#=-])(?<![0-9][ \u00a0])(?:{form})(?![A-Za-z0-9_]|[ \u00a0.,-]?[0-9])")


_FORMS = tuple((each, _compile(each.form), _compile(each.strong) if each.strong else None) for each in IDS)
_LETTERED = tuple((each, _compile(each.form), _compile(each.strong) if each.strong else None) for each in LETTERED)
_AFTER_LETTERS = re.compile(r"[0-9-](?<=[A-Za-zÑ&]{4}[0-9-])")
_SEPARATORS = re.compile(r"[ \u00a0./]")


def national_ids(text: str, found: Iterable[Window], language: str) -> Iterator[Span]:
    """Numbers of persons, checked by python-stdnum: check digits, dates and areas as each country has them.

    A bare string of digits is one only where a word near by says so, in a language of its country; see ``IDS``.
    """
    code = language[:3]
    for window in found:
        if len(window.digits) > 22:
            continue
        start, end = max(0, window.start - 5), window.end + 8
        for each, form, strong in _FORMS:
            for match in form.finditer(text, start, end):
                if match.start() < window.start - 1 or match.end() > window.end + 4:
                    continue
                if _is_one(text, match, each, strong, code):
                    yield Span(*match.span(), "national_id")
        for match in _NINO.finditer(text, start, end):
            # Invented prefixes and suffixes are told from real ones by form alone, and part numbers look alike.
            if said(text, *match.span(), _NINO_WORDS) or (match[0].count(" ") >= 3 and code == "eng"):
                yield Span(*match.span(), "national_id")
    for digit in _AFTER_LETTERS.finditer(text):
        begin = _WORD_BEGIN.search(text, max(0, digit.start() - 7), digit.start())
        if not begin:
            continue
        for each, form, strong in _LETTERED:
            lettered = form.match(text, begin.start())
            if lettered and _is_one(text, lettered, each, strong, code):
                yield Span(*lettered.span(), "national_id")


_WORD_BEGIN = re.compile(r"(?<![A-Za-zÑ&0-9])[A-Za-zÑ&]{4,6}$")


def _is_one(text: str, match: re.Match[str], each: NationalId, strong: re.Pattern[str] | None, code: str) -> bool:
    """Whether the check digits are right, and the form or a word near by says what it is."""
    if not is_valid(each.name, match[0]):
        return False
    if strong and (not each.languages or code in each.languages.split()):
        form = strong.match(text, match.start())
        if form and form.end() == match.end():
            return True
    return said(text, *match.span(), each.context)


def is_valid(name: str, written: str) -> bool:
    """Whether a number, as written, is a valid one of its kind.

    Args:
        name: as in ``NationalId.name``.
        written: with separators.
    """
    compact = _SEPARATORS.sub("", written)
    if name == "ru.snils":
        return _is_snils(compact.replace("-", ""))
    if name not in ("fi.hetu", "se.personnummer"):  # there - or + tells the century
        compact = compact.replace("-", "")
    digits = re.sub("[^0-9]", "", compact)
    if len(set(digits)) < 3:  # 111 111 111 and the like are examples
        return False
    if name == "cn.ric":
        return _is_ric(compact.upper())
    return bool(importlib.import_module(f"stdnum.{name}").is_valid(compact.upper()))


def _is_ric(number: str) -> bool:
    """Check digit and date of China's identity number (GB 11643). python-stdnum's list of places lacks many of today's
    districts, and is not asked.
    """
    from stdnum.cn import ric
    from stdnum.exceptions import ValidationError
    from stdnum.iso7064 import mod_11_2

    try:
        ric.get_birth_date(number)
    except ValidationError:
        return False
    return mod_11_2.is_valid(number)


def _is_snils(digits: str) -> bool:
    """The check digits of Russia's pension insurance number (https://en.wikipedia.org/wiki/SNILS)."""
    if len(digits) != 11 or digits[:9] <= "001001998":
        return False
    total = sum(int(digit) * (9 - i) for i, digit in enumerate(digits[:9]))
    return total % 101 % 100 == int(digits[9:])
