"""URLs as lists compare them: one spelling for all URLs that lead to the same place, and what a list may say of it.

Follows the WHATWG URL standard (https://url.spec.whatwg.org) where browsers and crawlers must agree on the host:
tabs and line ends vanish, ``\\`` is ``/``, what stands before ``@`` is no host, ports and fragments do not matter,
hosts are lower case and in ASCII (IDNA, UTS 46), an IPv4 address has one spelling. Paths are percent-decoded,
``.``, ``..`` and empty segments are resolved. Any string whatever gives a result, in time linear in its length.
"""

import re
import socket
from ipaddress import AddressValueError, IPv6Address
from typing import NamedTuple
from urllib.parse import unquote, unquote_to_bytes

MOST_PATH_CHARACTERS = 8192
"""How much of a path with its query is looked at; servers refuse longer ones (RFC 9110, 4.1 asks for 8000)."""
MOST_SEGMENTS = 32
"""The most path segments that a prefix may have; longer entries of a list match their exact URL only."""
MOST_LABELS = 127
_MOST_HOST_CHARACTERS = 253
"""RFC 1035, 2.3.4, in presentation format."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
_PORT = re.compile(r":\d{0,5}(?=[/?#]|$)")
_AUTHORITY = re.compile(r"[^/?#]*")
_WEB = frozenset({"http", "https", "ws", "wss", "ftp"})
_CONTROLS = "".join(map(chr, range(33)))
_VANISHING = str.maketrans("", "", "\t\n\r")
_NO_HOST = re.compile(rb"[\x00- #/:<>?@\[\\\]^|%\x7f]")
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*")


class Place(NamedTuple):
    """Where a URL leads, in the spelling that lists are compiled to."""

    host: bytes
    """ASCII, lower case, without port and trailing dot; IPv6 in brackets."""
    is_address: bool
    """Whether the host is an IP address, which has no parent domains."""
    segments: tuple[bytes, ...]
    """Of the path, percent-decoded, without empty ones."""
    query: bytes
    """Percent-decoded; empty where there is none."""
    whole: bool
    """False where the path was too long and only its beginning is here."""

    def domain_keys(self) -> list[bytes]:
        """What an entry that covers the whole host may be: the host, each parent domain, ``host/``.

        The last one stands for "this host alone, not its subdomains".
        """
        host = self.host
        keys = [host, self._bare() + b"/"]
        if not self.is_address:
            start = host.find(b".") + 1
            while start and len(keys) <= MOST_LABELS:
                keys.append(host[start:])
                start = host.find(b".", start) + 1
        return keys

    def url_keys(self) -> list[bytes]:
        """What an entry with a path may be: each prefix of the path that ends with a segment, then the whole URL."""
        key = self._bare()
        keys = []
        for segment in self.segments[:MOST_SEGMENTS]:
            key += b"/" + segment
            keys.append(key)
        if self.whole and (self.query or len(self.segments) > MOST_SEGMENTS):
            keys.append(self.url_key())
        return keys

    def url_key(self) -> bytes:
        """The key of exactly this URL (and, without a query, of all below it)."""
        key = self._bare() + b"/" + b"/".join(self.segments)
        return key + b"?" + self.query if self.query else key

    def _bare(self) -> bytes:
        """The host without ``www.``: with and without it are one site, also where an entry has a path."""
        return self.host.removeprefix(b"www.")


def locate(url: str) -> Place | None:
    """Where a URL leads, or None if it names no host (``mailto:``, ``javascript:``, ``file:``, a bare path).

    The scheme may be missing, as it is in lists: ``example.com/page``.
    """
    url = url.strip(_CONTROLS)
    if not url.isprintable():
        url = url.translate(_VANISHING)
    if "\\" in url:
        url = url.replace("\\", "/")
    start = _authority_start(url)
    if start is None:
        return None
    authority = _AUTHORITY.match(url, start)
    assert authority  # it matches the empty string
    found = _host(authority[0].rpartition("@")[2])
    if found is None:
        return None
    end = authority.end()
    beginning = url[end : end + MOST_PATH_CHARACTERS + 1].partition("#")[0]
    whole = len(beginning) <= MOST_PATH_CHARACTERS
    path, _, query = beginning.partition("?")
    segments = _segments(path)
    if not whole and not query and segments:
        segments.pop()  # cut off somewhere inside
    return Place(*found, tuple(segments), unquote_to_bytes(_encode(query)) if query else b"", whole)


def _authority_start(url: str) -> int | None:
    scheme = _SCHEME.match(url)
    if scheme is None:
        if url.startswith("//"):
            return 2
        return None if url.startswith("/") else 0
    end = scheme.end()
    name = scheme[1].lower()
    if name in _WEB:  # any number of slashes
        while url.startswith("////", end):
            end += 4
        while url.startswith("/", end):
            end += 1
        return end
    if url.startswith("//", end):
        return None if name == "file" else end + 2
    return 0 if _PORT.match(url, end - 1) else None  # host:port without a scheme


def _host(authority: str) -> tuple[bytes, bool] | None:
    """(host, whether it is an IP address) of an authority without credentials."""
    if authority.startswith("["):
        try:
            address = IPv6Address(authority[1:].partition("]")[0].partition("%")[0])
        except AddressValueError:
            return None
        return f"[{address.compressed}]".encode(), True
    name = authority.partition(":")[0]
    name = name[-16 * _MOST_HOST_CHARACTERS :]  # spelt with escapes, four bytes a character, three letters a byte
    if "%" in name:
        name = unquote(name, errors="replace")
    if not name.isascii():
        name = _to_ascii(name)
    name = name.lower().rstrip(".")
    if len(name) > _MOST_HOST_CHARACTERS:  # no host name; what its last labels say still holds
        name = name[-_MOST_HOST_CHARACTERS - 1 :].partition(".")[2]
    host = _encode(name)
    if not host or _NO_HOST.search(host):
        return None
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        try:
            return socket.inet_ntoa(socket.inet_aton(name)).encode(), True
        except OSError:
            return None
    return host, False


def _to_ascii(name: str) -> str:
    """UTS 46 without the checks that would refuse a name: lists and crawls hold names that registries do not."""
    import idna

    try:
        name = idna.uts46_remap(name, std3_rules=False, transitional=False)
    except idna.IDNAError:
        name = name.lower()
    labels = []
    for label in name.split("."):
        ascii_label = label if label.isascii() else "xn--" + label.encode("punycode").decode("ascii")
        labels.append(ascii_label)
    return ".".join(labels)


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _segments(path: str) -> list[bytes]:
    raw = _encode(path)
    if b"%" in raw:
        raw = unquote_to_bytes(raw)
    segments: list[bytes] = []
    for segment in raw.split(b"/"):
        if segment == b"..":
            if segments:
                segments.pop()
        elif segment not in (b"", b"."):
            segments.append(segment)
    return segments
