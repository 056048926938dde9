"""Tokenizers: found by name or path, and kept as folders that Hugging Face's ``AutoTokenizer`` loads.

A tokenizer is its ``tokenizer.json``, whose sha256 is its identity. Those of a workspace are in
``models/tokenizers/<name>-<first 12 digits of the sha256>``.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.errors import UserError
from curation.workspace import Workspace, write_durably

if TYPE_CHECKING:
    import tokenizers

MODELS = "models/tokenizers"
ROLES = ("bos_token", "eos_token", "unk_token", "pad_token")
FILE, CONFIG, SPECIAL = "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"
FILES = (FILE, CONFIG, SPECIAL)
LONGEST = 1_000_000
"""``model_max_length``: a tokenizer limits no length, and without a number some programs crash on long texts."""
CHARACTERS_AT_ONCE = 2**21
"""Characters that are encoded at a time."""
_USUAL_EOS = ("<|endoftext|>", "</s>", "<eos>", "<|end_of_text|>", "<|im_end|>")


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer and what is known of it."""

    name: str
    """Its name in the workspace, else that of its folder."""
    sha256: str
    json: bytes
    """``tokenizer.json``."""
    special: Mapping[str, str]
    """``eos_token`` and the like -> the token."""
    max_length: int
    model: "tokenizers.Tokenizer"

    @property
    def vocab_size(self) -> int:
        """One more than the largest token id: what an embedding needs."""
        return max(self.model.get_vocab(with_added_tokens=True).values()) + 1

    @property
    def eos_id(self) -> int:
        """The token that ends a document.

        Raises:
            UserError: it has none.
        """
        eos = self.special.get("eos_token")
        found = None if eos is None else self.model.token_to_id(eos)
        if found is None:
            wrong = "names no token that ends a text" if eos is None else f"has no token {eos}"
            raise UserError(f"tokenizer {self.name}: {wrong}; say which it is in its {CONFIG}: {{'eos_token': '...'}}")
        return found

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Token ids of texts as they stand, without any token that a model would want around them."""
        ids: list[list[int]] = []
        for part in _parts(texts):
            ids += [each.ids for each in self.model.encode_batch_fast(part, add_special_tokens=False)]
        return ids

    def decode(self, ids: list[list[int]]) -> list[str]:
        """The texts of token ids, with whatever special tokens are among them."""
        texts: list[str] = self.model.decode_batch(ids, skip_special_tokens=False)
        return texts


def _parts(texts: list[str]) -> Iterator[list[str]]:
    """Texts in groups of limited length: what the library makes of a text takes many times its memory."""
    group: list[str] = []
    size = 0
    for text in texts:
        if group and size + len(text) > CHARACTERS_AT_ONCE:
            yield group
            group, size = [], 0
        group.append(text)
        size += len(text)
    if group:
        yield group


def from_json(name: str, data: bytes, config: Mapping[str, Any] | None = None) -> Tokenizer:
    """A tokenizer out of the bytes of its ``tokenizer.json`` and its configuration.

    Raises:
        UserError: the bytes are no tokenizer.
    """
    import tokenizers

    config = config or {}
    try:
        model = tokenizers.Tokenizer.from_buffer(data)
    except Exception as error:  # the library raises plain ones
        raise UserError(f"tokenizer {name}: {FILE} is not one of Hugging Face's tokenizers: {error}") from error
    model.no_truncation()  # a text is encoded whole, whatever the file says
    model.no_padding()
    model.encode_special_tokens = True  # "<|endoftext|>" in a text is text: nobody else can end a document
    special = {role: text for role in ROLES if (text := _text_of(config.get(role)))}
    if "eos_token" not in special:
        found = [token for token in _USUAL_EOS if model.token_to_id(token) is not None]
        special |= {"eos_token": found[0]} if found else {}
    length = config.get("model_max_length")
    if not isinstance(length, int) or not 0 < length < 2**31:
        length = LONGEST
    return Tokenizer(name, hashlib.sha256(data).hexdigest(), data, special, length, model)


def _text_of(token: Any) -> str | None:
    """A token as configurations have it: its text, or an object with it."""
    text = token.get("content") if isinstance(token, Mapping) else token
    return text if isinstance(text, str) and text else None


def folder_files(tokenizer: Tokenizer) -> dict[str, bytes]:
    """Name -> bytes of the files of a tokenizer's folder."""
    special = dict(tokenizer.special)
    config = {
        **special,
        "add_bos_token": False,
        "add_eos_token": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": tokenizer.max_length,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    return {FILE: tokenizer.json, CONFIG: _json(config), SPECIAL: _json(special)}


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def keep_folder(workspace: Workspace, tokenizer: Tokenizer, folder: str) -> None:
    """Write a tokenizer into a folder of the workspace; ``tokenizer.json``, which makes it one, comes last."""
    (workspace.root / folder).mkdir(parents=True, exist_ok=True)
    for name, data in reversed(folder_files(tokenizer).items()):
        write_durably(workspace.root / folder / name, data)
        workspace.keep_shard(f"{folder}/{name}")


def local_folder(workspace: Workspace, folder: str) -> Path:
    """Where a tokenizer of the workspace is on this machine. Raises FileNotFoundError."""
    return [workspace.local_file(f"{folder}/{name}") for name in reversed(FILES)][-1].parent


def read_folder(name: str, folder: Path) -> Tokenizer:
    """The tokenizer in a folder. Raises UserError where it is none, OSError where it cannot be read."""
    config: dict[str, Any] = {}
    for each in (SPECIAL, CONFIG):
        if (folder / each).is_file():
            try:
                config |= json.loads((folder / each).read_bytes())
            except (ValueError, TypeError) as error:
                raise UserError(f"{folder / each}: is no JSON object: {error}") from error
    return from_json(name, (folder / FILE).read_bytes(), config)


def names(workspace: Workspace) -> list[str]:
    """The tokenizers of a workspace, ``name-<12 digits>``."""
    paths = (path.split("/") for path in workspace.files(MODELS))
    return sorted(parts[2] for parts in paths if len(parts) == 4 and parts[3] == FILE)


def open_tokenizer(workspace: Workspace, reference: str) -> Tokenizer:
    """A tokenizer by its name in the workspace, by the path of its folder or ``tokenizer.json``, or by its name on
    Hugging Face's hub.

    Raises:
        UserError: there is none of this name, or several; the message says what there is.
    """
    known = names(workspace)
    found = [name for name in known if reference in (name, name.rpartition("-")[0])]
    if len(found) > 1:
        raise UserError(f"--tokenizer {reference}: there are several; name one: {', '.join(found)}")
    if found:
        return read_folder(found[0], local_folder(workspace, f"{MODELS}/{found[0]}"))
    path = Path(reference)
    if path.is_dir():
        if not (path / FILE).is_file():
            raise UserError(f"--tokenizer {reference}: that folder has no {FILE}")
        return read_folder(path.resolve().name, path)
    if path.is_file():
        if path.name == FILE:
            return read_folder(path.resolve().parent.name, path.parent)
        return from_json(path.stem, path.read_bytes())
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", reference) or reference.startswith((".", "/")):
        raise UserError(f"--tokenizer {reference}: no such folder or file; in the workspace: {_listed(known)}")
    return _from_hub(reference, known)


def _listed(known: list[str]) -> str:
    return ", ".join(known) or "none yet (python -m curation.tokens train makes one)"


def _from_hub(reference: str, known: list[str]) -> Tokenizer:
    from huggingface_hub import hf_hub_download

    found: dict[str, Path] = {}
    for name in FILES:
        try:
            found[name] = Path(hf_hub_download(reference, name))
        except Exception as error:  # of requests, of the hub, of files: all mean that it is not to be had
            if name == FILE:
                raise UserError(
                    f"--tokenizer {reference}: none of the workspace's ({_listed(known)}), no folder or file, and "
                    f"Hugging Face's hub does not give it ({str(error).splitlines()[0][:150]}); without a network copy "
                    f"its {FILE} and {CONFIG} into a folder, and name that"
                ) from error
    return read_folder(reference.rpartition("/")[2], found[FILE].parent)
