"""The alarm: who loses too much to deduplication is named, and nobody else."""

import json
from pathlib import Path

import pytest

from curation.alarms import alarms, printable
from curation.dedup.config import AlarmConfig
from curation.workspace import Workspace
from tests.curation import inputs
from tests.curation.commands import NO_DEDUP, ask, curate

SMOKE = ("--config", "smoke")
HOSTILE = "evil\u202e\u200b.example"
"""Turns what follows around on a terminal; control characters are not even stored."""


def lines(path: Path, counts: dict[str, tuple[int, int]], first: int, language: str = "en") -> None:
    """For each host so many documents, of which so many repeat its first one."""
    rows = []
    for host, (documents, repeated) in counts.items():
        for number in range(documents):
            seed = first if number <= repeated else first + number
            rows.append({"url": f"http://{host}/{number}", "text": inputs.prose(language, seed, 4)})
        first += documents
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two raw files of 95 documents; the second, in German, loses 61 of them."""
    folder = tmp_path_factory.mktemp("alarms")
    (folder / "in").mkdir()
    lines(folder / "in" / "good.jsonl", {"half.example": (50, 25), "few.example": (20, 19), "good.example": (25, 0)}, 0)
    lines(folder / "in" / "bad.jsonl", {HOSTILE: (65, 60), "mild.example": (30, 1)}, 1000, "de")
    printed = curate(folder / "w", folder / "in", *SMOKE)
    (folder / "printed").write_text(printed)
    return folder / "w"


def told(workspace: Path, **options: float) -> list[str]:
    (run,) = ask(workspace, "SELECT run_id FROM run")
    return alarms(Workspace(workspace), run["run_id"], AlarmConfig(**options))  # type: ignore[arg-type]


def test_a_run_prints_who_lost_too_much(workspace: Path) -> None:
    printed = (workspace.parent / "printed").read_text()
    found = [line for line in printed.splitlines() if line.startswith("alarm:")]
    assert found == [
        "alarm: deduplication took 60 of the 65 documents of domain evil\\u202e\\u200b.example",
        "alarm: deduplication took 61 of the 95 documents of language deu_Latn",
        f"alarm: deduplication took 61 of the 95 documents of raw file {workspace.parent / 'in' / 'bad.jsonl'}",
    ]
    assert all(each.isprintable() or each == "\n" for each in printed)


def test_share_and_number_are_the_configured_ones(workspace: Path) -> None:
    """half.example lost exactly half of 50; few.example 19 of 20."""

    def domains(**options: float) -> list[str]:
        return [line.split()[-1].split(".")[0] for line in told(workspace, **options) if " domain " in line]

    evil = "evil\\u202e\\u200b"
    assert domains() == [evil]
    assert domains(max_removed_share=0.49) == [evil, "half"]
    assert domains(max_removed_share=0.49, min_documents=51) == [evil]
    assert domains(min_documents=66) == []
    assert domains(min_documents=20) == [evil, "few"]
    assert domains(max_removed_share=0.93, min_documents=20) == ["few"]
    assert domains(max_removed_share=1, min_documents=1) == []
    assert domains(max_removed_share=0, min_documents=1) == [evil, "half", "few", "mild"]
    assert told(workspace, max_removed_share=0.65) == [told(workspace)[0]]


def test_options_of_the_command_reach_it_and_nothing_lost_is_no_alarm(workspace: Path, tmp_path: Path) -> None:
    source = workspace.parent / "in"
    printed = curate(tmp_path / "lenient", source, *SMOKE, "--dedup.alarm.max_removed_share", "0.95")
    assert "alarm:" not in printed
    strict = ("--dedup.alarm.max_removed_share", "0", "--dedup.alarm.min_documents", "1")
    assert "alarm:" not in curate(tmp_path / "off", source, *SMOKE, *NO_DEDUP, *strict)


@pytest.mark.full
def test_many_alarms_are_cut(tmp_path: Path) -> None:
    lines(tmp_path / "x.jsonl", {f"host{number}.example": (2, 1) for number in range(25)}, 0)
    printed = curate(
        tmp_path / "w",
        tmp_path / "x.jsonl",
        *SMOKE,
        "--dedup.alarm.min_documents",
        "2",
        "--dedup.alarm.max_removed_share",
        "0.4",
    )
    found = [line for line in printed.splitlines() if line.startswith("alarm:")]
    assert len(found) == 21
    assert found[-1] == "alarm: ... and of 7 more"


def test_what_is_printable() -> None:
    assert printable("mühle.example") == "mühle.example"
    assert printable("a\x00b\nc\x7f\x9b\u200b\ud800\U000e0041") == "a\\x00b\\nc\\x7f\\x9b\\u200b\\ud800\\U000e0041"
