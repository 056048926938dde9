"""Block lists, allow lists and opt-outs by domain or URL."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from datatrove.data import Document

from curation.domains import ListSource, Lookup, UrlList, find_source, open_list, prepare
from curation.errors import UserError
from curation.urls import locate


@dataclass(frozen=True, slots=True)
class _Opened:
    """The lists of a run, by what they are for."""

    block: tuple[UrlList, ...] = ()
    allow: tuple[UrlList, ...] = ()
    opt_out: tuple[UrlList, ...] = ()


@dataclass(frozen=True)
class Url:
    """Removes documents by where they are from: lists decide, the text does not matter.

    An opt-out always wins; then an allow list beats a block list; what is on no list stays, unless
    ``allow_only`` says otherwise. ``curation.domains`` says what a list may hold, and what an entry covers.
    A document without a URL is on no list: it stays, but goes with ``allow_only``, since nobody can say that
    it is from an allowed place.
    """

    name: ClassVar[str] = "url"
    column: ClassVar[str] = "url_lists"
    scores: ClassVar[Mapping[str, type]] = {
        "opted_out": bool,
        "allowed_by": str,
        "blocked_by": str,
        "blocked_entry": str,
    }
    """``allowed_by``, ``blocked_by``: the first list (by name) that has the document's domain or URL, empty where
    none has; ``blocked_entry``: what stands on it."""
    keeps: ClassVar[tuple[str, ...]] = ("Any text stays as long as no list is named.", "")
    rejects: ClassVar[Mapping[str, str]] = {}
    scored_with: ClassVar[tuple[str, ...]] = ("block", "allow", "opt_out")
    reuse_scores: ClassVar[bool] = False
    """A list may have changed since a parent run, so that its scores say nothing."""

    block: tuple[str, ...] = ()
    """Lists of domains and URLs whose documents go: paths of files (text, hosts format, gzip, zstd) or of folders
    in the layout of UT1, or ``ut1-adult``, the pornography list that datatrove ships (4.6 million domains,
    CC BY-SA)."""
    allow: tuple[str, ...] = ()
    """Lists whose documents stay, whatever ``block`` says."""
    allow_only: bool = False
    """Whether only what is on an allow list stays."""
    opt_out: str = ""
    """List of those who want their pages left out (domains, URL prefixes, exact URLs): it beats ``allow``."""
    opened: _Opened = field(default_factory=_Opened, init=False, repr=False, compare=False)
    """The lists themselves, once ``open`` has been called."""

    def __post_init__(self) -> None:
        if self.allow_only and not self.allow:
            raise UserError("filters.url.allow_only: nothing would stay without a list in filters.url.allow; name one")

    def prepare(self, cache: Path) -> dict[str, str]:
        """Compile the lists that options name into the folder ``cache``; returns option and name -> sha256.

        Raises:
            UserError: a list is missing or damaged, or two of them would have the same name in scores.
        """
        return {key: prepare(source, cache, f"filters.url.{option}") for option, key, source in self._sources()}

    def open(self, cache: Path, prepared: Mapping[str, str]) -> "Url":
        """This filter with the lists that ``prepare`` has compiled mapped into memory.

        Raises:
            UserError: a compiled list is not in ``cache`` any more.
        """
        lists: dict[str, list[UrlList]] = {"block": [], "allow": [], "opt_out": []}
        for key, digest in sorted(prepared.items()):
            option, _, name = key.partition(" ")
            lists[option].append(open_list(name, cache, digest))
        ready = replace(self)
        object.__setattr__(ready, "opened", _Opened(**{option: tuple(each) for option, each in lists.items()}))
        return ready

    def _sources(self) -> list[tuple[str, str, ListSource]]:
        """(option, name in the run's record, source) of each list."""
        named = [("block", name) for name in self.block] + [("allow", name) for name in self.allow]
        if self.opt_out:
            named.append(("opt_out", self.opt_out))
        found: dict[str, tuple[str, str, ListSource]] = {}
        for option, name in named:
            source = find_source(name, f"filters.url.{option}")
            key = f"{option} {source.name}"
            if key in found:
                raise UserError(f"filters.url.{option}: two lists are called {source.name!r}; rename one of them")
            found[key] = (option, key, source)
        return list(found.values())

    def score(self, document: Document) -> dict[str, Any]:
        """Look the document's URL up in every list."""
        scores: dict[str, Any] = {"opted_out": False, "allowed_by": "", "blocked_by": "", "blocked_entry": ""}
        lists = self.opened
        if not (lists.block or lists.allow or lists.opt_out):
            assert (self.block, self.allow, self.opt_out) == ((), (), ""), "the filter was not opened"
            return scores
        url = document.metadata.get("url")
        place = locate(url) if url else None
        if place is None:
            return scores
        found = Lookup(place)
        if lists.opt_out:
            scores["opted_out"] = bool(found.first(lists.opt_out)[0])
        if lists.allow:
            scores["allowed_by"] = found.first(lists.allow)[0]
        if lists.block:
            scores["blocked_by"], scores["blocked_entry"] = found.first(lists.block)
        return scores

    def reason(self, scores: dict[str, Any]) -> str | None:
        """Opt-out before allow before block before ``allow_only``."""
        if scores["opted_out"]:
            return "opted_out"
        if scores["allowed_by"]:
            return None
        if scores["blocked_by"]:
            return "blocked_url" if "/" in scores["blocked_entry"] else "blocked_domain"
        return "not_allowed" if self.allow_only else None
