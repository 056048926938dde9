"""Models of every origin give the same numbers; what cannot be one is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from audit.items import Item
from audit.model import Model, load_model
from curation.errors import UserError
from curation.records import Checkpoint, now
from curation.weights import weights_sha256
from curation.workspace import Workspace
from tests.audit.models import made_network, made_tokenizer, saved
from tests.audit.texts import ORDINARY
from training import smollm2
from training.convert import import_model

ITEMS = [Item(text, " and the river", "bos_or_eos") for text in ORDINARY["eng"][:4]]


def values(model: Model) -> list[float]:
    return [each for score in model.log_likelihood(ITEMS) for each in score.log_likelihoods]


@pytest.mark.parametrize("tied", [True, False])
def test_every_origin_gives_the_same_numbers(tied: bool, tmp_path: Path) -> None:
    network = saved(tmp_path / "hf", tie_word_embeddings=tied)
    workspace = Workspace(tmp_path / "W")
    import_model(tmp_path / "hf", workspace.root / "runs" / "R" / "2")
    facts: dict[str, Any] = {"run_id": "R", "step": 2, "tokens_seen": 0, "path": "runs/R/2", "data_position": 0}
    total = weights_sha256(workspace.root / "runs" / "R" / "2")
    workspace.write([Checkpoint(checkpoint_id="R-2", created_at=now(), weights_sha256=total, **facts)])
    import_model(tmp_path / "hf", tmp_path / "alone")
    wanted = values(Model(network, made_tokenizer(), load_model(workspace, str(tmp_path / "hf"), "cpu").source))
    for reference, kind in (
        (str(tmp_path / "hf"), "model"),
        ("R-2", "checkpoint"),
        (str(workspace.root / "runs" / "R" / "2"), "checkpoint"),
        (str(tmp_path / "alone"), "model"),
    ):
        model = load_model(workspace, reference)
        assert model.network.config.vocab_size == 410  # without the rows that were added
        assert {parameter.dtype for parameter in model.network.parameters()} == {torch.float32}
        assert (model.source.kind, model.source.label) == (kind, reference)
        np.testing.assert_allclose(values(model), wanted, atol=1e-5 if torch.cuda.is_available() else 1e-6, rtol=0)
    assert load_model(workspace, "R-2").source.id == "R-2"
    alone = load_model(workspace, str(tmp_path / "alone")).source
    assert alone.weights_sha256 == weights_sha256(tmp_path / "alone")


def test_half_precision_is_computed_in_float32(tmp_path: Path) -> None:
    saved(tmp_path / "hf").to(torch.bfloat16).save_pretrained(tmp_path / "hf")
    model = load_model(Workspace(tmp_path / "W"), str(tmp_path / "hf"), "cpu")
    network = made_network()
    for parameter in network.parameters():  # and not the rotary embedding's buffer
        parameter.data = parameter.data.bfloat16().float()
    rounded = Model(network, model.tokenizer, model.source)
    np.testing.assert_allclose(values(model), values(rounded), atol=1e-6, rtol=0)


def edited(**changes: Any) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **changes}))

    return edit


def without_a_tensor(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def with_another(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    save_file({**tensors, "model.other": torch.zeros(2)}, folder / "model.safetensors", metadata={"format": "pt"})


def pickled(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def cut_off(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (edited(model_type="mistral"), "model_type 'mistral'; only Llamas"),
        (edited(quantization_config={"bits": 4}), "quantised; only Llamas"),
        (edited(rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}), "rope_type 'dynamic'"),
        (edited(intermediate_size=64), "weights"),
        (without_a_tensor, "missing keys in its weights, such as model.layers.1.mlp.up_proj.weight"),
        (with_another, "unexpected keys in its weights, such as model.other"),
        (pickled, r"has no \*.safetensors"),
        (cut_off, "its weights cannot be read"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json: cannot be read"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "has no tokenizer.json"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "its tokenizer cannot be read"),
    ],
)
def test_damaged_and_foreign_models_are_refused(damage: Callable[[Path], None], named: str, tmp_path: Path) -> None:
    saved(tmp_path / "hf")
    damage(tmp_path / "hf")
    with pytest.raises(UserError, match=named):
        load_model(Workspace(tmp_path / "W"), str(tmp_path / "hf"))


def test_wrong_names_say_what_to_do(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "W")
    with pytest.raises(UserError, match=r"nowhere: is no folder of a checkpoint or Hugging Face model, .*smollm2"):
        load_model(workspace, "nowhere")
    with pytest.raises(UserError, match="--device tpu: valid: auto, cpu, cuda"):
        load_model(workspace, "nowhere", "tpu")
    saved(tmp_path / "hf", vocab_size=300)
    with pytest.raises(UserError, match="has 400 tokens, and the model 300 rows"):
        load_model(workspace, str(tmp_path / "hf"))
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="--device cuda: there is no GPU"):
            load_model(workspace, str(tmp_path / "hf"), "cuda")


@pytest.mark.full
def test_smollm2(tmp_path: Path) -> None:
    """The package's model by its name: scores of plain forward passes, and a folder that is made once."""
    try:
        smollm2.find_file()
    except UserError as error:
        pytest.skip(str(error))
    workspace = Workspace(tmp_path / "W")
    model = load_model(workspace, "smollm2", "cpu")
    (folder,) = (workspace.cache / "models").iterdir()
    made = folder.stat().st_mtime_ns
    texts = ORDINARY["eng"]
    items = [Item(text, f" {name}", "none") for text in texts[:3] for name in ("nurse", "doctor", "mechanic")]
    items += [Item("", text, "bos_or_eos") for text in texts]
    for packed in (True, False):
        for score in model.log_likelihood(items, packed=packed):
            ahead, ids = score.encoded.context_ids, score.encoded.context_ids + score.encoded.token_ids
            with torch.inference_mode():
                log_SV = model.network(torch.tensor([ids])).logits[0].double().log_softmax(-1)
            wanted = [float(log_SV[at - 1, ids[at]]) for at in range(len(ahead), len(ids))]
            np.testing.assert_allclose(score.log_likelihoods, wanted, atol=2e-4, rtol=0)
    likely, unlikely = model.log_likelihood(
        [Item("The capital of France is", " Paris", "none"), Item("The capital of France is", " bread", "none")]
    )
    assert likely.total > unlikely.total + 2
    assert load_model(workspace, "smollm2", "cpu").source == model.source
    assert folder.stat().st_mtime_ns == made
