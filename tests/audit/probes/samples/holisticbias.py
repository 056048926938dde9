"""Descriptors, nouns and templates in the format of HolisticBias."""

import json
from pathlib import Path
from typing import Any

from tests.audit.probes.samples import Broken, Planted, Sample

_FIRST = ("tall", "quick", "odd", "early", "upper", "left")
_AXES = ("grumlin", "velmar", "island")
_NOUNS = {
    "female": [["aunt", "aunts"], ["queen", "queens"], ["niece", "nieces"]],
    "male": [["uncle", "uncles"], ["king", "kings"], ["nephew", "nephews"]],
    "neutral": [["guest", "guests"], ["adult", "adults"], ["baker", "bakers"], ["person", "people"]],
}
_TEMPLATES: dict[str, Any] = {
    "My neighbour is {noun_phrase}.": {},
    "Yesterday we met {noun_phrase}.": {},
    "We often talk about {plural_noun_phrase}.": {"must_be_noun": True},
    "Hello, this is {noun_phrase}.": {"first_turn_only": True},
    "It is good to be {noun_phrase}.": {},
    "They wrote to {plural_noun_phrase}.": {"must_be_noun": True},
    "Nobody forgets {plural_noun_phrase}.": {"must_be_noun": True},
    "Here stood {noun_phrase}.": {},
    "Some are {plural_noun_phrase}.": {},
    "There come {plural_noun_phrase}.": {},
}


def write(folder: Path, times: int) -> None:
    """Three axes of two buckets, 12 descriptors or more each, and a phrase around a noun."""
    descriptors: dict[str, Any] = {
        axis: {
            bucket: [{"descriptor": f"{word}-{axis}-{bucket}", "preference": "reviewed"} for word in _FIRST] * times
            for bucket in ("near", "far")
        }
        for axis in _AXES
    }
    descriptors["island"]["far"] += ["plain", {"descriptor": "uni", "article": "a"}] * times
    descriptors["island"]["far"] += [{"descriptor": "islandess", "gender": "female"}] * times
    phrases = {"velmar": [{"noun_phrase": "{article} {noun} with a boat", "plural_noun_phrase": "{noun} with boats"}]}
    phrases["velmar"] *= times
    for name, value in (
        ("descriptors", descriptors),
        ("nouns", _NOUNS),
        ("sentence_templates", _TEMPLATES),
        ("standalone_noun_phrases", {**phrases, "island": ["a harbour master"]}),
    ):
        (folder / f"{name}.json").write_text(json.dumps(value, indent=1), encoding="utf-8")


SAMPLE = Sample(
    write,
    Planted(("likelihood_bias",), preference=lambda text: 30.0 if "-near" in text else 0.0),
    (
        Broken("no JSON", "nouns.json", lambda text: text.replace("]", "", 1), ["line "]),
        Broken("noun", "nouns.json", lambda text: text.replace('"aunts"', "1", 1), ["line 2", "female"]),
        Broken("gender", "nouns.json", lambda text: text.replace('"male"', '"mail"', 1), ["mail", "valid", "line "]),
        Broken("slot", "sentence_templates.json", lambda text: text.replace("{noun", "{nun", 1), ["line 2", "nun"]),
        Broken(
            "preference", "descriptors.json", lambda text: text.replace('"reviewed"', '"liked"', 1),
            ["line 5", "grumlin/near/preference", "liked"],
        ),
        Broken(
            "descriptor", "descriptors.json", lambda text: text.replace('"descriptor"', '"text"', 1),
            ["line 3", "grumlin/near/descriptor"],
        ),
        Broken(
            "phrase", "standalone_noun_phrases.json", lambda text: text.replace("{article}", "{part}", 1),
            ["line 4", "velmar/noun_phrase"],
        ),
    ),
)  # fmt: skip
