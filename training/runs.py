"""Training runs as they are on record: what was asked for, and with which data."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from curation.errors import UserError, unknown_name
from curation.workspace import Workspace
from training.config import PretrainConfig
from training.data import TrainingData, open_data
from training.options import from_dict
from training.sizes import vocabulary_rows

KINDS = ("pretrain", "finetune")


@dataclass(frozen=True)
class TrainingRun:
    """A run of the workspace."""

    run_id: str
    kind: str
    config: PretrainConfig
    """With datasets named by their ids."""
    described: dict[str, Any]
    """As ``describe_run`` made it."""


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
    return TrainingRun(run_id, runs[run_id]["run_kind"], from_dict(described["config"]), described)


def open_run_data(workspace: Workspace, run: TrainingRun) -> TrainingData:
    """The data of a run, as it was.

    Raises:
        UserError: it is not what the run was trained on any more, or is gone.
    """
    data = open_data(workspace, run.config)
    if data.order.fingerprint != run.described["order"]:
        raise UserError(f"run {run.run_id}: its datasets are not those that it was trained on any more; restore them")
    return data
