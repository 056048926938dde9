"""Commands that benchmarks run and measure, and the environment of the stock recipe."""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "open-curation-benchmarks"
"""Keeps the environment."""
STOCK_PACKAGES = ("datatrove[io,processing]", "spacy", "lxml_html_clean")
"""The extras do not name spaCy, which four of the filters and MinHash want, nor, since lxml 5.2, trafilatura's
lxml_html_clean, without which its Trafilatura step skips every page."""


def call(command: Sequence[str | Path], **options: Any) -> str:
    """Standard output of a command run at the root of the checkout; its errors are shown if it fails."""
    done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True, **options)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\nexited with {done.returncode}:\n{done.stderr[-3000:]}")
    return done.stdout


def part(name: str, *arguments: str | Path) -> Any:
    """What a script of ``parts/`` prints, which is JSON."""
    return json.loads(call([sys.executable, "-m", f"benchmarks.parts.{name}", *arguments]))


def measure(command: Sequence[str | Path], scratch: Path, accepted: Sequence[int] = (0,)) -> dict[str, float]:
    """Run a command under ``parts/measure.py``: its ``cpu_s``, ``wall_s`` and ``peak_mb``."""
    figures, log = scratch / "figures.json", scratch / "log.txt"
    launcher = [sys.executable, "-m", "benchmarks.parts.measure", figures]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    with log.open("w") as output:
        code = subprocess.run(
            list(map(str, [*launcher, *command])), cwd=ROOT, env=environment, stdout=output, stderr=output
        ).returncode
    if code not in accepted:
        raise SystemExit(f"{' '.join(map(str, command))}\nexited with {code}:\n{log.read_text('utf-8')[-3000:]}")
    found: dict[str, float] = json.loads(figures.read_text("utf-8"))
    return found


def stock_environment(cache: Path) -> Path:
    """The interpreter of the environment with datatrove as pip resolves it, made at the first call."""
    return environment_of(cache / "stock", STOCK_PACKAGES)


def environment_of(folder: Path, packages: Sequence[str]) -> Path:
    """The interpreter of an environment with these packages as pip resolves them, made at the first call."""
    python, stamp = folder / "bin" / "python", folder / "installed"
    if not stamp.exists():
        print(f"installing {', '.join(packages)} into {folder}", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        call([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages])
        stamp.write_text("\n".join(packages), "utf-8")  # last: its existence means complete
    return python
