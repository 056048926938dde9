"""The real pages of ``shared/crawl``, against counts that another reader makes."""

from collections import Counter
from pathlib import Path

import pytest
from warcio.archiveiterator import ArchiveIterator

from tests.curation.commands import ask, check, command, reasons

NO_DOCUMENT = ("image/", "text/css", "text/javascript", "application/javascript", "text/xml", "application/")


def counted(paths: list[Path]) -> Counter[str]:
    """Records by what must become of them, counted with warcio from declared types and statuses alone."""
    found: Counter[str] = Counter()
    for path in paths:
        with path.open("rb") as file:
            for record in ArchiveIterator(file):
                if record.rec_type != "response":
                    found["record_type"] += 1
                    continue
                status = int(record.http_headers.get_statuscode())
                declared = (record.http_headers.get_header("Content-Type") or "").lower()
                if 300 <= status < 400:
                    found["redirect"] += 1
                elif status >= 400:
                    found["http_error"] += 1
                elif declared.startswith(NO_DOCUMENT):
                    found["not_html"] += 1
                elif not record.content_stream().read().strip():
                    found["empty"] += 1
                else:
                    found["document"] += 1
    return found


@pytest.mark.timeout(300)
def test_the_waterfall_equals_an_independent_count(shared: Path, tmp_path: Path) -> None:
    paths = sorted((shared / "crawl").glob("*.warc.gz"))
    done = command("curation.run", *paths, "--workspace", tmp_path / "w")
    assert done.returncode == 0, done.stderr
    found = reasons(tmp_path / "w")
    expected = counted(paths)
    documents = expected.pop("document")
    assert {reason: n for (step, reason), n in found.items() if step == "read"} == dict(expected)
    assert sum(n for (step, _), n in found.items() if step != "read") == documents
    assert not [step for step, _ in found if step == "quarantined"]
    check(tmp_path / "w")
    urls = {row["url"] for row in ask(tmp_path / "w", "SELECT url FROM document WHERE url IS NOT NULL")}
    for path in paths:
        with path.open("rb") as file:
            responses = [r for r in ArchiveIterator(file) if r.rec_type == "response"]
        assert {r.rec_headers.get_header("WARC-Target-URI").strip("<>") for r in responses} <= urls
