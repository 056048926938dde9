"""What a file holds, told from its bytes; its name counts only where the bytes leave it open."""

import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

import orjson

from curation.charset import wide_codec
from curation.sources.members import MemberError, open_members

FormatName = Literal["warc", "arc", "jsonl", "parquet", "html", "text", "code", "binary", "empty", "unreadable"]
"""``unreadable`` is no answer of ``sniff``, but of what could not open the file."""
Compression = Literal["", "gzip", "zstd"]

HEAD_BYTES = 64 << 10
"""How much of a file ``sniff`` wants to see at first."""
_MORE_BYTES = (1 << 20, 20 << 20)
"""How much more it asks for where that decompresses to nothing yet: a zstd block, a zstd dictionary."""
_JSON_LINES = 20
"""How many lines that are not blank tell JSONL."""
_CONTROL_SHARE = 0.02
"""Above this share of control characters a file is binary. Compressed or random data has 9 %; real web
pages hold a stray NUL now and then."""

ReadMore = Callable[[int], bytes]
"""The first n bytes of the file, fewer only where it ends."""


@dataclass(frozen=True, slots=True)
class Format:
    """What a file is and how it is packed."""

    format: FormatName
    compression: Compression = ""
    language: str | None = None
    """Programming language of source code (``python``), else None."""


def sniff(head: bytes, name: str, read_more: ReadMore) -> Format:
    """Tell the format of a file.

    Args:
        head: the first ``HEAD_BYTES`` bytes of the file, all of it where it is shorter.
        name: file name, a hint where the content is text of some kind, or broken at its beginning.
        read_more: called only where the head does not suffice.
    """
    if not head:
        return Format("empty")
    compression = _compression(head)
    named_compression, inner_name = split_name(name)
    if not compression:
        found = _tell(head, len(head) < HEAD_BYTES, inner_name)
        if found is not None:
            return found
        return _damaged_beginning(named_compression, inner_name, read_more)
    sample, whole, broken = _decompressed_head(head, compression, read_more)
    if not sample and not broken:
        return Format("empty", compression)
    inner = _tell(sample, whole, inner_name) if sample else None
    if inner is None:
        inner = Format(_format_by_name(inner_name) or ("text" if broken else "binary"))
    return Format(inner.format, compression, inner.language)


def split_name(name: str) -> tuple[Compression, str]:
    """The compression that a name claims, and the name without it."""
    path = PurePosixPath(name)
    claimed = _COMPRESSION_SUFFIXES.get(path.suffix.lower(), "")
    return claimed, path.stem if claimed else path.name


# --- Text or binary --------------------------------------------------------------------------------------

_COMPRESSION_SUFFIXES: dict[str, Compression] = {
    ".gz": "gzip", ".gzip": "gzip", ".zst": "zstd", ".zstd": "zstd",
}  # fmt: skip

_MAGICS: dict[bytes, str] = {
    b"%PDF-": "PDF", b"%!PS": "PostScript", b"{\\rtf": "RTF", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "Microsoft Office",
    b"\x89PNG\r\n\x1a\n": "PNG image", b"\xff\xd8\xff": "JPEG image", b"GIF87a": "GIF image", b"GIF89a": "GIF image",
    b"II*\0": "TIFF image", b"MM\0*": "TIFF image", b"8BPS\0": "Photoshop image", b"\0\0\1\0": "icon",
    b"PK\x03\x04": "ZIP archive", b"PK\x05\x06": "ZIP archive", b"7z\xbc\xaf\x27\x1c": "7z archive",
    b"Rar!\x1a\x07": "RAR archive", b"\xfd7zXZ\0": "xz archive", b"\x1f\x8b\x08": "gzip file",
    b"\x28\xb5\x2f\xfd": "zstd file", b"\x04\x22\x4d\x18": "lz4 file", b"\x1f\x9d": "compress archive",
    b"!<arch>\n": "ar archive", b"\x7fELF": "ELF program", b"\xca\xfe\xba\xbe": "Java class", b"\0asm": "WebAssembly",
    b"OggS\0": "Ogg media", b"fLaC\0": "FLAC audio", b"\x1aE\xdf\xa3": "Matroska video", b"FLV\x01": "Flash video",
    b"wOFF": "font", b"wOF2": "font", b"OTTO\0": "font", b"\0\1\0\0": "font", b"SQLite format 3\0": "SQLite database",
    b"ARROW1\0\0": "Arrow file", b"\x93NUMPY": "NumPy array", b"\x89HDF\r\n\x1a\n": "HDF5 file",
    b"PAR1\x15": "Parquet file", b"PARE": "encrypted Parquet file",
}  # fmt: skip
_MAGIC_PREFIXES = tuple(_MAGICS)
_MAGIC_PATTERNS = (
    (re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"), "bzip2 archive"),
    (re.compile(rb"RIFF....(WEBP|WAVE|AVI )", re.DOTALL), "RIFF media"),
    (re.compile(rb"....ftyp[ -~]{4}", re.DOTALL), "MP4 media"),
    (re.compile(rb"ID3[\x02-\x04][\0-\x0a]", re.DOTALL), "MP3 audio"),
    (re.compile(rb"[CFZ]WS[\x01-\x2f]....", re.DOTALL), "Flash"),
    (re.compile(rb".{257}ustar", re.DOTALL), "tar archive"),
)
_NO_CONTROLS = bytes(set(range(256)) - set(range(32)) - {127} | set(b"\t\n\r\f\v\b\x1a\x1b\x0e\x0f"))
"""What text may hold; ESC, SO and SI shift character sets in ISO-2022, 0x1A ends files of DOS."""


def binary_kind(head: bytes) -> str:
    """What binary data seems to be, for people (``PDF``, ``unknown binary data``); ``""`` for text."""
    if head.startswith(_MAGIC_PREFIXES):
        return next(kind for magic, kind in _MAGICS.items() if head.startswith(magic))
    for pattern, kind in _MAGIC_PATTERNS:
        if pattern.match(head):
            return kind
    controls = len(head.translate(None, _NO_CONTROLS))
    if controls > _CONTROL_SHARE * len(head) and not _wide_encoding(head):
        return "unknown binary data"
    return ""


def looks_binary(head: bytes) -> bool:
    """Whether data is no text: a known binary format, or too many control characters."""
    return binary_kind(head) != ""


def _wide_encoding(head: bytes) -> str:
    """``utf-16-le`` and so on for text in UTF-16 or UTF-32 (with BOM, or plain to see), else ``""``."""
    encoding, skip = "", 0
    for bom, name in _WIDE_BOMS:
        if head.startswith(bom):
            encoding, skip = name, len(bom)
            break
    else:
        if len(head) >= 8 and 0 in head:
            encoding = (wide_codec(head) or "").replace("_", "-")
    if not encoding:
        return ""
    unit = 4 if "32" in encoding else 2
    sample = head[skip:4096]
    text = sample[: len(sample) // unit * unit].decode(encoding, "replace")
    # Random bytes taken for UTF-16 hold 3 % of unpaired surrogates.
    odd_ones = sum(c == "\ufffd" or (c < " " and c not in "\t\n\r\f\v\x1a") for c in text)
    return encoding if odd_ones <= _CONTROL_SHARE * len(text) + 1 else ""


_WIDE_BOMS = (
    (b"\xff\xfe\0\0", "utf-32-le"),
    (b"\0\0\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)


def _narrow(head: bytes) -> bytes:
    """The data in an encoding that contains ASCII, without BOM and NULs."""
    if encoding := _wide_encoding(head):
        return head.decode(encoding, "replace").lstrip("\ufeff").encode()
    # Browsers drop stray NULs, and a page with some is none the less a page.
    return head.removeprefix(b"\xef\xbb\xbf").replace(b"\0", b"")


# --- HTML ------------------------------------------------------------------------------------------------

_STRONG = re.compile(rb"<(?:!doctype\s+html|(?:html|head|body|title)(?=[\s>/:]))", re.IGNORECASE)
_BEFORE_STRONG = re.compile(rb"<(?:meta|link|script|style|base|noscript)[\s>/]", re.IGNORECASE)
_WEAK = re.compile(
    rb"<(?:!doctype\s+html|!--|/?(?:html|head|body|title|meta|link|script|style|base|noscript|iframe|frameset"
    rb"|div|span|p|a|b|i|br|hr|h[1-6]|ul|ol|li|dl|dt|dd|table|thead|tbody|tr|td|th|form|input|img|center|font"
    rb"|pre|code|blockquote|article|section|header|footer|nav|main|aside|figure|em|strong|small|big|u|tt)"
    rb"(?=[\s>/]))",
    re.IGNORECASE,
)
_SKIPPED = (
    (b"<!--", b"-->"),
    (b"<?", b">"),
    (b"<![", b">"),
)


def looks_html(head: bytes, weak: bool = False) -> bool:
    """Whether data begins as an HTML document does.

    After BOM, white space, comments and processing instructions there must be the document type or one of
    ``html``, ``head``, ``body``, ``title`` (or what may stand before them, and then one of them).

    Args:
        weak: accept any common HTML tag, and a comment that does not end within ``head``.
    """
    data = _narrow(head)
    at = 0
    while True:
        at = _skip_space(data, at)
        opening = next((pair for pair in _SKIPPED if data.startswith(pair[0], at)), None)
        if opening is None:
            break
        after = data.find(opening[1], at + len(opening[0]))
        if after < 0:
            return weak and opening[0] == b"<!--"
        at = after + len(opening[1])
    if _STRONG.match(data, at):
        return True
    if _BEFORE_STRONG.match(data, at) and _STRONG.search(data, at):
        return True
    return weak and _WEAK.match(data, at) is not None


def _skip_space(data: bytes, at: int) -> int:
    found = _NOT_SPACE.search(data, at)
    return found.start() if found else len(data)


_NOT_SPACE = re.compile(rb"[^\s\0]")
_SERVER_CODE = re.compile(rb"<\?(?:php|=)|<%|\{%|\{\{")
_ANY_TAG = re.compile(rb"</?[a-zA-Z!]")


# --- All formats -----------------------------------------------------------------------------------------

_WARC = re.compile(rb"[\r\n]*WARC/\d+\.\d+[ \t]*\r?\n[\w-]+[ \t]*:", re.IGNORECASE)
_WARC_INSIDE = re.compile(rb"WARC/\d+\.\d+[ \t]*\r?\nWARC-[\w-]+:|\nWARC-(?:Type|Record-ID):", re.IGNORECASE)
_ARC = re.compile(rb"\s*filedesc:\S* \S+ \d{8,14} \S+ \d+\r?\n")
_ARC_INSIDE = re.compile(rb"\nhttps?://\S+ [\d.:a-fA-F]+ \d{14} \S+ \d+\r?\n")
_JSON_BEGUN = re.compile(rb'\s*\{\s*"(?:[^"\\]|\\.)*"\s*:')


def _tell(data: bytes, whole: bool, name: str) -> Format | None:
    """The format of decompressed data; None where it is binary and not recognised."""
    if _WARC.match(data):
        return Format("warc")
    if _ARC.match(data):
        return Format("arc")
    kind = binary_kind(data)
    if kind.endswith("Parquet file"):
        return Format("parquet")
    if kind:
        return None if kind == "unknown binary data" else Format("binary")
    from curation.sources.programming import programming_language

    plain = _narrow(data)
    language = programming_language(name, plain)
    if looks_html(plain) and not (language and _SERVER_CODE.search(plain)):
        return Format("html")
    if _is_jsonl(plain, whole, PurePosixPath(name).suffix.lower() == ".json"):
        return Format("jsonl")
    named = _format_by_name(name)
    if (
        named == "jsonl"
        or (named == "html" and (looks_html(plain, weak=True) or _ANY_TAG.search(plain)))
        or (named == "warc" and _WARC_INSIDE.search(plain))
        or (named == "arc" and _ARC_INSIDE.search(plain))
    ):
        return Format(named)
    return Format("code", language=language) if language else Format("text")


_FORMATS_BY_SUFFIX: dict[str, FormatName] = {
    ".warc": "warc", ".wet": "warc", ".wat": "warc", ".arc": "arc", ".jsonl": "jsonl", ".ndjson": "jsonl",
    ".parquet": "parquet", ".pq": "parquet", ".html": "html", ".htm": "html", ".xhtml": "html",
}  # fmt: skip


def _format_by_name(name: str) -> FormatName | None:
    return _FORMATS_BY_SUFFIX.get(PurePosixPath(name).suffix.lower())


def _is_jsonl(data: bytes, whole: bool, named_json: bool) -> bool:
    """Whether most lines begin with ``{`` and one of the first is an object: the very first may be broken.

    Lines of a JSON document that is spread over several lines end in commas, or begin with other things.
    """
    if data[:1] not in b"{" and b"\n{" not in data:
        return bool(_JSON_BEGUN.match(data)) and _is_jsonl(data.lstrip(), whole, named_json)
    pieces = data.split(b"\n", 4 * _JSON_LINES)
    if len(pieces) > 4 * _JSON_LINES or (not whole and len(pieces) > 1):
        pieces.pop()
    lines = [line for piece in pieces if (line := piece.strip())][:_JSON_LINES]
    if not lines:
        return False
    if len(lines) == 1:
        if named_json:
            return False
        if not whole and len(pieces) == 1:
            return _JSON_BEGUN.match(data) is not None
    if lines[0] in (b"{", b"[", b"[{"):
        return False
    objects = [line for line in lines if line.startswith(b"{")]
    with_comma = sum(line.endswith(b",") for line in objects)
    if 2 * len(objects) <= len(lines) or 2 * with_comma > len(objects):
        return False
    return any(_is_object(line) for line in objects)


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        pass
    try:
        return isinstance(json.loads(line.decode("latin-1"), strict=False), dict)
    except (ValueError, RecursionError):
        return False


def _compression(head: bytes) -> Compression:
    if head.startswith(b"\x1f\x8b\x08"):
        return "gzip"
    # A zstd frame, or a skippable one (which may hold the dictionary) before it.
    if head.startswith(b"\x28\xb5\x2f\xfd") or (head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50):
        return "zstd"
    return ""


def _decompressed_head(head: bytes, compression: Compression, read_more: ReadMore) -> tuple[bytes, bool, bool]:
    """(data, whether that is all of it, whether something was broken)."""
    sample, whole, broken = _decompress(head, compression, len(head) < HEAD_BYTES)
    for size in _MORE_BYTES:
        if sample or len(head) < HEAD_BYTES:
            break
        more = read_more(size)
        sample, whole, broken = _decompress(more, compression, len(more) < size)
        if len(more) < size:
            break
    return sample, whole, broken


def _decompress(data: bytes, compression: Compression, complete: bool) -> tuple[bytes, bool, bool]:
    """As above. Of damaged data the longest stretch between damages."""
    longest, sample = b"", bytearray()
    broken = cut = False
    for member in open_members(io.BytesIO(data), compression):
        try:
            while len(sample) < HEAD_BYTES and (chunk := member.read(HEAD_BYTES)):
                sample += chunk
        except MemberError as error:
            cut = True
            if complete or error.kind != "truncated":
                broken = True
                longest = max(longest, bytes(sample), key=len)
                sample.clear()
        if len(sample) >= HEAD_BYTES:
            cut = True
            break
    longest = max(longest, bytes(sample), key=len)
    return longest[:HEAD_BYTES], complete and not cut, broken


def _damaged_beginning(named_compression: Compression, name: str, read_more: ReadMore) -> Format:
    """For what begins as no known format does: an archive with a broken beginning goes on as an archive."""
    data = read_more(_MORE_BYTES[0])
    for compression in (named_compression, "gzip", "zstd") if named_compression else ("gzip", "zstd"):
        sample, _, _ = _decompress(data, compression, complete=False)
        if _WARC.match(sample):
            return Format("warc", compression)
        if _ARC_INSIDE.match(b"\n" + sample):
            return Format("arc", compression)
    if not named_compression and _WARC_INSIDE.search(data):
        return Format("warc")
    named = _format_by_name(name)
    if named_compression:
        return Format(named or "text", named_compression)
    return Format(named if named in ("warc", "arc", "parquet") else "binary")
