"""The process group: torchrun's processes, or a single one without torchrun."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from curation.errors import UserError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class World:
    """This process among all."""

    rank: int
    """Its number."""
    size: int
    """How many there are."""
    local_rank: int
    """Its number on its machine."""
    device: "torch.device"
    """Where it computes: the CUDA device of its local rank, or the CPU."""


def start_processes() -> World:
    """Join the process group that torchrun's environment describes; without torchrun, be one of one.

    NCCL with CUDA, gloo without. nanotron uses a group that is there already, and can itself start NCCL only. Calling
    this again changes nothing.

    Raises:
        UserError: more processes on this machine than CUDA devices.
    """
    import torch
    from torch import distributed

    world = World(
        rank=int(os.environ.setdefault("RANK", "0")),  # nanotron reads these
        size=int(os.environ.setdefault("WORLD_SIZE", "1")),
        local_rank=int(os.environ.setdefault("LOCAL_RANK", "0")),
        device=_device(),
    )
    if not distributed.is_initialized():
        with_cuda = world.device.type == "cuda"
        alone = "MASTER_ADDR" not in os.environ
        if with_cuda:
            if world.local_rank >= torch.cuda.device_count():
                raise UserError(
                    f"process {world.local_rank} of this machine has no CUDA device, there are "
                    f"{torch.cuda.device_count()}; start so many with --nproc_per_node"
                )
            torch.cuda.set_device(world.device)
        distributed.init_process_group(
            "nccl" if with_cuda else "gloo",
            store=distributed.HashStore() if alone else None,  # type: ignore[attr-defined]  # documented
            rank=world.rank,
            world_size=world.size,
            device_id=world.device if with_cuda else None,
        )
    return world


def stop_processes() -> None:
    """Leave the process group, together with all others."""
    from torch import distributed

    if distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()


def _device() -> "torch.device":
    import torch

    return torch.device("cuda", int(os.environ["LOCAL_RANK"])) if torch.cuda.is_available() else torch.device("cpu")
