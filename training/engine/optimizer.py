"""Loading the optimizer of a checkpoint into any topology and ZeRO stage, exactly.

nanotron 0.4 loads its own optimizer files into the topology that wrote them alone; into another it crashes or loses
state. Here each state of each parameter is put together to the whole tensor, and this rank takes its part of it.
"""

import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nanotron.distributed as dist
import torch
from nanotron.optim.zero import ZeroDistributedOptimizer
from nanotron.serialize.metadata import TensorMetadata
from safetensors import safe_open
from torch import Tensor

from curation.errors import UserError

if TYPE_CHECKING:
    from training.engine.trainer import Trainer

_FILE = re.compile(r"optimizer_pp-\d+-of-\d+(?:_dp-(?P<dp>\d+)-of-\d+)?_tp-(?P<tp>\d+)-of-\d+_exp-\d+-of-\d+\.pt")
_MASTER = "master"
"""Our name for the float32 weights of bfloat16 training, which nanotron keeps beside the optimizer's states."""

States = dict[str, dict[int, dict[int, dict[str, Tensor]]]]
"""parameter -> tensor rank -> replica -> state -> tensor, mapped from disk and read when used."""


@torch.no_grad()
def load_optimizer(trainer: "Trainer", folder: Path) -> None:
    """Put the states of a checkpoint into a trainer's optimizer, and its float32 weights where it has those.

    Raises:
        UserError: a file is damaged, or lacks a parameter.
    """
    try:
        _load(trainer, folder)
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise UserError(f"{folder}: its optimizer cannot be read ({error!r}); use another checkpoint") from error


def _load(trainer: "Trainer", folder: Path) -> None:
    saved = _saved_states(folder / "optimizer")
    parameters = dict(trainer.unwrapped_model.get_named_params_with_correct_tied())
    optimizer = trainer.optimizer
    replica = dist.get_rank(trainer.parallel_context.dp_pg)
    zero = isinstance(optimizer, ZeroDistributedOptimizer)
    base = optimizer.get_base_optimizer()
    for slot in (parameter for group in base.param_groups for parameter in group["params"]):
        name = optimizer.id_to_name[id(slot)]
        parameter = parameters[name]
        part = slice(*map(int, optimizer.param_name_to_dp_rank_offsets[name][replica])) if zero else slice(None)
        first = next(iter(next(iter(saved[name].values())).values()))
        for state in first:
            if state == "step":  # how often it was updated: a number
                base.state[slot][state] = first[state].clone().to(slot.device)
                continue
            mine = _local(parameter, _whole(folder, name, saved[name], state, parameter)).flatten()[part]
            if state == _MASTER:
                target = trainer.grad_accumulator.parameters[name]["fp32"]
                target.copy_(mine.view_as(target))
            else:
                base.state[slot][state] = mine.view(slot.shape).to(slot.device, slot.dtype, copy=True)


def _saved_states(folder: Path) -> States:
    states: States = defaultdict(lambda: defaultdict(lambda: defaultdict(dict)))
    paths = sorted(folder.glob("optimizer_pp-*.pt"))
    if not paths:
        raise FileNotFoundError(f"no optimizer files in {folder}")
    for path in paths:
        match = _FILE.fullmatch(path.name)
        if match is None:
            raise ValueError(f"{path.name} is not named as nanotron names these files")
        dp, tp = int(match["dp"] or 0), int(match["tp"])
        content = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
        for index, state in content["state"].items():
            states[content["names"][index]][tp][dp].update(state)
        for name, master in content.get("gradient_accumulator", {}).items():
            states[name][tp][dp][_MASTER] = master
    return states


def _whole(
    folder: Path, name: str, saved: dict[int, dict[int, dict[str, Tensor]]], state: str, parameter: Any
) -> Tensor:
    """One state of one parameter as its undivided tensor, in float32 on the CPU.

    The replicas of ZeRO hold consecutive slices of the flat shard of their tensor rank; the headers of the weight files
    say where that shard belongs.
    """
    flat = {
        tp: torch.cat([replicas[dp][state].flatten().float() for dp in sorted(replicas)])
        for tp, replicas in saved.items()
    }
    if not parameter.is_sharded:
        return flat[min(flat)].view(parameter.shape)
    *path, leaf = name.split(".")
    whole = torch.empty(parameter.get_sharded_info().unsharded_shape, dtype=torch.float32)
    for file in folder.joinpath("model", *path).glob(f"model_{leaf}_pp-rank-*_tp-rank-*.safetensors"):
        found = re.search(r"tp-rank-(\d+)", file.name)
        assert found is not None
        with safe_open(file, "pt") as opened:
            info, shape = TensorMetadata.from_str_dict(opened.metadata()), opened.get_slice("data").get_shape()
        for pair in info.local_global_slices_pairs:
            whole[pair.global_slices] = flat[int(found[1])].view(shape)[pair.local_slices]
    return whole


def _local(parameter: Any, whole: Tensor) -> Tensor:
    """This rank's part of a whole tensor."""
    if not parameter.is_sharded:
        return whole
    part = torch.empty(parameter.shape, dtype=whole.dtype)
    for pair in parameter.get_sharded_info().local_global_slices_pairs:
        part[pair.local_slices] = whole[pair.global_slices]
    return part
