"""Parquet, one document a row, in memory that does not depend on the size of row groups."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, BinaryIO

from curation.charset import Undecodable, decode
from curation.sources.fields import FACT_FIELDS, NESTED_FIELDS, take_facts, take_text, text_fields
from curation.sources.pages import Chunk, chunks, pages
from curation.sources.record import RawRecord

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

MAX_PAGE_BYTES = 256 << 20
"""Larger pages are not read: it takes three times their size to do so. Writers close a page at 1 MB or at
the end of a long value."""
_BUFFER_BYTES = 1 << 20
_MAX_FACT_BYTES = 64 << 10
"""Longer values are no URL, title or date, and are taken for missing."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_parquet(
    file: BinaryIO,
    *,
    start: int = 0,
    end: int | None = None,
    max_record_bytes: int,
    text_field: str = "",
    trust_footer: bool = False,
) -> Iterator[RawRecord]:
    """A record for each row; its offset is the number of the row.

    Where a row group is broken, the rows from there to its end are one quarantined record. Rows are read
    one at a time (12 µs each), so that memory is bounded by the largest page, and damage costs no row
    before it.

    Args:
        file: seekable.
        start, end: give the records whose offset is in [start, end).
        max_record_bytes: larger texts are quarantined.
        text_field: the column that holds the text; ``""`` takes the first of the usual ones that does.
        trust_footer: look at the sizes of pages only where the footer gives a reason; for files in which
            many small reads are slow.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        parquet = open_parquet(file)
        columns = _Columns(parquet, text_field)
        groups = [rows for rows, _ in _row_groups(parquet)]
    except _broken() as error:
        _reraise_io_error(error)
        if start == 0:
            yield _damage(0, "damaged", f"no readable Parquet footer ({_brief(error)})")
        return
    reader = _GroupReader(file, parquet, chunks(file), columns, max_record_bytes, trust_footer)
    first = 0
    for group, rows in enumerate(groups):
        if first + rows > start and (end is None or first < end):
            stop = first + rows if end is None else min(end, first + rows)
            for record in reader.read(group, first, rows, stop):
                if record.offset >= start:
                    yield record
        first += rows


def open_parquet(file: BinaryIO) -> "pq.ParquetFile":
    """The file, for streaming. Raises what ``broken`` lists where the footer is no good."""
    import pyarrow.parquet as pq

    return pq.ParquetFile(file, pre_buffer=False, buffer_size=_BUFFER_BYTES, page_checksum_verification=True)


def row_groups(file: BinaryIO) -> list[tuple[int, int]]:
    """(rows, decompressed bytes) of each row group; empty where the footer cannot be read."""
    try:
        return _row_groups(open_parquet(file))
    except _broken() as error:
        _reraise_io_error(error)
        return []


def _row_groups(parquet: "pq.ParquetFile") -> list[tuple[int, int]]:
    metadata = parquet.metadata
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    return [(max(0, group.num_rows), max(0, group.total_byte_size)) for group in groups]


# ---- row groups ----


@dataclass(frozen=True, slots=True)
class _GroupReader:
    file: BinaryIO
    parquet: "pq.ParquetFile"
    chunks: list[list[Chunk | None]]
    columns: "_Columns"
    max_bytes: int
    trust_footer: bool

    def read(self, group: int, first: int, rows: int, stop: int) -> Iterator[RawRecord]:
        """The records of a row group before row ``stop``: always from its first, so that each range of rows
        meets damage at the same place."""
        row = first
        try:
            limit = self._readable_rows(group, rows)
            batches = self.parquet.iter_batches(
                batch_size=1, row_groups=[group], columns=self.columns.selected, use_threads=False
            )
            while row < min(first + limit, stop) and (batch := next(batches, None)) is not None:
                record = self.columns.record(row, batch, self.max_bytes)
                del batch  # it may be huge, and the next one is made before this name is bound anew
                yield record
                row += 1
        except _broken() as error:
            _reraise_io_error(error)
            yield from self._texts(group, first, row, rows, min(first + rows, stop), _brief(error))
            return
        if row == first + limit < stop:
            page = f"in or behind a page of more than {MAX_PAGE_BYTES:,} bytes"
            yield _damage(row, "oversized", f"{rows - limit} rows of row group {group}, {page}")
        elif row < stop:
            yield _damage(row, "damaged", f"row group {group} lacks {first + rows - row} of its {rows} rows")

    def _texts(self, group: int, first: int, row: int, rows: int, stop: int, why: str) -> Iterator[RawRecord]:
        """What is left of a row group from ``row``, where a column broke: the texts, if theirs did not."""
        try:
            if self.columns.texts and self.columns.texts != self.columns.selected:
                batches = self.parquet.iter_batches(
                    batch_size=1, row_groups=[group], columns=self.columns.texts, use_threads=False
                )
                for number, batch in enumerate(batches, first):
                    if number >= stop:
                        return
                    if number >= row:
                        record = self.columns.record(number, batch, self.max_bytes)
                        record.damage = True  # its URL and what else was known of it are lost
                        yield record
                        row = number + 1
        except _broken() as error:
            _reraise_io_error(error)
            why = _brief(error)
        if row < stop:
            yield _damage(row, "damaged", f"{first + rows - row} rows of row group {group} ({why})")

    def _readable_rows(self, group: int, rows: int) -> int:
        """How many rows come before a page that is too large to be read."""
        readable = rows
        known = self.chunks[group] if group < len(self.chunks) else []
        for number in self.columns.leaves:
            chunk = known[number] if number < len(known) else None
            if chunk is None or (self.trust_footer and chunk.bytes <= MAX_PAGE_BYTES):
                continue
            row = 0
            for page in pages(self.file, chunk):
                if page.bytes > MAX_PAGE_BYTES:
                    repeated = self.parquet.schema.column(number).max_repetition_level > 0
                    readable = min(readable, 0 if repeated else row)
                    break
                row += page.values
        return readable


def _damage(row: int, reason: str, detail: str) -> RawRecord:
    return RawRecord(row, quarantined=reason, detail=detail, damage=True)


def _broken() -> tuple[type[Exception], ...]:
    """What Arrow raises for broken files. Its own I/O errors carry no errno."""
    import pyarrow as pa

    return (pa.ArrowException, OSError, ValueError, OverflowError, TypeError, IndexError)


def _reraise_io_error(error: Exception) -> None:
    if isinstance(error, OSError) and error.errno is not None:
        raise error


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


# ---- columns and rows ----


class _Columns:
    """The columns of a file that are read."""

    def __init__(self, parquet: "pq.ParquetFile", text_field: str) -> None:
        names = parquet.schema_arrow.names
        self.text_field = text_field
        self.texts = [name for name in text_fields(text_field) if name in names]
        wanted = [*self.texts, *(name for name in FACT_FIELDS if name in names)]
        paths = [parquet.schema.column(number).path for number in range(len(parquet.schema))]
        for name in NESTED_FIELDS:
            wanted += [f"{name}.{fact}" for fact in FACT_FIELDS if f"{name}.{fact}" in paths]
        if not wanted and paths:
            wanted = [paths[0]]  # to count rows
        self.selected = list(dict.fromkeys(wanted))
        heads = tuple(f"{name}." for name in self.selected)
        self.leaves = [n for n, path in enumerate(paths) if path in self.selected or path.startswith(heads)]

    def record(self, row: int, batch: "pa.RecordBatch", max_bytes: int) -> RawRecord:
        """The only row of a batch as a record."""
        record = RawRecord(row)
        cells: dict[str, pa.Array] = {}
        for name, cell in zip(batch.schema.names, batch.columns, strict=True):
            cells.setdefault(name, _flat(cell))
        small = batch.nbytes <= min(_MAX_FACT_BYTES, max_bytes)  # the usual case: nothing more to measure
        self._take_text(record, cells, small, max_bytes)
        if not record.quarantined:
            facts = {
                name: _fact(cell[0])
                for name, cell in cells.items()
                if name not in self.texts and (small or cell.nbytes <= _MAX_FACT_BYTES)
            }
            take_facts(record, facts)
        return record

    def _take_text(self, record: RawRecord, cells: "dict[str, pa.Array]", small: bool, max_bytes: int) -> None:
        fields: dict[str, str] = {}
        for name in self.texts:
            size = -1 if small else _size(cells[name])
            if size > max_bytes:
                record.size, record.quarantined = size, "oversized"
                record.detail = f"a text of {size:,} bytes; read.max_record_bytes is {max_bytes:,}"
                return
            data = _bytes(cells[name][0])
            if data is None:
                continue
            record.size = len(data)
            try:
                fields[name] = data.decode()
            except UnicodeDecodeError:
                try:
                    fields[name], record.charset = decode(data, html=True)
                except Undecodable as error:
                    record.quarantined, record.detail = "undecodable", str(error)
                    return
            if data:
                break
        take_text(record, fields, self.text_field)


def _flat(cell: "pa.Array") -> "pa.Array":
    """An array of one value without what is around it: a dictionary, an extension type."""
    import pyarrow as pa

    if isinstance(cell, pa.ExtensionArray):
        cell = cell.storage
    if isinstance(cell, pa.DictionaryArray):
        index = cell.indices[0].as_py()
        return pa.nulls(1) if index is None else cell.dictionary.slice(index, 1)
    return cell


def _size(cell: "pa.Array") -> int:
    """The size of the string or binary value in an array of one. (To make a scalar of it is a copy.)"""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        return pc.binary_length(cell)[0].as_py() or 0
    except pa.ArrowNotImplementedError:  # of another type
        return 0


def _bytes(scalar: "pa.Scalar") -> bytes | None:
    """A string or binary value; None for null and other types."""
    import pyarrow as pa

    if isinstance(scalar, pa.BinaryScalar) and scalar.is_valid:
        data: bytes = scalar.as_buffer().to_pybytes()
        return data
    return None


def _fact(scalar: "pa.Scalar") -> Any:
    """A value of a column of facts as a Python object; None where it has no sensible one."""
    import pyarrow as pa

    if (data := _bytes(scalar)) is not None:
        return data.decode("utf-8", "replace")
    if isinstance(scalar, pa.DictionaryScalar | pa.ExtensionScalar):
        return _fact(scalar.value)
    if not scalar.is_valid:
        return None
    if isinstance(scalar, pa.StructScalar):
        return {name: _fact(scalar[number]) for number, name in enumerate(scalar.type.names)}
    try:
        if isinstance(scalar, pa.TimestampScalar):
            per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[scalar.type.unit]
            seconds, rest = divmod(scalar.value, per_second)
            return _EPOCH + timedelta(seconds=seconds, microseconds=rest * 10**6 // per_second)
        return scalar.as_py()
    except (ValueError, OverflowError):
        return None
