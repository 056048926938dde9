"""nanotron 0.4 on gloo, PyTorch's communication for CPUs, which can do less than NCCL."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class _Done:
    """The handle of a communication that was waited for already."""

    def wait(self) -> None:
        """Return at once."""


def reduce_many_in_order() -> None:
    """``all_reduce_coalesced`` as one reduction, waited for.

    nanotron reduces float32 gradients bucket by bucket in the background and waits for the last bucket alone. NCCL
    finishes in order, gloo need not: earlier buckets could be read before they are reduced. (gloo also divides for an
    average on a thread of its own, which autograd refuses on tensors that require a gradient: hence detached.)
    """
    import nanotron.distributed as dist

    def all_reduce_coalesced(
        tensors: Sequence[Tensor], op: Any = dist.ReduceOp.SUM, group: Any = None, async_op: bool = False
    ) -> _Done | None:
        if group is not None and group.size() == 1:
            return _Done() if async_op else None
        plain = [tensor.detach() for tensor in tensors]
        flat = torch.cat([tensor.flatten() for tensor in plain])
        dist.all_reduce(flat, op=op, group=group)
        for tensor, part in zip(plain, flat.split([tensor.numel() for tensor in plain]), strict=True):
            tensor.copy_(part.view_as(tensor))
        return _Done() if async_op else None

    dist.all_reduce_coalesced = all_reduce_coalesced


def gather_uneven() -> None:
    """``all_gather_coalesced`` as one broadcast for each rank.

    With ZeRO, a parameter whose size is no multiple of the replicas is split unevenly; gloo gathers equal parts only.
    """
    import nanotron.distributed as dist

    def all_gather_coalesced(
        output_tensor_lists: Sequence[Sequence[Tensor]],
        input_tensor_list: Sequence[Tensor],
        group: Any = None,
        async_op: bool = False,
    ) -> None:
        assert group is not None
        assert not async_op
        for rank in range(group.size()):
            outputs = [tensors[rank] for tensors in output_tensor_lists]
            mine = rank == dist.get_rank(group)
            flat = torch.cat([tensor.flatten() for tensor in (input_tensor_list if mine else outputs)])
            dist.broadcast(flat, src=dist.get_global_rank(group, rank), group=group)
            for output, part in zip(outputs, flat.split([tensor.numel() for tensor in outputs]), strict=True):
                output.copy_(part.view_as(output))

    dist.all_gather_coalesced = all_gather_coalesced


def post_sends_and_wait_later() -> None:
    """Sends between pipeline stages are posted, and waited for at the end of the batch.

    A send of gloo blocks until its peer receives. In 1f1b two neighbours send to each other first, and would wait for
    ever. What is sent is kept until then.
    """
    import nanotron.distributed as dist
    from nanotron.parallel.pipeline_parallel.p2p import P2P, P2PTensorMetaData, view_as_contiguous
    from nanotron.parallel.pipeline_parallel.state import PipelineTrainBatchState

    posted: list[tuple[Any, Tensor]] = []
    end_of_batch = PipelineTrainBatchState.check_buffers_empty

    def isend_tensors(self: Any, tensors: Sequence[Tensor], to_rank: int, tag: int = 0) -> list[Any]:
        peer = dist.get_global_rank(self.pg, to_rank)
        for tensor in tensors:
            parts = (
                P2PTensorMetaData.to_first_metadata(tensor, self.device),
                P2PTensorMetaData.to_second_metadata(tensor, self.device),
                tensor.detach() if tensor.is_contiguous() else view_as_contiguous(tensor),
            )
            posted.extend((dist.isend(part, dst=peer, group=self.pg, tag=tag), part) for part in parts)
        return []

    def check_buffers_empty(self: Any) -> None:
        end_of_batch(self)
        for work, _ in posted:
            work.wait()
        posted.clear()

    P2P.isend_tensors = isend_tensors
    PipelineTrainBatchState.check_buffers_empty = check_buffers_empty


def apply() -> None:
    """Let nanotron communicate with gloo."""
    reduce_many_in_order()
    gather_uneven()
    post_sends_and_wait_later()
