"""The hand-written pages: ``pages/*.txt``, each a few ``key: value`` lines, a blank line, the text.

=============  ==========================================================================
``path``       request target
``title``      heading of the page
``purpose``    what the page is there to show
``language``   of the text (BCP 47)
``charset``    that the text is really encoded in
``header``     charset that the HTTP header declares: ``none``, or by default the real one
``meta``       the same for the meta tag
``bom``        ``yes``: begin with a byte order mark
``encoding``   content encoding: ``gzip``, ``deflate``, ``raw-deflate``, ``br``
``chunked``    ``yes``: chunked transfer coding
``license``    URL of a licence to link to
``layout``     ``raw``: the text is the whole body, to be sent as it stands
``type``       media type; by default ``text/html``
=============  ==========================================================================
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from importlib import resources

from curation.demo.page import Frame, Page, encode_chunked, encode_content, encode_text, to_html


@dataclass(frozen=True, slots=True)
class Written:
    """One file of ``pages/``; the fields are the keys above."""

    path: str
    title: str
    purpose: str
    language: str
    charset: str
    text: str
    header: str = ""
    meta: str = ""
    bom: str = ""
    encoding: str = ""
    chunked: str = ""
    license: str = ""
    layout: str = ""
    type: str = "text/html"

    def page(self, frame: Frame) -> Page:
        """The page as it is sent, inside ``frame`` unless its layout is raw."""
        if self.layout == "raw":
            document = self.text
        else:
            document = frame.render(
                self.title,
                to_html(self.text),
                language=self.language,
                meta_charset=_declared(self.meta, self.charset),
                license_url=self.license,
            )
        body = encode_text(document, self.charset, mark=bool(self.bom))
        body, headers = encode_content(body, self.encoding)
        if self.chunked:
            body, headers = encode_chunked(body), (*headers, ("Transfer-Encoding", "chunked"))
        declared = _declared(self.header, self.charset)
        return Page(
            path=self.path,
            body=body,
            title=self.title,
            purpose=self.purpose,
            content_type=f"{self.type}; charset={declared}" if declared else self.type,
            headers=headers,
            charset="utf-8-sig" if self.bom else self.charset,
        )


def _declared(value: str, actual: str) -> str:
    return "" if value == "none" else value or actual


def parse(source: str) -> Written:
    """One file of ``pages/``.

    Raises:
        ValueError: a key is unknown, missing or given twice.
    """
    head, _, text = source.partition("\n\n")
    keys: dict[str, str] = {}
    for line in head.splitlines():
        key, colon, value = line.partition(": ")
        if not colon or key in keys or key == "text":
            raise ValueError(f"expected one 'key: value' a line, each key once; found {line!r}")
        keys[key] = value.strip()
    valid = [field.name for field in fields(Written) if field.name != "text"]
    if unknown := sorted(set(keys) - set(valid)):
        raise ValueError(f"unknown key {unknown[0]!r}; valid: {', '.join(valid)}")
    if missing := sorted({"path", "title", "purpose", "language", "charset"} - set(keys)):
        raise ValueError(f"key {missing[0]!r} is missing")
    return Written(text=text, **keys)


def load() -> Iterator[Written]:
    """Every written page, by file name.

    Raises:
        ValueError: a file is malformed; names the file.
    """
    folder = resources.files("curation.demo") / "pages"
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        try:
            yield parse(file.read_text("utf-8"))
        except ValueError as error:
            raise ValueError(f"{file.name}: {error}") from None
