"""The command line of pretraining: every field of ``PretrainConfig``, and what to do with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from curation import options
from curation.errors import UserError
from curation.records import ULID_PATTERN
from training.checks import check
from training.config import PretrainConfig

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

EPILOG = """\
examples:
  python -m training.pretrain --data.datasets '[{dataset: news-tokens}]' --workspace W
      train what the preset "pretrain" says on one tokenized dataset, in one process
  python -m training.pretrain --config mine.yaml --optimizer.learning_rate 1e-3 --dry-run --workspace W
      parameters, memory and operations of a configuration; nothing is trained
  python -m torch.distributed.run --nproc-per-node 4 -m training.pretrain --config mine.yaml \\
      --parallelism.data 2 --parallelism.tensor 2 --workspace W
      in four processes

The same command goes on with the run that it began, after a kill or on other processes; --resume never begins anew.
"""


@dataclass(frozen=True)
class Request:
    """What was asked for."""

    config: PretrainConfig
    workspace: str
    resume: str
    """``auto`` (the unfinished run of the same configuration, if there is one), ``never``, a run or a checkpoint."""
    initialise_from: str | None
    """A checkpoint, by folder or id, whose weights the run begins with."""
    dry_run: bool
    run_id: str | None = None
    """The run, begun or gone on with under this id."""
    parent: str | None = None
    """The run that the run of ``run_id`` belongs to."""


def build_parser() -> "ArgumentParser":
    """The command line: the options of the command, then every field of ``PretrainConfig``."""
    from jsonargparse import ActionConfigFile  # type: ignore[attr-defined]

    parser = options.new_parser(
        prog="python -m training.pretrain",
        usage="python -m training.pretrain --data.datasets '[{dataset: NAME}]' --workspace W [--config C] [options]",
        description="Train a language model from scratch on tokenized datasets.",
        epilog=EPILOG,
    )
    parser.add_argument("--workspace", default="workspace", help="folder that holds everything")
    names = ", ".join(options.presets("training"))
    parser.add_argument("--config", action=ActionConfigFile, help=f"YAML file, or a preset: {names}; none: pretrain")
    parser.add_argument(
        "--resume",
        default="auto",
        metavar="R",
        help="auto: go on with the unfinished run of this configuration, if any; never; or a run or checkpoint",
    )
    parser.add_argument("--initialise-from", metavar="FOLDER", help="begin with the weights of this checkpoint")
    parser.add_argument("--dry-run", action="store_true", help="show the plan and the configuration only")
    parser.add_argument(
        "--run-id", metavar="ID", help="begin the run under this ULID, or go on with it (as sweeps start their trials)"
    )
    parser.add_argument("--parent", metavar="RUN", help="the run that the one of --run-id belongs to")
    parser.add_class_arguments(PretrainConfig, None)
    return parser


def parse(argv: Sequence[str]) -> Request:
    """The command line as a request, checked as far as the command line alone goes.

    Raises:
        UserError: a wrong option, value or configuration file.
    """
    from jsonargparse import ArgumentError

    arguments, _ = options.with_preset(argv, "training", "pretrain")
    parser = build_parser()
    try:
        parsed = parser.parse_args(arguments)
        config = options.instantiate(parser, parsed, PretrainConfig)
    except (ArgumentError, TypeError, ValueError) as error:
        raise UserError(options.message(error, PretrainConfig)) from error
    check(config)
    request = Request(
        config=config,
        workspace=parsed.workspace,
        resume=parsed.resume,
        initialise_from=parsed.initialise_from,
        dry_run=parsed.dry_run,
        run_id=parsed.run_id,
        parent=parsed.parent,
    )
    _check_named(request)
    if not request.resume:
        raise UserError("--resume: is empty; give auto, never, a run or a checkpoint")
    if request.initialise_from is not None and request.resume not in ("auto", "never"):
        raise UserError(
            f"--initialise-from {request.initialise_from}: cannot be given with --resume {request.resume}, which has "
            "weights of its own; leave one of them out"
        )
    return request


def _check_named(request: Request) -> None:
    if request.run_id is None:
        if request.parent is not None:
            raise UserError(f"--parent {request.parent}: says whose the run of --run-id is; give that as well")
        return
    if not ULID_PATTERN.fullmatch(request.run_id):
        raise UserError(f"--run-id {request.run_id}: is no ULID (26 of 0-9 and A-Z without I, L, O, U)")
    if request.resume != "auto":
        raise UserError(f"--run-id {request.run_id}: goes on by itself; leave --resume {request.resume} out")


def from_dict(plain: Mapping[str, Any]) -> PretrainConfig:
    """The configuration out of plain JSON values, as a run's record has it.

    Raises:
        UserError: an unknown field or a wrong value.
    """
    return options.from_dict(plain, PretrainConfig)
