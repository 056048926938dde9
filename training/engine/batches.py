"""Micro-batches as nanotron's pipeline takes them."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from training.engine.trainer import Trainer


def micro_batch(
    ids_BT: "Tensor | None",
    mask_BT: "Tensor | None",
    trainer: "Trainer",
    segments_BT: "Tensor | None" = None,
    sides_BT: "Tensor | None" = None,
) -> dict[str, Any]:
    """One micro-batch on this rank's device: each token predicts the next.

    Args:
        ids_BT: token ids [B, T = sequence_length + 1]; ranks of neither the first nor the last pipeline stage may pass
            None, the other stages' being pointed to.
        mask_BT: bool [B, T], true where a token is to be predicted (the first one never is); None: all of them. What is
            masked needs a valid id all the same. In float32: how much each counts; 0 is masked.
        segments_BT: which tokens see each other, of the same number; None: all. Every stage needs it.
        sides_BT: the answers of pairs (``training.engine.model.TokenLoss``); None: there is none.
    """
    import torch
    from nanotron.parallel.pipeline_parallel.tensor_pointer import TensorPointer

    first, last = trainer.unwrapped_model.input_pp_rank, trainer.unwrapped_model.output_pp_rank
    batch: dict[str, Any] = {
        "input_ids": TensorPointer(group_rank=first),
        "label_ids": TensorPointer(group_rank=last),
        "label_mask": TensorPointer(group_rank=last),
    }
    if segments_BT is not None:
        batch["segments"] = segments_BT[:, :-1].to(trainer.world.device, non_blocking=True)
    if not (trainer.is_first_stage or trainer.is_last_stage):
        return batch
    assert ids_BT is not None, "the first and the last stage need token ids"
    assert ids_BT.shape[1] == trainer.sequence_length + 1, (
        "one token more than a sequence: the last one is a label only"
    )
    ids_BT = ids_BT.to(trainer.world.device, torch.int64, non_blocking=True)
    if trainer.is_first_stage:
        batch["input_ids"] = ids_BT[:, :-1].contiguous()
    if trainer.is_last_stage:
        labels_BS = ids_BT[:, 1:].contiguous()
        batch["label_ids"] = labels_BS
        if mask_BT is None:
            batch["label_mask"] = torch.ones_like(labels_BS, dtype=torch.bool)
        else:
            kind = torch.float32 if mask_BT.is_floating_point() else torch.bool
            batch["label_mask"] = mask_BT[:, 1:].to(trainer.world.device, kind, non_blocking=True).contiguous()
        if sides_BT is not None:
            batch["label_sides"] = sides_BT[:, 1:].to(trainer.world.device, torch.int64, non_blocking=True)
    return batch
