"""Texts whose quality is known: a share of their words is from a good list, the rest from a bad one."""

import json
import random
from collections.abc import Iterable
from pathlib import Path

GOOD = (
    "the theory explains how measured pressure depends on temperature because molecules move faster and therefore "
    "collide more often while careful experiments confirm every prediction within known limits of error"
).split()
BAD = (
    "the best cheap deals online now click here and win free prizes because you deserve more offers while our hot "
    "shop has sale items for your phone today so order fast and subscribe to get coupons"
).split()


def text(share: float, seed: int, sentences: int = 6) -> str:
    """A text of which about ``share`` is good, different for every seed."""
    chance = random.Random(f"graded {seed}")
    lines = []
    for _ in range(sentences):
        words = [chance.choice(GOOD if chance.random() < share else BAD) for _ in range(14)]
        lines.append(" ".join(words).capitalize() + ".")
    return " ".join(lines)


def sides(count: int, first: int = 0) -> tuple[list[str], list[str]]:
    """(positive, negative) texts: the better, the more likely positive."""
    found: tuple[list[str], list[str]] = ([], [])
    for seed in range(first, first + 2 * count):
        chance = random.Random(f"side {seed}")
        share = chance.random()
        found[chance.random() > share].append(text(share, seed))
    return found


def write(path: Path, texts: Iterable[str]) -> Path:
    """JSONL."""
    path.write_text("".join(json.dumps({"text": each}) + "\n" for each in texts), encoding="utf-8")
    return path
