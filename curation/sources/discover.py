"""From what the user names to raw files: which files there are, and what each of them is."""

import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from curation.errors import UserError
from curation.sources.glob import has_magic, local_glob, split_pattern
from curation.sources.license import Licenses
from curation.sources.location import display, is_url, local_path, open_uri, uri_of
from curation.sources.sniff import HEAD_BYTES, Compression, FormatName, sniff

Options = Mapping[str, Any]
_HTTP = ("http://", "https://")


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file to be read, found but not opened."""

    uri: str
    """Absolute path, symbolic links resolved, or URL; see ``location``. What it is called for people is
    ``location.display(uri)``."""
    size: int
    mtime_ns: int
    """Modification time in nanoseconds since 1970; 0 where the storage tells none."""
    name: str
    """Relative to the input folder in which it was found, by the names that led there."""
    root: str
    """URI of that folder; of a file named by itself, the folder that holds it."""
    error: str = ""
    """Why it cannot be read (a dangling link, a folder that may not be listed)."""


def discover(inputs: Sequence[str], storage_options: Options | None = None) -> list[InputFile]:
    """The files that inputs name: files, folders (with all in them), globs (also ``**``), URLs for fsspec.

    What exists is a path even if its name looks like a glob. Hidden files and folders are left out unless
    they are named. Symbolic links are followed. A file that is reached twice, by whatever names, is there
    once. Sorted by URI.

    Raises:
        UserError: an input does not exist, matches nothing, or cannot be reached.
    """
    found: dict[str, InputFile] = {}
    for name in inputs:
        if name.startswith("file://"):
            plain = name.removeprefix("file://")
            name = plain if os.path.lexists(plain) else local_path(name) or plain
        files = _remote(name, storage_options or {}) if _is_remote(name) else _local(name)
        for file in files:
            before = found.get(file.uri)
            # Which of several names and folders counts must not depend on the order of the inputs.
            if before is None or (len(file.root), file.name) < (len(before.root), before.name):
                found[file.uri] = file
    return [found[uri] for uri in sorted(found)]


def changed_since(files: Iterable[Mapping[str, Any]], storage_options: Options | None = None) -> list[str]:
    """The names, for people, of the files that are not what they were when they were identified.

    Args:
        files: ``IdentifiedFile`` as dicts.
    """
    changed = []
    for file in files:
        if not file["error"] and _stamp(file["uri"], storage_options or {}) != (file["bytes"], file["mtime_ns"]):
            changed.append(display(file["uri"]))
    return changed


def _stamp(uri: str, options: Options) -> tuple[int, int] | None:
    path = local_path(uri)
    if path is not None:
        try:
            about = os.stat(path)
        except OSError:
            return None
        return about.st_size, about.st_mtime_ns
    try:
        filesystem, remote_path = _filesystem(uri, options)
        info = filesystem.info(remote_path)
    except FileNotFoundError:
        return None
    except Exception as error:
        raise UserError(f"{display(uri)}: cannot be reached ({type(error).__name__}: {error})") from error
    return int(info.get("size") or 0), _mtime_ns(info)


# ---- identification ----


@dataclass(frozen=True, slots=True)
class IdentifiedFile:
    """A raw file: what it is, told from its bytes. All values can be stored as JSON."""

    raw_file_id: str
    """sha256 of its bytes, hexadecimal; of a file that cannot be read, of ``unreadable:`` and its URI."""
    uri: str
    bytes: int
    mtime_ns: int
    format: FormatName
    compression: Compression
    language: str | None = None
    """Programming language of source code (``python``), else None."""
    license: str | None = None
    """SPDX expression from the licence file of the source tree that it belongs to."""
    copy_of: str | None = None
    """URI of the byte-identical file that is read instead of this one."""
    error: str = ""
    """Why it cannot be read; its format is ``unreadable`` then."""


def identify(
    files: Sequence[InputFile],
    *,
    threads: int = 4,
    storage_options: Options | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[IdentifiedFile]:
    """Hash files and tell their formats. Sorted by ``raw_file_id``; of byte-identical files the first by
    (name relative to its input folder, URI) comes first and the others are copies of it.

    Args:
        threads: files read at the same time.
        progress: called in this thread a few times a second with the bytes and the files done so far;
            what it raises ends the work.
    """
    work = _Identification(storage_options or {})
    found: list[tuple[InputFile, IdentifiedFile]] = []
    with ThreadPoolExecutor(threads, "identify") as pool:
        batches = (files[at : at + _BATCH] for at in range(0, len(files), _BATCH))
        futures = [pool.submit(work.run, batch) for batch in batches]
        try:
            for future in futures:
                while not future.done():
                    wait([future], timeout=0.2)
                    if progress is not None:
                        progress(work.bytes_done, work.files_done)
                found += future.result()
        finally:
            work.stopped = True  # on an error; when all is done nobody sees it
    if progress is not None:
        progress(work.bytes_done, work.files_done)
    found.sort(key=lambda pair: (pair[1].raw_file_id, pair[0].name, pair[1].uri))
    licenses = Licenses()
    identified: list[IdentifiedFile] = []
    for source, file in found:
        if identified and identified[-1].raw_file_id == file.raw_file_id:
            first = identified[-1]
            identified.append(replace(file, copy_of=first.copy_of or first.uri))
            continue
        if file.format in ("code", "text"):
            file = replace(file, license=licenses.of(source.uri, source.root))
        identified.append(file)
    return identified


_BATCH = 64
_CHUNK_BYTES = 1 << 20


class _Identification:
    """What the threads of ``identify`` share."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.bytes_done = self.files_done = 0
        self.stopped = False
        self._lock = threading.Lock()

    def run(self, batch: Sequence[InputFile]) -> list[tuple[InputFile, IdentifiedFile]]:
        """Identify some files, none after ``stopped``."""
        return [(file, self._identify(file)) for file in batch if not self.stopped]

    def _identify(self, file: InputFile) -> IdentifiedFile:
        try:
            if file.error:
                raise OSError(file.error)
            with open_uri(file.uri, self.options) as opened:
                return self._read(file, opened)
        except OSError as error:
            self._count(0, 1)
            why = error.strerror or str(error) or type(error).__name__
            name = hashlib.sha256(f"unreadable:{file.uri}".encode()).hexdigest()
            return IdentifiedFile(name, file.uri, file.size, file.mtime_ns, "unreadable", "", error=why)

    def _read(self, file: InputFile, opened: BinaryIO) -> IdentifiedFile:
        digest = hashlib.sha256()
        size, head = 0, b""
        while chunk := opened.read(_CHUNK_BYTES if size else HEAD_BYTES):
            digest.update(chunk)
            size += len(chunk)
            if len(head) < HEAD_BYTES:
                head += chunk[: HEAD_BYTES - len(head)]
            self._count(len(chunk), 0)
            if self.stopped:
                raise InterruptedError("stopped")

        def read_more(n: int) -> bytes:
            opened.seek(0)
            return opened.read(n)

        found = sniff(head, file.name.rpartition("/")[2], read_more)
        self._count(0, 1)
        return IdentifiedFile(
            raw_file_id=digest.hexdigest(),
            uri=file.uri,
            bytes=size,
            mtime_ns=file.mtime_ns,
            format=found.format,
            compression=found.compression,
            language=found.language,
        )

    def _count(self, size: int, files: int) -> None:
        with self._lock:
            self.bytes_done += size
            self.files_done += files


# ---- local files ----


def _is_remote(name: str) -> bool:
    return is_url(name) and not os.path.lexists(name)


def _local(name: str) -> Iterator[InputFile]:
    if not name:
        raise UserError("an input is empty: name files, folders, globs or URLs")
    root: str | None = None
    if os.path.lexists(name):
        paths = [name]
    elif has_magic(name):
        root = split_pattern(name)[0]
        paths = local_glob(name)
        if not paths:
            raise UserError(f"input '{display(name)}': nothing matches")
    else:
        raise UserError(f"input '{display(name)}': no such file or folder")
    visited: set[tuple[int, int]] = set()
    for each in paths:
        yield from _local_path(each, root, visited, named=root is None)


def _local_path(path: str, glob_root: str | None, visited: set[tuple[int, int]], named: bool) -> Iterator[InputFile]:
    """A file, or all in a folder. With a glob, names are relative to the folder in which it begins."""
    real = os.path.realpath(path)
    try:
        about = os.stat(path)
    except OSError as error:
        about = None
        problem = error.strerror or str(error)
    if about is not None and stat.S_ISDIR(about.st_mode):
        folder = glob_root or path
        root = uri_of(os.path.realpath(folder))
        prefix = os.path.relpath(path, folder) if glob_root else ""
        yield from _walk(real, "" if prefix in ("", ".") else prefix + "/", root, visited)
        return
    parent = os.path.dirname(path) or "."
    root = uri_of(os.path.realpath(glob_root or parent))
    name = os.path.relpath(path, glob_root or parent)
    if about is None:
        yield InputFile(uri_of(real), 0, 0, name, root, problem)
    elif stat.S_ISREG(about.st_mode):
        yield InputFile(uri_of(real), about.st_size, about.st_mtime_ns, name, root)
    elif named:
        raise UserError(f"input '{display(path)}': neither a file nor a folder")


def _walk(folder: str, prefix: str, root: str, visited: set[tuple[int, int]]) -> Iterator[InputFile]:
    """All regular files in a folder, sorted, hidden ones left out, each folder once.

    Args:
        folder: its real path.
        prefix: what names in it begin with, relative to ``root``.
    """
    pending = [(folder, prefix)]
    while pending:
        folder, prefix = pending.pop()
        try:
            about = os.stat(folder)
            if (about.st_dev, about.st_ino) in visited:
                continue
            visited.add((about.st_dev, about.st_ino))
            with os.scandir(folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            yield InputFile(uri_of(folder), 0, 0, prefix.rstrip("/"), root, error.strerror or str(error))
            continue
        folders = []
        for entry in listed:
            if entry.name.startswith("."):
                continue
            path = os.path.join(folder, entry.name)
            name = prefix + entry.name
            try:
                real = os.path.realpath(path) if entry.is_symlink() else path
                info = entry.stat()
            except OSError as error:
                yield InputFile(uri_of(path), 0, 0, name, root, error.strerror or str(error))
                continue
            if stat.S_ISDIR(info.st_mode):
                folders.append((real, name + "/"))
            elif stat.S_ISREG(info.st_mode):
                yield InputFile(uri_of(real), info.st_size, info.st_mtime_ns, name, root)
        pending.extend(reversed(folders))


# ---- fsspec ----


def _filesystem(url: str, options: Options) -> tuple[Any, str]:
    import fsspec

    filesystem, path = fsspec.core.url_to_fs(url, **options)
    return filesystem, path


def _remote(url: str, options: Options) -> list[InputFile]:
    try:
        filesystem, path = _filesystem(url, options)
        found = _listing(filesystem, path, globs=not url.startswith(_HTTP))
    except ImportError as error:
        raise UserError(f"input '{display(url)}': {error}; install what this kind of storage needs") from error
    except Exception as error:  # every kind of storage has errors of its own
        raise UserError(f"input '{display(url)}': {type(error).__name__}: {error}") from error
    if not found:
        raise UserError(f"input '{display(url)}': no such file or folder there, and nothing matches")
    return found


def _listing(filesystem: Any, path: str, globs: bool) -> list[InputFile]:
    try:
        infos, root = {path: filesystem.info(path)}, path
    except FileNotFoundError:
        if not globs or not has_magic(path):
            return []
        root = split_pattern(path)[0]
        infos = filesystem.glob(path, detail=True)
        if not _is_hidden(_relative(path, root)):
            infos = {name: info for name, info in infos.items() if not _is_hidden(_relative(name, root))}
    files = []
    for name, info in sorted(infos.items()):
        if info["type"] == "directory":
            inside = filesystem.find(name, detail=True)
            for file, about in sorted(inside.items()):
                if about["type"] == "file" and not _is_hidden(_relative(file, name)):
                    files.append(_remote_file(filesystem, file, about, root))
        else:
            files.append(_remote_file(filesystem, name, info, root if root != name else _parent(name)))
    # A slash at the end: an empty object by which consoles of object stores show a folder.
    return [file for file in files if not globs or file.uri[-1] != "/" or file.size]


def _remote_file(filesystem: Any, path: str, info: Mapping[str, Any], root: str) -> InputFile:
    uri = filesystem.unstrip_protocol(path)
    name = _relative(urlsplit(path).path if uri.startswith(_HTTP) else path, root)
    if uri.startswith(_HTTP):
        name = urlsplit(path).path.rpartition("/")[2]
    return InputFile(uri, int(info.get("size") or 0), _mtime_ns(info), name, filesystem.unstrip_protocol(root))


def _parent(path: str) -> str:
    return path.rstrip("/").rpartition("/")[0]


def _relative(path: str, root: str) -> str:
    return path.removeprefix(root.rstrip("/") + "/")


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _mtime_ns(info: Mapping[str, Any]) -> int:
    for key in ("mtime", "LastModified", "last_modified", "updated", "created"):
        value = info.get(key)
        if isinstance(value, datetime):
            return int(value.timestamp() * 1_000_000) * 1000
        if isinstance(value, int | float):
            return int(value * 1_000_000) * 1000
    return 0
