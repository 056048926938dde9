"""A checkpoint as a Hugging Face folder, and back, one parameter after the other.

Neither nanotron nor transformers is needed; weights are read from safetensors alone, which hold no code.
"""

import contextlib
import fcntl
import itertools
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.errors import UserError
from curation.workspace import sync_folder
from training import layout, llama
from training.manifest import FORMAT, MANIFEST, read_manifest

if TYPE_CHECKING:
    from torch import Tensor

DTYPES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
MAX_SHARD_BYTES = 5 * 10**9
"""Of a file of weights on Hugging Face's hub; at most this much of a model is in memory, and one parameter."""
TOKENIZER = "tokenizer"
"""Folder of a checkpoint that was not trained here, with its tokenizer."""
TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("tokenizer.model", "vocab.json", "merges.txt", "chat_template.jinja"),
)


# ---- checkpoint -> Hugging Face ----------------------------------------------------------------------


def export_checkpoint(
    checkpoint: Path, out: Path, tokenizer: Path | None, trim: bool = False, max_bytes: int = MAX_SHARD_BYTES
) -> int:
    """Write a checkpoint, of any topology, as a Hugging Face folder. Returns the rows of its embedding.

    Args:
        tokenizer: folder whose tokenizer is copied; None: none is.
        trim: cut off rows of the embedding that no token of the tokenizer has.
        max_bytes: of one file of weights.

    Raises:
        UserError: no whole checkpoint, of no model we know, ``out`` is there, or the tokenizer does not fit.
        OSError: disk full, no permission; ``out`` is not there then.
    """
    found, model, rows = _found(checkpoint)
    there = int(model["vocab_size"])
    if tokenizer is not None:
        tokens = _tokens(tokenizer)
        if tokens > there:
            raise UserError(f"{tokenizer}: has {tokens:,} tokens, and the model {there:,} rows; name its own tokenizer")
        rows = tokens if trim else rows
    elif trim:
        raise UserError("--trim-vocabulary: needs to know the tokenizer; name its folder with --tokenizer")
    model = {**model, "vocab_size": rows}
    wanted = llama.origins(model)
    dtype = found[llama.EMBEDDING].dtype
    with whole_folder(out) as aside:
        _write_weights(aside, found, wanted, max_bytes)
        _write_json(aside / "config.json", llama.hf_config(model, DTYPES[dtype]))
        ids = {name: model[name] for name in llama.TOKENS if model[name] is not None}
        _write_json(aside / "generation_config.json", {"_from_model_config": True, **ids})
        if tokenizer is not None:
            _copy_tokenizer(tokenizer, aside)
    return rows


def open_checkpoint(checkpoint: Path) -> tuple[dict[str, Any], Iterator[tuple[str, "Tensor"]]]:
    """What ``export_checkpoint`` writes: ``config.json``, and each tensor by Hugging Face's name, one after the other.

    Raises:
        UserError: no whole checkpoint, or of no model we know.
    """
    found, model, rows = _found(checkpoint)
    model = {**model, "vocab_size": rows}
    wanted = llama.origins(model)
    return llama.hf_config(model, DTYPES[found[llama.EMBEDDING].dtype]), _tensors(found, wanted, wanted)


def _found(checkpoint: Path) -> tuple[dict[str, layout.Parameter], dict[str, Any], int]:
    """A checkpoint's parameters, its model, and the rows of its embedding without those that were added."""
    manifest = read_manifest(checkpoint)
    found = layout.parameters(checkpoint)
    model = _model_of_manifest(manifest, checkpoint)
    _check_parameters(found, model, checkpoint)
    return found, model, int(manifest.get("facts", {}).get("padded_from", model["vocab_size"]))


def _model_of_manifest(manifest: Mapping[str, Any], checkpoint: Path) -> dict[str, Any]:
    model = {**manifest["model"], **manifest.get("facts", {}).get("model", {})}
    missing = [name for name in llama.SIZES if model.get(name) is None]
    if missing:
        raise UserError(f"{checkpoint / MANIFEST}: has no {missing[0]} in 'model'; use another checkpoint")
    # Without a token of its own for the beginning, a text follows the token that ended the one before.
    eos = model.get("eos_token_id")
    return {**model, **{name: model.get(name, eos if name == "bos_token_id" else None) for name in llama.TOKENS}}


def _check_parameters(found: Mapping[str, layout.Parameter], model: Mapping[str, Any], checkpoint: Path) -> None:
    shapes: dict[str, tuple[int, ...]] = {}
    for origin in llama.origins(model).values():
        shapes[origin.parameter] = (origin.stop, *origin.shape[1:])  # the last of its tensors ends it
    for name, shape in shapes.items():
        if name not in found:
            raise UserError(f"{checkpoint}: has no parameter {name}; use another checkpoint")
        if found[name].shape != shape:
            raise UserError(f"{checkpoint}: {name} is {found[name].shape}, and by its manifest should be {shape}")
        if found[name].dtype not in DTYPES:
            raise UserError(f"{checkpoint}: {name} is of type {found[name].dtype}; known are {', '.join(DTYPES)}")
    if extra := sorted(found.keys() - shapes.keys()):
        raise UserError(f"{checkpoint}: has parameters that no Llama has, such as {extra[0]}")


def _write_weights(
    folder: Path, found: Mapping[str, layout.Parameter], wanted: Mapping[str, llama.Origin], max_bytes: int
) -> None:
    """``model.safetensors``, or as many files as the hub asks for and their index; one after the other."""
    import math

    from huggingface_hub import split_state_dict_into_shards_factory
    from safetensors.torch import save_file

    def size(name: str) -> int:
        each = 4 if found[wanted[name].parameter].dtype == "F32" else 2
        return each * math.prod(wanted[name].shape)

    split = split_state_dict_into_shards_factory(
        {name: size(name) for name in wanted},
        get_storage_size=int,
        filename_pattern="model{suffix}.safetensors",
        max_shard_size=max_bytes,
    )
    every = _tensors(found, wanted, [each for names in split.filename_to_tensors.values() for each in names])
    for file, names in split.filename_to_tensors.items():
        save_file(dict(itertools.islice(every, len(names))), folder / file, metadata={"format": "pt"})
    if split.is_sharded:
        index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
        _write_json(folder / "model.safetensors.index.json", index)


def _tensors(
    found: Mapping[str, layout.Parameter], wanted: Mapping[str, llama.Origin], names: Iterable[str]
) -> Iterator[tuple[str, "Tensor"]]:
    """Tensors in the order of names; a parameter is read once for those of its tensors that follow each other."""
    name, parameter = "", None
    for each in names:
        if wanted[each].parameter != name:
            name = wanted[each].parameter
            parameter = layout.read(found[name])
        assert parameter is not None
        yield each, llama.to_hf(parameter, wanted[each])


def _tokens(tokenizer: Path) -> int:
    from curation.tokens.tokenizer import read_folder

    try:
        return read_folder(tokenizer.name, tokenizer).vocab_size
    except FileNotFoundError:
        raise UserError(f"--tokenizer {tokenizer}: that folder has no tokenizer.json") from None


def _copy_tokenizer(source: Path, target: Path) -> None:
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


# ---- Hugging Face -> checkpoint ----------------------------------------------------------------------


def import_model(folder: Path, out: Path, vocab_multiple: int = 64) -> int:
    """Write a Hugging Face folder as a checkpoint of a topology of one process: initial weights for any. Returns the
    rows of its embedding.

    Args:
        vocab_multiple: rows of the embedding are added up to a multiple of this (``model.vocab_multiple``).

    Raises:
        UserError: no Llama, or one that we cannot represent; the field or tensor is named.
        OSError: disk full, no permission; ``out`` is not there then.
    """
    if vocab_multiple < 1:
        raise UserError(f"--vocab-multiple {vocab_multiple}: must be at least 1")
    config = _read_json(folder / "config.json")
    model = llama.model_of(config, folder / "config.json")
    files = _files_of_tensors(folder)
    wanted = llama.origins(model)
    dtypes = _check_tensors(files, wanted, model, folder)
    before = int(model["vocab_size"])
    rows = -(-before // vocab_multiple) * vocab_multiple
    model["vocab_size"] = rows
    parts: dict[str, list[str]] = {}
    for name, origin in wanted.items():
        parts.setdefault(origin.parameter, []).append(name)
    with whole_folder(out) as aside:
        for parameter, names in parts.items():
            layout.write(aside, parameter, _parameter(files, wanted, parameter, names, rows))
        precision = "bfloat16" if dtypes["model.embed_tokens.weight"] == "BF16" else "float32"
        _write_json(aside / "model_config.json", {"is_llama_config": True, **model})
        _write_json(aside / "checkpoint_metadata.json", {"version": layout.VERSION, "tp": 1, "dp": 1, "metas": {}})
        if (folder / "tokenizer.json").is_file():
            (aside / TOKENIZER).mkdir()
            _copy_tokenizer(folder, aside / TOKENIZER)
        manifest = {
            "format": FORMAT,
            "step": 0,
            "samples": 0,
            "precision": precision,
            "model": model,
            "vocab_size": rows,
            "topology": {"data": 1, "tensor": 1, "pipeline": 1, "zero_stage": 0},
            "facts": {"imported": folder.resolve().name, "padded_from": before},
        }
        _write_json(aside / MANIFEST, manifest)
    return rows


def _files_of_tensors(folder: Path) -> dict[str, Path]:
    """Name of each tensor -> the file that has it."""
    from safetensors import SafetensorError, safe_open

    index = folder / "model.safetensors.index.json"
    if index.is_file():
        names = sorted({Path(str(file)).name for file in _read_json(index).get("weight_map", {}).values()})
    else:
        names = ["model.safetensors"]
    found: dict[str, Path] = {}
    for name in names:
        path = folder / name
        if not path.is_file():
            raise UserError(
                f"{path}: is missing; only safetensors are read (of pickled weights, transformers makes them: "
                "save_pretrained)"
            )
        try:
            with safe_open(path, framework="pt") as file:
                found |= dict.fromkeys(file.keys(), path)
        except (SafetensorError, OSError) as error:
            raise UserError(f"{path}: cannot be read ({error}); fetch it again") from error
    return found


def _check_tensors(
    files: Mapping[str, Path], wanted: Mapping[str, llama.Origin], model: Mapping[str, Any], folder: Path
) -> dict[str, str]:
    """The type of each tensor."""
    from safetensors import safe_open

    dtypes = {}
    for name, origin in wanted.items():
        if name not in files:
            raise UserError(f"{folder}: has no tensor {name}, which its config.json asks for; fetch it again")
        with safe_open(files[name], framework="pt") as file:
            here = file.get_slice(name)
            shape, dtypes[name] = tuple(here.get_shape()), here.get_dtype()
        if shape != origin.shape:
            raise UserError(f"{folder}: {name} is {shape}, and by its config.json should be {origin.shape}")
        if dtypes[name] not in DTYPES:
            raise UserError(f"{folder}: {name} is of type {dtypes[name]}; known are {', '.join(DTYPES)}")
    for name in sorted(files.keys() - wanted.keys()):
        if name == "lm_head.weight" and model["tie_word_embeddings"]:
            import torch

            if torch.equal(_tensor(files, name), _tensor(files, "model.embed_tokens.weight")):
                continue
            raise UserError(f"{folder}: tie_word_embeddings is true, but lm_head.weight is not the embedding")
        if not name.endswith(".rotary_emb.inv_freq"):  # what older versions stored of the rotary embedding
            raise UserError(f"{folder}: has the tensor {name}, which no Llama that can be represented here has")
    return dtypes


def _tensor(files: Mapping[str, Path], name: str) -> "Tensor":
    from safetensors import safe_open

    with safe_open(files[name], framework="pt") as file:
        return file.get_tensor(name)  # type: ignore[no-any-return]


def _parameter(
    files: Mapping[str, Path], wanted: Mapping[str, llama.Origin], parameter: str, names: Sequence[str], rows: int
) -> "Tensor":
    import torch

    parts = [llama.from_hf(_tensor(files, name), wanted[name]) for name in names]
    whole = parts[0] if len(parts) == 1 else torch.cat(parts)
    return llama.pad_rows(whole, rows) if parameter in (llama.EMBEDDING, llama.HEAD) else whole


# ---- files -------------------------------------------------------------------------------------------


@contextlib.contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A folder to write into, beside ``out``, which appears as ``out`` when the block has come to its end: a kill
    leaves a hidden one, which the next attempt removes.

    Raises:
        UserError: ``out`` is there already, or another process is at it.
    """
    if out.exists():
        raise UserError(f"{out}: is there already, and nothing is overwritten; name another folder, or remove it")
    out.parent.mkdir(parents=True, exist_ok=True)
    aside = out.with_name(f".{out.name}.writing")
    with out.with_name(f".{out.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{out}: another process is writing it; wait for it") from None
        if out.exists():
            raise UserError(f"{out}: another process has just made it; name another folder")
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        try:
            yield aside
            for path in (*aside.rglob("*"), aside):
                if path.is_dir():
                    sync_folder(path)
                else:
                    with path.open("rb") as file:
                        os.fsync(file.fileno())
            aside.rename(out)
            sync_folder(out.parent)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
            Path(lock.name).unlink(missing_ok=True)


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path}: is missing; name the folder of a Hugging Face model") from None
    except ValueError as error:
        raise UserError(f"{path}: is no JSON ({error}); fetch it again") from error
    if not isinstance(found, dict):
        raise UserError(f"{path}: is no JSON object; fetch it again")
    return found
