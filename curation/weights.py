"""The identity of a model's weights on disk."""

import hashlib
from pathlib import Path

from curation.shards import file_sha256


def weights_sha256(folder: Path) -> str:
    """sha256 over name and sha256 of each file of a checkpoint's weights, in order of their names."""
    total = hashlib.sha256()
    model = folder / "model"
    for path in sorted(model.rglob("*.safetensors")):
        total.update(f"{path.relative_to(model).as_posix()} {file_sha256(path)}\n".encode())
    return total.hexdigest()
