"""E-mail addresses and public IP addresses."""

import ipaddress
import re
from collections.abc import Iterator

from curation.pii.spans import Span, said, words

# ---- e-mail -----------------------------------------------------------------------------------

_LETTERS = "A-Za-z0-9\u00c0-\u024f\u0370-\u052f\u0900-\u0dff"
_LABEL = rf"[{_LETTERS}](?:[{_LETTERS}-]{{0,61}}[{_LETTERS}])?"
_DOMAIN = (
    rf"(?:{_LABEL}\.){{1,8}}(?:[A-Za-z]{{2,24}}|xn--[a-z0-9]{{2,59}}|[\u0400-\u04ff]{{2,10}}|[\u0900-\u0dff]{{2,12}})"
)
_AT_DOMAIN = re.compile(rf"@({_DOMAIN})(?![{_LETTERS}_]|-[{_LETTERS}])")
_NAME_BACKWARDS = re.compile(rf"[{_LETTERS}._%+-]{{1,65}}")
_WRITTEN_AT = re.compile(
    r"(?:^|(?<=[\s:;,(<>\[\"']))([A-Za-z0-9][A-Za-z0-9._+-]{0,63}) ?"
    r"[\[({] ?(?:at|AT|At|@|ät|arroba|chez|собака) ?[\])}] ?"
    r"([A-Za-z0-9-]{1,63}(?:(?:\.| ?[\[({] ?(?:dot|DOT|punkt|Punkt|punto|point|\.) ?[\])}] ?)[A-Za-z0-9-]{1,63}){1,4})"
)
_BRACKET_AT = re.compile(r"[\[({] ?(?:at|AT|At|@|ät|arroba|chez|собака) ?[\])}]")
_RESERVED = re.compile(
    r"(?:.*\.)?(?:example(?:\.(?:com|net|org|edu))?|test|invalid|localhost|local|localdomain|internal)", re.IGNORECASE
)
"""Domains that nobody has: RFC 2606 and RFC 6762, ``.internal`` (ICANN 2024), and ``.localdomain``."""
_NO_TOP_LEVEL = frozenset(
    "png jpg jpeg gif svg webp avif bmp ico tif tiff css js mjs ts tsx jsx scss json xml html htm php asp aspx jsp yml "
    "yaml toml txt pdf doc docx xls xlsx csv tgz gz bz exe dll ttf woff mp mkv avi wav ogg".split()
)
"""Ends of file names that are no top-level domains (https://data.iana.org/TLD/tlds-alpha-by-domain.txt)."""


def emails(text: str) -> Iterator[Span]:
    """E-mail addresses (RFC 5321: 64 characters before the @), also written ``name [at] host.de`` and ``name(at)host``.

    Letters may be Latin, Greek, Cyrillic or of India; in other scripts, which put no spaces, an address ends where
    ASCII does. Not addresses: those at domains reserved for examples (RFC 2606), ``git@host:path`` and
    ``git@host/path``, names of files (``logo@2x.png``), and what stands in a URL as ``user:password@host``.
    """
    if "@" in text:
        for at in _AT_DOMAIN.finditer(text):
            begin = max(0, at.start() - 66)
            name = _NAME_BACKWARDS.match(text[begin : at.start()][::-1])
            if not name or len(name[0]) > 64 or name[0][0] == "." or not _is_domain(at[1]):
                continue
            local = name[0][::-1].lstrip("._%+-")
            start, end = at.start() - len(local), at.end()
            if not local or (local.lower() in ("git", "hg", "svn") and text[end : end + 1] in (":", "/")):
                continue
            yield Span(start, end, "email")
    if _BRACKET_AT.search(text):
        for written in _WRITTEN_AT.finditer(text):
            domain = re.sub(r" ?[\[({] ?(?:dot|punkt|punto|point|\.) ?[\])}] ?", ".", written[2], flags=re.IGNORECASE)
            if _is_domain(domain) and re.fullmatch(_DOMAIN, domain):
                yield Span(written.start(1), written.end(), "email")


def _is_domain(domain: str) -> bool:
    return domain.rpartition(".")[2].lower() not in _NO_TOP_LEVEL and not _RESERVED.fullmatch(domain)


# ---- IP ---------------------------------------------------------------------------------------

# Both begin with a character that is rare in prose, and look back from there.
_IPV4 = re.compile(r"\.(?<=[0-9]\.)[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(?![A-Za-z0-9_%]|\.[\w]|-[A-Za-z])")
_FIRST = re.compile(r"(?<![A-Za-z0-9_.])(?<![\w.][-/+~])[0-9]{1,3}$")
_IPV6 = re.compile(
    r":(?<=[23][0-9A-Fa-f]{3}:)(?<![\w:.][23][0-9A-Fa-f]{3}:)[0-9A-Fa-f:]{2,34}(?![A-Za-z0-9_]|:|\.[0-9])"
)
_VERSION = re.compile(
    r"(?:versi[oóôõ]\w*|versj?on\w*|verze|wersj\w+|версі?[ияї]\w*|verzi\w+|verzij\w+|sürüm\w*|release|releas\w+|rel|ver|"
    r"build|firmware|driver|treiber|patch|update|upgrade|oid|sections?|sect|chapters?|clause|article|kapitel|abschnitt|"
    r"chapitre|secci[oó]n|cap[ií]tulo|раздел\w*|глав\w+|пункт\w*|figure|table|版本|バージョン|버전|§|\bv|\br)"
    r"[\s.:#=(\"'-]{0,3}$",
    re.IGNORECASE,
)
_ADDRESS = words("ip$", "ipv4", "address", "addr", "adress", "adresse", "dirección", "host", "server", "ping", "адрес")
_SMALL = 20


def addresses(text: str) -> Iterator[Span]:
    """Public IPv4 and IPv6 addresses.

    Private, loopback, link-local, documentation, shared and multicast addresses are nobody's
    (https://www.iana.org/assignments/iana-ipv4-special-registry, as ``ipaddress`` knows them), and IPv6 is public in
    2000::/3 alone. Behind a word such as "version", "section" or ``Name/`` four numbers are a version; and if all of
    them are below 20, they are an address only near a word such as "IP" or "host". Addresses of well-known servers
    are public too, and are found.
    """
    for each in _IPV4.finditer(text):
        first = _FIRST.search(text, max(0, each.start() - 5), each.start())
        if not first:
            continue
        start, end = first.start(), each.end()
        try:
            address = ipaddress.IPv4Address(text[start:end])
        except ValueError:
            continue
        if not address.is_global or address.is_multicast:
            continue
        if _VERSION.search(text, max(0, start - 24), start):
            continue
        if "OID" in text[max(0, start - 48) : start]:
            continue
        if max(address.packed) < _SMALL and not said(text, start, end, _ADDRESS):
            continue
        yield Span(start, end, "ip")
    if ":" in text:
        for each in _IPV6.finditer(text):
            start = each.start() - 4
            written = text[start : each.end()]
            written = written if written.endswith("::") else written.rstrip(":")
            try:
                found = ipaddress.IPv6Address(written)
            except ValueError:
                continue
            if found.is_global and not found.is_multicast and found not in _DOCUMENTATION:
                yield Span(start, start + len(written), "ip")


_DOCUMENTATION = ipaddress.IPv6Network("3fff::/20")
"""RFC 9637; Python 3.11 does not know it."""
