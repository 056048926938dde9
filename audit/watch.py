"""``python -m audit.watch RUN``: audits each checkpoint of a training run as it appears.

Training is never waited for, and never waits: checkpoints are found in the catalog, and a record says that one is
needed until its audit has ended. Any number of watchers on any hosts share the work; each checkpoint is audited once.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit.claims import Claims
from audit.config import AuditConfig, asked_probes
from curation import options
from curation.catalog import open_catalog, rows
from curation.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_SOME_FAILED, EXIT_USAGE, UserError
from curation.progress import log, setup_logging
from curation.recorded import config_hash, recorded_run
from curation.records import CheckpointClaim, now
from curation.storage import open_workspace
from curation.workspace import Workspace

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

EPILOG = """\
examples:
  python -m audit.watch RUN --workspace W
      the suite "quick" on each checkpoint, those that there are and those to come; ends with the training run
  python -m audit.watch RUN --suite standard --data sets --workspace W
      the same with another suite; start it on several machines, and they share the checkpoints
  python -m audit.watch RUN --once --workspace W
      what is there now, then end

exit codes: 0 all checkpoints are audited; 1 some could not be; 2 wrong usage; 130 interrupted
"""


@dataclass(frozen=True, slots=True)
class Pending:
    """A checkpoint and the run that is to audit it."""

    checkpoint_id: str
    step: int
    key: str


class Watcher:
    """Finds checkpoints without an audit, and audits them."""

    def __init__(self, workspace: Workspace, run_id: str, config: AuditConfig) -> None:
        self.workspace, self.run_id, self.config = workspace, run_id, config
        self.claims = Claims(workspace)
        self.failed: dict[str, str] = {}
        """Checkpoint -> why it could not be audited by this watcher."""
        deciding = ("suite", "probes", "limit", "seed", "data", "hub")
        self.wanted = config_hash({name: getattr(config, name) for name in deciding})[:16]

    def checkpoints(self) -> list[Pending]:
        """All checkpoints of the run that are on disk, in the order of their steps."""
        gone = {row["checkpoint_id"] for row in self.workspace.rows("checkpoint_removal")}
        found = [row for row in self.workspace.rows("checkpoint") if row["run_id"] == self.run_id]
        return [
            Pending(row["checkpoint_id"], row["step"], f"{row['checkpoint_id']}-{self.wanted}")
            for row in sorted(found, key=lambda row: int(row["step"]))
            if row["checkpoint_id"] not in gone
        ]

    def audit_pending(self) -> Iterator[Pending]:
        """Audit what is there and nobody is at; yields each checkpoint that this watcher has audited."""
        for each in self.checkpoints():
            if each.checkpoint_id in self.failed:
                continue
            run_id = self.claims.run_of(each.key)
            if not self._done(run_id) and self._audit(each, run_id):
                yield each

    def unaudited(self) -> list[Pending]:
        """Checkpoints without a finished audit, but for those that this watcher has failed at."""
        found = [each for each in self.checkpoints() if each.checkpoint_id not in self.failed]
        return [each for each in found if not self._done(self.claims.run_of(each.key))]

    def _audit(self, each: Pending, run_id: str) -> bool:
        with self.claims.lease(each.key, run_id) as mine:
            if not mine or self._done(run_id) or self._alive(run_id):
                return False
            claim = CheckpointClaim(checkpoint_id=each.checkpoint_id, run_id=run_id, claimed_at=now())
            self.workspace.write([claim], name=run_id)
            log.info("auditing step %d (checkpoint %s)", each.step, each.checkpoint_id)
            code, said = self._run(each, run_id)
            if code in (EXIT_DONE, EXIT_SOME_FAILED) and self._done(run_id):
                return True
            self.failed[each.checkpoint_id] = said
            log.error("step %d could not be audited: %s", each.step, said)
            self._end(each, run_id, said)
            return False

    def _run(self, each: Pending, run_id: str) -> tuple[int, str]:
        """Exit code of the audit, and the last line that it wrote to stderr."""
        log_path = self.workspace.run_folder(run_id) / "audit.log"
        log_path.parent.mkdir(parents=True, exist_ok=True)
        command = [
            *(sys.executable, "-m", "audit.run", "--checkpoint", each.checkpoint_id, "--run-id", run_id),
            *("--workspace", self.workspace.name),
        ]
        for name, value in asdict(self.config).items():
            if value is not None:
                command += [f"--{name}", str(value)]
        with log_path.open("ab") as file, self.summary_path(run_id).open("wb") as summary:
            # In a process of its own, that ends when this one does: memory is given back, whatever happens there.
            child = [sys.executable, "-m", "training.sweep.child", str(os.getpid()), *command]
            code = subprocess.run(child, stdin=subprocess.DEVNULL, stdout=summary, stderr=file, check=False).returncode
        lines = [line for line in log_path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        return code, lines[-1].removeprefix("error: ") if lines else f"exit code {code}"

    def summary_path(self, run_id: str) -> Path:
        """What an audit printed."""
        return self.workspace.run_folder(run_id) / "summary.txt"

    def _end(self, each: Pending, run_id: str, why: str) -> None:
        """Have the run on record as failed, so that the checkpoint is held no longer."""
        if any(row["run_id"] == run_id for row in self.workspace.rows("run_end")):
            return
        asked = {"audit": "model", "subject_kind": "checkpoint", "subject": each.checkpoint_id, "probes": []}
        attempts = sum(1 for row in self.workspace.rows("attempt") if row["run_id"] == run_id)
        with (
            contextlib.suppress(UserError),
            recorded_run(self.workspace, "audit", asked, self.run_id, self.config.seed, (), (run_id, attempts)),
        ):
            raise UserError(why)

    def _done(self, run_id: str) -> bool:
        return any(row["run_id"] == run_id and row["status"] == "done" for row in self.workspace.rows("run_end"))

    def _alive(self, run_id: str) -> bool:
        return run_status(self.workspace, run_id) == "running"


def run_status(workspace: Workspace, run_id: str) -> str | None:
    """``running``, ``done``, ``failed``, ``interrupted`` or ``dead``; None: no such run."""
    with open_catalog(workspace) as connection:
        found = rows(connection, "SELECT status FROM run WHERE run_id = ?", [run_id])
    return str(found[0]["status"]) if found else None


def build_parser() -> "ArgumentParser":
    """The command line: the options of the command, then every field of ``AuditConfig``."""
    parser = options.new_parser(
        prog="python -m audit.watch",
        usage="python -m audit.watch RUN [--suite S | --probes a,b] [--workspace W] [options]",
        description="Audit each checkpoint of a training run as it appears, once.",
        epilog=EPILOG,
    )
    parser.add_argument("run", metavar="RUN", help="a training run")
    parser.add_argument("--workspace", default="workspace", help="folder that holds everything")
    parser.add_argument("--once", action="store_true", help="audit what is there now, then end")
    parser.add_argument("--poll", type=float, default=5.0, metavar="S", help="seconds between two looks")
    parser.add_argument(
        "--patience", type=float, default=300.0, metavar="S",
        help="seconds to wait for more of a run that was killed, since it may be resumed",
    )  # fmt: skip
    parser.add_class_arguments(AuditConfig, None)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code."""
    from jsonargparse import ArgumentError

    parser = build_parser()
    try:
        try:
            parsed = parser.parse_args(list(sys.argv[1:] if argv is None else argv))
            config = options.instantiate(parser, parsed, AuditConfig)
        except (ArgumentError, TypeError, ValueError) as error:
            raise UserError(options.message(error, AuditConfig)) from error
        setup_logging()
        return _watch(parsed, config)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return EXIT_INTERRUPTED


def _watch(parsed: Any, config: AuditConfig) -> int:
    asked_probes(config)
    if config.data is not None and not Path(config.data).is_dir():
        raise UserError(f"--data {config.data}: there is no such folder")
    workspace = open_workspace(parsed.workspace)
    if not workspace.exists:
        raise UserError(f"--workspace {parsed.workspace}: there is no workspace; name the one of the training run")
    if not workspace.local:
        raise UserError(f"--workspace {parsed.workspace}: checkpoints are watched in a folder, not on an object store")
    if run_status(workspace, parsed.run) is None:
        raise UserError(f"{parsed.run}: no such run in this workspace; python -m curation.catalog runs lists them")
    watcher = Watcher(workspace, parsed.run, config)
    audited = 0
    seen, since = -1, time.monotonic()
    while True:
        status = run_status(workspace, parsed.run)  # before looking, so that the last checkpoint is not missed
        for each in watcher.audit_pending():
            audited += 1
            run_id = watcher.claims.run_of(each.key)
            print(f"step {each.step}: audited (audit {run_id}, {watcher.summary_path(run_id)})", flush=True)
            for line in watcher.summary_path(run_id).read_text(encoding="utf-8").splitlines():
                if line.startswith("- "):  # a figure in words
                    print(line, flush=True)
        count = len(watcher.checkpoints())
        if count != seen:
            seen, since = count, time.monotonic()
        waited = time.monotonic() - since
        over = parsed.once or status == "done" or (status != "running" and waited >= parsed.patience)
        if over and (parsed.once or not watcher.unaudited()):
            break
        time.sleep(parsed.poll)
    print(f"{audited:,} checkpoint(s) of {parsed.run} audited here, {len(watcher.failed):,} could not be")
    print(
        f'\nnext: python -m curation.catalog sql "SELECT c.step, f.metric, f.value, f.ci_low, f.ci_high FROM finding f '
        f"JOIN checkpoint c ON c.checkpoint_id = f.subject_id WHERE c.run_id = '{parsed.run}' AND f.group_name IS NULL "
        f'ORDER BY f.metric, c.step" --workspace {parsed.workspace}'
    )
    return EXIT_SOME_FAILED if watcher.failed else EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
