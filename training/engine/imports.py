"""Importing nanotron 0.4 without flash-attn, and without what it would load by the way."""

import contextlib
import importlib
import importlib.util
import sys
import types
import warnings
from collections.abc import Iterator, Mapping

from training.engine import flash_attention

UNWANTED = ("datasets", "wandb", "transformer_engine")
"""What nanotron imports where it is installed: ``datasets`` for a data loader that we do not use, ``wandb`` to report
every run to a server, ``transformer_engine`` for FP8. It goes on without each."""


@contextlib.contextmanager
def modules_replaced(modules: Mapping[str, types.ModuleType | None]) -> Iterator[None]:
    """For the duration of some imports only, ``sys.modules`` holds these; None makes an import fail."""
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)  # type: ignore[arg-type]  # None is what Python documents for "cannot be imported"
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module


def import_logging() -> None:
    """Import ``nanotron.logging`` first, alone.

    It and ``nanotron.config`` import each other (https://github.com/huggingface/nanotron/issues/191), for the sake of
    an annotation: a stand-in of the latter breaks the cycle and is gone afterwards.
    """
    stubs = {name: types.ModuleType(name) for name in ("nanotron.config", "nanotron.config.config")}
    vars(stubs["nanotron.config.config"])["LoggingArgs"] = object
    with modules_replaced(stubs):
        importlib.import_module("nanotron.logging")


def import_trainer() -> None:
    """Import ``nanotron.trainer`` and all below it.

    flash-attn is used where it is installed. Where it is not, its stand-in is visible only during this import: other
    libraries (transformers) look whether the package exists, and must not find a false one.
    """
    stand_in = {} if importlib.util.find_spec("flash_attn") else flash_attention.modules()
    absent = dict.fromkeys(UNWANTED)
    with modules_replaced({**stand_in, **absent}), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "please install" what is named above
        importlib.import_module("nanotron.trainer")


def import_nanotron() -> None:
    """Import nanotron, as far as the engine needs it."""
    import_logging()
    import_trainer()
