"""A dataset of texts as a dataset of tokens: one token shard for each shard of documents and split.

Each shard of documents is one job, done by one process, whose bytes depend on the documents, the tokenizer and the
split alone. A job that is done is on disk, with a note of it in the run's folder; the same command after a kill goes
on behind the notes.
"""

import contextlib
import fcntl
import hashlib
import importlib.metadata
import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from curation.catalog import open_catalog, refresh, rows
from curation.dataset import find, find_texts, members, shard_documents
from curation.errors import UserError
from curation.recorded import config_hash, recorded_run
from curation.records import Dataset, RunDataset, TokenShard, now
from curation.storage import open_workspace
from curation.tokens import layout
from curation.tokens.tokenizer import Tokenizer, keep_folder, local_folder, open_tokenizer, read_folder
from curation.tokens.write import ShardWriter, Source
from curation.tombstones import Tombstones
from curation.workspace import Workspace, write_durably

RUN_KIND = "tokenize"
BATCH_DOCUMENTS = 256
_COLUMNS = ("id", "url", "domain", "raw_file_id", "record_offset", "record_index", "language", "text")


@dataclass(frozen=True)
class EncodeConfig:
    """How a dataset becomes tokens."""

    validation_share: float = 0.01
    """Share of the documents that are held out, told from their ids."""
    seed: int = 0
    """Which ones."""

    def __post_init__(self) -> None:
        if not 0 <= self.validation_share < 1:
            raise UserError(f"--validation-share {self.validation_share}: must be at least 0 and below 1")


@dataclass(frozen=True)
class Job:
    """What a process does at a time: one shard of documents."""

    workspace: str
    source: Source
    rules: tuple[tuple[str, str], ...]
    """What is taken down."""
    config: EncodeConfig


@dataclass(frozen=True)
class Encoded:
    """What came of it."""

    dataset: str
    """``name@version``."""
    run_id: str
    new: bool
    """False: it was there already."""


def encode(
    workspace: Workspace,
    reference: str,
    tokenizer: str,
    name: str | None = None,
    workers: int = 1,
    config: EncodeConfig = EncodeConfig(),
    tell: Callable[[int, int, int], None] = lambda done, shards, documents: None,
) -> Encoded:
    """Make the tokenized dataset ``name`` (next version) out of a dataset of texts, without what is taken down.

    Args:
        reference: ``NAME``, ``NAME@VERSION`` or id of the texts.
        tokenizer: as ``open_tokenizer`` takes it.
        name: none: the name of the texts with ``-tokens``.
        workers: processes; the result does not depend on it.
        tell: called with the shards done, their number, and the documents done in this attempt.

    Raises:
        UserError: no such dataset or tokenizer, a wrong option, no document, or a process was killed.
    """
    if workers < 1:
        raise UserError(f"--workers {workers}: must be at least 1")
    opened = open_tokenizer(workspace, tokenizer)
    opened.eos_id  # noqa: B018 -- raises where there is none
    with open_catalog(workspace) as connection:
        source = find_texts(connection, reference)
        shards = members(connection, source["dataset_id"])
        tombstones = Tombstones.of(rows(connection, "SELECT what, value FROM tombstone"))
    name = name or f"{source['name']}-tokens"
    if not all(c.isalnum() or c in "-_." for c in name):
        raise UserError(f"--name {name!r}: letters, digits, '-', '_' and '.' only")
    asked = {
        "name": name,
        "dataset_id": source["dataset_id"],
        "shards": _digest([shard["shard_id"] for shard in shards]),
        "taken_down": rules_digest(tombstones),
        "tokenizer": opened.name,
        "tokenizer_sha256": opened.sha256,
        "tokenizers": importlib.metadata.version("tokenizers"),
        **asdict(config),
    }
    with contextlib.ExitStack() as held:
        done, unfinished = _earlier(workspace, config_hash(asked))
        if unfinished is not None:
            held.enter_context(_alone(workspace.run_folder(unfinished[0])))
            done, unfinished = _earlier(workspace, config_hash(asked))  # another process may have done it meanwhile
        if done is not None:
            return Encoded(f"{done['name']}@{done['version']}", done["run_id"], False)
        run_id = held.enter_context(recorded_run(workspace, RUN_KIND, asked, seed=config.seed, resume=unfinished))
        workspace.write([RunDataset(run_id=run_id, dataset_id=source["dataset_id"], stage=RUN_KIND)], name=run_id)
        keep_folder(workspace, opened, f"{layout.folder(run_id)}/{layout.TOKENIZER}")
        sources = (
            Source(run_id, number, shard["shard_id"], shard["path"], shard["language"], opened.name)
            for number, shard in enumerate(shards)
        )
        jobs = [Job(workspace.name, each, tombstones.rules, config) for each in sources]
        _work(workspace, jobs, workers, tell)
        made = [fact for job in jobs for fact in json.loads(_note(workspace, job).read_bytes())]
        if not made:
            raise UserError(f"dataset {reference}: has no document that is not taken down; nothing to encode")
        dataset = _record(workspace, run_id, name, source, opened, made)
        shutil.rmtree(workspace.run_folder(run_id) / "scratch", ignore_errors=True)
    refresh(workspace)
    return Encoded(dataset, run_id, True)


def _digest(values: Any) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def rules_digest(tombstones: Tombstones) -> str:
    """Names what was hidden when a run began."""
    return _digest(tombstones.rules)


def _earlier(workspace: Workspace, wanted: str) -> tuple[dict[str, Any] | None, tuple[str, int] | None]:
    """(dataset that the same command has made, (run id, attempts) of one that did not come to its end)."""
    with open_catalog(workspace) as connection:
        sql = (
            "SELECT r.run_id, r.status, r.attempts, d.name, d.version FROM run r LEFT JOIN dataset d USING (run_id) "
            "WHERE r.kind = ? AND r.config_hash = ? ORDER BY r.run_id DESC"
        )
        runs = rows(connection, sql, [RUN_KIND, wanted])
    for run in runs:
        if run["status"] == "done" and run["name"] is not None:
            return run, None
    for run in runs:
        if run["status"] in ("dead", "failed", "interrupted"):
            return None, (run["run_id"], run["attempts"])
    return None, None


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold an unfinished run: of two that would go on with it the second stops. Raises UserError."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"run {folder.name} is at work in another process; wait for it") from None
        yield


def _note(workspace: Workspace, job: Job) -> Path:
    """Where it is noted that a job is done, and what it made."""
    return workspace.run_folder(job.source.run_id) / "encoded" / f"{job.source.number:06d}.json"


def _record(
    workspace: Workspace,
    run_id: str,
    name: str,
    source: dict[str, Any],
    tokenizer: Tokenizer,
    made: list[dict[str, Any]],
) -> str:
    """Put the dataset on record, its shards first; returns ``name@version``. The id of the run is the dataset's, so
    that a run that was killed here writes the same again."""
    with open_catalog(workspace) as connection:
        sql = "SELECT coalesce(max(version), 0) AS n FROM dataset WHERE name = ? AND dataset_id <> ?"
        version = rows(connection, sql, [name, run_id])[0]["n"] + 1
    shards = [TokenShard(run_id=run_id, dataset_id=run_id, **facts) for facts in made]
    dataset = Dataset(
        dataset_id=run_id,
        name=name,
        version=version,
        parent_dataset_id=source["dataset_id"],
        run_id=run_id,
        why=f"tokens of {source['name']}@{source['version']}",
        tokenizer=tokenizer.name,
        tokenizer_sha256=tokenizer.sha256,
        tokens=sum(shard.tokens for shard in shards),
        created_at=now(),
    )
    workspace.write([*shards, dataset], name=run_id)
    with open_catalog(workspace) as connection:
        return f"{name}@{find(connection, run_id)['version']}"


# ---- processes -------------------------------------------------------------------------------------


def _work(workspace: Workspace, jobs: list[Job], workers: int, tell: Callable[[int, int, int], None]) -> None:
    left = [job for job in jobs if not _note(workspace, job).is_file()]
    done, documents = len(jobs) - len(left), 0
    tell(done, len(jobs), documents)
    for count in _results(left, min(workers, len(left))):
        done, documents = done + 1, documents + count
        tell(done, len(jobs), documents)


def _results(jobs: list[Job], workers: int) -> Iterator[int]:
    """The documents of each job as it gets done."""
    if workers <= 1:
        yield from map(encode_shard, jobs)
        return
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    with ProcessPoolExecutor(workers, context, _begin, (os.getpid(), stop)) as pool:
        try:
            for each in as_completed([pool.submit(encode_shard, job) for job in jobs]):
                yield each.result()
        except BrokenProcessPool as error:
            raise UserError(
                "a process of --workers was killed, for want of memory perhaps; what is encoded stays: give the same "
                "command again, with fewer workers"
            ) from error
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


_stop: Any = None


def _begin(parent: int, stop: Any) -> None:
    """What a worker does first: leave Ctrl-C to the parent, and not outlive it."""
    global _stop
    _stop = stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="parent").start()


@lru_cache(maxsize=1)
def _opened(workspace: str, run_id: str) -> tuple[Workspace, Tokenizer]:
    opened = open_workspace(workspace)
    return opened, read_folder("tokenizer", local_folder(opened, f"{layout.folder(run_id)}/{layout.TOKENIZER}"))


def encode_shard(job: Job) -> int:
    """Do a job: its token shards are at their places, and noted. Returns the number of documents; 0 also when told to
    stop. Raises OSError."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # a process is one worker
    workspace, tokenizer = _opened(job.workspace, job.source.run_id)
    scratch = workspace.run_folder(job.source.run_id) / "scratch" / f"{job.source.number:06d}"
    shutil.rmtree(scratch, ignore_errors=True)
    writers = {split: ShardWriter(scratch / split, job.source, split, tokenizer) for split in layout.SPLITS}
    tombstones = Tombstones(job.rules)
    for batch in shard_documents(workspace, job.source.path, tombstones, BATCH_DOCUMENTS, _COLUMNS):
        if _stop is not None and _stop.is_set():
            return 0
        documents = batch.to_pylist()
        ids = tokenizer.encode([document.pop("text") or "" for document in documents])
        sides: dict[str, list[tuple[dict[str, Any], list[int]]]] = {split: [] for split in layout.SPLITS}
        for document, tokens in zip(documents, ids, strict=True):
            held_out = layout.is_held_out(document["id"], job.config.validation_share, job.config.seed)
            sides["validation" if held_out else "train"].append((document, tokens))
        for split, side in sides.items():
            writers[split].add(side)
    facts = [fact for split in layout.SPLITS if (fact := writers[split].finish(workspace)) is not None]
    note = _note(workspace, job)
    note.parent.mkdir(parents=True, exist_ok=True)
    write_durably(note, json.dumps(facts).encode())
    shutil.rmtree(scratch, ignore_errors=True)
    return sum(fact["documents"] for fact in facts)
