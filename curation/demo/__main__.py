"""``python -m curation.demo``: builds the demo site, crawls it, curates the crawl, and looks at what was removed."""

import argparse
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

from curation.catalog.query import ask
from curation.demo import site
from curation.demo.crawl import crawl, serve
from curation.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_SOME_FAILED, EXIT_USAGE, UserError
from curation.workspace import Workspace

CURATE = (sys.executable, "-m", "curation.run")
CONFIG = "smoke"
WARC_NAME = "crawl/demo.warc.gz"
"""Where the crawl lies inside the workspace."""

_LARGEST_CLUSTER = "SELECT id FROM document WHERE step IS NULL ORDER BY cluster_size DESC, url, id LIMIT 1"
_DUPLICATES = (
    "SELECT DISTINCT url, reason, duplicate_of, round(jaccard, 3) AS jaccard, cluster_size FROM document "
    "WHERE step = 'dedup' ORDER BY duplicate_of, url LIMIT 6"
)
_PERSONAL = (
    "SELECT DISTINCT url, toxicity.cheap AS toxicity, pii.email, pii.phone, pii.card, pii.iban FROM document "
    "WHERE toxicity.cheap > 0.8 OR pii.card > 0 OR pii.iban > 0 OR pii.phone > 1 ORDER BY url LIMIT 6"
)


def main(arguments: list[str] | None = None) -> int:
    """Runs the demo; returns the exit code of the curation run."""
    parser = argparse.ArgumentParser(
        prog="python -m curation.demo",
        description="Serve a small web site on the loopback, crawl it into a WARC file, and curate that.",
    )
    parser.add_argument(
        "--workspace",
        type=Path,
        default=Path("workspace-demo"),
        metavar="W",
        help="where crawl, shards and catalog go (default: ./workspace-demo)",
    )
    parser.add_argument(
        "--keep", action="store_true", help="curate the crawl of an earlier demo instead of crawling again"
    )
    options = parser.parse_args(arguments)
    warc = options.workspace / WARC_NAME
    try:
        if not (options.keep and warc.is_file()):
            _record(warc)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED

    code = run_shown([*CURATE, str(warc), "--workspace", str(options.workspace), "--config", CONFIG])
    if code in (EXIT_DONE, EXIT_SOME_FAILED):
        for module, *words in _questions(Workspace(options.workspace)):
            print(flush=True)
            run_shown([sys.executable, "-m", module, *words, "--workspace", str(options.workspace)])
        print(_next_commands(options.workspace))
    return code


def _record(warc: Path) -> None:
    print("building the demo site and crawling it over HTTP ...", file=sys.stderr)
    started = time.monotonic()
    pages = site.build()
    try:
        with serve(pages) as address:
            result = crawl(address, warc)
    except OSError as error:
        raise UserError(
            f"cannot record the demo crawl in {warc}: {error}; choose another folder with --workspace"
        ) from error
    print(f"took {time.monotonic() - started:.1f} s", file=sys.stderr)
    print(
        f"crawled {result.responses:,} pages, {result.received_bytes / 1e6:.1f} MB,"
        f" into {warc} ({warc.stat().st_size / 1e6:.1f} MB)"
    )


def _questions(workspace: Workspace) -> list[tuple[str, ...]]:
    """Commands that show what deduplication removed, the nearest documents of one that had copies, and where insults
    and personal data stand."""
    if not workspace.exists:
        return []
    _, found = ask(workspace, _LARGEST_CLUSTER)
    return [
        ("curation.catalog", "sql", _DUPLICATES),
        *(("curation.near", document_id) for (document_id,) in found),
        ("curation.catalog", "sql", _PERSONAL),
    ]


def run_shown(command: list[str]) -> int:
    """Shows and runs ``command`` on our own streams; signals reach it, and it alone decides how to stop."""
    words = (f'"{word}"' if "'" in word else shlex.quote(word) for word in command[1:])  # SQL reads better so
    print("$ python", *words, flush=True)
    child = subprocess.Popen(command)
    previous = signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    try:
        while True:
            try:
                code = child.wait()
            except KeyboardInterrupt:  # the terminal has sent Ctrl-C to the child as well
                continue
            return code if code >= 0 else 128 - code
    finally:
        signal.signal(signal.SIGTERM, previous)


def _next_commands(workspace: Path) -> str:
    where = shlex.quote(str(workspace))
    query = "SELECT url, reason, gopher_quality, text FROM document WHERE step = 'gopher_quality' LIMIT 5"
    return (
        "\nNext, for example:\n"
        f"  python -m curation.catalog status --workspace {where}\n"
        f'  python -m curation.catalog sql "{query}" --workspace {where}'
    )


if __name__ == "__main__":
    sys.exit(main())
