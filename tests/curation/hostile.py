"""Hostile input, written byte by byte, with what must come of it counted independently of any reader.

Nothing here uses the code under test. A case is a file and a claim: the marks (unique words) that must be
found in kept texts, those that must not, and how many records of which kind there are. Everything is
deterministic.
"""

import gzip
import random
import struct
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import zstandard

from tests.curation.inputs import prose

CRLF = b"\r\n"


@dataclass
class Case:
    """A file, and what must come of it."""

    name: str
    data: bytes
    marks: list[str] = field(default_factory=list)
    """Words that kept texts of this file must contain, each in one document."""
    absent: list[str] = field(default_factory=list)
    """Words that no kept text may contain."""
    bad: int | None = None
    """Quarantined records; None: at least one if damaged, any number otherwise."""
    damaged: bool | None = False
    """Whether the file cannot be read whole; None: that is for the reader to judge."""
    records: int | None = None
    """Raw records in all, where that is certain."""
    format: str | None = None


def mark(case: str, number: int) -> str:
    """A word that stands in no other record of any case."""
    return f"mark{zlib.crc32(f'{case}/{number}'.encode()):08x}n{number}"


def html(word: str, seed: int = 0, extra: str = "", head: str = "") -> bytes:
    """A page whose main text holds a word at its beginning and at its end."""
    return (
        f"<!DOCTYPE html><html><head><title>Page</title>{head}</head><body><main><article><h1>Page</h1>"
        f"<p>{word} {prose('en', seed, 4)}</p>{extra}<p>{prose('en', seed + 1, 4)} {word}.</p></article></main>"
        "</body></html>"
    ).encode()


# ---- WARC and ARC ----


def http(
    body: bytes, fields: Iterable[str] = ("Content-Type: text/html; charset=utf-8",), status: str = "200 OK"
) -> bytes:
    """An HTTP response as a crawler stores it."""
    return CRLF.join([f"HTTP/1.1 {status}".encode(), *(line.encode("latin-1") for line in fields), b"", body])


def warc_record(url: str, block: bytes, kind: str = "response", length: object = None, number: int = 0) -> bytes:
    """A WARC/1.0 record.

    Args:
        length: what Content-Length says instead of the truth; ``""`` leaves it out.
    """
    media = {"response": "application/http; msgtype=response", "conversion": "text/plain"}.get(kind, "text/plain")
    lines = [
        "WARC/1.0",
        f"WARC-Type: {kind}",
        f"WARC-Target-URI: {url}",
        "WARC-Date: 2024-05-06T07:08:09Z",
        f"WARC-Record-ID: <urn:uuid:00000000-0000-4000-8000-{number:012d}>",
        f"Content-Type: {media}",
    ]
    if length != "":
        lines.append(f"Content-Length: {len(block) if length is None else length}")
    return CRLF.join([*(line.encode() for line in lines), b"", block, b"", b""])


def pages(case: str, count: int) -> list[bytes]:
    """Records of a WARC, a marked page each."""
    return [warc_record(f"http://{n}.example/{case}", http(html(mark(case, n), n)), number=n) for n in range(count)]


def marks(case: str, numbers: Iterable[int]) -> list[str]:
    """The marks of some records."""
    return [mark(case, number) for number in numbers]


def members(records: Sequence[bytes]) -> list[bytes]:
    """A gzip member each, as crawlers write them."""
    return [gzip.compress(record, 6, mtime=0) for record in records]


def frames(records: Sequence[bytes]) -> list[bytes]:
    """A zstd frame each, with checksum."""
    packer = zstandard.ZstdCompressor(level=3, write_checksum=True)
    return [packer.compress(record) for record in records]


def flip(data: bytes, at: int, bit: int = 3) -> bytes:
    """One bit turned over."""
    return data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :]


def whole_before_damage(packed: bytes, records: Sequence[bytes], spare: int = 0) -> int:
    """How many records lie whole in what zlib gives of a damaged gzip file before it complains."""
    unpacker, out = zlib.decompressobj(31), b""
    try:
        for at in range(len(packed)):
            out += unpacker.decompress(packed[at : at + 1])
    except zlib.error:
        pass
    end = count = 0
    for record in records:
        end += len(record)
        if end + spare > len(out) or out[end - len(record) : end] != record:
            break
        count += 1
    return count


def archives() -> list[Case]:
    """WARC and ARC files, damaged in every way, and some that only look so."""
    cases: list[Case] = []

    def add(name: str, data: bytes, numbers: Iterable[int], damaged: bool | None, **more: object) -> None:
        cases.append(Case(name, data, marks(name, numbers), damaged=damaged, **more))  # type: ignore[arg-type]

    def all_but(count: int, *lost: int) -> list[int]:
        return [n for n in range(count) if n not in lost]

    # undamaged, in every wrapping
    for name, join in {
        "plain.warc": b"".join,
        "members.warc.gz": lambda records: b"".join(members(records)),
        "frames.warc.zst": lambda records: b"".join(frames(records)),
        "single.warc.gz": lambda records: gzip.compress(b"".join(records), mtime=0),
        "single.warc.zst": lambda records: frames([b"".join(records)])[0],
        "members.jsonl": lambda records: b"".join(members(records)),  # the name lies
    }.items():
        add(name, join(pages(name, 8)), range(8), False, bad=0, records=8)  # type: ignore[no-untyped-call]
    # several records a member, and members that begin inside a record
    body = b"".join(pages("blocks.warc.gz", 8))
    step = len(body) // 5
    cut = [body[at : at + step] for at in range(0, len(body), step)]
    add("blocks.warc.gz", b"".join(members(cut)), range(8), False, bad=0, records=8)
    # zeros behind the end, as tapes and copies leave them
    add("padded.warc.gz", b"".join(members(pages("padded.warc.gz", 6))) + bytes(4096), range(6), False)

    # cut off
    for share in (0.2, 0.5, 0.77, 0.999):
        for name, wrap in (
            (f"cut{share}.warc.gz", members),
            (f"cut{share}.warc.zst", frames),
            (f"cut{share}.warc", list),
        ):
            packed = wrap(pages(name, 10))
            whole = b"".join(packed)
            end = int(len(whole) * share) + 7 if share < 0.999 else len(whole) - 5
            sizes = [sum(map(len, packed[: n + 1])) for n in range(10)]
            survivors = [n for n in range(10) if sizes[n] <= end]
            # A record in plain text that lacks nothing but line ends behind it is whole.
            damaged = not (name.endswith(".warc") and share == 0.999)
            if damaged or not name.endswith(".warc"):
                add(name, whole[:end], survivors, True)
    name = "single-cut.warc.gz"
    records = pages(name, 30)
    packed_one = gzip.compress(b"".join(records), mtime=0)[:-3000]
    add(name, packed_one, range(whole_before_damage(packed_one, records)), True)
    name = "single-flip.warc.gz"
    records = pages(name, 60)
    packed_one = gzip.compress(b"".join(records), mtime=0)
    packed_one = flip(packed_one, len(packed_one) * 3 // 4)
    add(name, packed_one, range(whole_before_damage(packed_one, records)), True)

    # bits turned over in the 5th of 10
    for name, at in (
        ("flip-magic.warc.gz", 0),
        ("flip-method.warc.gz", 2),
        ("flip-flags.warc.gz", 3),
        ("flip-early.warc.gz", 14),
        ("flip-middle.warc.gz", 400),
        ("flip-crc.warc.gz", -7),
        ("flip-size.warc.gz", -3),
    ):
        packed = members(pages(name, 10))
        packed[4] = flip(packed[4], at % len(packed[4]))
        add(name, b"".join(packed), all_but(10, 4), True)
    for name, at in (
        ("flip-magic.warc.zst", 1),
        ("flip-header.warc.zst", 4),
        ("flip-middle.warc.zst", 300),
        ("flip-sum.warc.zst", -2),
    ):
        packed = frames(pages(name, 10))
        packed[4] = flip(packed[4], at % len(packed[4]))
        add(name, b"".join(packed), all_but(10, 4), True)
    for name, wrap in (("zeroed.warc.gz", members), ("zeroed.warc.zst", frames)):
        packed = wrap(pages(name, 10))
        packed[3] = packed[3][:100] + bytes(40) + packed[3][140:]
        add(name, b"".join(packed), all_but(10, 3), True)
    name = "zeroed-border.warc.gz"  # the end of one and the beginning of the next
    packed = members(pages(name, 10))
    packed[3], packed[4] = packed[3][:-20] + bytes(20), bytes(20) + packed[4][20:]
    add(name, b"".join(packed), all_but(10, 3, 4), True)
    name = "rubbish-between.warc.gz"
    packed = members(pages(name, 10))
    add(name, b"".join(packed[:5]) + random.Random(1).randbytes(5000) + b"".join(packed[5:]), range(10), True)
    name = "lost-member-middle.warc.gz"  # 700 bytes were lost in transfer
    packed = members(pages(name, 10))
    packed[6] = packed[6][:200] + packed[6][-50:]
    add(name, b"".join(packed), all_but(10, 6), True)
    name = "first-broken.warc.gz"
    packed = members(pages(name, 10))
    packed[0] = flip(packed[0], 60)
    add(name, b"".join(packed), all_but(10, 0), True)

    # headers that lie, in a file without compression and in one member a record
    for wrapping, wrap in (("warc", list), ("warc.gz", members)):
        for what, length in (
            ("short", 300),
            ("long", 999_999),
            ("huge", 10**30),
            ("negative", -5),
            ("missing", ""),
            ("words", "many"),
            ("zero", 0),
            ("long-by-50", "+50"),
        ):
            name = f"length-{what}.{wrapping}"
            records = pages(name, 10)
            block = http(html(mark(name, 4), 4))
            claimed = len(block) + 50 if length == "+50" else length
            records[4] = warc_record(f"http://4.example/{name}", block, length=claimed, number=4)
            add(name, b"".join(wrap(records)), range(10), None)
    for what, old, new in (
        ("version", b"WARC/1.0", b"VARC/1.0"),
        ("type", b"WARC-Type", b"WARC-Tpye"),
        ("version9", b"WARC/1.0", b"WARC/9.9"),
        ("colon", b"Content-Length:", b"Content-Length "),
        ("nul", b"WARC-Date: 2024", b"WARC-Date:\0\0\0\0\0"),
        ("binary", b"WARC-Record-ID", b"\xff\xfe\x80\x81\n\n\n\r\r\r"),
    ):
        name = f"header-{what}.warc"
        records = pages(name, 10)
        records[4] = records[4].replace(old, new, 1)
        add(name, b"".join(records), all_but(10, 4), None)
    name = "plain-zeroed.warc"
    records = pages(name, 10)
    records[4] = bytes(60) + records[4][60:]
    add(name, b"".join(records), all_but(10, 4), True)

    # WET and ARC
    name = "texts.warc.wet.gz"
    texts = [f"{mark(name, n)} {prose('en', n)}".encode() for n in range(8)]
    records = [warc_record(f"http://{n}.example/wet", text, "conversion", number=n) for n, text in enumerate(texts)]
    add(
        name,
        b"".join(members([warc_record("", b"software: x", "warcinfo"), *records])),
        range(8),
        False,
        bad=0,
        records=9,
    )
    for name, wrap in (("old.arc", list), ("old.arc.gz", members)):
        records = arc(name, 8)
        add(name, b"".join(wrap(records)), range(8), False, bad=0, records=9)
    name = "cut.arc.gz"
    packed = members(arc(name, 8))
    add(name, b"".join(packed)[:-200], range(7), True)
    name = "flip.arc.gz"
    packed = members(arc(name, 8))
    packed[4] = flip(packed[4], 150)
    add(name, b"".join(packed), all_but(8, 3), True)
    return cases


def arc(case: str, count: int) -> list[bytes]:
    """Records of an ARC file, version 1: its own description first, then marked pages."""
    about = b"1 0 InternetArchive\nURL IP-address Archive-date Content-type Archive-length\n\n"
    records = [b"filedesc://x.arc 0.0.0.0 20080430204825 text/plain %d\n" % len(about) + about + b"\n"]
    for n in range(count):
        block = http(html(mark(case, n), n))
        line = f"http://{n}.example/arc 10.0.0.1 20080430204826 text/html {len(block)}\n"
        records.append(line.encode() + block + b"\n")
    return records


# ---- HTTP ----


def lying_responses(case: str = "lies.warc.gz") -> Case:
    """Responses whose encodings are not what they say; all of them can be read."""
    import brotli

    def chunked(body: bytes, size: int = 700, end: bytes = b"0\r\n\r\n") -> bytes:
        cut = [body[at : at + size] for at in range(0, len(body), size)]
        return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in cut) + end

    te, ce, text = "Transfer-Encoding: chunked", "Content-Encoding: ", "Content-Type: text/html; charset=utf-8"
    raw_deflate = zlib.compressobj(wbits=-15)
    ways = [
        ([te], chunked),
        ([te], lambda body: body),  # says chunked, is not
        ([], lambda body: body),
        ([te], lambda body: chunked(body, end=b"")),  # the last chunk is missing
        ([te], lambda body: chunked(body, end=b"0\r\nExpires: never\r\n\r\n")),
        ([te], lambda body: chunked(body).replace(b"\r\n2bc\r\n", b"\r\n0002BC;a=b\r\n")),
        ([ce + "gzip"], lambda body: gzip.compress(body, mtime=0)),
        ([ce + "gzip"], lambda body: body),  # undone by the crawler
        ([ce + "gzip", te], lambda body: chunked(gzip.compress(body, mtime=0))),
        ([ce + "gzip", te], lambda body: gzip.compress(body, mtime=0)),
        ([ce + "gzip"], lambda body: gzip.compress(body, mtime=0)[:-8]),
        ([ce + "deflate"], zlib.compress),
        ([ce + "deflate"], lambda body: raw_deflate.compress(body) + raw_deflate.flush()),
        ([ce + "deflate"], lambda body: gzip.compress(body, mtime=0)),
        ([ce + "br"], brotli.compress),
        ([ce + "br"], lambda body: body),
        ([ce + "zstd"], lambda body: frames([body])[0]),
        ([ce + "gzip, gzip"], lambda body: gzip.compress(gzip.compress(body, mtime=0), mtime=0)),
        ([ce + "gzip, br"], lambda body: brotli.compress(gzip.compress(body, mtime=0))),
        ([ce + "identity"], lambda body: body),
        ([ce + "utf-8"], lambda body: body),
        ([ce + "x-gzip"], lambda body: gzip.compress(body, mtime=0)),
        ([ce + "none"], lambda body: body),
        (["Content-Length: 3"], lambda body: body),
        (["Content-Length: 99999999"], lambda body: body),
        (["X: " + "y" * 20000], lambda body: body),
        (["no colon here at all"], lambda body: body),
        ([text.replace("html", "plain")], lambda body: body),
    ]
    records = []
    for n, (lines, encode) in enumerate(ways):
        fields = [*lines] if any(line.startswith("Content-Type") for line in lines) else [text, *lines]
        block = http(encode(html(mark(case, n), n)), fields)
        records.append(warc_record(f"http://{n}.example/lies", block, number=n))
    n = len(ways)
    body = html(mark(case, n), n)
    records.append(
        warc_record(f"http://{n}.example/lf", http(body).replace(CRLF, b"\n", 2).replace(CRLF, b"\n"), number=n)
    )
    n += 1
    records.append(warc_record(f"http://{n}.example/no-type", http(html(mark(case, n), n), []), number=n))
    n += 1
    octets = http(html(mark(case, n), n), ["Content-Type: text/html; charset=no-such-thing"])
    records.append(warc_record(f"http://{n}.example/charset", octets, number=n))
    n += 1
    # half of a gzip body: its beginning is readable
    packed = gzip.compress(html(mark(case, n), n, extra=f"<p>{random.Random(3).randbytes(3000).hex()}</p>"), mtime=0)
    records.append(
        warc_record(f"http://{n}.example/half", http(packed[: len(packed) // 2], [text, ce + "gzip"]), number=n)
    )
    return Case(case, b"".join(members(records)), marks(case, range(n + 1)), bad=0, records=n + 1)


def http_bomb(megabytes: int) -> bytes:
    """A gzip member that holds this many megabytes of spaces, made piece by piece."""
    packer = zlib.compressobj(9, wbits=31)
    piece = b" " * (1 << 20)
    return b"".join([*(packer.compress(piece) for _ in range(megabytes)), packer.flush()])


def big_gzip(path: Path, head: bytes, megabytes: int, tail: bytes, filler: bytes = b"word ") -> None:
    """A gzip file: ``head``, so many megabytes of a repeated word, ``tail``."""
    packer = zlib.compressobj(1, wbits=31)
    piece = (filler * (1 << 20))[: 1 << 20]
    with path.open("wb") as file:
        file.write(packer.compress(head))
        for _ in range(megabytes):
            file.write(packer.compress(piece))
        file.write(packer.compress(tail) + packer.flush())


# ---- charsets ----

TEXTS = {
    "ko": "안녕하세요 여러분, 오늘은 우리 마을의 오래된 도서관에 대하여 이야기하려고 합니다. 도서관은 백 년 전에 지어졌고 많은 사람들이 "  # noqa: E501
    "매일 그곳에서 책을 읽습니다. 아이들은 주말마다 부모님과 함께 와서 그림책을 고르고, 할아버지들은 신문을 읽으며 하루를 보냅니다. "  # noqa: E501
    "올해 가을에는 새로운 건물이 문을 열 예정이며 모두가 그날을 기다리고 있습니다.",
    "ja": "こんにちは。今日は私たちの町にある古い図書館についてお話しします。この図書館は百年前に建てられ、毎日多くの人々が本を読みに来ます。"  # noqa: E501
    "子どもたちは週末になると両親と一緒に絵本を選び、お年寄りは新聞を読んで一日を過ごします。今年の秋には新しい建物が開館する予定で、"
    "みんながその日を楽しみに待っています。カタカナの言葉もたくさんあります。",
    "zh-Hans": "大家好，今天我想谈谈我们镇上的老图书馆。这座图书馆建于一百年前，每天都有许多人来这里读书。孩子们周末和父母一起来挑选图画书，"  # noqa: E501
    "老人们则看报纸度过一天。今年秋天，新的大楼将要开放，所有人都在期待那一天的到来。图书馆的工作人员非常热情，他们会帮助每一位读者找到想要的书籍。",
    "zh-Hant": "大家好，今天我想談談我們鎮上的老圖書館。這座圖書館建於一百年前，每天都有許多人來這裡讀書。孩子們週末和父母一起來挑選圖畫書，"  # noqa: E501
    "老人們則看報紙度過一天。今年秋天，新的大樓將要開放，所有人都在期待那一天的到來。圖書館的工作人員非常熱情，他們會幫助每一位讀者找到想要的書籍。",
    "ru": "Здравствуйте, сегодня мы хотим рассказать о старой библиотеке нашего города. Она была построена сто лет назад, и каждый день сюда "  # noqa: E501
    "приходит много людей, чтобы читать книги. Дети выбирают книжки с картинками вместе с родителями, а пожилые люди проводят день за "  # noqa: E501
    "чтением газет. Осенью этого года откроется новое здание, и все с нетерпением ждут этого дня.",
    "fr": "Bonjour à tous, aujourd'hui nous voudrions parler de la vieille bibliothèque de notre ville. Elle a été bâtie il y a cent ans, et "  # noqa: E501
    "chaque jour de très nombreux lecteurs y viennent. Les élèves choisissent des livres illustrés avec leurs parents, tandis que les "  # noqa: E501
    "aînés passent la journée à lire les journaux. Cet été, un bâtiment tout neuf ouvrira ses portes, où l'on fêtera ça dès l'aube.",  # noqa: E501
    "de": "Guten Tag, heute möchten wir über die alte Bücherei unserer Stadt erzählen. Sie wurde vor hundert Jahren gebaut, und täglich kommen "  # noqa: E501
    "viele Menschen, um dort zu lesen. Die Kinder wählen mit ihren Eltern Bilderbücher aus, während ältere Leute Zeitungen lesen. Im "  # noqa: E501
    "Frühjahr öffnet das neue Gebäude, und alle freuen sich schon darauf, größere Räume zu haben.",
}
CHARSETS = {
    # charset -> (language, what a liar declares: another of its kind, and the usual defaults)
    "euc-kr": ("ko", ["shift_jis", "utf-8", "iso-8859-1"]),
    "shift_jis": ("ja", ["euc-jp", "utf-8", "iso-8859-1"]),
    "euc-jp": ("ja", ["shift_jis", "utf-8", "iso-8859-1"]),
    "gb18030": ("zh-Hans", ["big5", "utf-8", "iso-8859-1"]),
    "big5": ("zh-Hant", ["gb2312", "utf-8", "iso-8859-1"]),
    "windows-1251": ("ru", ["koi8-r", "utf-8", "iso-8859-1"]),
    "koi8-r": ("ru", ["windows-1251", "utf-8", "iso-8859-1"]),
    "iso-8859-1": ("fr", ["utf-8", "windows-1251"]),
    "utf-8": ("de", ["iso-8859-1", "windows-1251", "shift_jis"]),
    "utf-16-le": ("ru", ["utf-8", "iso-8859-1"]),
    "utf-16-be": ("ja", ["utf-8", "iso-8859-1"]),
}


@dataclass(frozen=True)
class Declared:
    """A page in a charset, and what is said about it."""

    url: str
    charset: str
    text: str
    way: str
    block: bytes


def declared_pages() -> list[Declared]:
    """Every charset declared rightly, not at all, and wrongly."""
    found = []
    for charset, (language, lies) in CHARSETS.items():
        text = TEXTS[language]
        wide = charset.startswith("utf-16")
        names: list[tuple[str, str | None, str | None]] = [
            ("header", charset, None),
            ("meta", None, charset),
            ("both", charset, charset),
            ("neither", None, None),
        ]
        for lie in lies:
            names += [(f"header-{lie}-meta-right", lie, charset), (f"header-{lie}", lie, None)]
            names += [(f"meta-{lie}-header-right", charset, lie), (f"meta-{lie}", None, lie), (f"both-{lie}", lie, lie)]
        for way, header, meta in names:
            if wide and way in ("neither", "meta"):
                continue  # with a byte order mark below
            found.append(declared(charset, text, way, header, meta))
        if wide:
            found.append(declared(charset, text, "bom", None, None, bom=True))
            found.append(declared(charset, text, "bom-header-lies", "utf-8", None, bom=True))
            found.append(declared(charset, text, "bom-meta-lies", None, "iso-8859-1", bom=True))
            found.append(declared(charset, text, "header-utf-16-bom", "utf-16", None, bom=True))
    return found


def declared(charset: str, text: str, way: str, header: str | None, meta: str | None, bom: bool = False) -> Declared:
    """A page with a text in a charset, and two declarations."""
    tag = f"<meta http-equiv='Content-Type' content='text/html; charset={meta}'>" if meta else ""
    source = (
        f"<!DOCTYPE html><html><head>{tag}<title>{text[:20]}</title></head><body><main><article><p>{text}</p>"
        "</article></main></body></html>"
    )
    body = source.encode(charset)
    if bom:
        body = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}[charset] + body
    fields = [f"Content-Type: text/html{f'; charset={header}' if header else ''}"]
    return Declared(f"http://{charset}.example/{way}", charset, text, way, http(body, fields))


# ---- JSON lines ----


def broken_lines(case: str = "lines.jsonl") -> tuple[bytes, list[str], dict[str, int]]:
    """Good lines between lines broken in every way: (file, marks of those readable, reason -> count)."""
    counter = iter(range(10_000))
    wanted: list[str] = []

    def words() -> str:
        number = next(counter)
        wanted.append(mark(case, number))
        return f"{wanted[-1]} {prose('en', number, 3)}"

    good = [
        lambda: f'{{"text": "{words()}"}}'.encode(),
        lambda: f'  \t{{"text" : "{words()}" }}  '.encode(),
        lambda: b"\xef\xbb\xbf" + f'{{"text": "{words()}"}}'.encode(),
        lambda: f'{{"text": "{words()}"}}\r'.encode(),
        lambda: f'{{"text": "{words()} \\ud800 lone"}}'.encode(),
        lambda: f'{{"text": "\\udc00{words()}\\ud83d"}}'.encode(),
        lambda: f'{{"text": "{words()} \\u0000 nul"}}'.encode(),
        lambda: f'{{"text": "{words()}", "text": "{words_again()}"}}'.encode(),
        lambda: f'{{"text": "{words()}", "score": NaN, "x": Infinity, "y": -Infinity}}'.encode(),
        lambda: f'{{"text": "{words()}", "n": {"9" * 5000}}}'.encode(),
        lambda: f'{{"text": "{words()}", "n": 1e999}}'.encode(),
        lambda: f'{{"text": "{words()}\tand a tab"}}'.encode(),
        lambda: f'{{"text": "{words()} café"}}'.encode("latin-1"),
        lambda: f'{{"text": "{words()} '.encode() + b'caf\xc3\xa9 \xed\xa0\x80 surrogate bytes"}',
        lambda: f'{{"text": "{words()}", "meta": {"[" * 300}{"]" * 300}}}'.encode(),
        lambda: f'{{"content": "{words()}"}}'.encode(),
        lambda: f'{{"text": null, "content": "{words()}"}}'.encode(),
        lambda: f'{{"text": 7, "body": "{words()}"}}'.encode(),
        lambda: f'{{"raw_content": "{words()}", "url": 12, "timestamp": [], "title": {{}}, "author": [1, 2]}}'.encode(),
        lambda: (
            f'{{"text": "{words()}", "url": "http://[::bad/", "timestamp": "99999-99-99", "metadata": null}}'.encode()
        ),
        lambda: f'{{"text": "{words()}", "timestamp": 1e300, "date": -99999999999999}}'.encode(),
        lambda: f'{{"text": "{words()}", "url": "{"u" * 100000}", "title": "{"t" * 100000}"}}'.encode(),
        lambda: f'{{"text": "{words()}\u2028line separator\u0085next line"}}'.encode(),
        lambda: f'{{"html": "<html><body><article><p>{words()}</p></article></body></html>"}}'.encode(),
    ]

    def words_again() -> str:
        wanted.pop()  # of two fields of one name the last counts
        return words()

    bad = {
        "bad_json": [
            b"{",
            b'{"text": "cut',
            b'{"text": "no end"',
            b"rubbish",
            b"}",
            b'{"text" "colon"}',
            b'{"text": "two"} {"text": "objects"}',
            b"{'text': 'python'}",
            b'{"text": "comma",}',
            b'{text: "bare"}',
            b'{"text": "\\x escape"}',
            b'{"text": "\\u12"}',
            b'{"a":' * 200_000,
            b"[" * 100_000 + b"]" * 100_000,
            b'{"text": "x", "a": ' + b"[" * 5000 + b"]" * 5000 + b"}",
            b"<html></html>",
            b"// comment",
        ],
        "not_object": [b"null", b"true", b"17", b"1e5", b'"string"', b"[]", b'[{"text": "in an array"}]', b"NaN"],
        "no_text": [
            b"{}",
            b'{"text": null}',
            b'{"text": 5}',
            b'{"text": ["a"]}',
            b'{"text": {"text": "x"}}',
            b'{"url": "http://x.example/"}',
            b'{"TEXT": "no"}',
        ],
        "empty": [b'{"text": ""}', b'{"text": "  \\n\\t "}'],
    }
    lines: list[bytes] = []
    reasons: dict[str, int] = {}
    for reason, each in bad.items():
        for line in each:
            lines += [line, good[0]()]
            reasons[reason] = reasons.get(reason, 0) + 1
    for make in good:
        lines += [make(), b"", b"   ", good[0]()]  # type: ignore[no-untyped-call]
    return b"\n".join(lines), wanted, reasons


def json_line(word: str, seed: int) -> bytes:
    """A good line."""
    return f'{{"text": "{word} {prose("en", seed, 3)}"}}\n'.encode()


def line_files() -> list[Case]:
    """JSONL files in other encodings and wrappings, and damaged ones."""
    cases: list[Case] = []
    for name, encoding in (
        ("utf16.jsonl", "utf-16"),
        ("utf16le.jsonl", "utf-16-le"),
        ("utf16be.jsonl", "utf-16-be"),
        ("utf8-sig.jsonl", "utf-8-sig"),
        ("utf32.jsonl", "utf-32"),
    ):
        text = "".join(json_line(mark(name, n), n).decode() for n in range(8)).replace("river", "Fluß 河 🌊")
        cases.append(Case(name, text.encode(encoding), marks(name, range(8)), bad=0, records=8, format="jsonl"))
    for name, wrap in (
        ("packed.jsonl.gz", lambda data: gzip.compress(data, mtime=0)),
        ("packed.jsonl.zst", lambda data: frames([data])[0]),
        ("crlf.jsonl", lambda data: data.replace(b"\n", b"\r\n")),
        ("no-newline-at-end.jsonl", lambda data: data[:-1]),
        ("named.parquet", lambda data: data),
        ("utf16.jsonl.gz", lambda data: gzip.compress(data.decode().encode("utf-16"), mtime=0)),
    ):
        lines = b"".join(json_line(mark(name, n), n) for n in range(8))
        cases.append(Case(name, wrap(lines), marks(name, range(8)), bad=0, records=8, format="jsonl"))
    name = "members.jsonl.gz"  # a line a member, one of them damaged
    packed = members([json_line(mark(name, n), n) for n in range(10)])
    packed[4] = flip(packed[4], 60)
    cases.append(Case(name, b"".join(packed), marks(name, [n for n in range(10) if n != 4]), damaged=True))
    name = "cut.jsonl.gz"
    lines_of = [json_line(mark(name, n), n) for n in range(400)]
    whole = gzip.compress(b"".join(lines_of), mtime=0)
    whole = whole[: len(whole) // 2]
    cases.append(Case(name, whole, marks(name, range(whole_before_damage(whole, lines_of))), damaged=True))
    name = "cut.jsonl"  # no line end, no closing brace
    data = b"".join(json_line(mark(name, n), n) for n in range(8))[:-40]
    cases.append(Case(name, data, marks(name, range(7)), bad=1, records=8))
    name = "zeros.jsonl"
    data = b"".join(json_line(mark(name, n), n) for n in range(8))
    size = len(json_line(mark(name, 0), 0))
    cases.append(
        Case(name, data[: size + 50] + bytes(40) + data[size + 90 :], marks(name, [0, *range(2, 8)]), records=8)
    )
    return cases


# ---- Parquet ----


def parquet_bytes(case: str, rows: int = 60, **options: object) -> bytes:
    """A table of marked rows, several row groups and pages."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(
        {
            "text": [f"{mark(case, n)} {prose('en', n, 3)}" for n in range(rows)],
            "url": [f"http://{n}.example/p" for n in range(rows)],
        }
    )
    sink = pa.BufferOutputStream()
    settings: dict[str, object] = {"row_group_size": 10, "compression": "snappy", "use_dictionary": False, **options}
    pq.write_table(table, sink, **settings)
    return bytes(sink.getvalue().to_pybytes())


def column_place(data: bytes, group: int, column: int = 0) -> tuple[int, int]:
    """(offset, bytes) of a column chunk."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    chunk = pq.ParquetFile(pa.BufferReader(data)).metadata.row_group(group).column(column)
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    return min(start, chunk.data_page_offset), chunk.total_compressed_size


def tables() -> list[Case]:
    """Parquet files, good and damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    cases: list[Case] = []

    def write(table: pa.Table, **options: object) -> bytes:
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, **options)
        return bytes(sink.getvalue().to_pybytes())

    for name, options in (
        ("dictionary.parquet", {"use_dictionary": True}),
        ("zstd.parquet", {"compression": "zstd"}),
        ("v2-pages.parquet", {"data_page_version": "2.0"}),
        ("checksums.parquet", {"write_page_checksum": True}),
        ("brotli.parquet", {"compression": "brotli"}),
        ("delta.parquet", {"column_encoding": "DELTA_BYTE_ARRAY"}),
        ("named.txt", {}),
    ):
        cases.append(
            Case(name, parquet_bytes(name, **options), marks(name, range(60)), bad=0, records=60, format="parquet")
        )
    name = "nested.parquet"
    table = pa.table(
        {
            "meta": [{"url": f"http://{n}.example/", "deep": [{"x": [n]}]} for n in range(6)],
            "text": [f"{mark(name, n)} {prose('en', n, 3)}" for n in range(6)],
            "pairs": pa.array([[("a", n)] for n in range(6)], pa.map_(pa.string(), pa.int64())),
        }
    )
    cases.append(Case(name, write(table), marks(name, range(6)), bad=0, records=6))
    for name, kind in (
        ("large.parquet", pa.large_string()),
        ("view.parquet", pa.string_view()),
        ("bytes.parquet", pa.binary()),
    ):
        texts = [f"{mark(name, n)} {prose('en', n, 3)}" for n in range(6)]
        values = [text.encode() for text in texts] if kind == pa.binary() else texts
        cases.append(
            Case(name, write(pa.table({"text": pa.array(values, kind)})), marks(name, range(6)), bad=0, records=6)
        )
    name = "category.parquet"
    column = pa.array([f"{mark(name, n)} {prose('en', n, 3)}" for n in range(6)]).dictionary_encode()
    cases.append(Case(name, write(pa.table({"text": column})), marks(name, range(6)), bad=0, records=6))
    cases.append(Case("numbers.parquet", write(pa.table({"text": [1, 2, 3]})), bad=3, records=3))
    cases.append(Case("no-text.parquet", write(pa.table({"n": [1.5, 2.5]})), bad=2, records=2))
    cases.append(Case("no-rows.parquet", write(pa.table({"text": pa.array([], pa.string())})), bad=0, records=0))
    cases.append(Case("no-columns.parquet", write(pa.table({})), bad=0, records=0))
    name = "holes.parquet"
    texts_or_none = [None if n % 3 == 0 else f"{mark(name, n)} {prose('en', n, 3)}" for n in range(9)]
    cases.append(
        Case(name, write(pa.table({"text": texts_or_none})), marks(name, [1, 2, 4, 5, 7, 8]), bad=3, records=9)
    )
    name = "empty-groups.parquet"
    sink = pa.BufferOutputStream()
    schema = pa.schema([("text", pa.string())])
    with pq.ParquetWriter(sink, schema) as writer:
        for n in range(6):
            writer.write_table(schema.empty_table(), row_group_size=1)
            writer.write_table(pa.table({"text": [f"{mark(name, n)} {prose('en', n, 3)}"]}, schema=schema))
            writer.write_batch(pa.record_batch([pa.array([], pa.string())], schema=schema))
    cases.append(Case(name, sink.getvalue().to_pybytes(), marks(name, range(6)), bad=0, records=6))

    # damaged
    name = "page-zeroed.parquet"
    data = parquet_bytes(name, write_page_checksum=True)
    at, size = column_place(data, 2)
    at += size - 200  # behind the page's header, whose statistics nobody needs
    data = data[:at] + bytes(40) + data[at + 40 :]
    cases.append(Case(name, data, marks(name, [*range(20), *range(30, 60)]), damaged=True))
    name = "page-header.parquet"
    data = parquet_bytes(name)
    at, size = column_place(data, 3)
    data = data[:at] + b"\xff" * 12 + data[at + 12 :]
    cases.append(Case(name, data, marks(name, [*range(30), *range(40, 60)]), damaged=True))
    name = "snappy-flip.parquet"
    data = parquet_bytes(name)
    at, size = column_place(data, 1)
    data = data[: at + 60] + b"\xff" * 8 + data[at + 68 :]
    cases.append(Case(name, data, marks(name, [*range(10), *range(20, 60)]), damaged=None))
    name = "url-damaged.parquet"  # another column than the text
    data = parquet_bytes(name)
    at, size = column_place(data, 1, 1)
    data = data[:at] + b"\xff" * size + data[at + size :]
    cases.append(Case(name, data, marks(name, range(60)), damaged=True))
    for name, cut in (("footer-magic.parquet", -1), ("footer-half.parquet", -300), ("cut-half.parquet", None)):
        data = parquet_bytes(name)
        cases.append(Case(name, data[: cut if cut is not None else len(data) // 2], damaged=True, format="parquet"))
    name = "footer-flip.parquet"
    data = parquet_bytes(name)
    cases.append(Case(name, data[:-200] + b"\xff" * 100 + data[-100:], damaged=True))
    name = "footer-length.parquet"
    data = parquet_bytes(name)
    cases.append(Case(name, data[:-8] + struct.pack("<I", 0xFFFFFFF0) + b"PAR1", damaged=True))
    name = "zero-length-footer.parquet"
    cases.append(Case(name, data[:-8] + struct.pack("<I", 0) + b"PAR1" + b"", damaged=True))
    return cases


# ---- giants ----


def repeated(path: Path, head: bytes, filler: bytes, megabytes: int, tail: bytes) -> None:
    """A file: ``head``, so many megabytes of a repeated word, ``tail``."""
    piece = (filler * (1 << 20))[: 1 << 20]
    with path.open("wb") as file:
        file.write(head)
        for _ in range(megabytes):
            file.write(piece)
        file.write(tail)


def giant(path: Path, megabytes: int) -> tuple[list[str], list[str]]:
    """Write the giant that the file's name asks for: (marks around it, reasons of quarantine)."""
    name, size = path.name, megabytes << 20
    before, after = mark(name, 0), mark(name, 1)
    first, last = json_line(before, 0), json_line(after, 1)
    empty = http(b"")
    announced = warc_record("http://giant.example/", empty, length=len(empty) + size).removesuffix(CRLF * 2)
    record_before = warc_record("http://0.example/", http(html(before)))
    record_after = warc_record("http://1.example/", http(html(after)))
    around = [before, after]
    if name.endswith(".jsonl"):
        fillers = {"text": b"word ", "escapes": b"\\u00e9\\n", "arrays": b"[],"}
        opening = b'{"text": "x", "a": [' if name == "arrays.jsonl" else b'{"text": "'
        closing = b"[]]}\n" if name == "arrays.jsonl" else b'"}\n'
        filler = fillers[path.stem]
        whole = filler * (size // len(filler))
        path.write_bytes(first + opening + whole + closing + last)
    elif name == "line.jsonl.gz":
        big_gzip(path, first + b'{"text": "', megabytes, b'"}\n' + last)
    elif name == "record.warc":
        repeated(path, record_before + announced, b"<p>word ", megabytes, CRLF * 2 + record_after)
    elif name == "record.warc.gz":
        big_gzip(path, announced, megabytes, CRLF * 2, b"<p>word ")
        path.write_bytes(gzip.compress(record_before) + path.read_bytes() + gzip.compress(record_after))
    elif name == "bomb.warc.gz":
        fields = ["Content-Type: text/html", "Content-Encoding: gzip"]
        bomb = warc_record("http://giant.example/", http(http_bomb(megabytes), fields))
        path.write_bytes(b"".join(members([record_before, bomb, record_after])))
    elif name == "cell.parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        texts = [f"{before} {prose('en', 1)}", "word " * (size // 5), f"{after} {prose('en', 2)}"]
        pq.write_table(pa.table({"text": texts}), path)
    elif name == "page.html":
        repeated(path, b"<html><body>", b"<p>word</p> ", megabytes, b"</body></html>")
        around = []
    elif name == "book.txt.gz":
        big_gzip(path, b"Once ", megabytes, b" the end")
        around = []
    else:
        raise ValueError(name)
    return around, ["oversized"]


GIANTS = (
    *("text.jsonl", "escapes.jsonl", "arrays.jsonl", "line.jsonl.gz", "record.warc", "record.warc.gz"),
    *("bomb.warc.gz", "cell.parquet", "page.html", "book.txt.gz"),
)
COMPRESSED_GIANTS = ("line.jsonl.gz", "bomb.warc.gz", "book.txt.gz", "record.warc.gz")


# ---- pages that make extractors run away ----


def runaway_pages() -> dict[str, tuple[bool, bytes]]:
    """Name -> (whether its text must be kept, page). The mark of a page is ``mark("runaway", len(name))``."""

    def wrap(inner: str) -> Callable[[str], str]:
        return lambda word: (
            f"<html><body><article><p>{word} {prose('en', 1, 6)}</p>{inner}<p>{prose('en', 2, 6)}</p></article></body></html>"  # noqa: E501
        )

    laughs = '<!ENTITY lol "lol">' + "".join(f'<!ENTITY lol{n + 1} "{(f"&lol{n or str()};") * 10}">' for n in range(9))
    makers: dict[str, tuple[bool, Callable[[str], str]]] = {
        "divs": (False, wrap("<div>" * 1_000_000)),
        "tables": (False, wrap("<table><tr><td>" * 300)),
        "formatting": (False, wrap("<b><i><a href=x>" * 3000)),
        "attribute": (True, wrap(f'<img src="data:image/png;base64,{"A" * 3_000_000}">')),
        "attributes": (False, wrap("<div " + " ".join(f"a{n}='{n}'" for n in range(100_000)) + ">x</div>")),
        "large-page-of-nine-mb": (False, wrap(f"<p>{prose('en', 3, 8)}</p>" * 12_000)),
        "a-billion-laughs": (
            True,
            lambda word: (
                f'<?xml version="1.0"?><!DOCTYPE l [{laughs}]><html xmlns="http://www.w3.org/1999/xhtml">'
                f"<body><p>{word} {prose('en', 3, 9)} &lol9;</p></body></html>"
            ),
        ),
        "external-entity": (
            True,
            lambda word: (
                f'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><html><body>'
                f"<p>{word} {prose('en', 3, 9)} &x;</p></body></html>"
            ),
        ),
        "zeros": (True, wrap("<p>nul\0in\0side</p>" * 50)),
        "only-less-than-signs": (True, wrap("<" * 200_000)),
        "ampersands-and-wrong-references": (True, wrap("&" * 200_000 + "&#x110000;&#0;&#xD800;&nosuch;&lt")),
        "invisible-and-bidirectional": (True, wrap("\u202e\u2066\ufeff\u200b\U000e0041" * 1000)),
        "combining": (True, wrap("e" + "\u0301" * 100_000)),
        "json-ld": (
            True,
            lambda word: (
                f'<html><head><script type="application/ld+json">{"[" * 50_000}</script></head><body><article>'
                f"<p>{word} {prose('en', 1, 6)}</p></article></body></html>"
            ),
        ),
        "unclosed-comment": (
            True,
            lambda word: f"<html><body><article><p>{word} {prose('en', 1, 6)}</p><!-- {prose('en', 2, 9)}",
        ),
    }
    return {name: (kept, make(mark("runaway", len(name))).encode()) for name, (kept, make) in makers.items()}
