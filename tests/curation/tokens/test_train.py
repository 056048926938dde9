"""Tokenizers lose nothing, whatever the script, and the same texts make the same one."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.errors import UserError
from curation.tokens.tokenizer import CONFIG, FILE, Tokenizer, folder_files, open_tokenizer
from curation.tokens.train import ALGORITHMS, BOS, EOS, PAD, UNKNOWN, TrainConfig, from_texts, train
from curation.workspace import Workspace
from tests.curation.commands import ROOT, ask, environment

Copy = Callable[[str], Workspace]
SIZES = {"bpe": 600, "unigram": 600, "wordpiece": 900, "byte": 300, "char": 500}
HARD = (
    "",
    " ",
    "\r\n\t  x  ",
    "e\u0301 ﬁ Å ½",
    "never seen: ξένος 𓀀 \x00\x01 ▁x ##ing <0x41> Ġ",
    f"{EOS} {UNKNOWN}",
    "😀👩‍👩‍👧\ufffd",
    "x" * 5000 + "é" * 300,
)
TEXTS = [path.read_text("utf-8") for path in sorted((ROOT / "curation/demo/pages").glob("??-*.txt"))][::3]
TRAINED = {name: from_texts(name, TEXTS, TrainConfig(name, size)) for name, size in SIZES.items()}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_script_comes_back(algorithm: str, pages: dict[str, str]) -> None:
    made = TRAINED[algorithm]
    texts = [*pages.values(), *HARD]
    ids = made.encode(texts)
    assert made.decode(ids) == texts
    assert max(max(each, default=0) for each in ids) < made.vocab_size <= SIZES[algorithm]
    special = {made.model.token_to_id(token) for token in (EOS, BOS, PAD, UNKNOWN)}
    assert None not in special
    assert not special.intersection(*ids)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back(algorithm: str, text: str) -> None:
    made = TRAINED[algorithm]
    ids = made.encode([text])
    assert made.decode(ids) == [text]
    assert made.model.token_to_id(UNKNOWN) not in ids[0]


@pytest.mark.parametrize("algorithm", ["bpe", "unigram", "wordpiece"])
def test_learned_pieces_save_tokens(algorithm: str) -> None:
    assert len(TRAINED[algorithm].encode(TEXTS[:1])[0]) < 0.75 * len(TEXTS[0].encode())


def test_a_byte_is_its_value(pages: dict[str, str]) -> None:
    text = pages["hi-kuan"]
    assert TRAINED["byte"].encode([text]) == [list(text.encode())]


def test_frequent_characters_are_one_token_and_others_their_bytes() -> None:
    made = from_texts("c", ["aab"], TrainConfig("char", 4 + 256 + 1))
    ids = made.encode(["abé"])[0]
    assert [made.model.id_to_token(each) for each in ids] == ["a", "<0x62>", "<0xC3>", "<0xA9>"]


def test_the_same_in_another_process() -> None:
    code = """
from tests.curation.tokens.test_train import TRAINED
print({name: made.sha256 for name, made in TRAINED.items()})"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True)
    assert done.stdout.strip() == str({name: made.sha256 for name, made in TRAINED.items()})


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_transformers_loads_the_folder(algorithm: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    made = from_texts("t", TEXTS[:4], TrainConfig(algorithm, 700, ("<|user|>",)))
    for name, data in folder_files(made).items():
        (tmp_path / name).write_bytes(data)
    loaded = transformers.AutoTokenizer.from_pretrained(tmp_path)
    named = (loaded.eos_token, loaded.bos_token, loaded.pad_token, loaded.unk_token)
    assert named == (EOS, BOS, PAD, UNKNOWN)
    assert loaded.eos_token_id == made.eos_id
    assert loaded.model_max_length == made.max_length
    assert len(loaded) == made.vocab_size
    text = TEXTS[1]
    assert loaded(text)["input_ids"] == made.encode([text])[0]
    assert loaded.decode(loaded(text)["input_ids"]) == text
    assert loaded("<|user|>")["input_ids"] == [made.model.token_to_id("<|user|>")]


def test_the_command_keeps_a_tokenizer_with_its_lineage(copy: Copy) -> None:
    workspace = copy("w")
    name = train(workspace, "news@1", TrainConfig("bpe", 500))
    made = open_tokenizer(workspace, name)
    assert name == f"news-bpe-500-{made.sha256[:12]}"
    assert made.sha256 == hashlib.sha256((workspace.root / "models/tokenizers" / name / FILE).read_bytes()).hexdigest()
    assert train(workspace, "news", TrainConfig("bpe", 500)) == name
    found = ask(
        workspace.root,
        "SELECT r.kind, r.status, d.name, x.stage FROM run_dataset x JOIN run r USING (run_id) JOIN dataset d "
        "USING (dataset_id)",
    )
    assert found == [{"kind": "tokenizer", "status": "done", "name": "news", "stage": "tokenizer"}] * 2


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"algorithm": "bbpe"}, "unknown --algorithm 'bbpe'; valid: bpe, byte, char, unigram, wordpiece"),
        ({"vocab_size": 259}, "--vocab-size 259: all bytes and the special tokens take 260"),
        ({"algorithm": "wordpiece", "vocab_size": 300}, "take 516"),
        ({"special": ("<a>", "<a>")}, "--special <a> <a>: a token is empty, given twice"),
        ({"special": (EOS,)}, "--special"),
        ({"special": (" ",)}, "--special"),
    ],
)
def test_wrong_options(config: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TrainConfig(**config)  # type: ignore[arg-type]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_no_text_is_no_tokenizer(algorithm: str) -> None:
    with pytest.raises(UserError, match="no text"):
        from_texts("t", [], TrainConfig(algorithm, 600))


# ---- tokenizers of others --------------------------------------------------------------------------


def write(folder: Path, made: Tokenizer, config: object) -> Path:
    folder.mkdir()
    (folder / FILE).write_bytes(made.json)
    if config is not None:
        (folder / CONFIG).write_text(json.dumps(config))
    return folder


def test_found_by_name_folder_and_file(copy: Copy, tmp_path: Path) -> None:
    workspace = copy("w")
    small = open_tokenizer(workspace, "small")
    assert open_tokenizer(workspace, small.name).sha256 == small.sha256
    folder = write(tmp_path / "mine", small, {"eos_token": {"content": PAD}, "model_max_length": 512})
    mine = open_tokenizer(workspace, str(folder))
    assert (mine.name, mine.sha256, mine.max_length) == ("mine", small.sha256, 512)
    assert mine.eos_id == small.model.token_to_id(PAD)
    assert open_tokenizer(workspace, str(folder / FILE)).eos_id == mine.eos_id
    bare = write(tmp_path / "bare", small, None)
    assert open_tokenizer(workspace, str(bare)).eos_id == small.eos_id  # a usual name


def test_settings_of_others_do_not_cut_or_add(tmp_path: Path) -> None:
    from tokenizers import Tokenizer as Model
    from tokenizers.processors import TemplateProcessing

    model = Model.from_str(TRAINED["bpe"].json.decode())
    model.enable_truncation(3)
    model.enable_padding(length=10)
    model.post_processor = TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, model.token_to_id(BOS))])
    (tmp_path / FILE).write_text(model.to_str())
    opened = open_tokenizer(Workspace(tmp_path / "w"), str(tmp_path))
    assert opened.encode([TEXTS[0], "a"]) == TRAINED["bpe"].encode([TEXTS[0], "a"])


def test_wrong_tokenizers(copy: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = copy("w")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.json").write_text("{}")
    wrong = write(tmp_path / "wrong", TRAINED["bpe"], {"eos_token": "<none>"})
    for reference, message in (
        (str(tmp_path / "empty"), f"has no {FILE}"),
        (str(tmp_path / "broken.json"), "is not one of Hugging Face's tokenizers"),
        (str(tmp_path / "absent/x/y"), "no such folder or file; in the workspace: small-"),
        ("nobody/nothing", "hub does not give it .*; without a network copy its tokenizer.json"),
    ):
        with pytest.raises(UserError, match=message):
            open_tokenizer(workspace, reference)
    with pytest.raises(UserError, match=r"has no token <none>; say which it is in its tokenizer_config\.json"):
        open_tokenizer(workspace, str(wrong)).eos_id  # noqa: B018
    other = workspace.root / "models/tokenizers/small-000000000000"
    write(other, TRAINED["bpe"], {})
    with pytest.raises(UserError, match="there are several; name one: small-000000000000, small-"):
        open_tokenizer(workspace, "small")
