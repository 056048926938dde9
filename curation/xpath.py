"""XPaths that ask for tags and attributes only, evaluated in a tenth of the time.

trafilatura finds boilerplate with expressions such as ``.//*[self::div or self::p][re:test(@class, 'share|menu')]``,
a dozen walks through each page. lxml answers ``re:test`` by calls of Python, several for each element. What
such an expression says of an element depends on its tag and a few attributes alone, and those repeat: here it is
worked out once for each combination of their values and remembered.
"""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lxml.etree import XPath, _Element

MAX_REMEMBERED = 20_000
"""Combinations of attribute values remembered by an expression before it forgets all of them."""
MAX_REMEMBERED_CHARACTERS = 200
"""Combinations with more characters are worked out each time; with the above this bounds memory."""

Values = dict[str, str]
"""Attributes of an element in the order of the page, and its tag under ``""``."""
Test = Callable[[Values], Any]

_TOKEN = re.compile(r"""\s*(?:'([^']*)'|"([^"]*)"|(self::|@?[A-Za-z][\w:-]*|[()\[\],=|]))""")
_PATH = re.compile(r"\s*(\.?)//\*\s*(?=\[)")
_FIRST = re.compile(r"\s*\((.+)\)\s*\[1\]\s*", re.S)
_FIRST_OF_PARENT = re.compile(r"\[1\]\s*$")
_TAGS = re.compile(r"\[((?:\s*self::[a-z0-9]+(?:\s+or)?)+)\s*\]")


class Unsupported(Exception):
    """The expression asks for more than tags and attributes."""


class AttributePath:
    """Stands in for an ``XPath`` ``.//*[...][...]``, ``.//*[...][1]`` or ``(.//*[...])[1]``: the same elements
    in the same order.

    Raises:
        Unsupported: when made from an expression that it does not understand.
    """

    def __init__(self, path: str) -> None:
        from lxml.etree import XPath

        self.path = path
        if first := _FIRST.fullmatch(path):
            path = first[1]
        self._first = bool(first)
        begin = _PATH.match(path)
        if not begin:
            raise Unsupported(path)
        rest = path[begin.end() :]
        self._first_of_parent = bool(_FIRST_OF_PARENT.search(rest))
        rest = _FIRST_OF_PARENT.sub("", rest)
        tags = ""
        if found := _TAGS.match(rest):
            rest, tags = rest[found.end() :], found[0]
        self._tests = _Parser(rest).predicates()
        bare = re.sub(r"'[^']*'|\"[^\"]*\"", "", rest)
        names = dict.fromkeys(re.findall(r"@([\w-]+)", bare))
        self._names = tuple(names)
        self._by_tag = "self::" in bare
        self._unions = sorted(set(re.findall(r"@([\w-]+)\|@([\w-]+)", bare)))
        if not names or self._test({}):  # an element without any of them would have to be looked at as well
            raise Unsupported(path)
        some = " or ".join(f"@{name}" for name in names)
        self._candidates: XPath = XPath(f"{begin[1]}//*{tags}[{some}]", smart_strings=False)
        self._remembered: dict[tuple[Any, ...], bool] = {}

    def __call__(self, tree: "_Element") -> "list[_Element]":
        """The elements below ``tree`` that the expression finds."""
        remembered, names = self._remembered, self._names
        found = []
        for element in self._candidates(tree):
            key = tuple(map(element.get, names))
            if self._by_tag:
                key = (*key, element.tag)
            for one, other in self._unions:
                if element.get(one) is not None and element.get(other) is not None:
                    order = element.keys()
                    key = (*key, one if order.index(one) < order.index(other) else other)
            matches = remembered.get(key)
            if matches is None:
                matches = self._look(element, key)
            if matches:
                found.append(element)
                if self._first:
                    break
        if self._first_of_parent:
            # By parent, the last one set wins; of what is then left the order is that of the page.
            chosen = {element.getparent(): element for element in reversed(found)}
            return [element for element in found if chosen[element.getparent()] is element]
        return found

    def _look(self, element: "_Element", key: tuple[Any, ...]) -> bool:
        matches = self._test({**dict(element.items()), "": str(element.tag)})
        if sum(map(len, filter(None, key))) <= MAX_REMEMBERED_CHARACTERS:
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[key] = matches
        return matches

    def _test(self, values: Values) -> bool:
        return all(test(values) for test in self._tests)


class _Parser:
    """The part of XPath 1.0, with ``re:test`` of EXSLT, in which conditions on attributes are written."""

    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[bool, str]] = []
        """(whether it is a string, text)."""
        position, text = 0, text.rstrip()
        while position < len(text):
            match = _TOKEN.match(text, position)
            if not match:
                raise Unsupported(text[position:])
            position = match.end()
            literal = match[1] if match[1] is not None else match[2]
            self._tokens.append((False, match[3]) if literal is None else (True, literal))
        self._at = 0

    def predicates(self) -> Sequence[Test]:
        tests = []
        while self._at < len(self._tokens):
            self._expect("[")
            tests.append(self._any())
            self._expect("]")
        return tests

    def _peek(self) -> str:
        is_string, text = self._tokens[self._at] if self._at < len(self._tokens) else (False, "")
        return "" if is_string else text

    def _next(self) -> str:
        word = self._peek()
        self._at += 1
        return word

    def _expect(self, word: str) -> None:
        if self._next() != word:
            raise Unsupported(word)

    def _string(self) -> str:
        self._at += 1
        if self._at > len(self._tokens) or not self._tokens[self._at - 1][0]:
            raise Unsupported("a string was expected")
        return self._tokens[self._at - 1][1]

    def _any(self) -> Test:
        tests = [self._all()]
        while self._peek() == "or":
            self._at += 1
            tests.append(self._all())
        return tests[0] if len(tests) == 1 else lambda values: any(test(values) for test in tests)

    def _all(self) -> Test:
        tests = [self._condition()]
        while self._peek() == "and":
            self._at += 1
            tests.append(self._condition())
        return tests[0] if len(tests) == 1 else lambda values: all(test(values) for test in tests)

    def _condition(self) -> Test:
        word = self._peek()
        if word == "(":
            self._at += 1
            test = self._any()
            self._expect(")")
            return test
        if word.startswith("@"):
            return self._attribute()
        self._at += 1
        if word == "self::":
            tag = self._next()
            return lambda values: values.get("") == tag
        self._expect("(")
        if word == "not":
            test = self._any()
            self._expect(")")
            return lambda values: not test(values)
        return self._function(word)

    def _attribute(self) -> Test:
        name = self._next()[1:]
        if self._peek() != "=":
            return lambda values: name in values
        self._at += 1
        wanted = self._string()
        return lambda values: values.get(name) == wanted

    def _function(self, name: str) -> Test:
        value = self._value()
        self._expect(",")
        literal = self._string()
        flags = ""
        if name == "re:test" and self._peek() == ",":
            self._at += 1
            flags = self._string()
        self._expect(")")
        if name == "contains":
            return lambda values: literal in value(values)
        if name == "starts-with":
            return lambda values: value(values).startswith(literal)
        if name == "re:test" and flags in ("", "i"):
            search = re.compile(literal, re.I if flags else 0).search
            return lambda values: search(value(values)) is not None
        raise Unsupported(name)

    def _value(self) -> Callable[[Values], str]:
        """The string of an attribute: empty where it is missing, of ``@a|@b`` the first on the page."""
        word = self._next()
        if word == "translate":
            self._expect("(")
            value = self._value()
            self._expect(",")
            before = self._string()
            self._expect(",")
            after = self._string()
            self._expect(")")
            if len(before) != len(after):
                raise Unsupported(word)
            table = str.maketrans(before, after)
            return lambda values: value(values).translate(table)
        if not word.startswith("@"):
            raise Unsupported(word)
        names = {word[1:]}
        while self._peek() == "|":
            self._at += 1
            names.add(self._next().removeprefix("@"))
        if len(names) == 1:
            (name,) = names
            return lambda values: values.get(name, "")
        return lambda values: next((value for name, value in values.items() if name in names), "")


_REGEXP = "http://exslt.org/regular-expressions"
_TEST = re.compile(r"re:test\((@[\w-]+(?:\|@[\w-]+)?), ")


def quicker(xpath: "XPath") -> "XPath | AttributePath":
    """What finds the same as an expression, sooner where possible."""
    from lxml.etree import XPath

    try:
        return AttributePath(xpath.path)
    except Unsupported:
        # Where there is no attribute no expression of trafilatura finds its empty string, so that the call is saved.
        path = _TEST.sub(r"(\1) and re:test(\1, ", xpath.path)
        return XPath(path, namespaces={"re": _REGEXP}, smart_strings=False)
