"""The cheap model: alt-profanity-check's linear model over words, which ships with its package (English, MIT).

Its weights (TF-IDF, five calibrated support vector machines) are read once with scikit-learn and kept as arrays, so
that workers need 2 MB instead of a library of 1.7 s to load; scores equal the library's on each window (a test says
so). A document has the score of its worst window of ``WINDOW_WORDS`` words, since in a long text a few words drown.
"""

import hashlib
import re
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from curation.dedup.columns import Columns, save_columns
from curation.errors import UserError

Array = np.ndarray[Any, Any]

LANGUAGE = "eng_Latn"
WINDOW_WORDS = 64
PACKAGE = "alt-profanity-check"

_WORD = re.compile(r"(?u)\b\w\w+\b")
"""Words as the model's own vectorizer has them."""
_MOST_WORD = 64


class Window(NamedTuple):
    """A stretch of a text and its score."""

    start: int
    end: int
    score: float


def packaged_model() -> tuple[str, list[Path]]:
    """(name with version, the files) of the model that ships with the package.

    Raises:
        UserError: the package is not installed.
    """
    spec = find_spec("profanity_check")  # importing the package would load its model, and scikit-learn with it
    if spec is None or spec.origin is None:
        raise UserError(f"toxicity: the package {PACKAGE} is not installed: pip install {PACKAGE}")
    folder = Path(spec.origin).parent / "data"
    name = f"{PACKAGE} {version(PACKAGE)}"
    return name, [folder / "vectorizer.joblib", folder / "model.joblib"]


def prepare_cheap(cache: Path) -> dict[str, str]:
    """Make the arrays in ``cache`` unless they are there; returns name of the model -> sha256 of its files."""
    name, paths = packaged_model()
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()
    path = _path(cache, digest)
    if not path.exists():
        _convert(paths, path)
    return {name: digest}


def _path(cache: Path, digest: str) -> Path:
    return cache / "toxicity" / f"cheap-{digest[:32]}.safetensors"


def _convert(paths: list[Path], target: Path) -> None:
    # joblib files are pickles: these come with an installed package, as its code does.
    import joblib

    vectorizer, model = (joblib.load(path) for path in paths)
    expected = {"lowercase": True, "ngram_range": (1, 1), "norm": "l2", "sublinear_tf": False, "binary": False}
    found = {name: vectorizer.get_params()[name] for name in expected}
    if found != expected or vectorizer.token_pattern != _WORD.pattern or model.classes_.tolist() != [0, 1]:
        raise UserError(f"toxicity: this version of {PACKAGE} holds another kind of model than 1.9: {found}")
    stop = vectorizer.get_stop_words() or frozenset()
    words = [word for word, _ in sorted(vectorizer.vocabulary_.items(), key=lambda each: each[1])]
    members = model.calibrated_classifiers_
    text = "\n".join(words).encode()
    save_columns(
        target,
        {
            "words": np.frombuffer(text, dtype=np.uint8),
            "idf": np.where([word in stop for word in words], 0.0, vectorizer.idf_),
            "weights": np.stack([each.estimator.coef_[0] for each in members], axis=1),
            "intercepts": np.array([each.estimator.intercept_[0] for each in members]),
            "slopes": np.array([each.calibrators[0].a_ for each in members]),
            "shifts": np.array([each.calibrators[0].b_ for each in members]),
        },
    )


class Cheap:
    """The model, ready to score."""

    def __init__(self, path: Path) -> None:
        columns = Columns(path)
        words = columns.read("words").tobytes().decode().split("\n")
        self._idf = columns.read("idf")
        self._number = {word: place for place, word in enumerate(words) if self._idf[place]}
        self._weights_VM = columns.read("weights")
        self._intercepts, self._slopes, self._shifts = map(columns.read, ("intercepts", "slopes", "shifts"))

    def score(self, text: str) -> float:
        """Between 0 and 1: the score of the worst window."""
        words = _WORD.findall(text.lower())
        return float(self._windows(words).max())

    def windows(self, text: str) -> list[Window]:
        """Every window of a text, with its place in characters."""
        lowered = text.lower()
        if len(lowered) != len(text):  # a few letters become two when lowered: places would be wrong
            lowered = "".join(low if len(low := letter.lower()) == 1 else letter for letter in text)
        matches = list(_WORD.finditer(lowered))
        scores = self._windows([match.group() for match in matches]).tolist()
        found = []
        for number, score in enumerate(scores):
            members = matches[number * WINDOW_WORDS : (number + 1) * WINDOW_WORDS]
            start, end = (members[0].start(), members[-1].end()) if members else (0, len(text))
            found.append(Window(start, end, score))
        return found

    def _windows(self, words: list[str]) -> Array:
        """float64 score of each window; a text without words is one window."""
        count = max(1, -(-len(words) // WINDOW_WORDS))
        known = [
            (place // WINDOW_WORDS, number) for place, word in enumerate(words) if (number := self._get(word)) >= 0
        ]
        sums_NM = np.zeros((count, len(self._slopes)))
        if known:
            size = len(self._idf)
            keys, times = np.unique([window * size + number for window, number in known], return_counts=True)
            window_K, number_K = np.divmod(keys, size)
            values_K = times * self._idf[number_K]
            norms = np.sqrt(np.bincount(window_K, weights=values_K**2, minlength=count))
            np.add.at(sums_NM, window_K, values_K[:, None] * self._weights_VM[number_K])
            sums_NM /= np.where(norms > 0, norms, 1.0)[:, None]
        margins_NM = self._slopes * (sums_NM + self._intercepts) + self._shifts
        found: Array = (1 / (1 + np.exp(margins_NM))).mean(axis=1)
        return found

    def _get(self, word: str) -> int:
        return self._number.get(word, -1) if len(word) <= _MOST_WORD else -1


@lru_cache(maxsize=2)
def open_cheap(cache: Path, digest: str) -> Cheap:
    """The model that ``prepare_cheap`` has left.

    Raises:
        UserError: it is not in the cache any more.
    """
    path = _path(cache, digest)
    if not path.exists():
        raise UserError(f"toxicity: {path} is gone; a new run makes it again")
    return Cheap(path)
