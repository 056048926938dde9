"""One small workspace for all tests of training; each test has a copy."""

import shutil
from pathlib import Path

import pytest

from tests.training.small import make_workspace


@pytest.fixture(scope="session")
def made_workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be written to."""
    return make_workspace(tmp_path_factory.mktemp("small"))


@pytest.fixture
def workspace(made_workspace: Path, tmp_path: Path) -> Path:
    """A workspace with the datasets ``mixed-tokens`` and ``more-tokens``."""
    return Path(shutil.copytree(made_workspace, tmp_path / "W"))
