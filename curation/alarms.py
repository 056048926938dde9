"""Who lost too much to deduplication: boilerplate can make it wipe out a whole source."""

from curation.catalog import open_catalog, rows
from curation.catalog.query import create_document_view
from curation.dedup.config import AlarmConfig
from curation.dedup.decisions import STEP
from curation.verdicts import LATE
from curation.workspace import Workspace

# Of what came to deduplication, by domain, language and raw file.
_LOSSES = f"""
WITH compared AS (SELECT domain, language, raw_file_id, coalesce(step = $step, false) AS gone FROM document
    WHERE shard_kind = 'kept' OR {LATE})
SELECT what, name, documents, gone FROM (
    SELECT 'domain' AS what, domain AS name, count(*) AS documents, count(*) FILTER (gone) AS gone
        FROM compared WHERE domain IS NOT NULL GROUP BY ALL
    UNION ALL SELECT 'language', language, count(*), count(*) FILTER (gone) FROM compared GROUP BY ALL
    UNION ALL SELECT 'raw file', (SELECT any_value(uri) FROM c.raw_file f WHERE f.raw_file_id = k.raw_file_id),
        count(*), count(*) FILTER (gone) FROM compared k GROUP BY raw_file_id)
WHERE documents >= $least AND gone > $share * documents ORDER BY what, gone DESC, name
"""
_MOST_ALARMS = 20


def alarms(workspace: Workspace, run_id: str, config: AlarmConfig) -> list[str]:
    """Lines that name the domains, languages and raw files that lost too much to deduplication."""
    with open_catalog(workspace) as connection:
        removed = rows(connection, "SELECT 1 FROM filter_count WHERE run_id = ? AND step = ? LIMIT 1", [run_id, STEP])
        if not removed:
            return []
        shards = rows(connection, "SELECT shard_id FROM shard WHERE run_id = ?", [run_id])
    with open_catalog(workspace, locked=False) as connection:
        create_document_view(workspace, connection, [row["shard_id"] for row in shards])
        parameters = {
            "step": STEP,
            "least": config.min_documents,
            "share": config.max_removed_share,
        }
        found = connection.execute(_LOSSES, parameters).fetchall()
    lines = [
        f"deduplication took {gone:,} of the {documents:,} documents of {what} {printable(str(name))}"
        for what, name, documents, gone in found[:_MOST_ALARMS]
    ]
    if len(found) > _MOST_ALARMS:
        lines.append(f"... and of {len(found) - _MOST_ALARMS} more")
    return lines


def printable(name: str) -> str:
    """A name out of a crawl for a terminal: what is no printable character is escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
