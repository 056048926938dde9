"""The command line of audits of models: every field of ``AuditConfig``, and what to do with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from audit.config import AuditConfig
from curation import options
from curation.errors import UserError
from curation.records import ULID_PATTERN

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

EPILOG = """\
examples:
  python -m audit.run --checkpoint RUN-00000320 --workspace W
      the suite "quick" on a checkpoint of the workspace: minutes, offline
  python -m audit.run --checkpoint smollm2 --suite standard --data sets --estimate
      how long it would take, and what so many items could show; nothing is run
  python -m audit.run --checkpoint ~/models/mine --probes crows_pairs,bbq --limit 500 --data sets --workspace W
      two probes on a Hugging Face folder, 500 items each
  python -m audit.run --list
      all probes: what they ask, where their data comes from, under which licence
  python -m audit.run --suite full --data sets --export-items items.jsonl
      the texts of all items, for curation: --filters '[decontaminate: {items: [items.jsonl]}]'

The same command goes on with the audit that it began, after a kill.

exit codes: 0 done; 1 done, but for a probe named with --probes whose data is missing; 2 wrong usage, or the machine
stopped it; 130 interrupted
"""


@dataclass(frozen=True)
class Request:
    """What was asked for."""

    config: AuditConfig
    checkpoint: str | None
    workspace: str
    list_probes: bool
    estimate: bool
    export_items: str | None
    format: str
    groups: bool
    run_id: str | None
    """The run, begun or gone on with under this id."""


def build_parser() -> "ArgumentParser":
    """The command line: the options of the command, then every field of ``AuditConfig``."""
    from jsonargparse import ActionConfigFile  # type: ignore[attr-defined]

    parser = options.new_parser(
        prog="python -m audit.run",
        usage="python -m audit.run --checkpoint C [--suite S | --probes a,b] [--workspace W] [options]",
        description="Measure what a language model prefers, and how well it models language.",
        epilog=EPILOG,
    )
    parser.add_argument(
        "--checkpoint", metavar="C", help="id in the catalog, folder of a checkpoint, Hugging Face folder, or smollm2"
    )
    parser.add_argument("--workspace", default="workspace", help="folder that holds everything")
    parser.add_argument("--config", action=ActionConfigFile, help="YAML file with the fields below")
    parser.add_argument("--list", action="store_true", help="list all probes; nothing is run")
    parser.add_argument("--estimate", action="store_true", help="time and detectable effects; nothing is run")
    parser.add_argument("--export-items", metavar="FILE", help="write the items as JSONL for decontamination")
    parser.add_argument("--format", default="table", choices=("table", "json"), help="table, or JSON lines")
    parser.add_argument(
        "--run-id", metavar="ID", help="begin the audit under this ULID, or go on with it (as audit.watch does)"
    )
    parser.add_argument("--groups", action="store_true", help="show the figures of all groups and languages, too")
    parser.add_class_arguments(AuditConfig, None)
    return parser


def parse(argv: Sequence[str]) -> Request:
    """The command line as a request.

    Raises:
        UserError: a wrong option, value or configuration file.
    """
    from jsonargparse import ArgumentError

    parser = build_parser()
    try:
        parsed = parser.parse_args(list(argv))
        config = options.instantiate(parser, parsed, AuditConfig)
    except (ArgumentError, TypeError, ValueError, OSError) as error:
        raise UserError(options.message(error, AuditConfig)) from error
    if parsed.run_id is not None and not ULID_PATTERN.fullmatch(parsed.run_id):
        raise UserError(f"--run-id {parsed.run_id}: is no ULID; leave it out, and one is made")
    if not parsed.list and not parsed.export_items and parsed.checkpoint is None:
        raise UserError("--checkpoint: name a checkpoint of the catalog, a folder, or smollm2")
    return Request(
        config, parsed.checkpoint, parsed.workspace, parsed.list, parsed.estimate, parsed.export_items, parsed.format,
        parsed.groups, parsed.run_id,
    )  # fmt: skip
