"""Arrays in a file, read in ranges: safetensors files, without mapping them into memory.

Mapped pages count as a worker's memory; with plain reads it stays flat however large the files are.
"""

import json
import math
import os
import weakref
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from curation.workspace import write_durably

Array = np.ndarray[Any, Any]

_TYPES = {"U64": "<u8", "I64": "<i8", "U32": "<u4", "F64": "<f8", "U8": "u1", "BOOL": "?"}


def save_columns(path: Path, columns: Mapping[str, Array], meta: Mapping[str, Any] | None = None) -> None:
    """Write arrays as one safetensors file, aside, synced and renamed. Raises OSError when the disk is full."""
    from safetensors.numpy import save

    path.parent.mkdir(parents=True, exist_ok=True)
    contiguous = {name: np.ascontiguousarray(array) for name, array in columns.items()}
    write_durably(path, save(contiguous, metadata={"meta": json.dumps(meta or {})}))


class Columns:
    """The arrays of one file; ranges of rows are read when asked for.

    Raises:
        OSError: there is no such file, or it is not what ``save_columns`` wrote.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = str(path)
        self._file = os.open(self.path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)
        whole = os.fstat(self._file).st_size
        size = int.from_bytes(os.pread(self._file, 8, 0), "little")
        try:
            header = json.loads(os.pread(self._file, min(size, whole), 8))
            self.meta: dict[str, Any] = json.loads(header.pop("__metadata__")["meta"])
            self._columns: dict[str, tuple[np.dtype[Any], tuple[int, ...], int]] = {}
            end = 8 + size
            for name, each in header.items():
                dtype, shape = np.dtype(_TYPES[each["dtype"]]), tuple(each["shape"])
                low, high = each["data_offsets"]
                if math.prod(shape) * dtype.itemsize != high - low:
                    raise ValueError(f"{name} does not fit its shape")
                self._columns[name] = (dtype, shape, 8 + size + low)
                end = max(end, 8 + size + high)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise OSError(f"{self.path} is damaged: its header cannot be read") from error
        if end != whole:
            raise OSError(f"{self.path} is damaged: {whole} bytes, {end} expected")

    def rows(self, name: str) -> int:
        """Length of the first axis of an array."""
        return int(self._columns[name][1][0])

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape of each array."""
        return {name: shape for name, (_, shape, _) in self._columns.items()}

    def read(self, name: str, low: int = 0, high: int | None = None) -> Array:
        """Rows [low, high) of an array."""
        dtype, shape, start = self._columns[name]
        high = shape[0] if high is None else high
        width = int(np.prod(shape[1:], dtype=np.int64))
        data = self._bytes(start + low * width * dtype.itemsize, (high - low) * width * dtype.itemsize)
        return np.frombuffer(data, dtype=dtype).reshape(high - low, *shape[1:])

    def flat(self, name: str, low: int, high: int) -> Array:
        """Elements [low, high) of an array as it lies in the file."""
        dtype, _, start = self._columns[name]
        data = self._bytes(start + low * dtype.itemsize, (high - low) * dtype.itemsize)
        return np.frombuffer(data, dtype=dtype)

    def _bytes(self, start: int, wanted: int) -> bytearray:
        data = bytearray(wanted)
        done = 0
        while done < wanted:  # one call reads 2 GiB at most
            got = os.preadv(self._file, [memoryview(data)[done:]], start + done)
            if got == 0:
                raise OSError(f"{self.path} is cut off: it ends {wanted - done} bytes early")
            done += got
        return data


@lru_cache(maxsize=256)
def open_columns(path: str) -> Columns:
    """``Columns`` of a file that will not change, kept open among the last 256."""
    return Columns(path)
