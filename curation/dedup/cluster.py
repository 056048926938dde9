"""From similar pairs to decisions: who stays, who goes, and for whom.

A document goes only if it is itself similar enough to one that stays: chains of near-duplicates do not drag
in what is unlike the survivor. Ids decide the order (held documents first, then the smallest id), so that the
outcome does not depend on how the work was split. Pairs, ids and decisions lie in a DuckDB file; memory holds
one byte for each document that has a similar one.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from curation.dedup.buckets import similarities
from curation.dedup.corpus import Corpus
from curation.dedup.decisions import NEAR, SAME_URL, save_decisions

Array = np.ndarray[Any, Any]

MEMORY_LIMIT = "512MB"
_BATCH = 2**16

_SCHEMA = """
CREATE TABLE pair (low BIGINT, high BIGINT, jaccard DOUBLE);
CREATE TABLE node (number BIGINT, hi UBIGINT, lo UBIGINT);
CREATE TABLE decision (number BIGINT, reason UTINYINT, leader BIGINT, jaccard DOUBLE);
CREATE TABLE similarity (number BIGINT, jaccard DOUBLE);
CREATE TABLE leader (number BIGINT, hi UBIGINT, lo UBIGINT, jaccard DOUBLE);
"""
_RANK = """
CREATE TABLE rank AS
    SELECT number, row_number() OVER (ORDER BY number < $own, hi, lo, number) - 1 AS rank FROM node
"""
_EDGE = """
CREATE TABLE edge AS SELECT least(a.rank, b.rank) AS keep, greatest(a.rank, b.rank) AS go, jaccard
    FROM pair JOIN rank a ON a.number = low JOIN rank b ON b.number = high
"""
# Banding misses some pairs. Of the documents beside a common neighbour each is compared with the first.
_NEIGHBOURS = """
WITH beside AS (SELECT keep AS node, go AS other FROM edge UNION ALL SELECT go, keep FROM edge),
first AS (SELECT node, min(other) AS first FROM beside GROUP BY node),
near AS (SELECT DISTINCT first AS keep, other AS go FROM beside JOIN first USING (node) WHERE other > first)
SELECT least(k.number, g.number) AS low, greatest(k.number, g.number) AS high
    FROM near ANTI JOIN edge USING (keep, go)
    JOIN rank k ON k.rank = near.keep JOIN rank g ON g.rank = near.go
    WHERE low < $own ORDER BY low, high
"""
# A survivor of an earlier step may have gone in a later one: at most two steps to the one that stays.
_FINAL = """
CREATE TABLE final AS
SELECT d.number, d.reason, coalesce(e.leader, c.leader, d.leader) AS leader,
    CASE WHEN c.leader IS NULL THEN d.jaccard END AS jaccard
FROM decision d LEFT JOIN decision c ON c.number = d.leader LEFT JOIN decision e ON e.number = c.leader
"""
_DECISIONS = """
WITH member AS (SELECT f.number, reason, l.hi, l.lo, leader, coalesce(f.jaccard * l.jaccard, s.jaccard) AS jaccard
    FROM final f JOIN leader l ON l.number = f.leader LEFT JOIN similarity s ON s.number = f.number),
size AS (SELECT hi, lo, count(*) + 1 AS size, min(leader) AS leader FROM member GROUP BY hi, lo)
SELECT number, reason, hi, lo, jaccard, size FROM member JOIN size USING (hi, lo)
UNION ALL SELECT leader, NULL, 0, 0, NULL, size FROM size WHERE leader < $own
ORDER BY number
"""


class Clusters:
    """The decisions of a run in the making, in a DuckDB file that is deleted before and after."""

    def __init__(self, path: Path, corpus: Corpus) -> None:
        import duckdb

        self.path, self.corpus = path, corpus
        path.parent.mkdir(parents=True, exist_ok=True)
        self._remove()
        config: dict[str, Any] = {"memory_limit": MEMORY_LIMIT, "threads": 1, "temp_directory": f"{path}.spill"}
        self.connection: duckdb.DuckDBPyConnection = duckdb.connect(str(path), config=config)
        self.connection.execute(_SCHEMA)

    def close(self) -> None:
        """Close and delete the file."""
        self.connection.close()
        self._remove()

    def _remove(self) -> None:
        for leftover in (self.path, Path(f"{self.path}.wal")):
            leftover.unlink(missing_ok=True)

    def _insert(self, table: str, **columns: Array) -> None:
        import pyarrow as pa

        cursor = self.connection.cursor()
        cursor.register("_new", pa.table(columns))
        cursor.execute(f"INSERT INTO {table} SELECT * FROM _new")
        cursor.close()

    def _batches(self, sql: str, **parameters: int) -> Iterator[list[Array]]:
        """The columns of a query, some rows at a time."""
        query = self.connection.cursor().sql(sql, params=parameters or None)
        for batch in query.to_arrow_reader(_BATCH):
            if batch.num_rows:
                yield [column.to_numpy(zero_copy_only=False) for column in batch.columns]

    def add_equal(self, reason: int, removed: Array, leaders: Array) -> None:
        """Documents removed for an equal key."""
        jaccard = np.full(len(removed), np.nan if reason == SAME_URL else 1.0)
        self._insert(
            "decision",
            number=removed.astype(np.int64),
            reason=np.full(len(removed), reason, dtype=np.uint8),
            leader=leaders.astype(np.int64),
            jaccard=jaccard,
        )

    def add_pairs(self, low: Array, high: Array, jaccard: Array) -> None:
        """Pairs that are similar enough."""
        self._insert("pair", low=low.astype(np.int64), high=high.astype(np.int64), jaccard=jaccard)

    def decide_near(self, threshold: float) -> None:
        """Decide all near-duplicates from the pairs: in the order of ids, each document that is similar to
        one that stays goes, for the first such one (the lexicographically first maximal independent set)."""
        own = self.corpus.own
        for (numbers,) in self._batches("SELECT low AS n FROM pair UNION SELECT high FROM pair ORDER BY n"):
            ids = self.corpus.ids(numbers)
            self._insert("node", number=numbers, hi=ids[:, 0], lo=ids[:, 1])
        self.connection.execute(_RANK, {"own": own})
        self.connection.execute(_EDGE)
        for low, high in self._batches(_NEIGHBOURS, own=own):
            found = similarities(self.corpus, low, high)
            near = found >= threshold
            self.add_pairs(low[near], high[near], found[near])
        self.connection.execute(f"DROP TABLE edge; {_EDGE}")
        (nodes,) = self.connection.execute("SELECT count(*) FROM rank").fetchall()[0]
        gone = bytearray(nodes)
        self.connection.execute("CREATE TABLE chosen (go BIGINT, keep BIGINT, jaccard DOUBLE)")
        for goes, keeps, values in self._batches("SELECT go, keep, jaccard FROM edge ORDER BY go, keep"):
            chosen = []
            for place, (go, keep) in enumerate(zip(goes.tolist(), keeps.tolist(), strict=True)):
                if not gone[go] and not gone[keep]:
                    gone[go] = 1
                    chosen.append(place)
            self._insert("chosen", go=goes[chosen], keep=keeps[chosen], jaccard=values[chosen])
        self.connection.execute(
            "INSERT INTO decision SELECT g.number, $near, k.number, jaccard FROM chosen "
            "JOIN rank g ON g.rank = go JOIN rank k ON k.rank = keep",
            {"near": NEAR},
        )

    def save(self, folder: Path) -> None:
        """Resolve survivors, measure what is not measured yet, and write the decisions of each part."""
        self.connection.execute(_FINAL)
        self.connection.execute("UPDATE final SET jaccard = NULL WHERE isnan(jaccard)")
        for (numbers,) in self._batches("SELECT DISTINCT leader FROM final ORDER BY leader"):
            ids, jaccard = self.corpus.stand_ins(numbers)
            self._insert("leader", number=numbers, hi=ids[:, 0], lo=ids[:, 1], jaccard=jaccard)
        unmeasured = "SELECT number, leader FROM final WHERE jaccard IS NULL ORDER BY number"
        for numbers, leaders in self._batches(unmeasured):
            unique, places = np.unique(leaders, return_inverse=True)
            standing = self.corpus.standing(unique)[places]
            jaccard = similarities(self.corpus, numbers, standing)
            jaccard[~self.corpus.comparable(standing)] = np.nan
            self._insert("similarity", number=numbers, jaccard=jaccard)
        save_decisions(folder, self.corpus, self._batches(_DECISIONS, own=self.corpus.own))
