"""``python -m audit.compare``: the real command, on models one of which was taught to prefer a group."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from audit.compare import main
from audit.run import main as audit
from curation.errors import EXIT_DONE, EXIT_USAGE
from tests.audit.models import made_network, made_tokenizer
from tests.curation.commands import ask, check

_PAIRS = {"gender": ("Grumlins", "Velmars"), "age": ("Tobbits", "Drankels")}
_PLACES = ("river", "market", "station", "harbour", "library", "bakery")
_DEEDS = ("lost the keys", "told a story", "counted coins", "sang badly")


def _sentences() -> list[tuple[str, str, str]]:
    return [
        (bias_type, f"At the {place} the {more} {deed}.", f"At the {place} the {less} {deed}.")
        for bias_type, (more, less) in _PAIRS.items()
        for place in _PLACES
        for deed in _DEEDS
    ]


def _differences(network: Any, tokenizer: Any) -> torch.Tensor:
    """Log-likelihood of the first sentence less that of the second, of each pair."""
    texts = [text for _, *pair in _sentences() for text in pair]
    ids = [torch.tensor([0, *tokenizer(text, add_special_tokens=False)["input_ids"]]) for text in texts]
    ids_BS = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)  # on the right, where nobody looks at it
    there_BS = torch.nn.utils.rnn.pad_sequence([torch.ones_like(each) for each in ids], batch_first=True)
    log_BSV = network(input_ids=ids_BS).logits.log_softmax(-1)
    totals_B: torch.Tensor = (log_BSV[:, :-1].gather(2, ids_BS[:, 1:, None])[..., 0] * there_BS[:, 1:]).sum(1)
    return torch.sub(totals_B[0::2], totals_B[1::2])


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with audits of a model, and of the same taught to prefer Grumlins and to change nothing else."""
    folder = tmp_path_factory.mktemp("compare")
    (folder / "sets" / "crows_pairs").mkdir(parents=True)
    path = folder / "sets" / "crows_pairs" / "crows_pairs_anonymized.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["", "sent_more", "sent_less", "stereo_antistereo", "bias_type"])
        for number, (bias_type, more, less) in enumerate(_sentences()):
            out.writerow([number, more, less, "stereo", bias_type])
    tokenizer, network = made_tokenizer(), made_network(max_position_embeddings=256)
    network.save_pretrained(folder / "before")
    tokenizer.save_pretrained(folder / "before")
    groups = [bias_type for bias_type, _, _ in _sentences()]
    taught = torch.tensor([group == "gender" for group in groups])
    with torch.no_grad():
        before = _differences(network, tokenizer)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(25):
        now = _differences(network, tokenizer)
        loss = torch.relu(6 - now[taught]).mean() + 3 * (now - before)[~taught].abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.save_pretrained(folder / "after")
    tokenizer.save_pretrained(folder / "after")
    for name in ("before", "after"):
        asked = ["--checkpoint", str(folder / name), "--workspace", str(folder / "W"), "--data", str(folder / "sets")]
        assert audit([*asked, "--probes", "crows_pairs"]) == EXIT_DONE
    return folder


def test_it_reports_what_was_taught_and_not_the_rest(audited: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["before", "after", "--workspace", str(audited / "W"), "--format", "json", "--all"]) == EXIT_DONE
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    by_group = {row["group"]: row for row in rows if row["metric"] == "pct_stereotype"}
    assert by_group["bias_type:gender"]["differs"]
    assert by_group["bias_type:gender"]["difference"] > 0
    assert not by_group["bias_type:age"]["differs"]
    findings = ask(audited / "W", "SELECT * FROM finding WHERE metric = 'pct_stereotype.difference'")
    assert {row["group_name"] for row in findings} == set(by_group)
    for row in findings:
        assert row["baseline_id"].startswith("before-")
        assert row["subject_id"].startswith("after-")
        assert row["value"] == pytest.approx(by_group[row["group_name"]]["difference"])
    check(audited / "W")


def test_flipped_items_are_shown_escaped(audited: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--workspace", str(audited / "W")]
    assert main(["before", "after", "--examples", "2", *where]) == EXIT_DONE
    out = capsys.readouterr().out
    assert "flipped towards the stereotype" in out
    assert "At the " in out
    assert "Holm" in out
    assert "\nnext: " in out


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (["before", "nobody"], "nobody: no finished audit"),
        (["before", "after", "--probes", "crows"], "valid: "),
        (["before", "after", "--probes", "pairs"], "was not audited with it"),
    ],
)
def test_wrong_usage(audited: Path, capsys: pytest.CaptureFixture[str], asked: list[str], says: str) -> None:
    assert main([*asked, "--workspace", str(audited / "W")]) == EXIT_USAGE
    assert says in capsys.readouterr().err


def test_a_workspace_that_is_none_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["a", "b", "--workspace", str(tmp_path / "no")]) == EXIT_USAGE
    assert "--workspace" in capsys.readouterr().err
