"""Licences that pages and files state: what counts, what wins, and that nothing is claimed that is not said."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.page_license import PageLicense, license_of_html, license_of_text, license_of_url
from curation.sources.content import resolve
from curation.sources.warc import read_warc

BY = "https://creativecommons.org/licenses/by/4.0/"
BY_SA = "https://creativecommons.org/licenses/by-sa/4.0/"


def page(head: str = "", body: str = "") -> str:
    return f"<!DOCTYPE html><html><head><title>Mills</title>{head}</head><body><p>The mill. {body}</p></body></html>"


def stated(html: str) -> tuple[str, str] | None:
    found = license_of_html(html)
    return (found.license, found.source) if found else None


@pytest.mark.parametrize(
    ("url", "license_id"),
    [
        ("https://creativecommons.org/licenses/by/4.0/", "CC-BY-4.0"),
        ("http://creativecommons.org/licenses/by-sa/4.0", "CC-BY-SA-4.0"),
        ("//creativecommons.org/licenses/by-nc-nd/3.0/deed.de", "CC-BY-NC-ND-3.0"),
        ("https://www.creativecommons.org/licenses/by-nc/2.5/legalcode", "CC-BY-NC-2.5"),
        ("https://creativecommons.org/licenses/by-nc-sa/4.0/deed", "CC-BY-NC-SA-4.0"),
        ("https://creativecommons.org/licenses/by/4.0/legalcode.fr", "CC-BY-4.0"),
        ("https://creativecommons.org/licenses/by/4.0/?ref=chooser-v1", "CC-BY-4.0"),
        ("https://creativecommons.org/licenses/by-sa/3.0/#text", "CC-BY-SA-3.0"),
        ("HTTPS://CreativeCommons.org/Licenses/BY/4.0/", "CC-BY-4.0"),
        ("http://de.creativecommons.org/licenses/by/2.0/", "CC-BY-2.0"),
        # Order of the first version; licences that do not ask for attribution.
        ("https://creativecommons.org/licenses/by-nd-nc/1.0/", "CC-BY-NC-ND-1.0"),
        ("https://creativecommons.org/licenses/sa/1.0/", "CC-SA-1.0"),
        ("https://creativecommons.org/licenses/nc-sa/1.0/", "LicenseRef-CC-NC-SA-1.0"),
        # Jurisdictions: with and without an id of SPDX.
        ("https://creativecommons.org/licenses/by/3.0/at/", "CC-BY-3.0-AT"),
        ("https://creativecommons.org/licenses/by-sa/2.1/jp/deed.ja", "CC-BY-SA-2.1-JP"),
        ("https://creativecommons.org/licenses/by-nc-sa/2.0/uk/", "CC-BY-NC-SA-2.0-UK"),
        ("https://creativecommons.org/licenses/by-sa/3.0/igo/", "CC-BY-SA-3.0-IGO"),
        ("https://creativecommons.org/licenses/by/3.0/fr/legalcode", "LicenseRef-CC-BY-3.0-FR"),
        ("https://creativecommons.org/licenses/by-sa/2.5/scotland/", "LicenseRef-CC-BY-SA-2.5-SCOTLAND"),
        # Public domain.
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/deed.es", "CC0-1.0"),
        ("https://creativecommons.org/publicdomain/mark/1.0/", "CC-PDM-1.0"),
        ("https://creativecommons.org/licenses/publicdomain/", "CC-PDDC"),
        # Others.
        ("https://www.apache.org/licenses/LICENSE-2.0", "Apache-2.0"),
        ("https://opensource.org/licenses/MIT", "MIT"),
        ("https://opensource.org/license/bsd-3-clause/", "BSD-3-Clause"),
        ("https://spdx.org/licenses/MPL-2.0.html", "MPL-2.0"),
        ("https://opendatacommons.org/licenses/odbl/1-0/", "ODbL-1.0"),
        ("http://www.nationalarchives.gov.uk/doc/open-government-licence/version/3/", "OGL-UK-3.0"),
        # None.
        ("https://creativecommons.org/licenses/by-sa/", None),
        ("https://creativecommons.org/licenses/by/", None),
        ("https://creativecommons.org/licenses/sampling+/1.0/", None),
        ("https://creativecommons.org/licenses/", None),
        ("https://creativecommons.org/about/", None),
        ("https://notcreativecommons.org/licenses/by/4.0/", None),
        ("https://creativecommons.org.example.net/licenses/by/4.0/", None),
        ("https://opensource.org/licenses/no-such-thing", None),
        ("https://example.org/terms", None),
        ("", None),
    ],
)
def test_urls(url: str, license_id: str | None) -> None:
    assert license_of_url(url) == license_id


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        (page(body=f'<a rel="license" href="{BY}">some rights</a>'), ("CC-BY-4.0", "rel")),
        (page(body=f"<a href='{BY_SA}' class=x rel='nofollow license noopener'>cc</a>"), ("CC-BY-SA-4.0", "rel")),
        (page(body=f"<A HREF={BY_SA} REL=license>cc</A>"), ("CC-BY-SA-4.0", "rel")),
        (page(f'<link rel="license" href="{BY}">'), ("CC-BY-4.0", "rel")),
        (page('<link rel="copyright" href="//creativecommons.org/licenses/by-sa/3.0/">'), ("CC-BY-SA-3.0", "rel")),
        (page(body='<a rel="license" href="https://opensource.org/licenses/MIT">MIT</a>'), ("MIT", "rel")),
        (page(body=f'<a\n rel="license"\n href="{BY.replace("/by/", "&#47;by/")}">x</a>'), ("CC-BY-4.0", "rel")),
        (page(f'<meta name="dcterms.license" content="{BY_SA}">'), ("CC-BY-SA-4.0", "meta")),
        (page(f'<meta content="{BY}" name="DC.rights">'), ("CC-BY-4.0", "meta")),
        (page('<meta name="license" content="CC BY-SA 4.0">'), ("CC-BY-SA-4.0", "meta")),
        (page('<meta name="license" content="CC-BY-NC-ND-3.0">'), ("CC-BY-NC-ND-3.0", "meta")),
        (page('<meta name="license" content="CC BY 3.0 DE">'), ("CC-BY-3.0-DE", "meta")),
        (page('<meta name="license" content="CC BY 4.0 and nothing else">'), ("CC-BY-4.0", "meta")),
        (page('<meta name="license" content="CC0 1.0 Universal">'), ("CC0-1.0", "meta")),
        (
            page('<meta name="license" content="Creative Commons Attribution-NonCommercial-ShareAlike 4.0">'),
            ("CC-BY-NC-SA-4.0", "meta"),
        ),
        (
            page(f'<meta property="og:article:license" content="x"><meta name="copyright" content="Us, {BY}">'),
            ("CC-BY-4.0", "meta"),
        ),
        (
            page(f'<script type="application/ld+json">{{"@type":"Article","license":"{BY}"}}</script>'),
            ("CC-BY-4.0", "jsonld"),
        ),
        (
            page(
                '<script type="application/ld+json">{"@graph":[{"@type":"WebPage","license":'
                f'{{"@id":"{BY_SA}"}}}}]}}</script>'
            ),
            ("CC-BY-SA-4.0", "jsonld"),
        ),
        (
            page(f'<script type=application/ld+json>[{{"@type":"Dataset","license":["{BY}"]}}]</script>'),
            ("CC-BY-4.0", "jsonld"),
        ),
        (page(body=f'This work is licensed under a <a href="{BY}">CC licence</a>.'), ("CC-BY-4.0", "link")),
        (page(body=f'<b>Text</b> is available under <a href="{BY_SA}">CC</a>.'), ("CC-BY-SA-4.0", "link")),
        (page(body=f'Dieses Werk ist lizenziert unter <a href="{BY}">CC</a>.'), ("CC-BY-4.0", "link")),
        (page(body=f'Esta obra está bajo una <a href="{BY}">licencia</a>.'), ("CC-BY-4.0", "link")),
        (page(body=f'本作品采用<a href="{BY_SA}">知识共享许可协议</a>进行许可。'), ("CC-BY-SA-4.0", "link")),
        (
            page(body='This page is in the <a href="//creativecommons.org/publicdomain/zero/1.0/">public domain</a>'),
            ("CC0-1.0", "link"),
        ),
        ("<!--\n  SPDX-License-Identifier: Apache-2.0\n-->" + page(), ("Apache-2.0", "spdx")),
    ],
)
def test_what_counts(html: str, expected: tuple[str, str]) -> None:
    assert stated(html) == expected


@pytest.mark.parametrize(
    "html",
    [
        "",
        page(),
        page(body="All rights reserved. Our license terms apply."),
        page(body='<a rel="license" href="/terms">terms</a>'),
        page(body=f'The <a href="{BY}">Creative Commons licence</a> was written in 2013.'),
        page(body=f'“Wispies” by <a href="https://a.example">F.</a> is licensed via <a href="{BY}">CC BY 4.0</a>.'),
        page(body=f'Photo: <a href="https://a.example">Jo</a>, <a href="{BY}">CC BY</a>'),
        page(body=f'Photo by Jo <a rel="license" href="{BY}">CC BY</a>'),
        page(body=f'<figure><img><figcaption>This work: <a rel="license" href="{BY}">CC</a></figcaption></figure>'),
        page(body=f'<!-- <a rel="license" href="{BY}">old</a> -->'),
        page(body=f'This site: <a href="{BY}">text</a>. This book: <a href="{BY_SA}">CC BY-SA</a>'),
        page(f'<script type="application/ld+json">{{"@type":"ImageObject","license":"{BY}"}}</script>'),
        page(f'<script type="application/ld+json">{{"@type":"Article","image":{{"license":"{BY}"}}}}</script>'),
        page(f'<script type="application/ld+json">{{"license": {BY}</script>'),
        page('<script type="application/ld+json">' + "[" * 100_000 + '"license"</script>'),
        page(f'<script>var x = {{"license": "{BY}"}}</script>'),
        page('<meta name="copyright" content="2019 A Licensed Paper. All rights reserved.">'),
        page('<meta name="license" content="CC BY">'),
        page('<meta name="description" content="How to license: CC BY 4.0">'),
        page('<a rel="license" href="https://creativecommons.org/licenses/by-sa/">version?</a>'),
        page("SPDX-License-Identifier: MIT is what one writes."),
    ],
)
def test_what_does_not(html: str) -> None:
    assert license_of_html(html) is None


def test_what_is_stated_wins_over_links() -> None:
    html = page(f'<link rel="license" href="{BY_SA}">', f'This text is under <a href="{BY}">CC BY</a>.')
    assert license_of_html(html) == PageLicense("CC-BY-SA-4.0", "rel", BY_SA)


def test_several_that_are_stated_all_hold() -> None:
    html = page(f'<meta name="dcterms.license" content="{BY}">', f'<a rel="license" href="{BY_SA}">cc</a>')
    assert license_of_html(html) == PageLicense("CC-BY-4.0 AND CC-BY-SA-4.0", "rel", BY_SA)
    same = page(f'<meta name="dcterms.license" content="{BY}">', f'<a rel="license" href="{BY}deed.fr">cc</a>')
    assert license_of_html(same) == PageLicense("CC-BY-4.0", "rel", f"{BY}deed.fr")


@pytest.mark.parametrize(
    ("text", "license_id"),
    [
        ("# SPDX-License-Identifier: MIT\nx = 1\n", "MIT"),
        ("// SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note\n", "GPL-2.0-only WITH Linux-syscall-note"),
        ("/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */", "(GPL-2.0-only OR BSD-2-Clause)"),
        ("/*\n * Copyright\n *\n * SPDX-License-Identifier: apache-2.0\n */\n", "Apache-2.0"),
        ("<!-- SPDX-License-Identifier: CC-BY-4.0 -->\r\n", "CC-BY-4.0"),
        ("-- SPDX-License-Identifier: 0BSD", "0BSD"),
        ("\ufeff# SPDX-License-Identifier: ISC", "ISC"),
        (";; SPDX-License-Identifier: LicenseRef-Ours", "LicenseRef-Ours"),
        ("# SPDX-License-Identifier: MIT\n\n# SPDX-License-Identifier: Apache-2.0\n", "Apache-2.0 AND MIT"),
        ("# SPDX-License-Identifier: MIT\n# SPDX-License-Identifier: ISC OR 0BSD\n", "(ISC OR 0BSD) AND MIT"),
        ("# SPDX-License-Identifier: MIT\n# SPDX-License-Identifier: MIT\n", "MIT"),
        ("SPDX-License-Identifier: MIT", "MIT"),
        ("# SPDX-License-Identifier: <expression>", None),
        ("# SPDX-License-Identifier: MyOwnThing", None),
        ("# SPDX-License-Identifier:", None),
        ('header = "SPDX-License-Identifier: MIT"', None),
        ("Files begin with SPDX-License-Identifier: MIT", None),
        ("MIT License", None),
        ("", None),
    ],
)
def test_source_files(text: str, license_id: str | None) -> None:
    found = license_of_text(text)
    assert (found.license if found else None) == license_id
    assert found is None or found.source == "spdx"


@given(st.text(alphabet=st.sampled_from("<>/=\"' -abcdeghiklmnoprstu!{}[]:,.\n0149")))
def test_any_characters(text: str) -> None:
    """Neither an error nor an answer without an address or a name of a licence."""
    assert license_of_html(f"license creativecommons.org/publicdomain/ {text}") is None
    assert stated(f"<link rel=license href={BY}>{text}") == ("CC-BY-4.0", "rel")


@pytest.mark.parametrize(
    "unit",
    [
        *(
            "license <!--",
            "<a rel=license ",
            "<a rel=license href='",
            "<figure>",
            "<script type=ld+json license>",
            "<meta license=",
        ),
        *(
            "<script type='application/ld+json'>\"license\"",
            f"<a href='{BY}'>",
            f"This work <a href='{BY}'>",
            "<",
            "license",
        ),
        *(
            "SPDX-License-Identifier: ",
            "\n# SPDX-License-Identifier: x",
            "photo <a license ",
            "creativecommons.org/publicdomain/",
        ),
    ],
)
def test_time_grows_with_length_alone(unit: str) -> None:
    """A square of the length would take minutes."""
    text = "license" + unit * (500_000 // len(unit))
    began = time.process_time()
    license_of_html(text)
    license_of_text(text)
    assert time.process_time() - began < 8


def test_real_pages(shared: Path) -> None:
    """All that state one, looked at by eye: a news site, Wikipedia, a home page, the blackout page of Wikimedia.

    creativecommons.org/mission links to CC-BY-3.0 below somebody's picture: it states none for itself.
    """
    found = {}
    for archive in sorted((shared / "crawl").glob("*.warc.gz")):
        with archive.open("rb") as file:
            for record in map(resolve, read_warc(file, "gzip", max_record_bytes=2**25)):
                if record.media == "html" and record.text and (stated_here := license_of_html(record.text)):
                    found[record.url] = (stated_here.license, stated_here.source)
    assert found == {
        "http://www.panarmenian.net/eng/news/275221/": ("CC-BY-3.0", "rel"),
        "https://an.wikipedia.org/wiki/Escopete": ("CC-BY-SA-4.0", "rel"),
        "https://soldaini.net/": ("CC-BY-4.0", "rel"),
        "http://wikimediafoundation.org/wiki/SOPA/Blackoutpage": ("CC-BY-SA-3.0", "rel"),
    }
