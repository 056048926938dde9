"""Log-likelihoods of probe items: ours beside a plain scorer and lm-evaluation-harness, same items, same model.

Usage: python benchmarks/audit.py [--pairs 150] [--questions 24] [--batch 16] [--model FOLDER] [--cache FOLDER]

Items: CrowS-Pairs (two sentences a pair) and BBQ (each item's answers, and ten ways to say that it cannot be known) out
of ``$SHARED/datasets``, spread over the files. Model: SmolLM2-135M-Instruct in float32, out of its package, or
a folder. Baselines: one text at a time through transformers, with the softmax of every position
(what a user writes first), and ``HFLM.loglikelihood`` of lm-evaluation-harness, in an environment of its own that pip
makes once in the cache folder, with batches of ``--batch``. All on one thread, loading not counted. Beside the
speed: the largest difference of a log-likelihood to the plain scorer's, and whether any decision differs. About 10
minutes.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from audit.items import Item
from audit.model import Model, load_model
from audit.places import Places, read_cases
from audit.probes import find_probe
from audit.sampling import sample
from benchmarks.parts.commands import CACHE, ROOT, call, environment_of
from curation.workspace import Workspace

HEADER = "items         scorer        cases   cases/s  x plain  max |difference|  decided alike"
HARNESS = ("lm-eval[hf]>=0.4.10,<0.5",)


def plain(model: Model, items: Sequence[Item]) -> tuple[float, list[float]]:
    """Seconds, and log-likelihoods, one text at a time."""
    import torch

    network, tokenizer = model.network, model.tokenizer
    values = []
    began = time.perf_counter()
    with torch.inference_mode():
        for item in items:
            context = tokenizer(item.context, add_special_tokens=False)["input_ids"]
            whole = tokenizer(item.context + item.continuation, add_special_tokens=False)["input_ids"]
            start = model.encoder.start_token(item.start)
            ids, first = (whole, len(context)) if start is None else ([start, *whole], len(context) + 1)
            ids_1S = torch.tensor([ids], device=model.device)
            log_SV = network(input_ids=ids_1S, use_cache=False).logits[0].float().log_softmax(-1)
            values.append(float(sum(log_SV[place - 1, ids[place]] for place in range(first, len(ids)))))
    return time.perf_counter() - began, values


def ours(model: Model, items: Sequence[Item]) -> tuple[float, list[float]]:
    """Seconds, and log-likelihoods."""
    model.log_likelihood(items[:4])
    began = time.perf_counter()
    values = [score.total for score in model.log_likelihood(items)]
    return time.perf_counter() - began, values


def harness(folder: Path, items: Sequence[Item], batch: int, cache: Path) -> tuple[float, list[float]]:
    """Seconds, and log-likelihoods, of lm-evaluation-harness."""
    python = environment_of(cache / "harness", HARNESS)
    with tempfile.TemporaryDirectory() as scratch:
        asked, out = Path(scratch) / "asked.json", Path(scratch) / "out.json"
        asked.write_text(json.dumps([[item.context, item.continuation] for item in items]), "utf-8")
        script = ROOT / "benchmarks" / "parts" / "harness.py"
        environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        call([python, script, folder, asked, out, str(batch)], env=environment)
        found: dict[str, Any] = json.loads(out.read_text("utf-8"))
    return found["seconds"], found["values"]


def smollm2_folder(scratch: Path) -> Path:
    """SmolLM2 as a Hugging Face folder."""
    from training import smollm2

    folder = scratch / smollm2.NAME
    folder.mkdir()
    smollm2.write_folder(smollm2.find_file(), folder)
    return folder


def items_of(probe: str, limit: int, places: Places) -> list[list[Item]]:
    """The items of each of some cases."""
    cases = sample(read_cases(find_probe(probe), places), limit, 0)
    return [[ask.item for ask in case.asks] for case in cases]


def decisions(sizes: Sequence[int], values: Sequence[float]) -> list[int]:
    """The likeliest of each case's items."""
    found, begin = [], 0
    for size in sizes:
        part = values[begin : begin + size]
        found.append(max(range(size), key=part.__getitem__))
        begin += size
    return found


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=150, help="CrowS-Pairs")
    parser.add_argument("--questions", type=int, default=24, help="of BBQ")
    parser.add_argument("--batch", type=int, default=16, help="batch size of lm-evaluation-harness")
    parser.add_argument("--model", type=Path, help="Hugging Face folder of a Llama")
    parser.add_argument("--cache", type=Path, default=CACHE, help="keeps the environment")
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    places = Places([Path(os.environ.get("SHARED", ROOT.parent / "shared")) / "datasets"])
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.model or smollm2_folder(Path(scratch))
        model = load_model(Workspace(Path(scratch) / "W"), str(folder), "cpu")
        print(HEADER)
        for probe, limit in (("crows_pairs", options.pairs), ("bbq", options.questions)):
            cases = items_of(probe, limit, places)
            items, sizes = [item for case in cases for item in case], [len(case) for case in cases]
            measured = {
                "plain": plain(model, items),
                "lm-eval": harness(folder, items, options.batch, options.cache),
                "ours": ours(model, items),
            }
            base_seconds, base = measured["plain"]
            figures[probe] = {"cases": len(cases), "items": len(items)}
            for name, (seconds, values) in measured.items():
                apart = max(abs(one - other) for one, other in zip(values, base, strict=True))
                alike = sum(a == b for a, b in zip(decisions(sizes, values), decisions(sizes, base), strict=True))
                figures[probe][name] = {
                    "cases_per_s": round(len(cases) / seconds, 3),
                    "times_plain": round(base_seconds / seconds, 2),
                    "max_difference": round(apart, 6),
                    "alike": alike / len(cases),
                }
                print(
                    f"{probe:<14}{name:<12}{len(cases):>7}{len(cases) / seconds:>10.2f}{base_seconds / seconds:>9.2f}"
                    f"{apart:>18.6f}{100 * alike / len(cases):>13.1f} %"
                )
            figures[probe]["ours_times_lm_eval"] = round(measured["lm-eval"][0] / measured["ours"][0], 2)
            print(f"{probe}: ours is {figures[probe]['ours_times_lm_eval']} times lm-evaluation-harness")
    print(json.dumps({"benchmark": "audit", "model": folder.name, "threads": 1, "batch": options.batch, **figures}))


if __name__ == "__main__":
    main()
