"""nanotron 0.4 on machines without CUDA: it names the device 'cuda' in many places, mostly while it builds."""

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


def _on_cpu(value: Any) -> Any:
    """The CPU in place of a CUDA device; anything else as it is."""
    if isinstance(value, str | torch.device) and torch.device(value).type == "cuda":
        return torch.device("cpu")
    return value


class CudaMeansCpu(TorchFunctionMode):
    """Inside, torch functions that are told to work on 'cuda' work on the CPU.

    Every torch function becomes slower inside, so it is entered where nanotron builds and saves, and not for training
    steps, in which no device is named.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """The function with its devices replaced."""
        kwargs = kwargs or {}
        if "device" in kwargs:
            kwargs = {**kwargs, "device": _on_cpu(kwargs["device"])}
        if func is torch.Tensor.to:
            args = tuple(_on_cpu(each) if isinstance(each, str | torch.device) else each for each in args)
        return func(*args, **kwargs)


def building() -> contextlib.AbstractContextManager[Any]:
    """What nanotron's constructors and savers run in: ``CudaMeansCpu`` without CUDA, nothing with it."""
    return contextlib.nullcontext() if torch.cuda.is_available() else CudaMeansCpu()


def no_device_to_set() -> None:
    """``ParallelContext`` selects the CUDA device of its local rank."""
    from nanotron.parallel import ParallelContext

    def set_device(self: Any) -> None:
        pass

    ParallelContext.set_device = set_device


def no_memory_to_log() -> None:
    """The first training steps log the memory of the CUDA device, and reset its peak."""
    import nanotron.trainer

    log_memory: Callable[..., None] = lambda logger: None  # noqa: E731
    nanotron.trainer.log_memory = log_memory


def apply() -> None:
    """Let nanotron do without CUDA."""
    no_device_to_set()
    no_memory_to_log()
