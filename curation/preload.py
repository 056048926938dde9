"""What the fork server loads, and does once, so that a worker begins with its work.

Worker processes are forked from one that has imported this module: libraries are loaded, their
lazy tables and patterns are made, and that memory is shared. Nothing else imports it, and nothing here may
start a thread: threads do not survive a fork.
"""

import duckdb
import fasttext
import jsonargparse
import pyarrow
import pyarrow.compute
import pyarrow.parquet
import rensa
import resiliparse.extract.html2text
import safetensors.numpy
import trafilatura
from datatrove.data import Document
from loguru._better_exceptions import ExceptionFormatter

import curation.pipeline
import curation.sources.content
import curation.sources.read
from curation.errors import UserError
from curation.extract import ExtractConfig, extract
from curation.filters import build_filters, registry
from curation.language import Identifier, LanguageConfig
from curation.pii import PiiConfig, find

LOADED = (
    *(fasttext, jsonargparse, pyarrow.compute, pyarrow.parquet, resiliparse.extract.html2text, trafilatura),
    *(duckdb, rensa, safetensors.numpy),
    *(curation.pipeline, curation.sources.content, curation.sources.read),
)

_PAGE = (
    '<html><head><title>T</title><meta name="date" content="2024-05-06"></head><body><article><p>A first sentence, '
    "and then another one that is somewhat longer.</p></article></body></html>"
)


def warm() -> None:
    """Take each step once."""
    for extractor in ("precise", "fast"):
        extract(_PAGE, url="http://a.example/", config=ExtractConfig(extractor=extractor), crawled_at=None)
    for each in build_filters(dict.fromkeys(registry())):
        each.score(Document(text="A page, with “quotes”.", id="", metadata={"language": "eng_Latn"}))
    find("Call +44 20 7946 0018, card 4111 1111 1111 1111, GB82 WEST 1234 5698 7654 32.", "eng_Latn", PiiConfig())
    folders = ExceptionFormatter._get_lib_dirs()  # type: ignore[no-untyped-call]  # asked for anew, 4 ms, at each of the three sinks of a task
    ExceptionFormatter._get_lib_dirs = staticmethod(lambda: folders)  # type: ignore[method-assign]
    pyarrow.Table.from_pylist([{"text": "a"}])  # looks for pandas, which takes a while where it is installed
    try:
        Identifier(LanguageConfig()).identify("A sentence.")
    except UserError:
        return  # no model in its package: the run names one by path, or says what is missing


warm()
