"""``python -m curation.toxicity``: bring weights, take a threshold from data, measure the scorer's own bias, score."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from curation.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_USAGE, UserError
from curation.toxicity.config import OFFICIAL, ToxicityConfig

EPILOG = """\
examples:
  python -m curation.toxicity fetch original
      Detoxify's weights, and the tokenizer of its base model, into the caches of torch and Hugging Face
  python -m curation.toxicity calibrate --texts sample.jsonl --model original --workspace W --target-recall 0.98
      which documents need Detoxify at all: later runs in W send it only those above the threshold found here
  python -m curation.toxicity bias --model original
      false positives and AUCs by identity, on templates (Borkan et al. 2019); --examples madlibs.csv: on others
  python -m curation.toxicity score "some text" --model ./checkpoint
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code."""
    options = build_parser().parse_args(argv)
    try:
        _COMMANDS[options.command](options)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        print("interrupted; nothing was changed", file=sys.stderr)
        return EXIT_INTERRUPTED
    return EXIT_DONE


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m curation.toxicity",
        description="The scorer of toxicity: its weights, its threshold, its own bias.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    fetch = commands.add_parser("fetch", help="download the weights of an official model")
    fetch.add_argument("model", choices=OFFICIAL)
    model = argparse.ArgumentParser(add_help=False)
    known = f"{', '.join(OFFICIAL)}, or a checkpoint by path; for bias also none, the cheap model"
    model.add_argument("--model", default="original", help=known)
    model.add_argument("--device", default="auto", help="auto, cpu, cuda (default: auto)")
    model.add_argument("--precision", default="auto", choices=("auto", "fp32", "int8", "half"))
    model.add_argument(
        "--thresholds", type=json.loads, default=None, metavar="JSON", help='label -> score, {"toxicity": 0.8}'
    )
    calibrate = commands.add_parser("calibrate", parents=[model], help="take the cascade's threshold from texts")
    calibrate.add_argument(
        "--texts", nargs="+", required=True, metavar="FILE", help="JSONL with a field text (.gz, .zst)"
    )
    calibrate.add_argument("--workspace", default="workspace", help="which keeps the result for its runs")
    calibrate.add_argument("--to", metavar="FILE", help="write it to a file instead (for toxicity.calibration)")
    calibrate.add_argument("--target-recall", type=float, default=0.98, help="of what the model alone removes (0.98)")
    calibrate.add_argument("--sample", type=int, default=4000, help="texts looked at, drawn at random (4000)")
    calibrate.add_argument("--seed", type=int, default=0)
    bias = commands.add_parser("bias", parents=[model], help="what the scorer does to texts that name people")
    bias.add_argument("--examples", type=Path, metavar="CSV", help="labelled texts; none: templates of our own")
    bias.add_argument("--sample", type=int, default=3000, help="examples looked at, drawn at random (3000)")
    bias.add_argument("--json", action="store_true", help="print figures as JSON lines")
    score = commands.add_parser("score", parents=[model], help="the scores of a text")
    score.add_argument("text")
    return parser


def _fetch(options: argparse.Namespace) -> None:
    import torch
    from transformers import AutoConfig, AutoTokenizer

    from curation.toxicity.checkpoint import BASES, RELEASES, cached_release

    url, path = RELEASES[options.model], cached_release(options.model)
    try:
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), hash_prefix=path.stem.rpartition("-")[2])
        base = BASES[options.model]
        AutoConfig.from_pretrained(base)
        AutoTokenizer.from_pretrained(base)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"{url} or its base model cannot be fetched: {str(error).splitlines()[0]}; on a machine without a network "
            f"copy {path.name} to {path.parent}, or name a checkpoint's folder by its path"
        ) from error
    print(f"{path}\nnext: python -m curation.toxicity calibrate --model {options.model} --texts sample.jsonl")


def _config(options: argparse.Namespace) -> ToxicityConfig:
    given = {} if options.thresholds is None else {"thresholds": options.thresholds}
    return ToxicityConfig(model=options.model, device=options.device, precision=options.precision, **given)


def _scorer(options: argparse.Namespace) -> Any:
    from curation.toxicity.checkpoint import find_checkpoint
    from curation.toxicity.scorer import Scorer

    scorer = Scorer(find_checkpoint(options.model), options.device, options.precision)
    for label in _config(options).thresholds:
        if label not in scorer.labels:
            raise UserError(f"--thresholds: the model has no label {label!r}; valid: {', '.join(scorer.labels)}")
    return scorer


def _calibrate(options: argparse.Namespace) -> None:
    from curation.progress import Progress, setup_logging
    from curation.storage import open_workspace
    from curation.toxicity.cascade import calibrate, calibration_path, save_calibration
    from curation.toxicity.cheap import open_cheap, prepare_cheap

    setup_logging()
    if not 0 < options.target_recall <= 1:
        raise UserError(f"--target-recall {options.target_recall}: must be above 0 and at most 1")
    texts = _sample(options.texts, options.sample, options.seed)
    scorer, config = _scorer(options), _config(options)
    workspace = open_workspace(options.workspace)
    workspace.prepare()
    cache = workspace.cache
    (digest,) = prepare_cheap(cache).values()
    progress = Progress()
    progress.start("calibrate", len(texts))
    found = calibrate(
        texts,
        scorer,
        open_cheap(cache, digest),
        digest,
        config,
        options.target_recall,
        options.seed,
        tell=lambda done: progress.update(done, done),
    )
    progress.finish()
    path = Path(options.to) if options.to else calibration_path(cache, scorer.source.sha256, digest, config)
    save_calibration(path, found)
    print(
        f"{scorer.source.title} removes {found.removed:,} of {found.texts:,} texts\n"
        f"threshold of the cheap model: {found.threshold:.4f} (for a recall of {found.target_recall:g})\n"
        f"on texts that it was not taken from: recall {found.recall:.3f} "
        f"[{found.recall_low:.3f}, {found.recall_high:.3f}], {100 * found.sent:.1f} % sent on\n{path}\n"
        f"next: python -m curation.run INPUT --workspace {options.workspace} --toxicity.model {options.model}"
        + (f" --toxicity.calibration {options.to}" if options.to else "")
    )


def _sample(paths: Sequence[str], count: int, seed: int) -> list[str]:
    """Texts of JSONL files, drawn at random."""
    import random

    def lines() -> Iterator[str]:
        import fsspec

        for path in paths:
            with fsspec.open(path, "rt", encoding="utf-8", compression="infer") as file:
                for number, line in enumerate(file, 1):
                    try:
                        text = json.loads(line)["text"]
                        assert isinstance(text, str)
                    except (ValueError, KeyError, TypeError, AssertionError) as error:
                        raise UserError(
                            f'{path}, line {number}: is no object with a text: {{"text": "..."}}'
                        ) from error
                    if text.strip():
                        yield text

    chance, kept = random.Random(seed), []
    for number, text in enumerate(lines()):  # reservoir sampling
        if number < count:
            kept.append(text)
        elif (place := chance.randrange(number + 1)) < count:
            kept[place] = text
    return kept


def _bias(options: argparse.Namespace) -> None:
    import random

    from curation.toxicity.bias import measure, packaged_examples, read_examples, table

    examples = read_examples(options.examples) if options.examples else packaged_examples()
    random.Random(0).shuffle(examples)
    examples = examples[: options.sample]
    texts = [example.text for example in examples]
    label, threshold = next(iter(_config(options).thresholds.items()))
    if options.model == "none":
        title, scores = _cheap_scores(texts)
    else:
        scorer = _scorer(options)
        title, scores = scorer.source.title, [each.max[label] for each in scorer.score(texts)]
    measured = measure(examples, scores, threshold)
    if not measured:
        raise UserError("no identity is named by twenty toxic and twenty harmless texts: give more with --sample")
    if options.json:
        for each in measured:
            estimate = each.estimate
            row = {"identity": each.identity, "metric": each.metric, "value": estimate.value, "low": estimate.low}
            print(json.dumps({**row, "high": estimate.high, "templates": estimate.n, "scorer": title}))
        return
    print(f"{title}: {label} on {len(examples):,} texts, threshold {threshold:g}\n")
    print(table(measured))
    print("\na low BPSN AUC: harmless texts rank as toxic for naming the identity; ideal is 1, and alike for all")


def _cheap_scores(texts: Sequence[str]) -> tuple[str, list[float]]:
    """(name, scores) of the cheap model."""
    import tempfile

    from curation.toxicity.cheap import open_cheap, prepare_cheap

    with tempfile.TemporaryDirectory() as folder:
        ((name, digest),) = prepare_cheap(Path(folder)).items()
        cheap = open_cheap(Path(folder), digest)
        return name, [cheap.score(text) for text in texts]


def _score(options: argparse.Namespace) -> None:
    scores = _scorer(options).score([options.text])[0]
    print(json.dumps({"model": scores.model, "max": scores.max, "windows": scores.windows}))


_COMMANDS = {"fetch": _fetch, "calibrate": _calibrate, "bias": _bias, "score": _score}

if __name__ == "__main__":
    sys.exit(main())
