"""Starting fine-tuning as a user does, and computing with transformers what it should find."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.curation.commands import ROOT, environment
from tests.training import launch

SMALL = (
    *("--batch.sequence_length", "126", "--batch.global_batch_size", "4", "--batch.micro_batch_size", "2"),
    *("--optimizer.learning_rate", "3e-3", "--optimizer.min_learning_rate", "3e-4"),
)


def tune(
    workspace: Path,
    base: object,
    files: Sequence[Path],
    *arguments: object,
    processes: int = 1,
    code: int = 0,
    seconds: float = 300,
) -> subprocess.CompletedProcess[str]:
    """``training.finetune`` to its end."""
    listed = "[" + ", ".join(map(str, files)) + "]"
    options = ("--base", base, "--data.files", listed, *SMALL, *arguments, "--workspace", workspace)
    done = subprocess.run(
        launch.line(processes, "training.finetune", options),
        capture_output=True,
        text=True,
        env=environment(),
        timeout=seconds,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def answer_losses(model: Any, tokenizer: Any, pieces: Sequence[tuple[str, bool]]) -> Any:
    """Losses of the tokens of a chat that the assistant has written, by transformers alone: [learned tokens]."""
    import torch

    text = "".join(part for part, _ in pieces)
    learned = [who for part, who in pieces for _ in part]
    found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids_S = torch.tensor(found["input_ids"])
    mask_S = torch.tensor([any(learned[start:end]) for start, end in found["offset_mapping"]])
    with torch.inference_mode():
        logits_SV = model(ids_S[None]).logits[0]
    losses_S = torch.nn.functional.cross_entropy(logits_SV[:-1], ids_S[1:], reduction="none")
    return losses_S[mask_S[1:]]
