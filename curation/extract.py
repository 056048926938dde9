"""HTML to text, with title, author and date. Pages that would run away are refused."""

import logging
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

from curation.charset import clean_text
from curation.errors import UserError

if TYPE_CHECKING:
    from lxml.etree import XPath, _Element
    from lxml.html import HtmlElement
    from resiliparse.parse.html import HTMLTree

DEEPEST = 2000
"""Upper end of ``max_depth``: libxml2 stops reading a page at a depth of 2048."""


@dataclass(frozen=True)
class ExtractConfig:
    """How text is taken from HTML pages."""

    extractor: Literal["precise", "fast"] = "precise"
    """``precise``: trafilatura, favouring precision; ``fast``: resiliparse."""
    max_html_bytes: int = 5 * 2**20
    """Larger pages are quarantined as ``too_large``. The default is where Common Crawl cuts pages off;
    reading the worst page of that size into a tree takes 400 MB."""
    max_nodes: int = 100_000
    """Pages with more elements and attributes are quarantined as ``too_large``: time and memory grow
    with them, not with bytes. At the default the worst of 19 synthetic pages took ``precise`` 10 s and
    290 MB, ``fast`` 8 s and 220 MB; the largest of 180 news pages has 5,200."""
    max_depth: int = 512
    """Pages whose elements are nested deeper are quarantined as ``too_deep``. 512 is where Chromium stops
    nesting; the deepest of 180 news pages has 51. Time grows with depth: a page of 5 MiB takes
    ``precise`` 1.5 s at a depth of 3 and 10 s at 512."""
    cpu_limit_s: float = 20.0
    """Seconds of CPU time after which a page is given up and quarantined as ``cpu_limit``."""

    def __post_init__(self) -> None:
        if not 1 <= self.max_depth <= DEEPEST:
            raise UserError(f"extract.max_depth: {self.max_depth} is not between 1 and {DEEPEST}")
        if self.cpu_limit_s <= 0:
            raise UserError(f"extract.cpu_limit_s: {self.cpu_limit_s} is not above 0")


@dataclass(slots=True)
class Extracted:
    """What a page holds."""

    text: str = ""
    """Main text: no trailing spaces, at most one blank line in a row; empty where there is none."""
    title: str | None = None
    author: str | None = None
    date: str | None = None
    """When the page was first published, ``YYYY-MM-DD``."""


class TooLarge(Exception):
    """The page is larger than ``max_html_bytes``, or has more than ``max_nodes`` elements and attributes."""


class TooDeep(Exception):
    """Elements of the page are nested deeper than ``max_depth``."""


class CpuLimit(BaseException):
    """Extraction took more CPU time than ``cpu_limit_s``.

    Not an ``Exception``, so that no ``except Exception`` inside a library swallows it.
    """


def extract(html: str, *, url: str | None, config: ExtractConfig, crawled_at: datetime | None) -> Extracted:
    """Main text and metadata of a page, from nothing but the arguments (no state, no today's date).

    Args:
        html: the decoded page, clean in the sense of ``curation.charset``; the charset it names is not heeded.
        url: where it was, a source for its date.
        config: extractor and limits.
        crawled_at: no date of publication lies after this.

    Raises:
        TooLarge, TooDeep: before any costly work.
        CpuLimit: the limit holds in the main thread of a process only (as signals do).
    """
    if len(html) > config.max_html_bytes:  # before anything is copied
        raise TooLarge(f"{len(html)} characters of HTML; extract.max_html_bytes is {config.max_html_bytes}")
    html = _BAD_REFERENCE.sub("\ufffd", html)
    html = html.replace("\ufffe", "\ufffd").replace("\uffff", "\ufffd")
    if match := _SELF_CLOSED.search(html, 0, 4096):
        html = html[: match.end() - 2] + html[match.end() - 1 :]
    body = html.encode()
    if len(body) > config.max_html_bytes:
        raise TooLarge(f"{len(body)} bytes of HTML; extract.max_html_bytes is {config.max_html_bytes}")
    _refuse_many_attributes(body)
    latest = LATEST_DATE
    if crawled_at and crawled_at.date() < date.fromisoformat(LATEST_DATE):
        latest = (crawled_at + timedelta(days=1)).date().isoformat()  # it may be tomorrow where the page is
    with _cpu_limit(config.cpu_limit_s):
        if config.extractor == "fast" and _is_ordinary(html, config):
            found = _fast(html, latest, config)
        else:
            tree = _parse(body, config)
            if tree is None:
                return Extracted()
            found = _precise(tree, url, latest) if config.extractor == "precise" else _fast_from_tree(tree, latest)
    lines = "\n".join(line.rstrip() for line in clean_text(found.text).split("\n"))
    found.text = _BLANK_LINES.sub("\n\n", lines).strip("\n")
    found.title, found.author = _one_line(found.title), _one_line(found.author)
    return found


def _one_line(value: str | None) -> str | None:
    return " ".join(clean_text(value[:MAX_METADATA]).split()) or None if value else None


_BAD_REFERENCE = re.compile(
    "&#(?:[xX]0*(?:[0-8bBeEfF]|1[0-9a-fA-F]|[fF]{3}[efEF])(?![0-9a-fA-F])"
    "|0*(?:[0-8]|11|1[4-9]|2[0-9]|3[01]|6553[45])(?![0-9]));?"
)
"""References to what lxml reads but refuses to copy, upon which trafilatura gives up the page: control
characters, U+FFFE and U+FFFF."""
_SELF_CLOSED = re.compile(r"<html\b[^<>]*/>", re.I)
"""libxml2 takes ``<html/>`` for the whole page; browsers do not."""
LATEST_DATE = "2100-01-01"
"""Latest date of publication believed where the date of the crawl is unknown. A constant, as today's
date would make the same page give another result tomorrow."""
_EARLIEST_DATE = "1995-01-01"
"""What htmldate, used by trafilatura, takes for the beginning of the web."""
MAX_METADATA = 1000
"""Characters kept of a title or an author."""
_BLANK_LINES = re.compile(r"\n{3,}")


# ---- limits -----------------------------------------------------------------------------------


@contextmanager
def _cpu_limit(seconds: float) -> Iterator[None]:
    """Raises CpuLimit inside the block once this process has spent so much more CPU time.

    It is raised again every 0.1 s until it gets through, should something have swallowed it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    armed = True

    def stop(number: int, frame: FrameType | None) -> None:
        if armed:
            raise CpuLimit(f"extraction took more than {seconds:g} s of CPU time (extract.cpu_limit_s)")

    before = signal.signal(signal.SIGPROF, stop)
    try:
        signal.setitimer(signal.ITIMER_PROF, seconds, 0.1)
        try:
            yield
        finally:
            armed = False
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


MAX_ATTRIBUTES = 2000
"""Of one tag. Parsers compare each attribute with all before it: 40,000 take libxml2 10 s, and
lexbor (resiliparse) 5 s, during which no signal is handled; 2,000 take 6 ms."""

_ATTRIBUTE_PATTERN = rb"""[^\s/>][^\s/>=]*+(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s>]*+))?+"""
_ATTRIBUTE = re.compile(_ATTRIBUTE_PATTERN)
_TAG = re.compile(rb"<([A-Za-z][^\s/>]*+)((?:[\s/]*+%b)*+)" % _ATTRIBUTE_PATTERN)
_RAW_TEXT = (b"script", b"style", b"textarea", b"title", b"xmp", b"iframe", b"noembed", b"noframes")
_RAW_TEXT_END = {name: re.compile(rb"</(?i:%b)" % name) for name in _RAW_TEXT}
_ORDINARY = re.compile(
    rb"(?:[^<]++|<(?![A-Za-z])|<(?!(?i:%b)[\s/>])[A-Za-z][^\s/>]*+(?:[\s/]*+%b){0,100}+[\s/]*+>)*+"
    % (b"|".join(_RAW_TEXT), _ATTRIBUTE_PATTERN)
)
"""Text and tags of at most 100 attributes: nearly all of a page, passed over in one step."""


def _refuse_many_attributes(body: bytes) -> None:
    """A linear look at the tags, by the rules of HTML, before a parser sees them."""
    if len(body) < 10 * MAX_ATTRIBUTES:
        return
    position = 0
    while True:
        if ordinary := _ORDINARY.match(body, position):
            position = ordinary.end()
        match = _TAG.match(body, position)
        if not match:
            return
        position = match.end()
        if position - match.start() > 4 * MAX_ATTRIBUTES and len(_ATTRIBUTE.findall(match[2])) > MAX_ATTRIBUTES:
            raise TooLarge(f"a tag with more than {MAX_ATTRIBUTES} attributes")
        if raw_text_end := _RAW_TEXT_END.get(match[1].lower()):
            end = raw_text_end.search(body, position)
            if not end:
                return
            position = end.start()


def _parse(body: bytes, config: ExtractConfig) -> "HtmlElement | None":
    """The page as a tree; None if it is empty."""
    from lxml import etree
    from lxml.html import HtmlComment, HtmlElement, HTMLParser, document_fromstring

    # The encoding is given so that a meta tag cannot bring about a second decoding. Without
    # huge_tree libxml2 would drop, silently, all that comes after a nesting of 256.
    parser = HTMLParser(
        encoding="utf-8",
        huge_tree=True,
        remove_comments=True,
        remove_pis=True,
        collect_ids=False,
        default_doctype=False,
    )
    # lxml.html has a class of its own for forms and inputs, and calls Python for each element to choose it.
    parser.set_element_class_lookup(etree.ElementDefaultClassLookup(element=HtmlElement, comment=HtmlComment))
    try:
        tree = document_fromstring(body, parser=parser)
    except etree.ParserError:  # nothing but white space and comments
        return None
    if _deeper_than(config.max_depth)(tree):
        raise TooDeep(f"elements nested more than {config.max_depth} deep (extract.max_depth)")
    nodes = int(_count_nodes()(tree))
    if nodes > config.max_nodes:
        raise TooLarge(f"{nodes} elements and attributes; extract.max_nodes is {config.max_nodes}")
    return tree


@cache
def _deeper_than(depth: int) -> "XPath":
    from lxml.etree import XPath

    return XPath("boolean(" + "/*" * (depth + 1) + ")")


@cache
def _count_nodes() -> "XPath":
    from lxml.etree import XPath

    return XPath("count(//*) + count(//@*)")


# ---- extractors -------------------------------------------------------------------------------


def _precise(tree: "HtmlElement", url: str | None, latest: str) -> Extracted:
    """trafilatura, which falls back on readability and justext where its own rules find little."""
    _prepare_trafilatura()
    from trafilatura import bare_extraction
    from trafilatura.settings import Document

    found = bare_extraction(
        tree,
        url=url,
        favor_precision=True,
        include_comments=False,
        deduplicate=False,  # it would compare with earlier pages, and make the result depend on order
        with_metadata=True,
        # The extensive search guesses incomplete dates from today's.
        date_extraction_params={"original_date": True, "extensive_search": False, "max_date": latest},
    )
    if not isinstance(found, Document):  # None: it found no text
        return Extracted()
    return Extracted(found.text or "", found.title, found.author, found.date)


@cache
def _prepare_trafilatura() -> None:
    """Keeps characters that trafilatura would drop, its log lines out of ours, and saves half of its time."""
    from lxml.etree import XPath
    from trafilatura import core, external, metadata, utils, xpaths

    from curation.xpath import quicker

    # It drops all that is not printable, and so the joiners that Persian and Indic words and emoji
    # need. What lxml would refuse is gone from the page already.
    utils.remove_control_characters = lambda string: string
    for name in ("trafilatura", "htmldate", "justext", "readability"):  # odd pages are counted by us
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # What is never asked for.
    metadata.extract_catstags = lambda *_: []
    metadata.extract_license = lambda *_: None
    metadata.extract_sitename = lambda *_: None
    metadata.extract_author = lambda *_: None  # guesses from the page's body; what its head states is read before
    for paths in vars(xpaths).values():
        if isinstance(paths, list):
            paths[:] = [quicker(path) if isinstance(path, XPath) else path for path in paths]
    compare = _compare_where_it_matters(external.compare_extraction)
    core.compare_extraction = compare  # type: ignore[attr-defined]


def _compare_where_it_matters(compare: Callable[..., Any]) -> Callable[..., Any]:
    """trafilatura's comparison of its text with that of readability, without a run of readability that
    cannot win: what it finds is taken if it is more than twice as long, or if trafilatura's own text has no
    paragraphs, or fewer than tables."""
    from lxml.etree import XPath
    from lxml.html import HtmlElement

    strings = XPath("//text()[not(parent::script or parent::style)]", smart_strings=False)

    def compare_where_it_matters(
        cleaned: HtmlElement, raw: HtmlElement, body: "_Element", text: str, options: Any
    ) -> tuple["_Element", str]:
        if text and options.focus == "precision":
            paragraphs = body.findall(".//p")
            longest = len(" ".join("".join(strings(raw)).split()))
            if (
                longest <= 2 * len(text)
                and len(body.findall(".//table")) <= len(paragraphs)
                and any(any(each.itertext()) for each in paragraphs)
            ):
                raw = HtmlElement()
        found: tuple[_Element, str] = compare(cleaned, raw, body, text, options)
        return found

    return compare_where_it_matters


_FORMATTING = "b big code em font i nobr s small strike strong tt u".split()
"""Elements that HTML parsers open anew in each paragraph after one where they were left open: 48 kB
of them make lexbor (resiliparse) take 3.7 GB. They mean nothing for the text."""
_FORMATTING_TAG = re.compile(rf"<(?:{'|'.join(_FORMATTING)})[\s/>]", re.I)
_MAX_REOPENED = 500_000
"""Elements that lexbor may make by opening formatting anew behind every tag: 50 MB."""
_MAX_ORDINARY_NODES = 20_000
"""So many nested elements take lexbor half a second; news pages have a quarter of it."""
_BODY = re.compile(r"<body[\s/>]", re.I)


def _is_ordinary(html: str, config: ExtractConfig) -> bool:
    """Whether resiliparse's own parser can be let loose on the page, by upper bounds on what it would build."""
    tags = html.count("<")
    if tags + html.count("=") > min(config.max_nodes, _MAX_ORDINARY_NODES):
        return False
    return tags * len(_FORMATTING_TAG.findall(html)) <= _MAX_REOPENED


def _fast(html: str, latest: str, config: ExtractConfig) -> Extracted:
    """resiliparse, which goes by the names of elements and classes; metadata from the head alone."""
    from resiliparse.parse.html import HTMLTree

    tree = HTMLTree.parse(html)
    if tree.document is None or tree.body is None:
        return Extracted()
    if tree.document.query_selector(_nested(config.max_depth + 1)) is not None:
        raise TooDeep(f"elements nested more than {config.max_depth} deep (extract.max_depth)")
    found = Extracted(_main_text(tree))
    body = _BODY.search(html)
    head = _parse(html[: body.start() if body else _HEAD_CHARACTERS].encode(), config)
    if head is not None:
        found.title, found.author, found.date = _metadata(head, latest)
    return found


_HEAD_CHARACTERS = 2**16
"""Where the metadata is looked for in a page that does not say where its body begins."""


@cache
def _nested(depth: int) -> str:
    """A CSS selector for elements that so many are around, themselves included."""
    return ">".join("*" * depth)


def _fast_from_tree(tree: "HtmlElement", latest: str) -> Extracted:
    """The same for odd pages: from a tree that has passed the limits, without what lexbor stumbles over."""
    from lxml import etree

    found = Extracted("", *_metadata(tree, latest))
    etree.strip_elements(tree, "script", "style", with_tail=False)
    etree.strip_tags(tree, *_FORMATTING)
    found.text = _main_text(etree.tostring(tree, encoding="unicode", method="html"))
    return found


def _main_text(page: "str | HTMLTree") -> str:
    from resiliparse.extract.html2text import extract_plain_text

    return extract_plain_text(page, main_content=True, comments=False, alt_texts=False, list_bullets=False)


_META = {
    "title": ("og:title", "twitter:title", "dc.title"),
    "author": ("author", "article:author", "dc.creator", "parsely-author", "byl"),
    "date": (
        "article:published_time", "datepublished", "date", "dc.date", "dc.date.issued", "dcterms.created",
        "pubdate", "publishdate", "publish-date", "parsely-pub-date", "sailthru.date",
    ),
}  # fmt: skip
"""Names of meta tags, the better ones first."""


def _metadata(tree: "HtmlElement", latest: str) -> tuple[str | None, str | None, str | None]:
    """Title, author and date as the page's head states them."""
    stated: dict[str, str] = {}
    for meta in tree.iter("meta"):
        name = meta.get("property") or meta.get("name") or meta.get("itemprop") or ""
        content = (meta.get("content") or "").strip()
        if content:
            stated.setdefault(name.lower(), content)
    title, author, published = (
        next((stated[name] for name in names if name in stated), None) for names in _META.values()
    )
    if title is None:
        title = tree.findtext(".//title")
    if author and author.startswith("http"):
        author = None
    day = re.match(r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])(?!\d)", published or "")
    return title, author, day[0] if day and _EARLIEST_DATE <= day[0] <= latest else None
