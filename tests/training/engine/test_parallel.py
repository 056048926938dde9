"""However a run is divided, it is the same run."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.engine.conftest import HALF, TIED, Results, done, job

pytestmark = pytest.mark.timeout(900)  # the first test waits for the runs

SAME = 1e-5
TWO = {
    "dp2": "plain",
    "dp2 zero 1": "plain",
    "dp2 masked": "masked",
    "tp2": "plain",
    "tp2 reduce_scatter": "plain",
    "tp2 reduce_scatter recompute": "plain",
    "pp2 afab": "plain",
    "pp2 1f1b": "plain",
    "pp2 tied": "tied",
    "pp2 masked": "masked",
    "bfloat16 dp2": "bfloat16",
    "bfloat16 dp2 zero 1": "bfloat16",
}
ONE = {"masked in micro-batches": "masked", "recompute": "plain"}


def assert_same(run: Results, reference: Results) -> None:
    """Losses, gradient norms, learning rates, tokens and held-out loss of each step from where ``run`` began."""
    begin = run["from"]
    assert run["tokens"] == reference["tokens"][begin:]
    assert run["rate"] == reference["rate"][begin:]
    assert run["loss"] == pytest.approx(reference["loss"][begin:], abs=SAME)
    assert run["norm"] == pytest.approx(reference["norm"][begin:], abs=5 * SAME)
    assert run["evaluated"][1] == reference["evaluated"][1]
    assert run["evaluated"][0] == pytest.approx(reference["evaluated"][0], abs=SAME * reference["evaluated"][1])


@pytest.mark.parametrize(("name", "reference"), TWO.items())
def test_two_processes_train_as_one(name: str, reference: str, two: Results, one: Results) -> None:
    assert_same(two[name], one[reference])


def test_eight_processes_train_as_one(eight: Results, one: Results) -> None:
    assert_same(eight["2x2x2"], one["plain"])


@pytest.mark.parametrize(("name", "reference"), ONE.items())
def test_masks_and_recomputation_change_nothing(name: str, reference: str, one: Results) -> None:
    assert_same(one[name], one[reference])


def test_it_learns(one: Results) -> None:
    """The tokens are 64 of 512, at random: from about ln 512 to about ln 64."""
    for name in ("plain", "tied", "masked", "bfloat16"):
        loss = one[name]["loss"]
        assert 6.0 < loss[0] < 6.5
        assert 4.1 < loss[-1] < 4.5


def test_masks_count_tokens(one: Results) -> None:
    assert one["plain"]["tokens"][0] == 8 * 32
    assert 0 < one["masked"]["tokens"][0] < 8 * 32
    assert one["masked"]["loss"][5] != one["plain"]["loss"][5]


def test_no_clipping_still_tells_the_norm(one: Results) -> None:
    assert one["no clipping"]["norm"][0] == one["plain"]["norm"][0] > 1.0
    assert one["no clipping"]["loss"][0] == one["plain"]["loss"][0]


def test_learning_rate_is_the_steps_own(one: Results) -> None:
    rates = one["plain"]["rate"]
    assert rates[:3] == pytest.approx([5e-3 / 3, 2 * 5e-3 / 3, 5e-3])
    assert rates[-1] == pytest.approx(1e-4)


@pytest.mark.parametrize("name", ["tp2", "tp2 reduce_scatter"])
def test_no_two_tensor_ranks_hold_the_same_shard(name: str, two: Results) -> None:
    shards = two[name]["shards"]
    assert len(shards) == 2 + 4 * 4
    for matrix, sums in shards.items():
        assert len(set(sums)) == 2, matrix


@pytest.mark.parametrize("name", ["same as transformers", "same as transformers, tied"])
def test_loss_and_gradient_are_those_of_transformers(name: str, one: Results) -> None:
    assert one[name]["ours"] == pytest.approx(one[name]["theirs"], abs=1e-5)


def test_steps_are_nanotrons(one: Results) -> None:
    assert one["nanotron's step"]["raised"] == "broken on purpose"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("too many processes", "data 2 x tensor 1 x pipeline 1 are 2 process(es), and there are 1"),
        ("all masked", "step 1: every token of its batch is masked"),
    ],
)
def test_what_cannot_be_trained_is_refused(name: str, message: str, one: Results) -> None:
    assert message in one[name]["message"]


def test_nothing_is_logged_unasked(one: Results, two: Results) -> None:
    """Neither nanotron's warnings and progress bars, nor what PyTorch says of its calls."""
    for results in (one, two):
        noise = ("nanotron", "Warning", "SlicedTensor", "it/s")
        assert [line for line in results["stderr"].splitlines() if any(each in line for each in noise)] == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_trains_as_the_cpu(one: Results, tmp_path: Path) -> None:
    """Sums are taken in another order there, and in bfloat16 rounded."""
    runs = done(1, [job("plain"), job("bfloat16", config=HALF)], tmp_path, cuda=True)
    assert runs["plain"]["loss"] == pytest.approx(one["plain"]["loss"], abs=1e-3)
    assert runs["bfloat16"]["loss"] == pytest.approx(one["bfloat16"]["loss"], abs=3e-2)


def grid(size: int) -> list[Results]:
    """All ways to use so many processes; every other one with tied embeddings and recomputation."""
    jobs = []
    for data, tensor, pipeline in itertools.product(range(1, size + 1), repeat=3):
        if data * tensor * pipeline != size or tensor not in (1, 2, 4) or pipeline > 4 or 24 % (2 * data):
            continue
        engines = ("afab", "1f1b") if pipeline > 1 else ("1f1b",)
        modes = ("all_reduce", "reduce_scatter") if tensor > 1 else ("all_reduce",)
        stages = (0, 1) if data > 1 else (0,)
        for engine, mode, zero in itertools.product(engines, modes, stages):
            tied = (engines.index(engine) + modes.index(mode) + zero + data) % 2 == 1
            split: dict[str, Any] = {"data": data, "tensor": tensor, "pipeline": pipeline, "zero_stage": zero}
            split |= {"engine": engine, "tensor_mode": mode, "recompute": tied}
            name = f"{'tied' if tied else 'plain'} {data}x{tensor}x{pipeline} {engine} {mode} zero {zero}"
            jobs.append(job(name, **split, config=wide(TIED if tied else {}), masks="uneven"))
    return jobs


def wide(config: dict[str, Any]) -> dict[str, Any]:
    """Four key heads, for four tensor ranks, and batches for three replicas."""
    model = {"num_key_value_heads": 4, **config.get("model", {})}
    return {**config, "model": model, "batch": {"global_batch_size": 24}}


@pytest.mark.full
@pytest.mark.parametrize("size", [2, 3, 4, 8])
@pytest.mark.timeout(3600)
def test_the_whole_grid(size: int, tmp_path: Path) -> None:
    configs = {"plain": {}, "tied": TIED}
    references = done(1, [job(name, config=wide(config), masks="uneven") for name, config in configs.items()], tmp_path)
    jobs = grid(size)
    results = done(size, jobs, tmp_path)
    for each in jobs:
        assert_same(results[each["name"]], references[each["name"].split()[0]])


@pytest.mark.full
@pytest.mark.parametrize("split", [{"tensor": 2}, {"pipeline": 2}])
def test_bfloat16_in_other_topologies_differs_by_its_rounding(
    split: dict[str, int], one: Results, tmp_path: Path
) -> None:
    run = done(2, [job("half", **split, config=HALF)], tmp_path)["half"]
    assert run["loss"] == pytest.approx(one["bfloat16"]["loss"], abs=2e-2)
