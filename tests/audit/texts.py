"""Documents with known mentions in four languages, and filters with known biases."""

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path

ORDINARY = {
    "eng": (
        "The river runs slowly past the old mill, and the water is clear in the morning.",
        "Every autumn the village brings its grain to the market across the bridge.",
        "There was a long discussion about the weather, the harvest and the price of bread.",
        "The library opens at nine and closes when the last reader has gone home.",
        "Nobody could remember when the railway station had last been painted.",
        "A new road was built through the valley, although many had preferred the forest.",
        "In the afternoon the wind changed and the boats returned to the harbour.",
        "The museum shows tools, maps and letters from three centuries.",
        "They repaired the roof before winter because the rain had come through.",
        "The report describes how the town spent its money on schools and streets.",
        "After dinner everybody walked along the shore and talked about the journey.",
        "The garden behind the house is full of apple trees and wild roses.",
    ),
    "spa": (
        "El río pasa despacio junto al viejo molino y el agua está clara por la mañana.",
        "Cada otoño el pueblo lleva su grano al mercado que está al otro lado del puente.",
        "Hubo una larga conversación sobre el tiempo, la cosecha y el precio del pan.",
        "La biblioteca abre a las nueve y cierra cuando se ha ido el último lector.",
        "Nadie recordaba cuándo habían pintado por última vez la estación de tren.",
        "Se construyó una carretera nueva por el valle, aunque muchos preferían el bosque.",
        "Por la tarde cambió el viento y los barcos volvieron al puerto.",
        "El museo muestra herramientas, mapas y cartas de tres siglos.",
        "Arreglaron el tejado antes del invierno porque entraba la lluvia.",
        "El informe describe cómo gastó la ciudad su dinero en escuelas y calles.",
        "Después de cenar todos pasearon por la orilla y hablaron del viaje.",
        "El jardín detrás de la casa está lleno de manzanos y rosas silvestres.",
    ),
    "fra": (
        "La rivière coule lentement près du moulin et l'eau est claire le matin.",
        "Chaque automne le village apporte son grain au marché de l'autre côté du pont.",
        "On a longtemps parlé du temps, de la récolte et du prix du pain.",
        "La bibliothèque ouvre à neuf heures et ferme quand le dernier lecteur est parti.",
        "Personne ne se rappelait quand on avait repeint la gare pour la dernière fois.",
        "Une nouvelle route traverse la vallée, bien que beaucoup aient préféré la forêt.",
        "Dans l'après-midi le vent a tourné et les bateaux sont rentrés au port.",
        "Le musée montre des outils, des cartes et des lettres de trois siècles.",
        "Ils ont réparé le toit avant l'hiver parce que la pluie entrait.",
        "Le rapport décrit comment la ville a dépensé son argent pour les écoles et les rues.",
        "Après le dîner tout le monde a marché le long de la rive en parlant du voyage.",
        "Le jardin derrière la maison est plein de pommiers et de roses sauvages.",
    ),
    "deu": (
        "Der Fluss fließt langsam an der Mühle vorbei, und das Wasser ist am Morgen klar.",
        "Jeden Herbst bringt das Dorf sein Getreide zum Markt auf der anderen Seite der Brücke.",
        "Es gab ein langes Gespräch über das Wetter, die Ernte und den Preis des Brotes.",
        "Die Bibliothek öffnet um neun und schließt, wenn der letzte Leser gegangen ist.",
        "Niemand erinnerte sich, wann der Bahnhof zuletzt gestrichen worden war.",
        "Durch das Tal wurde eine neue Straße gebaut, obwohl viele den Wald lieber hatten.",
        "Am Nachmittag drehte der Wind, und die Boote kehrten in den Hafen zurück.",
        "Das Museum zeigt Werkzeuge, Karten und Briefe aus drei Jahrhunderten.",
        "Sie reparierten das Dach vor dem Winter, weil der Regen hereinkam.",
        "Der Bericht beschreibt, wie die Stadt ihr Geld für Schulen und Straßen ausgab.",
        "Nach dem Essen gingen alle am Ufer entlang und redeten über die Reise.",
        "Der Garten hinter dem Haus ist voller Apfelbäume und wilder Rosen.",
    ),
}

MENTIONS = {
    "eng": {
        "religion:muslim": "Several Muslim families moved into the quarter last year.",
        "religion:jewish": "A Jewish bakery stands at the corner of the square.",
        "sexual_orientation:gay": "The choir was founded by gay singers in the seventies.",
        "gender:woman": "Two women run the workshop by the church.",
        "nationality:mexican": "The Mexican cook prepared a soup for the feast.",
        "disability:deaf": "The theatre has evenings for deaf visitors as well.",
        "age:old": "Elderly neighbours sit on the bench by the fountain.",
    },
    "spa": {
        "religion:muslim": "Varias familias musulmanas llegaron al barrio el año pasado.",
        "ethnicity:roma": "Una orquesta gitana tocó en la plaza durante la fiesta.",
        "sexual_orientation:gay": "El coro lo fundaron cantantes gais en los años setenta.",
        "gender:woman": "Dos mujeres llevan el taller junto a la iglesia.",
        "disability:deaf": "El teatro tiene funciones para personas sordas.",
    },
    "fra": {
        "religion:muslim": "Plusieurs familles musulmanes sont arrivées dans le quartier.",
        "ethnicity:roma": "Un orchestre tsigane a joué sur la place pendant la fête.",
        "gender:woman": "Deux femmes dirigent l'atelier près de l'église.",
        "disability:deaf": "Le théâtre propose des soirées pour les personnes sourdes.",
    },
    "deu": {
        "religion:muslim": "Mehrere muslimische Familien zogen im letzten Jahr in das Viertel.",
        "religion:jewish": "Eine jüdische Bäckerei steht an der Ecke des Platzes.",
        "gender:woman": "Zwei Frauen führen die Werkstatt bei der Kirche.",
        "disability:deaf": "Das Theater hat auch Abende für gehörlose Besucher.",
    },
}


def text(language: str, chance: random.Random, mentions: Sequence[str] = (), sentences: int = 10) -> str:
    """Sentences in random order, one for each mention among them."""
    lines = [chance.choice(ORDINARY[language]) for _ in range(sentences)]
    lines += [MENTIONS[language][name] for name in mentions]
    chance.shuffle(lines)
    return " ".join(lines)


def documents(language: str, count: int, seed: int = 0, share: float = 0.15) -> list[tuple[str, set[str]]]:
    """(text, names mentioned), each name in this share of the documents, by itself; lengths vary."""
    chance = random.Random(f"{language}{seed}")
    found = []
    for _ in range(count):
        names = [name for name in MENTIONS[language] if chance.random() < share]
        found.append((text(language, chance, names, chance.randint(5, 25)), set(names)))
    return found


def write_jsonl(path: Path, texts: Sequence[str], url: Callable[[int], str | None]) -> None:
    """One JSON line a text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for number, each in enumerate(texts):
            row = {"text": each} | ({"url": url(number)} if url(number) else {})
            file.write(json.dumps(row) + "\n")


def site_each(number: int) -> str:
    """A site of its own for each document."""
    return f"http://site{number}.example/page"


PLANTED = '''
"""A filter with a bias that is known."""

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from datatrove.data import Document


@dataclass(frozen=True)
class Planted:
    """Removes texts that match a pattern, those under some words, and others at random."""

    name: ClassVar[str] = "planted"
    scores: ClassVar[Mapping[str, type]] = {"hits": int, "length": int, "draw": int}
    reuse_scores: ClassVar[bool] = False
    keeps: ClassVar[tuple[str, ...]] = ("A text.",)
    rejects: ClassVar[Mapping[str, str]] = {}

    pattern: str = "$^"
    min_words: int = 0
    random_share: float = 0.0
    seed: int = 0

    def score(self, document: Document) -> dict[str, Any]:
        draw = zlib.crc32(f"{self.seed} {document.text}".encode())
        hits = len(re.findall(self.pattern, document.text, re.IGNORECASE))
        return {"hits": hits, "length": len(document.text.split()), "draw": draw}

    def reason(self, scores: dict[str, Any]) -> str | None:
        if scores["hits"]:
            return "pattern"
        if scores["length"] < self.min_words:
            return "short"
        return "random" if scores["draw"] < self.random_share * 2**32 else None
'''


def planted(folder: Path) -> dict[str, str]:
    """An environment in whose processes there is one filter more, ``planted``."""
    more = folder / "more_filters"
    more.mkdir(parents=True, exist_ok=True)
    (more / "planted.py").write_text(PLANTED, encoding="utf-8")
    (folder / "sitecustomize.py").write_text(
        f"import curation.filters\ncuration.filters.__path__.append({str(more)!r})\n", encoding="utf-8"
    )
    return {"PYTHONPATH": str(folder)}
