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
from training.config import PretrainConfig
from training.engine import cpu
from training.sizes import model_sizes

if TYPE_CHECKING:
    from training.engine.trainer import Trainer

FORMAT = 1
"""Version of the manifest."""
MANIFEST = "checkpoint.json"
_ASIDE = ".saving"
_NEEDED = {"format", "step", "samples", "precision", "model"}


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a checkpoint.

    Raises:
        UserError: there is none, or of a later version: no checkpoint, or one that was not finished.
    """
    path = folder / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_bytes())
        lacking = _NEEDED - dict(manifest).keys()
        if lacking:
            raise ValueError(f"lacks {', '.join(sorted(lacking))}")
        known = int(manifest["format"]) <= FORMAT
    except FileNotFoundError:
        raise UserError(f"{folder}: is no checkpoint ({MANIFEST} is missing); name the folder of one") from None
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); use another checkpoint") from error
    if not known:
        raise UserError(f"{path}: has format {manifest['format']}, and this version knows {FORMAT}; update it")
    return manifest


def check_fits(
    folder: Path, manifest: Mapping[str, Any], config: PretrainConfig, vocab_size: int, weights_only: bool
) -> None:
    """Refuse a checkpoint of another model, or, to go on from, of another precision.

    Raises:
        UserError: names the field, and both values.
    """
    theirs, ours = dict(manifest["model"]), model_sizes(config.model)
    ours.pop("init_std")
    for name, value in {**ours, "vocab_size": vocab_size}.items():
        if theirs.get(name) != value:
            raise UserError(f"{folder}: has {name} {theirs.get(name)}, and the configuration {value}; make them agree")
    if not weights_only and manifest["precision"] != config.precision:
        raise UserError(
            f"precision: {config.precision}, but {folder} was trained in {manifest['precision']}; go on in that, or "
            "take its weights alone"
        )


def write(trainer: "Trainer", folder: Path, facts: Mapping[str, Any]) -> None:
    """Write all that this rank has, synced; then, when all ranks have, rank 0 writes the manifest.

    Args:
        facts: JSON values of the caller's, kept in the manifest as ``facts``.
    """
    from nanotron.serialize import save_lr_scheduler, save_optimizer, save_random_states, save_weights
    from nanotron.serialize.metadata import save_meta
    from torch import distributed

    context, first = trainer.parallel_context, trainer.world.rank == 0
    metas = {"last_train_step": trainer.steps_done, "consumed_train_samples": trainer.consumed_train_samples}
    with cpu.building():
        save_weights(trainer.unwrapped_model, context, folder)
        save_optimizer(trainer.optimizer, context, folder)
        save_lr_scheduler(trainer.lr_scheduler, context, folder)
        save_random_states(trainer.random_states, context, folder)
        save_meta(context, folder, metas)
        if first:
            trainer.config.general.step = trainer.steps_done
            trainer.config.general.consumed_train_samples = trainer.consumed_train_samples
            trainer.config.save_as_yaml(folder / "config.yaml")
            (folder / "model_config.json").write_text(json.dumps(asdict(trainer.model_config)), encoding="utf-8")
    distributed.barrier()
    if trainer.world.local_rank == 0:
        _sync_tree(folder)
    distributed.barrier()
    if first:
        text = json.dumps(_manifest(trainer, facts), indent=1, sort_keys=True)
        write_durably(folder / MANIFEST, text.encode())
    distributed.barrier()


def save_atomically(trainer: "Trainer", folder: Path, facts: Mapping[str, Any], tokenizer: Path | None = None) -> None:
    """Make a checkpoint appear whole or not at all, whenever a process or machine dies; all ranks call this together.

    It is written into a hidden folder beside, and renamed. What killed saves have left beside is removed.

    Args:
        tokenizer: a folder that is copied into it.

    Raises:
        UserError: there is something at ``folder`` already.
        OSError: disk full, no permission.
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

    _on_first_rank(trainer, prepare)
    trainer.save(aside, facts)
    _on_first_rank(trainer, finish)


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


def _on_first_rank(trainer: "Trainer", act: Callable[[], None]) -> None:
    """Let rank 0 do something; where it fails, all ranks raise its error, and none waits for ever."""
    from torch import distributed

    outcome: list[Exception | None] = [None]
    if trainer.world.rank == 0:
        try:
            act()
        except (OSError, UserError) as error:
            outcome = [error]
    distributed.broadcast_object_list(outcome, src=0)
    if outcome[0] is not None:
        raise outcome[0]
