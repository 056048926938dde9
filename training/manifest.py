"""The manifest of a checkpoint, ``checkpoint.json``: what model it is of, how far it is, where it comes from."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curation.errors import UserError
from training.config import PretrainConfig
from training.sizes import model_sizes

MANIFEST = "checkpoint.json"
"""Written last into a checkpoint's folder: its existence means that the checkpoint is whole."""
FORMAT = 1
"""Newest version of the manifest."""
_NEEDED = {"format", "step", "samples", "precision", "model"}


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a checkpoint.

    Raises:
        UserError: there is none, or one that is not understood: no checkpoint, or one that was not finished.
    """
    path = folder / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_bytes())
        lacking = _NEEDED - dict(manifest).keys()
        if lacking:
            raise ValueError(f"lacks {', '.join(sorted(lacking))}")
        known = int(manifest["format"]) <= FORMAT
        dict(manifest["model"])
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
