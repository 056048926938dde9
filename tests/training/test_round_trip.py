"""From a run to a Hugging Face folder that computes the same, and from there back into a run."""

from pathlib import Path

import pytest
import torch

from curation.tokens.read import open_token_dataset
from curation.workspace import Workspace
from tests.training import launch
from tests.training.small import run

pytest.importorskip("nanotron", reason="training needs nanotron: pip install nanotron==0.4")
transformers = pytest.importorskip("transformers")


def validation_loss(model: Path, workspace: Path, language: str) -> float:
    """Mean loss of a transformers model over what the small configuration validates on: four sequences of 32."""
    stream = open_token_dataset(Workspace(workspace), "mixed-tokens").stream("validation", language)
    loaded = transformers.AutoModelForCausalLM.from_pretrained(model).eval()
    losses = []
    with torch.inference_mode():
        for start in range(0, 4 * 32, 32):
            ids_S = torch.from_numpy(stream.read(start, start + 33))
            logits_SV = loaded(ids_S[None, :-1]).logits[0]
            losses.append(torch.nn.functional.cross_entropy(logits_SV, ids_S[1:]))
    return float(torch.stack(losses).mean())


def test_an_exported_model_has_the_loss_that_training_saw(workspace: Path, tmp_path: Path) -> None:
    config = launch.write_config(tmp_path / "c.yaml")
    split = launch.topology(tensor=2, tensor_mode="reduce_scatter")
    run_id = launch.run_of(launch.train(workspace, config, *split, processes=2))
    run("training.export", f"{run_id}-00000008", tmp_path / "model", "--workspace", workspace)
    seen = launch.metrics(workspace / "runs" / run_id)[8]
    for language in ("eng_Latn", "fra_Latn"):
        wanted = seen[f"validation/mixed-tokens@1/{language}"]
        assert validation_loss(tmp_path / "model", workspace, language) == pytest.approx(wanted, abs=1e-4)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    assert tokenizer.decode(tokenizer("Der Müller, à midi.")["input_ids"]) == "Der Müller, à midi."


@pytest.mark.parametrize("tied", [True, False])
def test_an_imported_model_trained_for_no_step_keeps_its_logits(workspace: Path, tmp_path: Path, tied: bool) -> None:
    torch.manual_seed(1)
    tokens = open_token_dataset(Workspace(workspace), "mixed-tokens").vocab_size
    sizes = {"hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4}
    made = transformers.LlamaConfig(
        **sizes, num_key_value_heads=2, vocab_size=tokens, max_position_embeddings=32, tie_word_embeddings=tied,
        rms_norm_eps=1e-5, initializer_range=0.2,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(made).eval()
    model.save_pretrained(tmp_path / "theirs")
    run("training.export", "--from-hf", tmp_path / "theirs", tmp_path / "imported")
    config = launch.write_config(tmp_path / "c.yaml")
    options = ("--batch.steps", "0", "--model.tie_word_embeddings", str(tied).lower())
    shape = ("--model.intermediate_size", "128", "--initialise-from", tmp_path / "imported")
    done = launch.train(workspace, config, *options, *shape)
    arguments = (f"{launch.run_of(done)}-00000000", tmp_path / "back", "--workspace", workspace, "--trim-vocabulary")
    run("training.export", *arguments)
    back = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "back").eval()
    ids_BS = torch.randint(0, tokens, (2, 32), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(back(ids_BS).logits, model(ids_BS).logits, atol=1e-4, rtol=0)
