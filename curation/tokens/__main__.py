"""``python -m curation.tokens train | report | encode``: tokenizers, what they do to whom, and datasets of tokens."""

import argparse
import sys
from collections.abc import Sequence

from curation.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_USAGE, UserError
from curation.storage import open_workspace
from curation.workspace import Workspace

EPILOG = """\
examples:
  python -m curation.tokens train news --algorithm bpe --vocab-size 32000 --workspace W
  python -m curation.tokens report news --tokenizer news-bpe-32000 --tokenizer ./other --workspace W
      tokens per word and language, what is lost, and what each language and group pays
  python -m curation.tokens encode news --tokenizer news-bpe-32000 --workers 8 --workspace W
      token shards in W/tokens; the same command goes on after a kill
"""


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m curation.tokens",
        description="Tokenizers and tokenized datasets.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("dataset", metavar="DATASET", help="NAME, NAME@VERSION or id of a dataset of texts")
    common.add_argument("--workspace", default="workspace", help="folder or URL (default: ./workspace)")
    known = "a tokenizer of the workspace by name, a Hugging Face folder or tokenizer.json, or a name on the hub"
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    train = commands.add_parser("train", parents=[common], help="train a tokenizer on a dataset")
    train.add_argument("--algorithm", default="bpe", help="bpe, unigram, wordpiece, byte or char (default: bpe)")
    train.add_argument("--vocab-size", type=int, default=32_000, metavar="N", help="most tokens (default: 32000)")
    train.add_argument("--name", metavar="T", help="default: DATASET-ALGORITHM-N")
    train.add_argument("--special", nargs="+", default=[], metavar="TOKEN", help="special tokens of your own")
    report = commands.add_parser("report", parents=[common], help="measure tokenizers on a dataset")
    report.add_argument("--tokenizer", action="append", required=True, metavar="T", help=f"{known}; can be repeated")
    report.add_argument(
        "--sample",
        type=int,
        default=2000,
        metavar="N",
        help="documents of a language looked at; 0: all (default: 2000)",
    )
    report.add_argument(
        "--terms", action="append", metavar="CSV", help="a list of identity terms, eng.csv (default: the lists shipped)"
    )
    report.add_argument("--format", choices=("table", "csv", "json"), default="table", help="how to print figures")
    report.add_argument("--all", action="store_true", help="print all groups, not only the one that pays most")
    encode = commands.add_parser("encode", parents=[common], help="make a tokenized dataset")
    encode.add_argument("--tokenizer", required=True, metavar="T", help=known)
    encode.add_argument("--name", metavar="N", help="of the tokenized dataset (default: DATASET-tokens)")
    encode.add_argument("--workers", type=int, default=1, metavar="K", help="processes (default: 1)")
    encode.add_argument(
        "--validation-share", type=float, default=0.01, metavar="S", help="of documents, held out (default: 0.01)"
    )
    encode.add_argument("--seed", type=int, default=0, help="which documents are held out (default: 0)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code."""
    options = build_parser().parse_args(argv)
    from curation.progress import setup_logging

    setup_logging()
    try:
        _COMMANDS[options.command](options, open_workspace(options.workspace))
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stderr.close()  # whoever read has had enough
        return EXIT_DONE
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        print("interrupted; what is encoded stays, and the same command goes on", file=sys.stderr)
        return EXIT_INTERRUPTED
    return EXIT_DONE


def _train(options: argparse.Namespace, workspace: Workspace) -> None:
    from curation.tokens.tokenizer import open_tokenizer
    from curation.tokens.train import TrainConfig, train

    config = TrainConfig(options.algorithm, options.vocab_size, tuple(options.special))
    name = train(workspace, options.dataset, config, options.name)
    made = open_tokenizer(workspace, name)
    print(f"{name}: {made.vocab_size:,} tokens, sha256 {made.sha256}")
    where = f"--tokenizer {name} --workspace {options.workspace}"
    print(f"next: python -m curation.tokens report {options.dataset} {where}")
    print(f"      python -m curation.tokens encode {options.dataset} {where}")


def _report(options: argparse.Namespace, workspace: Workspace) -> None:
    from curation.tokens.report import report, show

    run_id, figures = report(workspace, options.dataset, options.tokenizer, options.sample, options.terms)
    show(figures, options.format, options.all)
    if options.format == "table":
        sql = f"SELECT scorer, metric, language, group_name, value, n, why FROM finding WHERE run_id = '{run_id}'"
        print(f'\nnext: python -m curation.catalog sql "{sql}" --workspace {options.workspace}')


def _encode(options: argparse.Namespace, workspace: Workspace) -> None:
    from curation.catalog import open_catalog, rows
    from curation.catalog.__main__ import print_rows
    from curation.progress import Progress
    from curation.tokens.encode import EncodeConfig, encode

    config = EncodeConfig(options.validation_share, options.seed)
    progress = Progress()
    started = False

    def tell(done: int, shards: int, documents: int) -> None:
        nonlocal started
        if not started:
            progress.start("encode", shards, done, unit="shard")
            if done:
                progress.note(f"going on: {done} of {shards} shards are encoded already")
            first[0] = done
        started = True
        progress.update(done - first[0], documents)

    first = [0]
    try:
        made = encode(workspace, options.dataset, options.tokenizer, options.name, options.workers, config, tell)
    except BaseException:
        progress.abandon()
        raise
    if started:
        progress.finish()
    with open_catalog(workspace) as connection:
        found = rows(
            connection,
            "SELECT split, language, count(*) AS shards, sum(documents)::BIGINT AS documents, "
            "sum(tokens)::BIGINT AS tokens FROM token_shard WHERE run_id = ? GROUP BY ALL ORDER BY ALL",
            [made.run_id],
        )
    print_rows(list(found[0]), [tuple(row.values()) for row in found], "table")
    print(f"\n{made.dataset}{'' if made.new else ' is there already; no new version'}: tokens/{made.run_id}")
    print(
        f"next: python -m training.pretrain --workspace {options.workspace} "
        f"--data.datasets '[{{dataset: {made.dataset}}}]'"
    )


_COMMANDS = {"train": _train, "report": _report, "encode": _encode}

if __name__ == "__main__":
    sys.exit(main())
