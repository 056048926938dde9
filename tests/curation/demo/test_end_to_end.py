"""The written pages, crawled and curated by the real command: nothing is lost and the characters are right."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from curation.demo import library, site, written
from curation.demo import __main__ as demo
from curation.demo.crawl import HOST, Crawl, crawl, serve

ROOT = Path(__file__).resolve().parents[3]
ARTICLES = {text.path: text for text in written.load() if text.layout != "raw"}


@pytest.fixture(scope="module")
def curated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Crawl, dict[str, dict[str, Any]]]:
    """The crawl of all but the library, and what became of each page: path -> row of a shard."""
    workspace = tmp_path_factory.mktemp("demo") / "workspace"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "entries", lambda: iter(()))
        pages = site.build()
    with serve(pages) as address:
        result = crawl(address, workspace / demo.WARC_NAME)
    command = [sys.executable, *demo.CURATE[1:], result.path, "--workspace", workspace, "--config", demo.CONFIG]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    tables = [pq.read_table(file) for file in sorted(workspace.joinpath("shards").rglob("*.parquet"))]
    rows = [row for table in tables for row in table.to_pylist() if row["url"].startswith(f"http://{HOST}")]
    return result, {row["url"].removeprefix(f"http://{HOST}"): row for row in rows if row.get("text")}


@pytest.mark.parametrize("path", sorted(ARTICLES))
def test_an_article_is_stored_in_its_own_letters(
    curated: tuple[Crawl, dict[str, dict[str, Any]]], path: str
) -> None:
    text = curated[1][path]["text"]
    words = [word for word in ARTICLES[path].text.split() if not word.startswith("#")]
    found = sum(word in text for word in words)
    assert found > 0.9 * len(words)
    assert "\ufffd" not in text
