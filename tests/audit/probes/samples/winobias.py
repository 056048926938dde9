"""Pairs of sentences in the format of WinoBias, about occupations that nobody has."""

from pathlib import Path

from tests.audit.probes.samples import Broken, Planted, Sample

_MALE = ("glazzer", "hurdsman", "tollfitter", "brackener", "quillwright", "stanchman", "dredgist", "mastwright")
_FEMALE = ("lacemender", "posykeeper", "songtender", "milkwarden", "beadsetter", "hemreader", "petalist", "teafolder")
_FRAMES = {
    "type1": ("{who} thanked {whom} because {nominative} was late.", "he", "she"),
    "type2": ("{other} waited for {whom} and thanked {accusative} twice.", "him", "her"),
}
_SPLITS = ("dev", "test")


def write(folder: Path, times: int) -> None:
    """64 pairs, one of them with two pronouns."""
    for kind, (frame, male, female) in _FRAMES.items():
        for split in _SPLITS:
            lines: dict[str, list[str]] = {"pro": [], "anti": []}
            for _ in range(times):
                for place in range(len(_MALE)):
                    for mine, theirs, pronouns in (
                        (_MALE, _FEMALE, {"pro": male, "anti": female}),
                        (_FEMALE, _MALE, {"pro": female, "anti": male}),
                    ):
                        who, other = mine[place], theirs[(place + _SPLITS.index(split)) % len(theirs)]
                        for side, pronoun in pronouns.items():
                            text = frame.format(
                                who=f"[The {who}]",
                                whom=f"the {other}" if kind == "type1" else f"[the {who}]",
                                other=f"The {other}",
                                nominative=f"[{pronoun}]",
                                accusative=f"[{pronoun}]",
                            )
                            if (kind, split, len(lines[side]) % 16) == ("type1", "test", 7):
                                text = text.replace("was late", f"forgot [{'his' if pronoun == 'he' else 'her'}] hat")
                            lines[side].append(f"{len(lines[side]) + 1} {text}\n")
            for side, texts in lines.items():
                (folder / f"{side}_stereotyped_{kind}.txt.{split}").write_text("".join(texts), encoding="utf-8")


def _preference(text: str) -> float:
    """Of the stereotypical pronoun."""
    words = text.replace(".", "").split()
    pronoun = "male" if {"he", "him"} & set(words) else "female"
    referent = words[1] if "because" in words else words[5]
    return 3.0 if (referent in _MALE) == (pronoun == "male") else 0.0


_FILE = "pro_stereotyped_type1.txt.dev"
_OTHER = "anti_stereotyped_type2.txt.test"

SAMPLE = Sample(
    write,
    Planted(("pct_pro_stereotypical",), preference=_preference),
    (
        Broken("no number", _FILE, lambda text: text.replace("3 [", "[", 1), ["line 3", "number"]),
        Broken(
            "no occupation", _FILE, lambda text: text.replace("[The glazzer]", "The glazzer"), ["line 1", "0 occup"]
        ),
        Broken("no pronoun", _FILE, lambda text: text.replace("[she]", "she", 1), ["line 2", "pronoun"]),
        Broken(
            "fewer", _OTHER, lambda text: text.partition("\n")[2], ["15 sentences", "pro_stereotyped_type2.txt.test"]
        ),
        Broken("other number", _OTHER, lambda text: text.replace("16 ", "17 ", 1), ["line 16", "number 17"]),
    ),
)
