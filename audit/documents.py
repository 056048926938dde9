"""The documents that an audit of data is about, read in batches: those of a run, kept and removed, or of a dataset."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curation.catalog import open_catalog, rows
from curation.catalog.query import run_config
from curation.dataset import find_texts, members, shard_documents
from curation.errors import UserError
from curation.progress import Progress
from curation.summary import STEP_ORDER
from curation.tombstones import Tombstones
from curation.verdicts import LATE_STEPS
from curation.workspace import Workspace

BATCH_DOCUMENTS = 512

WITHOUT_TEXT = frozenset(STEP_ORDER[: STEP_ORDER.index("language")])
"""Steps before there is a text to look at, or which remove it; they are not audited."""


@dataclass(frozen=True)
class Subject:
    """What is audited."""

    kind: str
    """``run`` or ``dataset``."""
    id: str
    label: str
    """As a person would type it."""
    shards: Sequence[tuple[str, str, str]]
    """(path, ``kept`` or ``rejected``, shard_id)."""
    documents: int
    tombstones: Tombstones
    filters: Mapping[str, Any]
    """Filters of the run in their order, with their options; empty for a dataset."""


def find_run(workspace: Workspace, reference: str) -> Subject:
    """A finished curation run, by its id, or ``last``.

    Raises:
        UserError: there is none such; the newest ones are listed.
    """
    with open_catalog(workspace) as connection:
        runs = rows(connection, "SELECT run_id, status FROM run WHERE kind = 'curate' ORDER BY run_id DESC")
        done = [row["run_id"] for row in runs if row["status"] == "done"]
        known = ", ".join(done[:5]) or "none yet"
        if reference == "last":
            if not done:
                raise UserError("no finished run of curation in this workspace: python -m curation.run INPUT first")
            reference = done[0]
        status = next((row["status"] for row in runs if row["run_id"] == reference), None)
        if status is None:
            raise UserError(f"no curation run {reference!r} in this workspace; finished runs, newest first: {known}")
        if status != "done":
            raise UserError(f"run {reference} is {status}; only a finished run has all its documents: {known}")
        config = run_config(connection, reference)
        sql = "SELECT path, shard_kind, shard_id, documents FROM shard WHERE run_id = ? ORDER BY path"
        shards = rows(connection, sql, [reference])
        return _subject("run", reference, reference, shards, _tombstones(connection), config["curation"]["filters"])


def find_subject(workspace: Workspace, reference: str) -> Subject:
    """A finished curation run (its id, or ``last``), or a dataset (``name``, ``name@version``).

    Raises:
        UserError: neither.
    """
    with open_catalog(workspace) as connection:
        names = {row["name"] for row in rows(connection, "SELECT DISTINCT name FROM dataset")}
        if reference.partition("@")[0] in names:
            dataset = find_texts(connection, reference)
            label = f"{dataset['name']}@{dataset['version']}"
            shards = members(connection, dataset["dataset_id"])
            return _subject("dataset", dataset["dataset_id"], label, shards, _tombstones(connection), {})
    try:
        return find_run(workspace, reference)
    except UserError as error:
        raise UserError(f"{error}; datasets: {', '.join(sorted(names)) or 'none yet'}") from error


def _tombstones(connection: Any) -> Tombstones:
    return Tombstones.of(rows(connection, "SELECT what, value FROM tombstone"))


def _subject(
    kind: str,
    identity: str,
    label: str,
    shards: Sequence[Mapping[str, Any]],
    tombstones: Tombstones,
    filters: Mapping[str, Any],
) -> Subject:
    paths = [(row["path"], row["shard_kind"], row["shard_id"]) for row in shards]
    documents = sum(row["documents"] for row in shards)
    return Subject(kind, identity, label, paths, documents, tombstones, filters)


def read_documents(
    workspace: Workspace, subject: Subject, columns: Sequence[str], progress: Progress, stage: str
) -> Iterator[dict[str, Any]]:
    """Each document with a text as a dict of ``columns``, in order of the shards, with ``step`` and ``reason`` (None
    for a kept one); what is taken down is not among them. Memory holds one batch."""
    wanted = list(dict.fromkeys(["id", "url", "domain", "language", "step", "reason", "text", *columns]))
    progress.start(stage, subject.documents, unit="doc")
    seen = 0
    for path, kind, _ in subject.shards:
        for batch in shard_documents(workspace, path, subject.tombstones, BATCH_DOCUMENTS, wanted):
            for row in batch.to_pylist():
                if kind == "kept":
                    row["step"] = row["reason"] = None
                if row["text"] and row.get("step") not in WITHOUT_TEXT:
                    yield row
            seen += batch.num_rows
            progress.update(seen, seen)
    progress.finish()


def step_order(filters: Sequence[str], present: Sequence[str]) -> list[str]:
    """Steps that can be audited in the order in which they act: language, filters as configured, personal data, then
    what was decided when all documents were known (and whatever is not known here, by name)."""
    known = list(dict.fromkeys(["language", *filters, "pii", *LATE_STEPS]))
    return known + sorted(set(present) - set(known))
