"""A model on disk as nanotron lays it out, whatever the topology; nanotron itself is not imported.

``model/`` has a file for each part of each parameter: ``a.b.weight`` is
``model/a/b/model_weight[_pp-rank-P-of-Q_tp-rank-T-of-U].safetensors`` with one tensor, ``data``. The header of a part
says which slices of it are which slices of the whole: ``local_global_slices_pairs``, such as
``0,8,None|None,None,None#8,16,None|None,None,None`` (start, stop, step of each dimension; pairs separated by ``;``),
and ``unsharded_shape``. Beside ``model/``, ``checkpoint.json`` is our manifest, written last.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

VERSION = "1.2"
"""Version of nanotron's layout that is written."""
_FILE = re.compile(r"model_(.+?)(?:_pp-rank-\d+-of-\d+_tp-rank-\d+-of-\d+)?\.safetensors")

_NUMBER = r"(?<!\w)\d+"
"""Of a shape or slice; with numpy 2 nanotron may have written ``np.int64(8)`` for 8."""


@dataclass(frozen=True)
class Parameter:
    """A parameter on disk."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    """As safetensors names it: ``F32``, ``BF16``."""
    parts: tuple[Path, ...]


def parameters(folder: Path) -> dict[str, Parameter]:
    """The parameters of a checkpoint by name, from the headers of their files alone.

    Raises:
        UserError: there is none, or a file is damaged.
    """
    root = folder / "model"
    found: dict[str, list[Path]] = {}
    for path in sorted(root.rglob("model_*.safetensors")):
        match = _FILE.fullmatch(path.name)
        assert match is not None, path
        found.setdefault(".".join((*path.parent.relative_to(root).parts, match[1])), []).append(path)
    if not found:
        raise UserError(f"{root}: has no weights; name the folder of a checkpoint")
    return {name: _parameter(name, tuple(parts)) for name, parts in found.items()}


def _parameter(name: str, parts: tuple[Path, ...]) -> Parameter:
    shapes, dtypes = set(), set()
    for path in parts:
        with _open(path) as file:
            here = file.get_slice("data")
            dtypes.add(here.get_dtype())
            shapes.add(_whole_shape(file.metadata() or {}) or tuple(here.get_shape()))
    if len(shapes) > 1 or len(dtypes) > 1:
        raise UserError(f"{parts[0].parent}: its parts are of different parameters; use another checkpoint")
    return Parameter(name, shapes.pop(), dtypes.pop(), parts)


def _open(path: Path) -> Any:
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: cannot be read ({error}); use another checkpoint") from error


def _whole_shape(metadata: dict[str, str]) -> tuple[int, ...] | None:
    if "unsharded_shape" not in metadata:
        return None
    return tuple(map(int, re.findall(_NUMBER, metadata["unsharded_shape"])))


def _slices(text: str) -> tuple[slice, ...]:
    def number(each: str) -> int | None:
        found = re.search(_NUMBER, each)
        return int(found[0]) if found else None

    return tuple(slice(*map(number, part.split(","))) for part in text.split("|"))


def read(parameter: Parameter) -> "Tensor":
    """A parameter, whole.

    Raises:
        UserError: a part is missing, or damaged.
    """
    import torch

    whole: Tensor | None = None
    filled = 0
    for path in parameter.parts:
        with _open(path) as file:
            data, metadata = file.get_tensor("data"), file.metadata() or {}
        if "local_global_slices_pairs" not in metadata or data.shape == parameter.shape:
            return data  # type: ignore[no-any-return]
        if whole is None:
            whole = torch.empty(parameter.shape, dtype=data.dtype)
        for pair in metadata["local_global_slices_pairs"].split(";"):
            local, there = (_slices(each) for each in pair.split("#"))
            whole[there] = data[local]
            filled += data[local].numel()
    assert whole is not None
    if filled != whole.numel():
        raise UserError(f"{parameter.parts[0].parent}: parts of {parameter.name} are missing; use another checkpoint")
    return whole


def write(folder: Path, name: str, data: "Tensor") -> None:
    """Write a parameter whole, as of a topology of one process."""
    from safetensors.torch import save_file

    *path, leaf = name.split(".")
    home = folder.joinpath("model", *path)
    home.mkdir(parents=True, exist_ok=True)
    if data.dim() == 1:  # norms, which no topology divides
        save_file({"data": data.contiguous()}, home / f"model_{leaf}.safetensors")
        return
    everything = "|".join(["None,None,None"] * data.dim())
    metadata = {
        "version": VERSION,
        "local_global_slices_pairs": f"{everything}#{everything}",
        "unsharded_shape": str(tuple(data.shape)),
    }
    target = home / f"model_{leaf}_pp-rank-0-of-1_tp-rank-0-of-1.safetensors"
    save_file({"data": data.contiguous()}, target, metadata=metadata)
