"""Datasets as plain files: JSONL, or a folder that ``datasets.load_dataset`` opens; here or on object storage."""

import contextlib
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

from curation.dataset import documents
from curation.errors import UserError, unknown_name
from curation.objects import BLOCK_BYTES, ObjectStore, checked_url, plain_errors
from curation.sources.location import is_url, local_path
from curation.workspace import Workspace

_ROWS_A_FILE = 200_000
"""Documents per Parquet file of an exported folder."""


class Target(Protocol):
    """Where an export goes. Nothing is seen of it before ``commit``."""

    def taken(self) -> bool:
        """Whether something is there already."""

    def open(self, name: str) -> IO[bytes]:
        """A new file; the name is empty where the target is a file itself."""

    def commit(self) -> None:
        """Let everything appear; the file opened last comes last."""

    def discard(self) -> None:
        """Leave nothing behind."""


class LocalTarget:
    """A file or folder of this machine: written aside, then renamed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.aside = path.with_name(f".{path.name}.tmp")

    def taken(self) -> bool:
        """Whether there is a file, or a folder with something in it."""
        return self.path.exists() and (self.path.is_file() or any(self.path.iterdir()))

    def open(self, name: str) -> IO[bytes]:
        """A file of the folder, or the file itself."""
        path = self.aside / name if name else self.aside
        if name:
            path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("wb")

    def commit(self) -> None:
        """Rename."""
        if self.path.is_dir():
            self.path.rmdir()
        self.aside.replace(self.path)

    def discard(self) -> None:
        """Remove what is aside."""
        import shutil

        shutil.rmtree(self.aside, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.aside.unlink(missing_ok=True)


class NewObject(io.RawIOBase):
    """An object that is written piece by piece, and appears with ``commit``; until then nobody sees any of it.

    Raises OSError.
    """

    def __init__(self, store: ObjectStore, name: str) -> None:
        self.url = f"{store.url}/{name}" if name else store.url
        self._committed = False
        with plain_errors(self.url):
            self._file: Any = store.filesystem.open(
                store.path(name), "wb", block_size=2 * BLOCK_BYTES, autocommit=False
            )

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        with plain_errors(self.url):
            return int(self._file.write(data))

    def close(self) -> None:
        """All of it is at the store, and still invisible."""
        if not self.closed:
            super().close()
            with plain_errors(self.url):
                self._file.close()

    def commit(self) -> None:
        """Let it appear, whole."""
        self.close()
        with plain_errors(self.url):
            self._file.commit()
        self._committed = True

    def discard(self) -> None:
        """Take it back, as far as the store can be reached; nothing happens after ``commit``."""
        if not self._committed:
            with contextlib.suppress(OSError), plain_errors(self.url):
                self._file.discard()
            self._file.closed = True  # else its end would flush what is no more
            super().close()


class ObjectTarget:
    """An object, or some below a URL: sent while they are made, and let appear together at the end."""

    def __init__(self, url: str) -> None:
        self.store = ObjectStore(checked_url(url))
        self.objects: list[NewObject] = []

    def taken(self) -> bool:
        """Whether there is an object of this name, or one below it."""
        return self.store.info("") is not None or bool(self.store.find(""))

    def open(self, name: str) -> IO[bytes]:
        """A new object."""
        made = NewObject(self.store, name)
        self.objects.append(made)
        return made  # type: ignore[return-value] # what is missing of IO nobody here uses

    def commit(self) -> None:
        """Let one after the other appear; where one fails, those before it go again."""
        for each in self.objects:
            each.close()
        try:
            for each in self.objects:
                each.commit()
        except BaseException:
            names = [each.url.removeprefix(self.store.url).lstrip("/") for each in self.objects]
            with contextlib.suppress(OSError):
                self.store.remove(names)
            raise

    def discard(self) -> None:
        """Abort what was begun."""
        for each in self.objects:
            each.discard()


def export(workspace: Workspace, reference: str, to: str, style: str, columns: Sequence[str] = ()) -> int:
    """Write a dataset's documents, without what is taken down.

    Args:
        to: a new file (``.gz`` and ``.zst`` compress), or a new or empty folder for ``datasets``; or such a URL
            of an object store.
        style: ``jsonl`` or ``datasets``.
        columns: only these; none: all.

    Returns:
        The number of documents written.

    Raises:
        UserError: the target is there already, or a column is unknown (the valid ones are listed).
        OSError: disk full, no answer; nothing is left behind then.
    """
    path = local_path(to) if is_url(to) else to
    target: Target = ObjectTarget(to) if path is None else LocalTarget(Path(path))
    if target.taken():
        raise UserError(f"--to {to}: is there already; name a new {'file' if style == 'jsonl' else 'folder'}")
    batches = _chosen(documents(workspace, reference), columns)
    target.discard()  # of an export that was killed
    try:
        if style == "jsonl":
            count = _write_jsonl(batches, target, Path(to).suffix)
        else:
            count = _write_folder(batches, target, reference)
        target.commit()
    except BaseException:
        target.discard()
        raise
    return count


def _chosen(batches: Iterator[Any], columns: Sequence[str]) -> Iterator[Any]:
    for batch in batches:
        for name in columns:
            if name not in batch.schema.names:
                raise unknown_name("column", name, batch.schema.names)
        yield batch.select(list(columns)) if columns else batch


def _write_jsonl(batches: Iterator[Any], target: Target, suffix: str) -> int:
    from fsspec.compression import compr

    compress = compr[{".gz": "gzip", ".zst": "zstd"}.get(suffix)]
    count = 0
    with contextlib.ExitStack() as opened:
        file = opened.enter_context(target.open(""))
        packed = compress(file, mode="wb") if compress else file
        text = opened.enter_context(io.TextIOWrapper(packed, encoding="utf-8", newline="\n"))
        for batch in batches:
            for row in batch.to_pylist(maps_as_pydicts="strict"):
                text.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
                count += 1
    return count


def _write_folder(batches: Iterator[Any], target: Target, reference: str) -> int:
    import pyarrow.parquet as pq

    count = files = 0
    with contextlib.ExitStack() as opened:
        writer: Any = None
        for batch in batches:
            if writer is None or count >= files * _ROWS_A_FILE:
                opened.close()
                file = opened.enter_context(target.open(f"data/train-{files:05d}.parquet"))
                writer = opened.enter_context(pq.ParquetWriter(file, batch.schema, compression="zstd"))
                files += 1
            writer.write_batch(batch)
            count += batch.num_rows
    card = {"configs": [{"config_name": "default", "data_files": "data/*.parquet"}]}
    text = (
        f"---\n{json.dumps(card)}\n---\n\n# {reference}\n\n{count:,} documents, exported from a curation "
        'workspace.\n\n```python\nfrom datasets import load_dataset\n\nload_dataset("path/of/this/folder")\n```\n'
    )
    with target.open("README.md") as file:  # the last one: with it the folder is complete
        file.write(text.encode())
    return count
