"""``python -m audit.pairs`` as a user runs it."""

import json
from pathlib import Path

import pytest

from audit.pairs.__main__ import main
from audit.pairs.make import all_pairs
from tests.curation.commands import command


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    """A folder with a tokenizer of whole words."""
    import tokenizers
    from tokenizers import models, pre_tokenizers

    model = tokenizers.Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    model.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    model.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def test_check_from_the_shell() -> None:
    done = command("audit.pairs", "check", "--language", "eng,deu")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(" pairs, 0 faults\n")
    assert "next: python -m audit.pairs check --tokenizer" in done.stderr


def test_list_counts_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 24 + 1
    assert lines[-1].startswith(f"{len(list(all_pairs()))} pairs")
    assert sum(int(line.split()[2]) for line in lines[1:-1]) == len(list(all_pairs()))


def test_show_text_and_json(capsys: pytest.CaptureFixture[str], tokenizer: Path) -> None:
    asked = ["show", "--language", "deu", "--axis", "gender", "--kind", "stereotype", "--limit", "5"]
    assert main(asked) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    assert all(line.startswith("deu.gender.stereotype.") and "stereotypical: " in line for line in lines[::2])
    assert all(line.startswith("  ") and " | " in line for line in lines[1::2])
    assert main([*asked, "--format", "json", "--tokenizer", str(tokenizer)]) == 0
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [pair["length_matched"] for pair in shown] == [True] * 5, "as many words, and so as many tokens"
    known = {pair.id: pair for pair in all_pairs()}
    assert all(tuple(pair["sentences"]) == known[pair["id"]].sentences for pair in shown)
    assert main(["show", "--limit", "0", "--format", "json"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(known)


def test_check_with_a_tokenizer(capsys: pytest.CaptureFixture[str], tokenizer: Path) -> None:
    assert main(["check", "--axis", "age", "--language", "spa", "--tokenizer", str(tokenizer)]) == 0
    out = capsys.readouterr().out.splitlines()
    (row,) = [line for line in out if line.startswith("spa")]
    assert row.split()[3:] == ["0%", "0.00", "0", "+0.00", "-"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "--language", "xxx"], "unknown name in --language 'xxx'; valid: deu, eng, fra, spa"),
        (["list", "--axis", "agee"], "unknown name in --axis 'agee'; valid: age, disability"),
        (["show", "--kind", "all"], "unknown name in --kind 'all'; valid: control"),
        (["show", "--limit", "-1"], "--limit -1"),
        (["check", "--tokenizer", "nowhere"], "--tokenizer nowhere: no folder with a tokenizer.json"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_faults_are_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit.pairs.check.LARGEST", 290)
    assert main(["check", "--language", "eng", "--axis", "religion"]) == 1
    out = capsys.readouterr().out
    assert "eng religion: 291 pairs, not 200 to 290" in out
    assert out.endswith("291 pairs, 1 faults\n")
