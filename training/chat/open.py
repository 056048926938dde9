"""Chats of a configuration, opened: tokenizer, template, files, and the steps that they make."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from curation.errors import UserError
from curation.steps.common import document_id
from curation.tokens.tokenizer import read_folder
from curation.workspace import Workspace, write_durably
from training.chat.config import FinetuneConfig
from training.chat.data import ChatData
from training.chat.examples import ChatEncoder, ChatSet, read_chats
from training.chat.options import resolve
from training.chat.templates import BUILT_IN, CHATML_TOKENS, find_template
from training.config import ModelConfig
from training.convert import TOKENIZER_FILES

_MOST_NAMED = 5
"""Lines that the message of files without a usable one names."""
TEMPLATE = "chat_template.jinja"


def open_chats(
    workspace: Workspace,
    config: FinetuneConfig,
    model: ModelConfig,
    rows: int,
    tokenizer: Path,
    facts: Mapping[str, Any],
    files: Sequence[Path],
    validation: Sequence[Path],
) -> tuple[ChatData, str]:
    """The data of a run, and the source of its template.

    Args:
        workspace: what is taken down there is not learned from.
        model: of the base.
        rows: of its embedding.
        tokenizer: folder of its tokenizer.
        facts: what checkpoints say of the model beside its sizes.
        files, validation: as ``data.files`` and ``data.validation_files`` name them.

    Raises:
        UserError: a file cannot be read, no line of it can be learned from, or the tokenizer or template do not fit.
    """
    from transformers import AutoTokenizer

    source = find_template(config.data.chat_template, tokenizer)
    plain = read_folder(tokenizer.name, tokenizer)
    if plain.vocab_size > rows:
        raise UserError(f"{tokenizer}: has {plain.vocab_size:,} tokens, and the base {rows:,} rows; it is of another")
    if source == BUILT_IN["chatml"]:
        lacking = [each for each in CHATML_TOKENS if plain.model.token_to_id(each) is None]
        if lacking:
            raise UserError(
                f"data.chat_template: chatml needs the token {lacking[0]}, which the base's tokenizer has not; use "
                "plain, or a Jinja file of your own"
            )
    encoder = ChatEncoder(AutoTokenizer.from_pretrained(tokenizer), source, config.data.turns == "last")
    longest = config.batch.sequence_length + 1
    gone = taken_down(workspace)
    chats = _without(gone, read_chats(files, encoder, longest, config.data.truncate))
    held_out = _without(gone, read_chats(validation, encoder, longest, config.data.truncate))
    for name, found in (("files", chats), ("validation_files", held_out)):
        if found.files and len(found.examples) == len(found.hidden):
            raise _nothing_left(name, found)
    if config.data.pair_weight and all(each.pair is None for each in chats.examples):
        raise UserError(
            f"data.pair_weight: {config.data.pair_weight:g}, but no two lines that can be learned from share a pair; "
            "give pairs in the files, or leave it out"
        )
    data = ChatData(
        config=resolve(config, model, 0),
        asked=config.data,
        chats=chats,
        validation=held_out,
        vocab_size=rows,
        eos_id=plain.eos_id,
        epochs=None if config.batch.steps is not None else config.batch.epochs or 1,
        model_facts=facts,
    )
    steps = data.order.steps if config.batch.steps is None else config.batch.steps
    return replace(data, config=resolve(config, model, steps)), source


def taken_down(workspace: Workspace) -> set[str]:
    """Ids of the documents that are not to be learned from."""
    hits = {row["document_id"] for row in workspace.rows("tombstone_hit")}
    return hits | {row["value"] for row in workspace.rows("tombstone") if row["what"] == "id"}


def _without(gone: set[str], chats: ChatSet) -> ChatSet:
    hidden = {
        index
        for index, each in enumerate(chats.examples)
        if gone and document_id(chats.files[each.file].sha256, each.offset, 0) in gone
    }
    return replace(chats, hidden=frozenset(hidden))


def _nothing_left(name: str, found: ChatSet) -> UserError:
    counts = ", ".join(f"{reason.removeprefix('refused: ')} {count}" for reason, count in found.table()[2:])
    lines = [found.message(each) for each in found.refusals[:_MOST_NAMED]]
    more = len(found.refusals) - len(lines)
    lines += [f"and {more} more"] if more else []
    said = f" ({counts}):\n  " + "\n  ".join(lines) if lines else "; it is empty"
    return UserError(f"data.{name}: none of {found.lines} lines can be learned from{said}")


def keep_tokenizer(source: Path, folder: Path, template: str | None = None) -> None:
    """Copy a tokenizer into a folder, with another template if one is given; what is there already is of the same
    run."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            write_durably(folder / name, (source / name).read_bytes())
    if template is not None:
        write_durably(folder / TEMPLATE, template.encode())


def template_sha256(source: str) -> str:
    """What identifies a template."""
    return hashlib.sha256(source.encode()).hexdigest()
