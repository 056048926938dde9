"""Defects of nanotron 0.4 that are there on every device, each put right by one function.

Called by ``training.engine.door.open_engine`` after nanotron is imported.
"""

import logging
import warnings
from collections.abc import Callable, Iterable
from typing import Any


def plain_integers_in_shapes() -> None:
    """``NanotronParameter.mark_as_sharded`` is given numpy integers, and shapes are written as text.

    numpy 2 writes ``(np.int64(192), 64)`` into the headers of weight files, which nanotron then cannot read.
    """
    from nanotron.parallel.parameters import NanotronParameter

    original: Callable[..., None] = NanotronParameter.mark_as_sharded

    def mark_as_sharded(
        self: Any, global_ranks: Iterable[int], local_global_slices_pairs: Any, unsharded_shape: Iterable[int]
    ) -> None:
        ranks, shape = tuple(map(int, global_ranks)), tuple(map(int, unsharded_shape))
        original(self, ranks, local_global_slices_pairs, shape)

    NanotronParameter.mark_as_sharded = mark_as_sharded


def configuration_as_object() -> None:
    """``DistributedTrainer`` documents that it takes a ``Config``, and opens whatever it is given as a file."""
    import nanotron.trainer
    from nanotron.config import Config

    original = nanotron.trainer.get_config_from_file

    def get_config_from_file(config_path: Any, **kwargs: Any) -> Any:
        return config_path if isinstance(config_path, Config) else original(config_path, **kwargs)

    nanotron.trainer.get_config_from_file = get_config_from_file


def no_progress_bars() -> None:
    """Weights are loaded and saved behind a progress bar of each rank."""
    import nanotron.serialize.weights

    def tqdm(iterable: Iterable[Any], **kwargs: Any) -> Iterable[Any]:
        return iterable

    nanotron.serialize.weights.tqdm = tqdm


def no_noise() -> None:
    """With ZeRO nanotron warns of its own way to clear gradients, and it calls what newer PyTorch deprecates."""
    logging.getLogger("nanotron.optim.zero").setLevel(logging.ERROR)
    deprecated = ("broadcast_buffers", "torch.distributed.reduce_scatter_tensor", "torch.distributed.all_gather_into")
    for beginning in deprecated:
        warnings.filterwarnings("ignore", f"`{beginning}", FutureWarning)


def apply() -> None:
    """Put all of them right."""
    plain_integers_in_shapes()
    configuration_as_object()
    no_progress_bars()
    no_noise()
