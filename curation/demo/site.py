"""The demo's web site, in memory: every page, and the lists of links that lead to it."""

import html
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from curation.demo import library, special, written
from curation.demo.page import Frame, Page

SECTIONS = (
    ("/stories/", "Stories"),
    ("/world/", "World"),
    ("/news/", "News"),
    ("/health/", "Health"),
    ("/people/", "People"),
    ("/forum/", "Forum"),
    ("/fun/", "Fun"),
    ("/notes/", "Notes"),
    ("/docs/topics/", "Language reference"),
    ("/docs/modules/", "Modules"),
    ("/docs/packages/", "Packages"),
    ("/offers/", "Offers"),
    ("/drafts/", "Drafts"),
    ("/mirror/", "Mirror"),
    ("/moved/", "Moved"),
    ("/gone/", "Gone"),
    ("/broken/", "Broken"),
)
"""Path prefix and name of the sections, in the order of the menu."""

PER_LIST = 120
"""Links on one page of a section's list."""

NEIGHBOURS = 4
"""Pages of the same section that a page links to."""

_FRAME = Frame(sections=SECTIONS)


def build() -> dict[str, Page]:
    """The whole site by request target; the same installation gives the same bytes."""
    texts = {page.path: page for page in written.load()}
    entries = list(library.entries())
    titles = {path: text.title for path, text in texts.items()}
    frames = _frames(titles | {entry.path: entry.title for entry in entries})
    sent = {path: text.page(frames[path]) for path, text in texts.items()}
    pages = [*sent.values(), *special.pages(_FRAME, texts, sent)]
    pages += (_library_page(entry, frames[entry.path]) for entry in entries)
    pages += list(_lists(pages))
    site = {page.path: page for page in pages}
    if len(site) != len(pages):
        raise ValueError("two pages of the demo site have the same path")
    return site


def not_found(path: str) -> Page:
    """The answer for a path that the site does not have."""
    return special.not_found(_FRAME, path)


def _section(path: str) -> str | None:
    return next((prefix for prefix, _ in SECTIONS if path.startswith(prefix)), None)


def _frames(titles: Mapping[str, str]) -> dict[str, Frame]:
    """For each path the menu, and as neighbours the pages that follow it in its section."""
    members: defaultdict[str | None, list[tuple[str, str]]] = defaultdict(list)
    for path, title in sorted(titles.items()):
        members[_section(path)].append((path, title))
    frames = {}
    for section in members.values():
        ring = section + section
        for place, (path, _) in enumerate(section):
            following = ring[place + 1 : place + 1 + min(NEIGHBOURS, len(section) - 1)]
            frames[path] = replace(_FRAME, neighbours=tuple(following))
    return frames


def _library_page(entry: library.Entry, frame: Frame) -> Page:
    return Page(
        path=entry.path,
        body=frame.render(entry.title, entry.content).encode(),
        title=entry.title,
        purpose="text of the Python installation",
        charset="utf-8",
    )


def _lists(pages: Iterable[Page]) -> Iterator[Page]:
    """The index page and, for each section, its list of links, some in several parts."""
    yield _list("/", "Open Shelf", SECTIONS)
    ordered = sorted((page.path, page.title) for page in pages)
    for prefix, name in SECTIONS:
        links = [link for link in ordered if link[0].startswith(prefix)]
        for number, start in enumerate(range(0, len(links), PER_LIST), start=1):
            part = links[start : start + PER_LIST]
            if start + PER_LIST < len(links):
                part.append((f"{prefix}?page={number + 1}", "More"))
            yield _list(prefix if number == 1 else f"{prefix}?page={number}", name, part)


def _list(path: str, title: str, links: Iterable[tuple[str, str]]) -> Page:
    items = "".join(f'<li><a href="{html.escape(target)}">{html.escape(text)}</a></li>\n' for target, text in links)
    body = _FRAME.render(title, f"<ul>\n{items}</ul>").encode()
    return Page(path, body, title, "a list of links", charset="utf-8")
