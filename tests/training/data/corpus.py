"""A small workspace with tokenized datasets, made by the real commands."""

import json
from collections.abc import Sequence
from pathlib import Path

from curation.dataset import create
from curation.recorded import recorded_run
from curation.records import RunDataset
from curation.tokens.encode import EncodeConfig, encode
from curation.tokens.train import TrainConfig, train
from curation.workspace import Workspace
from tests.curation.commands import NO_DEDUP, curate
from training.config import BatchConfig, DataConfig, MixtureEntry, PretrainConfig, ValidationConfig
from training.data import open_data
from training.runs import describe_run

WORDS = "river stone light garden winter bread letter window road silver morning table voice summer paper".split()
HOSTILE = "\u202eback \u2066wards"
"""Text that would act on a terminal. (Escape sequences do not outlive curation.)"""


def texts(count: int, first: int = 0) -> list[str]:
    """Different texts of different lengths."""
    return [
        f"Text number {number} begins here. "
        + " ".join(
            f"The {WORDS[(number * 7 + i) % 15]} and the {WORDS[(number + i * i) % 15]}." for i in range(number % 9 + 2)
        )
        + (HOSTILE if number % 5 == 0 else "")
        for number in range(first, first + count)
    ]


def build(root: Path) -> Workspace:
    """Datasets ``a-tokens`` and ``b-tokens``, with one tokenizer, and ``other-tokens``, with another."""
    lines = [json.dumps({"text": text, "url": f"https://a.example/{i}"}) for i, text in enumerate(texts(60))]
    (root / "a.jsonl").write_text("\n".join(lines) + "\n")
    workspace = Workspace(root / "W")
    keep_all = ("--filters", "{}", "--language.languages", "[]", "--language.threshold", "0")
    curate(workspace.name, root / "a.jsonl", "--config", "smoke", *NO_DEDUP, *keep_all)
    (run,) = workspace.rows("run")
    create(workspace, "a", run["run_id"])
    bytes_, characters = (train(workspace, "a", TrainConfig(each, 400), each) for each in ("byte", "char"))
    encode(workspace, "a", bytes_, "a-tokens", config=EncodeConfig(validation_share=0.2))
    encode(workspace, "a", bytes_, "b-tokens", config=EncodeConfig(validation_share=0.6))
    encode(workspace, "a", characters, "other-tokens")
    return workspace


def config(names: Sequence[str] = ("a-tokens", "b-tokens"), weights: Sequence[float] = (3.0, 1.0)) -> PretrainConfig:
    """A configuration that fits the corpus."""
    entries = tuple(MixtureEntry(name, weight) for name, weight in zip(names, weights, strict=True))
    batch = BatchConfig(sequence_length=32, global_batch_size=8, micro_batch_size=2, steps=50)
    return PretrainConfig(batch=batch, data=DataConfig(entries), validation=ValidationConfig(sequences=5))


def record_run(workspace: Workspace, asked: PretrainConfig) -> str:
    """A training run on record, as it is when it begins. Returns its id."""
    data = open_data(workspace, asked)
    with recorded_run(workspace, "pretrain", describe_run(asked, data)) as run_id:
        workspace.write(
            [RunDataset(run_id=run_id, dataset_id=each.dataset_id, stage="pretrain") for each in data.datasets]
        )
    return run_id
