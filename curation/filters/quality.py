"""Documents that a classifier of quality likes: those above a score, or the best share."""

import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from datatrove.data import Document

from curation.errors import UserError
from curation.language import parse_languages
from curation.quality.model import (
    POSITIVE,
    Classifier,
    WrongLabel,
    languages_of,
    line_of,
    load_card,
    open_classifier,
)
from curation.shards import file_sha256
from curation.verdicts import BELOW_SCORE, QUALITY
from curation.words import words_of
from curation.workspace import sync_folder


@dataclass(frozen=True, slots=True)
class _Opened:
    """The model of a run, and the languages that it scores."""

    model: Classifier | None = None
    languages: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Quality:
    """Keeps what a fastText classifier takes for good text.

    ``curation.quality`` says how to train one, whose work this follows, and whom such a classifier treats unfairly:
    likeness to the positive texts is not quality, and dialects and the people who write in them lose.

    A model is for the languages of its training texts. A document in another language, without words, or in a run
    without a model is *not scored*: its score is null, which is not 0, and this filter never rejects it.
    """

    name: ClassVar[str] = QUALITY
    scores: ClassVar[Mapping[str, type]] = {"score": float}
    """``score``: the model's probability of the label, 0 to 1; null where it was not scored."""
    nullable: ClassVar[tuple[str, ...]] = ("score",)
    keeps: ClassVar[tuple[str, ...]] = ("Any text stays as long as no model is named.", "")
    rejects: ClassVar[Mapping[str, str]] = {}
    scored_with: ClassVar[tuple[str, ...]] = ("label",)
    """What the model is, and for which languages, is in what ``prepare`` returns: the path does not matter."""

    model: str = ""
    """Path of a model of ``python -m curation.quality train``, or of any fastText classifier; empty scores nothing.
    It reads words as ``curation.quality.model.line_of`` has them, also where it was trained on others."""
    label: str = POSITIVE
    """Whose probability is the score; without ``__label__`` (``hq`` for DCLM's model)."""
    min_score: float | None = None
    """Documents with a lower score go; null: none goes for that."""
    keep_share: float | None = None
    """Share of the scored documents that stays, 0 to 1, the best of each language, counted among what all filters and
    deduplication have left; of equal scores the smaller ids. DCLM kept .1. Null: all stay. With both null there are
    scores and no decisions."""
    languages: tuple[str, ...] = ()
    """Languages that are scored, as in ``language.languages``; empty: all that the model's card names. A model without
    a card needs them."""
    opened: _Opened = field(default_factory=_Opened, init=False, repr=False, compare=False)
    """The model itself, once ``open`` has been called."""

    def __post_init__(self) -> None:
        if self.min_score is not None and self.keep_share is not None:
            raise UserError(
                "filters.quality.keep_share: goes with no filters.quality.min_score: a share or a least score, not both"
            )
        for option in ("min_score", "keep_share"):
            value = getattr(self, option)
            if value is None:
                continue
            if not self.model:
                raise UserError(
                    f"filters.quality.{option}: needs a model; name its file in filters.quality.model "
                    "(python -m curation.quality train makes one)"
                )
            if not 0 <= value <= 1 or (option == "keep_share" and value == 0):
                valid = "between 0 and 1" if option == "min_score" else "above 0 and at most 1"
                raise UserError(f"filters.quality.{option}: {value:g} is not {valid}")
        self._named_languages()

    def prepare(self, cache: Path) -> dict[str, str]:
        """Copy the model into ``cache``, where workers read it; returns its sha256 and the languages that it scores.

        Raises:
            UserError: it is missing or no classifier, has no such label or languages, or its card is another's.
        """
        if not self.model:
            return {}
        path = Path(self.model)
        if not path.is_file():
            raise UserError(
                f"filters.quality.model: {self.model}: no such file; python -m curation.quality train makes a model"
            )
        digest = file_sha256(path)
        copy = _cached(cache, digest)
        try:
            card = load_card(path, digest)
            if not copy.exists():
                _copy(path, copy, digest)
            open_classifier(copy, self.label)
        except UserError as error:
            option = "label" if isinstance(error, WrongLabel) else "model"
            raise UserError(f"filters.quality.{option}: {str(error).replace(str(copy), self.model)}") from error
        finally:
            open_classifier.cache_clear()  # the process that plans scores nothing
        wanted: set[str] = set()
        for labels in self._named_languages():
            wanted |= labels if card is None else labels & set(card.languages) or labels
        return {"model": digest, "languages": ",".join(languages_of(card, wanted, "filters.quality.languages"))}

    def _named_languages(self) -> list[frozenset[str]]:
        """The labels that each of ``languages`` stands for."""
        option = "filters.quality.languages"
        return [parse_languages([name], model="any", option=option) for name in self.languages]

    def open(self, cache: Path, prepared: Mapping[str, str]) -> "Quality":
        """This filter with the model that ``prepare`` has left in ``cache``.

        Raises:
            UserError: it is not there any more.
        """
        ready = replace(self)
        if prepared:
            model = open_classifier(_cached(cache, prepared["model"]), self.label)
            object.__setattr__(ready, "opened", _Opened(model, frozenset(prepared["languages"].split(","))))
        return ready

    def score(self, document: Document) -> dict[str, Any]:
        """The model's probability, null where the document is not scored."""
        model, languages = self.opened.model, self.opened.languages
        assert model is not None or not self.model, "the filter was not opened"
        if model is None or document.metadata.get("language") not in languages:
            return {"score": None}
        return {"score": model.score(line_of(words_of(document)))}

    def reason(self, scores: dict[str, Any]) -> str | None:
        """Compare with the least score; ``keep_share`` decides when all scores are known."""
        score = scores["score"]
        if score is None or self.min_score is None or score >= self.min_score:
            return None
        return BELOW_SCORE


def _cached(cache: Path, digest: str) -> Path:
    return cache / "quality" / f"{digest}.bin"


def _copy(path: Path, copy: Path, digest: str) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True)
    aside = copy.with_name(f".{copy.name}.{secrets.token_hex(6)}.tmp")
    try:
        shutil.copyfile(path, aside)
        if file_sha256(aside) != digest:
            raise UserError(f"{path} changed while it was read; try again when it is whole")
        aside.replace(copy)
    finally:
        aside.unlink(missing_ok=True)
    sync_folder(copy.parent)
