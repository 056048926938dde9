"""The cascade beside Detoxify alone, on real pages with real toxic texts among them.

Usage: python benchmarks/toxicity.py [--pages 150] [--toxic 0.06] [--checkpoint FOLDER] [--cache FOLDER]

Texts: English pages of ../shared/crawl (``$SHARED``) and annotated tweets that the checkpoint has not seen (Davidson et
al. 2017), a share ``--toxic`` of which people call toxic. The checkpoint is of BERT-base's size, made once in the cache
folder (``parts/detoxify_base.py``), or your own. Baseline: Detoxify's ``predict``, one text at a time, as its README
has it (fp32, the first 512 tokens). Ours: the cheap model on every text, and int8 windows of those above the threshold
that ``calibrate`` takes from other pages and tweets. Both use one thread. A text is removed from ``toxicity`` .8 on.
Detoxify looks at the beginning of a text only; ours may find what comes later, and counts that against itself here.
Then what a window costs: fp32 and int8, alone and in batches. About 15 minutes, most of them for the baseline.
"""

import argparse
import json
import os
import random
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # before this folder, whose curation.py hides ours

from benchmarks.parts import detoxify_base
from benchmarks.parts.commands import CACHE
from curation.toxicity.cascade import calibrate, suspicious, verdict
from curation.toxicity.cheap import open_cheap, prepare_cheap
from curation.toxicity.checkpoint import find_checkpoint
from curation.toxicity.config import ToxicityConfig
from curation.toxicity.scorer import Scorer

CALIBRATE_ON = 1200
"""Tweets, and half as many clean texts, that the threshold is taken from."""


def pages(shared: Path) -> list[str]:
    """English texts of the real pages."""
    from benchmarks.filters import texts_of

    return texts_of(sorted(shared.glob("crawl/*.warc.gz")))


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """(CPU seconds, result)."""
    began = time.process_time()
    result = work()
    return time.process_time() - began, result


def window_costs(checkpoint: Path) -> list[dict[str, Any]]:
    """CPU milliseconds of a window by tokens, precision and batch."""
    import torch

    found = []
    for precision in ("fp32", "int8"):
        scorer = Scorer(find_checkpoint(str(checkpoint)), "cpu", precision)
        for tokens, batch in ((32, 1), (32, 8), (64, 1), (64, 4), (128, 1), (128, 4), (512, 1), (512, 2)):
            ids = torch.randint(100, 3000, (batch, tokens))
            with torch.inference_mode():
                scorer._model(input_ids=ids)
                taken, _ = timed(lambda scorer=scorer, ids=ids: [scorer._model(input_ids=ids) for _ in range(2)])
            found.append({"precision": precision, "tokens": tokens, "batch": batch, "ms": 500 * taken / batch})
    return found


def main() -> None:
    """Print the tables and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared_default = Path(os.environ.get("SHARED", Path(__file__).resolve().parents[2] / "shared"))
    parser.add_argument("--shared", type=Path, default=shared_default)
    parser.add_argument("--pages", type=int, default=150)
    parser.add_argument("--toxic", type=float, default=0.06, help="least share of toxic texts (0.06)")
    parser.add_argument("--checkpoint", type=Path, help="a folder with a checkpoint in Detoxify's format")
    parser.add_argument("--cache", type=Path, default=CACHE)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    os.environ["HF_HUB_OFFLINE"] = "1"

    import torch
    from detoxify import Detoxify

    from tests.curation.toxicity import small_model

    torch.set_num_threads(1)
    folder = options.checkpoint or options.cache.resolve() / "detoxify-base"
    if not options.checkpoint and not (folder / "model.ckpt").exists():
        detoxify_base.make(folder)
    source = find_checkpoint(str(folder))
    chance = random.Random(0)
    real = pages(options.shared)
    chance.shuffle(real)
    unseen = small_model.tweets()[-6000:]
    toxic = [text for text, targets in unseen[:2000] if targets[0]]
    wanted = int(options.pages * options.toxic / (1 - options.toxic)) + 1
    texts = real[: options.pages] + toxic[:wanted]
    chance.shuffle(texts)
    config = ToxicityConfig(model=str(folder))
    print(f"{len(texts)} texts, {100 * wanted / len(texts):.1f} % toxic tweets; {source.title}", flush=True)

    with tempfile.TemporaryDirectory() as cache:
        (digest,) = prepare_cheap(Path(cache)).values()
        cheap = open_cheap(Path(cache), digest)
        scorer = Scorer(source, "cpu")
        sample = [text for text, _ in unseen[2000 : 2000 + CALIBRATE_ON]]
        sample += small_model.clean_texts(3000)[1333:][: CALIBRATE_ON // 2] + real[options.pages :][:100]
        taken, found = timed(lambda: calibrate(sample, scorer, cheap, digest, config, 0.98))
        print(
            f"calibrated on {found.texts} other texts in {taken:.0f} s of CPU: threshold {found.threshold:.3f}, "
            f"recall there {found.recall:.3f} [{found.recall_low:.3f}, {found.recall_high:.3f}]",
            flush=True,
        )

        def cascade() -> tuple[set[int], int]:
            gone, sent = set(), 0
            for place, text in enumerate(texts):
                if cheap.score(text) >= found.threshold:
                    sent += 1
                    hot = suspicious(cheap.windows(text), found.threshold)
                    (scores,) = scorer.score([text], [hot], config.max_windows)
                    if verdict(scores, config):
                        gone.add(place)
            return gone, sent

        ours_s, (ours, sent) = timed(cascade)
        cheap_s, _ = timed(lambda: [cheap.score(text) for text in texts])
    detoxify = Detoxify(checkpoint=str(source.weights), huggingface_config_path=str(folder))
    least = config.thresholds["toxicity"]
    alone_s, scores = timed(lambda: [detoxify.predict(text)["toxicity"] for text in texts])
    alone = {place for place, score in enumerate(scores) if score >= least}

    recall = len(ours & alone) / len(alone) if alone else float("nan")
    agreement = 1 - len(ours ^ alone) / len(texts)
    print(f"\n{'':<24}{'CPU s':>9}{'texts/s':>10}{'times':>8}{'removed':>9}")
    print(f"{'Detoxify.predict':<24}{alone_s:>9.1f}{len(texts) / alone_s:>10.2f}{1:>8.1f}{len(alone):>9}")
    print(f"{'cascade':<24}{ours_s:>9.1f}{len(texts) / ours_s:>10.2f}{alone_s / ours_s:>8.1f}{len(ours):>9}")
    print(f"{'of it the cheap model':<24}{cheap_s:>9.2f}")
    print(f"\nsent on: {sent} of {len(texts)} ({100 * sent / len(texts):.1f} %)")
    print(
        f"of what Detoxify alone removes the cascade removes {100 * recall:.1f} %; "
        f"same decision on {100 * agreement:.1f} %"
    )
    costs = window_costs(folder)
    print(f"\n{'tokens':>6}{'windows':>9}{'fp32 ms':>10}{'int8 ms':>10}   a window")
    for fp32, int8 in zip(costs[: len(costs) // 2], costs[len(costs) // 2 :], strict=True):
        print(f"{fp32['tokens']:>6}{fp32['batch']:>9}{fp32['ms']:>10.1f}{int8['ms']:>10.1f}")
    figures = {
        "benchmark": "toxicity",
        "texts": len(texts),
        "times_detoxify": round(alone_s / ours_s, 2),
        "recall": round(recall, 4),
        "agreement": round(agreement, 4),
        "sent_share": round(sent / len(texts), 4),
        "detoxify_cpu_s": round(alone_s, 2),
        "cascade_cpu_s": round(ours_s, 2),
        "threshold": round(found.threshold, 4),
        "windows": [{**each, "ms": round(each["ms"], 1)} for each in costs],
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
