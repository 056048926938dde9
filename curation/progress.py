"""Progress of long work: a bar on a terminal, a log line now and then elsewhere. Always on stderr."""

import logging
import sys
import time
from typing import Any

LOG_EVERY_SECONDS = 10.0

log = logging.getLogger("curation")


def setup_logging() -> None:
    """Log lines on stderr, with the time; for commands."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", force=True
    )
    for library in ("botocore", "aiobotocore"):  # they tell where they have found credentials, in every process
        logging.getLogger(library).setLevel(logging.WARNING)


class Progress:
    """One stage at a time: bytes of input for the bar, documents for the rate."""

    def __init__(self, terminal: bool | None = None) -> None:
        self._terminal = sys.stderr.isatty() if terminal is None else terminal
        self._bar: Any = None
        self._stage = ""
        self._total = 0
        self._base = 0
        self._began = self._logged = 0.0
        self._documents = 0

    def start(self, stage: str, total: int, done: int = 0, unit: str = "B") -> None:
        """Begin a stage of ``total`` units, ``done`` of which were done before (a resume)."""
        self._stage, self._total, self._documents, self._base = stage, total, 0, done
        self._began = self._logged = time.monotonic()
        if self._terminal:
            from tqdm import tqdm

            self._bar = tqdm(
                total=total, initial=done, desc=stage, unit=unit, unit_scale=True, leave=True, file=sys.stderr
            )

    def update(self, amount: int, documents: int) -> None:
        """Tell how much of the stage is done in this attempt, in units and in documents."""
        self._documents = documents
        now = time.monotonic()
        rate = documents / max(now - self._began, 1e-9)
        if self._bar is not None:
            self._bar.n = min(self._base + amount, self._total)
            self._bar.set_postfix_str(f"{documents:,} docs, {rate:,.0f} docs/s")
        elif now - self._logged >= LOG_EVERY_SECONDS:
            self._logged = now
            share = min(self._base + amount, self._total) / max(self._total, 1)
            log.info("%s: %.0f %%, %s documents, %.0f/s", self._stage, 100 * share, f"{documents:,}", rate)

    def note(self, message: str) -> None:
        """A line for the log, without tearing the bar."""
        if self._bar is not None:
            self._bar.write(message, file=sys.stderr)
        else:
            log.warning("%s", message)

    def finish(self) -> None:
        """End the stage."""
        seconds = time.monotonic() - self._began
        if self._bar is not None:
            self._bar.n = self._total
            self._bar.refresh()
            self._bar.close()
            self._bar = None
        else:
            rate = self._documents / max(seconds, 1e-9)
            log.info("%s: done, %s documents in %.1f s, %.0f/s", self._stage, f"{self._documents:,}", seconds, rate)

    def abandon(self) -> None:
        """Close the bar of a stage that did not end well."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
