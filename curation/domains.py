"""Lists of domains and URLs, compiled once to sorted 64-bit hashes that all workers share through one mapped file.

A compiled list is two ascending arrays of xxh3 hashes (https://xxhash.com): of domains, and of URLs with a path.
A lookup hashes the host and each of its parent domains, and each prefix of the path, and bisects among those with
the same first bits. With the 4.56 million domains of the built-in list that takes 9 bytes an entry, on disk and
once in the page cache; a key that is not listed is taken for one that is with a probability of 4.56e6 / 2**64 =
2.5e-13. (xxh3 is no cryptographic hash: who knows a list can make a URL that passes for listed. On a block list or
among those who opted out that harms its maker alone; on an allow list it gains what any page of a listed site has.)

The text of a list: one domain or URL a line; ``#`` begins a comment; lines of a hosts file (``0.0.0.0 domain``) are
understood; gzip and zstd are told by content. A domain covers its subdomains, ``*.`` or ``.`` before it change
nothing, and only with one of them may it be a top-level domain. ``www.example.com`` covers ``example.com`` too,
but not the other subdomains of it. A URL covers what lies below its path (``a.example/b`` covers
``a.example/b/c`` and ``a.example/b?c``, not ``a.example/bc``); one with a query is that URL only.
"""

import hashlib
import mmap
import re
import struct
import tarfile
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import xxhash

from curation.errors import UserError
from curation.progress import log
from curation.sources.decompress import CHUNK_BYTES, MemberError, Source, decompressed
from curation.urls import Place, locate
from curation.workspace import write_durably

BUILT_IN = "ut1-adult"
"""The list that datatrove's wheel ships: 4,558,939 domains and 19,586 URLs of pornography, the category ``adult`` of
the blacklists of Université Toulouse Capitole (https://dsi.ut-capitole.fr/blacklists/, CC BY-SA), as FineWeb
used it. 3.6 million of the domains are blogs under the country domains of Blogspot."""

_VERSION = 1
"""Of the compiled form and of the rules that made it; part of the file's name."""
_MAGIC = 0x5552_4C4C_4953_5400 | _VERSION  # read as a number: another byte order is another magic
_HEADER = struct.Struct("=6Q")  # magic, domains, URLs, lines left out, the first of these, lines with entries
_MOST_LINE_BYTES = 8192
_MERGE_AT = 1 << 20

_PLAIN = re.compile(rb"(?!www\.)(?:[a-z0-9_-]{1,63}\.)+[a-z][a-z0-9-]{0,62}")
"""A domain as most lines have it, already in the spelling of ``curation.urls``."""
_LISTABLE = re.compile(rb"(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}")
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+|[0-9a-fA-F]*:[0-9a-fA-F:.]*(?:%\w+)?")
_COMMENT = re.compile(r"(?:^|\s)#.*")

Layout = Literal["lines", "squidguard"]


@dataclass(frozen=True, slots=True)
class ListSource:
    """Where the text of a list is."""

    name: str
    """What scores call it: the name of its file or folder, or of a built-in list."""
    layout: Layout
    """``lines``, or ``squidguard``: files ``domains`` and ``urls``, as UT1 publishes each category."""
    paths: tuple[Path, ...]
    """Its files; of the built-in list the archive that holds them."""

    def digest(self) -> str:
        """sha256 of its file; of a category, that of the sums and names of its files as ``sha256sum`` prints them.

        Raises:
            OSError: a file cannot be read.
        """
        sums = []
        for path in self.paths:
            with path.open("rb") as file:
                sums.append(hashlib.file_digest(file, "sha256").hexdigest())
        if self.layout == "lines":
            return sums[0]
        lines = [f"{each}  {path.name}\n" for each, path in zip(sums, self.paths, strict=True)]
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def find_source(name: str, field: str) -> ListSource:
    """The source that an option names.

    Args:
        name: path of a file, of a folder with ``domains`` and ``urls``, or ``ut1-adult``.
        field: the option, for errors.

    Raises:
        UserError: there is no such thing; says what may be named.
    """
    path = Path(name)
    if name == BUILT_IN:
        return ListSource(name, "squidguard", (_built_in(field),))
    if path.is_file():
        return ListSource(path.name, "lines", (path,))
    if name and path.is_dir():
        files = [path / each for each in ("domains", "urls") if (path / each).is_file()]
        if files:
            return ListSource(path.resolve().name, "squidguard", tuple(files))
        inside = sorted(each.parent.name for each in path.glob("*/domains"))
        hint = f"name some of its categories, such as {path / inside[0]}" if inside else "a list is one file"
        raise UserError(f"{field}: the folder {name} holds no file `domains` or `urls`; {hint}")
    raise UserError(
        f"{field}: {name!r}: no such file; give the path of a list (one domain or URL a line), or {BUILT_IN}"
    )


def _built_in(field: str) -> Path:
    spec = find_spec("datatrove")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(folder, "assets").glob("url_filterblacklists*.tar.gz")):
            return path
    raise UserError(f"{field}: {BUILT_IN}: the installed datatrove ships no URL list; give the path of one")


# ---- compiling --------------------------------------------------------------------------------


def prepare(source: ListSource, cache: Path, field: str) -> str:
    """Compile a list into ``cache`` unless it is there; returns the digest under which ``open_list`` finds it.

    Lines that hold no domain or URL are left out, with one warning. Safe to run in several processes at once.

    Raises:
        UserError: the list cannot be read, or none of its lines is an entry.
    """
    try:
        digest = source.digest()
        path = _compiled_path(cache, digest)
        if not path.exists():
            data = _compile(source)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_durably(path, data)
    except _Unreadable as error:
        raise UserError(f"{field}: {source.name}: {error}; put the list right") from error
    with path.open("rb") as file:
        _, _, _, left_out, first, entries = _HEADER.unpack(file.read(_HEADER.size))
    if left_out and not entries:
        raise UserError(f"{field}: {source.name}: none of its {left_out:,} lines is a domain or URL; is it a list?")
    if left_out:
        log.warning(
            "%s: %s: %s line(s) are no domain or URL and were left out, the first is line %s",
            *(field, source.name, f"{left_out:,}", f"{first:,}"),
        )
    return digest


class _Unreadable(Exception):
    """A source is damaged."""


def _compiled_path(cache: Path, digest: str) -> Path:
    return cache / "url_lists" / f"{digest}-v{_VERSION}.u64"


class _Hashes:
    """A growing set of hashes: 8 bytes each, merged now and then."""

    def __init__(self) -> None:
        import numpy as np

        self.new = array("Q")
        self.merged = np.empty(0, dtype=np.uint64)

    def extend(self, keys: Iterable[bytes]) -> None:
        """Add keys."""
        self.new.extend(map(xxhash.xxh3_64_intdigest, keys))
        if len(self.new) >= max(_MERGE_AT, len(self.merged) // 2):
            self.merge()

    def merge(self) -> Any:
        """All of them, ascending, each once."""
        import numpy as np

        both = np.concatenate([self.merged, np.frombuffer(self.new, dtype=np.uint64)])
        both.sort()
        first = np.ones(len(both), dtype=bool)
        np.not_equal(both[1:], both[:-1], out=first[1:])
        self.merged = both[first]
        self.new = array("Q")
        return self.merged


def _compile(source: ListSource) -> bytes:
    """The compiled form of a list."""
    domains, urls = _Hashes(), _Hashes()
    number = left_out = first = with_entries = 0
    bare = source.layout == "squidguard"
    for lines in _blocks(source):
        plain = []
        for line in lines:
            number += 1
            line = line.strip()
            if _PLAIN.fullmatch(line) and len(line) <= 253:
                plain.append(line)
                continue
            found = entries(line, bare)
            if found is None:
                left_out += 1
                first = first or number
                continue
            with_entries += bool(found)
            domains.extend(key for is_url, key in found if not is_url)
            urls.extend(key for is_url, key in found if is_url)
        with_entries += len(plain)
        domains.extend(plain)
    tables = [domains.merge(), urls.merge()]
    header = _HEADER.pack(_MAGIC, *map(len, tables), left_out, first, with_entries)
    return b"".join([header, *(part.data for table in tables for part in (_starts(table), table))])


def _bits(size: int) -> int:
    """How many first bits of a hash tell where to look: so many that 8 to 16 hashes have them in common."""
    return max(0, size.bit_length() - 4)


def _starts(table: Any) -> Any:
    """For each value of the first bits, where in the table its hashes begin; then the size of the table."""
    import numpy as np

    bits = _bits(len(table))
    firsts = np.arange(2**bits, dtype=np.uint64) << np.uint64(64 - bits) if bits else np.zeros(1, dtype=np.uint64)
    return np.append(np.searchsorted(table, firsts), len(table)).astype(np.uint64)


def entries(line: bytes, bare_tlds: bool = False) -> list[tuple[bool, bytes]] | None:
    """(whether it is a URL with a path, key) of each entry of a line; None if the line is wrong.

    Args:
        line: without its line end.
        bare_tlds: whether ``xxx`` alone is the top-level domain, as in UT1, rather than a stray word.
    """
    try:
        text = _COMMENT.sub("", line[: _MOST_LINE_BYTES + 1].decode("utf-8").removeprefix("\ufeff")).strip()
    except UnicodeDecodeError:
        return None
    if not text:
        return []
    if len(line) > _MOST_LINE_BYTES:
        return None
    fields = text.split()
    if len(fields) > 1:
        if not _ADDRESS.fullmatch(fields[0]):
            return None
        # A hosts file begins with names of the machine itself (localhost, ip6-loopback), and 0.0.0.0.
        names = [each for each in fields[1:] if "." in each and not _ADDRESS.fullmatch(each)]
        names = [each for each in names if each != "localhost.localdomain"]
    else:
        names = fields
    found: list[tuple[bool, bytes]] = []
    for name in names:
        keys = _entry(name, bare_tlds)
        if keys is None:
            return None
        found += keys
    return found


def _entry(name: str, bare_tlds: bool) -> list[tuple[bool, bytes]] | None:
    shorter = name.removeprefix("*").removeprefix(".")
    place = locate(shorter)
    if place is None or not (place.is_address or _LISTABLE.fullmatch(place.host)):
        return None
    if place.segments or place.query:
        return [(True, place.url_key())] if place.whole and shorter == name else None
    if b"." not in place.host and not (place.is_address or bare_tlds or shorter != name):
        return None
    keys = [(False, place.host)]
    if place.host.startswith(b"www."):
        keys.append((False, place.host.removeprefix(b"www.") + b"/"))
    return keys


def _blocks(source: ListSource) -> Iterator[list[bytes]]:
    """The lines of all files of a list, some at a time; of a very long line only the beginning is kept."""
    try:
        for chunks in _files(source):
            rest = b""
            for chunk in chunks:
                *lines, rest = (rest + chunk).split(b"\n")
                rest = rest[: _MOST_LINE_BYTES + 1]
                yield lines
            yield [rest] if rest else []
    except (EOFError, MemberError, tarfile.TarError, zlib.error) as error:
        raise _Unreadable(f"cannot be decompressed ({error})") from error


def _files(source: ListSource) -> Iterator[Iterator[bytes]]:
    """The decompressed chunks of each file of a list."""
    for path in source.paths:
        if source.name == BUILT_IN:
            with tarfile.open(path, "r|gz") as archive:
                for member in archive:
                    if member.name in ("domains", "urls") and (inner := archive.extractfile(member)):
                        yield iter(partial(inner.read, CHUNK_BYTES), b"")
        else:
            with path.open("rb") as file:
                yield decompressed(Source(file))


# ---- looking up -------------------------------------------------------------------------------


class UrlList:
    """A compiled list, mapped into memory: pages are read when looked at, and shared by all processes."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        with path.open("rb") as file:
            header = file.read(_HEADER.size).ljust(_HEADER.size, b"\0")
            magic, domains, urls = _HEADER.unpack(header)[:3]
            words = [count + 2 ** _bits(count) + 1 for count in (domains, urls)]
            if magic != _MAGIC or path.stat().st_size != _HEADER.size + 8 * sum(words):
                raise UserError(f"{path}: no compiled list, or one cut short; delete it and resume, it is made anew")
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if hasattr(mmap, "MADV_RANDOM"):
            mapped.madvise(mmap.MADV_RANDOM)
        numbers = memoryview(mapped).cast("Q")[_HEADER.size // 8 :]
        self.domains = _Table(numbers[: words[0]], domains)
        self.urls = _Table(numbers[words[0] :], urls)


class _Table:
    """Ascending hashes."""

    def __init__(self, numbers: memoryview, size: int) -> None:
        self.size = size
        self._starts, self._hashes = numbers[: len(numbers) - size], numbers[len(numbers) - size :]
        self._shift = 64 - _bits(size)

    def find(self, hashes: Sequence[int]) -> int | None:
        """Index of the first of these hashes that is here."""
        if not self.size:
            return None
        starts, table, shift = self._starts, self._hashes, self._shift
        for index, each in enumerate(hashes):
            bucket = each >> shift
            end = starts[bucket + 1]
            at = bisect_left(table, each, starts[bucket], end)
            if at < end and table[at] == each:
                return index
        return None


class Lookup:
    """A place whose keys are hashed once for all lists."""

    def __init__(self, place: Place) -> None:
        self._domain_keys, self._url_keys = place.domain_keys(), place.url_keys()
        self._domains = list(map(xxhash.xxh3_64_intdigest, self._domain_keys))
        self._urls = list(map(xxhash.xxh3_64_intdigest, self._url_keys))

    def first(self, lists: Iterable[UrlList]) -> tuple[str, str]:
        """(name, entry) of the first list that has it; two empty strings where none has."""
        for each in lists:
            if (at := each.domains.find(self._domains)) is not None:
                return each.name, self._domain_keys[at].removesuffix(b"/").decode("utf-8", "replace")
            if (at := each.urls.find(self._urls)) is not None:
                return each.name, self._url_keys[at].decode("utf-8", "replace")
        return "", ""


def open_list(name: str, cache: Path, digest: str) -> UrlList:
    """The list that ``prepare`` compiled under this digest; its source need not be within reach.

    Raises:
        UserError: it is not there (any more), or is damaged.
    """
    path = _compiled_path(cache, digest)
    if not path.is_file():
        raise UserError(f"{path}: the compiled list is gone; resume the run, which makes it anew")
    return UrlList(name, path)
