"""Datasets as plain files: JSONL, or a folder that ``datasets.load_dataset`` opens."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from curation.dataset import documents
from curation.errors import UserError, unknown_name
from curation.records import Workspace

_ROWS_A_FILE = 200_000
"""Documents per Parquet file of an exported folder."""


def export(workspace: Workspace, reference: str, to: str, style: str, columns: Sequence[str] = ()) -> int:
    """Write a dataset's documents, without what is taken down.

    Args:
        to: a new file (``.gz`` and ``.zst`` compress), or a new or empty folder for ``datasets``.
        style: ``jsonl`` or ``datasets``.
        columns: only these; none: all.

    Returns:
        The number of documents written.

    Raises:
        UserError: the target is there already, or a column is unknown (the valid ones are listed).
        OSError: disk full; nothing is left behind then.
    """
    target = Path(to)
    if target.exists() and (target.is_file() or any(target.iterdir())):
        raise UserError(f"--to {to}: is there already; name a new {'file' if style == 'jsonl' else 'folder'}")
    batches = _chosen(documents(workspace, reference), columns)
    return _write_jsonl(batches, target) if style == "jsonl" else _write_folder(batches, target, reference)


def _chosen(batches: Iterator[Any], columns: Sequence[str]) -> Iterator[Any]:
    for batch in batches:
        for name in columns:
            if name not in batch.schema.names:
                raise unknown_name("column", name, batch.schema.names)
        yield batch.select(list(columns)) if columns else batch


def _write_jsonl(batches: Iterator[Any], target: Path) -> int:
    import fsspec

    aside = target.with_name(f".{target.name}.tmp")
    compression = {".gz": "gzip", ".zst": "zstd"}.get(target.suffix)
    count = 0
    try:
        with fsspec.open(str(aside), "wt", compression=compression, encoding="utf-8", newline="\n") as file:
            for batch in batches:
                for row in batch.to_pylist():
                    file.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
                    count += 1
        aside.replace(target)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    return count


def _write_folder(batches: Iterator[Any], target: Path, reference: str) -> int:
    import shutil

    import pyarrow.parquet as pq

    aside = target.with_name(f".{target.name}.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    data = aside / "data"
    data.mkdir(parents=True)
    count = files = 0
    writer: Any = None
    try:
        for batch in batches:
            if writer is None or count >= files * _ROWS_A_FILE:
                if writer is not None:
                    writer.close()
                writer = pq.ParquetWriter(data / f"train-{files:05d}.parquet", batch.schema, compression="zstd")
                files += 1
            writer.write_batch(batch)
            count += batch.num_rows
        if writer is not None:
            writer.close()
        card = {"configs": [{"config_name": "default", "data_files": "data/*.parquet"}]}
        (aside / "README.md").write_text(
            f"---\n{json.dumps(card)}\n---\n\n# {reference}\n\n{count:,} documents, exported from a curation "
            'workspace.\n\n```python\nfrom datasets import load_dataset\n\nload_dataset("path/of/this/folder")\n```\n',
            encoding="utf-8",
        )
        if target.is_dir():
            target.rmdir()
        aside.replace(target)
    except BaseException:
        if writer is not None:
            writer.close()
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return count
