"""Checkpoints in nanotron's own layout, with a manifest that says they are whole.

A folder holds ``model/`` (safetensors, a file for each shard of each parameter, whose header says which part it is),
``optimizer/``, ``lr_scheduler/``, ``random/``, ``config.yaml``, ``model_config.json`` and
``checkpoint_metadata.json`` as nanotron writes them, and ``checkpoint.json``, written last.
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.errors import UserError
from curation.workspace import sync_folder, write_durably
from training.endings import FirstRankFailed
from training.engine import cpu
from training.manifest import FORMAT, MANIFEST
from training.sizes import model_sizes

if TYPE_CHECKING:
    from training.engine.trainer import Trainer

_ASIDE = ".saving"


def write(trainer: "Trainer", folder: Path, facts: Mapping[str, Any]) -> None:
    """Write all that this rank has, synced; then, when all ranks have, rank 0 writes the manifest.

    Args:
        facts: JSON values of the caller's, kept in the manifest as ``facts``.

    Raises:
        UserError: on rank 0, where any rank could not write: disk full, no permission.
        FirstRankFailed: on the others then.
    """

    def manifest() -> None:
        text = json.dumps(_manifest(trainer, facts), indent=1, sort_keys=True)
        write_durably(folder / MANIFEST, text.encode())

    _together(trainer, lambda: _write_part(trainer, folder))
    _together(trainer, lambda: _sync_tree(folder) if trainer.world.local_rank == 0 else None)
    _together(trainer, lambda: manifest() if trainer.world.rank == 0 else None)


def _write_part(trainer: "Trainer", folder: Path) -> None:
    from nanotron.serialize import save_lr_scheduler, save_optimizer, save_random_states, save_weights
    from nanotron.serialize.metadata import save_meta

    context = trainer.parallel_context
    metas = {"last_train_step": trainer.steps_done, "consumed_train_samples": trainer.consumed_train_samples}
    with cpu.building():
        save_weights(trainer.unwrapped_model, context, folder)
        save_optimizer(trainer.optimizer, context, folder)
        save_lr_scheduler(trainer.lr_scheduler, context, folder)
        save_random_states(trainer.random_states, context, folder)
        save_meta(context, folder, metas)
        if trainer.world.rank == 0:
            trainer.config.general.step = trainer.steps_done
            trainer.config.general.consumed_train_samples = trainer.consumed_train_samples
            trainer.config.save_as_yaml(folder / "config.yaml")
            (folder / "model_config.json").write_text(json.dumps(asdict(trainer.model_config)), encoding="utf-8")


def save_atomically(trainer: "Trainer", folder: Path, facts: Mapping[str, Any], tokenizer: Path | None = None) -> None:
    """Make a checkpoint appear whole or not at all, whenever a process or machine dies; all ranks call this together.

    It is written into a hidden folder beside, and renamed. What killed saves have left beside is removed.

    Args:
        tokenizer: a folder that is copied into it.

    Raises:
        UserError: there is something at ``folder`` already, or it cannot be written: disk full, no permission.
        FirstRankFailed: on ranks other than 0 then.
    """
    aside = folder.with_name(f".{folder.name}{_ASIDE}")

    def prepare() -> None:
        if folder.exists():
            raise UserError(f"{folder}: is there already, and checkpoints are never overwritten; remove it")
        folder.parent.mkdir(parents=True, exist_ok=True)
        for left in folder.parent.glob(f".*{_ASIDE}"):
            shutil.rmtree(left)
        aside.mkdir()
        if tokenizer is not None:
            shutil.copytree(tokenizer, aside / "tokenizer")

    def finish() -> None:
        aside.rename(folder)
        sync_folder(folder.parent)

    first = trainer.world.rank == 0
    _together(trainer, lambda: prepare() if first else None)
    trainer.save(aside, facts)
    _together(trainer, lambda: finish() if first else None)


def load_weights(model: Any, context: Any, folder: Path) -> None:
    """Load this rank's part of the weights, from a checkpoint of any topology.

    Raises:
        UserError: a file is missing or damaged.
    """
    from nanotron.serialize import load_weights as load
    from safetensors import SafetensorError

    try:
        load(model=model, parallel_context=context, root_folder=folder)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise UserError(f"{folder}: its weights cannot be read ({error}); use another checkpoint") from error


def _manifest(trainer: "Trainer", facts: Mapping[str, Any]) -> dict[str, Any]:
    config = trainer.run_config
    sizes = {name: value for name, value in model_sizes(config.model).items() if name != "init_std"}
    split = asdict(config.parallelism)
    return {
        "format": FORMAT,
        "step": trainer.steps_done,
        "samples": trainer.consumed_train_samples,
        "precision": config.precision,
        "model": {
            **sizes,
            "vocab_size": trainer.vocab_size,
            "max_position_embeddings": config.batch.sequence_length,
            "hidden_act": "silu",
            "eos_token_id": trainer.eos_id,
        },
        "vocab_size": trainer.vocab_size,
        "topology": {name: split[name] for name in ("data", "tensor", "pipeline", "zero_stage")},
        "facts": dict(facts),
    }


def _sync_tree(folder: Path) -> None:
    """Make every file below survive a crash of the machine."""
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            sync_folder(path)
        else:
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _together(trainer: "Trainer", act: Callable[[], None]) -> None:
    """Let every rank do its part; where one fails, all raise, rank 0 what went wrong, and none waits for ever."""
    from torch import distributed

    mine: str | None = None
    try:
        act()
    except UserError as error:
        mine = str(error)
    except Exception as error:  # of whatever type: a full disk is a SafetensorError here, a RuntimeError there
        where = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
        mine = f"the checkpoint cannot be written: {where}{error}; make room, then the same command goes on"
    outcomes: list[str | None] = [None] * trainer.world.size
    distributed.all_gather_object(outcomes, mine)
    failed = [outcome for outcome in outcomes if outcome]
    if failed:
        raise UserError(failed[0]) if trainer.world.rank == 0 else FirstRankFailed(failed[0])
