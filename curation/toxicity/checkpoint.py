"""Loading a Detoxify checkpoint safely: offline, weights only, every key checked.

Detoxify's own loader unpickles whatever a file holds, asks a hub for the configuration whatever folder is named, and
leaves what does not fit at random values without a word. Here a checkpoint is loaded whole or refused with the reason.

Known forms:

- a file in Detoxify's format: ``{"config": {"arch": {"args": {model_type, model_name, tokenizer_name, num_classes}},
  "dataset": {"args": {"classes": [...]}}}, "state_dict": ...}``, with ``config.json`` and tokenizer in its folder;
- a folder with such a file;
- a folder in Hugging Face's format (``model.safetensors`` or ``pytorch_model.bin``), labels in ``id2label``;
- ``original``, ``unbiased``, ``multilingual``: Detoxify's release files in torch's cache, with configuration and
  tokenizer of their base models in Hugging Face's cache (``python -m curation.toxicity fetch`` brings both).
"""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from curation.errors import UserError, unknown_name
from curation.toxicity.config import OFFICIAL

RELEASES = {
    "original": "https://github.com/unitaryai/detoxify/releases/download/v0.1-alpha/toxic_original-c1212f89.ckpt",
    "unbiased": "https://github.com/unitaryai/detoxify/releases/download/v0.3-alpha/toxic_debiased-c7548aa0.ckpt",
    "multilingual": "https://github.com/unitaryai/detoxify/releases/download/v0.4-alpha/"
    "multilingual_debiased-0b549669.ckpt",
}
"""Where Detoxify 0.5 gets its weights; names end in the first digits of their sha256."""
BASES = {"original": "bert-base-uncased", "unbiased": "roberta-base", "multilingual": "xlm-roberta-base"}
LANGUAGES = {
    "original": ("eng_Latn",),
    "unbiased": ("eng_Latn",),
    "multilingual": tuple("eng_Latn fra_Latn spa_Latn ita_Latn por_Latn tur_Latn rus_Cyrl".split()),
}
"""What each was trained on, as Detoxify's README says."""

_RENAMED = {"toxic": "toxicity", "identity_hate": "identity_attack", "severe_toxic": "severe_toxicity"}
"""Detoxify makes label names of its models alike."""
_HARMLESS = (".position_ids", ".token_type_ids")
"""Buffers that older versions of transformers saved, and newer ones compute."""
_SUFFIXES = (".ckpt", ".pt", ".pth", ".bin", ".safetensors")


class NotAtHand(UserError):
    """The model is not on this machine: the cheap one may go on."""


@dataclass(frozen=True, slots=True)
class Source:
    """A checkpoint that is at hand, not loaded yet."""

    name: str
    """``original``, or the file's name."""
    weights: Path
    folder: Path | str
    """Folder with configuration and tokenizer, or the name of a base model in Hugging Face's cache."""
    sha256: str
    """Of the file with the weights."""

    @property
    def title(self) -> str:
        """What is recorded with scores."""
        return f"detoxify {self.name} {self.sha256[:12]}"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A loaded model."""

    model: Any
    """A transformers model for sequence classification, in evaluation mode, fp32."""
    tokenizer: Any
    labels: tuple[str, ...]
    most_tokens: int
    """Tokens that fit into the model at once, special ones included."""


def find_checkpoint(model: str) -> Source:
    """Where a model is.

    Raises:
        NotAtHand: an official model whose weights are not in the cache, or no torch to run any.
        UserError: no such file or folder, or the folder holds no weights or several.
    """
    missing = [name for name in ("torch", "transformers") if find_spec(name) is None]
    if missing:
        raise NotAtHand(
            f"toxicity.model: {' and '.join(missing)} is not installed: pip install 'open-curation[toxicity]', or take "
            "toxicity.model: none"
        )
    if model in OFFICIAL:
        return _official(model)
    path = Path(model)
    if path.is_dir():
        path = _weights_in(path)
    if not path.is_file():
        if "/" not in model and not path.suffix:
            raise unknown_name("model for toxicity.model", model, [*OFFICIAL, "none", "a path"])
        raise UserError(f"toxicity.model: {model}: no such file or folder")
    return Source(path.name, path, path.parent, _sha256(path))


def _official(model: str) -> Source:
    path = cached_release(model)
    if not path.is_file():
        raise NotAtHand(
            f"toxicity.model: the weights of Detoxify's {model!r} are not on this machine ({path.name} is not in "
            f"{path.parent}); where there is a network: python -m curation.toxicity fetch {model}"
        )
    digest = _sha256(path)
    expected = path.stem.rpartition("-")[2]
    if not digest.startswith(expected):
        raise UserError(f"toxicity.model: {path} is damaged (its sha256 does not begin with {expected}): delete it")
    return Source(model, path, BASES[model], digest)


def cached_release(model: str) -> Path:
    """Where torch keeps the weights of an official model: ``torch.hub.get_dir()``, without loading torch, which takes
    two seconds that a run without weights need not spend."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    home = os.path.expanduser(os.environ.get("TORCH_HOME") or os.path.join(cache, "torch"))
    return Path(home) / "hub" / "checkpoints" / RELEASES[model].rpartition("/")[2]


def _weights_in(folder: Path) -> Path:
    found = sorted(each for each in folder.iterdir() if each.suffix in _SUFFIXES and each.is_file())
    safe = [each for each in found if each.suffix == ".safetensors"]
    if len(safe) == 1:
        return safe[0]
    if len(found) != 1:
        listed = ", ".join(each.name for each in found) or "none"
        raise UserError(f"toxicity.model: {folder} must hold one file with weights ({', '.join(_SUFFIXES)}): {listed}")
    return found[0]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# ---- loading ---------------------------------------------------------------------------------------


def load_checkpoint(source: Source) -> Checkpoint:
    """Load a model with every weight from the file.

    Raises:
        UserError: the file holds code or is damaged; keys or shapes do not fit; labels, configuration or tokenizer
            are missing. The message says which.
    """
    import torch
    import transformers

    where = f"toxicity.model: {source.weights}"
    transformers.utils.logging.set_verbosity_error()
    if source.weights.suffix == ".safetensors":
        loaded: Any = _read_safetensors(source.weights, where)
    else:
        loaded = _read_pickle(source.weights, where)
    config = _config(source)
    if isinstance(loaded, dict) and "state_dict" in loaded:
        names, classes, state = _detoxify_format(loaded, where)
    else:
        names, classes, state = _hugging_face_format(loaded, config, where)
    model_class = getattr(transformers, names["model_name"], None)
    if not (isinstance(model_class, type) and issubclass(model_class, transformers.PreTrainedModel)):
        raise UserError(f"{where}: names no model of transformers: {names['model_name']!r}")
    if not names["model_name"].endswith("ForSequenceClassification"):
        raise UserError(f"{where}: {names['model_name']} does not classify texts")
    config.num_labels = len(classes)
    with torch.random.fork_rng():
        model = model_class(config)
    _fill(model, state, where)
    tokenizer, most = _tokenizer(source, config)
    labels = tuple(_RENAMED.get(name, name) for name in classes)
    return Checkpoint(model.eval().requires_grad_(False), tokenizer, labels, most)


def _read_safetensors(path: Path, where: str) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise UserError(f"{where}: is damaged: {error}") from error


def _read_pickle(path: Path, where: str) -> Any:
    import pickle

    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{where}: is no plain file of weights: it is damaged, or holds code, which is not run. Save it anew with "
            "tensors, numbers and names alone"
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        raise UserError(f"{where}: is damaged or no checkpoint: {_first_line(error)}") from error


def _detoxify_format(loaded: Mapping[str, Any], where: str) -> tuple[dict[str, str], list[str], Mapping[str, Any]]:
    try:
        arguments = loaded["config"]["arch"]["args"]
        model_name = arguments["model_name"]
    except (KeyError, TypeError) as error:
        raise UserError(f"{where}: has no config.arch.args.model_name, as Detoxify's checkpoints have") from error
    try:
        classes = list(loaded["config"]["dataset"]["args"]["classes"])
    except (KeyError, TypeError) as error:
        raise UserError(f"{where}: has no labels (config.dataset.args.classes)") from error
    count = arguments.get("num_classes", len(classes))
    if not classes or not all(isinstance(each, str) for each in classes) or count != len(classes):
        raise UserError(f"{where}: names {len(classes)} labels for {count} classes")
    return {"model_name": str(model_name)}, classes, loaded["state_dict"]


def _hugging_face_format(loaded: Any, config: Any, where: str) -> tuple[dict[str, str], list[str], Mapping[str, Any]]:
    names = getattr(config, "architectures", None) or []
    if not names:
        raise UserError(f"{where}: holds weights alone, and its config.json names no architecture")
    labels = [str(config.id2label[place]) for place in sorted(config.id2label)]
    if all(label == f"LABEL_{place}" for place, label in enumerate(labels)):
        raise UserError(f"{where}: has no labels: id2label in its config.json does not name them")
    return {"model_name": str(names[0])}, labels, loaded


def _config(source: Source) -> Any:
    from transformers import AutoConfig

    if isinstance(source.folder, Path) and not (source.folder / "config.json").is_file():
        raise UserError(f"toxicity.model: {source.folder} has no config.json, which says what the weights belong to")
    try:
        return AutoConfig.from_pretrained(source.folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, json.JSONDecodeError) as error:
        raise _missing_base(source, "configuration", error) from error


def _tokenizer(source: Source, config: Any) -> tuple[Any, int]:
    from transformers import AutoTokenizer

    if isinstance(source.folder, Path) and not any(
        (source.folder / name).is_file()
        for name in ("tokenizer.json", "vocab.txt", "vocab.json", "sentencepiece.bpe.model", "spiece.model")
    ):
        raise UserError(f"toxicity.model: {source.folder} has no tokenizer (tokenizer.json or vocab.txt)")
    try:
        tokenizer = AutoTokenizer.from_pretrained(source.folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # each kind of tokenizer fails in its own way
        raise _missing_base(source, "tokenizer", error) from error
    if not tokenizer.is_fast:
        raise UserError(f"toxicity.model: the tokenizer in {source.folder} does not tell where tokens are in a text")
    if len(tokenizer) > config.vocab_size:
        raise UserError(
            f"toxicity.model: the tokenizer in {source.folder} has {len(tokenizer)} tokens, "
            f"the model {config.vocab_size}"
        )
    # Without model_max_length a tokenizer says 1e30; the positions of RoBERTa begin behind its padding.
    room = config.max_position_embeddings - (config.pad_token_id + 1 if "roberta" in config.model_type else 0)
    return tokenizer, min(room, tokenizer.model_max_length)


def _missing_base(source: Source, what: str, error: Exception) -> UserError:
    if isinstance(source.folder, Path):
        return UserError(f"toxicity.model: the {what} in {source.folder} cannot be read: {_first_line(error)}")
    return NotAtHand(
        f"toxicity.model: the {what} of {source.folder} is not in the cache of Hugging Face; where there is a network: "
        f"python -m curation.toxicity fetch {source.name}"
    )


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _fill(model: Any, state: Mapping[str, Any], where: str) -> None:
    """Every parameter from the file, and nothing left over."""
    import torch

    if not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise UserError(f"{where}: its state_dict holds more than tensors")
    wanted = model.state_dict()
    missing = [key for key in wanted if key not in state]
    extra = [key for key in state if key not in wanted and not key.endswith(_HARMLESS)]
    if missing or extra:
        told = [
            f"{len(keys)} {word} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
            for keys, word in ((missing, "missing"), (extra, "unknown"))
            if keys
        ]
        raise UserError(f"{where}: its weights do not fit {type(model).__name__}: keys {' and '.join(told)}")
    shapes = [key for key in wanted if state[key].shape != wanted[key].shape]
    if shapes:
        key = shapes[0]
        raise UserError(f"{where}: {key} has shape {tuple(state[key].shape)}, the model {tuple(wanted[key].shape)}")
    for key, tensor in state.items():
        if tensor.is_floating_point() and not math.isfinite(float(tensor.float().abs().sum())):
            raise UserError(f"{where}: {key} holds values that are no finite numbers")
    model.load_state_dict({key: state[key].float() if state[key].is_floating_point() else state[key] for key in wanted})
