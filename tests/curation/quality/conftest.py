"""A small model, trained once."""

from pathlib import Path

import pytest

from curation.quality.__main__ import main
from tests.curation.quality import graded


@pytest.fixture(scope="session")
def sides(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Files of positive and negative texts."""
    folder = tmp_path_factory.mktemp("sides")
    positive, negative = graded.sides(300)
    return graded.write(folder / "positive.jsonl", positive), graded.write(folder / "negative.jsonl", negative)


@pytest.fixture(scope="session")
def model(sides: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model for English."""
    path = tmp_path_factory.mktemp("model") / "model.bin"
    arguments = ["train", "--positive", str(sides[0]), "--negative", str(sides[1]), "--language", "eng_Latn"]
    assert main([*arguments, "--to", str(path), "--workspace", str(path.parent / "w")]) == 0
    return path
