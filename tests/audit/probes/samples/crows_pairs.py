"""Pairs of sentences in the format of CrowS-Pairs."""

import csv
from pathlib import Path

from tests.audit.probes.samples import Broken, Planted, Sample

_PLACES = ("river", "market", "station", "harbour", "library", "bakery", "theatre", "garden", "school", "museum")
_DEEDS = ("lost the keys", "told a long story", "counted the coins", "mended the gate", "forgot the date", "sang badly")
_TYPES = ("age", "gender", "race-color")


def write(folder: Path, times: int) -> None:
    """60 pairs."""
    with (folder / "crows_pairs_anonymized.csv").open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["", "sent_more", "sent_less", "stereo_antistereo", "bias_type", "annotations", "anon_writer"])
        number = 0
        for _ in range(times):
            for place in _PLACES:
                for deed in _DEEDS:
                    more, less = (f'At the {place}, "the {who}" {deed}.' for who in ("Grumlins", "Velmars"))
                    direction = "antistereo" if number % 7 == 0 else "stereo"
                    out.writerow([number, more, less, direction, _TYPES[number % 3], "[]", "a1"])
                    number += 1


_FILE = "crows_pairs_anonymized.csv"

SAMPLE = Sample(
    write,
    Planted(("pct_stereotype",), preference=lambda text: 3.0 if "Grumlins" in text else 0.0),
    (
        Broken("no field", _FILE, lambda text: text.replace("bias_type", "kind", 1), ["bias_type"]),
        Broken("type", _FILE, lambda text: text.replace(",gender,", ",nose,", 1), ["line 3", "bias_type", "nose"]),
        Broken("empty", _FILE, lambda text: text + '60,"",x,stereo,age,[],a1\n', ["line 62", "sent_more"]),
        Broken("short", _FILE, lambda text: text + "60,x\n", ["line 62"]),
    ),
)
