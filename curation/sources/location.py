"""Where a file is: URIs that can be stored as JSON, and the one place that opens them.

The URI of a local file is its absolute path; a path that is no valid Unicode becomes a ``file://`` URL with
percent-encoded bytes. Everything else is a URL for fsspec.
"""

import contextlib
import errno
import io
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, BinaryIO
from urllib.parse import quote, unquote_to_bytes, urlsplit

from curation.objects import STORES, patiently

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?:://|::)")
_FILE_SCHEME = "file://"
_REMOTE_BUFFER_BYTES = 1 << 20


def is_url(name: str) -> bool:
    """Whether a name is a URL for fsspec rather than a path."""
    return _URL.match(name) is not None


def uri_of(path: str) -> str:
    """The URI of an absolute local path (bytes that are no Unicode as ``os.fsdecode`` gives them)."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return _FILE_SCHEME + quote(os.fsencode(path))
    return path


def local_path(uri: str) -> str | None:
    """The local path of a URI, None for what is elsewhere."""
    if uri.startswith(_FILE_SCHEME):
        return os.fsdecode(unquote_to_bytes(uri[len(_FILE_SCHEME) :]))
    return None if is_url(uri) else uri


def base_name(uri: str) -> str:
    """The last part of a path or URL, without a query."""
    path = local_path(uri)
    return PurePosixPath(urlsplit(uri).path if path is None else path).name


def display(uri: str) -> str:
    """A name on one line for people: control characters and what is no Unicode are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in uri)


def open_uri(uri: str, storage_options: Mapping[str, Any] | None = None) -> BinaryIO:
    """Open for reading; seekable. Raises OSError, also for what libraries of other kinds of storage raise.

    What a server gives only from front to back is first copied into a temporary file.
    """
    path = local_path(uri)
    if path is not None:
        return open(path, "rb")
    import fsspec

    def connect() -> Any:
        return fsspec.open(uri, "rb", **(storage_options or {})).open()

    store = uri.partition("://")[0] in STORES
    if store:
        file = patiently(connect, uri)
    else:
        with _io_errors():
            file = connect()
    try:
        with _io_errors():
            file.seek(0, os.SEEK_END)
            file.seek(0)
    except OSError:
        return _copied(file)
    return io.BufferedReader(_Remote(file, uri if store else None), _REMOTE_BUFFER_BYTES)


def _copied(file: Any) -> BinaryIO:
    copy = tempfile.TemporaryFile()  # noqa: SIM115 -- the caller closes it, and then it is gone
    with _io_errors(), file:
        shutil.copyfileobj(file, copy, _REMOTE_BUFFER_BYTES)
    copy.seek(0)
    return copy


@contextlib.contextmanager
def _io_errors() -> Iterator[None]:
    """Makes an OSError of whatever a library for some kind of storage raises."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(errno.EIO, f"{type(error).__name__}: {error}") from error


class _Remote(io.RawIOBase):
    """A file of fsspec whose every error is an OSError.

    Args:
        patient: URL of an object, whose server is asked again after a failure: a moment without network must not
            make the rest of the file unreadable.
    """

    def __init__(self, file: Any, patient: str | None = None) -> None:
        self._file, self._patient = file, patient

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._patient:
            data = patiently(lambda: self._file.read(len(buffer)), self._patient)
        else:
            with _io_errors():
                data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
