"""A checkpoint of BERT-base's size in Detoxify's format that knows something, made on a CPU in a minute.

Usage: python -m benchmarks.parts.detoxify_base FOLDER

A small model (one layer, 64 numbers a token) is trained on annotated tweets, and then grown to BERT-base's 12 layers of
768 numbers, 12 heads and 30,522 tokens without a change in what it computes: every vector is twelve copies of the small
one, weights are shared out evenly among the copies, and eleven layers are put below the trained one that pass on what
they get. It takes the time and memory of any BERT-base.
"""

import sys
from pathlib import Path
from typing import Any

COPIES, LAYERS, VOCABULARY = 12, 12, 30_522


def grow(small: dict[str, Any]) -> dict[str, Any]:
    """Weights of BERT-base's shapes that compute what ``small``'s compute (one layer of 64, one head)."""
    import torch

    def vector(tensor: Any) -> Any:
        return tensor.repeat(COPIES)

    def matrix(tensor: Any) -> Any:
        return tensor.repeat(COPIES, COPIES) / COPIES

    grown: dict[str, Any] = {}
    for key, tensor in small.items():
        if key.startswith("bert.embeddings.LayerNorm"):
            continue
        if key == "bert.embeddings.word_embeddings.weight":
            padded = torch.zeros(VOCABULARY, tensor.shape[1])
            padded[: len(tensor)] = tensor
            grown[key] = padded.repeat(1, COPIES)
        elif "embeddings" in key:
            grown[key] = tensor.repeat(1, COPIES)
        elif key == "classifier.weight":
            grown[key] = tensor.repeat(1, COPIES) / COPIES
        elif key == "classifier.bias":
            grown[key] = tensor.clone()
        else:
            name = key.replace(".layer.0.", f".layer.{LAYERS - 1}.")
            grown[name] = vector(tensor) if tensor.ndim == 1 else matrix(tensor)
    # The embeddings come out normal, pass normal through the layers below, and get their own scale and shift there.
    scale, shift = (vector(small[f"bert.embeddings.LayerNorm.{name}"]) for name in ("weight", "bias"))
    ones, zeros = torch.ones_like(scale), torch.zeros_like(shift)
    grown["bert.embeddings.LayerNorm.weight"], grown["bert.embeddings.LayerNorm.bias"] = ones, zeros
    top = f"bert.encoder.layer.{LAYERS - 1}."
    for layer in range(LAYERS - 1):
        last = layer == LAYERS - 2
        for key in [key for key in grown if key.startswith(top)]:
            below = key.replace(top, f"bert.encoder.layer.{layer}.")
            if "LayerNorm" not in key:
                grown[below] = torch.zeros_like(grown[key])
            elif ".attention." not in key and last:
                grown[below] = scale.clone() if key.endswith("weight") else shift.clone()
            else:
                grown[below] = ones.clone() if key.endswith("weight") else zeros.clone()
    return grown


def make(folder: Path) -> Path:
    """Train, grow and save; returns the checkpoint."""
    import json

    import torch

    from tests.curation.toxicity import small_model

    small = small_model.train(folder)
    state = torch.load(small, weights_only=True)["state_dict"]
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config |= {
        "hidden_size": 64 * COPIES,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": COPIES,
        "intermediate_size": 256 * COPIES,
        "vocab_size": VOCABULARY,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1), "utf-8")
    return small_model.save(folder, grow(state))


def main() -> None:
    """Make the folder."""
    print(make(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
