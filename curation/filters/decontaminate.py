"""Items of test sets in documents: benchmark questions and probes that a model will be evaluated on."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from datatrove.data import Document

from curation.errors import UserError

if TYPE_CHECKING:
    from curation.decontaminate.items import ItemFile
    from curation.decontaminate.matching import Match

METADATA = "_contamination"
"""Where ``score`` leaves the matches of a document that has any: ``document.metadata[METADATA]``."""


@dataclass(frozen=True)
class Decontaminate:
    """Flags or removes documents that hold an item of a test set.

    An item counts that is there word for word, with at most one word in six changed, removed or added, or, of an item
    of more than 13 words, any 13 in a row (``curation.decontaminate``). Case, punctuation, markup between words and
    line breaks make no difference. Where several items of a template fit the same place, those count that fit best.

    Works in every language: where words have no spaces between them, letters stand for words, several for one. Items
    are compared with documents in their own language and script only; a translation is not found.
    """

    name: ClassVar[str] = "decontaminate"
    column: ClassVar[str] = "contamination"
    scores: ClassVar[Mapping[str, type]] = {
        "hits": int,
        "overlap": float,
        "item_set": str,
        "item_id": str,
        "exact": bool,
    }
    """``hits``: items that the document holds; the rest is of the best one: the share of it that is there, its set and
    id, and whether it is there word for word; 0 and empty where there is none."""
    keeps: ClassVar[tuple[str, ...]] = ("Any text stays as long as no items are named.", "")
    rejects: ClassVar[Mapping[str, str]] = {}
    scored_with: ClassVar[tuple[str, ...]] = ("items", "min_words")
    reuse_scores: ClassVar[bool] = False
    """A file of items may have changed since a parent run, so that its scores say nothing."""

    items: tuple[str, ...] = ()
    """Files of items, JSON Lines, also gzip or zstd: {"set": "...", "item_id": "...", "text": "..."}"""
    action: Literal["flag", "drop"] = "flag"
    """``flag`` keeps the documents and stores scores, ``drop`` rejects them."""
    min_overlap: float = 0.0
    """Least overlap of the best match with which ``drop`` rejects. 0: any match, as GPT-3's authors had it (Brown et
    al. 2020, appendix C, https://arxiv.org/abs/2005.14165); Llama 2's called 80 % of an item's tokens dirty (Touvron
    et al. 2023, section A.6, https://arxiv.org/abs/2307.09288). A near copy of a short item has .71 or more."""
    min_words: int = 6
    """Shorter items are not looked for, and counted in a warning: five words are often a phrase of the language.
    Items below six words are only found word for word. Ten letters of Chinese or Japanese, and 24 of Thai, Lao, Khmer,
    Burmese or Tibetan, stand for six words."""
    opened: Any = field(default=None, init=False, repr=False, compare=False)
    """The items (``curation.decontaminate.index.Index``), once ``open`` has been called."""

    def __post_init__(self) -> None:
        if not 0 <= self.min_overlap <= 1:
            raise UserError(f"filters.decontaminate.min_overlap: {self.min_overlap} is not between 0 and 1")
        if self.min_words < 3:
            raise UserError(
                f"filters.decontaminate.min_words: {self.min_words}: one or two words are everywhere; take 3"
            )

    def prepare(self, cache: Path) -> dict[str, str]:
        """Compile the items into the folder ``cache``; returns file -> sha256.

        Raises:
            UserError: a file is missing or damaged, a line is no item, no item is long enough, or two files have the
                same name.
        """
        from curation.decontaminate.compiling import prepare

        files = self._files()
        if not files:
            return {}
        sums = prepare(list(files.values()), cache, self.min_words)
        return dict(zip(files, sums, strict=True))

    def open(self, cache: Path, prepared: Mapping[str, str]) -> "Decontaminate":
        """This filter with the items that ``prepare`` has compiled mapped into memory.

        Raises:
            UserError: the compiled items are not in ``cache`` any more.
        """
        from curation.decontaminate.compiling import index_path
        from curation.decontaminate.index import Index

        ready = replace(self)
        if prepared:
            index = Index(index_path(cache, prepared.values(), self.min_words))
            object.__setattr__(ready, "opened", index)
        return ready

    def _files(self) -> "dict[str, ItemFile]":
        """Name in the run's record -> file."""
        from curation.decontaminate.items import ItemFile

        found: dict[str, ItemFile] = {}
        for name in self.items:
            file = ItemFile(Path(name), "filters.decontaminate.items")
            key = f"items {file.path.name}"
            if key in found:
                raise UserError(f"filters.decontaminate.items: two files are called {file.path.name!r}; rename one")
            found[key] = file
        return found

    def matches(self, document: Document) -> "list[Match]":
        """The items that a document holds, the best first: verbatim ones, then by overlap; at most 1,000."""
        return self._find(document)[1]

    def _find(self, document: Document) -> "tuple[int, list[Match]]":
        if self.opened is None:
            assert not self.items, "the filter was not opened"
            return 0, []
        from curation.decontaminate.matching import find
        from curation.decontaminate.units import document_words

        return find(self.opened, document_words(document, letters=self.opened.letters))

    def score(self, document: Document) -> dict[str, Any]:
        """Look the document up; its matches, if any, are left in ``document.metadata[METADATA]``, too."""
        hits, matches = self._find(document)
        if not matches:
            document.metadata.pop(METADATA, None)
            return {"hits": 0, "overlap": 0.0, "item_set": "", "item_id": "", "exact": False}
        document.metadata[METADATA] = matches
        best = matches[0]
        return {
            "hits": hits,
            "overlap": best.overlap,
            "item_set": best.item_set,
            "item_id": best.item_id,
            "exact": best.exact,
        }

    def reason(self, scores: dict[str, Any]) -> str | None:
        """Reject what has a match only if ``action`` says so."""
        drop = self.action == "drop" and scores["hits"] and scores["overlap"] >= self.min_overlap
        return "contaminated" if drop else None
