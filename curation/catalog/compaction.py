"""Many small record files -> few large ones, without a reader ever missing or repeating a record."""

from typing import Any

from curation.records import new_ulid
from curation.workspace import Workspace, read_rows, rows_to_parquet


def compact(workspace: Workspace, kind: str, least: int = 2000) -> int:
    """Merge the single-row files of a kind into one Parquet file once there are ``least`` of them.

    The merged file appears before the small ones go, and each row keeps the name of the file that it
    came from, so that a reader at any moment sees every record at least once and can tell repeats.

    Returns:
        How many files were merged.
    """
    small = [file for file in workspace.record_files(kind, anew=False) if file.suffix == "json"]
    if len(small) < least:
        return 0
    small.sort(key=lambda file: file.name)
    rows: list[dict[str, Any]] = []
    sources: list[str] = []
    try:
        for file in small:
            for source, row in read_rows(file):
                rows.append(row)
                sources.append(source)
    except FileNotFoundError:  # another host, which shares no lock with us, has merged them meanwhile
        return 0
    workspace.store_record(kind, f"{new_ulid()}.parquet", rows_to_parquet(kind, rows, sources))
    workspace.remove_records(small)
    return len(small)
