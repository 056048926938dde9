"""Training: texts counted, deduplicated, split, learned from, and looked at.

Nothing depends on the order of texts or files: texts are sorted by a hash of their words. Two texts with the same
words (case, punctuation and numbers aside) are copies. One of them stays; where they are on both sides, all go, since
the label of such a text says nothing. Which texts are held out is decided by that hash, too, so that a held-out text
stays held out when more texts are added, or the seed is another.

Texts lie in a file meanwhile; memory is for some numbers of each, and for the model.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import xxhash

from curation.errors import UserError
from curation.progress import log
from curation.quality.model import END, NEGATIVE, POSITIVE, PREFIX, Classifier, line_of
from curation.words import Words

Array = np.ndarray[Any, Any]
_SMALLEST_RATE = 1 / 32
"""Of the learning rate asked for: below it training has failed."""
_LEAST_TABLE = 2**23
"""Numbers in the table of features. With one thread, which alone is deterministic, fastText 0.9.2 draws the first tenth
of this table at random and leaves the rest as it finds the memory: whatever was there before, often NaN. Tables of 32
MiB and more come fresh from the operating system (the C library's largest threshold for that), hence as zeros: in a
process that has not given back as much before."""


@dataclass(frozen=True)
class TrainConfig:
    """What decides a model beside its texts."""

    dim: int = 32
    """Size of a word's vector. Two classes need few; the model's size grows with it."""
    epochs: int = 5
    lr: float = 0.5
    """Learning rate at the beginning; halved where training diverges."""
    ngrams: int = 2
    """Longest run of words that is a feature of its own; at least 2."""
    buckets: int = 2**18
    """Features that pairs and longer runs share; each takes 4 times ``dim`` bytes of the model."""
    min_count: int = 2
    """Rarer words are not learned."""
    seed: int = 0
    held_out: float = 0.2
    """Share of the texts that is not learned from but looked at."""
    least: int = 50
    """A language with fewer positive or fewer negative texts is left out: what is on one side alone would teach the
    model to tell languages."""

    def __post_init__(self) -> None:
        for name in ("dim", "epochs", "ngrams", "buckets", "min_count", "least"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name.replace('_', '-')} {getattr(self, name)}: must be at least 1")
        if self.ngrams < 2:
            raise UserError("--ngrams 1: must be at least 2, since single words make too small a table (see --buckets)")
        if self.dim * self.buckets < _LEAST_TABLE:
            raise UserError(
                f"--buckets {self.buckets}: with --dim {self.dim} must be at least {-(-_LEAST_TABLE // self.dim)}: of "
                "a smaller table fastText leaves parts uninitialised, so that results are random or not a number"
            )
        if not 0 < self.lr < float("inf"):
            raise UserError(f"--lr {self.lr}: must be above 0")
        if not 0 < self.held_out < 1:
            raise UserError(f"--held-out {self.held_out}: must lie between 0 and 1")
        if not 0 <= self.seed < 2**31:
            raise UserError(f"--seed {self.seed}: must lie between 0 and {2**31 - 1}")


class Collection:
    """Texts of both sides as lines in a file, and their hashes."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / "texts").open("w+b")
        self._high, self._low, self._line = array("Q"), array("Q"), array("Q")
        self._begin, self._side, self._language = array("q", [0]), array("b"), array("B")
        self._languages: dict[str, int] = {}
        self.empty = 0
        """Texts without words."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, texts: Iterable[tuple[str, str]], positive: bool) -> None:
        """Take the (text, language) of one side.

        Raises:
            UserError: more than 255 languages.
        """
        for text, language in texts:
            words = Words(text, language)
            line = line_of(words).encode()
            if not line:
                self.empty += 1
                continue
            key = xxhash.xxh3_128_intdigest(words.normal_W.tobytes())
            number = self._languages.setdefault(language, len(self._languages))
            if number > 255:
                raise UserError("the texts are in more than 255 languages; choose one with --language")
            self._high.append(key >> 64)
            self._low.append(key & (2**64 - 1))
            self._line.append(xxhash.xxh3_64_intdigest(line))
            self._side.append(positive)
            self._language.append(number)
            self._file.write(line)
            self._begin.append(self._begin[-1] + len(line))

    def select(self, least: int, known: Sequence[str] | None = None) -> "Selection":
        """Texts without copies, in the order of their hashes.

        Args:
            least: texts that each side must have of a language.
            known: languages that count; None: all.
        """
        high, low, line, side = (np.array(each) for each in (self._high, self._low, self._line, self._side))
        language = np.array(self._language)
        rank = np.argsort(np.argsort(list(self._languages))) if self._languages else language
        order = np.lexsort((rank[language], line, side, low, high))
        high, low, side, language = high[order], low[order], side[order], language[order]
        first = np.ones(len(order), dtype=np.bool_)
        first[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
        group = np.cumsum(first) - 1
        positives = np.bincount(group, weights=side, minlength=1)
        sizes = np.bincount(group, minlength=1)
        both = (positives > 0) & (positives < sizes)
        kept = first & ~both[group]
        counts: dict[str, tuple[int, int]] = {}
        left_out: dict[str, tuple[int, int]] = {}
        for name, number in sorted(self._languages.items()):
            here = kept & (language == number)
            found = (int((here & (side == 1)).sum()), int((here & (side == 0)).sum()))
            if min(found) >= least and (known is None or name in known):
                counts[name] = found
            else:
                kept &= ~here
                if any(found):
                    left_out[name] = found
        return Selection(
            collection=self,
            index=order[kept],
            positive=side[kept] == 1,
            hash=low[kept],
            languages=counts,
            copies=int(len(order) - first.sum() - (sizes - 1)[both].sum()),
            on_both_sides=int(both.sum()),
            left_out_languages=left_out,
        )

    def line(self, index: int) -> bytes:
        """A text by its number."""
        begin = self._begin[index]
        self._file.seek(begin)
        return self._file.read(self._begin[index + 1] - begin)


@dataclass(frozen=True, slots=True)
class Selection:
    """Texts that are used, in a fixed order, and what was left out."""

    collection: Collection
    index: Array
    positive: Array
    hash: Array
    languages: dict[str, tuple[int, int]]
    """Language -> (positive, negative) texts."""
    copies: int
    on_both_sides: int
    """Texts that are positive and negative."""
    left_out_languages: dict[str, tuple[int, int]]

    def held_out(self, share: float) -> Array:
        """bool: which texts are not learned from."""
        found: Array = (self.hash % np.uint64(2**32)) < share * 2**32
        return found

    def lines(self, chosen: Array) -> Iterator[tuple[str, bool]]:
        """(text on one line, whether it is positive) of those chosen."""
        for number in np.flatnonzero(chosen):
            yield self.collection.line(int(self.index[number])).decode(), bool(self.positive[number])

    def facts(self) -> dict[str, Any]:
        """For the card."""
        return {
            "languages": {name: {POSITIVE: n, NEGATIVE: m} for name, (n, m) in self.languages.items()},
            "left_out": {
                "empty": self.collection.empty,
                "copies": self.copies,
                "on_both_sides": self.on_both_sides,
                "languages": {name: {POSITIVE: n, NEGATIVE: m} for name, (n, m) in self.left_out_languages.items()},
            },
        }


def require_texts(selection: Selection, least: int) -> None:
    """Raise UserError where nothing is left."""
    if selection.languages:
        return
    told = "; ".join(
        f"{name} {positive:,} positive and {negative:,} negative"
        for name, (positive, negative) in selection.left_out_languages.items()
    )
    raise UserError(
        f"too few texts: no language has {least} positive and {least} negative ones without copies "
        f"({told or 'none at all'}; {selection.on_both_sides:,} on both sides); give more, name their --language, or "
        "lower --least"
    )


def fit(selection: Selection, config: TrainConfig, folder: Path, target: Path) -> dict[str, Any]:
    """Learn from the texts that are not held out, and write the model.

    Args:
        folder: for working files.

    Returns:
        Facts for the card: counts, parameters, the learning rate used.

    Raises:
        UserError: a side is empty after the split, or training diverges at every learning rate.
    """
    learned = ~selection.held_out(config.held_out)
    counts = {
        what: {POSITIVE: int((selection.positive & chosen).sum()), NEGATIVE: int((~selection.positive & chosen).sum())}
        for what, chosen in (("learned", learned), ("held_out", ~learned))
    }
    if not all(n for each in counts.values() for n in each.values()):
        raise UserError(f"too few texts for --held-out {config.held_out:g}: a side would have none ({counts})")
    path = folder / "train"
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for line, positive in selection.lines(learned):
            file.write(f"{PREFIX}{POSITIVE if positive else NEGATIVE} {line}\n")
    rate = _fit(path, config, target)
    parameters = {name: value for name, value in asdict(config).items() if name not in ("lr", "held_out", "least")}
    few, many = sorted(counts["learned"].values())
    return {
        **counts,
        "balanced": many <= 1.1 * few,
        "parameters": {**parameters, "lr": rate, "lr_asked": config.lr, "held_out": config.held_out},
    }


def _fit(path: Path, config: TrainConfig, target: Path) -> float:
    """Train and save a model; returns the learning rate with which that succeeded.

    In a fresh process each time: in this one the C library may hand memory that is used already to fastText's table,
    whatever its size.
    """
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    rate = config.lr
    while True:
        try:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
                found = fresh.submit(_train_once, path, config, rate, target).result()
        except BrokenProcessPool as error:
            raise UserError("fastText's process was killed, perhaps for want of memory; lower --buckets") from error
        except RuntimeError as error:
            if "NaN" not in str(error):
                raise UserError(f"fastText cannot learn from these texts: {error}") from error
            if rate / 2 < config.lr * _SMALLEST_RATE:
                raise UserError(
                    f"--lr {config.lr:g}: training diverges, and still does at {rate:g}; take a much lower one (0.05)"
                ) from error
            log.warning("training diverged at a learning rate of %g; again with %g", rate, rate / 2)
            rate /= 2
        except ValueError as error:
            raise UserError(f"fastText cannot learn from these texts: {error}") from error
        else:
            if not found:
                raise UserError(f"--min-count {config.min_count}: no word is as frequent in these texts; lower it")
            return rate


def _train_once(path: Path, config: TrainConfig, rate: float, target: Path) -> bool:
    """Train and save a model; false where no word is frequent enough for one.

    Raises:
        RuntimeError, ValueError: fastText's own.
    """
    import fasttext

    model = fasttext.train_supervised(
        str(path),
        dim=config.dim,
        epoch=config.epochs,
        lr=rate,
        wordNgrams=config.ngrams,
        bucket=config.buckets,
        minCount=config.min_count,
        seed=config.seed + 1,  # its generator takes 0 for 1
        thread=1,  # with more the result depends on which is faster
        verbose=0,
    )
    if set(model.words) <= {END}:
        return False
    model.save_model(str(target))
    return True


def score_all(selection: Selection, chosen: Array, classifier: Classifier) -> tuple[list[float | None], Array]:
    """(score, side) of texts."""
    return [classifier.score(line) for line, _ in selection.lines(chosen)], selection.positive[chosen]
