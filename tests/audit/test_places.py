"""Where data is looked for, and what is said where it is not."""

from pathlib import Path
from typing import Any

import pytest

from audit.places import NotThere, Places, read_cases
from audit.probes import probes
from audit.probes.base import Data
from tests.audit.probes.samples import sample_of

DATA = Data("set*", ("a*.txt", "b.txt|c.txt"), "https://example.org", hub="someone/set", hub_files=("data/*",))


@pytest.mark.parametrize("place", ["", "set", "set-2", "set/data"])
def test_a_folder_of_its_name_one_in_it_or_the_folder_itself(tmp_path: Path, place: str) -> None:
    folder = tmp_path / place
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("a1.txt", "c.txt"):
        (folder / name).touch()
    assert Places((tmp_path / "no such", tmp_path)).find(DATA) == folder


def test_what_is_missing_is_named_with_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "a1.txt").touch()
    with pytest.raises(NotThere, match=r"get a\*\.txt, b\.txt or c\.txt from https://example\.org .or say --hub true"):
        Places((tmp_path,)).find(DATA)


def test_the_hub_is_asked_only_where_that_was_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def download(name: str, **options: Any) -> str:
        asked.append((name, options["allow_patterns"], options["repo_type"]))
        for file in ("a1.txt", "b.txt"):
            (options["local_dir"] / "data").mkdir(parents=True, exist_ok=True)
            (options["local_dir"] / "data" / file).touch()
        return str(options["local_dir"])

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    with pytest.raises(NotThere):
        Places((tmp_path,)).find(DATA)
    assert asked == []
    assert Places((tmp_path,), download=True).find(DATA) == tmp_path / "set" / "data"
    assert Places((tmp_path,), download=True).find(DATA) == tmp_path / "set" / "data"
    assert asked == [("someone/set", ["data/*"], "dataset")]


def test_a_hub_out_of_reach_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(name: str, **options: Any) -> str:
        raise ConnectionError("no route")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    with pytest.raises(NotThere, match=r"someone/set: ConnectionError.*get .* from https://example\.org"):
        Places((tmp_path,), download=True).find(DATA)


def test_items_that_share_an_id_get_one_of_their_own(tmp_path: Path) -> None:
    sample_of("crows_pairs").write(tmp_path, 2)
    path = tmp_path / "crows_pairs_anonymized.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:61] + lines[1:61]) + "\n")
    cases = read_cases(probes()["crows_pairs"], Places((tmp_path,)))
    assert len({case.id for case in cases}) == len(cases) == 120
    assert cases[60].id == f"{cases[0].id}#2"
