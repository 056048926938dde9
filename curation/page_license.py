"""The licence that a page or a source file states for itself.

Four kinds of evidence in HTML, and one in source files:

==========  ==================================================================================================
``rel``     ``<a rel="license" href>``, ``<link rel="license" href>``, and the older ``<link rel="copyright">``
            (https://html.spec.whatwg.org/multipage/links.html#link-type-license)
``meta``    ``<meta name="dcterms.license">``, ``dc.rights``, ``license``, ``copyright`` and the like
            (https://www.dublincore.org/specifications/dublin-core/dcmi-terms/#http://purl.org/dc/terms/license)
``jsonld``  ``"license"`` of the page or article in JSON-LD (https://schema.org/license), not that of its pictures
``spdx``    lines with ``SPDX-License-Identifier:``
            (https://spdx.github.io/spdx-spec/v2.3/using-SPDX-short-identifiers-in-source-files/)
``link``    a plain link to a Creative Commons licence in a sentence about the page ("this work is licensed under ...",
            "text is available under ..."): weak, since it is prose
==========  ==================================================================================================

What is stated wins over plain links. Different licences that are stated are joined with ``AND``: pages join what is
under different licences, and who wants to use the whole must keep to all of them. ``OR``, a choice, is claimed only
where an SPDX line says so. Plain links count only if all that count name one licence. Most plain links to a licence
stand under somebody else's picture ("Title" by Author is licensed under ...), so that without words about this page,
site, work or text in front of it (in 16 languages) a link says nothing; inside ``<figure>``, or behind "photo" or
"image", not even ``rel`` does. A licence without a version is none.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from html import unescape
from typing import Any, Literal

Source = Literal["rel", "meta", "jsonld", "spdx", "link"]


@dataclass(frozen=True, slots=True)
class PageLicense:
    """A licence and what says so."""

    license: str
    """An SPDX expression (https://spdx.org/licenses/). Versions of Creative Commons licences for a jurisdiction that
    SPDX does not list are ``LicenseRef-CC-BY-3.0-FR``: they are not the same as CC-BY-3.0."""
    source: Source
    """The strongest evidence: the first that speaks of it among rel, meta, jsonld, spdx, link."""
    evidence: str
    """URL or words that were found there, as they stand; the first, where several licences are joined."""


def license_of_html(html: str) -> PageLicense | None:
    """The licence that a page states, None where it states none that is known.

    A page without the letters "icense" and without a link to Creative Commons' public domain is done after two
    searches (7 microseconds for 9 kB). Time grows with the length of the page alone.

    Args:
        html: the page, as characters.
    """
    if "icense" not in html and _PUBLIC_DOMAIN not in html:
        return None
    found: list[tuple[str, Source, str]] = []
    for source, evidence in _stated(html):
        license_id = license_of_url(evidence) or (_of_words(evidence) if source == "meta" else None)
        if license_id:
            found.append((license_id, source, evidence))
    found += [(each, "spdx", each) for each in _spdx(html)]
    if found:
        return _joined(found)
    links = [(license_id, url) for url in _plain_links(html) if (license_id := _creative_commons(url))]
    if len({license_id for license_id, _ in links}) == 1:
        return PageLicense(links[0][0], "link", links[0][1])
    return None


def license_of_text(text: str) -> PageLicense | None:
    """The licence in ``SPDX-License-Identifier:`` lines of a source file, None without one that is valid.

    The tag stands at the beginning of a line, behind nothing but marks of a comment. Several lines that differ all
    hold.
    """
    if "SPDX-License-Identifier:" not in text:
        return None
    found: list[tuple[str, Source, str]] = [(each, "spdx", each) for each in _spdx(text)]
    return _joined(found) if found else None


_ORDER: tuple[Source, ...] = ("rel", "meta", "jsonld", "spdx")


def _joined(found: Iterable[tuple[str, Source, str]]) -> PageLicense:
    """All of them, the strongest evidence first."""
    ordered = sorted(found, key=lambda each: _ORDER.index(each[1]))
    ids = sorted({license_id for license_id, _, _ in ordered})
    if len(ids) > 1:
        ids = [f"({each})" if " OR " in each else each for each in ids]
    return PageLicense(" AND ".join(ids), ordered[0][1], ordered[0][2])


# ---- URLs and names ---------------------------------------------------------------------------

_PUBLIC_DOMAIN = "creativecommons.org/publicdomain/"
_CC_URL = re.compile(
    r"(?:https?:)?//(?:[a-z]{2,12}\.)?creativecommons\.org/"
    r"(?:licen[sc]es/(?P<kind>[a-z]{2}(?:-[a-z]{2}){0,2}|publicdomain)"
    r"(?:/(?P<version>[0-9]\.[0-9])(?:/(?P<port>[a-z]{2,9}))?)?"
    r"|publicdomain/(?P<domain>zero|mark|certification)(?:/[0-9.]{1,4})?)(?![a-z0-9.])",
    re.IGNORECASE,
)
_KINDS = {
    # As Creative Commons writes it -> as SPDX does. https://creativecommons.org/licenses/list.en
    **{kind: kind for kind in ("by", "by-sa", "by-nd", "by-nc", "by-nc-sa", "by-nc-nd", "sa", "nc", "nd", "nc-sa")},
    **{"by-nd-nc": "by-nc-nd", "nd-nc": "nc-nd"},
}
_DOMAINS = {"zero": "CC0-1.0", "mark": "CC-PDM-1.0", "certification": "CC-PDDC"}
_NO_PORTS = frozenset({"deed", "legalcode", "rdf"})
_OTHER_URLS = tuple(
    (re.compile(rf"(?:https?:)?//(?:www\.)?{pattern}", re.IGNORECASE), license_id)
    for pattern, license_id in (
        (r"apache\.org/licenses/LICENSE-2\.0", "Apache-2.0"),
        (r"opendatacommons\.org/licenses/odbl/(?:1[.-]0|summary|$)", "ODbL-1.0"),
        (r"opendatacommons\.org/licenses/by/(?:1[.-]0|summary|$)", "ODC-By-1.0"),
        (r"opendatacommons\.org/licenses/pddl/(?:1[.-]0|summary|$)", "PDDL-1.0"),
        (r"nationalarchives\.gov\.uk/doc/open-government-licence/version/3\b", "OGL-UK-3.0"),
        (r"nationalarchives\.gov\.uk/doc/open-government-licence/version/2\b", "OGL-UK-2.0"),
        (r"unlicense\.org/?$", "Unlicense"),
    )
)
_NAMED_URL = re.compile(
    r"(?:https?:)?//(?:www\.)?(?:spdx\.org/licenses|opensource\.org/licenses?)/([A-Za-z0-9.+-]{2,40}?)(?:\.html|\.php|/)?$",
    re.IGNORECASE,
)


def license_of_url(url: str) -> str | None:
    """The SPDX id of a licence's URL: all of Creative Commons', and some others'.

    Any version, jurisdiction, language and form (deed, legal code); None without a version, and for retired licences
    (sampling, developing nations).
    """
    url = url.strip()
    if license_id := _creative_commons(url):
        return license_id
    for pattern, license_id in _OTHER_URLS:
        if pattern.match(url):
            return license_id
    named = _NAMED_URL.match(url)
    return _valid(named[1]) if named else None


def _creative_commons(url: str) -> str | None:
    found = _CC_URL.match(url.strip())
    if not found:
        return None
    if found["domain"]:
        return _DOMAINS[found["domain"].lower()]
    kind = found["kind"].lower()
    if kind == "publicdomain":
        return "CC-PDDC"
    if kind not in _KINDS or not found["version"]:
        return None
    license_id = f"CC-{_KINDS[kind]}-{found['version']}".upper()
    port = (found["port"] or "").lower()
    if port and port not in _NO_PORTS:
        # SPDX calls that of the United Kingdom UK, as Creative Commons does.
        license_id += f"-{port.upper()}"
    return _valid(license_id) or f"LicenseRef-{license_id}"


_CC_SHORT = re.compile(
    r"\bCC[ -]?(BY(?:[ -](?:NC|ND|SA)){0,2})[ -]?v?([1-4]\.[0-9])(?![0-9])((?-i:[ -](?:[A-Z]{2}|IGO))\b)?",
    re.IGNORECASE,
)
_CC_LONG = re.compile(
    r"Creative Commons,? Attribution([ -]+Non-?Commercial)?(?:[ -]+(Share-?Alike|No-?Deriv(?:s|atives|ative Works)?))?"
    r",? (?:v|version )?([1-4]\.[0-9])(?: (?:International|Unported|Generic|Licen[cs]e)|\s*[.,;)]|\s*$)",
    re.IGNORECASE,
)
_CC0 = re.compile(r"\bCC0\b", re.IGNORECASE)


def _of_words(words: str) -> str | None:
    """The licence that is named in the content of a meta tag, or whose URL stands there; None if it names several."""
    found = {each for url in _CC_URL.finditer(words) if (each := _creative_commons(url[0]))}
    if not found:
        for short in _CC_SHORT.finditer(words):
            kind = "-".join(re.split("[ -]", short[1].lower()))
            port = (short[3] or "").strip(" -").upper()
            if kind in _KINDS:
                license_id = f"CC-{_KINDS[kind]}-{short[2]}".upper() + (f"-{port}" if port else "")
                found.add(_valid(license_id) or f"LicenseRef-{license_id}")
        for long in _CC_LONG.finditer(words):
            ending = {"s": "-SA", "n": "-ND"}[long[2][0].lower()] if long[2] else ""
            found.add(f"CC-BY{'-NC' if long[1] else ''}{ending}-{long[3]}")
        if _CC0.search(words):
            found.add("CC0-1.0")
    return found.pop() if len(found) == 1 else None


@lru_cache(maxsize=1024)
def _valid(expression: str) -> str | None:
    """An SPDX expression in its canonical spelling; None if it is none or names an unknown licence."""
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

    try:
        return canonicalize_license_expression(expression)
    except InvalidLicenseExpression:
        return None


# ---- where it stands --------------------------------------------------------------------------

_TAG = re.compile(r"<(a|area|link|meta|script|figure|/figure)\b([^<>]{0,4000})>", re.IGNORECASE)
_ATTRIBUTE = re.compile(
    r"([a-zA-Z:-]{1,40})\s{0,9}=\s{0,9}(?:\"([^\"]{0,3000})\"|'([^']{0,3000})'|([^\s\"'>]{1,3000}))"
)
_META_NAME = re.compile(
    r"(?:dc|dcterms|cc|og|article|schema)?[.:]?(?:rights|licen[cs]e|rights\.licen[cs]e|rights-standard|copyright|usageterms)",
    re.IGNORECASE,
)
_OF_A_PICTURE = re.compile(
    r"(?:photo(?:graph)?|image|picture|illustration|credit|courtesy|icon|logo|foto|bild|imagen|imagem|immagine|фото|写真|"
    r"图片|圖片)[^<>]{0,80}(?:<[^<>]{0,300}>[^<>]{0,40}){0,3}$",
    re.IGNORECASE,
)
_OF_THE_PAGE = re.compile(
    r"\bth(?:is|ese) (?:site|page|website|web ?site|work|article|post|book|content|text|document|blog|wiki|chapter"
    r"|publication|tutorial|guide|course|lesson|paper|report|documentation|material|dataset|data)s?\b"
    r"|\b(?:contents?|text|all (?:content|text|articles|posts|materials?)|site|documentation|articles|materials)"
    r"(?: (?:on|of|in|from) [\w .']{1,40})? (?:is|are) (?:licen[sc]ed|available|released|published|provided|made)"
    r"|\b(?:except|unless) (?:where )?otherwise (?:noted|stated|specified|indicated)"
    r"|\bdiese[rs]? (?:werk|inhalte?|texte?|seite|artikel|beitrag|website)\b|\bdie (?:inhalte|texte)\b|text ist unter"
    r"|\b(?:cette|cet|ce) (?:œuvre|oeuvre|contenu|texte|page|site|article|document)\b|\bles (?:contenus|textes)\b"
    r"|\best[aeo] (?:obra|contenido|texto|página|sitio|artículo|trabajo|documento)\b|\blos (?:contenidos|textos)\b"
    r"|\best[ae] (?:conteúdo|artigo|site)\b|\bos (?:conteúdos|textos)\b"
    r"|\bquest(?:[oa] |')(?:opera|contenuto|testo|pagina|sito|articolo)\b|\bi (?:contenuti|testi)\b"
    r"|\b(?:dit|deze) (?:werk|inhoud|tekst|pagina|artikel)\b|\b(?:ten utwór|tekst udostępniany)"
    r"|(?:это|данное) произведение|материалы сайта|содержание доступно|текст доступен|цей твір|вміст доступний"
    r"|本作品|本网站|本站|本文|このコンテンツ|この作品|このサイト|テキストは|이 저작물|이 콘텐츠|본 저작물"
    r"|هذا العمل|النصوص متاحة|\bbu eser\b|\bdetta verk\b|\btoto dílo\b",
    re.IGNORECASE,
)
"""What a sentence speaks of that stands before a link to a licence."""
_ANY_TAG = re.compile("<[^<>]*>")
_SCRIPT_END = re.compile(r"</script", re.IGNORECASE)


def _attributes(tag: str) -> dict[str, str]:
    return {
        each[1].lower(): unescape(each[2] or each[3] or each[4] or "")
        for each in reversed(list(_ATTRIBUTE.finditer(tag)))  # of two the first counts
    }


def _comments(html: str) -> list[tuple[int, int]]:
    """Where comments stand; one that does not end is none."""
    found = []
    start = html.find("<!--")
    while start >= 0:
        end = html.find("-->", start + 4)
        if end < 0:
            break
        found.append((start, end + 3))
        start = html.find("<!--", end)
    return found


def _tags(html: str) -> Iterator[tuple[str, dict[str, str], re.Match[str]]]:
    """Tags that may matter, those of pictures' captions and of comments left out."""
    depth = 0
    comments = _comments(html)
    at = 0
    for each in _TAG.finditer(html):
        name = each[1].lower()
        while at < len(comments) and comments[at][1] <= each.start():
            at += 1
        if at < len(comments) and comments[at][0] <= each.start():
            continue
        if name == "figure":
            depth += 1
        elif name == "/figure":
            depth = max(0, depth - 1)
        elif depth == 0 or name in ("meta", "script"):
            low = each[2].lower()
            if "icen" in low or "rights" in low or "creativecommons" in low or "ld+json" in low:
                yield name, _attributes(each[2]), each


def _stated(html: str) -> Iterator[tuple[Source, str]]:
    """(source, evidence) of rel, meta and JSON-LD."""
    script_end = 0
    for name, attributes, tag in _tags(html):
        if tag.start() < script_end:
            continue
        if name in ("a", "area", "link"):
            rel = attributes.get("rel", "").lower().split()
            if ("license" in rel or (name == "link" and "copyright" in rel)) and "href" in attributes:
                before = html[max(0, tag.start() - 400) : tag.start()]
                if name == "link" or not _OF_A_PICTURE.search(before):
                    yield "rel", attributes["href"].strip()
        elif name == "meta":
            label = attributes.get("name") or attributes.get("property") or attributes.get("http-equiv") or ""
            if _META_NAME.fullmatch(label.strip()) and attributes.get("content"):
                yield "meta", attributes["content"].strip()
        elif name == "script" and "ld+json" in attributes.get("type", "").lower():
            end = _SCRIPT_END.search(html, tag.end())
            if not end:
                return  # nothing but a script follows
            script_end = end.start()
            block = html[tag.end() : script_end]
            if "icense" in block:
                for url in _json_ld(block):
                    yield "jsonld", url


def _plain_links(html: str) -> Iterator[str]:
    """Links to Creative Commons in sentences about the page."""
    for name, attributes, tag in _tags(html):
        if name == "a" and "creativecommons.org" in attributes.get("href", "").lower():
            before = html[max(0, tag.start() - 600) : tag.start()]
            if not _OF_A_PICTURE.search(before[-400:]):
                sentence = " ".join(_ANY_TAG.sub(" ", before).split())[-160:]
                if _OF_THE_PAGE.search(sentence):
                    yield attributes["href"].strip()


_MEDIA = re.compile(r"(?:image|video|audio|media|photograph|3dmodel|software|organization|person|offer)", re.IGNORECASE)
_MOST_JSON = 1_000_000


def _json_ld(block: str) -> Iterator[str]:
    """Values of ``license`` of the things that a block of JSON-LD is about; not of their pictures and authors."""
    if len(block) > _MOST_JSON:
        return
    try:
        data = json.loads(block.strip(), strict=False)
    except (ValueError, RecursionError):
        return
    things: list[Any] = data if isinstance(data, list) else [data]
    for thing in things:
        if not isinstance(thing, dict):
            continue
        graph = thing.get("@graph")
        for each in [thing, *(graph if isinstance(graph, list) else []), thing.get("mainEntity")]:
            if isinstance(each, dict) and not _MEDIA.search(str(each.get("@type", ""))[:200]):
                yield from _values(each.get("license"))


def _values(value: Any) -> Iterator[str]:
    """URLs of a property: a string, a thing with ``@id`` or ``url``, or several of them."""
    for each in value[:20] if isinstance(value, list) else [value]:
        url = (each.get("@id") or each.get("url")) if isinstance(each, dict) else each
        if isinstance(url, str):
            yield url


_SPDX = re.compile(r"SPDX-License-Identifier:[ \t]{0,8}([^\n\r]{1,300})")
_BEFORE_SPDX = re.compile(
    r"(?:^|[\n\r])[ \t]{0,40}(?:[^\w\s<>'\"`]{1,4}|<!--|\"\"\"|'''|rem|dnl|@rem|[CcDd*])?[ \t]{0,8}$", re.IGNORECASE
)
_COMMENT_END = re.compile(r"\s*(?:\*/|-->|\*\)|#}|--}|%>|\"\"\"|'''|;;?)?\s*(?:\*+/?)?\s*$")


def _spdx(text: str) -> list[str]:
    """Expressions of the lines that are valid, each once, in the order of the text."""
    found = []
    for each in _SPDX.finditer(text):
        if _BEFORE_SPDX.search(text, max(0, each.start() - 60), each.start()) or each.start() == 0:
            expression = _valid(_COMMENT_END.sub("", each[1]).strip())
            if expression and expression not in found:
                found.append(expression)
    return found
