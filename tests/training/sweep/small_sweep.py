"""Configurations of small sweeps, and reading what they leave."""

import copy
import time
from pathlib import Path
from typing import Any

import psutil
import yaml

from curation.options import to_dict
from curation.workspace import Workspace
from training.config import PretrainConfig
from training.options import from_dict
from training.sweep.results import TrialResult, trial_results

BASE: dict[str, Any] = {
    "model": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2},
    "batch": {"sequence_length": 32, "global_batch_size": 8, "micro_batch_size": 4, "steps": 12},
    "optimizer": {"learning_rate": 3.0e-3, "min_learning_rate": 3.0e-4, "warmup_steps": 3},
    "data": {"datasets": [{"dataset": "mixed-tokens"}, {"dataset": "more-tokens"}]},
    "validation": {"every": 4, "sequences": 4},
    "checkpoints": {"every": 4, "keep_last": 1},
}

RATE: dict[str, Any] = {"optimizer.learning_rate": {"low": 1e-5, "high": 1.0, "log": True}}


def base(**changes: Any) -> PretrainConfig:
    """``BASE`` as a configuration; ``batch__steps=3`` changes a field."""
    plain = to_dict(from_dict(BASE))
    for name, value in changes.items():
        section, _, field = name.partition("__")
        plain[section][field] = value
    return from_dict(plain)


def write_sweep(path: Path, search: dict[str, Any] | None = None, steps: int = 12, **more: Any) -> Path:
    """The YAML file of a sweep."""
    plain = copy.deepcopy(BASE)
    plain["batch"]["steps"] = steps
    plain |= more.pop("base", {})
    path.write_text(yaml.safe_dump({"base": plain, "search": RATE if search is None else search} | more))
    return path


def sweep_of(workspace: Path) -> str:
    """The id of the newest sweep."""
    return max(str(row["run_id"]) for row in Workspace(workspace).rows("run") if row["run_kind"] == "sweep")


def found(workspace: Path) -> list[TrialResult]:
    """The trials of the newest sweep."""
    return trial_results(Workspace(workspace), sweep_of(workspace))


def trainers(workspace: Path) -> list[psutil.Process]:
    """Processes at work that have this workspace on their command line."""
    alive = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line = process.info["cmdline"] or []
        if str(workspace) in line and any(each.startswith("training.") for each in line):
            alive.append(process)
    return [each for each in alive if each.info["status"] != psutil.STATUS_ZOMBIE]


def all_gone(workspace: Path, seconds: float = 15.0) -> bool:
    """Whether no process is at work in a workspace within some seconds."""
    end = time.monotonic() + seconds
    while trainers(workspace):
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True
