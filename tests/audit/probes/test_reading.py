"""Which files of a probe's data are read."""

from pathlib import Path

import pytest

from audit.places import NotThere, Places
from audit.probes.base import Data
from audit.probes.reading import find_files
from curation.errors import UserError

DATA = Data("set", ("dev.json|test*.jsonl", "facts.csv"), "https://example.org")


def test_of_alternatives_one_is_enough(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "facts.csv").touch()
    with pytest.raises(UserError, match=r"has no dev\.json or test\*\.jsonl;"):
        find_files(folder, DATA.files)
    with pytest.raises(NotThere, match=r"get dev\.json or test\*\.jsonl, facts\.csv from https"):
        Places((tmp_path,)).find(DATA)
    for name in ("test2.jsonl", "test1.jsonl"):
        (folder / name).touch()
    assert Places((tmp_path,)).find(DATA) == folder
    assert [path.name for path in find_files(folder, DATA.files)] == ["test1.jsonl", "test2.jsonl", "facts.csv"]
    (folder / "dev.json").touch()
    assert [path.name for path in find_files(folder, DATA.files)] == [
        *("dev.json", "test1.jsonl", "test2.jsonl", "facts.csv")
    ]
