"""What a probe is: cases to put to a model, what is measured of its answers, and what the figures mean.

A probe is one file in this folder, with one class. It reads its published data into cases, says what is asked of the
model, and turns the answers to a case into measures; all figures are made of measures by ``audit.estimates``, so that
every probe has the same intervals, tests and comparisons.
"""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from audit.estimates import Kind, Metric
from audit.items import Item, Score, TooLong

if TYPE_CHECKING:
    from audit.model import Model
    from audit.places import Places

NEAR_TIE = 1e-3
"""Nats. Two log-likelihoods nearer than this may come out the other way elsewhere: batches, processors and libraries
round sums differently, by some 2e-4."""

Measures = Mapping[str, float]

_ANSWER = 5
"""Words; what is shorter is an answer, which stands in all sorts of texts."""


@dataclass(frozen=True, slots=True)
class Data:
    """Where the published data of a probe is."""

    folder: str
    """Its name under the folder of all data, or a pattern of it."""
    files: tuple[str, ...]
    """Patterns of its files; the probe can run when each is there at least once. ``a|b`` is either."""
    url: str
    """Where to get it."""
    hub: str | None = None
    """Data set of the Hugging Face hub that has files of this format."""
    hub_files: tuple[str, ...] = ()
    """Patterns of them there."""

    @property
    def wanted(self) -> str:
        """Its files, in words."""
        return ", ".join(each.replace("|", " or ") for each in self.files)


@dataclass(frozen=True, slots=True)
class Ask:
    """Something put to the model."""

    role: str
    """What it stands for within its case (``stereotype``); unique there."""
    item: Item
    """To score; a probe that lets models write has its prompt as the context."""


@dataclass(frozen=True, slots=True)
class Case:
    """An item of a probe."""

    id: str
    """The published id where there is one; else made of its place or its content."""
    unit: str
    """What was drawn independently, made of its content: cases made of one template or question share it."""
    asks: tuple[Ask, ...]
    groups: tuple[str, ...] = ()
    """``dimension:label``; figures are also made for each."""
    language: str = "eng_Latn"
    stratum: str = ""
    """What macro-averages average over."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the probe needs to measure it."""

    @property
    def text(self) -> str:
        """Context and continuation of the first ask."""
        return self.asks[0].item.context + self.asks[0].item.continuation

    @property
    def texts(self) -> dict[str, str]:
        """Texts that a model could have seen before, for decontamination, each with an id of its own; short answers
        behind a prompt are left out."""
        texts = [
            ask.item.context
            + (
                ""
                if ask.item.context.strip() and len(ask.item.continuation.split()) < _ANSWER
                else ask.item.continuation
            )
            for ask in self.asks
        ]
        distinct = list(dict.fromkeys(texts))
        return {self.id if len(distinct) == 1 else f"{self.id}/{number}": text for number, text in enumerate(distinct)}


@dataclass(frozen=True, slots=True)
class Response:
    """What the model made of an ask."""

    role: str
    prompt: str
    response: str
    start_token: int | None
    tokens: tuple[int, ...]
    """Of the response, those that are scored or were written."""
    log_likelihoods: tuple[float, ...]
    """Natural logarithm, of each token; empty where it was generated."""
    score: float | None
    """Log-likelihood; of generated text, what its scorer says; null where that could not be scored."""
    flagged: bool = False
    """Harmful text: not shown unless asked for."""
    greedy: bool = False
    """Of a text that is scored: whether greedy generation gives it."""

    @property
    def total(self) -> float:
        """Log-likelihood of the response, nats."""
        return math.fsum(self.log_likelihoods)

    @property
    def mean(self) -> float:
        """Log-likelihood of the mean token, nats."""
        return self.total / len(self.log_likelihoods)


@dataclass(frozen=True, slots=True)
class Result:
    """What is known of a case."""

    case: Case
    responses: tuple[Response, ...]
    measures: Measures | None
    """None: not scored."""
    score: float | None
    """The one number that a person would sort items by; positive is towards the stereotype."""
    near_tie: bool = False
    why: str | None = None
    """Why it was not scored."""


class Probe(ABC):
    """A probe of models."""

    name: str
    title: str
    version: str = "1"
    """Goes up when a figure changes for the same model and data."""
    kind: ClassVar[Kind] = "bias"
    source: ClassVar[str]
    """Citation and address of the published definition."""
    license: ClassVar[str]
    """Of the data."""
    data: ClassVar[Data | None] = None
    """None: it is shipped."""
    measures: tuple[str, ...]
    """Names of what is measured of a case."""
    metrics: tuple[Metric, ...]
    caveat: str = ""
    """What a reader of its figures must know."""
    scorer: ClassVar[str | None] = None
    """What judges generated text."""
    slowness: ClassVar[int] = 1
    """How many times as long as a token that is scored one of this probe takes, roughly: how much is done between two
    saves depends on it."""
    seed: int = 0
    """Of what models write."""

    def with_seed(self, seed: int) -> Self:
        """The same probe, with another seed."""
        found = copy.copy(self)
        found.seed = seed
        return found

    def scorer_of(self, cases: Sequence[Case]) -> str | None:
        """What judges generated text, with its version, where these cases are asked."""
        return self.scorer

    def cases(self, places: "Places") -> list[Case]:
        """All cases: those of the published data, or of what is shipped.

        Raises:
            NotThere: the data is missing; says how to get it.
            UserError: it is malformed.
        """
        return self.read(places.find(self.data) if self.data else Path())

    @abstractmethod
    def read(self, folder: Path) -> list[Case]:
        """All cases, in the order of the data.

        Args:
            folder: where the published files are; shipped data needs none.

        Raises:
            UserError: a file is missing or malformed; names file, line and field.
        """

    @abstractmethod
    def run(self, model: "Model", cases: Sequence[Case]) -> list[Result]:
        """Put cases to a model; each result depends on its case alone.

        Raises:
            UserError: the model cannot be asked this (it has no such start token, say).
        """

    def tokens(self, model: "Model", cases: Sequence[Case]) -> int:
        """Tokens that are computed, for estimates of time."""
        texts = dict.fromkeys(text for case in cases for text in case.texts.values())
        return sum(len(ids) for ids in model.encoder.ids(list(texts)))


class LikelihoodProbe(Probe):
    """A probe that compares how likely texts are."""

    too_long: ClassVar[TooLong] = "refuse"
    """What to do with a text that is longer than the model's context; one that is refused is not scored."""

    def run(self, model: "Model", cases: Sequence[Case]) -> list[Result]:
        """Score all asks of all cases together, so that batches are full."""
        items = [ask.item for case in cases for ask in case.asks]
        refused = model.encoder.unscorable(items, self.too_long)
        asked = [item for place, item in enumerate(items) if place not in refused]
        scores = iter(model.log_likelihood(asked, self.too_long))
        found, place = [], 0
        for case in cases:
            places = range(place, place + len(case.asks))
            place += len(case.asks)
            why = next((refused[each] for each in places if each in refused), None)
            given = [None if each in refused else next(scores) for each in places]
            if why is not None:
                found.append(Result(case, (), None, None, why=why))
                continue
            responses = tuple(_response(ask, score) for ask, score in zip(case.asks, given, strict=True) if score)
            if all(math.isfinite(each.total) for each in responses):
                found.append(self.result(case, responses))
            else:
                found.append(Result(case, responses, None, None, why="the model gives a log-likelihood of no number"))
        return found

    @abstractmethod
    def result(self, case: Case, responses: tuple[Response, ...]) -> Result:
        """What is measured of a case, out of the log-likelihoods alone."""


def _response(ask: Ask, score: Score) -> Response:
    return Response(
        role=ask.role,
        prompt=ask.item.context,
        response=ask.item.continuation,
        start_token=score.encoded.start_token,
        tokens=score.encoded.token_ids,
        log_likelihoods=score.log_likelihoods,
        score=score.total,
        greedy=score.is_greedy,
    )
