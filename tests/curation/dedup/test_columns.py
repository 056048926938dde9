"""Arrays in a file: what is saved comes back, whole or in ranges, and what is damaged is said to be."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from curation.dedup.columns import Columns, open_columns, save_columns

Array = np.ndarray[Any, Any]
SHAPES = st.one_of(st.tuples(st.integers(0, 9)), st.tuples(st.integers(0, 9), st.integers(0, 4)))
TYPES = st.sampled_from(["<u8", "<i8", "<u4", "<f8", "u1", "?"])


@st.composite
def arrays(draw: st.DrawFn) -> Array:
    shape, dtype = draw(SHAPES), np.dtype(draw(TYPES))
    seed = draw(st.integers(0, 2**32 - 1))
    size = int(np.prod(shape)) * dtype.itemsize
    data = np.random.default_rng(seed).integers(0, 2 if dtype.kind == "b" else 256, size, dtype=np.uint8)
    found: Array = np.nan_to_num(data.view(dtype).reshape(shape), copy=True)
    return found


@settings(deadline=None, max_examples=60)
@given(columns=st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1, max_size=5), arrays(), max_size=4))
def test_what_is_saved_comes_back(tmp_path_factory: pytest.TempPathFactory, columns: dict[str, Array]) -> None:
    columns.pop("__metadata__", None)
    path = tmp_path_factory.mktemp("columns") / "deep" / "x.safetensors"
    save_columns(path, columns, {"n": 3, "names": ["ä", "b"]})
    opened = Columns(path)
    assert opened.meta == {"n": 3, "names": ["ä", "b"]}
    assert opened.shapes() == {name: array.shape for name, array in columns.items()}
    theirs = load_file(path)
    for name, array in columns.items():
        assert opened.rows(name) == len(array)
        for found in (opened.read(name), theirs[name]):
            assert found.dtype == array.dtype
            assert (found == array).all()
        for low in range(len(array) + 1):
            for high in range(low, len(array) + 1):
                assert (opened.read(name, low, high) == array[low:high]).all()
        flat = array.ravel()
        assert (opened.flat(name, len(flat) // 3, len(flat)) == flat[len(flat) // 3 :]).all()


def test_of_a_slice_that_does_not_lie_together(tmp_path: Path) -> None:
    table = np.arange(40, dtype=np.uint64).reshape(8, 5)
    save_columns(tmp_path / "x", {"across": table.T, "every": table[::2]})
    assert (Columns(tmp_path / "x").read("across") == table.T).all()
    assert (Columns(tmp_path / "x").read("every", 1, 3) == table[2:6:2]).all()


def test_what_is_read_may_be_changed(tmp_path: Path) -> None:
    """Readers write into what they read, and nobody else sees it."""
    save_columns(tmp_path / "x", {"a": np.zeros(3)})
    opened = Columns(tmp_path / "x")
    opened.read("a")[:] = 1
    assert opened.read("a").tolist() == [0, 0, 0]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_columns(tmp_path / "x", {"a": np.arange(30, dtype=np.uint64), "b": np.ones((4, 3))}, {"bands": 3})
    return tmp_path / "x"


def test_a_file_cut_off_anywhere_is_damaged(saved: Path) -> None:
    data = saved.read_bytes()
    for length in range(len(data)):
        saved.write_bytes(data[:length])
        with pytest.raises(OSError, match="is damaged"):
            Columns(saved)
    saved.write_bytes(data + b"\0")
    with pytest.raises(OSError, match="is damaged"):
        Columns(saved)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="none"):
        Columns(tmp_path / "none")
    with pytest.raises(OSError, match="Is a directory"):
        Columns(tmp_path)


def test_a_file_cut_off_while_it_is_open(saved: Path) -> None:
    opened = Columns(saved)
    with saved.open("r+b") as file:
        file.truncate(saved.stat().st_size - 100)
    with pytest.raises(OSError, match="cut off: it ends"):
        opened.read("b")


def test_no_flipped_byte_of_the_header_goes_unnoticed(saved: Path) -> None:
    """A header with one byte changed is refused, or it still tells each array's bytes as they are."""
    data = saved.read_bytes()
    size = int.from_bytes(data[:8], "little")
    expected = {name: Columns(saved).read(name).tobytes() for name in ("a", "b")}
    for place in range(8 + size):
        for flip in (1, 2, 4, 16, 64, 128):
            saved.write_bytes(data[:place] + bytes([data[place] ^ flip]) + data[place + 1 :])
            try:
                opened = Columns(saved)
            except OSError:
                continue
            for name in opened.shapes():
                assert opened.read(name).tobytes() in expected.values()


@pytest.mark.parametrize(
    "header",
    [
        {"__metadata__": {"meta": "{}"}, "a": {"dtype": "U64", "shape": [9], "data_offsets": []}},
        {"__metadata__": {"meta": "{}"}, "a": {"dtype": "U64", "shape": [9]}},
        {"__metadata__": {"meta": "{}"}, "a": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 16]}},
        {"__metadata__": {"meta": "{"}, "a": {"dtype": "U64", "shape": [2], "data_offsets": [0, 16]}},
        {"__metadata__": {"meta": "{}"}, "a": {"dtype": "U64", "shape": [3], "data_offsets": [0, 16]}},
        {"a": {"dtype": "U64", "shape": [2], "data_offsets": [0, 16]}},
        [],
        None,
    ],
)
def test_a_header_that_is_none_of_ours(tmp_path: Path, header: object) -> None:
    raw = json.dumps(header).encode()
    (tmp_path / "x").write_bytes(len(raw).to_bytes(8, "little") + raw + bytes(16))
    with pytest.raises(OSError, match="is damaged"):
        Columns(tmp_path / "x")


def test_an_open_file_is_kept_and_closed(saved: Path) -> None:
    open_columns.cache_clear()
    first = open_columns(str(saved))
    assert open_columns(str(saved)) is first
    open_columns.cache_clear()
