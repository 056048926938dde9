"""Checkpoints: loaded whole or refused with the reason; code in them never runs."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from curation.errors import UserError
from curation.toxicity.checkpoint import NotAtHand, cached_release, find_checkpoint, load_checkpoint
from tests.curation.toxicity import small_model


@pytest.fixture
def copy(checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of the checkpoint's folder to spoil."""
    shutil.copytree(checkpoint, tmp_path / "copy")
    return tmp_path / "copy"


def state(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(folder / "model.ckpt", weights_only=True)["state_dict"]
    return found


def refused(folder: Path) -> str:
    """Why a checkpoint is refused."""
    with pytest.raises(UserError) as caught:
        load_checkpoint(find_checkpoint(str(folder)))
    message = str(caught.value)
    assert str(folder) in message
    return message


def test_a_good_one_has_its_labels_by_standard_names(checkpoint: Path) -> None:
    for named in (checkpoint, checkpoint / "model.ckpt"):
        source = find_checkpoint(str(named))
        loaded = load_checkpoint(source)
        assert loaded.labels == ("toxicity", "insult", "identity_attack")
        assert loaded.most_tokens == 512
        assert source.title == f"detoxify model.ckpt {source.sha256[:12]}"
        weights = state(checkpoint)
        assert all(torch.equal(tensor, weights[key]) for key, tensor in loaded.model.state_dict().items())


def _drop(key: str) -> Callable[[dict[str, Any]], None]:
    return lambda weights: weights.pop(key)


def _prefix(weights: dict[str, Any]) -> None:
    for key in list(weights):
        weights[f"model.{key}"] = weights.pop(key)


def _one_label_less(weights: dict[str, Any]) -> None:
    weights["classifier.weight"] = weights["classifier.weight"][:2].clone()


def _not_finite(weights: dict[str, Any]) -> None:
    weights["classifier.bias"] = torch.full_like(weights["classifier.bias"], float("nan"))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_drop("classifier.weight"), "1 missing (classifier.weight)"),
        (_drop("bert.embeddings.word_embeddings.weight"), "missing (bert.embeddings.word_embeddings.weight)"),
        (_prefix, "unknown (model.bert"),
        (lambda weights: weights.update({"extra.weight": torch.zeros(1)}), "1 unknown (extra.weight)"),
        (_one_label_less, "classifier.weight has shape (2, 64), the model (3, 64)"),
        (_not_finite, "classifier.bias holds values that are no finite numbers"),
        (lambda weights: weights.update({"classifier.bias": [1.0, 2.0, 3.0]}), "more than tensors"),
    ],
)
def test_weights_that_do_not_fit(copy: Path, spoil: Callable[[dict[str, Any]], None], said: str) -> None:
    weights = state(copy)
    spoil(weights)
    small_model.save(copy, weights)
    assert said in refused(copy)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "no config.arch.args.model_name"),
        ({"arch": {"args": {"model_name": "BertForSequenceClassification"}}}, "has no labels"),
        (
            {"arch": {"args": {"model_name": "BertForSequenceClassification", "num_classes": 3}},
             "dataset": {"args": {"classes": ["toxic"]}}},
            "names 1 labels for 3 classes",
        ),
        (
            {"arch": {"args": {"model_name": "os", "num_classes": 1}}, "dataset": {"args": {"classes": ["toxic"]}}},
            "names no model of transformers: 'os'",
        ),
        (
            {"arch": {"args": {"model_name": "BertModel"}}, "dataset": {"args": {"classes": ["toxic"]}}},
            "does not classify texts",
        ),
    ],
)  # fmt: skip
def test_wrong_descriptions(copy: Path, config: dict[str, Any], said: str) -> None:
    small_model.save(copy, state(copy), config=config)
    assert said in refused(copy)


def test_harmless_buffers_of_older_versions_are_fine(copy: Path) -> None:
    small_model.save(copy, {**state(copy), "bert.embeddings.position_ids": torch.arange(512)})
    load_checkpoint(find_checkpoint(str(copy)))


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_code_is_refused_and_does_not_run(copy: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    small_model.save(copy, state(copy), extra=Payload(ran))
    assert "holds code, which is not run" in refused(copy)
    assert not ran.exists()
    torch.load(copy / "model.ckpt", weights_only=False)
    assert ran.exists()  # it would have


def test_what_is_missing_beside_the_weights(copy: Path) -> None:
    (copy / "vocab.txt").unlink()
    (copy / "tokenizer.json").unlink()
    assert "has no tokenizer" in refused(copy)
    (copy / "config.json").unlink()
    assert "has no config.json" in refused(copy)


def test_a_tokenizer_with_more_tokens_than_the_model(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text("utf-8"))
    (copy / "config.json").write_text(json.dumps(config | {"vocab_size": 100}), "utf-8")
    weights = state(copy)
    key = "bert.embeddings.word_embeddings.weight"
    small_model.save(copy, weights | {key: weights[key][:100].clone()})
    assert "tokens, the model 100" in refused(copy)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_damaged_files(copy: Path, share: float) -> None:
    path = copy / "model.ckpt"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    assert "damaged" in refused(copy)


def test_a_folder_of_hugging_face(checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "hf"
    model = load_checkpoint(find_checkpoint(str(checkpoint))).model
    model.config.architectures = ["BertForSequenceClassification"]
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        shutil.copy(checkpoint / name, folder / name)
    assert "has no labels" in refused(folder)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    labels = {"id2label": {0: "toxic", 1: "insult", 2: "identity_hate"}, "label2id": {}}
    (folder / "config.json").write_text(json.dumps(config | labels), "utf-8")
    assert load_checkpoint(find_checkpoint(str(folder))).labels == ("toxicity", "insult", "identity_attack")
    (folder / "model.safetensors").write_bytes(b"\x00" * 100)
    assert "damaged" in refused(folder)


def test_what_cannot_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    with pytest.raises(NotAtHand, match=r"python -m curation\.toxicity fetch unbiased"):
        find_checkpoint("unbiased")
    with pytest.raises(UserError, match="valid: a path, multilingual, none, original, unbiased"):
        find_checkpoint("orignal")
    with pytest.raises(UserError, match="no such file or folder"):
        find_checkpoint(str(tmp_path / "nothing.ckpt"))
    with pytest.raises(UserError, match="must hold one file with weights"):
        find_checkpoint(str(tmp_path))
    cached = tmp_path / "torch" / "hub" / "checkpoints" / "toxic_original-c1212f89.ckpt"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"cut off")
    with pytest.raises(UserError, match="is damaged"):
        find_checkpoint("original")


def test_the_cache_is_torch_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("TORCH_HOME", str(tmp_path)),
        ("XDG_CACHE_HOME", str(tmp_path / "x")),
        ("HOME", str(tmp_path)),
    ):
        for other in ("TORCH_HOME", "XDG_CACHE_HOME"):
            monkeypatch.delenv(other, raising=False)
        monkeypatch.setenv(name, value)
        assert cached_release("original").parents[1] == Path(torch.hub.get_dir())
