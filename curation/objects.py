"""An object store (S3 and its like) through fsspec: list, get, put and remove, with errors that say what to do.

All that is asked of a store is that a put makes an object appear whole, that a listing shows what was put
before, and nothing else: no rename, no append, no lock. Each process makes its own connection, at first use.
"""

import contextlib
import errno
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import urlsplit

from curation.errors import UserError

T = TypeVar("T")

STORES = {
    **dict.fromkeys(("s3", "s3a"), "open-curation[s3]"),
    **dict.fromkeys(("gs", "gcs"), "gcsfs"),
    **dict.fromkeys(("az", "abfs", "abfss"), "adlfs"),
}
"""Kinds of URL whose stores write an object in one stroke -> what pip installs for them."""

ATTEMPTS = 5
"""A request that the network or the server lets down is made this often, over about 15 seconds."""

LOOK_SECONDS = 15.0
"""How long a store may take to answer the first time."""

THREADS = 8
"""Small objects that are moved at the same time."""

BLOCK_BYTES = 8 * 2**20
"""What is sent or fetched at once of a large object."""

READ_AHEAD_BYTES = 2**20
"""What is fetched beyond what was asked for: small columns of a row group lie side by side."""

Info = Mapping[str, Any]
"""What a store tells of an object: ``size``, and under names of its own the time and a tag of its content."""


class ObjectStore:
    """The objects below a URL. Their names are relative to it.

    Methods raise OSError (FileNotFoundError, PermissionError) and, where the store as a whole cannot be used
    as named, UserError.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.scheme, _, rest = url.partition("://")
        self.bucket = rest.partition("/")[0]
        self._lock = threading.Lock()
        self._made: tuple[int, Any, str] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return ObjectStore, (self.url,)  # connections do not travel

    @property
    def filesystem(self) -> Any:
        """The fsspec filesystem of this process."""
        return self._connected()[0]

    def path(self, name: str) -> str:
        """An object's name as the filesystem has it."""
        base = self._connected()[1]
        return f"{base}/{name}" if name else base

    # ---- requests ----

    def find(self, folder: str) -> dict[str, Info]:
        """Name -> info of all objects below a folder."""

        def request(filesystem: Any, path: str) -> dict[str, Info]:
            start = len(self.path("")) + 1
            found = filesystem.find(path, detail=True)
            files = ((name, info) for name, info in found.items() if info["type"] == "file")
            return {name[start:]: info for name, info in files if name.startswith(f"{path}/") and name[-1] != "/"}

        return self._request(request, folder, missing={})

    def info(self, name: str) -> Info | None:
        """What the store tells of an object; None where there is none."""

        def request(filesystem: Any, path: str) -> Info | None:
            about: Info = filesystem.info(path)
            return about if about["type"] == "file" else None

        return self._request(request, name, missing=None)

    def get(self, name: str) -> bytes:
        """The bytes of an object. Raises FileNotFoundError."""
        data: bytes = self._request(lambda filesystem, path: filesystem.cat_file(path), name)
        return data

    def get_all(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """(name, bytes) of small objects, several at a time; those that have vanished are left out."""

        def one(name: str) -> tuple[str, bytes | None]:
            try:
                return name, self.get(name)
            except FileNotFoundError:
                return name, None

        with ThreadPoolExecutor(THREADS, "get") as pool:
            for name, data in pool.map(one, names):
                if data is not None:
                    yield name, data

    def download(self, name: str, path: Path) -> None:
        """Copy an object into a file, a piece at a time. Raises FileNotFoundError."""
        with path.open("wb") as file, self.open(name) as opened:
            while piece := _read(opened, self.url):
                file.write(piece)

    def put(self, name: str, data: bytes, create: bool = False) -> None:
        """Make an object appear, whole; with ``create`` only where there is none.

        Raises:
            FileExistsError: it is there, or the store cannot tell (not all know how to).
        """
        if not create:
            self._request(lambda filesystem, path: filesystem.pipe_file(path, data), name)
            return
        try:
            self._request(lambda filesystem, path: filesystem.pipe_file(path, data, mode="create"), name)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.EEXIST, errno.ENOSYS, errno.EBUSY):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name) from error
            raise

    def upload(self, path: Path, name: str) -> None:
        """Copy a file into an object, which appears whole or not at all."""
        limits = {"chunksize": 2 * BLOCK_BYTES, "max_concurrency": 2} if self.scheme in ("s3", "s3a") else {}
        self._request(lambda filesystem, target: filesystem.put_file(str(path), target, **limits), name)

    def open(self, name: str) -> BinaryIO:
        """An object open for reading; seekable. Raises FileNotFoundError."""
        opened: BinaryIO = self._request(
            lambda filesystem, path: filesystem.open(path, "rb", block_size=READ_AHEAD_BYTES), name
        )
        return opened

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects; those that are not there are no error. What cannot be removed is (a take-down counts
        on it), which is why they go one by one: S3's bulk request passes over failures in silence."""

        def one(name: str) -> None:
            self._request(lambda filesystem, path: filesystem.rm_file(path), name, missing=None)

        with ThreadPoolExecutor(THREADS, "remove") as pool:
            list(pool.map(one, names))

    # ---- the connection ----

    def _connected(self) -> tuple[Any, str]:
        with self._lock:
            if self._made is None or self._made[0] != os.getpid():
                filesystem = _connect(self.url, self.scheme)
                base = filesystem._strip_protocol(self.url)
                _look(filesystem, self.url, base, self.bucket)
                self._made = (os.getpid(), filesystem, base)
            return self._made[1], self._made[2]

    def _request(self, request: Callable[[Any, str], T], name: str, missing: Any = ...) -> T:
        """Make a request; again where the network or the server was at fault. ``missing`` is the answer of one
        for what does not exist."""
        filesystem, path = self.filesystem, self.path(name)
        try:
            return patiently(lambda: request(filesystem, path), f"{self.url}/{name}")
        except FileNotFoundError:
            if missing is ...:
                raise
            answer: T = missing
            return answer


def patiently(request: Callable[[], T], url: str) -> T:
    """Do what can be done again, again where the network or the server was at fault. Raises OSError."""
    for attempt in range(ATTEMPTS):
        try:
            with plain_errors(url):
                return request()
        except OSError as error:
            passing = error.errno in (errno.EIO, errno.EBUSY, errno.EREMOTEIO, errno.ETIMEDOUT)
            if not passing or attempt == ATTEMPTS - 1:
                raise
            time.sleep(2**attempt)
    raise AssertionError("the last attempt returns or raises")


def _read(opened: BinaryIO, url: str) -> bytes:
    with plain_errors(url):
        return opened.read(BLOCK_BYTES)


@contextlib.contextmanager
def plain_errors(url: str) -> Iterator[None]:
    """Makes an OSError that names the URL of whatever libraries for storage raise."""
    try:
        yield
    except OSError as error:
        code = error.errno or _code(error)
        raise OSError(code, error.strerror or str(error) or os.strerror(code), url) from error
    except Exception as error:
        raise OSError(errno.EIO, f"{type(error).__name__}: {error}", url) from error


def _code(error: OSError) -> int:
    """The number of an error that was made without one; OSError makes its class of it again."""
    if isinstance(error, FileNotFoundError):
        return errno.ENOENT
    if isinstance(error, PermissionError):
        return errno.EACCES
    if isinstance(error, FileExistsError):
        return errno.EEXIST
    return errno.EIO


def _connect(url: str, scheme: str) -> Any:
    import fsspec

    try:
        kind = fsspec.get_filesystem_class(scheme)
    except ImportError as error:
        raise UserError(f"{url}: {error}; do: pip install '{STORES.get(scheme, scheme)}'") from error
    # Others write there, too, so listings are never remembered; and fsspec's own cache of filesystems would
    # keep one for each thread.
    options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
    if scheme in ("s3", "s3a"):
        given = fsspec.config.conf.get("s3", {}).get("config_kwargs", {})
        patience = {"connect_timeout": 5, "read_timeout": 20, "retries": {"mode": "standard", "total_max_attempts": 2}}
        options |= {"default_block_size": BLOCK_BYTES, "config_kwargs": {**patience, **given}}
    with plain_errors(url):
        return kind(**options, **kind._get_kwargs_from_urls(url))


def _look(filesystem: Any, url: str, base: str, bucket: str) -> None:
    """Ask for something small once, so that what is wrong with the store as a whole is said at once.

    Raises:
        UserError: no such bucket, no access, no answer; it says what to do.
    """
    from fsspec.asyn import sync

    try:
        if hasattr(filesystem, "call_s3"):
            # Of s3fs's own requests some take a missing bucket for an empty one, some list all that is there.
            patient, filesystem.retries = filesystem.retries, 1
            try:
                key = base.partition("/")[2]
                wanted = {"Bucket": bucket, "Prefix": f"{key}/" if key else "", "MaxKeys": 1}
                sync(filesystem.loop, filesystem._call_s3, "list_objects_v2", timeout=LOOK_SECONDS, **wanted)
            finally:
                filesystem.retries = patient
        else:
            with contextlib.suppress(FileNotFoundError):
                filesystem.ls(base)
    except FileNotFoundError as error:
        raise UserError(f"{url}: there is no bucket {bucket!r} ({_endpoint(filesystem)}); make it first") from error
    except PermissionError as error:
        raise UserError(
            f"{url}: access denied ({error}); name credentials that may list, read, write and delete there"
            f"{_CREDENTIALS.get(url.partition(':')[0], '')}"
        ) from error
    except TimeoutError as error:
        raise UserError(
            f"{url}: no answer within {LOOK_SECONDS:.0f} s; is the network up, and is the endpoint right "
            f"({_endpoint(filesystem)})?"
        ) from error
    except OSError as error:
        raise UserError(
            f"{url}: refused ({error.strerror or error}); are the bucket's name and its region right "
            f"({_endpoint(filesystem)})?"
        ) from error
    except Exception as error:
        if "Credentials" in type(error).__name__:
            raise UserError(f"{url}: no credentials{_CREDENTIALS.get(url.partition(':')[0], '')}") from error
        raise UserError(
            f"{url}: no answer ({error}); is the network up, and is the endpoint right ({_endpoint(filesystem)})?"
        ) from error


_CREDENTIALS = dict.fromkeys(("s3", "s3a"), ": set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE")


def _endpoint(filesystem: Any) -> str:
    """Where requests go, as far as we were told."""
    given = getattr(filesystem, "endpoint_url", None) or (getattr(filesystem, "client_kwargs", None) or {}).get(
        "endpoint_url"
    )
    named = given or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return f"endpoint {named}" if named else "endpoint: AWS_ENDPOINT_URL is not set"


def stamp(info: Info) -> list[Any]:
    """What changes when an object is written anew: tag, size, time. Can be stored as JSON."""
    tag = next((str(info[key]) for key in ("ETag", "etag", "content_md5", "md5Hash") if info.get(key)), "")
    return [tag, int(info.get("size") or 0), changed_at(info)]


def changed_at(info: Info) -> float:
    """When an object was written, in seconds since 1970, by the clock of the store; 0 where it does not tell."""
    for key in ("LastModified", "last_modified", "updated", "mtime", "created"):
        value = info.get(key)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, str):
            with contextlib.suppress(ValueError):
                return datetime.fromisoformat(value).timestamp()
        if isinstance(value, int | float):
            return float(value)
    return 0.0


_SECRET = re.compile(r"secret|password|token|authorization|account_key|sas_|connection_string", re.IGNORECASE)


def refuse_secrets(options: Mapping[str, Any], name: str = "read.storage_options") -> None:
    """Raise UserError if options for fsspec, which are recorded with a run, hold a credential."""
    for key, value in options.items():
        if isinstance(value, Mapping):
            refuse_secrets(value, f"{name}.{key}")
        elif value and _SECRET.search(str(key)) and value not in ("anon", "google_default", "cloud"):
            raise UserError(
                f"{name}.{key}: options are recorded with the run, and secrets must not be; give it in the "
                "environment (AWS_SECRET_ACCESS_KEY, FSSPEC_S3_SECRET, ...) or in a configuration file of the storage"
            )


def checked_url(url: str) -> str:
    """A URL of a place in an object store, without a slash at its end.

    Raises:
        UserError: another kind of storage, no bucket, or credentials inside (it would stand in every message).
    """
    scheme, _, rest = url.partition("://")
    if scheme not in STORES:
        raise UserError(
            f"{url}: {scheme}:// is no object store that writes a file in one stroke; use a folder, or one of "
            f"{', '.join(f'{name}://' for name in STORES)}"
        )
    if not rest.strip("/") or rest.startswith("/"):
        raise UserError(f"{url}: name a bucket and a prefix, as in {scheme}://bucket/prefix")
    if urlsplit(url).password is not None:
        raise UserError(
            f"{scheme}://...: no credentials in a URL, which is stored and shown; set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY"
        )
    return url.rstrip("/")
