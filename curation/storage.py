"""Workspaces on object storage: the truth as objects, and what is disposable or in work in a local folder.

``open_workspace`` is what commands use. For ``s3://bucket/prefix`` records, shards and index are objects below that
URL. A working folder on this machine, ``$OPEN_CURATION_HOME/workspaces/NAME-HASH``, holds the runs that are at
work, the catalog, and mirrors of record and index files; of shards only those that are being written. It can
be deleted whenever no run is at work or to be resumed.
"""

import contextlib
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

from curation.errors import UserError
from curation.objects import ObjectStore, changed_at, checked_url, stamp
from curation.records import RECORD_TYPES, new_ulid
from curation.sources.glob import has_magic
from curation.sources.location import is_url, local_path
from curation.workspace import RecordFile, Workspace

IDENTITY = "workspace.json"
"""The object that tells this workspace from another one under the same URL, before or elsewhere."""

_STAMPS = ".stamps.json"
"""In a mirrored folder: file name -> (stamp of the object, stamp of the copy)."""


def open_workspace(name: str | os.PathLike[str]) -> Workspace:
    """The workspace that a user names: a folder, or a URL of an object store.

    Raises:
        UserError: the store cannot be used; the message says what to do.
    """
    if isinstance(name, str) and is_url(name):
        path = local_path(name)
        if path is not None:
            return Workspace(path)
        if has_magic(name):
            raise UserError(f"{name}: a workspace's URL cannot have the characters of globs, * ? [")
        return ObjectWorkspace(checked_url(name))
    return Workspace(name)


def working_home() -> Path:
    """Where working folders are: ``$OPEN_CURATION_HOME``, else below the user's cache."""
    if home := os.environ.get("OPEN_CURATION_HOME"):
        return Path(home).absolute()
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(cache).absolute() / "open-curation"


class ObjectWorkspace(Workspace):
    """A workspace whose records, shards and index are objects.

    A put makes an object appear whole, so a record is one put. Record files are mirrored: a listing tells what
    is new, which is fetched, and what has been compacted, which goes. Nobody can lock a store: two compactions at
    a time merge the same records twice, and readers count each once, by the name of the file it was in.
    """

    beat_seconds: ClassVar[float] = 20.0
    local: ClassVar[bool] = False

    def __init__(self, url: str) -> None:
        self._url = url
        self._store = ObjectStore(url)
        self._place(self._identity())

    def _identity(self) -> str | None:
        try:
            return str(json.loads(self._store.get(IDENTITY))["id"])
        except FileNotFoundError:
            return None

    def _place(self, identity: str | None) -> None:
        """Name the working folder. By URL alone it would also be that of a bucket on another endpoint, and of one
        that was deleted and made again: its catalog would tell of what never was."""
        self._id = identity
        digest = hashlib.sha256(f"{self._url}\n{identity or ''}".encode()).hexdigest()[:12]
        readable = re.sub(r"[^A-Za-z0-9._-]+", "-", self._url.partition("://")[2])[:60].strip("-.")
        super().__init__(working_home() / "workspaces" / f"{readable}-{digest}")
        self.name = self._url
        self._listed: dict[str, set[str]] = {}
        self._sound: set[str] = set()

    # ---- records ----

    @property
    def exists(self) -> bool:
        return self._id is not None or bool(self._store.find("records"))

    def prepare(self) -> None:
        if self._id is not None:
            return
        # Of two that begin a workspace at the same time the first to put its name wins.
        mark = json.dumps({"id": new_ulid()}).encode()
        with contextlib.suppress(FileExistsError):
            self._store.put(IDENTITY, mark, create=True)
        if self._identity() is None:  # a store that cannot create
            self._store.put(IDENTITY, mark)
        self._place(self._identity())

    def store_record(self, kind: str, file_name: str, data: bytes, replace: bool = True) -> None:
        self.prepare()
        name = f"records/{kind}/{file_name}"
        if replace or self._store.info(name) is None:
            self._store.put(name, data)
            self._mirror(name, data)

    def remove_records(self, files: Iterable[RecordFile]) -> None:
        gone = list(files)
        self._store.remove(f"records/{file.kind}/{file.name}.{file.suffix}" for file in gone)
        super().remove_records(gone)
        for file in gone:
            self._listed[file.kind].discard(f"{file.name}.{file.suffix}")

    def record_files(self, only: str | None = None, anew: bool = True) -> Iterator[RecordFile]:
        kinds = list(RECORD_TYPES) if only is None else [only]
        if anew or not set(kinds) <= self._listed.keys():
            self._follow(kinds, "records" if only is None else f"records/{only}")
        for kind in kinds:
            folder = str(self.records / kind)
            for name in self._listed[kind]:
                stem, _, suffix = name.rpartition(".")
                yield RecordFile(kind, stem, folder, suffix)

    def _follow(self, kinds: list[str], folder: str) -> None:
        """Bring the mirror of record files up to date with the store.

        What a listing in progress misses of a compaction is no loss: names are listed in order and a merged file
        bears the newest, so whoever finds a small file gone finds, later in the list, the one that has its row.
        """
        # Looked at before the store: of what is here by now, all that the store still has is in its listing.
        here = {kind: self._mirrored(kind) for kind in kinds}
        there: dict[str, dict[str, int]] = {kind: {} for kind in kinds}
        for name, info in self._store.find(folder).items():
            _, kind, *rest = name.split("/")
            if kind in there and len(rest) == 1 and rest[0].endswith((".json", ".parquet")) and rest[0][0] != ".":
                there[kind][rest[0]] = int(info["size"])
        missing = []
        for kind, files in there.items():
            for file, size in files.items():
                name = f"records/{kind}/{file}"
                if file not in here[kind] or not self._is_sound(name, size):
                    missing.append(name)
            for file in here[kind] - files.keys():
                (self.records / kind / file).unlink(missing_ok=True)
            self._listed[kind] = set(files)
        for name, data in self._store.get_all(missing):
            self._mirror(name, data)

    def _mirrored(self, kind: str) -> set[str]:
        try:
            return {name for name in os.listdir(self.records / kind) if name[0] != "."}
        except FileNotFoundError:
            return set()

    def _is_sound(self, name: str, size: int) -> bool:
        """Whether a copy is whole: it is not synced when it is made, and the machine may have lost power since."""
        if name not in self._sound:
            try:
                if (self.root / name).stat().st_size != size:
                    return False
            except FileNotFoundError:
                return False
            self._sound.add(name)
        return True

    def _mirror(self, name: str, data: bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
        aside.write_bytes(data)
        aside.replace(path)

    # ---- shards ----

    def keep_shard(self, path: str) -> None:
        self._store.upload(self.root / path, path)
        (self.root / path).unlink()

    def shard_url(self, path: str) -> str:
        return f"{self._url}/{path}"

    def open_shard(self, path: str) -> Any:
        return self._store.open(path)

    def has_shard(self, path: str) -> bool:
        return self._store.info(path) is not None

    def remove_shard(self, path: str) -> None:
        self._store.remove([path])
        super().remove_shard(path)  # a copy that was brought here

    def local_file(self, path: str) -> Path:
        local = self.root / path
        if not local.is_file():  # else it is that one: what a file is called it is for ever
            local.parent.mkdir(parents=True, exist_ok=True)
            aside = local.with_name(f".{local.name}.{secrets.token_hex(6)}.tmp")
            try:
                self._store.download(path, aside)
                aside.replace(local)
            finally:
                aside.unlink(missing_ok=True)
        return local

    def files(self, folder: str) -> list[str]:
        return sorted(self._store.find(folder))

    def run_shards(self, run_id: str) -> dict[str, int]:
        found = self._store.find(f"shards/{run_id}")
        return {name: int(info["size"]) for name, info in found.items() if name.endswith(".parquet")}

    def begin_anew(self, run_id: str) -> None:
        self._store.remove(self._store.find(f"shards/{run_id}"))
        self._store.remove(self._store.find(f"index/{run_id}"))
        super().begin_anew(run_id)
        self._store.put(f"runs/{run_id}/generation", new_ulid().encode())

    def generation(self, run_id: str) -> str | None:
        name = f"runs/{run_id}/generation"
        return self._store.get(name).decode() if self._store.info(name) is not None else None

    # ---- index ----

    def index_runs(self) -> set[str]:
        return {name.split("/")[1] for name in self._store.find("index") if name.count("/") == 2}

    def index_folders(self, run_ids: Iterable[str]) -> dict[str, Path]:
        """The mirrors, brought up to date with one listing for all. A file is fetched again when its object was
        written anew, and when the copy is not as it was fetched: a take-down killed half-way has changed it."""
        wanted = list(run_ids)
        there: dict[str, dict[str, Any]] = {run_id: {} for run_id in wanted}
        for name, info in self._store.find("index").items() if wanted else ():
            _, run_id, *rest = name.split("/")
            if run_id in there and len(rest) == 1:
                there[run_id][rest[0]] = info
        return {run_id: self._follow_index(run_id, files) for run_id, files in there.items()}

    def _follow_index(self, run_id: str, there: dict[str, Any]) -> Path:
        folder = self.index / run_id
        known = self._stamps(folder)
        fresh = dict.fromkeys(there)
        for file, info in there.items():
            path = folder / file
            if known.get(file) != [stamp(info), _local_stamp(path)]:
                folder.mkdir(parents=True, exist_ok=True)
                aside = folder / f".{file}.{secrets.token_hex(6)}.tmp"
                try:
                    self._store.download(f"index/{run_id}/{file}", aside)
                    aside.replace(path)
                finally:
                    aside.unlink(missing_ok=True)
            fresh[file] = [stamp(info), _local_stamp(path)]
        for file in known.keys() - there.keys():
            (folder / file).unlink(missing_ok=True)
        if fresh != known:
            self._mirror(f"index/{run_id}/{_STAMPS}", json.dumps(fresh).encode())
        return folder

    def _stamps(self, folder: Path) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((folder / _STAMPS).read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        return found

    def keep_index(self, run_id: str, made: Path) -> None:
        source = made if made.is_dir() else self.index / run_id
        there = self._store.find(f"index/{run_id}")
        if made.is_dir() or not there:  # gone: taken for that of a run that nobody would resume
            self._upload_index(run_id, source)
            self._store.remove(there.keys() - {f"index/{run_id}/{path.name}" for path in source.glob("*.*")})
        super().keep_index(run_id, made)
        folder = self.index / run_id
        if folder.is_dir():
            now = {name.rpartition("/")[2]: info for name, info in self._store.find(f"index/{run_id}").items()}
            known = {file: [stamp(info), _local_stamp(folder / file)] for file, info in now.items()}
            self._mirror(f"index/{run_id}/{_STAMPS}", json.dumps(known).encode())

    def _upload_index(self, run_id: str, folder: Path) -> None:
        for path in sorted(folder.glob("*.safetensors")):
            self._store.upload(path, f"index/{run_id}/{path.name}")

    def index_changed(self, run_id: str) -> None:
        folder = self.index / run_id
        for file, (_, copy) in self._stamps(folder).items():
            if _local_stamp(folder / file) != copy:
                self._store.upload(folder / file, f"index/{run_id}/{file}")

    def remove_index(self, run_id: str) -> None:
        self._store.remove(self._store.find(f"index/{run_id}"))
        super().remove_index(run_id)

    # ---- the rest ----

    def beat(self, run_id: str) -> None:
        self._store.put(f"runs/{run_id}/heartbeat", b"")

    def end_beat(self, run_id: str) -> None:
        self._store.remove([f"runs/{run_id}/heartbeat"])

    def beats(self, run_ids: Iterable[str]) -> dict[str, float]:
        wanted = {f"runs/{run_id}/heartbeat": run_id for run_id in run_ids}
        found = self._store.find("runs") if wanted else {}
        return {wanted[name]: changed_at(info) for name, info in found.items() if name in wanted}

    def register(self, connection: Any) -> None:
        connection.register_filesystem(self._store.filesystem)

    def removal_note(self) -> str | None:
        filesystem = self._store.filesystem
        versioned = False
        with contextlib.suppress(Exception):  # not every store knows, and not everybody may ask
            versioned = bool(filesystem.is_bucket_versioned(self._store.bucket))
        if not versioned:
            return None
        return (
            f"bucket {self._store.bucket} keeps old versions of objects: what was removed is gone only when they "
            "are (a lifecycle rule for noncurrent versions, or delete them by hand)"
        )


def _local_stamp(path: Path) -> list[int] | None:
    try:
        about = path.stat()
    except FileNotFoundError:
        return None
    return [about.st_size, about.st_mtime_ns]
