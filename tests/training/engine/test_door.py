"""Each repair of nanotron meets what it repairs: where upstream changes, these tests say so."""

import importlib.metadata
import importlib.util
import json
import subprocess
import sys

import pytest

from curation.errors import UserError
from tests.training.engine.conftest import ROOT, Results
from training.engine import door

SIGNATURES = """
import inspect, json, sys
from training.engine import imports
imports.import_nanotron()
import nanotron.distributed as dist, nanotron.trainer, nanotron.serialize.weights
from nanotron.config import Config
from nanotron.models.base import NanotronModel, build_model
from nanotron.parallel import ParallelContext
from nanotron.parallel.parameters import NanotronParameter
from nanotron.parallel.pipeline_parallel.p2p import P2P
from nanotron.parallel.pipeline_parallel.state import PipelineTrainBatchState
from nanotron.trainer import DistributedTrainer
found = {
    "mark_as_sharded": NanotronParameter.mark_as_sharded,
    "get_config_from_file": nanotron.trainer.get_config_from_file,
    "tqdm": nanotron.serialize.weights.tqdm,
    "set_device": ParallelContext.set_device,
    "log_memory": nanotron.trainer.log_memory,
    "all_reduce_coalesced": dist.all_reduce_coalesced,
    "all_gather_coalesced": dist.all_gather_coalesced,
    "isend_tensors": P2P.isend_tensors,
    "check_buffers_empty": PipelineTrainBatchState.check_buffers_empty,
    "_init_model_instance": DistributedTrainer._init_model_instance,
    "_load_model_checkpoint": DistributedTrainer._load_model_checkpoint,
    "setup_log_writers": DistributedTrainer.setup_log_writers,
    "post_init": DistributedTrainer.post_init,
    "training_step": DistributedTrainer.training_step,
}
defects = {}
try:
    nanotron.trainer.get_config_from_file(Config.create_empty())
    defects["takes a Config"] = True
except TypeError:
    defects["takes a Config"] = False
defects["sets CUDA device"] = "torch.cuda.set_device" in inspect.getsource(ParallelContext.set_device)
defects["builds on"] = str(inspect.signature(build_model).parameters["device"].default)
defects["waits for the last bucket alone"] = inspect.getsource(nanotron.trainer).count("_handle.wait")
defects["sends before metadata is received"] = "self._send_meta" in inspect.getsource(P2P.isend_tensors)
defects["stand-in left behind"] = sorted(name for name in sys.modules if name.split(".")[0] == "flash_attn")
defects["wandb"] = str(nanotron.trainer.wandb)
print(json.dumps([{name: list(inspect.signature(each).parameters) for name, each in found.items()}, defects]))
"""


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120)


@pytest.fixture(scope="module")
def upstream() -> tuple[Results, Results]:
    """Parameters of what is replaced, and whether each defect is there, in nanotron as it is imported."""
    finished = python(SIGNATURES)
    assert finished.returncode == 0, finished.stderr
    signatures, defects = json.loads(finished.stdout)
    return signatures, defects


def test_what_is_replaced_is_as_we_know_it(upstream: tuple[Results, Results]) -> None:
    assert upstream[0] == {
        "mark_as_sharded": ["self", "global_ranks", "local_global_slices_pairs", "unsharded_shape"],
        "get_config_from_file": [
            "config_path",
            "config_class",
            "model_config_class",
            "skip_unused_config_keys",
            "skip_null_keys",
        ],
        "tqdm": ["_", "__"],
        "set_device": ["self"],
        "log_memory": ["logger"],
        "all_reduce_coalesced": ["tensors", "op", "group", "async_op"],
        "all_gather_coalesced": ["output_tensor_lists", "input_tensor_list", "group", "async_op"],
        "isend_tensors": ["self", "tensors", "to_rank", "tag"],
        "check_buffers_empty": ["self"],
        "_init_model_instance": ["self"],
        "_load_model_checkpoint": ["self", "model"],
        "setup_log_writers": ["self"],
        "post_init": ["self"],
        "training_step": ["self", "dataloader"],
    }


def test_each_defect_is_still_there(upstream: tuple[Results, Results]) -> None:
    defects = upstream[1]
    assert not defects["takes a Config"]
    assert defects["sets CUDA device"]
    assert defects["builds on"] == "cuda"
    assert defects["waits for the last bucket alone"] == 1
    assert defects["sends before metadata is received"]


def test_imports_leave_nothing_behind(upstream: tuple[Results, Results]) -> None:
    assert upstream[1]["wandb"] == "None"
    if importlib.util.find_spec("flash_attn") is None:
        assert upstream[1]["stand-in left behind"] == []


def test_nanotron_does_not_import_by_itself() -> None:
    finished = python("import nanotron.logging")
    assert "circular import" in finished.stderr
    if importlib.util.find_spec("flash_attn") is None:
        finished = python("from training.engine import imports; imports.import_logging()\nimport nanotron.trainer")
        assert "No module named 'flash_attn'" in finished.stderr


def test_numpy_integers_would_be_written() -> None:
    """Shapes of matrices in chunks (q, k, v) reach nanotron as numpy integers, whose text it cannot read."""
    code = """
from training.engine import imports
imports.import_nanotron()
import numpy
from nanotron.serialize.metadata import TensorMetadata
metadata = TensorMetadata("1.2", (), (numpy.int64(192), 64)).to_str_dict()
print(metadata["unsharded_shape"])
try:
    TensorMetadata.from_str_dict(metadata)
except Exception as error:
    print(type(error).__name__)
"""
    assert python(code).stdout.splitlines() == ["(np.int64(192), 64)", "ValueError"]


@pytest.mark.parametrize("version", ["0.3", "0.4.1", "0.5"])
def test_another_version_is_refused(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
    with pytest.raises(UserError, match=f"nanotron {version} is installed.*nanotron==0.4"):
        door._check_version()


def test_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(UserError, match=r"not installed.*pip install nanotron==0\.4"):
        door._check_version()
