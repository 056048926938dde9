"""Tokenizers trained on the texts of a dataset, with Hugging Face's ``tokenizers``.

All of them lose nothing: BPE works on bytes (Radford et al. 2019); Unigram (Kudo 2018,
https://aclanthology.org/P18-1007) and WordPiece (Schuster and Nakajima 2012) work on characters that stand for bytes,
so that no byte is unknown; ``byte`` is UTF-8 itself, and ``char`` the characters seen, with a byte for each other one.
"""

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.catalog import open_catalog, rows
from curation.dataset import documents, find_texts, members
from curation.errors import UserError, unknown_name
from curation.recorded import recorded_run
from curation.records import RunDataset
from curation.tokens.tokenizer import MODELS, Tokenizer, from_json, keep_folder
from curation.workspace import Workspace

if TYPE_CHECKING:
    import tokenizers

RUN_KIND = "tokenizer"
EOS, BOS, PAD, UNKNOWN = "<|endoftext|>", "<|startoftext|>", "<|padding|>", "<|unknown|>"
_RESERVED = (EOS, BOS, PAD, UNKNOWN)
_BYTES = 256
_CONTINUES = "▁"
_LONGEST_WORD = 100


@dataclass(frozen=True)
class TrainConfig:
    """How a tokenizer is trained."""

    algorithm: str = "bpe"
    """``bpe``, ``unigram``, ``wordpiece``, ``byte`` or ``char``."""
    vocab_size: int = 32_000
    """Most tokens, the special ones among them; ``byte`` always has 256 and the special ones."""
    special: tuple[str, ...] = ()
    """Tokens of one's own, beside the four that every tokenizer has. (Nothing is drawn at random: there is no seed.)"""

    def __post_init__(self) -> None:
        if self.algorithm not in ALGORITHMS:
            raise unknown_name("--algorithm", self.algorithm, ALGORITHMS)
        special = [*_RESERVED, *self.special]
        if len(set(special)) < len(special) or not all(each.strip() for each in special):
            raise UserError(f"--special {' '.join(self.special)}: a token is empty, given twice, or one of {_RESERVED}")
        least = len(special) + _BYTES * (2 if self.algorithm == "wordpiece" else 1)
        if self.vocab_size < least:
            raise UserError(f"--vocab-size {self.vocab_size}: all bytes and the special tokens take {least}")


def train(workspace: Workspace, reference: str, config: TrainConfig, name: str | None = None) -> str:
    """Train a tokenizer on a dataset, without what is taken down; it is kept in the workspace.

    Args:
        name: none: the dataset's, with the algorithm and the size.

    Returns:
        Its name there, ``<name>-<first 12 digits of its sha256>``.

    Raises:
        UserError: no such dataset, no text in it, or a wrong name.
    """
    with open_catalog(workspace) as connection:
        source = find_texts(connection, reference)
        shards = [shard["shard_id"] for shard in members(connection, source["dataset_id"])]
        taken_down = rows(connection, "SELECT count(*) AS n FROM tombstone")[0]["n"]
    name = name or f"{source['name']}-{config.algorithm}-{config.vocab_size}"
    if not all(c.isalnum() or c in "-_." for c in name):
        raise UserError(f"--name {name!r}: letters, digits, '-', '_' and '.' only")
    asked = {
        "name": name,
        "dataset_id": source["dataset_id"],
        "shards": len(shards),
        "taken_down": taken_down,
        "algorithm": config.algorithm,
        "vocab_size": config.vocab_size,
        "special": list(config.special),
    }
    with recorded_run(workspace, RUN_KIND, asked, packages=("sentencepiece",)) as run_id:
        workspace.write([RunDataset(run_id=run_id, dataset_id=source["dataset_id"], stage=RUN_KIND)], name=run_id)
        reading = documents(workspace, source["dataset_id"])
        texts = (text for batch in reading for text in batch.column("text").to_pylist() if text)
        made = from_texts(name, texts, config)
        kept = f"{name}-{made.sha256[:12]}"
        keep_folder(workspace, made, f"{MODELS}/{kept}")
    return kept


def from_texts(name: str, texts: Iterable[str], config: TrainConfig) -> Tokenizer:
    """A tokenizer trained on texts. The same texts give the same bytes.

    Raises:
        UserError: there is no text.
    """
    seen = _Seen(texts)
    model = ALGORITHMS[config.algorithm](iter(seen), config)
    if not seen.any:
        raise UserError("there is no text to train a tokenizer on")
    special = {"eos_token": EOS, "bos_token": BOS, "pad_token": PAD, "unk_token": UNKNOWN}
    # Written anew, so that what the library keeps in hash maps has one order.
    data = json.dumps(_sorted(json.loads(model.to_str())), indent=1, ensure_ascii=False).encode()
    return from_json(name, data, special)


class _Seen:
    """Texts, and whether there was any."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts, self.any = texts, False

    def __iter__(self) -> Iterator[str]:
        for text in self._texts:
            self.any = True
            yield text


def _sorted(state: dict[str, Any]) -> dict[str, Any]:
    vocabulary = state["model"]["vocab"]
    if isinstance(vocabulary, dict):
        state["model"]["vocab"] = dict(sorted(vocabulary.items(), key=lambda item: item[1]))
    return state


# ---- algorithms ------------------------------------------------------------------------------------


def _special(config: TrainConfig) -> list[Any]:
    from tokenizers import AddedToken

    return [AddedToken(text, special=True, normalized=False) for text in (*_RESERVED, *config.special)]


def _on_bytes(model: Any) -> "tokenizers.Tokenizer":
    """A tokenizer whose model sees each byte of UTF-8 as a character, words split as by GPT-2."""
    from tokenizers import Tokenizer, decoders, pre_tokenizers

    made = Tokenizer(model)
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return made


def _alphabet() -> list[str]:
    from tokenizers.pre_tokenizers import ByteLevel

    return sorted(ByteLevel.alphabet())


def _bpe(texts: Iterator[str], config: TrainConfig) -> "tokenizers.Tokenizer":
    from tokenizers import models, trainers

    made = _on_bytes(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocab_size,
        special_tokens=_special(config),
        initial_alphabet=_alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(texts, trainer)
    return made


def _unigram(texts: Iterator[str], config: TrainConfig) -> "tokenizers.Tokenizer":
    """Trained by SentencePiece on the counted words, because the other library's result changes from run to run."""
    import sentencepiece
    from tokenizers import models

    made = _on_bytes(models.Unigram())
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(word for word, _ in made.pre_tokenizer.pre_tokenize_str(text))
    if not counts:
        return made
    special = _special(config)
    unseen = sorted(set(_alphabet()).difference(*counts))
    with tempfile.TemporaryDirectory(prefix="open-curation-") as folder:
        words = Path(folder, "words.tsv")
        words.write_text("".join(f"{word}\t{count}\n" for word, count in sorted(counts.items())), "utf-8")
        sentencepiece.SentencePieceTrainer.train(
            input=str(words),
            input_format="tsv",
            model_prefix=str(words.with_suffix("")),
            model_type="unigram",
            vocab_size=config.vocab_size - len(special) - len(unseen) + 1,  # its own token for what is unknown
            hard_vocab_limit=False,
            character_coverage=1.0,
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            split_by_unicode_script=False,
            split_by_number=False,
            split_by_whitespace=False,
            bos_id=-1,
            eos_id=-1,
            num_threads=1,
            minloglevel=2,
        )
        pieces = sentencepiece.SentencePieceProcessor(model_file=str(words.with_suffix(".model")))
    scored = [(pieces.id_to_piece(each), pieces.get_score(each)) for each in range(1, pieces.get_piece_size())]
    named = [(token.content, 0.0) for token in special]
    least = min((score for _, score in scored), default=0.0)
    rare = [(each, least - 1.0) for each in unseen]
    made.model = models.Unigram([*named, *scored, *rare], unk_id=_RESERVED.index(UNKNOWN))
    made.add_special_tokens(special)
    return made


def _wordpiece(texts: Iterator[str], config: TrainConfig) -> "tokenizers.Tokenizer":
    """The mark of what continues a word is a character that stands for no byte: "##" may be in a text. Words are cut at
    a length, because the library's search takes its square (and calls longer ones unknown)."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = _on_bytes(models.WordPiece(unk_token=UNKNOWN, max_input_chars_per_word=_LONGEST_WORD))
    made.pre_tokenizer = pre_tokenizers.Sequence([made.pre_tokenizer, pre_tokenizers.FixedLength(_LONGEST_WORD)])
    made.decoder = decoders.Sequence([decoders.Replace(_CONTINUES, ""), decoders.ByteLevel()])
    # Any byte may continue a word, also one that never did; and in this order, else theirs changes from run to run.
    continuing = [_CONTINUES + each for each in _alphabet()]
    trainer = trainers.WordPieceTrainer(
        vocab_size=config.vocab_size,
        special_tokens=[*_special(config), *continuing],
        initial_alphabet=_alphabet(),
        continuing_subword_prefix=_CONTINUES,
        show_progress=False,
    )
    made.train_from_iterator(texts, trainer)
    state = json.loads(made.to_str())
    state["added_tokens"] = [token for token in state["added_tokens"] if token["content"] not in continuing]
    return Tokenizer.from_str(json.dumps(state))


def _byte(texts: Iterator[str], config: TrainConfig) -> "tokenizers.Tokenizer":
    """The id of a byte is its value."""
    from tokenizers import models

    _count(texts)
    made = _on_bytes(models.BPE(vocab={each: number for number, each in enumerate(_byte_characters())}, merges=[]))
    made.add_special_tokens(_special(config))
    return made


def _char(texts: Iterator[str], config: TrainConfig) -> "tokenizers.Tokenizer":
    from tokenizers import Tokenizer, decoders, models

    special = _special(config)
    known = [*(token.content for token in special), *(f"<0x{byte:02X}>" for byte in range(_BYTES))]
    counts = _count(texts)
    frequent = sorted(counts, key=lambda each: (-counts[each], each))
    known += frequent[: config.vocab_size - len(known)]
    vocabulary = {each: number for number, each in enumerate(known)}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[], byte_fallback=True))
    made.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    made.add_special_tokens(special)
    return made


def _count(texts: Iterator[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    return counts


def _byte_characters() -> list[str]:
    """The character that stands for each byte (``bytes_to_unicode`` of GPT-2)."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(_BYTES)]


ALGORITHMS: dict[str, Callable[[Iterator[str], TrainConfig], "tokenizers.Tokenizer"]] = {
    "bpe": _bpe,
    "unigram": _unigram,
    "wordpiece": _wordpiece,
    "byte": _byte,
    "char": _char,
}
