"""The licence of a source tree, from the text of its licence files."""

import os
import re
import tempfile
from functools import lru_cache
from pathlib import PurePosixPath

from curation.sources.location import local_path

_NAMED = re.compile(r"(?:licen[cs]es?|copying|unlicen[cs]e)(?:[-._].*)?", re.IGNORECASE)
_MAX_BYTES = 128 << 10
"""Longer than any licence in use (the GPL has 35 kB); comparing takes quadratic time."""


class Licenses:
    """Licences of folders, each looked at once."""

    def __init__(self) -> None:
        self._folders: dict[str, str | None] = {}

    def of(self, uri: str, root: str) -> str | None:
        """SPDX expression from the nearest LICENSE, COPYING or UNLICENSE file at or above a local file, up to
        the folder ``root``; None where there is none, or its text is no well-known licence.

        Several licence files in one folder all hold: ``Apache-2.0 AND MIT``.
        """
        path, top = local_path(uri), local_path(root)
        if path is None or top is None:
            return None
        return self._above(os.path.dirname(path), top)

    def _above(self, folder: str, top: str) -> str | None:
        way = []
        found = None
        while folder not in self._folders:
            way.append(folder)
            found, present = _license_in(folder)
            parent = os.path.dirname(folder)
            if present or folder == top or parent == folder or not folder.startswith(top.rstrip("/") + "/"):
                break
            folder = parent
        else:
            found = self._folders[folder]
        self._folders.update(dict.fromkeys(way, found))
        return found


def _license_in(folder: str) -> tuple[str | None, bool]:
    """(expression, whether there is any licence file)."""
    try:
        names = sorted(name for name in os.listdir(folder) if _is_license(name))
    except OSError:  # a folder that may be entered and not listed shows no licence
        return None, False
    found = {license_id for name in names if (license_id := _identify(os.path.join(folder, name)))}
    return " AND ".join(sorted(found)) or None, bool(names)


def _is_license(name: str) -> bool:
    # ``LICENSE.py`` is a program; ``LICENSE.MIT`` and ``COPYING.LESSER`` are licences.
    suffix = PurePosixPath(name).suffix.lower()
    return suffix in _SUFFIXES and _NAMED.fullmatch(name) is not None


_SUFFIXES = {"", ".txt", ".md", ".rst", ".markdown", ".lesser", ".lib"} | {
    f".{family}{version}"
    for family in ("mit", "bsd", "apache", "gpl", "lgpl", "agpl", "mpl", "isc", "cc0")
    for version in ("", "2", "3", "v2", "v3", "-2.0", "-3.0")
}


def _identify(path: str) -> str | None:
    if not os.path.isfile(path):  # a pipe would never end
        return None
    try:
        with open(path, "rb") as file:
            text = file.read(_MAX_BYTES + 1)
    except OSError:
        return None
    return None if len(text) > _MAX_BYTES else _identify_text(text)


@lru_cache(maxsize=1024)
def _identify_text(text: bytes) -> str | None:
    from identify.identify import license_id

    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as copy:
        # The library reads its file as UTF-8 and takes anything else for an error.
        copy.write(text.decode("utf-8", "replace"))
        copy.flush()
        found: str | None = license_id(copy.name)
    return found
