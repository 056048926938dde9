"""``python -m audit.data filters | representation | associations``: audits of data and of filters."""

import argparse
import sys
from collections.abc import Sequence

from curation.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_USAGE, UserError

EPILOG = """\
examples:
  python -m audit.data filters RUN --workspace W
      for each step and reason of a run: whom it removes more, or less, than others
  python -m audit.data filters last --workspace W --by group,dialect --min-group 50 --examples 5
  python -m audit.data representation news@2 --workspace W
      how often groups are mentioned in a dataset, with whom, and beside which words
  python -m audit.data associations last --workspace W --window 20
      groups beside words of career, crime, illness and so on

Languages with lists of identity terms: curation/terms/*.csv. Documents in others are compared by domain, length and
language, and are named as not audited for groups. Findings go to the table finding of the catalog.

exit codes: 0 done; 2 wrong usage, or the machine stopped it; 130 interrupted
"""


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m audit.data",
        description="Audit stored data, and the filters that made it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--workspace", default="workspace", help="the workspace (default: ./workspace)")
    common.add_argument(
        "--min-group", type=int, default=20, metavar="N", help="groups in fewer documents are not scored (default: 20)"
    )
    common.add_argument("--alpha", type=float, default=0.05, help="chance of any false alarm (default: 0.05)")
    common.add_argument("--format", choices=("table", "json"), default="table", help="table, or one JSON object a line")
    common.add_argument("--all", action="store_true", help="show everything, not only what is significant")
    common.add_argument(
        "--limit", type=int, default=60, metavar="N", help="most lines shown (default: 60; 0: no limit)"
    )
    common.add_argument(
        "--ambiguous", action="store_true", help="also look for terms that mostly mean something else (black, old)"
    )
    filters = commands.add_parser("filters", parents=[common], help="what filters removed, and from whom")
    filters.add_argument("run", metavar="RUN", help="a finished curation run; 'last' is the newest")
    filters.add_argument(
        "--by",
        default="group,dialect,language,domain,length",
        help="what to compare documents by (default: group,dialect,language,domain,length)",
    )
    filters.add_argument("--examples", type=int, default=2, metavar="K", help="examples for each finding (default: 2)")
    for name, text in (
        ("representation", "how often groups are mentioned, with whom, beside which words"),
        ("associations", "PMI of groups with attribute words"),
    ):
        command = commands.add_parser(name, parents=[common], help=text)
        command.add_argument("subject", nargs="?", default="last", metavar="RUN|DATASET", help="default: the last run")
        if name == "associations":
            command.add_argument(
                "--window",
                type=int,
                default=10,
                metavar="K",
                help="words to each side of a mention (default: 10); 0: the whole document",
            )
            command.add_argument("--draws", type=int, default=1000, help="bootstrap resamples (default: 1000)")
            command.add_argument("--seed", type=int, default=0, help="of the bootstrap (default: 0)")
        else:
            command.add_argument("--words", type=int, default=8, metavar="K", help="neighbouring words (default: 8)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code."""
    arguments = build_parser().parse_args(argv)
    from curation.progress import setup_logging

    setup_logging()
    try:
        _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stderr.close()  # whoever read has had enough
        return EXIT_DONE
    except (UserError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        print("interrupted; nothing was recorded as found", file=sys.stderr)
        return EXIT_INTERRUPTED
    return EXIT_DONE


def _run(arguments: argparse.Namespace) -> None:
    if arguments.command == "filters":
        from audit.filters import audit_filters

        audit_filters(arguments)
    elif arguments.command == "representation":
        from audit.representation import audit_representation

        audit_representation(arguments)
    else:
        from audit.associations import audit_associations

        audit_associations(arguments)


if __name__ == "__main__":
    sys.exit(main())
