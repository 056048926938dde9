"""The written pages, crawled and curated by the real command: nothing is lost and the characters are right."""

import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest

from curation.demo import __main__ as demo
from curation.demo import library, site, written
from curation.demo.crawl import HOST, Crawl, crawl, serve

ROOT = Path(__file__).resolve().parents[3]
ARTICLES = {text.path: text for text in written.load() if text.layout != "raw"}


class Curated(NamedTuple):
    """A crawl and what became of it."""

    crawl: Crawl
    rows: list[dict[str, Any]]
    """All documents of all shards."""

    def document(self, path: str) -> dict[str, Any]:
        (row,) = (row for row in self.rows if row["url"] == f"http://{HOST}{path}")
        return row


@pytest.fixture(scope="module")
def curated(tmp_path_factory: pytest.TempPathFactory) -> Curated:
    """All of the site but the library, crawled and curated."""
    workspace = tmp_path_factory.mktemp("demo") / "workspace"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "entries", lambda: iter(()))
        pages = site.build()
    with serve(pages) as address:
        result = crawl(address, workspace / demo.WARC_NAME)
    command = [*demo.CURATE, str(result.path), "--workspace", str(workspace), "--config", demo.CONFIG]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    tables = [pq.read_table(file) for file in sorted(workspace.joinpath("shards").rglob("*.parquet"))]
    return Curated(result, [row for table in tables for row in table.to_pylist()])


@pytest.mark.parametrize("path", sorted(ARTICLES))
def test_an_article_is_stored_in_its_own_letters(curated: Curated, path: str) -> None:
    text = curated.document(path)["text"]
    words = [word for word in ARTICLES[path].text.split() if not word.startswith("#")]
    found = sum(word in text for word in words)
    assert found > 0.9 * len(words)
    assert "\ufffd" not in text


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/broken/empty.html", "empty"),
        ("/broken/white.html", "empty"),
        ("/broken/blank.html", "no_text"),
        ("/broken/picture.html", "not_html"),
        ("/static/dot.png", "not_html"),
        ("/notes/paper.pdf", "not_html"),
        ("/news/stalls.json", "not_html"),
        ("/moved/old-address.html", "redirect"),
        ("/gone/missing.html", "http_error"),
        ("/gone/failure.html", "http_error"),
    ],
)
def test_what_is_no_document_is_rejected_with_its_reason(curated: Curated, path: str, reason: str) -> None:
    assert curated.document(path)["reason"] == reason


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/broken/unclosed.html", "nobody has ever managed not to stop"),
        ("/broken/unlabelled.html", "four hundred jam jar lids, sorted by colour"),
        ("/broken/odd-label.html", "a drawing of a naïve little boat"),
        ("/broken/bad-bytes.html", "a small brass plate, which says only that it is hot"),
        ("/news/market-reopens.html", "Winifred Achebe, who has sold cheese in the hall since 1978"),
        ("/notes/ferry.txt", "Horses travel facing the water they are leaving."),
    ],
)
def test_what_can_be_read_in_damaged_pages_is_read(curated: Curated, path: str, words: str) -> None:
    document = curated.document(path)
    assert document.get("step") in (None, "dedup")  # one repeats another page, bad bytes aside
    assert words in document["text"]


def test_every_response_is_a_row_or_quarantined(curated: Curated) -> None:
    with pytest.raises(ValueError, match="not enough values"):
        curated.document("/broken/deep.html")
    assert len(curated.rows) == curated.crawl.responses - 1
