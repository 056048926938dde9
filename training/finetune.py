"""``torchrun ... -m training.finetune``: a checkpoint or Hugging Face Llama, and chats -> a model that answers so."""

import json
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.errors import EXIT_DONE, EXIT_SOME_FAILED, UserError
from training.command import leave, run_command

if TYPE_CHECKING:
    from training.base import Base
    from training.chat.data import ChatData
    from training.chat.options import FinetuneRequest
    from training.job import Job

log = logging.getLogger("training")
KIND = "finetune"
REPORT = "refused.jsonl"
"""File of a run's folder: the lines that it does not learn from, and why."""
_MOST_LOGGED = 20


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code."""
    return run_command(lambda: _run(sys.argv[1:] if argv is None else argv))


def _run(argv: Sequence[str]) -> int:
    from training.chat.options import parse
    from training.session import train_job

    request = parse(argv)
    job = prepare(request, tell=os.environ.get("RANK", "0") == "0")
    if request.dry_run:
        show(job, request)
        return EXIT_SOME_FAILED if job.refused else EXIT_DONE
    return train_job(job)


def prepare(request: "FinetuneRequest", tell: bool = True) -> "Job":
    """Everything that is to be known before processes are joined.

    Args:
        tell: print the counts of lines, and log those that are left out.

    Raises:
        UserError: wrong data or base, or they do not go together.
    """
    from training.base import find_base
    from training.checks import check
    from training.job import open_training_workspace, world_size

    workspace, config = open_training_workspace(request.workspace), request.config
    for name in (*config.data.files, *config.data.validation_files):
        if not Path(name).is_file():
            raise UserError(f"data: {name}: no such file; name a JSONL file of chats")
    base = find_base(workspace, config.base, config.model)
    longest = int(base.facts["model"].get("max_position_embeddings", 0))
    if tell and config.batch.sequence_length > longest:
        log.warning("batch.sequence_length: the base has seen %d tokens at most; it has to learn more", longest)
    facts = {**base.facts, "model": {**base.facts["model"], "max_position_embeddings": longest}}
    facts["model"]["max_position_embeddings"] = max(longest, config.batch.sequence_length)
    job = (_of_chats if config.data.files else _of_datasets)(request, base, facts, tell)
    job = replace(job, resume=request.resume)
    check(
        job.config,
        world_size=None if request.dry_run else world_size(),
        vocab_size=job.rows,
        datasets=bool(config.data.datasets),
    )
    return job


def _job(request: "FinetuneRequest", base: "Base", data: Any, **fields: Any) -> "Job":
    from training.job import Job, open_training_workspace

    return Job(
        workspace=open_training_workspace(request.workspace),
        kind=KIND,
        config=data.config,
        data=data,
        rows=base.rows,
        weights=base.folder,
        parent=base.run_id,
        pair_weight=request.config.data.pair_weight,
        validate_first=True,
        **fields,
    )


def _described(request: "FinetuneRequest", base: "Base", steps: int, order: str) -> dict[str, Any]:
    """What is put on record; ``training.runs`` reads it."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(request.config)))
    plain["base"] = base.name
    return {
        "config": plain,
        "base": {"checkpoint": base.checkpoint_id},
        "model": asdict(base.model),
        "steps": steps,
        "order": order,
        "vocab_size": base.rows,
        "places": {"base": str(base.folder)},
    }


def _of_chats(request: "FinetuneRequest", base: "Base", facts: dict[str, Any], tell: bool) -> "Job":
    from training.chat.open import keep_tokenizer, open_chats, template_sha256
    from training.chat.record import register
    from training.convert import TOKENIZER
    from training.job import open_training_workspace

    asked = request.config.data
    paths = [[Path(name) for name in names] for names in (asked.files, asked.validation_files)]
    workspace = open_training_workspace(request.workspace)
    data, template = open_chats(workspace, request.config, base.model, base.rows, base.tokenizer, facts, *paths)
    if tell:
        _tell(data)
    described = _described(request, base, data.config.batch.steps, data.fingerprint)
    for name, chats in (("files", data.chats), ("validation_files", data.validation)):
        described["config"]["data"][name] = [file.sha256 for file in chats.files]
    described["config"]["data"]["chat_template"] = template_sha256(template)
    for chats in (data.chats, data.validation):
        described["places"] |= {file.sha256: str(file.path) for file in chats.files}

    def begin(folder: Path) -> list[tuple[str, float]]:
        keep_tokenizer(base.tokenizer, folder / TOKENIZER, template)
        _write_report(data, folder / REPORT)
        return [(each, 1.0) for each in dict.fromkeys(register(workspace, file) for file in data.chats.files)]

    refused = len(data.chats.refusals) + len(data.validation.refusals)
    return _job(request, base, data, described=described, prepare=begin, refused=refused)


def _of_datasets(request: "FinetuneRequest", base: "Base", facts: dict[str, Any], tell: bool) -> "Job":
    from curation.tokens.tokenizer import read_folder
    from training.chat.open import keep_tokenizer
    from training.chat.options import resolve
    from training.convert import TOKENIZER
    from training.data import open_data
    from training.job import open_training_workspace

    config, workspace = request.config, open_training_workspace(request.workspace)
    data = open_data(workspace, resolve(config, base.model, 0))
    ours = read_folder(base.tokenizer.name, base.tokenizer)
    if data.datasets[0].tokenizer_sha256 != ours.sha256:
        raise UserError(
            f"data.datasets: {config.data.datasets[0].dataset} has another tokenizer than the base; encode it with "
            f"that: python -m curation.tokens encode NAME --tokenizer {base.tokenizer}"
        )
    steps = config.batch.steps
    if steps is None:
        steps = -(-sum(data.order.sequences) * (config.batch.epochs or 1) // config.batch.global_batch_size)
    data = replace(data, config=resolve(config, base.model, steps), model_facts=facts, own_tokenizer=True)
    described = _described(request, base, steps, data.order.fingerprint)
    entries = config.data.datasets
    members = [(each.dataset_id, entry.weight) for each, entry in zip(data.datasets, entries, strict=True)]
    described["config"]["data"]["datasets"] = [{"dataset": each, "weight": weight} for each, weight in members]

    def begin(folder: Path) -> list[tuple[str, float]]:
        keep_tokenizer(base.tokenizer, folder / TOKENIZER)
        return members

    return _job(request, base, data, described=described, prepare=begin)


def _tell(data: "ChatData") -> None:
    """What became of the lines: counts on stdout, and the first of those left out in the log."""
    for name, chats in (("", data.chats), ("validation: ", data.validation)):
        rows = [(f"{name}{what}", count) for what, count in chats.table()] if chats.files else []
        for what, count in rows:
            print(f"{what:<32}{count:>10,}")
        for refusal in chats.refusals[:_MOST_LOGGED]:
            log.warning("%s", chats.message(refusal))
        if len(chats.refusals) > _MOST_LOGGED:
            log.warning("and %d more, all in %s of the run's folder", len(chats.refusals) - _MOST_LOGGED, REPORT)
    layout = data.layout
    log.info(
        "%d chats in %d sequences of %d tokens, of which %d are learned; none sees another",
        len(layout.examples),
        len(layout.packed),
        data.longest,
        int(layout.learned.sum()),
    )


def _write_report(data: "ChatData", path: Path) -> None:
    from curation.workspace import write_durably

    lines = [
        {"file": str(chats.files[each.file].path), "line": each.line, "reason": each.reason, "what": each.what}
        for chats in (data.chats, data.validation)
        for each in chats.refusals
    ]
    write_durably(path, "".join(json.dumps(line) + "\n" for line in lines).encode())


def show(job: "Job", request: "FinetuneRequest") -> None:
    """What would be trained: sizes, stages, and the resolved configuration."""
    import yaml

    from curation.options import to_dict
    from training.engine.topology import stages
    from training.plan import plan, table

    blocks = stages(job.config, job.rows)
    rows = table(plan(job.config, job.rows, blocks))
    rows.append(("blocks of each stage", ", ".join(map(str, blocks))))
    width = max(len(name) for name, _ in rows)
    print("\n".join(f"{name:<{width}}  {value:>16}" for name, value in rows))
    print()
    print(yaml.safe_dump(to_dict(request.config), sort_keys=False, allow_unicode=True), end="")
    split = job.config.parallelism
    processes = split.data * split.tensor * split.pipeline
    launcher = f"torch.distributed.run --nproc_per_node={processes} -m " if processes > 1 else ""
    print(f"next: python -m {launcher}training.finetune, with the same options but --dry-run")


if __name__ == "__main__":
    leave(main())
