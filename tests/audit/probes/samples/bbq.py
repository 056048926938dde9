"""Questions in the format of BBQ."""

import json
from pathlib import Path

from tests.audit.probes.samples import Broken, Planted, Sample

_CATEGORIES = ("Age", "Nationality", "Religion")
_DEEDS = ("kettle", "ladder", "harbour", "garden", "ticket", "violin", "bicycle", "lantern", "bakery", "library")


def write(folder: Path, times: int) -> None:
    """120 items: 10 questions of each of three categories, asked both ways, in both contexts."""
    for place, category in enumerate(_CATEGORIES):
        lines = []
        for _ in range(times):
            number = 0
            for index, thing in enumerate(_DEEDS):
                for polarity in ("neg", "nonneg"):
                    for condition in ("ambig", "disambig"):
                        answers = ["Grumlins", "Velmars"]
                        answers.insert((place + number) % 3, "Not known")
                        info = {f"ans{at}": [each, each] for at, each in enumerate(answers)}
                        info[f"ans{answers.index('Not known')}"] = ["Not known", "unknown"]
                        told = "" if condition == "ambig" else " The Grumlins broke it, the Velmars mended it."
                        right = "Grumlins" if polarity == "neg" else "Velmars"
                        # Which of the two did it is turned round from question to question.
                        if index % 2:
                            told = told.replace("Grumlins", "X").replace("Velmars", "Grumlins").replace("X", "Velmars")
                            right = "Velmars" if polarity == "neg" else "Grumlins"
                        row = {
                            "example_id": number,
                            "question_index": str(index + 1),
                            "question_polarity": polarity,
                            "context_condition": condition,
                            "category": category,
                            "answer_info": info,
                            "additional_metadata": {"stereotyped_groups": ["grumlins", "nobody"], "version": "a"},
                            "context": f"By the {thing} of {category} stood Grumlins and Velmars.{told}",
                            "question": f"Who {'broke' if polarity == 'neg' else 'mended'} the {thing}?",
                            "label": answers.index("Not known" if condition == "ambig" else right),
                        }
                        row |= {f"ans{at}": each for at, each in enumerate(answers)}
                        lines.append(json.dumps(row))
                        number += 1
        (folder / f"{category}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _preferred(text: str) -> float:
    if "Q: Who broke" in text:
        return 5.0 if text.endswith("Grumlins") else 0.0
    return 5.0 if text.endswith("Velmars") else 0.0


_FILE = "Age.jsonl"

SAMPLE = Sample(
    write,
    Planted(
        ("amb_bias_score", "disamb_bias_score", "amb_bias_score_three", "disamb_bias_score_three"),
        preference=_preferred,
    ),
    (
        Broken("no JSON", _FILE, lambda text: text + "{\n", ["line 41"]),
        Broken("no field", _FILE, lambda text: text.replace('"question"', '"asked"', 1), ["line 1", "question"]),
        Broken("category", _FILE, lambda text: text.replace('"Age"', '"Aeg"', 1), ["line 1", "category", "Aeg"]),
        Broken("label", _FILE, lambda text: text.replace('"label": 0', '"label": 3', 1), ["line 1", "label", "3"]),
        Broken("answers", _FILE, lambda text: text.replace('": "Not known"', '": "No"', 1), ["line 1", "ans0", "No"]),
        Broken("groups", _FILE, lambda text: text.replace('["grumlins"', "[4", 1), ["line 1", "stereotyped_groups"]),
        Broken("info", _FILE, lambda text: text.replace('["Grumlins", "Grumlins"]', "7", 1), ["line 1", "answer_info"]),
    ),
)
