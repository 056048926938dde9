"""SEAT: associations between sentences that say next to nothing about a word, in a model's last layer."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from audit.items import Start
from audit.probes.associating import AssociationProbe, Embedded, association_metrics, measured, unit_vector
from audit.probes.base import Data

if TYPE_CHECKING:
    from audit.model import Model

_START: Start = "bos_or_eos"
_FRAME = re.compile(
    r"(?:here|there) (.+) (?:is|are)\."
    r"|(?:(?:this|that|there|here|it|these|those|they) (?:is|are) |the person's name is )?(?:an? |the )?(.+?)"
    r"(?: (?:is|are) (?:here|there|(?:a )?thing|(?:a )?person|things|people))?\.?"
)
"""The published templates, and the word within."""


class Seat(AssociationProbe):
    """Sentences as the vector that the model's last layer, behind its norm, has at their last token."""

    name = "seat"
    title = "SEAT"
    source = "May et al. 2019, https://aclanthology.org/N19-1063, https://github.com/W4ngatang/sent-bias"
    data: ClassVar[Data] = Data("weat_seat", ("sent-*.jsonl",), "https://github.com/W4ngatang/sent-bias, tests/")
    caveat = (
        "Contextual embeddings: the vector of the last token (mostly a full stop) in the last layer, behind the norm. "
        "Sentences that frame one word are no independent observations: intervals count words, while p_permutation, "
        "as published, splits sentences and is too small. The lists may not be used commercially."
    )
    measures = measured(("",))
    metrics = association_metrics("", "last layer, last token")

    def embed(self, model: "Model", texts: Sequence[str], variant: str) -> list[Embedded]:
        """The last token of the last layer."""
        inside = model.embeddings(texts, _START, layers=[model.layers])
        return [
            Embedded(text, each.start_token, each.token_ids, unit_vector(each.values[0, -1]))
            for text, each in zip(texts, inside, strict=True)
        ]

    def drawn(self, text: str) -> str:
        """The word that a sentence frames, singular and plural alike."""
        return framed_word(text)


def framed_word(sentence: str) -> str:
    """A key for the word of a template ("The asters are there." -> "aster"), no word to read: endings are cut so that
    singular and plural come out the same."""
    match = _FRAME.fullmatch(sentence.lower())
    word = (match[1] or match[2]) if match else sentence.lower()
    word = re.sub(r"men\b", "man", word)
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    word = word.removesuffix("e")
    return word[:-1] + {"y": "i", "v": "f"}.get(word[-1:], word[-1:])
