"""``python -m audit.compare A B``: what differs between two audited models, and which items flipped."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from curation.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_USAGE, UserError

EPILOG = """\
examples:
  python -m audit.compare RUN-00000100 RUN-00000320 --workspace W
      two checkpoints that were audited with the same items
  python -m audit.compare smollm2 RUN-00000060 --examples 5 --workspace W
      with the five items of each probe whose score changed most
  python -m audit.compare A B --probes pairs,crows_pairs --all --workspace W
      everything that was looked at, not only what differs

A and B: ids of checkpoints, of audits, or names of models outside the workspace. Only items that both have count.

exit codes: 0 done; 2 wrong usage; 130 interrupted
"""


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m audit.compare",
        description="Compare two audited models, item by item.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("first", metavar="A", help="the baseline")
    parser.add_argument("second", metavar="B", help="what is compared with it")
    parser.add_argument("--workspace", default="workspace", help="folder (default: ./workspace)")
    parser.add_argument("--probes", metavar="a,b", help="only these (default: all that both were audited with)")
    parser.add_argument("--examples", type=int, default=3, metavar="K", help="flipped items shown (default: 3)")
    parser.add_argument("--all", action="store_true", help="show all that was compared, not only what differs")
    parser.add_argument("--seed", type=int, default=0, help="of the permutations (default: 0)")
    parser.add_argument("--format", choices=("table", "json"), default="table", help="table, or JSON lines")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code."""
    from curation.progress import setup_logging

    arguments = build_parser().parse_args(argv)
    setup_logging()
    try:
        _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stderr.close()  # whoever read has had enough
        return EXIT_DONE
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        print("interrupted; nothing was recorded", file=sys.stderr)
        return EXIT_INTERRUPTED
    return EXIT_DONE


def _run(arguments: argparse.Namespace) -> None:
    from audit.comparing import common, corrected, differences, flips
    from audit.estimates import DRAWS
    from audit.recorded import KIND, find_audited
    from audit.results import read_items
    from curation.recorded import recorded_run
    from curation.storage import open_workspace

    workspace = open_workspace(arguments.workspace)
    if not workspace.exists:
        raise UserError(f"--workspace {arguments.workspace}: there is no workspace; name the one with the audits")
    first, second = (find_audited(workspace, name) for name in (arguments.first, arguments.second))
    names = _names(arguments.probes, first, second)
    config = {
        "audit": "compare",
        **{
            which: {"subject": each.source.id, "audits": {name: each.results[name].parent.name for name in names}}
            for which, each in (("first", first), ("second", second))
        },
        "seed": arguments.seed,
    }
    pairs = {name: common(read_items(first.results[name]), read_items(second.results[name])) for name in names}
    with recorded_run(workspace, KIND, config, seed=arguments.seed, packages=("numpy", "scipy")) as run_id:
        wanted = sum(len(first.probe(name).metrics) * 12 for name in names)
        draws = max(DRAWS, 100 * wanted)  # the least p-value, times the number of tests, must be able to be small
        found = corrected(
            [each for name in names for each in differences(first.probe(name), *pairs[name], arguments.seed, draws)]
        )
        _record(workspace, run_id, first.source, second.source, found)
    flipped = {name: flips(*pairs[name]) for name in names}
    _show(arguments, run_id, first, second, found, flipped)


def _names(asked: str | None, first: Any, second: Any) -> list[str]:
    from audit.probes import find_probe

    both = sorted(first.results.keys() & second.results.keys())
    if asked is not None:
        both = [name.strip() for name in asked.split(",") if name.strip()]
        for name in both:
            for each in (first, second):
                if name not in each.results:
                    raise UserError(f"--probes {find_probe(name).name}: {each.source.label} was not audited with it")
    for name in both:
        one, other = first.probe(name), second.probe(name)
        versions = {first.versions[name], second.versions[name], one.version}
        if len(versions) > 1 or one.measures != other.measures:
            raise UserError(f"{name}: the two audits are of different versions of the probe; audit both again")
    if not both:
        raise UserError(
            f"no probe that both were audited with: {', '.join(first.results)} and {', '.join(second.results)}"
        )
    return both


def _record(workspace: Any, run_id: str, first: Any, second: Any, found: Sequence[Any]) -> None:
    from curation.findings import Findings, Metric, Probe

    for probe in dict.fromkeys(each.probe for each in found):
        meanings = tuple(
            Metric(f"{metric.name}.difference", metric.unit, 0.0, "audit/comparing.py") for metric in probe.metrics
        )
        findings = Findings(Probe(probe.name, probe.version, meanings, probe.kind, probe.license), second, run_id)
        for each in found:
            if each.probe is probe:
                made = each.figure
                findings.add(
                    f"{each.metric.name}.difference",
                    made.value,
                    baseline_id=first.id,
                    language=each.language,
                    group_name=each.group,
                    ci_low=made.low,
                    ci_high=made.high,
                    ci_method=made.method,
                    n=made.n,
                    mde=made.mde,
                    p_value=made.p_value,
                    p_adjusted=each.p_adjusted,
                    scorer=probe.scorer,
                    why=None if made.value == made.value else "it cannot be made of these items",
                )
        findings.write(workspace, f"{run_id}-{probe.name}")


def _show(arguments: Any, run_id: str, first: Any, second: Any, found: Sequence[Any], flipped: Any) -> None:
    from audit.figures import number
    from audit.show import json_lines, p, table

    shown = [each for each in found if arguments.all or each.shown or each.group is None]
    if arguments.format == "json":
        json_lines(
            {
                **{"probe": each.probe.name, "metric": each.metric.name, "group": each.group},
                **{"language": each.language, "first": each.first, "second": each.second},
                **{"difference": each.figure.value, "low": each.figure.low, "high": each.figure.high},
                **{"n": each.figure.n, "p_value": each.figure.p_value, "p_adjusted": each.p_adjusted},
                **{"differs": each.shown, "n_needed": each.needed},
            }
            for each in shown
        )
        return
    rows = []
    for each in shown:
        unit, made = each.metric.unit, each.figure
        needed = each.needed
        says = "differs" if each.shown else "no difference shown"
        if not each.shown and needed is not None and needed > made.n:
            says += f"; one of this size would need {needed:,} independent items"
        rows.append(
            {
                "probe": each.probe.name,
                "figure": each.metric.name,
                "of": each.group or each.language or "all",
                "A": number(each.first, unit),
                "B": number(each.second, unit),
                "95 % interval of B - A": f"{number(made.low, unit)} to {number(made.high, unit)}",
                "n": f"{made.n:,}",
                "p": p(each.p_adjusted),
                "says": says,
            }
        )
    print(f"A: {first.source.label} ({first.source.id})\nB: {second.source.label} ({second.source.id})")
    table(rows)
    print(f"{len(found):,} comparisons, p corrected for all of them (Holm); 'differs': p < .05")
    for name, each in flipped.items():
        if each is not None:
            _show_flips(name, each, first.results[name], second.results[name], arguments.examples)
    print(
        f'\nnext: python -m curation.catalog sql "SELECT probe_id, metric, group_name, value, p_adjusted FROM finding'
        f" WHERE run_id = '{run_id}' ORDER BY p_adjusted\" --workspace {arguments.workspace}"
    )


def _show_flips(name: str, each: Any, first: Any, second: Any, examples: int) -> None:
    from audit.results import read_texts
    from audit.show import p
    from curation.alarms import printable

    up, down = len(each.to_positive), len(each.to_negative)
    print(
        f"\n{name}: of {each.items:,} items {up:,} flipped towards the stereotype, {down:,} away from it "
        f"(McNemar p = {p(each.p_value)})"
    )
    shown = [*each.to_positive[: (examples + 1) // 2], *each.to_negative[: examples // 2]]
    for item, texts in read_texts(second, shown).items():
        print(f"  {item}: {'  |  '.join(printable(text) for text in texts)}")


if __name__ == "__main__":
    sys.exit(main())
