"""The pages: every module of this package is one, found by itself.

A page has ``TITLE`` (in the navigation), ``ORDER`` (its place there; the lowest is the default page) and
``show(workspace)``, which draws it. Its address is the module's name.
"""

import importlib
import pkgutil
from functools import cache
from typing import Any


@cache
def registry() -> dict[str, Any]:
    """Name -> module of every page, in the order of the navigation."""
    names = [found.name for found in pkgutil.iter_modules(__path__)]
    modules = {name: importlib.import_module(f"{__name__}.{name}") for name in names}
    return dict(sorted(modules.items(), key=lambda item: (item[1].ORDER, item[0])))
