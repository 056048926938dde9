"""Raw input of every kind, made on the spot, with what must come of it known."""

import io
import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

WORDS = {
    "en": "the river runs slowly past old mills where people of the town once brought their grain every autumn "
    "and children still watch boats from the stone bridge while their parents talk about weather and work",
    "de": "der fluss zieht langsam an den alten muehlen vorbei wo die leute der stadt frueher ihr getreide brachten "
    "und kinder noch heute von der steinernen bruecke aus den booten zusehen waehrend ihre eltern reden",
}


def prose(language: str, seed: int, sentences: int = 12) -> str:
    """Readable enough text of a language, different for every seed."""
    chance = random.Random(f"{language}{seed}")
    words = WORDS[language].split()
    lines = []
    for _ in range(sentences):
        line = " ".join(chance.choice(words) for _ in range(14))
        lines.append(line.capitalize() + ".")
    return " ".join(lines)


def page(language: str, seed: int, sentences: int = 12) -> str:
    """An HTML page with a main text and some boilerplate."""
    paragraphs = "".join(f"<p>{prose(language, seed * 100 + n, sentences // 3 or 1)}</p>" for n in range(3))
    return (
        f"<!DOCTYPE html><html><head><title>Page {seed}</title><meta charset='utf-8'></head><body>"
        "<nav><a href='/'>Home</a> <a href='/about'>About</a></nav>"
        f"<main><article><h1>Page {seed}</h1>{paragraphs}</article></main><footer>Imprint</footer></body></html>"
    )


def warc(path: Path, pages: int, first: int = 0, gzip: bool = True) -> dict[tuple[str, str], int]:
    """A WARC of requests and responses; returns (step, reason) -> records that are no documents."""
    path.parent.mkdir(parents=True, exist_ok=True)
    expected = {("read", "record_type"): 1 + pages, ("read", "redirect"): 1, ("read", "http_error"): 2}
    expected |= {("read", "not_html"): 1, ("read", "empty"): 1}
    with path.open("wb") as file:
        writer = WARCWriter(file, gzip=gzip)
        writer.write_record(writer.create_warcinfo_record(path.name, {"software": "test"}))

        def response(url: str, status: str, headers: list[tuple[str, str]], body: bytes) -> None:
            http = StatusAndHeaders(status, headers, protocol="HTTP/1.1")
            record = writer.create_warc_record(url, "response", io.BytesIO(body), http_headers=http)
            writer.write_record(record)

        html = [("Content-Type", "text/html; charset=utf-8")]
        for number in range(first, first + pages):
            url = f"http://site{number % 3}.example/{number}"
            request = StatusAndHeaders("GET / HTTP/1.1", [("Host", "x")], is_http_request=True)
            writer.write_record(writer.create_warc_record(url, "request", http_headers=request))
            language = "de" if number % 4 == 0 else "en"
            response(url, "200 OK", html, page(language, number).encode())
        response("http://site0.example/moved", "301 Moved", [("Location", "/")], b"")
        response("http://site0.example/gone", "404 Not Found", html, b"<html><body>gone</body></html>")
        response("http://site0.example/broken", "503 Busy", html, b"")
        response(
            "http://site0.example/i.png", "200 OK", [("Content-Type", "image/png")], b"\x89PNG\r\n\x1a\n" + bytes(90)
        )
        response("http://site0.example/empty", "200 OK", html, b"")
    return expected


def jsonl(path: Path, lines: int, first: int = 0) -> dict[tuple[str, str], int]:
    """Good lines, and three bad ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for number in range(first, first + lines):
            file.write(json.dumps({"text": prose("en", number), "url": f"http://lines.example/{number}"}) + "\n")
            if number == first + 1:
                file.write('{"text": "cut off\nnull\n{"url": "http://lines.example/none"}\n')
    return {("quarantined", "bad_json"): 1, ("quarantined", "not_object"): 1, ("quarantined", "no_text"): 1}


def parquet(path: Path, rows: int, first: int = 0) -> None:
    """Rows with text and URL."""
    numbers = range(first, first + rows)
    table = pa.table(
        {
            "url": [f"http://rows.example/{number}" for number in numbers],
            "text": [prose("de", number) for number in numbers],
        }
    )
    pq.write_table(table, path, row_group_size=7)


def everything(folder: Path, scale: int = 8) -> dict[tuple[str, str], int]:
    """One input of each kind under a folder; returns (step, reason) -> records, "kept" included."""
    expected = warc(folder / "crawl one.warc.gz", 4 * scale)
    counts = jsonl(folder / "lines" / "good\nname.jsonl", 3 * scale, first=1000)
    expected |= counts
    parquet(folder / "rows.parquet", 2 * scale, first=2000)
    (folder / "html").mkdir()
    for number in range(scale):
        (folder / "html" / f"page {number}.html").write_text(page("en", 3000 + number), encoding="utf-8")
    (folder / "book.txt").write_text(prose("en", 4000, 60), encoding="utf-8")
    (folder / "README.md").write_text("# Notes\n\n" + prose("en", 4001), encoding="utf-8")
    source = "".join(
        f'def mill_{n}(grain: int) -> int:\n    """Grind."""\n    return grain * {n}\n\n\n' for n in range(9)
    )
    (folder / "tool.py").write_text(source, encoding="utf-8")
    expected[("kept", "")] = 4 * scale + 3 * scale + 2 * scale + scale + 3
    return expected
