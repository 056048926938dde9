"""Texts to measure a model on: those held out of its datasets when they were tokenized, and those that are at hand."""

from collections.abc import Iterator

from audit.source import Source
from curation.catalog import open_catalog, rows
from curation.workspace import Workspace

MOST = 2000
"""Documents of a dataset, drawn by their ids."""

_RUNS = """
WITH RECURSIVE lineage(run_id) AS (
    SELECT run_id FROM checkpoint WHERE checkpoint_id = ?
    UNION SELECT r.parent_run_id FROM run r JOIN lineage USING (run_id) WHERE r.parent_run_id IS NOT NULL)
SELECT DISTINCT d.dataset_id, d.name, d.version FROM run_dataset r JOIN dataset d USING (dataset_id)
WHERE r.run_id IN (SELECT run_id FROM lineage) ORDER BY d.name, d.version
"""
_TEXTS = """
SELECT d.id, d.language, d.text FROM document d WHERE d.shard_kind = 'kept' AND d.id IN (
    SELECT document_id FROM token_document WHERE dataset_id = ? AND split = 'validation'
    ORDER BY md5(document_id) LIMIT ?)
ORDER BY d.id
"""


def held_out(workspace: Workspace, source: Source) -> Iterator[tuple[str, str, str, str]]:
    """(dataset, document id, language, text) of documents held out of what the checkpoint, and those that it was made
    of, learnt from."""
    if source.kind != "checkpoint":
        return
    with open_catalog(workspace, documents=True, tokens=True) as connection:
        for dataset in rows(connection, _RUNS, [source.id]):
            for row in rows(connection, _TEXTS, [dataset["dataset_id"], MOST]):
                if row["text"] and row["text"].strip():
                    yield f"{dataset['name']}@{dataset['version']}", row["id"], row["language"] or "und", row["text"]


def shipped_topics() -> Iterator[str]:
    """Topics of Python's documentation, which every installation has; by name."""
    from pydoc_data.topics import topics  # a file of the standard library that holds texts alone

    for name in sorted(topics):
        yield topics[name].strip()
