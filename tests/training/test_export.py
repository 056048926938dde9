"""Checkpoints and Hugging Face folders are the same model: weights to the bit, logits, whatever the topology."""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from curation.errors import UserError
from curation.records import Checkpoint, CheckpointRemoval, now
from curation.tokens.tokenizer import folder_files
from curation.tokens.train import TrainConfig, from_texts
from curation.workspace import Workspace
from training import convert, export, layout, llama
from training.convert import export_checkpoint, import_model
from training.manifest import MANIFEST, read_manifest

ROOT = Path(__file__).resolve().parents[2]


def make(folder: Path, dtype: torch.dtype = torch.float32, **changes: Any) -> Any:
    """A random Llama of transformers', saved."""
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 100,
        "max_position_embeddings": 64,
        "rope_parameters": {"rope_theta": 5000.0, "rope_type": "default"},
        "bos_token_id": 1,
        "eos_token_id": 2,
        **changes,
    }
    torch.manual_seed(0)
    model: Any = LlamaForCausalLM(LlamaConfig(**sizes))
    model = model.to(dtype)
    for parameter in model.parameters():  # norms too: ones would hide that they are mixed up
        torch.nn.init.normal_(parameter, 0.0, 0.3)
    model.save_pretrained(folder)
    return model


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte tokenizer with a token that ends texts."""
    folder = tmp_path_factory.mktemp("tokenizer")
    made = from_texts("t", ["some text"], TrainConfig("byte", 300))
    for name, data in folder_files(made).items():
        (folder / name).write_bytes(data)
    return folder


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return {name: data for path in sorted(folder.glob("*.safetensors")) for name, data in load_file(path).items()}


def logits(folder: Path, vocabulary: int = 100) -> torch.Tensor:
    model = LlamaForCausalLM.from_pretrained(folder).float().eval()
    ids = torch.arange(24).reshape(2, 12) * 7 % vocabulary
    with torch.no_grad():
        found: torch.Tensor = model(ids).logits
    return found


MODELS: dict[str, dict[str, Any]] = {
    "untied, grouped": {},
    "tied": {"tie_word_embeddings": True},
    "one key head": {"num_key_value_heads": 1},
    "no groups": {"num_key_value_heads": 4, "num_hidden_layers": 1},
    "bfloat16": {"dtype": torch.bfloat16, "tie_word_embeddings": True},
    "float16": {"dtype": torch.float16},
    "several ends": {"eos_token_id": [2, 5]},
}


@pytest.mark.parametrize("name", MODELS)
def test_there_and_back_is_the_same_model(tmp_path: Path, name: str) -> None:
    make(tmp_path / "hf", **MODELS[name])
    assert import_model(tmp_path / "hf", tmp_path / "checkpoint") == 128
    assert export_checkpoint(tmp_path / "checkpoint", tmp_path / "back", None) == 100
    before, after = tensors(tmp_path / "hf"), tensors(tmp_path / "back")
    assert before.keys() == after.keys()
    for each in before:
        assert before[each].dtype == after[each].dtype, each
        assert torch.equal(before[each], after[each]), each
    assert torch.equal(logits(tmp_path / "hf"), logits(tmp_path / "back"))
    old, new = (LlamaConfig.from_pretrained(tmp_path / each).to_dict() for each in ("hf", "back"))
    differing = {key for key in old.keys() & new.keys() if old[key] != new[key]}
    assert differing <= {"initializer_range", "rope_theta", "transformers_version", "_name_or_path"}
    assert old["rope_parameters"] == {key: new["rope_parameters"][key] for key in old["rope_parameters"]}


def test_older_readers_find_the_base_of_the_rotary_embedding(tmp_path: Path) -> None:
    make(tmp_path / "hf")
    import_model(tmp_path / "hf", tmp_path / "checkpoint")
    export_checkpoint(tmp_path / "checkpoint", tmp_path / "back", None)
    config = json.loads((tmp_path / "back" / "config.json").read_text())
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"] == 5000.0


def test_added_rows_are_no_likelier_than_tokens_on_average(tmp_path: Path) -> None:
    make(tmp_path / "hf")
    import_model(tmp_path / "hf", tmp_path / "checkpoint", 64)
    manifest = json.loads((tmp_path / "checkpoint" / MANIFEST).read_text())
    del manifest["facts"]["padded_from"]  # as after training, where its rows are the model's
    (tmp_path / "checkpoint" / MANIFEST).write_text(json.dumps(manifest))
    assert export_checkpoint(tmp_path / "checkpoint", tmp_path / "wide", None) == 128
    wide = logits(tmp_path / "wide")
    assert wide.shape[-1] == 128
    torch.testing.assert_close(wide[..., :100], logits(tmp_path / "hf"))
    added = wide.softmax(-1)[..., 100:].sum(-1)
    assert (added <= 28 / 128 + 1e-6).all()


def split_in_two(folder: Path) -> None:
    """Rewrite the weights as two tensor ranks leave them: qkv and gate-up in contiguous chunks."""
    model = read_manifest(folder)["model"]
    hidden, head = model["hidden_size"], model["hidden_size"] // model["num_attention_heads"]
    key = head * model["num_key_value_heads"]
    chunks = {"qkv_proj": (hidden, key, key), "gate_up_proj": (model["intermediate_size"],) * 2}
    for path in sorted((folder / "model").rglob("*_tp-rank-0-of-1.safetensors")):
        with safe_open(path, "pt") as file:
            whole = file.get_tensor("data")
        kind = path.parent.name
        dim = 1 if kind in ("o_proj", "down_proj") else 0
        sizes = chunks.get(kind, (whole.shape[dim],))
        for rank in range(2):
            pairs, parts, start, here = [], [], 0, 0
            for size in sizes:
                half = size // 2
                low = start + rank * half
                ranges = [(here, here + half), (low, low + half)]
                texts = []
                for first, last in ranges:
                    each = ["None,None,None", "None,None,None"]
                    each[dim] = (
                        f"np.int64({first}),np.int64({last}),None" if kind == "o_proj" else f"{first},{last},None"
                    )
                    texts.append("|".join(each))
                pairs.append("#".join(texts))
                parts.append(whole.narrow(dim, low, half))
                start, here = start + size, here + half
            metadata = {
                "version": "1.2",
                "local_global_slices_pairs": ";".join(pairs),
                "unsharded_shape": str(tuple(whole.shape)),
            }
            target = path.with_name(re.sub(r"pp-rank.*", f"pp-rank-0-of-2_tp-rank-{rank}-of-2.safetensors", path.name))
            save_file({"data": torch.cat(parts, dim).contiguous()}, target, metadata=metadata)
        path.unlink()


@pytest.mark.parametrize("tied", [False, True])
def test_parts_of_a_topology_make_the_whole(tmp_path: Path, tied: bool) -> None:
    make(tmp_path / "hf", tie_word_embeddings=tied)
    import_model(tmp_path / "hf", tmp_path / "checkpoint")
    split_in_two(tmp_path / "checkpoint")
    export_checkpoint(tmp_path / "checkpoint", tmp_path / "back", None)
    before, after = tensors(tmp_path / "hf"), tensors(tmp_path / "back")
    assert all(torch.equal(before[each], after[each]) for each in before.keys() | after.keys())


def test_a_missing_part_is_noticed(tmp_path: Path) -> None:
    make(tmp_path / "hf")
    import_model(tmp_path / "hf", tmp_path / "checkpoint")
    split_in_two(tmp_path / "checkpoint")
    next((tmp_path / "checkpoint" / "model").rglob("*tp-rank-1-of-2*")).unlink()
    with pytest.raises(UserError, match="missing"):
        export_checkpoint(tmp_path / "checkpoint", tmp_path / "back", None)
    assert not (tmp_path / "back").exists()


def test_large_models_are_several_files_and_an_index(tmp_path: Path) -> None:
    make(tmp_path / "hf")
    import_model(tmp_path / "hf", tmp_path / "checkpoint")
    export_checkpoint(tmp_path / "checkpoint", tmp_path / "back", None, max_bytes=20_000)
    files = sorted(path.name for path in (tmp_path / "back").glob("*.safetensors"))
    assert files[0] == f"model-00001-of-{len(files):05d}.safetensors"
    assert len(files) > 3
    index = json.loads((tmp_path / "back" / "model.safetensors.index.json").read_text())
    before = tensors(tmp_path / "hf")
    assert index["metadata"]["total_size"] == sum(each.numel() * 4 for each in before.values())
    assert index["weight_map"].keys() == before.keys()
    assert torch.equal(logits(tmp_path / "hf"), logits(tmp_path / "back"))
    import_model(tmp_path / "back", tmp_path / "again")
    one, other = (layout.parameters(tmp_path / each) for each in ("checkpoint", "again"))
    assert all(torch.equal(layout.read(one[name]), layout.read(other[name])) for name in one.keys() | other.keys())


def test_the_tokenizer_comes_along(tmp_path: Path, tokenizer: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path / "hf", vocab_size=300)
    convert._copy_tokenizer(tokenizer, tmp_path / "hf")
    assert export.main(["--from-hf", str(tmp_path / "hf"), str(tmp_path / "checkpoint")]) == 0
    assert export.main([str(tmp_path / "checkpoint"), str(tmp_path / "back")]) == 0
    assert "next: " in capsys.readouterr().out
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "back" / name).read_bytes() == (tokenizer / name).read_bytes()
    loaded = AutoTokenizer.from_pretrained(tmp_path / "back")
    assert loaded.decode(loaded.encode("some text")) == "some text"
    trimmed = [str(tmp_path / "checkpoint"), str(tmp_path / "trimmed"), "--trim-vocabulary"]
    assert export.main(trimmed) == 0
    rows = json.loads((tmp_path / "trimmed" / "config.json").read_text())["vocab_size"]
    assert rows == max(loaded.get_vocab().values()) + 1 < 300
    ids = {"generation_config.json": 1, "config.json": 1}
    assert all(json.loads((tmp_path / "back" / name).read_text())["bos_token_id"] == ids[name] for name in ids)


def test_a_tokenizer_with_more_tokens_is_refused(tmp_path: Path, tokenizer: Path) -> None:
    make(tmp_path / "hf")
    import_model(tmp_path / "hf", tmp_path / "checkpoint")
    with pytest.raises(UserError, match="128 rows"):
        export_checkpoint(tmp_path / "checkpoint", tmp_path / "back", tokenizer)


def edit(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda config: config.__setitem__(name, value)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (edit("model_type", "mistral"), "model_type"),
        (edit("hidden_act", "gelu"), "hidden_act"),
        (edit("attention_bias", True), "attention_bias"),
        (edit("mlp_bias", True), "mlp_bias"),
        (edit("sliding_window", 1024), "sliding_window"),
        (edit("quantization_config", {"quant_method": "gptq"}), "quantization_config"),
        (edit("rope_parameters", {"rope_type": "llama3", "rope_theta": 1.0}), "rope_parameters"),
        (edit("rope_scaling", {"type": "linear", "factor": 2.0}), "rope_scaling"),
        (edit("head_dim", 64), "head_dim"),
        (edit("hidden_size", None), "hidden_size"),
        (edit("num_attention_heads", 3), "head_dim"),
        (edit("num_hidden_layers", 3), "model.layers.2"),
        (edit("num_hidden_layers", 1), "model.layers.1"),
        (edit("intermediate_size", 64), "gate_proj"),
        (edit("vocab_size", 99), "embed_tokens"),
        (edit("tie_word_embeddings", True), "tie_word_embeddings"),
    ],
)
def test_what_cannot_be_represented_is_named(tmp_path: Path, change: Callable[[Any], None], named: str) -> None:
    make(tmp_path / "hf")
    path = tmp_path / "hf" / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))
    with pytest.raises(UserError, match=re.escape(named)):
        import_model(tmp_path / "hf", tmp_path / "checkpoint")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["hf"]


def test_pickled_weights_are_not_opened(tmp_path: Path) -> None:
    model = make(tmp_path / "hf")
    (tmp_path / "hf" / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "hf" / "pytorch_model.bin")
    with pytest.raises(UserError, match="only safetensors"):
        import_model(tmp_path / "hf", tmp_path / "checkpoint")


@pytest.mark.parametrize("damage", ["manifest", "format", "field", "weights", "parameter", "foreign"])
def test_damaged_checkpoints_are_refused(tmp_path: Path, damage: str) -> None:
    make(tmp_path / "hf")
    folder = tmp_path / "checkpoint"
    import_model(tmp_path / "hf", folder)
    manifest = json.loads((folder / MANIFEST).read_text())
    some = folder / "model" / "model" / "decoder" / "0" / "pp_block" / "attn" / "o_proj"
    if damage == "manifest":
        (folder / MANIFEST).unlink()
    elif damage == "format":
        (folder / MANIFEST).write_text(json.dumps({**manifest, "format": 99}))
    elif damage == "field":
        del manifest["model"]["rope_theta"]
        (folder / MANIFEST).write_text(json.dumps(manifest))
    elif damage == "weights":
        path = next(some.glob("*.safetensors"))
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "parameter":
        next(some.glob("*.safetensors")).unlink()
    else:
        layout.write(folder, "model.decoder.0.pp_block.attn.qkv_proj.bias", torch.zeros(64))
    with pytest.raises(UserError, match=str(folder)):
        export_checkpoint(folder, tmp_path / "back", None)
    assert not (tmp_path / "back").exists()


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path / "hf")
    (tmp_path / "there").mkdir()
    assert export.main(["--from-hf", str(tmp_path / "hf"), str(tmp_path / "there")]) == 2
    assert "is there already" in capsys.readouterr().err
    assert list((tmp_path / "there").iterdir()) == []


def test_a_kill_leaves_no_half_folder(tmp_path: Path) -> None:
    make(tmp_path / "hf")
    code = (
        "import os, signal, sys; from pathlib import Path; from training import layout, convert\n"
        "write, left = layout.write, [5]\n"
        "def dying(*arguments):\n"
        "    write(*arguments); left[0] -= 1\n"
        "    if not left[0]: os.kill(os.getpid(), signal.SIGKILL)\n"
        "layout.write = dying\n"
        "convert.import_model(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    line = [sys.executable, "-c", code, str(tmp_path / "hf"), str(tmp_path / "checkpoint")]
    done = subprocess.run(line, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "checkpoint").exists()
    import_model(tmp_path / "hf", tmp_path / "checkpoint")  # the next attempt clears up and is whole
    assert sorted(each.name for each in tmp_path.iterdir()) == ["checkpoint", "hf"]
    export_checkpoint(tmp_path / "checkpoint", tmp_path / "back", None)


def test_checkpoints_are_found_in_the_catalog(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path / "hf")
    workspace = Workspace(tmp_path / "W")
    for step in (1, 2):
        facts: dict[str, Any] = {
            "run_id": "R",
            "step": step,
            "tokens_seen": 0,
            "path": f"runs/R/{step}",
            "data_position": 0,
        }
        workspace.write([Checkpoint(checkpoint_id=f"R-{step}", created_at=now(), **facts)])
    workspace.write([CheckpointRemoval(checkpoint_id="R-1", why="keep_last", removed_at=now())])
    import_model(tmp_path / "hf", tmp_path / "W" / "runs" / "R" / "2")
    common = ["--workspace", str(tmp_path / "W"), "--tokenizer", "none"]
    assert export.main(["R-2", str(tmp_path / "out"), *common]) == 0
    assert tensors(tmp_path / "out").keys() == tensors(tmp_path / "hf").keys()
    for name, says in (("R-1", "was removed"), ("R-3", "R-2")):
        assert export.main([name, str(tmp_path / "other"), *common]) == 2
        assert says in capsys.readouterr().err


@pytest.mark.parametrize("wrong", ["--tokenizer", "--trim", "unknown tokenizer"])
def test_wrong_usage_says_what_to_do(tmp_path: Path, wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path / "hf")
    import_model(tmp_path / "hf", tmp_path / "checkpoint")
    more = {
        "--tokenizer": ["--tokenizer", str(tmp_path / "nowhere")],
        "--trim": ["--tokenizer", "none", "--trim-vocabulary"],
        "unknown tokenizer": [],
    }[wrong]
    capsys.readouterr()  # what transformers has said
    assert export.main([str(tmp_path / "checkpoint"), str(tmp_path / "out"), *more]) == 2
    error = capsys.readouterr().err
    assert "--tokenizer" in error
    assert len(error.splitlines()) == 1


def test_every_tensor_has_its_place_once() -> None:
    """Rows of the tensors of a parameter cover it without a gap, in order."""
    sizes = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 6}
    model = {**sizes, "num_key_value_heads": 3, "vocab_size": 7, "tie_word_embeddings": False}
    for _, group in itertools.groupby(llama.origins(model).values(), key=lambda origin: origin.parameter):
        ends = [0]
        for origin in group:
            assert origin.start == ends[-1]
            ends.append(origin.stop)
