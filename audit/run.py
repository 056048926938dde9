"""``python -m audit.run``: audits a model with probes, records findings, says what they allow to say."""

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from curation.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_SOME_FAILED, EXIT_USAGE, UserError


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code."""
    from audit.options import parse
    from curation.progress import setup_logging

    try:
        request = parse(sys.argv[1:] if argv is None else argv)
        setup_logging()
        code = _run(request)
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stderr.close()  # whoever read has had enough
        return EXIT_DONE
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        print("interrupted; the same command goes on with this audit", file=sys.stderr)
        return EXIT_INTERRUPTED
    return code


def _run(request: Any) -> int:
    from audit.auditing import audit, plan
    from audit.config import asked_probes
    from audit.estimating import print_estimate
    from audit.model import load_model
    from audit.places import Places
    from curation.storage import open_workspace

    if request.list_probes:
        _list(request.format)
        return EXIT_DONE
    asked_probes(request.config)
    workspace = open_workspace(request.workspace)
    data = request.config.data
    if data is not None and not Path(data).is_dir():
        raise UserError(f"--data {data}: there is no such folder")
    config, folders = request.config, [*([Path(data)] if data else []), workspace.root / "probes"]
    if request.export_items:
        return _export(Path(request.export_items), plan(config, Places(folders, download=config.hub)))
    model = load_model(workspace, request.checkpoint, config.device, config.tokenizer, config.batch_tokens)
    planned = plan(config, Places(folders, workspace, model.source, config.hub))
    if request.estimate:
        print_estimate(model, planned, request.format)
        return EXIT_DONE
    run_id, done = audit(workspace, model, config, planned, request.run_id)
    _show(request, run_id, model.source, done)
    # What a suite would also look at is not missed; what was asked for by name is.
    return EXIT_SOME_FAILED if config.probes is not None and any(each.missing for each in done) else EXIT_DONE


def _list(form: str) -> None:
    from audit.harness import INSTALL, PREFIX
    from audit.probes import probes
    from audit.show import json_lines

    if form == "json":
        json_lines(
            {
                "probe": probe.name,
                "version": probe.version,
                "kind": probe.kind,
                "title": probe.title,
                "source": probe.source,
                "license": probe.license,
                "data": probe.data.url if probe.data else "shipped",
                "metrics": {metric.name: metric.describes for metric in probe.metrics},
            }
            for probe in probes().values()
        )
        return
    for probe in probes().values():
        print(f"{probe.name}  {probe.title} ({probe.kind}, version {probe.version})")
        print(f"  source: {probe.source}\n  licence: {probe.license}")
        if probe.data:
            print(f"  data: {probe.data.wanted} in {probe.data.folder}/, from {probe.data.url}")
        else:
            print("  data: shipped")
        for metric in probe.metrics:
            ideal = "" if metric.ideal is None else f"; ideal {metric.ideal:g}"
            print(f"  {metric.name}: {metric.describes} ({metric.unit}{ideal})")
        if probe.caveat:
            print(f"  note: {probe.caveat}")
        print()
    print(f"{PREFIX}TASK  any task of lm-evaluation-harness that asks for log-likelihoods ({INSTALL})\n")
    print("next: python -m audit.run --checkpoint smollm2 --probes " + next(iter(probes())))


def _export(path: Path, planned: Sequence[Any]) -> int:
    from curation.workspace import write_durably

    lines = [
        json.dumps({"set": each.probe.name, "item_id": name, "text": text})
        for each in planned
        for case in each.cases
        for name, text in case.texts.items()
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, "".join(f"{line}\n" for line in lines).encode())
    print(f"{len(lines):,} texts of {sum(not each.missing for each in planned)} probe(s) written to {path}")
    missing = [each for each in planned if each.missing]
    for each in missing:
        print(f"{each.probe.name}: not exported: {each.missing}", file=sys.stderr)
    print(f"\nnext: python -m curation.decontaminate RUN --items {path}")
    return EXIT_SOME_FAILED if missing else EXIT_DONE


def _show(request: Any, run_id: str, source: Any, done: Sequence[Any]) -> None:
    from audit.figures import in_words, number, verdict
    from audit.show import json_lines, p, table

    rows = []
    for each in done:
        for found in each.found:
            overall = found.group is None and _is_overall(found, each.found)
            if request.format == "table" and not (overall or request.groups):
                continue
            made, unit = found.figure, found.metric.unit
            if request.format == "json":
                rows.append(
                    {
                        **{"probe": each.probe.name, "metric": found.name, "language": found.language},
                        **{"group": found.group, "value": made.value, "low": made.low, "high": made.high},
                        **{"ideal": found.ideal, "unit": unit, "n": made.n, "items": found.items, "mde": made.mde},
                        **{"p_value": made.p_value, "p_adjusted": found.p_adjusted, "method": made.method},
                        **{"why": found.why},
                    }
                )
                continue
            interval = f"{number(made.low, unit)} to {number(made.high, unit)}" if math.isfinite(made.low) else "-"
            row = {"probe": each.probe.name, "figure": found.name}
            row |= {"of": found.group or found.language or "all"}
            row |= {"value": number(made.value, unit), "95 % interval": interval}
            row |= {"ideal": "-" if found.ideal is None else number(found.ideal, unit), "n": f"{made.n:,}"}
            row |= {"p": p(made.p_value if found.group is None else found.p_adjusted), "says": verdict(found)}
            rows.append(row)
    if request.format == "json":
        json_lines(rows)
        return
    print(f"audit {run_id} of {source.label} ({source.kind} {source.id})")
    table(rows)
    print("\nIn words, bias alone:")
    for each in done:
        if each.missing:
            print(f"- {each.probe.name}: not run: {each.missing}")
        for found in each.found:
            if found.group is None and _is_overall(found, each.found) and (sentence := in_words(found)):
                print(f"- {each.probe.name}: {sentence}")
        if each.probe.caveat and each.found:
            print(f"  Note: {each.probe.caveat}")
    where = f"--workspace {request.workspace}"
    print(
        f'\nnext: python -m curation.catalog sql "SELECT probe_id, metric, group_name, value, ci_low, ci_high, n, why'
        f" FROM finding WHERE run_id = '{run_id}' AND group_name IS NOT NULL ORDER BY p_adjusted\" {where}"
    )


def _is_overall(found: Any, others: Sequence[Any]) -> bool:
    """Whether it is about all languages that the probe has."""
    return found.language is None or all(each.language is not None for each in others if each.group is None)


if __name__ == "__main__":
    sys.exit(main())
