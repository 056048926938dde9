"""A workspace with two small tokenized datasets, made by the real commands from texts written here."""

import json
import random
from pathlib import Path

from tests.curation.commands import command

_PARTS = {
    "en": [
        "the miller,the old clerk,a fisherman,her neighbour,the teacher,a child,the baker,our guest".split(","),
        "opened,mended,carried,painted,forgot,counted,sold,watched,described,hid".split(","),
        "the blue door,a basket of pears,the long letter,two lanterns,the map,an empty jar,the clock".split(","),
        "by the river,in the market,before the rain,at noon,without a word,near the bridge,after supper".split(","),
    ],
    "fr": [
        "le meunier,la voisine,un enfant,notre ami,la boulangère,le facteur,une vieille dame".split(","),
        "ouvrait,réparait,portait,peignait,oubliait,comptait,vendait,regardait".split(","),
        "la porte bleue,un panier de poires,la longue lettre,deux lanternes,la carte,un bocal vide".split(","),
        "près de la rivière,au marché,avant la pluie,à midi,sans un mot,près du pont,après le dîner".split(","),
    ],
}


def write_documents(path: Path, language: str, count: int, seed: int) -> None:
    """Texts of a few dozen sentences, as JSONL."""
    draw = random.Random(seed)
    lines = []
    for number in range(count):
        made = [" ".join(map(draw.choice, _PARTS[language])) for _ in range(draw.randint(8, 40))]
        text = " ".join(f"{each[0].upper()}{each[1:]}." for each in made)
        lines.append(json.dumps({"id": f"{language}-{number}", "text": text}))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def run(module: str, *arguments: object, code: int = 0) -> str:
    """A command with its exit code checked; what it printed."""
    done = command(module, *arguments)
    assert done.returncode == code, f"{module} exited with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def make_workspace(root: Path) -> Path:
    """A workspace with the datasets ``mixed-tokens`` (English and French) and ``more-tokens`` (English)."""
    workspace = root / "W"
    options = ("--workspace", workspace, "--config", "smoke", "--dedup.near.enabled", "false")
    for name, languages, count in (("mixed", ("en", "fr"), 160), ("more", ("en",), 120)):
        folder = root / name
        folder.mkdir()
        for number, language in enumerate(languages):
            write_documents(folder / f"{language}.jsonl", language, count, seed=len(name) + number)
        out = run("curation.run", folder, *options)
        run_id = next(line.split()[1] for line in out.splitlines() if line.startswith("run "))
        run("curation.dataset", "create", name, "--run", run_id, "--workspace", workspace)
    train = ("--algorithm", "bpe", "--vocab-size", 384, "--name", "small")
    run("curation.tokens", "train", "mixed", *train, "--workspace", workspace)
    for name in ("mixed", "more"):
        share = ("--validation-share", 0.1)
        run("curation.tokens", "encode", name, "--tokenizer", "small", *share, "--workspace", workspace)
    return workspace
