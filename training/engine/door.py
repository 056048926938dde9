"""The door to nanotron: ``open_engine`` makes it importable on this machine, ``build_trainer`` makes a trainer.

nanotron 0.4 is unpatched on disk; what stands between it and a machine without flash-attn, without CUDA, with numpy 2
is put right in memory, one small function for each reason: ``imports``, ``flash_attention``, ``upstream``, ``cpu`` and
``gloo`` in this package. On CUDA, with NCCL, ``cpu`` and ``gloo`` are left out.
"""

import functools
import importlib.metadata
from pathlib import Path
from typing import TYPE_CHECKING

from curation.errors import UserError
from training.config import PretrainConfig

if TYPE_CHECKING:
    from training.engine.trainer import Trainer

NANOTRON = "0.4"
"""The version whose insides the engine knows."""


@functools.cache
def open_engine() -> None:
    """Make nanotron importable and usable here; to be called before any of its modules is imported.

    Raises:
        UserError: nanotron is not installed, or in another version.
    """
    _check_version()
    import torch

    from training.engine import cpu, gloo, imports, upstream

    imports.import_nanotron()
    upstream.apply()
    if not torch.cuda.is_available():
        cpu.apply()
        gloo.apply()


def _check_version() -> None:
    remedy = f"install it: python -m pip install nanotron=={NANOTRON}"
    try:
        found = importlib.metadata.version("nanotron")
    except importlib.metadata.PackageNotFoundError:
        raise UserError(f"nanotron is not installed, and training needs it; {remedy}") from None
    if found != NANOTRON:
        raise UserError(f"nanotron {found} is installed, and the engine knows the insides of {NANOTRON} only; {remedy}")


def build_trainer(
    config: PretrainConfig,
    vocab_size: int,
    *,
    eos_id: int | None = None,
    load: Path | None = None,
    weights_only: bool = False,
    pair_weight: float = 0.0,
) -> "Trainer":
    """A trainer in this process, which is one of ``data * tensor * pipeline``; all of them call this together.

    Args:
        config: model, parallelism, batch, optimizer, precision and seed count here.
        vocab_size: tokens of the vocabulary, rows of the embedding.
        eos_id: token that ends a document, written into checkpoints.
        load: a checkpoint folder, of any topology, to go on from; without it weights are drawn from the seed.
        weights_only: take from ``load`` the weights alone, with a fresh optimizer at step 0.
        pair_weight: what the mean squared difference of pairs is multiplied with before it is added to the loss.

    Raises:
        UserError: a configuration that cannot be trained with this many processes, a checkpoint that is not whole or
            of another model.
    """
    open_engine()
    from training.engine.trainer import Trainer

    return Trainer(config, vocab_size, eos_id=eos_id, load=load, weights_only=weights_only, pair_weight=pair_weight)
