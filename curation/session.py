"""A curation run from request to records: plan, extract, write shards, account, record, tell.

Everything a run needs to go on is under ``runs/<run_id>/scratch`` until it is done. Each step below looks at
what is already there, so that new and resumed runs take the same way.
"""

import contextlib
import dataclasses
import fcntl
import json
import shutil
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curation.accounts import Tally, run_records
from curation.catalog import refresh
from curation.catalog.query import STALE_SECONDS
from curation.config import CurationConfig, config_hash, differences, from_dict, identity, to_dict
from curation.croissant import write_croissant
from curation.dedup.index import withdraw
from curation.dedup.phases import Limits
from curation.deduplicate import committed_parts, held_by, plan_stages
from curation.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_SOME_FAILED, EXIT_USAGE, UserError, unknown_name
from curation.executors import StopSignal, run_stage
from curation.filters import prepare_filters, score_columns, stale_scores
from curation.objects import refuse_secrets
from curation.parents import add_parent, check_parent, parent_config, parent_plan
from curation.pii import MASKING
from curation.plan import RunFolder, plan_raw, save_shard_tasks
from curation.preview import configuration, input_table
from curation.processes import host_at_work, this_process
from curation.progress import Progress, log
from curation.provenance import code_version, package_versions
from curation.quality.stage import plan_quality, top_share
from curation.records import Run, RunEnd, new_ulid, now
from curation.shards import Piece, plan_shards
from curation.storage import open_workspace
from curation.summary import summary
from curation.tombstones import Tombstones
from curation.toxicity.prepared import STAGE as TOXICITY
from curation.toxicity.prepared import prepare_toxicity
from curation.toxicity.stage import plan_toxicity
from curation.verdicts import QUALITY, decided_manifest, late_ids


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for."""

    inputs: list[str]
    workspace: str
    config: CurationConfig
    config_given: bool
    """Whether any word about the configuration was said (a resume without one keeps the old)."""
    resume: str | None = None
    parent: str | None = None
    limit: int | None = None
    dry_run: bool = False

    def validate(self) -> None:
        """Raise UserError for combinations that make no sense."""
        if self.resume and self.parent:
            raise UserError("--resume and --from exclude each other: a resume goes on with what the run was")
        if self.parent and self.inputs:
            raise UserError("--from reads the stored documents of a run: leave the inputs away")
        if not (self.inputs or self.resume or self.parent):
            raise UserError("no input: name files, folders, globs or URLs (or --resume RUN, or --from RUN)")
        if self.limit is not None and self.limit < 1:
            raise UserError(f"--limit {self.limit}: must be at least 1")
        if self.limit is not None and self.parent:
            raise UserError("--limit reads raw records: it does not go with --from")
        refuse_secrets(self.config.read.storage_options)


def _load_libraries() -> None:
    """Load what the end of a run needs (DuckDB, and pandas where pyarrow finds it) while workers work."""
    import duckdb
    import pyarrow as pa

    duckdb.connect(":memory:").close()
    pa.Table.from_pylist([{"name": "a"}])


def _prepared_otherwise(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Lines that say what ``_prepare`` says now and did not say then, by the names of options."""

    def plain(prepared: Mapping[str, Any]) -> dict[str, Any]:
        filters = {name: facts for name, facts in prepared.items() if name != TOXICITY}
        return {"filters": filters, TOXICITY: prepared.get(TOXICITY, {})}

    return differences(plain(old), plain(new))


class Session:
    """One attempt at a run."""

    def __init__(self, request: Request, stop: StopSignal) -> None:
        self.request, self.stop = request, stop
        self.workspace = open_workspace(request.workspace)
        self.progress = Progress()
        self.attempt = 0
        self.run_id: str | None = None
        """Set once the attempt is on record."""
        self.config = request.config
        self._done_before: int | None = None
        """Exit code of the run that is to be resumed, where it is done already."""
        self._lock: Any = None
        self._beating = threading.Event()

    # ---- the outcome ----

    def run(self) -> int:
        """Do it. Returns the exit code; raises Interrupted, TaskFailed, UserError or OSError."""
        if self.request.dry_run:
            return self._preview()
        asked = self._resumed() if self.request.resume else self._new()
        folder = RunFolder(self.workspace, asked["run_id"])
        if self._done_before is not None:
            return self._show_finished(folder, self._done_before)
        self._begin(folder, asked)
        files = self._plan(folder, asked)
        weights = folder.load("tasks/count")["weights"]
        threading.Thread(target=_load_libraries, daemon=True).start()
        run_stage(folder, "extract", self.config, weights, self.stop, self.progress)
        if self.config.dedup.enabled:
            for stage, stage_weights in plan_stages(folder, self.config, len(weights), folder.load("held"), Limits()):
                run_stage(folder, stage, self.config, stage_weights, self.stop, self.progress)
        if top_share(self.config.filters) is not None:
            run_stage(folder, QUALITY, self.config, plan_quality(folder, len(weights)), self.stop, self.progress)
        if self.config.toxicity.enabled:
            toxicity_weights = plan_toxicity(folder, self.config.toxicity, len(weights))
            run_stage(folder, TOXICITY, self.config, toxicity_weights, self.stop, self.progress)
        tally = self._tally(folder, asked, files)
        shard_weights = folder.load("shards/count")
        if shard_weights is None:
            jobs = plan_shards(self._pieces(folder, len(weights)), self.config.shards.max_text_bytes)
            shard_weights = save_shard_tasks(folder, jobs, most=4 * self.config.shards.max_text_bytes)
        run_stage(folder, "shards", self.config, shard_weights, self.stop, self.progress)
        return self._finish(folder, tally, files)

    def interrupted(self) -> None:
        """Record the stop and say how to go on."""
        self.progress.abandon()
        if self.run_id is None:
            log.warning("interrupted before anything was written")
            return
        try:
            self._end("interrupted", EXIT_INTERRUPTED, "stopped by the user")
        except OSError as error:
            log.error("the stop could not be recorded: %s", error)
        log.warning("interrupted; go on with: %s", self._resume_command())

    def failed(self, why: str) -> None:
        """Record the failure where that is still possible, and say how to go on."""
        self.progress.abandon()
        if self.run_id is None:
            return
        try:
            self._end("failed", EXIT_USAGE, why)
        except OSError as error:  # a full disk takes not even this; the run then shows as dead
            log.error("the failure could not be recorded: %s", error)
        log.error("go on with: %s", self._resume_command())

    def _resume_command(self) -> str:
        return f"python -m curation.run --workspace {self.request.workspace} --resume {self.run_id}"

    # ---- who we are ----

    def _new(self) -> dict[str, Any]:
        """A run that did not exist before."""
        parent = self.request.parent
        if parent is not None:
            check_parent(self.workspace, parent, self.config)
        else:
            from curation.sources.discover import discover

            discover(self.request.inputs, self.config.read.storage_options)  # a wrong input fails first
        held_by(self.workspace, self.config, ())  # as does a wrong name in dedup.against
        inputs = [str(Path(name).absolute()) if Path(name).exists() else name for name in self.request.inputs]
        asked: dict[str, Any] = {
            "curation": to_dict(self.config),
            "inputs": inputs,
            "parent": parent,
            "limit": self.request.limit,
        }
        self.workspace.prepare()
        if prepared := self._prepare():
            asked["prepared"] = prepared  # what files named by options hold decides as much as the options do
        commit, dirty = code_version()
        run = Run(
            run_id=new_ulid(),
            run_kind="curate",
            parent_run_id=parent,
            config=json.dumps(asked),  # the order of filters is part of it
            config_hash=config_hash({**asked["curation"], **({"prepared": prepared} if prepared else {})}),
            git_commit=commit,
            git_dirty=dirty,
            versions=json.dumps(package_versions()),
            seed=self.config.seed,
            created_at=now(),
        )
        self.workspace.write([run], name=run.run_id)
        return {**asked, "run_id": run.run_id}

    def _prepare(self) -> dict[str, dict[str, str]]:
        """Make ready what filters and models need; returns what that is, by name."""
        prepared = prepare_filters(self.config.filters, self.workspace.cache)
        if self.config.toxicity.enabled:
            prepared[TOXICITY] = prepare_toxicity(self.config.toxicity, self.workspace.cache)
        return prepared

    def _resumed(self) -> dict[str, Any]:
        """A run that was interrupted: same configuration, same inputs, same software."""
        run_id = self.request.resume or ""
        runs = {row["run_id"]: row for row in self.workspace.rows("run") if row["run_kind"] == "curate"}
        ends = self.workspace.rows("run_end")
        done = {row["run_id"]: int(row["exit_code"]) for row in ends if row["status"] == "done"}
        if run_id == "last":
            unfinished = sorted(runs.keys() - done.keys())
            if not unfinished:
                raise UserError("--resume last: no unfinished run of curation in this workspace")
            run_id = unfinished[-1]
        if run_id not in runs:
            raise unknown_name("run for --resume", run_id, sorted(runs)[-5:] or ["none yet"])
        row = runs[run_id]
        asked = json.loads(row["config"])
        attempts = [each["attempt"] for each in self.workspace.rows("attempt") if each["run_id"] == run_id]
        self.attempt = max(attempts, default=0)
        self._done_before = done.get(run_id)
        if self.request.config_given:
            changed = differences(identity(asked["curation"]), identity(to_dict(self.config)))
            if changed:
                raise UserError(
                    f"--resume {run_id}: the configuration differs from the one it began with; leave it away, "
                    "or start a new run:\n  " + "\n  ".join(changed)
                )
        inputs = [str(Path(name).absolute()) if Path(name).exists() else name for name in self.request.inputs]
        if inputs and sorted(inputs) != sorted(asked["inputs"]):
            raise UserError(f"--resume {run_id}: other inputs than it began with; leave them away")
        if self.request.limit not in (None, asked["limit"]):
            raise UserError(f"--resume {run_id}: it began with --limit {asked['limit']}; leave it away")
        old, new = json.loads(row["versions"]), package_versions()
        if changed := differences(old, new):
            raise UserError(
                f"--resume {run_id}: other package versions could give other bytes; install the old ones, or "
                "start a new run:\n  " + "\n  ".join(changed)
            )
        execution = self.config.execution
        self.config = dataclasses.replace(from_dict(asked["curation"]), execution=execution)
        if self._done_before is None and (changed := _prepared_otherwise(asked.get("prepared", {}), self._prepare())):
            raise UserError(
                f"--resume {run_id}: lists, models or devices that it uses have changed since it began; put the "
                "old ones back, or start a new run:\n  " + "\n  ".join(changed)
            )
        return {**asked, "run_id": run_id}

    def _show_finished(self, folder: RunFolder, code: int) -> int:
        """A run that is done already: its working files go, its summary is shown, its exit code stays."""
        shutil.rmtree(folder.scratch, ignore_errors=True)
        log.info("run %s is done already", folder.run_id)
        print(summary(self.workspace, folder.run_id))
        return code

    def _begin(self, folder: RunFolder, asked: Mapping[str, Any]) -> None:
        """Take the run's lock, go on record, and start the heartbeat."""
        folder.path.mkdir(parents=True, exist_ok=True)
        self._lock = (folder.path / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"run {folder.run_id} is at work in another process") from None
        if not self.workspace.local and (host := host_at_work(self.workspace, folder.run_id, STALE_SECONDS)):
            raise UserError(
                f"run {folder.run_id} is at work on host {host}; stop it there, or, if that host is gone, wait "
                f"{STALE_SECONDS:.0f} s after its last sign of life and try again"
            )
        self.attempt += 1
        self.run_id = folder.run_id
        self.workspace.beat(folder.run_id)
        attempt = this_process(folder.run_id, self.attempt)
        self.workspace.write([attempt], name=f"{folder.run_id}-{self.attempt:04d}")

        def keep_beating() -> None:
            while not self._beating.wait(self.workspace.beat_seconds):
                with contextlib.suppress(OSError):  # a full disk must not end the run from here
                    self.workspace.beat(folder.run_id)

        threading.Thread(target=keep_beating, daemon=True, name="heartbeat").start()
        log.info("run %s, attempt %d, workspace %s", folder.run_id, self.attempt, self.workspace.name)

    # ---- the work ----

    def _plan(self, folder: RunFolder, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Make the plan, or take the one that is there; returns the raw files."""
        if self._plan_stands(folder):
            files: list[dict[str, Any]] = folder.load("files")
            if asked["parent"] is None:
                self._check_unchanged(files)
            return files
        if self.attempt > 1 and not self.workspace.local:
            log.warning("run %s begins anew: its working files are not here, or not all of its shards", folder.run_id)
            self.workspace.begin_anew(folder.run_id)
        tombstones = Tombstones.of(self.workspace.rows("tombstone"))
        folder.save("tombstones", tombstones.rules)
        if not self.workspace.local:
            folder.save("generation", self.workspace.generation(folder.run_id))
        folder.save("prepared", asked.get("prepared", {}))
        if asked["parent"] is not None:
            files, tasks = parent_plan(self.workspace, asked["parent"])
            before = parent_config(self.workspace, asked["parent"])
            prepared = (before.get("prepared", {}), asked.get("prepared", {}))
            folder.save("stale_scores", stale_scores(before["curation"]["filters"], self.config.filters, *prepared))
            folder.save("parent_prepared", prepared[0])
            folder.save("masked", before["curation"].get("pii", {}).get("action") in MASKING)
        else:
            identified = self._identify(asked["inputs"])
            files = [dataclasses.asdict(file) for file in identified]
            readable = [file for file in identified if file.copy_of is None]
            tasks = plan_raw(readable, self.config.read, asked["limit"])
        held = held_by(self.workspace, self.config, [file["raw_file_id"] for file in files])
        if held:
            log.info("documents are compared with those of %d earlier run(s): %s", len(held), ", ".join(sorted(held)))
        folder.save("held", {run_id: sorted(found) for run_id, found in held.items()})
        folder.save("files", files)
        folder.save_tasks(tasks)
        return files

    def _plan_stands(self, folder: RunFolder) -> bool:
        """Whether there is a plan to go on with. On object storage ``catalog gc`` on another host may have found
        that it must begin anew, since it holds text that was taken down, and could not reach the working files."""
        if folder.load("tasks/count") is None:
            return False
        if self.workspace.local:
            return True
        if folder.load("generation") != self.workspace.generation(folder.run_id):
            return False
        return folder.shards_stand()

    def _identify(self, inputs: list[str]) -> list[Any]:
        from curation.sources.discover import discover, identify

        found = discover(inputs, self.config.read.storage_options)
        self.progress.start("identify", sum(file.size for file in found))

        def tell(done_bytes: int, done_files: int) -> None:
            self.stop.check()
            self.progress.update(done_bytes, done_files)

        identified = identify(found, storage_options=self.config.read.storage_options, progress=tell)
        self.progress.finish()
        return identified

    def _check_unchanged(self, files: list[dict[str, Any]]) -> None:
        """Raise UserError if an input file is not what it was when the plan was made."""
        from curation.sources.discover import changed_since

        changed = changed_since(files, self.config.read.storage_options)
        if changed:
            raise UserError(f"changed since the run began: {', '.join(changed[:5])}; start a new run")

    def _pieces(self, folder: RunFolder, tasks: int) -> Iterator[tuple[str, Piece]]:
        for rank in range(tasks):
            for path, manifest in committed_parts(folder, rank):
                for piece in decided_manifest(path, manifest)["pieces"]:
                    yield str(path), Piece(**piece)

    def _tally(self, folder: RunFolder, asked: Mapping[str, Any], files: list[dict[str, Any]]) -> Tally:
        """Sum up what the parts say, with what has no part: copies, and a parent's records without rows."""
        tally = Tally()
        for rank in range(len(folder.load("tasks/count")["weights"])):
            for path, manifest in committed_parts(folder, rank):
                tally.add(decided_manifest(path, manifest))
        if asked["parent"] is not None:
            add_parent(self.workspace, tally, asked["parent"])
        for file in files:
            if file["copy_of"]:
                tally.add_copy(file["raw_file_id"])
        tally.verify()
        return tally

    def _finish(self, folder: RunFolder, tally: Tally, files: list[dict[str, Any]]) -> int:
        """Record everything, end the run, remove working files, print the summary."""
        facts = folder.known_shards()
        if not self.workspace.local and not folder.shards_stand():
            raise UserError(
                f"the shards of run {folder.run_id} at {self.workspace.shard_url(f'shards/{folder.run_id}')} are not "
                "those that were stored: another attempt at it is at work; stop it, and resume"
            )
        for leftover in folder.shards.rglob(".*.tmp"):  # of a writer that was killed
            leftover.unlink(missing_ok=True)
        if facts:
            write_croissant(folder.shards, self.config.card, facts, score_columns(self.config.filters))
            self.workspace.keep_shard(folder.shard_path("croissant.json"))
        # The sketches stay in the workspace, for later runs to compare with; not of what was rejected since.
        if late := late_ids(
            path
            for rank in range(len(folder.load("tasks/count")["weights"]))
            for path, _ in committed_parts(folder, rank)
        ):
            withdraw(folder.scratch / "dedup" / "index", late)
        self.workspace.keep_index(folder.run_id, folder.scratch / "dedup" / "index")
        self.workspace.write(run_records(folder.run_id, tally, files, facts), name=folder.run_id)
        bad_share = len(tally.quarantined) / tally.raw if tally.raw else 0.0
        too_bad = bad_share > self.config.read.max_bad_share
        code = EXIT_SOME_FAILED if tally.damaged or too_bad else EXIT_DONE
        self._end("done", code, None)
        shutil.rmtree(folder.scratch, ignore_errors=True)
        refresh(self.workspace)
        print(summary(self.workspace, folder.run_id))
        if tally.damaged:
            log.error("%d file(s) could not be read whole; see the table quarantine", len(tally.damaged))
        if too_bad:
            allowed = self.config.read.max_bad_share
            log.error(
                "%.1f %% of the records were quarantined (read.max_bad_share allows %.1f %%)",
                100 * bad_share,
                100 * allowed,
            )
        elif tally.quarantined:
            log.warning("%d record(s) were quarantined; see the table quarantine", len(tally.quarantined))
        return code

    def _end(self, status: str, code: int, why: str | None) -> None:
        self._beating.set()
        assert self.run_id is not None
        end = RunEnd(
            run_id=self.run_id,
            attempt=self.attempt,
            status=status,
            exit_code=code,
            why=why,
            finished_at=now(),
        )
        self.workspace.write([end], name=f"{self.run_id}-{self.attempt:04d}")
        with contextlib.suppress(OSError):  # the end is on record, which is what counts
            self.workspace.end_beat(self.run_id)

    def _preview(self) -> int:
        """Print what would be done."""
        print(configuration(self.config))
        if self.request.parent or self.request.resume:
            print(f"would work on run {self.request.parent or self.request.resume}")
        else:
            print(input_table(self._identify(self.request.inputs), self.config, self.request.limit))
        return EXIT_DONE
