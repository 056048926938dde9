"""Log-likelihoods by lm-evaluation-harness's own ``HFLM``; runs in an environment of its own, without this project.

Usage: python harness.py MODEL REQUESTS OUT BATCH

REQUESTS: JSON, [[context, continuation], ...]. OUT: JSON with ``values`` and ``seconds``, loading not counted. A
context that is empty becomes the model's prefix token (BOS, else EOS), as its tasks have it.
"""

import json
import sys
import time
from pathlib import Path


def main() -> None:
    """See above."""
    import torch
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    model, requests, out, batch = sys.argv[1:5]
    torch.set_num_threads(1)
    asked = [tuple(each) for each in json.loads(Path(requests).read_text("utf-8"))]
    harness = HFLM(pretrained=model, device="cpu", dtype="float32", batch_size=int(batch))
    instances = [Instance("loglikelihood", {}, each, number) for number, each in enumerate(asked)]
    harness.loglikelihood(instances[:4], disable_tqdm=True)
    began = time.perf_counter()
    values = [value for value, _ in harness.loglikelihood(instances, disable_tqdm=True)]
    Path(out).write_text(json.dumps({"values": values, "seconds": time.perf_counter() - began}), "utf-8")


if __name__ == "__main__":
    main()
