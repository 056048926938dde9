"""What several tests look at: runs in one, two and eight processes, each started once."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
Results = dict[str, Any]

UNEVEN: Results = {"masks": "uneven"}


def job(name: str, **fields: Any) -> Results:
    """A training job; ``data``, ``tensor`` and so on are fields of ``parallelism``, the rest is the job's."""
    split = {
        key: fields.pop(key)
        for key in ("data", "tensor", "pipeline", "engine", "tensor_mode", "zero_stage", "recompute")
        if key in fields
    }
    config = {"parallelism": split, **fields.pop("config", {})}
    return {"name": name, "config": config, **fields}


TIED: Results = {"model": {"tie_word_embeddings": True}}
HALF: Results = {"precision": "bfloat16"}


def start(processes: int, jobs: list[Results], out: Path, cuda: bool = False) -> subprocess.CompletedProcess[str]:
    """Do jobs in so many processes: with torchrun, or as plain Python where it is one; on the CPU unless ``cuda``."""
    listed = out.with_suffix(".jobs")
    listed.write_text(json.dumps(jobs))
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    command = [*(torchrun if processes > 1 else ()), "-m", "tests.training.engine.driver", str(listed), str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"} | ({} if cuda else {"CUDA_VISIBLE_DEVICES": ""})
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1800
    )


def done(processes: int, jobs: list[Results], folder: Path, cuda: bool = False) -> Results:
    """Name of a job -> what came of it."""
    out = folder / f"{processes}-{jobs[0]['name']}.json"
    finished = start(processes, jobs, out, cuda)
    assert finished.returncode == 0, finished.stdout[-2000:] + finished.stderr[-6000:]
    results: Results = json.loads(out.read_text())
    results["stderr"] = finished.stderr
    return results


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the runs leave checkpoints."""
    return tmp_path_factory.mktemp("engine")


@pytest.fixture(scope="session")
def eight(folder: Path) -> Results:
    """2 x 2 x 2 processes, with a checkpoint after step 10."""
    split = {"data": 2, "tensor": 2, "pipeline": 2, "zero_stage": 1, "engine": "1f1b"}
    return done(8, [job("2x2x2", **split, save_at=10, save=str(folder / "2x2x2"))], folder)


@pytest.fixture(scope="session")
def one(folder: Path, eight: Results) -> Results:
    """What all else is compared with, some of it with checkpoints after step 10."""
    whole = {"batch": {"micro_batch_size": 8}}
    jobs = [
        job("plain", save_at=10, save=str(folder / "plain")),
        job("tied", config=TIED, save_at=10, save=str(folder / "tied")),
        job("masked", config=whole, **UNEVEN),
        job("masked in micro-batches", **UNEVEN),
        job("recompute", recompute=True),
        job("bfloat16", config=HALF, save_at=10, save=str(folder / "bfloat16")),
        job("no clipping", config={"optimizer": {"clip_grad": None}}, steps=2),
        job("2x2x2 -> 1", load=str(folder / "2x2x2")),
        job("weights alone", load=str(folder / "plain"), weights_only=True, steps=2),
        job("same as transformers", do="transformers_agree"),
        job("same as transformers, tied", do="transformers_agree", **UNEVEN, config=TIED),
        job("nanotron's step", do="upstream_step_is_used"),
        job("nanotron reads", do="nanotron_reads", load=str(folder / "plain")),
        job("other sizes", do="refused", load=str(folder / "plain"), config={"model": {"num_hidden_layers": 6}}),
        job("other precision", do="refused", load=str(folder / "plain"), config=HALF),
        job("no checkpoint", do="refused", load=str(folder)),
        job("too many processes", do="refused", data=2),
        job("there already", do="refused", save_at=1, save=str(folder / "plain"), steps=1),
        job("all masked", do="refused", masks="all", steps=1),
    ]
    return done(1, jobs, folder)


@pytest.fixture(scope="session")
def two(folder: Path, one: Results) -> Results:
    """Each way to use two processes."""
    jobs = [
        job("dp2", data=2),
        job("dp2 zero 1", data=2, zero_stage=1),
        job("dp2 masked", data=2, **UNEVEN),
        job("tp2", tensor=2),
        job("tp2 reduce_scatter", tensor=2, tensor_mode="reduce_scatter"),
        job("tp2 reduce_scatter recompute", tensor=2, tensor_mode="reduce_scatter", recompute=True),
        job("pp2 afab", pipeline=2, engine="afab"),
        job("pp2 1f1b", pipeline=2, engine="1f1b"),
        job("pp2 tied", pipeline=2, config=TIED),
        job("pp2 masked", pipeline=2, **UNEVEN),
        job("bfloat16 dp2", data=2, config=HALF),
        job("bfloat16 dp2 zero 1", data=2, zero_stage=1, config=HALF),
        job("1 -> tp2", tensor=2, load=str(folder / "plain")),
        job("1 -> pp2 tied", pipeline=2, load=str(folder / "tied"), config=TIED),
        job("2x2x2 -> dp2 zero 1", data=2, zero_stage=1, load=str(folder / "2x2x2")),
        job("2x2x2 -> dp2", data=2, load=str(folder / "2x2x2")),
        job("full disk", do="full_disk", data=2, save=str(folder / "full disk")),
        job("bfloat16 1 -> dp2 zero 1", data=2, zero_stage=1, config=HALF, load=str(folder / "bfloat16")),
    ]
    return done(2, jobs, folder)
