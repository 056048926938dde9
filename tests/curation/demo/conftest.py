"""The demo site and its crawl, made once for all tests of the demo."""

import pytest

from curation.demo import site
from curation.demo.crawl import Crawl, crawl, serve
from curation.demo.page import Page


@pytest.fixture(scope="session")
def demo_site() -> dict[str, Page]:
    return site.build()


@pytest.fixture(scope="session")
def demo_crawl(demo_site: dict[str, Page], tmp_path_factory: pytest.TempPathFactory) -> Crawl:
    with serve(demo_site) as address:
        return crawl(address, tmp_path_factory.mktemp("demo") / "crawl" / "demo.warc.gz")
