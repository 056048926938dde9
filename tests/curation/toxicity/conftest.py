"""One small checkpoint for all tests of toxicity."""

from pathlib import Path

import pytest

from curation.toxicity.cheap import Cheap, open_cheap, prepare_cheap
from tests.curation.toxicity import small_model


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a checkpoint in Detoxify's format, trained on annotated tweets."""
    if not small_model.TWEETS.exists():
        pytest.skip(f"needs {small_model.TWEETS}: set SHARED to the folder with datasets/")
    folder = tmp_path_factory.mktemp("detoxify") / "small"
    small_model.train(folder)
    return folder


@pytest.fixture(scope="session")
def cheap(tmp_path_factory: pytest.TempPathFactory) -> Cheap:
    """The cheap model."""
    cache = tmp_path_factory.mktemp("cache")
    (digest,) = prepare_cheap(cache).values()
    return open_cheap(cache, digest)
