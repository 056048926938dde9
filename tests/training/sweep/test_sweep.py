"""``training.sweep`` as users run it: searches, kills, failures, what is on record."""

import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from curation.errors import UserError
from curation.executors import StopSignal
from curation.workspace import Workspace
from tests.curation.commands import ask, check, command, family, kill_group, start
from tests.training.sweep.small_sweep import all_gone, found, sweep_of, trainers, write_sweep
from training.sweep.__main__ import main, parse_sweep
from training.sweep.results import TrialResult
from training.sweep.run import run_sweep

pytest.importorskip("nanotron", reason="training needs nanotron: pip install nanotron==0.4")


def sweep(workspace: Path, *arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = command("training.sweep", *arguments, "--workspace", workspace)
    assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def wait_until(condition: Any, process: subprocess.Popen[str], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, f"ended early: {process.communicate()}"
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


def runs_at_work(workspace: Path) -> int:
    """Training runs that have written a number."""
    return len(list(workspace.glob("runs/*/metrics-*.jsonl")))


def test_trials_are_runs_and_the_best_of_them_can_be_run(workspace: Path, tmp_path: Path) -> None:
    search = {
        "optimizer.learning_rate": {"low": 1e-3, "high": 3e-2, "log": True},
        "model.num_attention_heads": {"choices": [3, 4]},  # three heads divide no width of 32
    }
    config = write_sweep(tmp_path / "s.yaml", search, trials=3, startup=3, jobs=2, seed=3)
    done = sweep(workspace, "--config", config)
    trials = found(workspace)
    failed = {trial.number for trial in trials if trial.values["model.num_attention_heads"] == 3}
    assert failed
    assert {trial.number for trial in trials if trial.status == "failed"} == failed
    assert all("3 heads do not divide" in str(trial.why) for trial in trials if trial.number in failed)
    over = [trial for trial in trials if trial.status == "done"]
    assert len(over) + len(failed) == 3
    best = min(over, key=lambda trial: trial.value or 0)

    run_id = sweep_of(workspace)
    rows = ask(
        workspace,
        "SELECT t.number, r.kind, r.status, r.parent_run_id, t.value, m.value AS loss FROM trial t "
        "JOIN run r USING (run_id) JOIN metric m ON m.run_id = r.run_id AND m.step = t.step "
        f"AND m.name = 'validation/all' WHERE t.sweep_run_id = '{run_id}' ORDER BY number",
    )
    assert [row["number"] for row in rows] == [trial.number for trial in over]
    assert {(row["kind"], row["status"], row["parent_run_id"]) for row in rows} == {("pretrain", "done", run_id)}
    assert all(row["value"] == row["loss"] for row in rows)
    (own,) = ask(workspace, "SELECT run_id, status FROM run WHERE kind = 'sweep'")
    assert (own["run_id"], own["status"]) == (run_id, "done")
    check(workspace)

    folder = workspace / "runs" / run_id
    lines = [line.split("\t") for line in (folder / "results.tsv").read_text().splitlines()]
    assert [line[0] for line in lines[1:3]] == [
        str(trial.number) for trial in sorted(over, key=lambda trial: trial.value or 0)
    ][:2]
    assert f"best trial {best.number}" in done.stdout
    if "matplotlib is missing" not in done.stderr:
        assert (folder / "results.svg").read_text().startswith("<?xml")
    # The whole loss is the mean over tokens of what it consists of.
    parts = ask(
        workspace,
        f"SELECT name, value FROM metric WHERE run_id = '{best.run_id}' AND step = 12 AND name LIKE 'validation/%'",
    )
    named = {row["name"]: row["value"] for row in parts}
    whole = named.pop("validation/all")
    assert min(named.values()) < whole < max(named.values())

    # What it says comes next does work, as a run of its own with the same result.
    *_, last = done.stdout.splitlines()
    assert last == f"next: python -m training.pretrain --config {folder / 'best.yaml'} --workspace {workspace}"
    again = command("training.pretrain", "--config", folder / "best.yaml", "--workspace", workspace)
    assert again.returncode == 0, again.stderr
    own_run = again.stdout.split()[1]
    assert own_run != best.run_id
    (row,) = ask(
        workspace, f"SELECT value FROM metric WHERE run_id = '{own_run}' AND step = 12 AND name = 'validation/all'"
    )
    assert row["value"] == best.value
    # A done sweep shows its results once more, and nothing else happens.
    before = len(list(workspace.glob("runs/*")))
    shown = sweep(workspace, "--config", config, "--resume", run_id)
    assert "is done already" in shown.stderr
    assert shown.stdout == done.stdout
    assert len(list(workspace.glob("runs/*"))) == before


def test_a_killed_sweep_leaves_nobody_and_goes_on(workspace: Path, tmp_path: Path) -> None:
    seldom = {"validation": {"every": 100, "sequences": 4}, "checkpoints": {"every": 100}}
    config = write_sweep(tmp_path / "s.yaml", steps=300, trials=2, jobs=2, base=seldom)
    process = start("training.sweep", "--config", config, "--workspace", workspace)
    wait_until(lambda: runs_at_work(workspace) == 2, process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert all_gone(workspace)
    before = found(workspace)
    assert [trial.status for trial in before] == ["unfinished", "unfinished"]

    process = start("training.sweep", "--config", config, "--workspace", workspace)
    wait_until(lambda: runs_at_work(workspace) == 4, process)
    process.send_signal(signal.SIGTERM)  # in order: trials save, and end
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "the same command goes on" in err
    assert not trainers(workspace)
    statuses = ask(workspace, "SELECT kind, status FROM run WHERE kind IN ('sweep', 'pretrain')")
    assert {row["status"] for row in statuses} == {"interrupted"}

    process = start("training.sweep", "--config", config, "--workspace", workspace)
    wait_until(lambda: runs_at_work(workspace) == 6, process)
    victim = next(each for each in trainers(workspace) if before[0].run_id in each.cmdline())
    victim.kill()  # a trial that is killed alone goes on at once
    _, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    assert "trial 0 was killed (signal 9)" in err
    after = found(workspace)
    assert [(t.run_id, t.values, t.status) for t in after] == [(t.run_id, t.values, "done") for t in before]
    assert len([row for row in Workspace(workspace).rows("run") if row["run_kind"] == "pretrain"]) == 2


@pytest.mark.full
def test_a_trial_that_falls_behind_is_stopped_and_says_so(workspace: Path, tmp_path: Path) -> None:
    search = {"optimizer.learning_rate": {"choices": [1e-2, 1e-6]}}
    pruning = {"min_steps": 4, "factor": 2}
    rare = {"validation": {"every": 10, "sequences": 4}, "checkpoints": {"every": 0}}
    path = tmp_path / "s.yaml"
    config = write_sweep(path, search, steps=150, trials=2, startup=1, pruning=pruning, seed=1, base=rare)
    sweep(workspace, "--config", config)
    good, bad = found(workspace)
    assert (good.values["optimizer.learning_rate"], good.status) == (1e-2, "done")
    assert (bad.values["optimizer.learning_rate"], bad.status, bad.step) == (1e-6, "pruned", 10)
    assert (bad.value or 0) > (good.value or 0)
    (row,) = ask(workspace, f"SELECT status, why FROM run WHERE run_id = '{bad.run_id}'")
    assert row["status"] == "pruned"
    assert row["why"].startswith("pruned at step 10: loss")
    (last,) = ask(workspace, f"SELECT max(step) AS step FROM metric WHERE run_id = '{bad.run_id}'")
    assert last["step"] < 150  # it was stopped


@pytest.mark.full
def test_where_every_trial_fails_it_says_why(workspace: Path, tmp_path: Path) -> None:
    guard = {"guard": {"spike_factor": 1.01, "spike_window": 2}}  # a loss that goes up at all is a divergence
    search = {"optimizer.learning_rate": {"choices": [50.0, 90.0]}}
    config = write_sweep(tmp_path / "s.yaml", search, trials=2, jobs=2, base=guard)
    done = sweep(workspace, "--config", config, code=1)
    assert "none of 2 trials came to its end: Diverged: step" in done.stderr
    assert [trial.status for trial in found(workspace)] == ["failed", "failed"]
    (row,) = ask(workspace, "SELECT status, exit_code, why FROM run WHERE kind = 'sweep'")
    assert (row["status"], row["exit_code"]) == ("done", 1)
    assert "none of 2 trials" in row["why"]


def test_a_range_test_ends_with_a_suggestion(workspace: Path, tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(yaml.safe_dump(yaml.safe_load(write_sweep(tmp_path / "s.yaml").read_text())["base"]))
    done = sweep_range(workspace, "--config", config, "--low", "1e-5", "--steps", 60)
    suggested = float(done.stdout.partition("suggested learning rate: ")[2].split()[0])
    assert 1e-3 < suggested < 1e-1
    assert "next: python -m training.pretrain --optimizer.learning_rate" in done.stdout.splitlines()[-1]
    rows = ask(
        workspace,
        "SELECT m.value FROM metric m JOIN run r USING (run_id) JOIN run p ON p.run_id = r.parent_run_id "
        "WHERE p.kind = 'range' AND m.name = 'learning_rate' ORDER BY step",
    )
    assert len(rows) == 60
    assert (rows[0]["value"], rows[-1]["value"]) == pytest.approx((1e-5, 1.0))


def sweep_range(workspace: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    done = command("training.sweep", "range", *arguments, "--workspace", workspace)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"trials": 0}, "trials: 0 is below 1"),
        ({"jobs": 0}, "jobs: 0 is below 1"),
        ({"timeout": 0.0}, "timeout: 0.0 is no time"),
        ({"search": {}}, "search: is empty"),
        ({"trails": 3}, "trails: there is no such field; valid: base, jobs, pruning"),
        ({"pruning": {"factor": 1}}, r"pruning.factor: 1 is below 2"),
        ({"pruning": {"factors": 1}}, r"pruning.factors: there is no such field"),
        ({"base": "no-such"}, "preset for base"),
        ({"base": "no/such.yaml"}, "base: no/such.yaml: no such file"),
        ({"base": "demo"}, "demo-tokens"),
        ({"base": {"modle": {"hidden_size": 8}}}, "base: modle.hidden_size: there is no such field; valid: batch, "),
        ({"base": {"batch": {"steps": "x"}}}, "base: .*batch.steps"),
        ({"base": {}}, "names no dataset"),
    ],
)
def test_a_wrong_sweep_is_refused(made_workspace: Path, tmp_path: Path, change: dict[str, Any], told: str) -> None:
    plain = yaml.safe_load(write_sweep(tmp_path / "s.yaml").read_text()) | change
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(plain))
    with pytest.raises(UserError, match=told):
        run_sweep(parse_sweep(["--config", str(tmp_path / "s.yaml"), "--workspace", str(made_workspace)]), StopSignal())


def test_a_sweep_without_an_objective_is_refused(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(**sections: Any) -> str:
        config = write_sweep(tmp_path / "s.yaml", base=sections)
        assert main(["--config", str(config), "--workspace", str(workspace)]) == 2
        return capsys.readouterr().err

    assert "validation.every: is 0" in told(validation={"every": 0})
    assert "batch.steps: is 0" in told(batch={"steps": 0})
    encode = ("--tokenizer", "small", "--name", "whole", "--validation-share", 0)
    made = command("curation.tokens", "encode", "more", *encode, "--workspace", workspace)
    assert made.returncode == 0, made.stderr
    assert "nothing of them is held out" in told(data={"datasets": [{"dataset": "whole"}]})
    assert not [row for row in Workspace(workspace).rows("run") if row["run_kind"] == "sweep"]
    assert main(["--workspace", str(workspace)]) == 2
    assert "--config: is missing" in capsys.readouterr().err


def test_what_a_sweep_went_on_with_must_be_the_same(workspace: Path, tmp_path: Path) -> None:
    from training.sweep.record import choose, identity_hash

    first = choose(Workspace(workspace), "sweep", "auto", {"seed": 1, "trials": 3}, 1)
    assert first.run is not None
    Workspace(workspace).write([first.run], name=first.run_id)
    assert choose(Workspace(workspace), "sweep", "auto", {"seed": 1, "trials": 9}, 1).run_id == first.run_id
    assert choose(Workspace(workspace), "sweep", "auto", {"seed": 2, "trials": 3}, 2).run_id != first.run_id
    assert choose(Workspace(workspace), "sweep", "never", {"seed": 1, "trials": 3}, 1).run_id != first.run_id
    with pytest.raises(UserError, match="seed"):
        choose(Workspace(workspace), "sweep", first.run_id, {"seed": 2, "trials": 3}, 2)
    with pytest.raises(UserError, match="unknown sweep for --resume"):
        choose(Workspace(workspace), "sweep", "nothing", {"seed": 2}, 2)
    assert json.loads(first.run.versions)["optuna"]
    assert identity_hash({"seed": 1, "jobs": 2}) == identity_hash({"seed": 1, "timeout": 3.0})


def write_twelve(folder: Path) -> Path:
    return write_sweep(folder / "s.yaml", steps=60, trials=12, seed=5)


@pytest.fixture(scope="module")
def undisturbed(made_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> list[TrialResult]:
    """Twelve trials, one at a time, that nobody kills."""
    folder = tmp_path_factory.mktemp("undisturbed")
    workspace = Path(shutil.copytree(made_workspace, folder / "W"))
    sweep(workspace, "--config", write_twelve(folder))
    return found(workspace)


def kill_somehow(process: subprocess.Popen[str], how: str) -> None:
    """SIGKILL to the sweep alone, to everything at once, or SIGTERM."""
    everybody = family(process)
    if how == "term":
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=90) in (130, -signal.SIGTERM)  # the latter before it has begun
        return
    kill_group(process)
    if how == "all":
        for each in everybody:
            try:
                each.kill()
            except psutil.NoSuchProcess:
                continue
    process.wait()


@pytest.mark.full
@pytest.mark.parametrize("jobs", [1, 2])
def test_twelve_trials_killed_again_and_again_are_those_of_an_undisturbed_sweep(
    workspace: Path, tmp_path: Path, undisturbed: list[TrialResult], jobs: int
) -> None:
    config, wanted = write_twelve(tmp_path), undisturbed
    draw = random.Random(jobs)
    line = ("training.sweep", "--config", config, "--jobs", jobs, "--workspace", workspace)
    kills = 0
    while True:
        process = start(*line)
        try:
            _, err = process.communicate(timeout=draw.uniform(0.5, 16))
        except subprocess.TimeoutExpired:
            kill_somehow(process, draw.choice(["sweep", "all", "term"]))
            kills += 1
            assert all_gone(workspace), "a trial outlived its sweep"
            assert kills < 60, "it never ends"
            continue
        assert process.returncode == 0, err
        break
    assert kills >= 5
    got = found(workspace)
    assert [trial.number for trial in got] == list(range(12))
    assert len({trial.run_id for trial in got}) == 12
    if jobs == 1:
        assert [(t.values, t.status, t.step) for t in got] == [(t.values, t.status, t.step) for t in wanted]
        assert [t.value for t in got] == pytest.approx([t.value for t in wanted], abs=1e-6)
    # Nothing that was over was done again.
    for trial in got:
        ends = [row for row in Workspace(workspace).rows("run_end") if row["run_id"] == trial.run_id]
        assert [row["status"] for row in ends].count("done") <= 1
    best = min((t for t in got if t.status == "done"), key=lambda t: t.value or 0)
    # Of .004, .008, .012, .016 and .024 the losses are 3.76, 2.88, 2.43, 2.40 and 3.11: the best is near .014.
    assert 0.014 / 3 < best.values["optimizer.learning_rate"] < 0.014 * 3
    check(workspace)
