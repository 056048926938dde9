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
        rate = documents / max(time.monotonic() - self._began, 1e-9)
        self.tell(amount, f"{documents:,} documents, {rate:,.0f}/s")

    def tell(self, amount: int, said: str) -> None:
        """Tell how much of the stage is done in this attempt, in units, and something else of it."""
        now = time.monotonic()
        if self._bar is not None:
            self._bar.n = min(self._base + amount, self._total)
            self._bar.set_postfix_str(said)
        elif now - self._logged >= LOG_EVERY_SECONDS:
            self._logged = now
            share = min(self._base + amount, self._total) / max(self._total, 1)
            log.info("%s: %.0f %%, %s", self._stage, 100 * share, said)

    def note(self, message: str) -> None:
        """A line for the log, without tearing the bar."""
        if self._bar is not None:
            self._bar.write(message, file=sys.stderr)
        else:
            log.warning("%s", message)

    def finish(self, said: str = "") -> None:
        """End the stage; ``said`` stands in place of how many documents there were."""
        seconds = time.monotonic() - self._began
        if self._bar is not None:
            self._bar.n = self._total
            self._bar.refresh()
            self._bar.close()
            self._bar = None
        elif said:
            log.info("%s: done in %.1f s, %s", self._stage, seconds, said)
        else:
            rate = self._documents / max(seconds, 1e-9)
            log.info("%s: done, %s documents in %.1f s, %.0f/s", self._stage, f"{self._documents:,}", seconds, rate)

    def abandon(self) -> None:
        """Close the bar of a stage that did not end well."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
