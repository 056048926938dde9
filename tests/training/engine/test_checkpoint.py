"""Checkpoints are whole or absent, and go on in any topology as if nothing had been."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from curation.errors import UserError
from tests.training.engine.conftest import ROOT, Results, done, job, start
from tests.training.engine.test_parallel import assert_same
from training.manifest import MANIFEST, read_manifest

pytestmark = pytest.mark.timeout(900)

RESUMED = {
    "1 -> tp2": "plain",
    "1 -> pp2 tied": "tied",
    "2x2x2 -> dp2 zero 1": "plain",
    "2x2x2 -> dp2": "plain",
    "bfloat16 1 -> dp2 zero 1": "bfloat16",
}


@pytest.mark.parametrize(("name", "reference"), RESUMED.items())
def test_goes_on_in_another_topology(name: str, reference: str, two: Results, one: Results) -> None:
    assert two[name]["from"] == 10
    assert_same(two[name], one[reference])


def test_goes_on_alone_from_eight(one: Results) -> None:
    assert one["2x2x2 -> 1"]["from"] == 10
    assert_same(one["2x2x2 -> 1"], one["plain"])


def test_weights_alone_begin_a_new_run(one: Results) -> None:
    run, plain = one["weights alone"], one["plain"]
    assert run["from"] == 0
    assert run["rate"] == plain["rate"][:2]
    assert run["loss"][0] < plain["loss"][0] - 1


def test_manifest(folder: Path, one: Results, eight: Results) -> None:
    manifest = read_manifest(folder / "2x2x2")
    assert (manifest["step"], manifest["samples"], manifest["precision"]) == (10, 80, "float32")
    assert manifest["topology"] == {"data": 2, "tensor": 2, "pipeline": 2, "zero_stage": 1}
    assert manifest["facts"] == {"tag": "2x2x2"}
    assert manifest["model"] == {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "tie_word_embeddings": False,
        "rope_theta": 10000.0,
        "rms_norm_eps": 1e-05,
        "vocab_size": 512,
        "max_position_embeddings": 32,
        "hidden_act": "silu",
        "eos_token_id": 0,
    }


def test_nanotron_reads_it(one: Results) -> None:
    read = one["nanotron reads"]
    assert read["metas"] == {"last_train_step": 10, "consumed_train_samples": 80}
    assert read["same"]
    assert read["states"] == 4 * 6 + 3
    assert read["rates"][0] == read["rates"][1]
    assert read["model"][0] == read["model"][1]
    assert read["model"][0]["num_key_value_heads"] == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("other sizes", "has num_hidden_layers 4, and the configuration 6"),
        ("other precision", "precision: bfloat16, but"),
        ("no checkpoint", f"is no checkpoint ({MANIFEST} is missing)"),
        ("there already", "is there already"),
    ],
)
def test_what_does_not_fit_is_refused(name: str, message: str, one: Results) -> None:
    assert message in one[name]["message"]


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"format": 1}', '{"format": 2, "step": 1, "samples": 1, "precision": "float32", "model": {}}'],
)
def test_damaged_manifest_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(UserError, match=MANIFEST):
        read_manifest(tmp_path)


def test_damaged_files_are_refused(folder: Path, one: Results, tmp_path: Path) -> None:
    cases = {
        "truncated weights": ("model/**/qkv_proj/*.safetensors", b"\x00" * 20),
        "no weights": ("model/**/qkv_proj/*.safetensors", None),
        "truncated optimizer": ("optimizer/*.pt", b"PK"),
        "no optimizer": ("optimizer/*.pt", None),
    }
    jobs = []
    for name, (pattern, content) in cases.items():
        damaged = tmp_path / name
        shutil.copytree(folder / "plain", damaged)
        for path in damaged.glob(pattern):
            path.unlink()
            if content is not None:
                path.write_bytes(content)
        jobs.append(job(name, do="refused", load=str(damaged), steps=11))
    results = done(1, jobs, tmp_path)
    for name in cases:
        kind = "weights" if "weights" in name else "optimizer"
        assert f"its {kind} cannot be read" in results[name]["message"]


def test_killed_while_saving(tmp_path: Path) -> None:
    """At the first sync, at the manifest, and at the rename: nothing appears, and the next save cleans up."""
    saved = tmp_path / "checkpoints" / "1"
    for moment in ("_sync_tree", "write_durably", "rename"):
        killed = start(1, [job("x", do="killed_save", at=moment, save=str(saved))], tmp_path / "out")
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert [path.name for path in saved.parent.iterdir()] == [".1.saving"]
    done(1, [job("y", steps=1, save_at=1, save=str(saved))], tmp_path)
    assert [path.name for path in saved.parent.iterdir()] == ["1"]
    assert read_manifest(saved)["step"] == 1


def test_where_one_rank_has_no_room_all_give_up(two: Results, folder: Path) -> None:
    first, second = two["full disk"]["said"]
    assert first.startswith("UserError: the checkpoint cannot be written: ")
    assert "No space left on device" in first
    assert second.startswith("FirstRankFailed")
    assert not (folder / "full disk").exists()


@pytest.mark.full
def test_killed_at_any_moment(tmp_path: Path) -> None:
    """Two processes that save after each step, killed a few times: every checkpoint there is can be gone on from."""
    jobs, rng = tmp_path / "jobs", random.Random(1)
    arguments = ["--standalone", "--nproc_per_node=2", "-m", "tests.training.engine.driver", str(jobs), "unused"]
    for attempt in range(6):
        saved = tmp_path / str(attempt)
        jobs.write_text(json.dumps([job("x", do="save_often", data=2, zero_stage=1, save=str(saved))]))
        with subprocess.Popen([sys.executable, "-m", "torch.distributed.run", *arguments], cwd=ROOT) as torchrun:
            try:
                deadline = time.monotonic() + 120
                while not (saved / "2").exists() and time.monotonic() < deadline:
                    time.sleep(0.01)
                time.sleep(rng.random() / 2)
            finally:
                workers = psutil.Process(torchrun.pid).children(recursive=True)
                torchrun.kill()
                for process in workers:
                    process.kill()
                psutil.wait_procs(workers)
        whole = [path for path in saved.iterdir() if not path.name.startswith(".")]
        assert len(whole) >= 2
        newest = max(whole, key=lambda path: int(path.name))
        step = read_manifest(newest)["step"]
        assert step == int(newest.name)
        again = job("again", load=str(newest), steps=step + 1, save_at=step + 1, save=str(saved / "again"))
        assert done(1, [again], tmp_path)["again"]["from"] == step
        assert not list(saved.glob(".*"))
