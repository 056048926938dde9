"""What fine-tuning begins with: a checkpoint, by id or folder, or a Hugging Face folder made one, once, on record."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from curation.errors import UserError, unknown_name
from curation.recorded import config_hash, recorded_run
from curation.records import Checkpoint, now
from curation.weights import weights_sha256
from curation.workspace import Workspace
from training import smollm2
from training.chat.record import locked
from training.config import ModelConfig
from training.convert import TOKENIZER_FILES, import_model
from training.export import find_tokenizer
from training.folders import checkpoint_folder, checkpoint_id, find_checkpoint
from training.llama import TOKENS, model_of
from training.manifest import MANIFEST, read_manifest

IMPORT = "import"
"""Kind of the run that makes a checkpoint of a Hugging Face folder."""


@dataclass(frozen=True)
class Base:
    """A checkpoint to begin with."""

    folder: Path
    model: ModelConfig
    rows: int
    """Of its embedding."""
    tokenizer: Path
    """Folder of its tokenizer."""
    checkpoint_id: str | None
    """In the workspace's catalog; None: it is not there."""
    run_id: str | None
    facts: Mapping[str, Any]
    """What checkpoints made of it say too: context and special tokens (``model``), rows without those that were added
    (``padded_from``)."""

    @property
    def name(self) -> str:
        """What identifies it: its id, else where it is."""
        return self.checkpoint_id or str(self.folder)


def find_base(workspace: Workspace, reference: str, asked: Mapping[str, Any]) -> Base:
    """The model that is named; where it is a Hugging Face folder, a checkpoint is made of it first.

    Args:
        asked: sizes that it must have; ``vocab_multiple``, of a Hugging Face folder.

    Raises:
        UserError: there is none, it cannot be represented, or has other sizes.
        OSError: disk full.
    """
    multiple = asked.get("vocab_multiple", 64)
    if isinstance(multiple, bool) or not isinstance(multiple, int) or multiple < 1:
        raise UserError(f"model.vocab_multiple: {multiple!r} is no whole number above 0; give one, or leave it out")
    given = Path(reference)
    if reference == smollm2.NAME and not given.is_dir():
        folder = _imported(workspace, smollm2.find_file(), multiple)
    elif (given / "config.json").is_file() and not (given / MANIFEST).is_file():
        if not (given / "tokenizer.json").is_file():
            raise UserError(f"base: {reference} has no tokenizer.json; put the model's into that folder")
        folder = _imported(workspace, given.absolute(), multiple)
    elif (given / MANIFEST).is_file() or workspace.exists:
        folder = find_checkpoint(workspace, reference)
    else:
        raise UserError(
            f"base: {reference} is no folder of a checkpoint or Hugging Face model, and {workspace.name} is no "
            f"workspace; name one of these, or {smollm2.NAME}"
        )
    base = _read(workspace, folder)
    _check_sizes(base, asked, reference)
    return base


def _read(workspace: Workspace, folder: Path) -> Base:
    manifest = read_manifest(folder)
    model = dict(manifest["model"])
    names = set(asdict(ModelConfig())) & model.keys()
    # Its rows are what they are: no multiple of anything is to be made of them.
    config = ModelConfig(**{name: model[name] for name in names}, vocab_multiple=1)
    tokenizer = find_tokenizer(workspace, folder, None)
    assert tokenizer is not None
    known = {
        str((workspace.root / row["path"]).resolve()): row for row in workspace.rows("checkpoint") if row.get("path")
    }
    row = known.get(str(folder.resolve()), {})
    before = manifest.get("facts", {})
    names = {"max_position_embeddings", *TOKENS} & model.keys()
    facts = {"model": {**{name: model[name] for name in sorted(names)}, **before.get("model", {})}}
    facts |= {"padded_from": before["padded_from"]} if "padded_from" in before else {}
    return Base(
        folder=folder,
        model=config,
        rows=int(model["vocab_size"]),
        tokenizer=tokenizer,
        checkpoint_id=row.get("checkpoint_id"),
        run_id=row.get("run_id"),
        facts=facts,
    )


def _check_sizes(base: Base, asked: Mapping[str, Any], reference: str) -> None:
    sizes = {**asdict(base.model), "vocab_size": base.rows}
    for name, value in asked.items():
        if name not in sizes:
            raise unknown_name("field of model", name, sizes)
        if name not in ("vocab_multiple", "init_std") and value is not None and sizes[name] != value:
            raise UserError(f"model.{name}: {value!r}, but {reference} has {sizes[name]!r}; leave it out")


# ---- Hugging Face folders ----------------------------------------------------------------------------


def _imported(workspace: Workspace, source: Path, multiple: int) -> Path:
    """The checkpoint that was made of a folder, or of the file of SmolLM2, as it is now."""
    if source.is_dir():
        model_of(json.loads((source / "config.json").read_bytes()), source / "config.json")  # before any work
    asked = {"source": str(source), "vocab_multiple": multiple, "files": _state(source)}
    with locked(workspace, "import"):
        done = {row["run_id"] for row in workspace.rows("run_end") if row["status"] == "done"}
        wanted = config_hash(asked)
        for row in workspace.rows("run"):
            if row["run_kind"] == IMPORT and row["config_hash"] == wanted and row["run_id"] in done:
                folder = checkpoint_folder(workspace, row["run_id"], 0)
                if (folder / MANIFEST).is_file():
                    return folder
        with recorded_run(workspace, IMPORT, asked) as run_id:
            folder = checkpoint_folder(workspace, run_id, 0)
            if source.is_dir():
                import_model(source, folder, multiple)
            else:
                with tempfile.TemporaryDirectory(dir=workspace.cache) as scratch:
                    smollm2.write_folder(source, Path(scratch) / smollm2.NAME)
                    import_model(Path(scratch) / smollm2.NAME, folder, multiple)
            found = Checkpoint(
                checkpoint_id=checkpoint_id(run_id, 0),
                run_id=run_id,
                step=0,
                tokens_seen=0,
                path=folder.relative_to(workspace.root).as_posix(),
                weights_sha256=weights_sha256(folder),
                data_position=0,
                created_at=now(),
            )
            workspace.write([found], name=found.checkpoint_id)
        return folder


def _state(source: Path) -> list[list[object]]:
    """What tells whether files have changed: hashing weights would take longer than importing them."""
    files = [source] if source.is_file() else sorted(source.glob("*.safetensors"))
    files += [source / name for name in ("config.json", *TOKENIZER_FILES) if (source / name).is_file()]
    return [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files]
