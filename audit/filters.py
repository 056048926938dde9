"""``python -m audit.data filters``: findings, table and examples of what filters removed, and from whom."""

import argparse
import math
from collections.abc import Mapping, Sequence
from typing import Any

from audit import show
from audit.documents import find_run
from audit.examples import contexts, key, pick
from audit.facts import Facts, Finder, gather
from audit.removal import FACTORS, Gap, Options, Row, compare_all, gaps
from curation.errors import UserError
from curation.findings import Findings, Metric, Probe
from curation.progress import Progress, log
from curation.recorded import recorded_run
from curation.storage import open_workspace
from curation.terms import identity_terms

_METHOD = "audit/risk.py; Mantel and Haenszel 1959; Dodge et al. 2021, https://aclanthology.org/2021.emnlp-main.98"
PROBE = Probe(
    "data.filters",
    "1",
    (
        Metric("removal_ratio", "ratio", 1.0, _METHOD),
        Metric("removal_rate", "share", None, _METHOD),
        Metric("rate_gap", "share", 0.0, _METHOD),
    ),
)
CAVEAT = (
    "dialect markers point at texts to look at: quotations and borrowing have them too, and most texts in a variety "
    "have none"
)


def options_of(arguments: argparse.Namespace) -> Options:
    """Checked options.

    Raises:
        UserError: a value out of range, or a factor that there is not.
    """
    by = [name.strip() for name in arguments.by.split(",") if name.strip()]
    if not by or set(by) - set(FACTORS):
        raise UserError(f"--by {arguments.by}: one or more of {', '.join(FACTORS)}, separated by commas")
    if arguments.min_group < 2:
        raise UserError(f"--min-group {arguments.min_group}: at least 2, or single documents are pointed at")
    if not 0 < arguments.alpha < 1:
        raise UserError(f"--alpha {arguments.alpha}: between 0 and 1")
    if arguments.examples < 0:
        raise UserError(f"--examples {arguments.examples}: 0 or more")
    return Options(tuple(dict.fromkeys(by)), arguments.min_group, arguments.alpha)


def audit_filters(arguments: argparse.Namespace) -> None:
    """Audit the filters of a run, record findings, print them."""
    options = options_of(arguments)
    workspace = open_workspace(arguments.workspace)
    subject = find_run(workspace, arguments.run)
    config = {
        "audit": "data.filters",
        "subject": subject.id,
        "by": options.by,
        "min_group": options.min_group,
        "alpha": options.alpha,
        "ambiguous": arguments.ambiguous,
    }
    finder = Finder(arguments.ambiguous)
    with recorded_run(workspace, "audit", config, parent=subject.id, packages=("numpy", "scipy")) as run_id:
        facts = gather(workspace, subject, finder, Progress())
        rows = compare_all(facts, options, log.info)
        findings = Findings(PROBE, subject, run_id)
        for row in rows:
            _record(findings, row)
        for gap in gaps(rows):
            _record_gap(findings, gap)
        for language, count in _unlisted(facts):
            why = f"no list of identity terms for {language} in curation/terms: {count:,} documents"
            findings.add("removal_ratio", language=language, n=count, why=why)
        findings.write(workspace)
    flagged = _worst_first([row for row in rows if row.p_adjusted < options.alpha])
    shown = _worst_first(rows) if arguments.all else flagged
    if arguments.limit and not arguments.all:
        shown = shown[: arguments.limit]
    looked_at = [row for row in shown if row.risk and row.risk.removed and row.p_adjusted < options.alpha]
    examples = contexts(workspace, subject, finder, pick(facts, looked_at, arguments.examples))
    if arguments.format == "json":
        show.json_lines({**_line(row), "examples": examples.get(key(row), [])} for row in shown)
    else:
        _print(arguments, facts, options, rows, flagged, shown, examples)
        where = f"--workspace {arguments.workspace}"
        print(
            '\nnext: python -m curation.catalog sql "SELECT metric, language, group_name, value, ci_low, ci_high, n,'
            f" p_adjusted, why FROM finding WHERE run_id = '{run_id}' ORDER BY p_adjusted\" {where}"
        )


def _worst_first(rows: Sequence[Row]) -> list[Row]:
    """Groups before other factors; then by the end of the interval that is nearer to 1, over-removal first."""
    order = {factor: place for place, factor in enumerate(FACTORS)}

    def badness(row: Row) -> tuple[int, int, float, float]:
        if not row.scored or row.risk is None:
            return (2, order[row.factor], 0.0, 0.0)
        over = row.risk.ratio >= 1
        near = row.risk.low if over else 1 / max(row.risk.high, 1e-300)
        return (0 if over else 1, order[row.factor], -math.log(max(near, 1e-300)), row.p_adjusted)

    return sorted(rows, key=badness)


def _record(findings: Findings, row: Row) -> None:
    name = row.name if row.factor in ("group", "dialect") else f"{row.factor}:{row.name}"
    group: dict[str, Any] = {"language": row.language, "group_name": name, "n": row.n}
    risk = row.risk
    if risk is None:
        findings.add(f"removal_ratio {row.outcome}", why=row.why, **group)
        return
    findings.add(
        f"removal_rate {row.outcome}",
        risk.rate,
        ci_low=risk.rate_low,
        ci_high=risk.rate_high,
        ci_method="Wilson, effective sample size by site",
        why=f"{risk.removed:,} of {risk.n:,}; of the other documents {risk.others_removed:,} of {risk.others:,}",
        **group,
    )
    findings.add(
        f"removal_ratio {row.outcome}",
        risk.ratio,
        ci_low=risk.low,
        ci_high=risk.high,
        ci_method=risk.method or None,
        mde=risk.mde,
        p_value=risk.p_value,
        p_adjusted=row.p_adjusted,
        why=row.why,
        **group,
    )


def _record_gap(findings: Findings, gap: Gap) -> None:
    outcome = gap.worst.outcome
    findings.add(
        f"rate_gap {outcome}",
        gap.value,
        language=gap.language,
        group_name=gap.dimension,
        n=gap.worst.n + gap.best.n,
        why=f"worst {gap.worst.name}, best {gap.best.name}; chosen after looking, hence without an interval",
    )


def _unlisted(facts: Facts) -> list[tuple[str, int]]:
    """(language, documents) of languages without a list of identity terms."""
    counts = [int((facts.language_N == number).sum()) for number in range(len(facts.languages))]
    found = [(language, count) for language, count in zip(facts.languages, counts, strict=True)]
    return [(language, count) for language, count in found if not identity_terms(language)]


def _line(row: Row) -> dict[str, Any]:
    risk = row.risk
    line: dict[str, Any] = {
        "step": row.step, "reason": row.reason, "language": row.language, "factor": row.factor, "group": row.name,
        "n": row.n, "status": "scored" if row.scored else "not_scored", "why": row.why,
    }  # fmt: skip
    if risk is not None:
        line |= {
            "removed": risk.removed, "rate": risk.rate, "rate_low": risk.rate_low, "rate_high": risk.rate_high,
            "others": risk.others, "others_rate": risk.others_rate,
        }  # fmt: skip
    if risk is not None and row.scored:
        line |= {
            "ratio": risk.ratio, "ratio_low": risk.low, "ratio_high": risk.high, "mde": risk.mde,
            "p_value": risk.p_value, "p_adjusted": row.p_adjusted, "direction": _direction(row), "method": risk.method,
        }  # fmt: skip
    return line


def _direction(row: Row) -> str:
    return "removed more" if row.risk is not None and row.risk.ratio >= 1 else "removed less"


def _print(
    arguments: argparse.Namespace,
    facts: Facts,
    options: Options,
    rows: Sequence[Row],
    flagged: Sequence[Row],
    shown: Sequence[Row],
    examples: Mapping[str, Sequence[Mapping[str, str]]],
) -> None:
    tested = [row for row in rows if row.scored]
    removed = int((facts.outcome_N >= 0).sum())
    print(f"{len(facts):,} documents with a text, {removed:,} of them removed; {len(tested):,} comparisons")
    print(
        f"corrected together (Holm, by factor: {', '.join(options.by)}); alpha {options.alpha:g}; ratios are of "
        "documents of one language and like length\n"
    )
    show.table([_cells(row) for row in shown])
    if not flagged:
        print("no group is removed more or less than chance would have it")
    elif len(flagged) > len(shown):
        print(f"... and {len(flagged) - len(shown):,} more; --limit 0 or --all shows them")
    by_length = sum(1 for row in rows if row.risk is not None and not row.scored)
    hidden = sum(1 for row in rows if row.risk is None)
    of_few_sites = sum(1 for row in rows if row.scored and row.why and not row.p_adjusted < options.alpha)
    print()
    if by_length:
        print(f"{by_length:,} comparisons have no answer: length alone decides, or nothing is alike (--all lists them)")
    if of_few_sites:
        print(f"{of_few_sites:,} comparisons differ widely, but on few sites, which may be why (--all lists them)")
    if hidden:
        print(f"{hidden:,} comparisons are hidden: fewer than {options.min_group} documents on a side (--min-group)")
    show.unlisted(dict(_unlisted(facts)))
    if "dialect" in options.by:
        print(CAVEAT)
    worst = [gap for gap in gaps(rows) if gap.worst.p_adjusted < options.alpha or arguments.all]
    worst = [gap for gap in worst if gap.worst.risk is not None and (gap.worst.risk.ratio > 1 or arguments.all)]
    if worst:
        print("\nworst group and gap of each dimension")
        show.table([_gap_cells(gap) for gap in sorted(worst, key=lambda gap: -gap.value)[:20]])
    listed = [(row, example) for row in shown for example in examples.get(key(row), ())]
    if listed:
        print("\nexamples of what was removed")
        show.table([{"removed by": row.outcome, "mentions": row.name, **example} for row, example in listed])


def _cells(row: Row) -> dict[str, Any]:
    risk = row.risk
    cells: dict[str, Any] = {
        "removed by": row.outcome,
        "language": row.language or "all",
        "group": row.name if row.factor in ("group", "dialect") else f"{row.factor}:{row.name}",
        "documents": row.n,
    }
    if risk is None or not row.scored:
        shares = (show.percent(risk.rate), show.percent(risk.others_rate)) if risk else ("", "")
        return cells | {
            "removed": risk.removed if risk else None, "share": shares[0], "of others": shares[1],
            "ratio": "", "95 % interval": "", "p adjusted": "", "": f"not scored: {row.why}",
        }  # fmt: skip
    return cells | {
        "removed": risk.removed,
        "share": show.percent(risk.rate),
        "of others": show.percent(risk.others_rate),
        "ratio": show.ratio(risk.ratio),
        "95 % interval": f"{show.ratio(risk.low)} to {show.ratio(risk.high)}",
        "p adjusted": show.p(row.p_adjusted),
        "": _direction(row) + (f"; {row.why}" if row.why else ""),
    }


def _gap_cells(gap: Gap) -> dict[str, Any]:
    assert gap.worst.risk is not None
    assert gap.best.risk is not None
    return {
        "removed by": gap.worst.outcome,
        "language": gap.language or "all",
        "dimension": gap.dimension,
        "worst": gap.worst.name.partition(":")[2],
        "share": show.percent(gap.worst.risk.rate),
        "best": gap.best.name.partition(":")[2],
        "its share": show.percent(gap.best.risk.rate),
        "gap": show.percent(gap.value),
    }
