"""A crawl, repeated with edits, as WARC files: what deduplication meets in real crawls, in known amounts.

Usage: python -m benchmarks.parts.inputs CRAWL_FOLDER OUTPUT_FOLDER TIMES

Copy 0 is the responses as they are. Each further copy of a page has another URL, and words exchanged for others of
the same page and neighbouring paragraphs swapped, at a rate drawn from ``RATES`` for each page and copy. Prints the
number of responses written as JSON. The same arguments give the same bytes.
"""

import json
import random
import re
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

from warcio.archiveiterator import ArchiveIterator
from warcio.warcwriter import WARCWriter

RATES = (0.0, 0.002, 0.01, 0.05, 0.2, 0.5)
"""Share of words exchanged. With five-word shingles one exchange costs five, so that these copies have a Jaccard
similarity of about 1, .98, .9, .65, .25 and .03 to the original."""

_PARTS = re.compile(r"(<script\b.*?</script\s*>|<style\b.*?</style\s*>|<!--.*?-->|<[^>]*>)", re.S | re.I)
_WORD = re.compile(r"[^\W\d_]{3,}")
_ASCII_WORD = re.compile(r"(?<![A-Za-z\x80-\xff])[A-Za-z]{3,}(?![A-Za-z\x80-\xff])")
_PARAGRAPHS = re.compile(r"(<p\b[^>]*>(?:(?!<p\b).)*?</p>)(\s*)(<p\b[^>]*>(?:(?!<p\b).)*?</p>)", re.S | re.I)


def edit(body: bytes, rate: float, random_: random.Random) -> bytes:
    """A page with a share of its words exchanged, markup as it was."""
    if not rate:
        return body
    try:
        charset, word = "utf-8", _WORD
        html = body.decode(charset)
    except UnicodeDecodeError:  # some other charset, of which only the ASCII is touched
        charset, word = "latin-1", _ASCII_WORD
        html = body.decode(charset)
    html = _PARAGRAPHS.sub(lambda m: m[3] + m[2] + m[1] if random_.random() < rate / 2 else m[0], html)
    parts = _PARTS.split(html)  # text at even places, markup at odd ones
    words = [found for text in parts[::2] for found in word.findall(text)]
    if words:
        exchange = lambda m: random_.choice(words) if random_.random() < rate else m[0]  # noqa: E731
        parts[::2] = [word.sub(exchange, text) for text in parts[::2]]
    return "".join(parts).encode(charset)


def copy_response(record: Any, copy: int, writer: WARCWriter) -> None:
    """Write a response, edited where its body is stored without an encoding."""
    body = record.raw_stream.read()
    url = record.rec_headers.get_header("WARC-Target-URI") or ""
    named = {"WARC-Date": record.rec_headers.get_header("WARC-Date")}
    head = record.http_headers
    if copy == 0:
        named["WARC-Record-ID"] = record.rec_headers.get_header("WARC-Record-ID")
    else:
        random_ = random.Random(f"{copy} {url}")
        rate = random_.choice(RATES)
        named["WARC-Record-ID"] = f"<urn:uuid:{random_.getrandbits(128):032x}>"
        url += f"{'&' if '?' in url else '?'}copy={copy}"
        if head and not head.get_header("Content-Encoding") and not head.get_header("Transfer-Encoding"):
            body = edit(body, rate, random_)
            head.replace_header("Content-Length", str(len(body)))
    made = writer.create_warc_record(url, "response", payload=BytesIO(body), http_headers=head, warc_headers_dict=named)
    writer.write_record(made)


def main() -> None:
    """Write the files."""
    source, out, times = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    out.mkdir(parents=True, exist_ok=True)
    responses = 0
    for copy in range(times):
        for path in sorted(source.glob("*.warc.gz")):
            with path.open("rb") as stream, (out / f"{copy:03d}-{path.name}").open("wb") as file:
                writer = WARCWriter(file, gzip=True)
                for record in ArchiveIterator(stream):
                    if record.rec_type == "response":
                        copy_response(record, copy, writer)
                        responses += 1
    print(json.dumps({"responses": responses}))


if __name__ == "__main__":
    main()
