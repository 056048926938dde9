"""Between reader and writer: text, language, take-downs, scores and decisions."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from datatrove.data import Document, DocumentsPipeline
from datatrove.pipeline.base import PipelineStep

from curation.config import CurationConfig
from curation.filters import column, open_filters, score_columns
from curation.page_license import PageLicense, license_of_html, license_of_text
from curation.pii import MASKING, counts, find, mask
from curation.sources.content import is_blank
from curation.steps.common import decided, quarantine, reject
from curation.tombstones import Tombstones


class Extract(PipelineStep):
    """HTML -> text; what cannot be extracted is quarantined with its reason."""

    type = "extractor"
    name = "extract"

    def __init__(self, config: CurationConfig) -> None:
        super().__init__()
        self.config = config.extract

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """Replace the HTML of each page by its text; text and code pass."""
        from curation.extract import CpuLimit, TooDeep, TooLarge, extract

        for document in data or ():
            meta = document.metadata
            if not decided(document) and meta["media"] == "html":
                _state_license(meta, license_of_html(document.text))
                try:
                    found = extract(document.text, url=meta["url"], config=self.config, crawled_at=meta["crawled_at"])
                except TooLarge as error:
                    quarantine(document, "too_large", str(error))
                except TooDeep as error:
                    quarantine(document, "too_deep", str(error))
                except CpuLimit as error:
                    quarantine(document, "cpu_limit", str(error))
                except (OSError, MemoryError):
                    raise  # the machine's trouble, not the page's
                except Exception as error:
                    # Any page may hold what a parser's authors never saw; it costs that page, and is counted.
                    quarantine(document, "extract_error", f"{type(error).__name__}")
                else:
                    document.text = found.text
                    for name in ("title", "author", "date"):
                        meta[name] = getattr(found, name) or meta[name]
            elif not decided(document):
                _state_license(meta, license_of_text(document.text))
            if not decided(document) and is_blank(document.text):
                reject(document, "extract", "no_text")
            yield document


def _state_license(meta: dict[str, Any], found: PageLicense | None) -> None:
    if found is not None:
        meta["page_license"], meta["page_license_source"] = found.license, found.source


class CleanLines(PipelineStep):
    """Removes lines from the text of web pages, as for C4; counts them in ``lines_removed``."""

    type = "extractor"
    name = "lines"

    def __init__(self, config: CurationConfig) -> None:
        super().__init__()
        self.config = config.lines

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """A page of which no line is left keeps its text, and is rejected."""
        from curation.lines import remove_lines

        for document in data or ():
            meta = document.metadata
            meta["lines_removed"] = 0
            if self.config.enabled and not decided(document) and _is_page(meta):
                text, meta["lines_removed"] = remove_lines(document.text, self.config)
                if is_blank(text):
                    reject(document, "lines", "no_lines")
                else:
                    document.text = text
            yield document


def _is_page(meta: dict[str, Any]) -> bool:
    """Whether a text was taken from a web page: from HTML by us, or for a WET file by a crawler (a record with
    a type of its own, but without an HTTP answer)."""
    wet = meta["media"] == "text" and meta["content_type"] == "text/plain" and meta["http_status"] is None
    return wet or meta["media"] == "html"


class IdentifyLanguage(PipelineStep):
    """Writes ``language`` and ``language_score``; deciding is ``Decide``'s."""

    type = "annotator"
    name = "language"

    def __init__(self, config: CurationConfig) -> None:
        super().__init__()
        self.config = config.language

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """Annotate each document that has text; source code carries its programming language."""
        from curation.language import Identifier

        identifier = Identifier(self.config)
        for document in data or ():
            meta = document.metadata
            if decided(document):
                meta["language"], meta["language_score"] = "und", 0.0
            elif meta["_code"]:
                meta["language"], meta["language_score"] = meta["_code"], 1.0
            else:
                meta["language"], meta["language_score"] = identifier.identify(document.text)
            yield document


class TakeDown(PipelineStep):
    """Rejects what a tombstone hides, and drops its text and title at once."""

    type = "filter"
    name = "takedown"

    def __init__(self, tombstones: Tombstones) -> None:
        super().__init__()
        self.tombstones = tombstones

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """Test each document against the rules as they stood when the run was planned."""
        for document in data or ():
            meta = document.metadata
            if "quarantined" not in meta and self.tombstones.hides(document.id, meta["url"], meta["domain"]):
                document.text = ""
                meta.pop("step", None)
                meta.pop("reason", None)
                meta |= {"title": None, "author": None, "language": "und", "language_score": 0.0}
                reject(document, "takedown", "tombstone")
            yield document


class PersonalData(PipelineStep):
    """Counts personal data in text, title and author of every document that has a text, and masks it where the run
    says so: before anything is scored, so that a run over stored texts (``--from``) scores the same texts."""

    type = "formatter"
    name = "personal data"

    def __init__(self, config: CurationConfig, masked: bool) -> None:
        """
        Args:
            masked: whether the texts are those of a parent run that masked them: its counts stay.
        """
        super().__init__()
        self.config, self.masked = config.pii, masked
        self.scores = (*score_columns(config.filters), "toxicity", "_toxicity")

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """Text is changed only where something was found."""
        for document in data or ():
            meta = document.metadata
            counted = self.masked and meta.get("pii") is not None
            if document.text and "quarantined" not in meta and not counted:
                self._look(document)
            yield document

    def _look(self, document: Document) -> None:
        meta, masks = document.metadata, self.config.action in MASKING
        spans = find(document.text, meta["language"], self.config)
        if spans and masks:
            document.text = mask(document.text, spans)
            for name in self.scores:  # of a parent run, of the text as it was
                meta.pop(name, None)
        for name in ("title", "author"):
            value = meta.get(name)
            if value and (found := find(value, meta["language"], self.config)):
                spans = [*spans, *found]
                meta[name] = mask(value, found) if masks else value
        meta["pii"] = counts(spans)


class RejectPersonalData(PipelineStep):
    """Rejects documents that hold personal data, with the first of its kinds as the reason."""

    type = "filter"
    name = "pii"

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """Behind the filters, which have scored by now."""
        for document in data or ():
            kinds = [kind for kind, number in (document.metadata.get("pii") or {}).items() if number]
            if kinds:
                reject(document, "pii", kinds[0])
            yield document


class ScoreAndDecide(PipelineStep):
    """Every filter scores every document that has text; then language and filters decide, in order."""

    type = "filter"
    name = "filters"

    def __init__(
        self,
        config: CurationConfig,
        cache: Path,
        prepared: Mapping[str, Mapping[str, str]],
        stale: Collection[str] = (),
    ) -> None:
        """
        Args:
            stale: filters whose scores from a parent run were made with other options (``stale_scores``).
        """
        super().__init__()
        self.config = config
        self.filters = open_filters(config.filters, cache, prepared)
        self.stale = frozenset(stale)

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """Scores already there (from a parent run) are used as they are, unless they are stale."""
        from curation.language import parse_languages

        wanted = parse_languages(self.config.language.languages, model=self.config.language.model)
        for document in data or ():
            if not decided(document):
                meta = document.metadata
                code = meta["media"] == "code"
                if wanted and meta["language"] not in wanted:
                    reject(document, "language", "other_language")
                elif meta["language_score"] < self.config.language.threshold:
                    reject(document, "language", "low_score")
                for each in self.filters:
                    reuse = getattr(each, "reuse_scores", True) and each.name not in self.stale
                    scores = meta.get(column(each)) if reuse else None
                    if scores is None or scores.keys() != each.scores.keys():
                        meta[column(each)] = scores = each.score(document)
                    if code and getattr(each, "prose_only", False):
                        continue
                    if (reason := each.reason(scores)) is not None:
                        reject(document, each.name, reason)
            yield document
