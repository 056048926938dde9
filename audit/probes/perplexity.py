"""Perplexity, bits per byte, and calibration of next-token predictions, for each set of texts and language."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from audit.estimates import Array, Metric, Sums, mean
from audit.items import Item, TextScore
from audit.pairs.make import all_pairs
from audit.probes.base import Ask, Case, Probe, Response, Result
from audit.probes.reading import Fields, fingerprint, read_jsonl
from audit.texts import held_out, shipped_topics

if TYPE_CHECKING:
    from audit.model import Model
    from audit.places import Places

WINDOW = 1024
"""Most tokens that a token is conditioned on; texts are scored in windows that do not overlap, the cheapest way."""
LONGEST = 4000
"""Characters of a text; the rest of a longer one is left out, so that no document is most of a figure."""
BINS = 10
_TOPIC = 1200
"""Characters of a topic of Python's documentation."""
_SENTENCES = 5
"""Sentences of ours that make a text."""
_FOLDER = "perplexity"


def _perplexity(sums: Sums) -> Array:
    found: Array = np.exp(sums["nats"].sum(-1) / sums["tokens"].sum(-1))
    return found


def _bits_per_byte(sums: Sums) -> Array:
    found: Array = sums["nats"].sum(-1) / math.log(2) / sums["bytes"].sum(-1)
    return found


def _calibration_error(sums: Sums) -> Array:
    gaps = [np.abs(sums[f"correct_{bin}"].sum(-1) - sums[f"confidence_{bin}"].sum(-1)) for bin in range(BINS)]
    found: Array = np.sum(gaps, axis=0) / sums["tokens"].sum(-1)
    return found


class Perplexity(Probe):
    """How well texts are predicted: those held out of the model's own data, those in a folder, and those shipped."""

    name = "perplexity"
    title = "Perplexity"
    kind = "quality"
    source = (
        "bits per byte: Gao et al. 2020, https://arxiv.org/abs/2101.00027, 3.1; calibration: Guo et al. 2017, "
        "https://proceedings.mlr.press/v70/guo17a.html"
    )
    license = "PSF-2.0 (topics of Python's documentation), Apache-2.0 (our sentences); others as their owners say"
    measures = (
        *("nats", "tokens", "bytes", "correct"),
        *(f"{what}_{bin}" for what in ("correct", "confidence") for bin in range(BINS)),
    )
    metrics = (
        Metric(
            "bits_per_byte",
            "quality",
            None,
            "bits",
            "bits that the model needs for a byte of text; comparable between tokenizers",
            _bits_per_byte,
            relevant=0.05,
        ),
        Metric(
            "perplexity",
            "quality",
            None,
            "tokens",
            "exp of the mean negative log-likelihood of a token; comparable for one tokenizer alone",
            _perplexity,
            relevant=1.0,
        ),
        Metric(
            "next_token_accuracy",
            "quality",
            None,
            "share",
            "tokens that were the likeliest ones",
            mean("correct", "tokens"),
            relevant=0.02,
            scale="share",
        ),
        Metric(
            "calibration_error",
            "quality",
            0.0,
            "share",
            f"expected calibration error of the likeliest next token, {BINS} bins of equal width",
            _calibration_error,
            relevant=0.02,
        ),
    )
    caveat = (
        f"Perplexity: windows of {WINDOW} tokens that do not overlap, a start token first (BOS, else EOS), the first "
        f"{LONGEST:,} characters of a text. The topics of Python's documentation differ between versions of Python."
    )

    def cases(self, places: "Places") -> list[Case]:
        """Texts held out of the checkpoint's datasets, ``perplexity/*.jsonl`` of data folders, and what is shipped."""
        found = []
        if places.workspace is not None and places.source is not None:
            for dataset, document, language, text in held_out(places.workspace, places.source):
                found.append(_case(f"held-out {dataset}", language, text, document))
        for folder in places.folders:
            if (folder / _FOLDER).is_dir():
                found += self.read(folder / _FOLDER)
        found += [_case("python-topics", "eng_Latn", text[:_TOPIC]) for text in shipped_topics()]
        found += [_case("our-sentences", language, text) for language, text in _sentences()]
        return found

    def read(self, folder: Path) -> list[Case]:
        """Texts of ``*.jsonl``: ``text``, and ``language`` (``eng_Latn``) where it is known."""
        found = []
        for path in sorted(folder.glob("*.jsonl")):
            for line, row in read_jsonl(path):
                fields = Fields(path, line, row)
                language = fields.text("language") if "language" in row else "und"
                found.append(_case(path.stem, language, fields.text("text")))
        return found

    def run(self, model: "Model", cases: Sequence[Case]) -> list[Result]:
        """Score texts in windows."""
        texts = [case.asks[0].item.continuation for case in cases]
        scores = model.text_log_likelihood(texts, "bos_or_eos", min(WINDOW, model.longest))
        return [_result(case, score) for case, score in zip(cases, scores, strict=True)]


def _case(dataset: str, language: str, text: str, document: str | None = None) -> Case:
    """A text; ``document`` is the id of a document of the workspace that it is."""
    text = text[:LONGEST]
    mark = fingerprint(text)
    ask = Ask("text", Item("", text, "bos_or_eos"))
    facts = {"stored": document is None}
    return Case(document or f"{dataset}-{mark}", mark, (ask,), (f"texts:{dataset}",), language, facts=facts)


def _result(case: Case, score: TextScore) -> Result:
    values, best, correct = np.array(score.log_likelihoods), np.exp(score.best), np.array(score.greedy)
    bins = np.minimum((best * BINS).astype(int), BINS - 1)
    measures = {
        "nats": -float(values.sum()),
        "tokens": float(len(values)),
        "bytes": float(score.bytes),
        "correct": float(correct.sum()),
        **_binned("correct", bins, correct.astype(float)),
        **_binned("confidence", bins, best),
    }
    # Documents of a workspace stay in its shards, where a take-down finds them; nothing of them is copied.
    stored = case.facts["stored"]
    response = Response(
        role="text",
        prompt="",
        response=case.text if stored else "",
        start_token=score.start_token,
        tokens=score.token_ids if stored else (),
        log_likelihoods=score.log_likelihoods if stored else (),
        score=score.total,
    )
    if not math.isfinite(measures["nats"]):
        return Result(case, (response,), None, None, why="the model gives a log-likelihood of no number")
    return Result(case, (response,), measures, score.bits_per_byte)


def _binned(what: str, bins: Array, values: Array) -> Mapping[str, float]:
    sums = np.bincount(bins, weights=values, minlength=BINS)
    return {f"{what}_{number}": float(each) for number, each in enumerate(sums)}


def _sentences() -> Iterator[tuple[str, str]]:
    """(language, text) of sentences of our pairs that claim nothing about anybody."""
    by_language: dict[str, list[str]] = {}
    for pair in all_pairs():
        if pair.kind == "control":
            by_language.setdefault(f"{pair.language}_Latn", []).append(pair.sentences[0])
    for language, sentences in by_language.items():
        kept = list(dict.fromkeys(sentences))
        for begin in range(0, len(kept), _SENTENCES):
            yield language, " ".join(kept[begin : begin + _SENTENCES])
