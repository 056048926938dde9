"""One corpus for all tests of the data of training; a test that changes it has a copy."""

from pathlib import Path

import pytest

from curation.workspace import Workspace
from tests.training.data.corpus import build, config, record_run


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with tokenized datasets; tests only read it."""
    return build(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def run_id(corpus: Workspace) -> str:
    """A training run on record in the corpus."""
    return record_run(corpus, config())


@pytest.fixture
def own(corpus: Workspace, run_id: str, tmp_path: Path) -> Workspace:
    """A copy of the corpus that a test may change."""
    import shutil

    shutil.copytree(corpus.root, tmp_path / "W")
    return Workspace(tmp_path / "W")
