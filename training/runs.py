"""Training runs as they are on record: what was asked for, and with which data."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.errors import UserError, unknown_name
from curation.workspace import Workspace
from training.config import ModelConfig, PretrainConfig
from training.data import TrainingData, open_data
from training.options import from_dict
from training.sizes import vocabulary_rows

if TYPE_CHECKING:
    from training.chat.data import ChatData

FINETUNE = "finetune"
KINDS = ("pretrain", FINETUNE)


@dataclass(frozen=True)
class TrainingRun:
    """A run of the workspace."""

    run_id: str
    kind: str
    config: PretrainConfig
    """With datasets named by their ids; of fine-tuning as it was resolved."""
    described: dict[str, Any]
    """As ``describe_run`` made it, or ``training.finetune``."""


def describe_run(config: PretrainConfig, data: TrainingData) -> dict[str, Any]:
    """What is put on record of a run, as JSON values; its datasets are named by ids, which are never given twice."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(config)))
    plain["data"]["datasets"] = [
        {"dataset": dataset.dataset_id, "weight": entry.weight}
        for dataset, entry in zip(data.datasets, config.data.datasets, strict=True)
    ]
    return {
        "config": plain,
        "order": data.order.fingerprint,
        "tokenizer_sha256": data.datasets[0].tokenizer_sha256,
        "vocab_size": vocabulary_rows(config.model, data.vocab_size),
    }


def pruned_path(workspace: Workspace, run_id: str, attempt: int) -> Path:
    """A file that says why an attempt at a run is to be its last; who writes it sends SIGTERM afterwards."""
    return workspace.run_folder(run_id) / f"pruned-{attempt:04d}.txt"


def why_pruned(workspace: Workspace, run_id: str, attempt: int) -> str | None:
    """Why a sweep has stopped an attempt; None where none has."""
    try:
        return pruned_path(workspace, run_id, attempt).read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None


def load_run(workspace: Workspace, run_id: str) -> TrainingRun:
    """A training run by its id.

    Raises:
        UserError: there is none; the newest are listed.
    """
    runs = {row["run_id"]: row for row in workspace.rows("run") if row["run_kind"] in KINDS}
    if run_id not in runs:
        raise unknown_name("training run", run_id, sorted(runs)[-5:] or ["none yet"])
    described = json.loads(runs[run_id]["config"])
    kind = runs[run_id]["run_kind"]
    if kind == FINETUNE:
        from training.chat import options

        config = options.resolve(
            options.from_dict(described["config"]), ModelConfig(**described["model"]), described["steps"]
        )
    else:
        config = from_dict(described["config"])
    return TrainingRun(run_id, kind, config, described)


def open_run_data(workspace: Workspace, run: TrainingRun) -> "TrainingData | ChatData":
    """The data of a run, as it was.

    Raises:
        UserError: it is not what the run was trained on any more, or is gone.
    """
    data: TrainingData | ChatData
    if run.described["config"]["data"].get("files"):
        data = _open_chats(workspace, run)
        order = data.fingerprint
    else:
        data = open_data(workspace, run.config)
        order = data.order.fingerprint
    if order != run.described["order"]:
        raise UserError(f"run {run.run_id}: its datasets are not those that it was trained on any more; restore them")
    return data


def _open_chats(workspace: Workspace, run: TrainingRun) -> "ChatData":
    from dataclasses import replace

    from training.chat.open import open_chats
    from training.chat.options import from_dict as finetune_config
    from training.convert import TOKENIZER

    described = run.described
    config = finetune_config(described["config"])
    config = replace(config, data=replace(config.data, chat_template=None))  # the run's tokenizer has it
    files = [Path(described["places"][digest]) for digest in config.data.files]
    for file in files:
        if not file.is_file():
            raise UserError(f"run {run.run_id}: {file}, which it was trained on, is not there any more; restore it")
    tokenizer = workspace.run_folder(run.run_id) / TOKENIZER
    if not tokenizer.is_dir():
        raise UserError(f"run {run.run_id}: {tokenizer} is missing; restore it")
    model = ModelConfig(**described["model"])
    return open_chats(workspace, config, model, described["vocab_size"], tokenizer, {}, files, [])[0]
