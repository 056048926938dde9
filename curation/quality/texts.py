"""Texts for training and evaluation: from files, runs and datasets, each with its language."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from curation.errors import UserError, unknown_name
from curation.records import ULID_PATTERN
from curation.workspace import Workspace

Text = tuple[str, str]
"""(text, language)."""


@dataclass(slots=True)
class Source:
    """Where texts came from, for the card."""

    name: str
    what: str
    """``file``, ``run`` or ``dataset``."""
    id: str
    """sha256 of a file, run id, or ``name@version``."""
    texts: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    """Reason -> records that gave no text."""


class Texts:
    """Reads what ``--positive`` or ``--negative`` name."""

    def __init__(self, workspace: Workspace, language: str | None) -> None:
        """
        Args:
            language: of all texts in files, which is not looked at then; documents of runs in others are left out.
        """
        self.workspace, self.language = workspace, language
        self.sources: list[Source] = []
        self._identify: Callable[[str], tuple[str, float]] | None = None

    def read(self, names: Sequence[str], option: str) -> Iterator[Text]:
        """The texts that names stand for: files, folders, globs and URLs as ``curation.run`` takes them, else runs
        (their kept documents) and datasets of the workspace.

        Raises:
            UserError: a name that stands for nothing, or in which there is no text.
        """
        for name in names:
            before = len(self.sources)
            yield from self._stored(name, option) if self._is_stored(name) else self._files(name, option)
            added = self.sources[before:]
            if not any(source.texts for source in added):
                why = Counter[str]()
                for source in added:
                    why.update(source.left_out)
                told = ", ".join(f"{count:,} {reason}" for reason, count in sorted(why.items())) or "nothing in it"
                raise UserError(f"{option} {name}: no text found ({told})")

    def _is_stored(self, name: str) -> bool:
        looks_like_files = any(mark in name for mark in ("/", "*", os.sep)) or os.path.lexists(name)
        return not looks_like_files and self.workspace.exists

    # ---- files ----

    def _files(self, name: str, option: str) -> Iterator[Text]:
        from curation.sources.content import resolve
        from curation.sources.discover import discover, identify
        from curation.sources.location import display
        from curation.sources.read import ReadConfig, read_raw

        try:
            found = discover([name])
        except UserError as error:
            held = "" if self.workspace.exists else f"; {self.workspace.name} is no workspace either (--workspace)"
            raise UserError(f"{option}: {error}{held}") from error
        for file in identify(found):
            if file.copy_of:
                continue
            source = Source(display(file.uri), "file", file.raw_file_id)
            self.sources.append(source)
            left_out = Counter[str]()
            for record in read_raw(file, config=ReadConfig()):
                resolve(record)
                if record.text is None or record.media == "html":
                    left_out[record.quarantined or record.rejected or "html"] += 1
                    continue
                source.texts += 1
                yield record.text, self.language or record.language or self._identified(record.text)
            source.left_out = dict(sorted(left_out.items()))

    def _identified(self, text: str) -> str:
        if self._identify is None:
            from curation.language import Identifier, LanguageConfig

            self._identify = Identifier(LanguageConfig()).identify
        return self._identify(text)[0]

    # ---- the workspace ----

    def _stored(self, name: str, option: str) -> Iterator[Text]:
        from curation.catalog import open_catalog, rows
        from curation.dataset import documents, find, run_documents

        with open_catalog(self.workspace) as connection:
            runs = rows(connection, "SELECT run_id, status FROM run WHERE kind = 'curate' ORDER BY run_id")
            datasets = rows(connection, "SELECT name || '@' || version AS name FROM dataset ORDER BY ALL")
            status = {row["run_id"]: row["status"] for row in runs}
            if name in status:
                source = Source(name, "run", name)
            elif name.partition("@")[0] in {row["name"].partition("@")[0] for row in datasets}:
                row = find(connection, name)
                source = Source(name, "dataset", f"{row['name']}@{row['version']}")
            elif ULID_PATTERN.fullmatch(name):
                raise unknown_name(f"run for {option}", name, [*status][-5:] or ["none yet"])
            else:
                known = [*(row["name"] for row in datasets), *[*status][-5:]] or ["none yet"]
                raise unknown_name(f"file, dataset or run for {option}", name, known)
        if source.what == "run" and status[name] != "done":
            raise UserError(f"{option} {name}: that run is {status[name]}; only a finished run has all its documents")
        self.sources.append(source)
        left_out = Counter[str]()
        read = run_documents if source.what == "run" else documents
        for batch in read(self.workspace, source.id):
            for row in batch.select(["text", "language"]).to_pylist():
                if self.language is not None and row["language"] != self.language:
                    left_out["other_language"] += 1
                else:
                    source.texts += 1
                    yield row["text"], row["language"]
        source.left_out = dict(sorted(left_out.items()))


def as_facts(sources: Sequence[Source]) -> list[dict[str, Any]]:
    """Sources as JSON values."""
    return [{"name": s.name, "what": s.what, "id": s.id, "texts": s.texts, "left_out": s.left_out} for s in sources]
