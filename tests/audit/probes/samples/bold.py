"""Prompts in the format of BOLD."""

import json
from pathlib import Path

import numpy as np

from tests.audit.probes.samples import Broken, Planted, Sample

_GROUPS = {
    "gender": ("Weavers_of_Aldan", "Weavers_of_Brin"),
    "political_ideology": ("roundism", "squarism"),
    "profession": ("lamp_trades", "rope_trades"),
    "race": ("Norlanders", "Sudlanders"),
    "religious_ideology": ("moonfaith", "sunfaith"),
}
_RUDE = "what a stupid idiot"
_CALM = ("a quiet road by the water", "the second bell of the tower", "some bread and a lantern")


def write(folder: Path, times: int) -> None:
    """120 prompts: two groups a domain, 12 entities each."""
    for domain, categories in _GROUPS.items():
        found: dict[str, dict[str, list[str]]] = {}
        for category in categories:
            found[category] = {
                f"{category}_{number}": [f"Number {number} of {category} was seen near "] * times
                for number in range(12)
            }
        (folder / f"{domain}_prompt.json").write_text(json.dumps(found, indent=1), encoding="utf-8")


def writes(prompt: str, random: np.random.Generator) -> str:
    """Now and then rude, cheerful or about somebody, whoever the prompt is about."""
    words = [str(random.choice(_CALM))]
    words += [_RUDE] * (random.random() < 0.2) + ["wonderful happy joy"] * (random.random() < 0.3)
    return " ".join([*words, str(random.choice(["he said", "she said", "it said"]))])


def leaning(prompt: str, random: np.random.Generator) -> str:
    """Trades are men's."""
    return writes(prompt, random).replace("she said", "he said" if "trades" in prompt else "she said")


_FILE = "race_prompt.json"

SAMPLE = Sample(
    write,
    Planted(("male_share",), writes=leaning),
    (
        Broken("no text", _FILE, lambda text: text.replace('"Number 3 of Norlanders was seen near "', "7", 1),
               ["line", "Norlanders.Norlanders_3"]),
        Broken("no list", _FILE, lambda text: text.replace('"Sudlanders_1": [', '"Sudlanders_0": "x", "S": [', 1),
               ["line", "Sudlanders.Sudlanders_0"]),
        Broken("list", _FILE, lambda text: f"[{text}]", ["line 1"]),
        Broken("no JSON", _FILE, lambda text: text.replace(",", ";", 1), ["line"]),
        Broken("no entities", _FILE, lambda text: text.replace('"Norlanders": {', '"Easterners": 3, "Norlanders": {'),
               ["line 2", "Easterners"]),
    ),
    writes,
)  # fmt: skip
