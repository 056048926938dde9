"""Text that any Python installation holds, found without importing any of it.

The topics of the language reference, the docstrings of the standard library and of numpy (their
source is parsed, never run) and the descriptions of the installed packages: about 4 MB of real
technical prose. It depends on nothing but the installation, so two runs give the same bytes.
"""

import ast
import html
import importlib.metadata
import re
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from pydoc_data.topics import topics

from curation.demo.page import to_html

DISTRIBUTION = "open-curation"
"""This project itself: left out, or an edit of its README would change the demo crawl."""

DOCUMENTED_PACKAGE = "numpy"
"""The base install always has it, and its docstrings are as long as those of the standard library."""

MIN_TEXT = 200
"""Characters below which a module or a package gets no page."""

SKIPPED_PARTS = frozenset(
    [
        *("__main__", "__pycache__", "dist-packages", "site-packages", "test", "tests"),
        *("antigravity", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "this", "turtledemo"),
    ]
)
"""Parts of a module's name: installed packages and tests; data, programs and jokes."""

_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_BADGE = re.compile(r"\s*(?:<|\[?!\[|\.\. (?:image|figure|\|))")
_NAMED = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, slots=True)
class Entry:
    """The text of one page."""

    path: str
    title: str
    content: str
    """HTML."""


def entries() -> Iterator[Entry]:
    """All pages, in a fixed order."""
    yield from _topics()
    yield from _modules(Path(sysconfig.get_path("stdlib")))
    yield from _modules(Path(sysconfig.get_path("platlib")), DOCUMENTED_PACKAGE)
    yield from _packages(sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}))


def _topics() -> Iterator[Entry]:
    for name, text in sorted(topics.items()):
        yield Entry(f"/docs/topics/{name}.html", f"Language reference: {name}", to_html(text))


def _modules(root: Path, package: str = "") -> Iterator[Entry]:
    """The modules below ``root``, or only those of one package there."""
    for file in sorted((root / package).rglob("*.py")):
        parts = file.relative_to(root).with_suffix("").parts
        if SKIPPED_PARTS.intersection(parts) or parts[0].startswith(("config-", "lib-dynload")):
            continue
        name = ".".join(parts).removesuffix(".__init__")
        tree = ast.parse(file.read_bytes(), filename=str(file))
        blocks = [to_html(ast.get_docstring(tree) or ""), *_members(tree)]
        content = "\n".join(block for block in blocks if block)
        if len(content) >= MIN_TEXT:
            yield Entry(f"/docs/modules/{name}.html", f"Module {name}", content)


def _members(parent: ast.Module | ast.ClassDef) -> Iterator[str]:
    """The documented public classes, functions and methods, in the order of the source."""
    for node in parent.body:
        if not isinstance(node, _NAMED) or node.name.startswith("_"):
            continue
        text = ast.get_docstring(node)
        if text:
            yield f"<h2>{html.escape(_signature(node))}</h2>\n{to_html(text)}"
        if isinstance(node, ast.ClassDef):
            yield from _members(node)


def _signature(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    if isinstance(node, ast.ClassDef):
        return f"class {node.name}({', '.join(map(ast.unparse, node.bases))})"
    return f"{node.name}({ast.unparse(node.args)})"


def _packages(folders: list[str]) -> Iterator[Entry]:
    found: dict[str, Entry] = {}
    for distribution in importlib.metadata.distributions(path=folders):
        # As JSON, since there the description is found wherever the file holds it.
        metadata = {key: str(value) for key, value in distribution.metadata.json.items()}
        name = re.sub(r"[-_.]+", "-", metadata["name"]).lower()
        text = _COMMENT.sub("", metadata.get("description", ""))
        prose = "\n".join(line for line in text.splitlines() if not _BADGE.match(line))
        if name != DISTRIBUTION and name not in found and len(prose) >= MIN_TEXT:
            title = f"{metadata['name']}: {metadata.get('summary', '')}"
            found[name] = Entry(f"/docs/packages/{name}.html", title, to_html(prose))
    yield from (found[name] for name in sorted(found))
