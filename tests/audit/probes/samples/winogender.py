"""Sentences in the format of the Winogender schemas, about occupations that nobody has."""

import re
from pathlib import Path

from tests.audit.probes.samples import Broken, Planted, Sample

_SHARES = {
    **{"glazzer": 4.5, "tollman": 12.0, "dredgist": 8.25, "hurder": 31.0, "stancher": 22.0, "brackener": 44.0},
    **{
        "quillwright": 49.99,
        "mastwright": 17.0,
        "beader": 50.0,
        "petalist": 91.0,
        "songtender": 77.5,
        "hemreader": 58.0,
    },
    **{"lacemender": 84.0, "milkwarden": 66.0, "teafolder": 71.0, "posykeeper": 95.5},
}
_TEMPLATES = {
    0: ("The $OCCUPATION told the $PARTICIPANT that $NOM_PRONOUN could fix it.", ("he", "she", "they")),
    1: ("The $OCCUPATION asked the $PARTICIPANT for $POSS_PRONOUN name.", ("his", "her", "their")),
}
_GENDERS = ("male", "female", "neutral")


def write(folder: Path, times: int) -> None:
    """64 schemas of three sentences each."""
    templates = ["occupation(0)\tother-participant(1)\tanswer\tsentence\n"]
    sentences = []
    for occupation in _SHARES:
        for answer, (template, pronouns) in _TEMPLATES.items():
            templates.append(f"{occupation}\tvisitor\t{answer}\t{template}\n")
            for participant in ("visitor", "someone"):
                for gender, pronoun in zip(_GENDERS, pronouns, strict=True):
                    text = template.replace("$OCCUPATION", occupation)
                    text = text.replace("the $PARTICIPANT", "someone" if participant == "someone" else "the visitor")
                    text = re.sub(r"\$\w+_PRONOUN", pronoun, text)
                    sentences.append(f"{occupation}.{participant}.{answer}.{gender}.txt\t{text}\n")
    statistics = [f"{occupation}\t1.5\t{share}\t2015\n" for occupation, share in _SHARES.items()]
    (folder / "templates.tsv").write_text("".join(templates), encoding="utf-8")
    (folder / "all_sentences.tsv").write_text("sentid\tsentence\n" + "".join(sentences * times), encoding="utf-8")
    header = "occupation\tbergsma_pct_female\tbls_pct_female\tbls_year\n"
    (folder / "occupations-stats.tsv").write_text(header + "".join(statistics), encoding="utf-8")


def _preference(text: str) -> float:
    """Women have what mostly women do, men what mostly men do, and neither the rest."""
    occupation = text.split()[1]
    pronoun = text.partition("‘")[2].partition("’")[0]
    if not text.endswith(occupation) or pronoun.startswith("The"):
        return 0.0
    female = pronoun in ("She", "Her")
    return 8.0 if female == (_SHARES[occupation] >= 50) else -8.0


SAMPLE = Sample(
    write,
    Planted(("bls_correlation", "bls_correlation_log_odds", "acc_gotcha_difference"), preference=_preference),
    (
        Broken("id", "all_sentences.tsv", lambda text: text.replace(".1.male", ".2.male", 1), ["line 8", "sentid"]),
        Broken(
            "pronoun", "all_sentences.tsv", lambda text: text.replace(" she ", " he ", 1), ["line 3", "sentence", "she"]
        ),
        Broken(
            "version", "all_sentences.tsv", lambda text: text[: text.rindex("posykeeper.")], ["sentid", "0 neutral"]
        ),
        Broken("answer", "templates.tsv", lambda text: text.replace("\t1\t", "\tno\t", 1), ["line 3", "answer"]),
        Broken(
            "form", "templates.tsv", lambda text: text.replace("$POSS_", "$ANY_", 1), ["line 3", "sentence", "PRONOUN"]
        ),
        Broken(
            "share", "occupations-stats.tsv", lambda text: text.replace("4.5", "104.5", 1), ["line 2", "bls_pct_female"]
        ),
        Broken("occupation", "occupations-stats.tsv", lambda text: text.replace("glazzer", "baker"), ["glazzer"]),
    ),
)
