"""Starting training the way a user does, in as many processes as asked for, and reading what it leaves."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.curation.commands import ROOT, environment

SMALL = """
model: {hidden_size: 32, num_hidden_layers: 4, num_attention_heads: 4, num_key_value_heads: 2}
batch: {sequence_length: 32, global_batch_size: 8, micro_batch_size: 2, steps: 8}
optimizer: {learning_rate: 3.0e-3, min_learning_rate: 3.0e-4, warmup_steps: 2}
data: {datasets: [{dataset: mixed-tokens, weight: 2}, {dataset: more-tokens, weight: 1}]}
validation: {every: 4, sequences: 4}
checkpoints: {every: 2, keep_last: 10}
"""


ENDLESS = (
    SMALL.replace("steps: 8", "steps: 100000").replace("every: 2,", "every: 10,").replace("every: 4,", "every: 0,")
)
"""The same, but it must be stopped."""


def write_config(path: Path, text: str = SMALL) -> Path:
    """A configuration file."""
    path.write_text(text, encoding="utf-8")
    return path


def line(
    processes: int, module: str, arguments: tuple[object, ...], master: tuple[str, ...] = ("--standalone",)
) -> list[str]:
    """The command line; without torchrun for one process on one host."""
    alone = processes == 1 and master == ("--standalone",)
    launcher = [] if alone else ["-m", "torch.distributed.run", *master, f"--nproc_per_node={processes}"]
    return [sys.executable, *launcher, "-m", module, *map(str, arguments)]


def train(
    workspace: Path,
    config: Path,
    *arguments: object,
    processes: int = 1,
    code: int = 0,
    env: dict[str, str] | None = None,
    module: str = "training.pretrain",
) -> subprocess.CompletedProcess[str]:
    """``training.pretrain`` to its end; torchrun gives exit code 1 whenever a process fails."""
    options = ("--config", config, "--workspace", workspace, *arguments)
    done = subprocess.run(
        line(processes, module, options),
        capture_output=True,
        text=True,
        env=environment(env),
        timeout=300,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def start(workspace: Path, config: Path, *arguments: object, processes: int, log: Path) -> subprocess.Popen[str]:
    """``training.pretrain`` in the background, in a process group of its own."""
    options = ("--config", config, "--workspace", workspace, *arguments)
    with log.open("w") as file:
        return subprocess.Popen(
            line(processes, "training.pretrain", options),
            stdout=file,
            stderr=file,
            text=True,
            env=environment(None),
            cwd=ROOT,
            start_new_session=True,
        )


def topology(data: int = 1, tensor: int = 1, pipeline: int = 1, **more: object) -> tuple[str, ...]:
    """Options of a topology."""
    split = {"data": data, "tensor": tensor, "pipeline": pipeline, **more}
    return tuple(each for name, value in split.items() for each in (f"--parallelism.{name}", str(value)))


def run_of(done: subprocess.CompletedProcess[str]) -> str:
    """The id of the run that a command has ended."""
    return next(text.split()[1] for text in done.stdout.splitlines() if text.startswith("run "))


def newest_run(workspace: Path) -> Path:
    """The folder of the newest training run."""
    return max((path.parent for path in workspace.glob("runs/*/metrics-*.jsonl")), key=lambda path: path.name)


def metrics_of_attempt(folder: Path, attempt: int) -> dict[int, dict[str, float]]:
    """Step -> its numbers in an attempt."""
    steps: dict[int, dict[str, float]] = {}
    for text in (folder / f"metrics-{attempt:04d}.jsonl").read_text("utf-8").splitlines():
        try:
            row = json.loads(text)
        except ValueError:  # being written
            continue
        steps.setdefault(row.pop("step"), {}).update(row)
    return steps


def metrics(folder: Path) -> dict[int, dict[str, float]]:
    """Step -> its numbers, of the newest attempt at each."""
    found: dict[int, dict[str, float]] = {}
    for attempt in range(1, 1 + len(list(folder.glob("metrics-*.jsonl")))):
        found |= metrics_of_attempt(folder, attempt)
    return found


def losses(folder: Path) -> list[float]:
    """The loss of each step, from the first."""
    found = metrics(folder)
    return [found[step]["loss"] for step in range(1, max(found) + 1)]


def wait_for(condition: Any, process: subprocess.Popen[str], log: Path, seconds: float = 120) -> None:
    """Wait until something is so while a command runs."""
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, f"ended too early:\n{log.read_text()}"
        assert time.monotonic() < end, f"it took too long:\n{log.read_text()}"
        time.sleep(0.02)


def kill_all(process: subprocess.Popen[str]) -> None:
    """SIGKILL to a command and all its processes."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def reached(workspace: Path, step: int, but: str = "") -> Any:
    """A condition: the newest run, unless it is ``but``, has done a step."""

    def condition() -> bool:
        if not list(workspace.glob("runs/*/metrics-*.jsonl")):
            return False
        folder = newest_run(workspace)
        return folder.name != but and max(metrics(folder), default=0) >= step

    return condition


def run_until(workspace: Path, config: Path, step: int, *arguments: object, processes: int = 1) -> Path:
    """Train until a step is done, then stop by a signal; the folder of the run."""
    log = workspace / "log.txt"
    before = newest_run(workspace).name if "never" in arguments and list(workspace.glob("runs/*/metrics-*")) else ""
    process = start(workspace, config, *arguments, processes=processes, log=log)
    wait_for(reached(workspace, step, before), process, log)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=120) == (130 if processes == 1 else 1), log.read_text()
    return newest_run(workspace)
