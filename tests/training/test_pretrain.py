"""``training.pretrain`` as users run it: records, resumes, kills, stops, divergence."""

import os
import shutil
import signal
from pathlib import Path

import psutil
import pytest

from curation.catalog import open_catalog, rows
from curation.workspace import Workspace
from tests.curation.commands import command
from tests.training import launch
from training.config import CheckpointConfig
from training.folders import checkpoint_steps
from training.recording import removable

pytest.importorskip("nanotron", reason="training needs nanotron: pip install nanotron==0.4")


def sql(workspace: Path, query: str, *parameters: object) -> list[dict[str, object]]:
    with open_catalog(Workspace(workspace)) as connection:
        return rows(connection, query, parameters)


@pytest.fixture(scope="module")
def undisturbed(made_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """The losses of the endless configuration in one process."""
    folder = tmp_path_factory.mktemp("undisturbed")
    workspace = Path(shutil.copytree(made_workspace, folder / "W"))
    return launch.losses(launch.run_until(workspace, launch.write_config(folder / "c.yaml", launch.ENDLESS), 80))


def furthest(found: list[float], wanted: list[float]) -> float:
    """The largest difference over the steps that both have done, which are sixty at least."""
    assert min(len(found), len(wanted)) >= 60
    return max(abs(a - b) for a, b in zip(found, wanted, strict=False))


def test_a_run_is_on_record(workspace: Path, tmp_path: Path) -> None:
    done = launch.train(workspace, launch.write_config(tmp_path / "c.yaml"))
    run_id = launch.run_of(done)
    losses = launch.losses(workspace / "runs" / run_id)
    assert done.stdout.splitlines()[-1].startswith("next: python -m training.export")
    assert losses[-1] < losses[0] - 0.2
    # It is done: a resume says so, and the same command begins another one.
    assert "is done already" in launch.train(workspace, tmp_path / "c.yaml", "--resume", run_id).stderr

    (run,) = sql(workspace, "SELECT kind, status, seed, git_commit FROM run WHERE run_id = ?", run_id)
    assert (run["kind"], run["status"], run["seed"]) == ("pretrain", "done", 0)
    found = sql(workspace, "SELECT * FROM checkpoint WHERE run_id = ? ORDER BY step", run_id)
    assert [row["step"] for row in found] == [2, 4, 6, 8]
    assert [row["tokens_seen"] for row in found] == [step * 8 * 32 for step in (2, 4, 6, 8)]
    assert [row["data_position"] for row in found] == [16, 32, 48, 64]
    assert len({row["weights_sha256"] for row in found}) == 4
    assert all((workspace / str(row["path"]) / "checkpoint.json").exists() for row in found)
    metric = sql(workspace, "SELECT step, value FROM metric WHERE run_id = ? AND name = 'loss' ORDER BY step", run_id)
    assert [row["value"] for row in metric] == losses
    validated = sql(workspace, "SELECT DISTINCT name, step FROM metric WHERE name LIKE 'validation/%' ORDER BY ALL")
    names = ("all", "mixed-tokens@1/eng_Latn", "mixed-tokens@1/fra_Latn", "more-tokens@1/eng_Latn")
    assert [(row["name"], row["step"]) for row in validated] == [(f"validation/{n}", s) for n in names for s in (4, 8)]
    # checkpoint -> run -> tokenized dataset -> shard -> raw file
    lineage = sql(
        workspace,
        "SELECT DISTINCT d.name, r.uri FROM checkpoint c JOIN run_dataset rd USING (run_id) "
        "JOIN dataset d USING (dataset_id) JOIN token_shard t USING (dataset_id) "
        "JOIN shard_source s ON s.shard_id = t.shard_id JOIN raw_file r USING (raw_file_id) "
        "WHERE c.checkpoint_id = ? ORDER BY ALL",
        f"{run_id}-00000008",
    )
    assert [(row["name"], Path(str(row["uri"])).name) for row in lineage] == [
        ("mixed-tokens", "en.jsonl"),
        ("mixed-tokens", "fr.jsonl"),
        ("more-tokens", "en.jsonl"),
    ]


def test_a_killed_rank_ends_the_run_and_another_topology_goes_on(
    workspace: Path, tmp_path: Path, undisturbed: list[float]
) -> None:
    config, log = launch.write_config(tmp_path / "c.yaml", launch.ENDLESS), tmp_path / "log"
    process = launch.start(workspace, config, *launch.topology(pipeline=2), processes=2, log=log)
    launch.wait_for(launch.reached(workspace, 25), process, log)
    rank = max(psutil.Process(process.pid).children(), key=lambda child: child.pid)
    os.kill(rank.pid, signal.SIGKILL)
    assert process.wait(timeout=120) == 1
    run = launch.newest_run(workspace)
    stopped = max(launch.metrics(run))
    again = launch.run_until(workspace, config, 60, *launch.topology(data=2, zero_stage=1), processes=2)
    assert again == run  # --resume auto
    assert 20 <= min(launch.metrics_of_attempt(run, 2)) - 1 <= stopped
    assert furthest(launch.losses(run), undisturbed) < 1e-5
    found = sql(workspace, "SELECT step FROM checkpoint WHERE run_id = ? ORDER BY step", run.name)
    assert [row["step"] for row in found][:6] == [10, 20, 30, 40, 50, 60]
    assert not list(run.glob("checkpoints/.*"))  # nothing half


def test_a_signal_saves_and_the_same_command_goes_on(workspace: Path, tmp_path: Path, undisturbed: list[float]) -> None:
    config, log = launch.write_config(tmp_path / "c.yaml", launch.ENDLESS), tmp_path / "log"
    arguments = ("--checkpoints.every", "0")  # but for the one that the signal brings about
    process = launch.start(workspace, config, *arguments, processes=1, log=log)
    launch.wait_for(launch.reached(workspace, 5), process, log)
    run = launch.newest_run(workspace)
    second = launch.train(workspace, config, *arguments, code=2)
    assert f"run {run.name} is at work" in second.stderr
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=120) == 130, log.read_text()
    (saved,) = checkpoint_steps(Workspace(workspace), run.name)
    assert saved == max(launch.metrics(run))
    (ended,) = sql(workspace, "SELECT status FROM run WHERE run_id = ?", run.name)
    assert ended["status"] == "interrupted"
    again = launch.run_until(workspace, config, saved + 60, *arguments)
    assert again == run
    assert min(launch.metrics_of_attempt(run, 2)) == saved + 1
    assert furthest(launch.losses(run), undisturbed) == 0.0  # to the bit, in the same topology


def test_a_loss_gone_wrong_stops_the_run_and_names_the_documents(workspace: Path, tmp_path: Path) -> None:
    config = launch.write_config(tmp_path / "c.yaml")
    wild = ("--optimizer.learning_rate", "100", "--guard.spike_window", "2", "--guard.spike_factor", "1.5")
    done = launch.train(workspace, config, *wild, code=2)
    run = launch.newest_run(workspace)
    step = max(launch.metrics(run))
    assert f"step {step}: the " in done.stderr
    assert f"python -m training.batch {run.name} {step}" in done.stderr
    known = {str(row["id"]) for row in _documents(workspace)}
    named = done.stderr.partition("read the documents ")[2].split(" (")[0]
    assert named in known
    assert max(checkpoint_steps(Workspace(workspace), run.name), default=0) < step
    (ended,) = sql(workspace, "SELECT status, why FROM run WHERE run_id = ?", run.name)
    assert ended["status"] == "failed"


def _documents(workspace: Path) -> list[dict[str, object]]:
    with open_catalog(Workspace(workspace), documents=True) as connection:
        return rows(connection, "SELECT id FROM document")


def test_another_number_of_processes_is_refused_before_anything_is_written(workspace: Path, tmp_path: Path) -> None:
    config = launch.write_config(tmp_path / "c.yaml")
    done = launch.train(workspace, config, *launch.topology(data=2), code=2)
    assert "there is 1" in done.stderr or "there are 1" in done.stderr or "nproc" in done.stderr
    assert not sql(workspace, "SELECT * FROM run WHERE kind = 'pretrain'")


def test_a_resume_never_begins_anew(workspace: Path, tmp_path: Path) -> None:
    config = launch.write_config(tmp_path / "c.yaml")
    done = launch.train(workspace, config, "--resume", "01AAAAAAAAAAAAAAAAAAAAAAAA", code=2)
    assert "unknown run or checkpoint for --resume" in done.stderr
    assert not list(workspace.glob("runs/*/metrics-*"))


def test_branching_off_from_a_checkpoint(workspace: Path, tmp_path: Path) -> None:
    config = launch.write_config(tmp_path / "c.yaml")
    first = launch.run_of(launch.train(workspace, config))
    done = launch.train(workspace, config, "--resume", f"{first}-00000004", "--batch.steps", "10")
    branch = launch.run_of(done)
    assert branch != first
    (row,) = sql(workspace, "SELECT parent_run_id FROM run WHERE run_id = ?", branch)
    assert row["parent_run_id"] == first
    assert min(launch.metrics(workspace / "runs" / branch)) == 5
    assert max(launch.metrics(workspace / "runs" / branch)) == 10


@pytest.mark.parametrize(
    ("rule", "gone"),
    [
        (CheckpointConfig(keep_last=2), [2, 4, 6]),
        (CheckpointConfig(keep_last=1, keep_every=4), [2, 6]),
        (CheckpointConfig(keep_last=5), []),
    ],
)
def test_what_the_rule_removes(rule: CheckpointConfig, gone: list[int]) -> None:
    assert removable([2, 4, 6, 8, 10], rule) == gone


def test_old_checkpoints_go_but_for_claimed_ones(workspace: Path, tmp_path: Path) -> None:
    from curation.records import CheckpointClaim, now
    from training.recording import Recorder

    config = launch.write_config(tmp_path / "c.yaml")
    done = launch.train(workspace, config, "--checkpoints.keep_last", "3")
    run_id = launch.run_of(done)
    opened = Workspace(workspace)
    assert checkpoint_steps(opened, run_id) == [4, 6, 8]
    gone = sql(workspace, "SELECT checkpoint_id FROM checkpoint_removal")
    assert [row["checkpoint_id"] for row in gone] == [f"{run_id}-00000002"]
    claim = CheckpointClaim(checkpoint_id=f"{run_id}-00000004", run_id="an audit at work", claimed_at=now())
    opened.write([claim], name="claim")
    Recorder(opened, run_id, 1).remove_old(CheckpointConfig(keep_last=1))
    assert checkpoint_steps(opened, run_id) == [4, 8]


def test_metrics_can_be_asked_for_in_sql(workspace: Path, tmp_path: Path) -> None:
    few = ("--batch.steps", "2", "--optimizer.warmup_steps", "1", "--validation.every", "0")
    launch.train(workspace, launch.write_config(tmp_path / "c.yaml"), *few)
    query = "SELECT step, value FROM metric WHERE name = 'grad_norm' ORDER BY step"
    done = command("curation.catalog", "sql", query, "--workspace", workspace, "--format", "csv")
    assert done.returncode == 0, done.stderr
    assert [text.split(",")[0] for text in done.stdout.splitlines()] == ["step", "1", "2"]
    assert not sql(workspace, "SELECT * FROM metric WHERE name LIKE 'validation/%'")  # validation.every: 0
