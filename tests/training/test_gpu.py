"""The real command on a CUDA device: NCCL, bfloat16, saving, going on. ``python -m pytest -m gpu``."""

from pathlib import Path

import pytest

from tests.training import launch

pytest.importorskip("nanotron", reason="training needs nanotron: pip install nanotron==0.4")
torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here"),
]


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_a_run_on_a_gpu_stops_and_goes_on(workspace: Path, tmp_path: Path, precision: str) -> None:
    config = launch.write_config(tmp_path / "c.yaml", launch.ENDLESS)
    one = ("--precision", precision, "--resume", "never")
    straight = launch.losses(launch.run_until(workspace, config, 60, *one, processes=1))
    assert straight[59] < straight[0] - 0.5
    stopped = launch.run_until(workspace, config, 20, *one, processes=1)
    again = launch.run_until(workspace, config, 60, "--precision", precision, "--resume", stopped.name, processes=1)
    assert again == stopped
    found = launch.losses(again)
    tolerance = 1e-4 if precision == "float32" else 2e-2  # kernels on a GPU add in any order
    assert max(abs(a - b) for a, b in zip(found[:60], straight[:60], strict=True)) < tolerance


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there are not two CUDA devices here")
@pytest.mark.parametrize("split", [{"data": 2, "zero_stage": 1}, {"tensor": 2}, {"pipeline": 2}], ids=str)
def test_two_gpus_compute_what_one_does(workspace: Path, tmp_path: Path, split: dict[str, int]) -> None:
    config = launch.write_config(tmp_path / "c.yaml")
    runs = [launch.train(workspace, config), launch.train(workspace, config, *launch.topology(**split), processes=2)]
    one, two = (launch.losses(workspace / "runs" / launch.run_of(done)) for done in runs)
    assert max(abs(a - b) for a, b in zip(one, two, strict=True)) < 1e-4
