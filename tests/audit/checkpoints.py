"""Checkpoints of a training run that were never trained: real folders and records, in seconds."""

import shutil
import sys
import time
from pathlib import Path

import torch

from curation.recorded import recorded_run
from curation.records import Checkpoint, now
from curation.weights import weights_sha256
from curation.workspace import Workspace
from tests.audit.models import made_network, made_tokenizer
from training.convert import import_model
from training.folders import checkpoint_folder, checkpoint_id


def write_checkpoint(workspace: Workspace, run_id: str, step: int, scratch: Path) -> str:
    """A small model as the checkpoint of a step, on record; returns its id."""
    network = made_network(max_position_embeddings=256)
    torch.manual_seed(step)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    source = scratch / f"hf-{step}"
    network.save_pretrained(source)
    made_tokenizer().save_pretrained(source)
    folder = checkpoint_folder(workspace, run_id, step)
    import_model(source, folder, 1)
    shutil.rmtree(source)
    found = Checkpoint(
        checkpoint_id=checkpoint_id(run_id, step),
        run_id=run_id,
        step=step,
        tokens_seen=step,
        path=folder.relative_to(workspace.root).as_posix(),
        weights_sha256=weights_sha256(folder),
        data_position=step,
        created_at=now(),
    )
    workspace.write([found], name=found.checkpoint_id)
    return found.checkpoint_id


def main() -> None:
    """``python -m tests.audit.checkpoints WORKSPACE NUMBER SECONDS``: a run that writes checkpoints; prints its id."""
    workspace, number, seconds = Workspace(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    with recorded_run(workspace, "pretrain", {"written": number}) as run_id:
        print(run_id, flush=True)
        for step in range(1, number + 1):
            write_checkpoint(workspace, run_id, step, workspace.root)
            time.sleep(seconds)


if __name__ == "__main__":
    main()
