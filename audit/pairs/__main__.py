"""``python -m audit.pairs list | show | check``: the counterfactual pairs that are shipped."""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from audit.pairs.check import Lengths, length_matched, measure_lengths, set_faults
from audit.pairs.grammar import LANGUAGES
from audit.pairs.make import KINDS, VERSION, Pair, all_pairs, pairs
from audit.pairs.read import AXES
from curation.errors import (
    EXIT_DONE,
    EXIT_INTERRUPTED,
    EXIT_SOME_FAILED,
    EXIT_USAGE,
    UserError,
    unknown_name,
)
from curation.tokens.tokenizer import FILE, Tokenizer, read_folder

EPILOG = """\
examples:
  python -m audit.pairs list
      how many pairs there are for each language and axis
  python -m audit.pairs show --language deu --axis religion --kind stereotype --limit 10
      some pairs, spread over the set; the words that differ stand in brackets
  python -m audit.pairs show --format json --limit 0 > pairs.jsonl
      all of them, one JSON object a line
  python -m audit.pairs check --tokenizer path/to/model
      grammar, uniqueness and balance; and whether this tokenizer makes the sentences of a pair unequal in length

How the pairs are made, and how to add to them: audit/pairs/CONSTRUCTION.md.

exit codes: 0 done; 1 a check found faults; 2 wrong usage; 130 interrupted
"""


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m audit.pairs",
        description="Counterfactual pairs of sentences, alike but for the group that they are about.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--language", metavar="A,B", help=f"these alone: {', '.join(LANGUAGES)} (default: all)")
    common.add_argument("--axis", metavar="A,B", help=f"these alone: {', '.join(AXES)} (default: all)")
    commands.add_parser("list", parents=[common], help="how many pairs of which kinds")
    show = commands.add_parser("show", parents=[common], help="print pairs")
    show.add_argument("--kind", metavar="A,B", help=f"these alone: {', '.join(KINDS)} (default: all)")
    show.add_argument("--limit", type=int, default=20, metavar="N", help="most pairs shown (default: 20; 0: no limit)")
    show.add_argument("--format", choices=("text", "json"), default="text", help="text, or one JSON object a line")
    check = commands.add_parser("check", parents=[common], help="prove the sets, and look at their lengths in tokens")
    for command in (show, check):
        command.add_argument("--tokenizer", metavar="FOLDER", help=f"a folder with a {FILE}: count its tokens")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    arguments = build_parser().parse_args(argv)
    try:
        code = {"list": _list, "show": _show, "check": _check}[arguments.command](arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stderr.close()  # whoever read has had enough
        return EXIT_DONE
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return code


def _list(arguments: argparse.Namespace) -> int:
    print(f"{'language':<9}{'axis':<20}{'pairs':>6}" + "".join(f"{kind:>12}" for kind in KINDS) + "  groups")
    total = 0
    for language, axis in _asked(arguments):
        found = pairs(language, axis)
        kinds = Counter(pair.kind for pair in found)
        groups = dict.fromkeys(group for pair in found for group in sorted(pair.groups))
        counts = "".join(f"{kinds[kind]:>12}" for kind in KINDS)
        print(f"{language:<9}{axis:<20}{len(found):>6}{counts}  {', '.join(groups)}")
        total += len(found)
    print(f"{total} pairs, version {VERSION}")
    print("next: python -m audit.pairs show --language eng --axis religion", file=sys.stderr)
    return EXIT_DONE


def _show(arguments: argparse.Namespace) -> int:
    kinds = _names("--kind", arguments.kind, KINDS)
    found = [
        pair for asked in _asked(arguments) for pair in all_pairs(*((each,) for each in asked)) if pair.kind in kinds
    ]
    if arguments.limit < 0:
        raise UserError(f"--limit {arguments.limit}: write 0 for no limit, or how many")
    shown = min(arguments.limit or len(found), len(found))
    chosen = [found[place * len(found) // shown] for place in range(shown)]
    tokenizer = _tokenizer(arguments)
    matched = length_matched(chosen, tokenizer) if tokenizer else [None] * len(chosen)
    for pair, equal in zip(chosen, matched, strict=True):
        if arguments.format == "json":
            print(json.dumps(asdict(pair) | ({} if equal is None else {"length_matched": equal}), ensure_ascii=False))
        else:
            direction = "" if pair.stereotypical is None else f"  stereotypical: {pair.groups[pair.stereotypical]}"
            note = "" if equal is None else f"  {'as many' if equal else 'not as many'} tokens"
            print(f"{pair.id}{direction}{note}\n  {bracketed(pair)}")
    if arguments.format == "text":
        print(f"{shown} of {len(found)} pairs; next: python -m audit.pairs check --tokenizer FOLDER", file=sys.stderr)
    return EXIT_DONE


def bracketed(pair: Pair) -> str:
    """Both sentences in one line: "The [Muslim | Hindu] guest ..."."""
    first, second = pair.sentences
    text, end = "", 0
    for mine, yours in zip(*pair.differing, strict=True):
        text += f"{first[end : mine[0]]}[{first[slice(*mine)]} | {second[slice(*yours)]}]"
        end = mine[1]
    return text + first[end:]


def _check(arguments: argparse.Namespace) -> int:
    tokenizer = _tokenizer(arguments)
    faults: list[str] = []
    everything: list[Pair] = []
    if tokenizer:
        print(f"tokenizer {tokenizer.name}, sha256 {tokenizer.sha256[:12]}")
        print(f"{'language':<9}{'axis':<20}{'pairs':>6}{'differ':>8}{'mean':>7}{'most':>6}{'excess':>8}{'corr':>7}")
    for language, axis in _asked(arguments):
        found = pairs(language, axis)
        faults += set_faults(found)
        everything += found
        if tokenizer:
            print(f"{language:<9}{axis:<20}{_row(measure_lengths(found, tokenizer))}")
    if tokenizer:
        print(f"{'all':<29}{_row(measure_lengths(everything, tokenizer))}")
        print(
            "differ: pairs with unequal numbers of tokens; mean, most: by how many; excess: tokens of the stereotypical"
        )
        print("sentence less those of the other, mean; corr: of the difference in length with the direction")
    for fault in faults:
        print(fault)
    print(f"{len(everything)} pairs, {len(faults)} faults")
    if not faults:
        offered = "list" if tokenizer else "check --tokenizer FOLDER"
        print(f"next: python -m audit.pairs {offered}", file=sys.stderr)
    return EXIT_SOME_FAILED if faults else EXIT_DONE


def _row(lengths: Lengths) -> str:
    excess = "-" if lengths.mean_excess is None else f"{lengths.mean_excess:+.2f}"
    correlation = "-" if lengths.correlation is None else f"{lengths.correlation:+.2f}"
    counts = f"{lengths.pairs:>6}{lengths.differ / max(lengths.pairs, 1):>8.0%}{lengths.mean_difference:>7.2f}"
    return f"{counts}{lengths.largest:>6}{excess:>8}{correlation:>7}"


def _asked(arguments: argparse.Namespace) -> list[tuple[str, str]]:
    languages = _names("--language", arguments.language, LANGUAGES)
    axes = _names("--axis", arguments.axis, AXES)
    return [(language, axis) for language in languages for axis in axes]


def _names(flag: str, given: str | None, valid: Sequence[str]) -> list[str]:
    names = list(valid) if given is None else given.split(",")
    for name in names:
        if name not in valid:
            raise unknown_name(f"name in {flag}", name, valid)
    return names


def _tokenizer(arguments: argparse.Namespace) -> Tokenizer | None:
    if arguments.tokenizer is None:
        return None
    folder = Path(arguments.tokenizer)
    if not (folder / FILE).is_file():
        raise UserError(
            f"--tokenizer {arguments.tokenizer}: no folder with a {FILE}; name that of a model or tokenizer"
        )
    return read_folder(folder.resolve().name, folder)


if __name__ == "__main__":
    sys.exit(main())
