"""Probes of models, one file each; a file that is added here is found by its class."""

import importlib
import inspect
import pkgutil
from functools import cache

from audit.probes.base import Probe
from curation.errors import unknown_name

_NO_PROBES = ("base", "reading")


@cache
def probes() -> dict[str, Probe]:
    """Name -> probe, sorted by name."""
    found: dict[str, Probe] = {}
    for module in pkgutil.iter_modules(__path__):
        if module.name in _NO_PROBES or module.name.startswith("_"):
            continue
        inside = importlib.import_module(f"{__name__}.{module.name}")
        for value in vars(inside).values():
            own = isinstance(value, type) and issubclass(value, Probe) and value.__module__ == inside.__name__
            if own and not inspect.isabstract(value):  # an abstract one is what several probes are made of
                found[value.name] = value()
    return dict(sorted(found.items()))


def find_probe(name: str) -> Probe:
    """A probe by its name; ``lm_eval:TASK`` is a task of lm-evaluation-harness.

    Raises:
        UserError: there is none; the valid names are listed.
    """
    from audit.harness import PREFIX, harness_probe

    if name.startswith(PREFIX):
        return harness_probe(name)
    if name not in probes():
        raise unknown_name("probe", name, [*probes(), f"{PREFIX}TASK"])
    return probes()[name]
