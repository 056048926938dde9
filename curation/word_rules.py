"""How a chunk of text between white space is split into words, for scripts that put spaces between words.

The rules are those of spaCy's blank tokenizers (https://spacy.io/usage/linguistic-features#tokenization),
because the thresholds of published filters were tuned on their words: marks come off both ends, one at a
time; what is left is an exception (``don't``, ``Mr.``, ``:-)``), an address, or is cut at hyphens, slashes and
the like between letters. For Korean and Vietnamese datatrove takes morphemes and compounds instead, from models;
ours are what stands between spaces. The code is our own, because spaCy takes a second to load and 8 ms a page;
the exceptions are those that spaCy lists (MIT licence).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product

import regex

LONGEST_CHUNK = 256
"""Characters above which a chunk holds no words: it is only cut into runs of letters and digits, other
characters, and addresses. Rules that look at the rest again for each mark are kept to short chunks by this."""

Tokens = tuple[str, ...]

# ---- patterns: spaCy's classes, in Unicode's own terms --------------------------------------------

_MARKS = r",:;!?¿؟¡()\[\]{}<>_#*&。？！，、；：～·।،۔؛٪"
_QUOTES = r"'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉〈〉⟦⟧"
_CURRENCY = r"US\$|C\$|A\$|[$£€¥฿₽﷼₠-₿]"
_UNITS = "|".join(
    sorted(
        "km km² km³ m m² m³ dm dm² dm³ cm cm² cm³ mm mm² mm³ ha µm nm yd in ft kg g mg µg t lb oz m/s km/h kmh mph "
        "hPa Pa mbar mb MB kb KB gb GB tb TB T G M K % км км² км³ м м² м³ дм дм² дм³ см см² см³ мм мм² мм³ нм кг г мг "
        "м/с км/ч кПа Па мбар Кб КБ кб Мб МБ мб Гб ГБ гб Тб ТБ тб كم كم² كم³ م م² م³ سم سم² سم³ مم مم² مم³ غرام جرام "
        "جم كغ ملغ كوب اكواب".split(),
        key=lambda unit: (-len(unit), unit),
    )
)
_UNCASED = r"\p{Lo}\p{Lm}\u0900-\u0dff"  # Indic vowel signs are marks to Unicode and belong to the words
_ALPHA, _LOWER, _UPPER = rf"\p{{L}}{_UNCASED}", rf"\p{{Ll}}{_UNCASED}", rf"\p{{Lu}}{_UNCASED}"
_HYPHENS = "---|--|——|[-–—~]"
_ELLIPSES = r"\.\.+|…+"
_ICON = r"\p{So}"

_PREFIX = regex.compile(rf"[§%=—–{_MARKS}{_QUOTES}]|\+(?![0-9])|{_ELLIPSES}|{_CURRENCY}|{_ICON}")
_SUFFIX = regex.compile(
    rf"(?:{_ELLIPSES}|['’][sS]|[{_MARKS}{_QUOTES}—–]|{_ICON}|(?<=[0-9])(?:\+|{_CURRENCY}|{_UNITS})"
    rf"|(?<=°[FfCcKk])\.|(?<=[0-9{_LOWER}%²+\-{_MARKS}{_QUOTES}…])\.|(?<=[{_UPPER}][{_UPPER}])\.)\Z"
)
_INFIXES = (
    *(_ELLIPSES, _ICON, r"(?<=[0-9])[+\-*^](?=[0-9-])"),
    *(rf"(?<=[{_LOWER}{_QUOTES}])\.(?=[{_UPPER}{_QUOTES}])", rf"(?<=[{_ALPHA}]),(?=[{_ALPHA}])"),
)
_HOST = r"[A-Za-z0-9\u00a1-\uffff](?:[A-Za-z0-9\u00a1-\uffff_-]{0,62}[A-Za-z0-9\u00a1-\uffff])?"
_ADDRESS = regex.compile(
    rf"(?:[\w+\-.]{{2,}}://)?(?:[^@\s]+@)?(?:(?:{_HOST}\.)++[{_LOWER}]{{2,63}}|\d{{1,3}}(?:\.\d{{1,3}}){{3}})"
    r"(?::\d{2,5})?(?:[/?#]\S*)?"
)
_AFTER_WORDS = frozenset(',;:!?)]"”’')  # a part of the suffixes
_LONG = regex.compile(r"\w+|\.\.+|\S")

# ---- exceptions ---------------------------------------------------------------------------------

_EMOTICONS = r"""
:) :-) :)) :-)) :))) :-))) (: (-: =) (= :] :-] [: [-: [= =] :o) (o: :} :-} 8) 8-) (-8 ;) ;-) (; (-; :( :-( :((
:-(( :((( :-((( ): )-: =( >:( :') :'-) :'( :'-( :/ :-/ =/ =| :| :-| ]= =[ :1 :P :-P :p :-p :O :-O :o :-o :0 :-0
:() >:o :* :-* :3 :-3 =3 :> :-> :X :-X :x :-x :D :-D ;D ;-D =D xD XD xDD XDD 8D 8-D ^_^ ^__^ ^___^ >.< >.> <.< ._.
;_; -_- -__- v.v V.V v_v V_V o_o o_O O_o O_O 0_o o_0 0_0 o.O O.o O.O o.o 0.0 o.0 0.o @_@ <3 <33 <333 </3 (^_^) (-_-)
(._.) (>_<) (*_*) (¬_¬) ಠ_ಠ ಠ︵ಠ (ಠ_ಠ) ¯\(ツ)/¯ (╯°□°）╯︵┻━┻ ><(((*>
"""
_ABBREVIATIONS = """
'd a.m. Adm. Bros. co. Co. Corp. D.C. Dr. e.g. E.g. E.G. Gen. Gov. i.e. I.e. I.E. Inc. Jr. Ltd. Md. Messrs. Mo. Mont.
Mr. Mrs. Ms. p.m. Ph.D. Prof. Rep. Rev. Sen. St. vs. v.s. Mt. Ak. Ala. Apr. Ariz. Ark. Aug. Calif. Colo. Conn. Dec.
Del. Feb. Fla. Ga. Ia. Id. Ill. Ind. Jan. Jul. Jun. Kan. Kans. Ky. La. Mar. Mass. Mich. Minn. Miss. N.C. N.D. N.H.
N.J. N.M. N.Y. Neb. Nebr. Nev. Nov. Oct. Okla. Ore. Pa. S.C. Sep. Sept. Tenn. Va. Wash. Wis.
'S 's ‘S ‘s and/or w/o 're 'Cause 'cause 'cos 'Cos 'coz 'Coz 'cuz 'Cuz 'bout ma'am Ma'am o'clock O'clock lovin' Lovin'
havin' Havin' doin' Doin' goin' Goin' nothin' Nothin' nuthin' Nuthin' ol' Ol' somethin' Somethin' 'em 'll 'nuff
"""
_CONTRACTIONS = (  # words | what may follow them, cut where the words are cut
    ("i", "'m 'm+a"),
    ("i you he she it we they", "'ll 'll+'ve 'd 'd+'ve"),
    ("i you we they", "'ve"),
    ("you we they", "'re"),
    ("he she it", "'s"),
    ("who what when where why how there that this", "'s"),
    ("who what when where why how there that this these those", "'ll 'll+'ve 'd 'd+'ve"),
    ("who what when where why how there these those", "'re 've"),
    ("ca could do does did had may might must need ought sha should wo would", "n't n't+'ve"),
    ("could might must should would", "'ve"),
    ("ai are is was were have has dare", "n't"),
    ("not", "'ve"),
)
_NO_CONTRACTIONS = frozenset("Ill ill Its its Hell hell Shell shell Shed shed were Were Well well Whore whore".split())
_CUT = """
y'+all y+all how+'d+'y How+'d+'y can+not Can+not gon+na Gon+na got+ta Got+ta let+'s Let+'s c'm+on C'm+on
"""


def _suffix(text: str) -> "regex.Match[str] | None":
    """The first place from which the text is one suffix; suffixes are short, but for rows of dots."""
    begin = max(0, len(text) - 16)
    suffix = _SUFFIX.search(text, begin)
    return _SUFFIX.search(text) if suffix and suffix.start() == begin else suffix


def _whole(words: Iterable[str]) -> dict[str, Tokens]:
    return {word: (word,) for word in words}


def _common_exceptions() -> dict[str, Tokens]:
    """Those of every language: emoticons, initials, and a few odd ones."""
    found = _whole(_EMOTICONS.split())
    found |= _whole(f"{letter}." for letter in "abcdefghijklmnopqrstuvwxyzäöü")
    found |= _whole(["'", "''", '\\")', "\\t", "\\n", "<space>", "C++", "—"])
    return found | {f"°{unit}.": ("°", unit, ".") for unit in "cfkCFK"}


def _english_exceptions() -> dict[str, Tokens]:
    found = _whole(_ABBREVIATIONS.split())
    found |= {"".join(tokens): tokens for tokens in (tuple(cut.split("+")) for cut in _CUT.split())}
    for words, endings in _CONTRACTIONS:
        for word, ending in product(words.split(), endings.split()):
            for start in (word, word.title()):
                tokens = (start, *ending.split("+"))
                bare = tuple(token.replace("'", "") for token in tokens)
                found |= {"".join(each): each for each in (tokens, bare) if "".join(each) not in _NO_CONTRACTIONS}
    for hour, half in product(range(1, 13), ("a.m.", "am", "p.m.", "pm")):
        found[f"{hour}{half}"] = (str(hour), half)
    return found


def _with_typographic_apostrophes(exceptions: Mapping[str, Tokens]) -> dict[str, Tokens]:
    curly = {
        text.replace("'", "’"): tuple(token.replace("'", "’") for token in tokens)
        for text, tokens in exceptions.items()
        if "'" in text
    }
    return curly | dict(exceptions)


# ---- the rules of one language --------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """How a language differs from the others; with the switches off these are spaCy's common rules."""

    english: bool = False
    """English contractions and abbreviations; hyphens also after digits."""
    elision: bool = False
    """A vowel is left out before another: ``l'eau`` is two words, ``l'`` and ``eau``."""
    compounds: bool = False
    """Hyphens join words to one: ``USB-Stick``."""
    alternatives: bool = False
    """So do slashes: ``BIOS/UEFI``."""


_ELIDING = frozenset("fra ita cat oci cos srd scn fur vec lmo pms lij wln frp".split())
_COMPOUNDING = frozenset("deu nds ltz nld dan swe nob nno hun por glg spa arg ast ron".split())
_ALTERNATING = frozenset("nld hun ron".split())


def kind_of(language: str) -> Kind:
    """The kind of a label such as ``fra_Latn``; English for what bears no such label (``und``, ``python``)."""
    code, _, script = language.partition("_")
    return Kind(
        english=code == "eng" or not script,
        elision=code in _ELIDING,
        compounds=code in _COMPOUNDING,
        alternatives=code in _ALTERNATING,
    )


class Rules:
    """Splits chunks by the rules of one kind of language."""

    def __init__(self, kind: Kind) -> None:
        exceptions = _common_exceptions() | (_english_exceptions() if kind.english else {})
        self._exceptions = _with_typographic_apostrophes(exceptions)
        infixes = [*_INFIXES, rf"(?<=[{_ALPHA}0-9])[:<>={'' if kind.alternatives else '/'}](?=[{_ALPHA}])"]
        before_hyphen = rf"[{_ALPHA}{'0-9' if kind.english else ''}]"
        infixes.append(rf"(?<={before_hyphen})(?:{'--|——' if kind.compounds else _HYPHENS})(?=[{_ALPHA}])")
        if kind.elision:
            infixes.append(rf"(?<=[{_ALPHA}]['’])(?=[{_ALPHA}])")
        self._infix = regex.compile("|".join(infixes))
        # An exception may stand right beside other words ("fine:)"): found by what the other rules make of it.
        split = {tuple(self._affixes(text, {})): tokens for text, tokens in self._exceptions.items()}
        self._inside: dict[str, list[tuple[Tokens, Tokens]]] = defaultdict(list)  # by the first part, longest first
        for parts, tokens in sorted(split.items(), key=lambda item: -len(item[0])):
            if parts != tokens and len(parts) > 1:
                self._inside[parts[0]].append((parts, tokens))

    def split(self, chunk: str) -> Tokens:
        """The words of a chunk without white space, in order; joined they are the chunk."""
        exception = self._exceptions.get(chunk)
        if exception:
            return exception
        if chunk.isalpha():
            return (chunk,)
        word, mark = chunk[:-1], chunk[-1]
        if word.isalpha() and (mark in _AFTER_WORDS or (mark == "." and word[-1].islower())):  # most of the others
            return (*self._exceptions.get(word, (word,)), mark)
        if len(chunk) > LONGEST_CHUNK:
            return (chunk,) if _ADDRESS.fullmatch(chunk) else tuple(_LONG.findall(chunk))
        tokens = self._affixes(chunk, self._exceptions)
        return tuple(self._join_exceptions(tokens) if len(tokens) > 1 else tokens)

    def _affixes(self, text: str, exceptions: Mapping[str, Tokens]) -> list[str]:
        """Take marks off both ends, then split what is left."""
        before: list[str] = []
        after: list[str] = []
        while text and text not in exceptions:
            prefix = _PREFIX.match(text)
            rest = text[prefix.end() :] if prefix else text
            if prefix and rest in exceptions:
                before.append(prefix.group())
                text = rest
                break
            suffix = _suffix(rest)
            if suffix and (shorter := text[: len(text) - len(suffix.group())]) in exceptions:
                after.append(suffix.group())
                text = shorter
                break
            if prefix:
                before.append(prefix.group())
            if suffix:
                after.append(suffix.group())
                rest = rest[: suffix.start()]
            if not prefix and not suffix:
                break
            text = rest
        if text:
            before += exceptions.get(text) or self._middle(text)
        before += reversed(after)
        return before

    def _middle(self, text: str) -> list[str]:
        if text.isalnum() or _ADDRESS.fullmatch(text):
            return [text]
        tokens = []
        begin = 0
        for infix in self._infix.finditer(text):
            if infix.start() == 0:
                continue
            tokens += [part for part in (text[begin : infix.start()], infix.group()) if part]
            begin = infix.end()
        if begin < len(text):
            tokens.append(text[begin:])
        return tokens

    def _join_exceptions(self, tokens: list[str]) -> list[str]:
        done: list[str] = []
        at = 0
        while at < len(tokens):
            for parts, exception in self._inside.get(tokens[at], ()):
                if tuple(tokens[at : at + len(parts)]) == parts:
                    done += exception
                    at += len(parts)
                    break
            else:
                done.append(tokens[at])
                at += 1
        return done
