"""WEAT: associations between words, in a model's input embedding."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from audit.probes.associating import AssociationProbe, Embedded, association_metrics, measured, unit_vector
from audit.probes.base import Data

if TYPE_CHECKING:
    from audit.model import Model

_VARIANTS = ("", "_no_space")


class Weat(AssociationProbe):
    """Words as rows of the input embedding, once as they are within a sentence, behind a space, and once without."""

    name = "weat"
    title = "WEAT"
    source = (
        "Caliskan et al. 2017, https://doi.org/10.1126/science.aal4230; word lists and p-values as "
        "https://github.com/W4ngatang/sent-bias (May et al. 2019, https://aclanthology.org/N19-1063)"
    )
    data: ClassVar[Data] = Data("weat_seat", ("weat*.jsonl",), "https://github.com/W4ngatang/sent-bias, tests/")
    also = ("angry_black_woman_stereotype*.jsonl", "heilman_double_bind_*_one_word.jsonl")
    caveat = (
        "Input embeddings: a word is the mean of its tokens' rows, no context changes it. A leading space changes sign "
        "and significance; figures named _no_space are without. Tests of 8 words a side show large effects only. "
        "The lists may not be used commercially."
    )
    variants = _VARIANTS
    measures = measured(_VARIANTS)
    metrics = (
        *association_metrics("", "input embeddings, with a leading space"),
        *association_metrics("_no_space", "input embeddings, without a leading space"),
    )

    def embed(self, model: "Model", texts: Sequence[str], variant: str) -> list[Embedded]:
        """Mean of the rows of a word's tokens."""
        space = " " if not variant else ""
        found = model.word_vectors(texts, leading_space=bool(space))
        return [
            Embedded(f"{space}{text}", None, ids, unit_vector(vector_E))
            for text, ids, vector_E in zip(texts, found.token_ids, found.vectors_WE, strict=True)
        ]

    def drawn(self, text: str) -> str:
        """A word stands for itself, in whatever tests."""
        return text
