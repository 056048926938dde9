"""Expressions over attributes: the same elements as lxml finds, in the same order."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree, html

from curation.xpath import MAX_REMEMBERED, AttributePath, Unsupported, quicker

REGEXP = {"re": "http://exslt.org/regular-expressions"}
PATHS = [
    ".//*[self::div or self::p][re:test(@class, 'share|^nav') or @id='x' or contains(@style, 'none')]",
    ".//*[self::div or self::p][re:test(@id|@class, 'nav')]",
    ".//*[starts-with(@id|@class, 'nav') or contains(translate(@role, 'N', 'n'), 'nav')]",
    ".//*[self::div or self::p][@class][not(self::p) or re:test(@class, 'SHARE', 'i')]",
    "//*[(@id='x' or @id='nav') and @class]",
    "(.//*[self::div or self::p][@class='share'])[1]",
    ".//*[self::div or self::p][re:test(@class, 'share')][1]",
]
VALUES = st.sampled_from(["x", "nav", "share nav", "Share", "display:none", "", "Nav bar"])
ATTRIBUTES = st.lists(
    st.tuples(st.sampled_from(["id", "class", "style", "role", "href"]), VALUES), max_size=4, unique_by=lambda a: a[0]
)
TREES = st.recursive(
    st.tuples(st.sampled_from(["div", "p", "span"]), ATTRIBUTES, st.just(())),
    lambda children: st.tuples(
        st.sampled_from(["div", "p", "span"]), ATTRIBUTES, st.lists(children, max_size=4).map(tuple)
    ),
    max_leaves=20,
)


def build(node: tuple[str, list[tuple[str, str]], tuple[object, ...]]) -> etree._Element:
    tag, attributes, children = node
    element = etree.Element(tag)
    for name, value in attributes:  # their order is that of the page
        element.set(name, value)
    element.extend(build(child) for child in children)  # type: ignore[arg-type]
    return element


@settings(max_examples=60, deadline=None)
@given(st.lists(TREES, min_size=1, max_size=3))
def test_finds_what_lxml_finds(nodes: list[tuple[str, list[tuple[str, str]], tuple[object, ...]]]) -> None:
    tree = etree.Element("body")
    tree.extend(build(node) for node in nodes)
    for path in PATHS:
        assert QUICK[path](tree) == EXACT[path](tree), path


EXACT = {path: etree.XPath(path, namespaces=REGEXP) for path in PATHS}
QUICK = {path: AttributePath(path) for path in PATHS}


@pytest.mark.parametrize(
    "path",
    [
        ".//header",
        "//a[@href]",
        ".//*[self::div][not(@class)]",
        ".//*[@class][2]",
        ".//*[.//h1 or @id='x']",
        ".//*[@class='x']//a",
        ".//*[string-length(@class) > 3]",
        ".//*[@class='x']|//b[@class]",
    ],
)
def test_others_are_left_to_lxml(path: str) -> None:
    with pytest.raises(Unsupported):
        AttributePath(path)
    tree = html.fromstring("<body><header class=x><a href=y>1</a></header><div><b class=xyzz>2</b></div><div class=x>")
    assert quicker(etree.XPath(path))(tree) == etree.XPath(path)(tree)


def test_most_of_trafilatura_is_quicker() -> None:
    """Should an update of trafilatura write its expressions in another way, this says so."""
    from trafilatura import xpaths

    import curation.extract

    curation.extract._prepare_trafilatura()
    for name in ("OVERALL_DISCARD_XPATH", "REMOVE_COMMENTS_XPATH", "TEASER_DISCARD_XPATH", "COMMENTS_XPATH"):
        assert all(isinstance(path, AttributePath) for path in getattr(xpaths, name)), name
    assert sum(isinstance(path, AttributePath) for path in xpaths.BODY_XPATH) >= 3


def test_memory_is_bounded() -> None:
    path = AttributePath(".//*[@class='x']")
    tree = etree.Element("body")
    for number in range(MAX_REMEMBERED + 10):
        etree.SubElement(tree, "p").set("class", str(number))
    etree.SubElement(tree, "p").set("class", "y" * 1000)
    assert path(tree) == []
    assert 0 < len(path._remembered) <= MAX_REMEMBERED
    assert all(len(key[0]) < 1000 for key in path._remembered)
