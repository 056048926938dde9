"""Pages with placeholder text, with code, or with hardly a sentence: C4's rules for whole pages.

Its rules for lines are in ``curation.lines``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from datatrove.data import Document
from datatrove.utils.text import TERMINAL_PUNCTUATION

from curation.lines import lines_of


@dataclass(frozen=True)
class C4:
    """Removes documents by three rules of C4.

    Rules are those of C4 (Raffel et al. 2020, section 2.2, https://jmlr.org/papers/v21/20-074.html).
    ``null`` turns a rule off. All scores are 0 for an empty text.
    """

    name: ClassVar[str] = "c4"
    scores: ClassVar[Mapping[str, type]] = {"lorem_ipsum": int, "curly_brackets": int, "sentences": int}
    prose_only: ClassVar[bool] = True
    keeps: ClassVar[tuple[str, ...]] = (
        "Mr. Hill grinds corn. It rains! Why not? We wait, e.g. for the sun. Then we go.",
    )
    rejects: ClassVar[Mapping[str, str]] = {
        "Welcome. This is us. Lorem Ipsum dolor. Sit amet. More text will come.": "lorem_ipsum",
        "We grind. We bake. We eat. We sleep. if (corn) { grind(corn) }": "curly_bracket",
        "The mill is closed on Mondays. Come again.": "too_few_sentences",
    }

    max_lorem_ipsum: int | None = 0
    """How often "lorem ipsum" may appear, in any case (C4: never)."""
    max_curly_brackets: int | None = 0
    """How many opening curly brackets may appear: they are frequent in code, rare in prose (C4: none)."""
    min_sentences: int | None = 5
    """Documents with fewer sentences go (C4: 5; 3 in its paper's text, 5 in its code and in datatrove)."""

    def score(self, document: Document) -> dict[str, Any]:
        """Counts of what the rules name."""
        return {
            "lorem_ipsum": document.text.lower().count("lorem ipsum"),
            "curly_brackets": document.text.count("{"),
            "sentences": count_sentences(document.text, len(lines_of(document).visible)),
        }

    def reason(self, scores: dict[str, Any]) -> str | None:
        """Compare with the thresholds, in C4's order."""
        if self.max_lorem_ipsum is not None and scores["lorem_ipsum"] > self.max_lorem_ipsum:
            return "lorem_ipsum"
        if self.max_curly_brackets is not None and scores["curly_brackets"] > self.max_curly_brackets:
            return "curly_bracket"
        if self.min_sentences is not None and scores["sentences"] < self.min_sentences:
            return "too_few_sentences"
        return None


_OTHER_MARKS = TERMINAL_PUNCTUATION - set(".!?")
_END, _ANY_END = (
    re.compile(rf"([{re.escape(marks)}]++)([^\w\s]*+)([^\w\n]*+)")
    for marks in (".!?", "".join(sorted(TERMINAL_PUNCTUATION)))
)
"""Marks that end a sentence, what closes behind them, and what else is before the next word or the line's end.
What they take they never give back, which keeps them linear; the second pattern is five times slower."""
_NOT_FULL_STOP = re.compile(
    r"(?:^|[^\w.])(?:(?:[^\W\d_]\.)*[^\W\d_]|Adm|Apr|Aug|Bros|Co|Corp|Dec|Dr|Feb|Gen|Gov|Inc|Jan|Jr|Jul|Jun|Ltd|Mar"
    r"|Messrs|Mr|Mrs|Ms|Mt|Nov|Oct|Ph\.D|Prof|Rep|Rev|Sen|Sept?|St|vs|co)\Z"
)
"""What a full stop does not end a sentence behind: initials and abbreviations, those of spaCy's English."""


def count_sentences(text: str, lines: int) -> int:
    """Sentences of a text, none of them longer than a line, as spaCy's sentencizer counts them.

    A sentence ends at a mark behind which white space and another word follow, or at the end of its line.

    Args:
        text: any text.
        lines: how many of its lines are not blank.
    """
    count = lines
    end = _END if text.isascii() or _OTHER_MARKS.isdisjoint(text) else _ANY_END
    for match in end.finditer(text):
        following = text[match.end() : match.end() + 1]
        if following in ("", "\n"):
            continue
        marks, _, space = match.groups()
        if marks == ".":
            start = match.start()
            glued = following.isupper() and text[max(0, start - 1) : start].islower()  # "... the end.The next ..."
            count += bool(space or glued) and not _NOT_FULL_STOP.search(text, max(0, start - 12), start)
        elif marks.strip("."):  # not for ellipses
            count += bool(space) or marks[-1] not in "!?."
    return count
