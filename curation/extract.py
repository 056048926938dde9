"""HTML to text, with title, author and date; pages that would run away are refused."""

import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

from curation.errors import UserError

if TYPE_CHECKING:
    from lxml.etree import XPath
    from lxml.html import HtmlElement

DEEPEST = 2000
"""Upper end of ``max_depth``: libxml2 stops reading a page at a depth of 2048."""


@dataclass(frozen=True)
class ExtractConfig:
    """How text is taken from HTML pages."""

    extractor: Literal["precise", "fast"] = "precise"
    """``precise``: trafilatura; ``fast``: resiliparse."""
    max_html_bytes: int = 10_000_000
    """Larger pages are quarantined as ``too_large``."""
    max_depth: int = 1000
    """Pages nested deeper are quarantined as ``too_deep``."""
    cpu_limit_s: float = 30.0
    """CPU seconds after which a page is quarantined as ``cpu_limit``."""

    def __post_init__(self) -> None:
        if not 1 <= self.max_depth <= DEEPEST:
            raise UserError(f"extract.max_depth: {self.max_depth} is not between 1 and {DEEPEST}")


@dataclass(slots=True)
class Extracted:
    """What a page holds."""

    text: str = ""
    """Main text; empty where the page has none."""
    title: str | None = None
    author: str | None = None
    date: str | None = None
    """When it was first published, ``YYYY-MM-DD``."""


class TooLarge(Exception):
    """The page has more bytes than ``max_html_bytes``."""


class TooDeep(Exception):
    """The page's elements are nested deeper than ``max_depth``."""


class CpuLimit(BaseException):
    """Extraction took more CPU time than ``cpu_limit_s``.

    No ``Exception``, so that no ``except Exception`` inside a library swallows it.
    """


def extract(html: str, *, url: str | None, config: ExtractConfig, crawled_at: datetime | None) -> Extracted:
    body = html.encode("utf-8", "replace")
    if len(body) > config.max_html_bytes:
        raise TooLarge(f"{len(body)} bytes of HTML, more than extract.max_html_bytes ({config.max_html_bytes})")
    tree = _parse(body, config.max_depth)
    if tree is None:
        return Extracted()
    latest = f"{(crawled_at + timedelta(days=1)):%Y-%m-%d}" if crawled_at else "2100-01-01"
    return _precise(tree, url, latest)


def _parse(body: bytes, max_depth: int):
    from lxml import etree
    from lxml.html import HTMLParser, document_fromstring

    parser = HTMLParser(encoding="utf-8", collect_ids=False, default_doctype=False, huge_tree=True, remove_comments=True, remove_pis=True)
    try:
        tree = document_fromstring(body, parser=parser)
    except etree.ParserError:
        return None
    if _deeper_than(max_depth)(tree):
        raise TooDeep(f"elements nested more than {max_depth} deep (extract.max_depth)")
    return tree


@cache
def _deeper_than(depth: int) -> "XPath":
    from lxml.etree import XPath

    return XPath("boolean(" + "/*" * (depth + 1) + ")")


def _precise(tree, url, latest, extensive=False) -> Extracted:
    from trafilatura import bare_extraction

    found = bare_extraction(
        tree, url=url, favor_precision=True, include_comments=False, deduplicate=False, with_metadata=True,
        date_extraction_params={"original_date": True, "extensive_search": extensive, "max_date": latest},
    )
    if found is None:
        return Extracted()
    return Extracted(found.text, found.title, found.author, found.date)
