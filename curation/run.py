"""``python -m curation.run``: raw input -> clean, catalogued shards."""

import dataclasses
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from curation.errors import EXIT_INTERRUPTED, EXIT_USAGE, UserError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

    from curation.session import Request

EPILOG = """\
examples:
  python -m curation.run crawl/*.warc.gz --workspace W
      read WARCs, keep what the preset "web" keeps; kept and rejected documents go to W/shards
  python -m curation.run books/ notes.jsonl s3://bucket/part-*.parquet --workspace W --config smoke
      any mix of files, folders, globs and URLs
  python -m curation.run crawl/ --workspace W --language.languages '[en, de]' --language.threshold 0.8
      any option of the configuration by its dotted name
  python -m curation.run crawl/ --workspace W --dry-run
      what would be read, and the resolved configuration; nothing is written
  python -m curation.run --workspace W --resume RUN
      go on with an interrupted run
  python -m curation.run /data/crawl --workspace /data/W --execution.executor slurm \\
      --execution.slurm.partition cpu --execution.slurm.time 12:00:00 --execution.jobs.at_once 200
      the same as jobs of a cluster (slurm or ray), whose nodes see /data
  python -m curation.run s3://bucket/crawl/ --workspace s3://bucket/W
      records, shards and index on object storage; working files in $OPEN_CURATION_HOME (~/.cache/open-curation),
      endpoint and credentials from AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or AWS_PROFILE
  python -m curation.run --workspace W --from RUN --config new.yaml
      decide anew from the stored text and scores of RUN, without its raw input

exit codes:
  0 done; 1 done, but a file could not be read whole, or more than read.max_bad_share of the records were
  quarantined; 2 wrong usage, or the machine stopped the run (disk full, say); 130 interrupted
"""


def build_parser() -> "ArgumentParser":
    """The command line: the options of the command, then every field of ``CurationConfig``."""
    from jsonargparse import ActionConfigFile  # type: ignore[attr-defined]

    from curation.config import CurationConfig
    from curation.options import new_parser, presets

    parser = new_parser(
        prog="python -m curation.run",
        usage="python -m curation.run INPUT... --workspace W [--config C] [options]",
        description="Turn raw crawls into clean, catalogued shards.",
        epilog=EPILOG,
    )
    parser.add_argument("inputs", nargs="*", default=[], metavar="INPUT", help="files, folders, globs, URLs (fsspec)")
    parser.add_argument(
        "--workspace", default="workspace", help="folder, or URL of an object store, that holds everything"
    )
    names = ", ".join(presets("curation"))
    parser.add_argument("--config", action=ActionConfigFile, help=f"YAML file, or a preset: {names}; none: web")
    parser.add_argument("--resume", metavar="RUN", help="go on with this run; 'last' is the newest unfinished one")
    parser.add_argument("--from", metavar="RUN", help="decide anew from the stored documents of this run")
    parser.add_argument("--limit", type=int, metavar="N", help="stop after the first N raw records (one worker)")
    parser.add_argument("--dry-run", action="store_true", help="show the plan and the configuration only")
    parser.add_class_arguments(CurationConfig, None)
    return parser


def parse(argv: Sequence[str]) -> "Request":
    """The command line as a checked request.

    Raises:
        UserError: a wrong option, value or configuration file.
    """
    from jsonargparse import ArgumentError

    from curation.config import CurationConfig
    from curation.filters import build_filters
    from curation.language import parse_languages
    from curation.options import instantiate, message, with_preset
    from curation.session import Request

    sections = {field.name for field in dataclasses.fields(CurationConfig)} - {"execution"}
    config_given = any(each.startswith("--") and each[2:].partition("=")[0].split(".")[0] in sections for each in argv)
    arguments, file_given = with_preset(argv, "curation", "web")
    parser = build_parser()
    try:
        options = parser.parse_args(arguments)
        config = instantiate(parser, options, CurationConfig)
    except (ArgumentError, TypeError, ValueError) as error:
        raise UserError(message(error, CurationConfig)) from error
    build_filters(config.filters)
    parse_languages(config.language.languages, model=config.language.model)
    request = Request(
        inputs=list(options.inputs or []),
        workspace=options.workspace,
        config=config,
        config_given=config_given or file_given,
        resume=options.resume,
        parent=options["from"],
        limit=options.limit,
        dry_run=options.dry_run,
    )
    request.validate()
    return request


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code."""
    from curation.executors import Interrupted, StopSignal, TaskFailed, warm_up

    warm_up()
    from curation.progress import log, setup_logging
    from curation.session import Session

    setup_logging()
    session: Session | None = None
    with StopSignal().watch() as stop:
        try:
            session = Session(parse(sys.argv[1:] if argv is None else argv), stop)
            return session.run()
        except Interrupted:
            if session is not None:
                session.interrupted()
            return EXIT_INTERRUPTED
        except (UserError, TaskFailed) as error:
            message = str(error)
        except OSError as error:
            where = f": {error.filename}" if error.filename else ""
            message = f"{error.strerror or error}{where}"
        log.error("%s", message)
        if session is not None:
            session.failed(message)
        return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())
