"""Fixtures shared by all tests."""

import os
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("same", derandomize=True)  # a test passes today and tomorrow, or on neither
hypothesis.settings.register_profile("search", max_examples=200)  # make test-full looks for what is not known yet
hypothesis.settings.load_profile("same")

ROOT = Path(__file__).resolve().parents[1]


_DIVISIBLE = {ROOT / "tests", ROOT / "tests" / "curation", ROOT / "tests" / "training", ROOT / "tests" / "audit"}
"""Folders whose files can be in several processes: what their fixtures make is small."""


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share expensive fixtures, those of a folder with a conftest.py of its own, stay in one process."""
    for item in items:
        folder = item.path.parent
        together = (folder / "conftest.py").exists() and folder not in _DIVISIBLE
        item.add_marker(pytest.mark.xdist_group(str(folder if together else item.path)))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of published test inputs (``$SHARED``, else ``../shared``); skips where absent."""
    path = Path(os.environ.get("SHARED", ROOT.parent / "shared"))
    if not path.is_dir():
        pytest.skip(f"no test inputs at {path}: set SHARED to the folder that holds crawl/ and datasets/")
    return path
