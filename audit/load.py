"""The model that an audit is of: out of a checkpoint, a Hugging Face folder, or the package of SmolLM2.

Weights come from safetensors (or the GGUF file of an installed package) alone, which hold no code, and none that a
folder brings along is run.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from audit.source import Source
from curation.errors import UserError
from curation.shards import file_sha256
from curation.weights import weights_sha256
from curation.workspace import Workspace
from training import smollm2
from training.convert import open_checkpoint, whole_folder
from training.export import find_tokenizer
from training.folders import find_checkpoint
from training.manifest import MANIFEST

DEVICES = ("auto", "cpu", "cuda")
_OF_LENGTH = ("dynamic", "longrope")
"""Rotary embeddings that depend on the longest sequence of a batch."""


def load(workspace: Workspace, reference: str, device: str, tokenizer: str | None) -> tuple[Any, Any, Source]:
    """The network in float32 on its device, its tokenizer, and where both come from.

    Args:
        reference: id of a checkpoint in the catalog, folder of one, Hugging Face folder, or ``smollm2``.
        device: ``cpu``, ``cuda``, or ``auto``: a GPU where there is one.
        tokenizer: folder; None: the model's own.

    Raises:
        UserError: there is no such model, it is damaged or none that can be audited, or there is no such device.
        OSError: disk full.
    """
    import torch
    from transformers.utils import logging

    if device not in DEVICES:
        raise UserError(f"--device {device}: valid: {', '.join(DEVICES)}")
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: there is no GPU here that can be used; use cpu, or auto")
    where = "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
    logging.disable_progress_bar()
    given = Path(reference)
    if reference == smollm2.NAME and not given.is_dir():
        folder = _smollm2(workspace)
        network, source = _of_folder(folder, reference)
        words = folder
    elif (given / "config.json").is_file() and not (given / MANIFEST).is_file():
        network, source = _of_folder(given, reference)
        words = given
    elif (given / MANIFEST).is_file() or workspace.exists:
        folder = find_checkpoint(workspace, reference)
        found = find_tokenizer(workspace, folder, None if tokenizer == "none" else tokenizer)
        assert found is not None
        network, source = _of_checkpoint(workspace, folder, reference)
        words = found
    else:
        raise UserError(
            f"{reference}: is no folder of a checkpoint or Hugging Face model, and {workspace.name} is no workspace; "
            f"name one of these, or {smollm2.NAME}"
        )
    words = words if tokenizer is None else Path(tokenizer)
    read = read_tokenizer(words)
    tokens = max(read.get_vocab().values()) + 1
    if tokens > network.config.vocab_size:
        raise UserError(
            f"{words}: has {tokens:,} tokens, and the model {network.config.vocab_size:,} rows; name its own "
            "tokenizer with --tokenizer"
        )
    return network.to(where), read, source


def read_tokenizer(folder: Path) -> Any:
    """A fast tokenizer of transformers.

    Raises:
        UserError: there is none, or it is damaged.
    """
    from transformers import AutoTokenizer

    if not (folder / "tokenizer.json").is_file():
        raise UserError(f"{folder}: has no tokenizer.json; put the model's there, or name its folder with --tokenizer")
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # tokenizers raises Exception itself
        raise UserError(f"{folder}: its tokenizer cannot be read ({error}); fetch it again") from error


def _smollm2(workspace: Workspace) -> Path:
    """The package's model as a folder, made once for the workspace."""
    file = smollm2.find_file()
    folder = workspace.cache / "models" / f"{smollm2.NAME}-{file_sha256(file)[:16]}"
    if not folder.is_dir():
        with whole_folder(folder) as aside:
            smollm2.write_folder(file, aside)
    return folder


def _of_folder(folder: Path, reference: str) -> tuple[Any, Source]:
    from transformers import LlamaConfig

    path = folder / "config.json"
    try:
        said = json.loads(path.read_bytes())
        kind, quantised = said.get("model_type"), said.get("quantization_config")
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); fetch it again") from error
    if kind != "llama" or quantised:
        what = f"model_type {kind!r}" if kind != "llama" else "quantised"
        raise UserError(f"{path}: {what}; only Llamas whose weights are not quantised can be audited")
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise UserError(
            f"{folder}: has no *.safetensors; only these are read (of pickled weights, transformers makes them: "
            "save_pretrained)"
        )
    total = hashlib.sha256("".join(f"{file.name} {file_sha256(file)}\n" for file in files).encode()).hexdigest()
    name = Path(os.path.abspath(folder)).name
    label = smollm2.NAME if reference == smollm2.NAME else name
    network = _network(LlamaConfig.from_pretrained(folder, local_files_only=True), folder)
    return network, Source("model", f"{label}-{total[:12]}", reference, total)


def _of_checkpoint(workspace: Workspace, folder: Path, reference: str) -> tuple[Any, Source]:
    from transformers import LlamaConfig

    said, tensors = open_checkpoint(folder)
    network = _network(LlamaConfig(**said), folder, dict(tensors))
    for row in workspace.rows("checkpoint") if workspace.exists else ():
        if (workspace.root / str(row["path"])).resolve() == folder.resolve():
            return network, Source("checkpoint", row["checkpoint_id"], reference, row["weights_sha256"])
    total = weights_sha256(folder)
    return network, Source("model", f"{folder.resolve().name}-{total[:12]}", reference, total)


def _network(config: Any, folder: Path, tensors: dict[str, Any] | None = None) -> Any:
    """The model of a folder, or of tensors, all of whose weights must be there: those that are not would be random."""
    import torch
    from safetensors import SafetensorError
    from transformers import LlamaForCausalLM

    rope = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    if rope in _OF_LENGTH:
        raise UserError(f"{folder}: rope_type {rope!r} makes scores depend on what is in a batch; it cannot be audited")
    found: Any
    try:
        found = LlamaForCausalLM.from_pretrained(
            None if tensors is not None else folder,
            config=config,
            state_dict=tensors,
            dtype=torch.float32,
            attn_implementation="sdpa",
            output_loading_info=True,
            local_files_only=True,
            use_safetensors=True,
        )
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise UserError(f"{folder}: its weights cannot be read ({error}); fetch it again") from error
    network, loaded = found
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if names := sorted(map(str, loaded.get(what) or ())):
            raise UserError(f"{folder}: {what.replace('_', ' ')} in its weights, such as {names[0]}; fetch it again")
    return network
