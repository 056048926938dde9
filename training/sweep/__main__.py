"""``python -m training.sweep``: search over the options of training; ``... range``: the learning-rate range test."""

import logging
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from curation import options
from curation.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_USAGE, UserError

if TYPE_CHECKING:
    from curation.executors import StopSignal
    from training.sweep.range import RangeRequest
    from training.sweep.run import SweepRequest

log = logging.getLogger("training")

EPILOG = """\
examples:
  python -m training.sweep --config sweep.yaml --workspace W
      search; the same command goes on after a stop or a kill
  python -m training.sweep --config sweep.yaml --trials 40 --jobs 4 --resume RUN --workspace W
      go on with a sweep, done or not, to more trials, four at once
  python -m training.sweep --config sweep.yaml --dry-run --workspace W
      what would be searched; nothing is trained
  python -m training.sweep range --config mine.yaml --low 1e-6 --high 1 --steps 200 --workspace W
      the learning rate rises within one run; a suggestion from its losses

exit codes:
  0 done, whatever trials failed; 1 no trial came to its end; 2 wrong usage or configuration; 130 interrupted
"""

RANGE_EPILOG = """\
The learning rate is multiplied by the same factor at each step (Smith 2017, https://arxiv.org/abs/1506.01186).
Suggested is where the loss falls most steeply; the highest one that is of use is below the one of the lowest loss.
"""


def parse_sweep(argv: Sequence[str]) -> "SweepRequest":
    """The command line of a sweep as a request.

    Raises:
        UserError: a wrong option, value or configuration file.
    """
    from jsonargparse import ActionConfigFile, ArgumentError  # type: ignore[attr-defined]

    from training.sweep.config import SweepConfig
    from training.sweep.run import SweepRequest

    parser = options.new_parser(
        prog="python -m training.sweep",
        usage="python -m training.sweep --config SWEEP.yaml --workspace W [options]\n"
        "       python -m training.sweep range --config C --workspace W [--low L] [--high H] [--steps N]",
        description="Search over learning rate, batch, epochs, warmup, width, depth and mixture of a training run.",
        epilog=EPILOG,
    )
    parser.add_argument("--workspace", default="workspace", help="folder that holds everything")
    parser.add_argument("--config", action=ActionConfigFile, help="YAML file, or the preset sweep")
    parser.add_argument(
        "--resume",
        default="auto",
        metavar="R",
        help="auto: go on with the unfinished sweep of this configuration, if any; never; or a sweep's run",
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would be searched only")
    parser.add_class_arguments(SweepConfig, None)
    asks_help = any(each in ("-h", "--help") for each in argv)
    arguments, given = options.with_preset(argv, "training", "sweep")
    if not (given or asks_help or any(each.startswith("--search") for each in argv)):
        raise UserError("--config: is missing; give the YAML file of a sweep (training/configs/sweep.yaml is one)")
    try:
        parsed = parser.parse_args(arguments if given or asks_help else argv)
        config = options.instantiate(parser, parsed, SweepConfig)
    except (ArgumentError, TypeError, ValueError) as error:
        raise UserError(options.message(error, SweepConfig)) from error
    return SweepRequest(config, parsed.workspace, parsed.resume, parsed.dry_run)


def parse_range(argv: Sequence[str]) -> "RangeRequest":
    """The command line of a range test as a request.

    Raises:
        UserError: a wrong option, value or configuration file.
    """
    from jsonargparse import ActionConfigFile, ArgumentError  # type: ignore[attr-defined]

    from training.config import PretrainConfig
    from training.sweep.range import RangeRequest

    parser = options.new_parser(
        prog="python -m training.sweep range",
        usage="python -m training.sweep range --config C --workspace W [--low L] [--high H] [--steps N] [options]",
        description="Find a learning rate: raise it within one run and see what the loss does.",
        epilog=RANGE_EPILOG,
    )
    parser.add_argument("--workspace", default="workspace", help="folder that holds everything")
    parser.add_argument("--config", action=ActionConfigFile, help="YAML file or preset, as for training.pretrain")
    parser.add_argument("--low", type=float, default=1e-6, help="learning rate of the first step (default: 1e-6)")
    parser.add_argument("--high", type=float, default=1.0, help="learning rate of the last step (default: 1)")
    parser.add_argument("--steps", type=int, default=200, help="steps between them (default: 200)")
    parser.add_argument("--resume", default="auto", metavar="R", help="auto, never, or the run of a range test")
    parser.add_class_arguments(PretrainConfig, None)
    arguments, _ = options.with_preset(argv, "training", "pretrain")
    try:
        parsed = parser.parse_args(arguments)
        config = options.instantiate(parser, parsed, PretrainConfig)
    except (ArgumentError, TypeError, ValueError) as error:
        raise UserError(options.message(error, PretrainConfig)) from error
    return RangeRequest(config, parsed.workspace, parsed.resume, parsed.low, parsed.high, parsed.steps)


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code."""
    from curation.executors import Interrupted, StopSignal
    from curation.progress import setup_logging

    with StopSignal().watch() as stop:  # before anything that takes long to load
        setup_logging()
        try:
            return _run(list(sys.argv[1:] if argv is None else argv), stop)
        except Interrupted:
            return EXIT_INTERRUPTED


def _run(words: Sequence[str], stop: "StopSignal") -> int:
    try:
        if words[:1] == ["range"]:
            from training.sweep.range import run_range

            return run_range(parse_range(words[1:]), stop)
        from training.sweep.run import run_sweep

        return run_sweep(parse_sweep(words), stop)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read has had enough
        return EXIT_DONE
    except UserError as error:
        message = str(error)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        message = f"{error.strerror or error}{where}"
    log.error("%s", message)
    return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())
