"""The central types: every fact is a record, a frozen dataclass that never changes.

``curation.workspace`` writes them as ``records/<kind>/<name>.json`` and reads them; ``curation.catalog`` makes the
queryable view. This module imports nothing of ours.
"""

import dataclasses
import re
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, ClassVar, get_args, get_type_hints

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
ULID_PATTERN = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")


def new_ulid(at: float | None = None) -> str:
    """A ULID: 48 bits of milliseconds and 80 random bits, sortable by time (github.com/ulid/spec)."""
    milliseconds = int((time.time() if at is None else at) * 1000)
    value = (milliseconds << 80) | secrets.randbits(80)
    return "".join(_CROCKFORD[(value >> shift) & 31] for shift in range(125, -1, -5))


def now() -> datetime:
    """The time now in UTC; ``SOURCE_DATE_EPOCH`` is not consulted: records tell what happened when."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Base of all facts. ``kind`` names the folder and the table."""

    kind: ClassVar[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Record):
    """A command that makes something, as it was asked for. How it went is in ``Attempt`` and ``RunEnd``."""

    kind: ClassVar[str] = "run"
    run_id: str
    run_kind: str
    parent_run_id: str | None = None
    config: str
    """Resolved configuration as JSON, inputs included."""
    config_hash: str
    git_commit: str | None = None
    git_dirty: bool | None = None
    versions: str
    """JSON: package name -> version of what decides the output."""
    seed: int = 0
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt(Record):
    """A process that starts or resumes a run; pid and boot tell a killed one from a running one."""

    kind: ClassVar[str] = "attempt"
    run_id: str
    attempt: int
    host: str
    boot_id: str
    pid: int
    pid_created: float
    """Start time of the process in seconds since the epoch: a reused pid is another process."""
    started_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnd(Record):
    """An attempt that came to its end by itself."""

    kind: ClassVar[str] = "run_end"
    run_id: str
    attempt: int
    status: str
    """``done``, ``failed``, ``interrupted``, or ``pruned``: a sweep has stopped it as it fell behind others."""
    exit_code: int
    why: str | None = None
    finished_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RawFile(Record):
    """An input file of a run. ``records`` is the reader's own count; ``unstored`` and ``quarantined``
    are the writer's."""

    kind: ClassVar[str] = "raw_file"
    raw_file_id: str
    """sha256 of the file's bytes, hexadecimal."""
    run_id: str
    uri: str
    bytes: int
    format: str
    compression: str
    license: str | None = None
    copy_of: str | None = None
    """URI of the byte-identical file that was read instead of this one."""
    records: int = 0
    unstored: int = 0
    """Records counted by reason but kept as no row (requests, WARC metadata, rows of a copy)."""
    quarantined: int = 0
    damaged: bool = False
    """The file could not be read whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard(Record):
    """A Parquet file of documents. ``path`` is relative to the workspace, with forward slashes."""

    kind: ClassVar[str] = "shard"
    shard_id: str
    run_id: str
    path: str
    sha256: str
    shard_kind: str
    """``kept`` or ``rejected``."""
    language: str
    documents: int
    bytes: int
    """Bytes of the file."""
    text_bytes: int
    """UTF-8 bytes of all texts."""
    tokens: int | None = None
    replaces: str | None = None
    """shard_id of the shard that this one took over from (after a take-down)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSource(Record):
    """How many documents of a shard come from a raw file."""

    kind: ClassVar[str] = "shard_source"
    shard_id: str
    raw_file_id: str
    documents: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterCount(Record):
    """Documents rejected by a run, counted by the writer as they passed."""

    kind: ClassVar[str] = "filter_count"
    run_id: str
    step: str
    reason: str
    language: str
    documents: int
    bytes: int
    stored: bool = True
    """False for records that are counted but kept as no row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine(Record):
    """A record that could not be processed: where it lies and why. Never its text."""

    kind: ClassVar[str] = "quarantine"
    run_id: str
    raw_file_id: str
    record_offset: int
    record_index: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Contamination(Record):
    """An item of a test set that a document holds, word for word or nearly."""

    kind: ClassVar[str] = "contamination"
    run_id: str
    document_id: str
    raw_file_id: str
    item_set: str
    item_id: str
    how: str
    """``whole`` (word for word), ``run`` (thirteen words of it) or ``near``."""
    overlap: float
    """Share of the item's words that are there."""
    text_start: int
    text_end: int
    """Its place, in characters of the document's text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset(Record):
    """A named, versioned set of shards."""

    kind: ClassVar[str] = "dataset"
    dataset_id: str
    name: str
    version: int
    parent_dataset_id: str | None = None
    run_id: str | None = None
    why: str | None = None
    tokenizer: str | None = None
    tokenizer_sha256: str | None = None
    tokens: int | None = None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetShard(Record):
    """A shard's membership in a dataset."""

    kind: ClassVar[str] = "dataset_shard"
    dataset_id: str
    shard_id: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenShard(Record):
    """A file of tokens made from one shard of documents, in datatrove's format. ``path`` is relative to the workspace,
    with forward slashes; the table of its documents lies beside it (``curation.tokens.layout``)."""

    kind: ClassVar[str] = "token_shard"
    token_shard_id: str
    run_id: str
    dataset_id: str
    """The tokenized dataset that it belongs to."""
    shard_id: str
    """The shard whose documents it has."""
    path: str
    sha256: str
    documents_sha256: str
    """Of the table of documents."""
    split: str
    """``train`` or ``validation``."""
    language: str
    documents: int
    tokens: int
    """Tokens of the file, the one behind each document included."""
    token_bytes: int
    """Bytes of a token: 2 or 4."""
    bytes: int
    """Bytes of the file of tokens."""
    replaces: str | None = None
    """token_shard_id of the one that this one took over from (after a take-down)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDataset(Record):
    """A dataset that a run reads (tokenizing, training)."""

    kind: ClassVar[str] = "run_dataset"
    run_id: str
    dataset_id: str
    stage: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tombstone(Record):
    """A request to take documents down. It hides what it matches at once, and in every later run."""

    kind: ClassVar[str] = "tombstone"
    tombstone_id: str
    what: str
    """``id``, ``url``, ``domain`` or ``pattern`` (a regular expression searched in the URL)."""
    value: str
    why: str
    requested_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TombstoneHit(Record):
    """A document that a tombstone hides, and the shard that held it."""

    kind: ClassVar[str] = "tombstone_hit"
    tombstone_id: str
    document_id: str
    shard_id: str
    raw_file_id: str
    record_offset: int
    record_index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRemoval(Record):
    """A shard that is gone from disk without a successor: a take-down left no document in it. A shard
    with some left is succeeded by one that ``replaces`` it, which is on record in one stroke."""

    kind: ClassVar[str] = "shard_removal"
    shard_id: str
    why: str
    removed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint(Record):
    """A model's weights behind a step of a training run."""

    kind: ClassVar[str] = "checkpoint"
    checkpoint_id: str
    run_id: str
    step: int
    tokens_seen: int
    """Tokens that were predicted on the way to it, each time anew."""
    path: str
    """Its folder, relative to the workspace."""
    weights_sha256: str | None = None
    """Over names and sha256 of the files of its weights; null where nobody has hashed them."""
    data_position: int
    """Index, in the order of the run's data, of the sample that comes next."""
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointRemoval(Record):
    """A checkpoint whose files are gone, by the rule of its run."""

    kind: ClassVar[str] = "checkpoint_removal"
    checkpoint_id: str
    why: str
    removed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointClaim(Record):
    """A run (an audit) that needs a checkpoint until it has ended: the checkpoint is not removed before."""

    kind: ClassVar[str] = "checkpoint_claim"
    checkpoint_id: str
    run_id: str
    claimed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial(Record):
    """A trial of a sweep, as it was drawn; it is a run of its own, unless its configuration was refused."""

    kind: ClassVar[str] = "trial"
    trial_id: str
    sweep_run_id: str
    number: int
    """From 0, in the order in which they were drawn."""
    run_id: str
    """The run that it is, whose parent is the sweep."""
    parameters: str
    """JSON: name -> value, as drawn."""
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialEnd(Record):
    """How a trial ended."""

    kind: ClassVar[str] = "trial_end"
    trial_id: str
    sweep_run_id: str
    status: str
    """``done``, ``pruned`` or ``failed``."""
    value: float | None = None
    """Loss over everything held out: of the last step, or of the step at which it was pruned."""
    step: int | None = None
    """The step of ``value``."""
    why: str | None = None
    finished_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeMetric(Record):
    """What a figure of a probe means."""

    kind: ClassVar[str] = "probe_metric"
    probe_id: str
    version: str
    metric: str
    ideal: float | None = None
    """The value without bias (1 for a ratio, .5 for a preference); null where there is none."""
    unit: str
    probe_kind: str
    """``bias``, ``misuse``, ``quality`` or ``data``; the column ``kind`` of the catalog."""
    source: str
    """Where the method is published."""
    license: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding(Record):
    """A figure that an audit found, with what is known of its uncertainty."""

    kind: ClassVar[str] = "finding"
    finding_id: str
    run_id: str
    """The audit."""
    subject_kind: str
    """What was audited: ``run``, ``dataset``, ``checkpoint``, or ``model`` (which is not in the workspace)."""
    subject_id: str
    baseline_id: str | None = None
    """What it was compared with, of the same kind as the subject."""
    probe_id: str
    version: str
    metric: str
    language: str | None = None
    """``eng_Latn``; null: all languages."""
    group_name: str | None = None
    value: float | None = None
    """Null where it was not scored; never 0 instead."""
    ci_low: float | None = None
    ci_high: float | None = None
    ci_method: str | None = None
    n: int | None = None
    mde: float | None = None
    """What this sample would have found, in the unit of the value (power .8)."""
    p_value: float | None = None
    p_adjusted: float | None = None
    scorer: str | None = None
    status: str
    """``scored``, ``not_scored`` or ``not_run``."""
    why: str | None = None


RECORD_TYPES: dict[str, type[Record]] = {
    cls.kind: cls
    for cls in (
        *(Run, Attempt, RunEnd, RawFile, Shard, ShardSource, FilterCount, Quarantine, Contamination),
        *(Dataset, DatasetShard, TokenShard, RunDataset, Tombstone, TombstoneHit, ShardRemoval),
        *(Checkpoint, CheckpointRemoval, CheckpointClaim, Trial, TrialEnd),
        *(ProbeMetric, Finding),
    )
}


@cache
def columns(kind: str) -> dict[str, type]:
    """Column name -> Python type (``str``, ``int``, ``float``, ``bool``, ``datetime``) of a record kind."""
    record_type = RECORD_TYPES[kind]
    plain: dict[str, type] = {}
    hints = get_type_hints(record_type)
    for field in dataclasses.fields(record_type):
        hint = hints[field.name]
        options = [option for option in get_args(hint) if option is not type(None)]
        plain[field.name] = options[0] if options else hint
    return plain


def to_row(record: Record) -> dict[str, Any]:
    """The record as a dict of JSON values; times as ISO 8601 in UTC."""
    row: dict[str, Any] = {}
    for name in columns(record.kind):
        value = getattr(record, name)
        row[name] = value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value
    return row
