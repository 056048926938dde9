"""The command of a sweep, from request to results."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from curation.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_SOME_FAILED, EXIT_USAGE, UserError
from curation.executors import Interrupted, StopSignal
from curation.storage import open_workspace
from curation.workspace import Workspace
from training.data import TrainingData, open_data
from training.recording import Recorder
from training.sweep.config import SweepConfig, check_values, read_base
from training.sweep.record import Begin, choose
from training.sweep.results import TrialResult, best_of, rounded, shown_values, table, trial_results, write_tsv
from training.sweep.session import Sweep, check_objective, count_sequences, described, names_for_good
from training.sweep.space import Space, read_space
from training.sweep.trials import write_config

log = logging.getLogger("training")

KIND = "sweep"


@dataclass(frozen=True)
class SweepRequest:
    """What was asked for."""

    config: SweepConfig
    workspace: str
    resume: str
    """``auto``, ``never`` or a run."""
    dry_run: bool


def local_workspace(name: str) -> Workspace:
    """A workspace that trials can share.

    Raises:
        UserError: it is no folder.
    """
    workspace = open_workspace(name)
    if not workspace.local:
        raise UserError(f"--workspace {name}: training needs a folder that all its processes see")
    return workspace


def run_sweep(request: SweepRequest, stop: StopSignal) -> int:
    """Search as asked for, from the beginning or from where an earlier attempt left off. Returns the exit code.

    Raises:
        UserError: a wrong configuration, found before the first trial.
        Interrupted: a signal came; trials at work have saved.
        OSError: disk full, say; the attempt is on record as failed.
    """
    config = request.config
    check_values(config)
    workspace = local_workspace(request.workspace)
    space = read_space(read_base(config.base), config.search)
    data = open_data(workspace, space.base)
    space = space.with_datasets(names_for_good(data))
    check_objective(space.base, data)
    space.check(config.seed, partial(count_sequences, data), data.vocab_size)
    if request.dry_run:
        _show_plan(config, space)
        return EXIT_DONE
    begin = choose(workspace, KIND, request.resume, described(config, space), config.seed)
    if begin.done and len(trial_results(workspace, begin.run_id)) >= config.trials:
        log.info("sweep %s is done already; more --trials go on with it, --resume never begins another", begin.run_id)
        return _conclude(workspace, begin.run_id, space, request.workspace)[0]
    return _attempt(workspace, begin, request, space, data, stop)


def _attempt(
    workspace: Workspace, begin: Begin, request: SweepRequest, space: Space, data: TrainingData, stop: StopSignal
) -> int:
    recorder = Recorder(workspace, begin.run_id, begin.attempt)
    recorder.begin(begin.run)
    log.info("sweep %s, attempt %d, workspace %s", begin.run_id, begin.attempt, workspace.name)
    try:
        sweep = Sweep(workspace, begin.run_id, request.config, space, data, stop)
        sweep.run()
        code, why = _conclude(workspace, begin.run_id, space, request.workspace, sweep)
    except Interrupted:
        recorder.end("interrupted", EXIT_INTERRUPTED, "stopped by a signal")
        log.warning("interrupted; the same command goes on, as does --resume %s", begin.run_id)
        raise
    except BaseException as error:
        recorder.end("failed", EXIT_USAGE, f"{type(error).__name__}: {error}"[:500])
        raise
    recorder.end("done", code, why)
    return code


def _conclude(
    workspace: Workspace, run_id: str, space: Space, name: str, sweep: Sweep | None = None
) -> tuple[int, str | None]:
    """Write and show what was found. Returns the exit code, and why it is not 0."""
    folder = workspace.run_folder(run_id)
    found = trial_results(workspace, run_id)
    columns, rows = table(space, found)
    print_table(columns, rows)
    print(f"sweep {run_id}")
    if sweep is not None:
        write_tsv(folder / "results.tsv", columns, rows)
        _draw(folder / "results.svg", space, found, sweep)
    print(f"table {folder / 'results.tsv'}")
    if (folder / "results.svg").exists():
        print(f"plot {folder / 'results.svg'}")
    best = best_of(found)
    if best is None:
        reasons = dict.fromkeys(trial.why[:150] for trial in found if trial.why)
        why = f"none of {len(found)} trials came to its end: " + "; ".join(list(reasons)[:3])
        log.error("%s. What they said is in %s", why, folder / "trials")
        return EXIT_SOME_FAILED, why[:500]
    path = folder / "best.yaml"
    if sweep is not None:
        made = space.configure(best.values, sweep.sequences)
        write_config(path, made, f"trial {best.number} of sweep {run_id}: validation loss {best.value:.6g}")
    told = ", ".join(
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in shown_values(space, best.values).items()
    )
    print(f"best trial {best.number}, validation loss {best.value:.4f}: {told}")
    split = space.base.parallelism
    processes = split.data * split.tensor * split.pipeline
    launcher = f"torch.distributed.run --nproc_per_node={processes} -m " if processes > 1 else ""
    print(f"next: python -m {launcher}training.pretrain --config {path} --workspace {name}")
    return EXIT_DONE, None


def _draw(path: Path, space: Space, found: Sequence[TrialResult], sweep: Sweep) -> None:
    from training.sweep.plot import can_draw, draw_sweep

    if not can_draw():
        return
    draw_sweep(path, space, found, {trial.number: sweep.curve(trial) for trial in found})


def print_table(columns: Sequence[str], rows: Sequence[tuple[object, ...]]) -> None:
    """An aligned table on stdout."""
    from curation.catalog.__main__ import print_rows

    print_rows(columns, rounded(rows), "table")


def _show_plan(config: SweepConfig, space: Space) -> None:
    import yaml

    from curation.options import to_dict

    for each in space.parameters:
        print(f"{each.name}: {each.describe()}")
    print(f"{config.trials} trials, {config.jobs} at once; each begins with:\n")
    print(yaml.safe_dump(to_dict(space.base), sort_keys=False, allow_unicode=True), end="")
    print("next: python -m training.sweep, with the same options but --dry-run")
