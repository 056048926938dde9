"""Items of probes that stand in the data which a model was trained on, as decontamination has found."""

from audit.source import Source
from curation.catalog import open_catalog, rows
from curation.workspace import Workspace

_ITEMS = """
WITH RECURSIVE lineage(run_id) AS (
    SELECT run_id FROM checkpoint WHERE checkpoint_id = ?
    UNION SELECT r.parent_run_id FROM run r JOIN lineage USING (run_id) WHERE r.parent_run_id IS NOT NULL),
dataset_ids AS (SELECT dataset_id FROM run_dataset WHERE run_id IN (SELECT run_id FROM lineage)),
held AS (
    SELECT shard_id FROM dataset_shard WHERE dataset_id IN (SELECT dataset_id FROM dataset_ids)
    UNION SELECT shard_id FROM token_shard WHERE dataset_id IN (SELECT dataset_id FROM dataset_ids))
SELECT DISTINCT k.item_id FROM contamination k JOIN document d ON d.id = k.document_id
WHERE k.item_set = ? AND d.shard_kind = 'kept' AND d.shard_id IN (
    SELECT c.current_shard_id FROM held JOIN current_shard c USING (shard_id))
"""


def contaminated_items(workspace: Workspace, source: Source, item_set: str) -> frozenset[str]:
    """Ids of a probe's texts (``--export-items`` writes them for decontamination) that documents hold which the
    checkpoint, or one that it was made of, was trained on."""
    if source.kind != "checkpoint" or all(row["item_set"] != item_set for row in workspace.rows("contamination")):
        return frozenset()
    with open_catalog(workspace, documents=True) as connection:
        found = rows(connection, _ITEMS, [source.id, item_set])
    return frozenset(row["item_id"] for row in found)
