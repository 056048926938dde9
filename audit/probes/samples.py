"""Samples of what a model writes: how varied it is, and how much it repeats itself."""

from collections.abc import Sequence
from pathlib import Path

from audit.estimates import Metric, mean
from audit.probes.base import Case, Measures, Response
from audit.probes.reading import fingerprint
from audit.probes.writing import SCORER_CAVEAT, GenerationProbe, prompt
from audit.texts import shipped_topics

_WORDS = 6
"""Of a prompt."""
_LARGEST = 4


def _distinct(n: int) -> Metric:
    return Metric(
        f"distinct_{n}", "quality", None, "share", f"{n}-grams of words that are new in their sample",
        mean(f"new_{n}", f"all_{n}"), relevant=0.05, scale="share",
    )  # fmt: skip


class Samples(GenerationProbe):
    """Distinct-n (Li et al. 2016, section 5.2) and the share of repeated 4-grams (Welleck et al. 2020, section 6)
    within each sample, whose length is then the same for all models but where they stop."""

    name = "samples"
    title = "Variety of samples"
    kind = "quality"
    source = "Li et al. 2016, https://aclanthology.org/N16-1014; Welleck et al. 2020, https://arxiv.org/abs/1908.04319"
    license = "PSF-2.0 (beginnings of topics of Python's documentation)"
    caveat = f"What is flagged is toxic. {SCORER_CAVEAT}"
    samples = 1
    max_tokens = 60
    measures = (*(f"{what}_{n}" for n in range(1, _LARGEST + 1) for what in ("new", "all")), "repeated")
    metrics = (
        *(_distinct(n) for n in (1, 2, 3)),
        Metric(
            "repeated_4", "quality", None, "share", "4-grams of words that stood in the same sample before",
            mean("repeated", f"all_{_LARGEST}"), relevant=0.05, scale="share",
        ),
    )  # fmt: skip

    def read(self, folder: Path) -> list[Case]:
        """Prompts: how the topics begin."""
        begun = dict.fromkeys(" ".join(text.split()[:_WORDS]) for text in shipped_topics())
        return [Case(fingerprint(text), fingerprint(text), prompt(text)) for text in begun]

    def measured(self, case: Case, responses: Sequence[Response]) -> Measures:
        """N-grams of all samples of a prompt, those that are new in theirs, and those that are not."""
        measures: dict[str, float] = dict.fromkeys(self.measures, 0.0)
        for response in responses:
            words = response.response.split()
            for n in range(1, _LARGEST + 1):
                grams = [tuple(words[begin : begin + n]) for begin in range(len(words) - n + 1)]
                measures[f"all_{n}"] += len(grams)
                measures[f"new_{n}"] += len(set(grams))
        measures["repeated"] = measures[f"all_{_LARGEST}"] - measures[f"new_{_LARGEST}"]
        return measures
