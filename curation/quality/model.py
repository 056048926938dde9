"""From a text to its score: the same words in training and scoring, the model, and the card beside it."""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.errors import UserError, unknown_name
from curation.words import Words
from curation.workspace import write_durably

if TYPE_CHECKING:
    from fasttext.FastText import _FastText

PREFIX = "__label__"
POSITIVE, NEGATIVE = "positive", "negative"
DECIMALS = 6
"""Digits of a score: fastText computes in single precision."""
NORMALISATION = "words-1"
"""How texts become lines; on the card, so that a model is never used with other words than it was trained on."""

END = "</s>"
"""fastText's word for the end of a text."""


def line_of(words: Words) -> str:
    """The words of a text on one line, as fastText reads them; empty for a text without words.

    Words are those of ``curation.words``, so that Chinese or Thai has words, too. Capitals and punctuation stay.
    """
    found = " ".join(words.strings).split()
    # fastText would stop reading at the one, and take the other for a label: a text must not decide its own score.
    line = " ".join(word for word in found if word != END and not word.startswith(PREFIX))
    return line.encode("utf-8", "replace").decode()


@dataclass(frozen=True, slots=True)
class Card:
    """What is known of a model: a JSON file beside it."""

    sha256: str
    """Of the model file."""
    label: str
    """Whose probability is the score."""
    languages: tuple[str, ...]
    """Languages in which it has seen both kinds of text."""
    normalisation: str = NORMALISATION
    training: dict[str, Any] = field(default_factory=dict)
    """Texts, where they came from, how many were left out and why, and fastText's parameters."""
    report: dict[str, Any] = field(default_factory=dict)
    """On held-out texts, as ``curation.quality.report`` makes it."""


def card_path(model: Path) -> Path:
    """Where the card of a model lies."""
    return model.with_name(f"{model.name}.json")


def save_card(model: Path, card: Card) -> None:
    """Write the card, whole or not at all."""
    write_durably(card_path(model), (json.dumps(asdict(card), indent=1, allow_nan=False) + "\n").encode())


def load_card(model: Path, sha256: str) -> Card | None:
    """The card beside a model, or None if there is none.

    Raises:
        UserError: it is no card, belongs to another model, or to one that was trained on other words.
    """
    path = card_path(model)
    if not path.is_file():
        return None
    try:
        raw = json.loads(path.read_bytes())
        card = Card(**{**raw, "languages": tuple(raw["languages"])})
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: is no card of a quality model ({error}); train it again, or remove the card"
        ) from None
    if card.sha256 != sha256:
        raise UserError(f"{path}: is the card of another model (sha256 {card.sha256[:12]}, not {sha256[:12]})")
    if card.normalisation != NORMALISATION:
        raise UserError(
            f"{path}: the model was trained on words as {card.normalisation} has them, and this version has "
            f"{NORMALISATION}; train it again"
        )
    return card


class WrongLabel(UserError):
    """The model has no label of that name."""


class Classifier:
    """A fastText model, ready to score."""

    def __init__(self, model: "_FastText", label: str) -> None:
        """
        Raises:
            WrongLabel: the model has no such label.
        """
        self._model, self._label = model, f"{PREFIX}{label}"
        names = [each.removeprefix(PREFIX) for each in model.labels]
        if label not in names:
            raise WrongLabel(str(unknown_name("label of the quality model", label, names)))

    def score(self, line: str) -> float | None:
        """Probability of the label, 0 to 1; None for a text without words, or without any that the model knows."""
        if not line:
            return None
        labels, probabilities = self._model.predict(line, k=-1)
        for label, probability in zip(labels, probabilities, strict=True):
            if label == self._label:
                return round(min(1.0, max(0.0, float(probability))), DECIMALS)
        return None


@lru_cache(maxsize=1)
def open_classifier(path: Path, label: str) -> Classifier:
    """The model of this process.

    Raises:
        UserError: the file is missing or no fastText classifier, or has no such label.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; python -m curation.quality train makes a model")
    from fasttext import FastText

    FastText.eprint = lambda *_: None  # load_model warns, on each load, of a change made in 2019
    try:
        return Classifier(FastText.load_model(str(path)), label)
    except (ValueError, RuntimeError, MemoryError) as error:
        raise UserError(f"{path}: not a fastText classifier ({error})") from error


def languages_of(card: Card | None, wanted: Collection[str], option: str) -> tuple[str, ...]:
    """Languages that are scored: those asked for, else all of the card.

    Args:
        option: what to name in errors.

    Raises:
        UserError: no card and none asked for, or one that the model does not know.
    """
    if card is None:
        if not wanted:
            raise UserError(f"{option}: the model has no card that says for which languages it is; name them")
        return tuple(sorted(wanted))
    if unknown := sorted(set(wanted) - set(card.languages)):
        raise UserError(
            f"{option}: the model was trained on {', '.join(card.languages)}, not on {', '.join(unknown)}: it would "
            "tell languages, not quality; train one with positive and negative texts in that language"
        )
    return tuple(sorted(wanted or card.languages))


def plain(value: Any) -> Any:
    """A value for JSON, which has no NaN and no infinity: null."""
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value
