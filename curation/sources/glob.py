"""Globs over local files, safe against loops of symbolic links (those of the standard library are not)."""

import fnmatch
import os
import re
from collections.abc import Iterator

from curation.errors import UserError
from curation.sources.location import display

_MAGIC = re.compile(r"[*?\[]")


def has_magic(name: str) -> bool:
    """Whether a name has a character that is special in globs."""
    return _MAGIC.search(name) is not None


def split_pattern(pattern: str) -> tuple[str, list[str]]:
    """The folder in which a glob begins to be one (``"."`` for the current), and the parts from there on."""
    parts = pattern.split("/")
    at = next((n for n, part in enumerate(parts) if has_magic(part)), len(parts))
    folder = "/".join(parts[:at])
    return folder or ("/" if at and pattern.startswith("/") else "."), parts[at:]


def local_glob(pattern: str) -> list[str]:
    """The paths that match, sorted. ``**`` stands for any number of folders. As in a shell, wildcards do not
    match names that begin with a dot unless the pattern has it.

    Raises:
        UserError: a folder on the way cannot be listed.
    """
    folder, parts = split_pattern(pattern)
    if not os.path.isdir(folder):
        return []
    prefix = "" if folder == "." and not pattern.startswith("./") else folder.rstrip("/") + "/"
    return sorted(set(_expand(folder, prefix, parts, frozenset())))


def _expand(folder: str, prefix: str, parts: list[str], above: frozenset[tuple[int, int]]) -> Iterator[str]:
    """Matches of ``parts`` in ``folder``, each after ``prefix``.

    Args:
        above: the folders (device, inode) between the first ``**`` and here, which are not entered again.
    """
    part, rest = parts[0], parts[1:]
    if part == "**":
        about = os.stat(folder)
        if (about.st_dev, about.st_ino) in above:
            return
        above |= {(about.st_dev, about.st_ino)}
        if rest:
            yield from _expand(folder, prefix, rest, frozenset())
        for name in _names(folder):
            path = prefix + name
            if name.startswith("."):
                continue
            if not rest:
                yield path
            if os.path.isdir(path):
                yield from _expand(path, path + "/", parts, above)
        return
    if part == "":  # a slash at the end, or two
        if not rest:
            yield prefix.rstrip("/") or "/"
        else:
            yield from _expand(folder, prefix, rest, above)
        return
    names = [part] if not has_magic(part) else [name for name in _names(folder) if _matches(name, part)]
    for name in names:
        path = prefix + name
        if rest and os.path.isdir(path):
            yield from _expand(path, path + "/", rest, frozenset())
        elif not rest and os.path.lexists(path):
            yield path


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        # A shell would go on without a word, and without the files.
        raise UserError(f"folder '{display(folder)}': {error.strerror}; needed for a glob") from error


def _matches(name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern) and (not name.startswith(".") or pattern.startswith("."))
