"""Results of cases as Parquet, one row a response: written by an audit, read by everything that makes figures."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from audit.estimates import Table
from audit.probes.base import Probe, Result
from curation.errors import UserError
from curation.workspace import write_durably

ITEM_COLUMNS = ("item_id", "unit", "language", "groups", "stratum", "measures", "item_score", "near_tie")
"""What is the same in all rows of an item, with ``contaminated`` and ``why``."""


def schema(probe: Probe) -> Any:
    """The columns of a probe's file."""
    import pyarrow as pa

    return pa.schema(
        [
            ("item_id", pa.string()),
            ("unit", pa.string()),
            ("language", pa.string()),
            ("groups", pa.list_(pa.string())),
            ("stratum", pa.string()),
            ("role", pa.string()),
            ("prompt", pa.string()),
            ("response", pa.string()),
            ("start_token", pa.int64()),
            ("tokens", pa.list_(pa.int64())),
            ("log_likelihoods", pa.list_(pa.float64())),
            ("score", pa.float64()),
            ("flagged", pa.bool_()),
            ("item_score", pa.float64()),
            ("measures", pa.struct([(name, pa.float64()) for name in probe.measures])),
            ("near_tie", pa.bool_()),
            ("contaminated", pa.bool_()),
            ("why", pa.string()),
        ]
    )


def write_results(path: Path, probe: Probe, results: Iterable[Result], contaminated: frozenset[str]) -> None:
    """Write results whole or not at all; an item without a response (it could not be scored) has one row.

    Args:
        contaminated: ids of texts (``Case.texts``) that the model was trained on.

    Raises:
        OSError: disk full.
    """
    import pyarrow as pa

    rows = []
    for result in results:
        case = result.case
        item = {
            "item_id": case.id,
            "unit": case.unit,
            "language": case.language,
            "groups": list(case.groups),
            "stratum": case.stratum,
            "item_score": result.score,
            "measures": None if result.measures is None else {name: result.measures[name] for name in probe.measures},
            "near_tie": result.near_tie,
            "contaminated": not contaminated.isdisjoint(case.texts),
            "why": result.why,
            "flagged": False,
        }
        for response in result.responses:
            own = {name: getattr(response, name) for name in ("role", "prompt", "response", "start_token", "score")}
            own |= {"tokens": response.tokens, "log_likelihoods": response.log_likelihoods}
            rows.append({**item, **own, "flagged": response.flagged})
        if not result.responses:
            rows.append(item)
    write_table(path, pa.Table.from_pylist(rows, schema=schema(probe)))


def write_table(path: Path, table: Any) -> None:
    """Write a table whole or not at all. Raises OSError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    write_durably(path, sink.getvalue().to_pybytes())


def join_parts(parts: Sequence[Path], path: Path) -> None:
    """One file of several. Raises OSError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    write_table(path, pa.concat_tables([pq.read_table(part) for part in parts]))


@dataclass(frozen=True)
class Items:
    """The items of a probe's file."""

    ids_N: Sequence[str]
    units_N: Sequence[str]
    languages_N: Sequence[str]
    groups_N: Sequence[Sequence[str]]
    strata_N: Sequence[str]
    measures: Mapping[str, Any]
    """Name -> float64 [N]; NaN of an item that was not scored."""
    scores_N: Any
    """The score of each item, positive towards the stereotype; NaN: it has none."""
    scored_N: Any
    near_tie_N: Any
    contaminated_N: Any
    whys_N: Sequence[str | None]

    def __len__(self) -> int:
        return len(self.ids_N)

    def take(self, places: Sequence[int]) -> "Items":
        """The items at these places, in this order."""
        chosen: dict[str, Any] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name == "measures":
                chosen[each.name] = {name: values[list(places)] for name, values in value.items()}
            elif isinstance(value, np.ndarray):
                chosen[each.name] = value[list(places)]
            else:
                chosen[each.name] = [value[place] for place in places]
        return Items(**chosen)

    def table(self, chosen_N: Any) -> Table:
        """Scored items among those that are chosen (bool [N])."""
        places = np.flatnonzero(chosen_N & self.scored_N).tolist()
        columns = {name: values[places] for name, values in self.measures.items()}
        return Table([self.units_N[place] for place in places], columns, [self.strata_N[place] for place in places])


def read_items(path: Path) -> Items:
    """The items of a file, without texts.

    Raises:
        UserError: it cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, columns=[*ITEM_COLUMNS, "contaminated", "why"])
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path}: cannot be read ({error}); audit again") from error
    ids = table.column("item_id").to_pylist()
    first = sorted({each: place for place, each in reversed([*enumerate(ids)])}.values())
    table = table.take(first)
    measured = table.column("measures").combine_chunks()
    scored = measured.is_valid().to_numpy(zero_copy_only=False).astype(bool)
    measures = {
        field.name: np.array(
            [np.nan if value is None else value for value in measured.field(field.name).to_pylist()], dtype=np.float64
        )
        for field in measured.type
    }
    column = {name: table.column(name).to_pylist() for name in table.column_names if name != "measures"}
    return Items(
        column["item_id"],
        column["unit"],
        column["language"],
        column["groups"],
        column["stratum"],
        measures,
        np.array([np.nan if value is None else value for value in column["item_score"]], dtype=np.float64),
        scored,
        np.array(column["near_tie"], dtype=bool),
        np.array(column["contaminated"], dtype=bool),
        column["why"],
    )


def read_texts(path: Path, ids: Sequence[str]) -> dict[str, list[str]]:
    """Item -> the texts of its responses behind their prompts, without those that are flagged.

    Raises:
        OSError: the file cannot be read.
    """
    import pyarrow.parquet as pq

    columns = ["item_id", "prompt", "response", "flagged"]
    found: dict[str, list[str]] = {each: [] for each in ids}
    for row in pq.read_table(path, columns=columns, filters=[("item_id", "in", list(ids))]).to_pylist() if ids else ():
        hidden = "(flagged: not shown)" if row["flagged"] else (row["prompt"] or "") + (row["response"] or "")
        found[row["item_id"]].append(hidden)
    return found
