"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of published test inputs (``$SHARED``, else ``../shared``); skips where absent."""
    path = Path(os.environ.get("SHARED", ROOT.parent / "shared"))
    if not path.is_dir():
        pytest.skip(f"no test inputs at {path}: set SHARED to the folder that holds crawl/ and datasets/")
    return path
