"""``python -m curation.quality``: train a classifier of quality, and measure it on texts that it has not seen."""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from curation.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_USAGE, UserError

EPILOG = """\
examples:
  python -m curation.quality train --positive good/*.jsonl.zst --negative RUN --workspace W --to model.bin
      texts in files, as curation.run reads them, against the documents that a run has kept
  python -m curation.quality report model.bin --positive checked@1 --negative crawl@3 --workspace W
      the same figures on other texts, here two datasets of the workspace
  python -m curation.run crawl/ --workspace W --filters '{quality: {model: model.bin, keep_share: 0.1}}'

The model learns what tells the positive texts from the negative ones, be it quality, topic, dialect or length. Choose
both from alike sources, read what the filter rejects, and see python -c 'help("curation.quality")'.
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
        prog="python -m curation.quality",
        description="A classifier of quality: train it, measure it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    common = argparse.ArgumentParser(add_help=False)
    for side in ("positive", "negative"):
        common.add_argument(
            f"--{side}",
            nargs="+",
            required=True,
            metavar="NAME",
            help="files, folders, globs or URLs (JSONL, Parquet, text; compressed or not), runs or datasets",
        )
    common.add_argument("--workspace", default="workspace", help="of runs and datasets (default: ./workspace)")
    common.add_argument("--language", help="language of all texts, eng_Latn for example (default: told from each text)")
    common.add_argument("--json", action="store_true", help="print the figures as JSON")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    train = commands.add_parser("train", parents=[common], help="learn from some texts, look at others")
    train.add_argument("--to", required=True, metavar="FILE", help="the model; its card is written to FILE.json")
    helps = {
        "dim": "size of a word's vector",
        "epochs": "passes over the texts",
        "lr": "learning rate at the beginning",
        "ngrams": "longest run of words that is a feature",
        "buckets": "features that such runs share",
        "min_count": "least occurrences of a word",
        "seed": "of the training; the split does not depend on it",
        "held_out": "share of the texts that is not learned from",
        "least": "positive and negative texts that a language needs",
    }
    from curation.quality.train import TrainConfig

    for each in fields(TrainConfig):
        name = f"--{each.name.replace('_', '-')}"
        kind = float if each.type is float else int
        train.add_argument(name, type=kind, default=each.default, help=f"{helps[each.name]} ({each.default})")
    report = commands.add_parser("report", parents=[common], help="measure a model on texts")
    report.add_argument("model", help="file of the model")
    report.add_argument("--label", help="whose probability is the score (default: as its card says, else positive)")
    return parser


def _collect(options: argparse.Namespace, folder: Path) -> tuple[Any, dict[str, Any]]:
    """(collection of all texts, where they came from)."""
    from curation.language import parse_languages
    from curation.quality.texts import Texts, as_facts
    from curation.quality.train import Collection
    from curation.storage import open_workspace

    if options.language is not None:
        labels = parse_languages([options.language], model="any", option="--language")
        if len(labels) > 1:
            raise UserError(f"--language {options.language}: is written in several scripts; name one: {sorted(labels)}")
        (options.language,) = labels
    workspace = open_workspace(options.workspace)
    collection = Collection(folder)
    sources = {}
    for side in ("positive", "negative"):
        texts = Texts(workspace, options.language)
        collection.add(texts.read(getattr(options, side), f"--{side}"), positive=side == "positive")
        sources[side] = as_facts(texts.sources)
    return collection, sources


_MOST_LANGUAGES = 5


def _warn(report: Any) -> None:
    """Say on stderr what the figures cannot."""
    if min(report.positives, report.negatives) < 100:
        print("few texts were looked at: the intervals say how little these figures mean", file=sys.stderr)
    if report.auc.high < 0.5:
        print(
            "negative texts score above positive ones: either the label is the wrong one, or texts of the two sides "
            "are near-copies of one another (the same pages, say), so that the model has met them on the other side",
            file=sys.stderr,
        )


def _left_out(selection: Any, sources: dict[str, Any]) -> str:
    """A line on what gave no text to learn from or look at; empty where all did."""
    unread = sum(sum(source["left_out"].values()) for side in sources.values() for source in side)
    facts = selection.facts()["left_out"]
    told = [
        (unread, "records without text"),
        (facts["empty"], "texts without words"),
        (facts["copies"], "copies"),
        (facts["on_both_sides"], "texts on both sides"),
    ]
    parts = [f"{count:,} {what}" for count, what in told if count]
    languages = sorted(facts["languages"].items(), key=lambda each: (-sum(each[1].values()), each[0]))
    parts += [
        f"{name} ({n['positive']:,} positive, {n['negative']:,} negative)" for name, n in languages[:_MOST_LANGUAGES]
    ]
    if more := languages[_MOST_LANGUAGES:]:
        parts.append(f"{sum(sum(n.values()) for _, n in more):,} texts in {len(more)} more languages")
    return f"left out: {', '.join(parts)}\n" if parts else ""


def _train(options: argparse.Namespace) -> None:
    import secrets

    from curation.progress import setup_logging
    from curation.provenance import package_versions
    from curation.quality.model import POSITIVE, Card, card_path, open_classifier, save_card
    from curation.quality.report import evaluate, table
    from curation.quality.train import TrainConfig, fit, require_texts, score_all
    from curation.shards import file_sha256

    setup_logging()
    config = TrainConfig(**{each.name: getattr(options, each.name) for each in fields(TrainConfig)})
    target = Path(options.to)
    if not target.absolute().parent.is_dir() or target.is_dir():
        raise UserError(f"--to {options.to}: name a file in a folder that exists")
    aside = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
    try:
        with tempfile.TemporaryDirectory(prefix="open-curation-") as scratch:
            collection, sources = _collect(options, Path(scratch))
            with collection:
                selection = collection.select(config.least)
                require_texts(selection, config.least)
                training = fit(selection, config, Path(scratch), aside)
                held_out = selection.held_out(config.held_out)
                report = evaluate(*score_all(selection, held_out, open_classifier(aside, POSITIVE)))
        versions = package_versions()
        card = Card(
            sha256=file_sha256(aside),
            label=POSITIVE,
            languages=tuple(selection.languages),
            training={**training, **selection.facts(), "sources": sources, "versions": versions},
            report=report.as_dict(),
        )
        card_path(target).unlink(missing_ok=True)  # the new card comes last: what has a card is whole
        aside.replace(target)
        save_card(target, card)
    finally:
        aside.unlink(missing_ok=True)
    _warn(report)
    where = f"--workspace {options.workspace} --filters '{{quality: {{model: {options.to}, min_score: 0.5}}}}'"
    next_command = f"python -m curation.run INPUT {where}"
    if options.json:
        print(json.dumps({"model": options.to, "card": str(card_path(target)), **card.report, "next": next_command}))
        return
    learned = training["learned"]
    balance = "balanced" if training["balanced"] else "not balanced: scores and calibration are for this mixture"
    print(
        f"learned from {learned['positive']:,} positive and {learned['negative']:,} negative texts ({balance}) in "
        f"{', '.join(card.languages)}\n{_left_out(selection, sources)}"
        f"{options.to}: {target.stat().st_size / 1e6:,.1f} MB, learning rate {training['parameters']['lr']:g}, "
        f"sha256 {card.sha256[:12]}\n\nheld out: {table(report)}\n\nnext: {next_command}\n"
        "      (or keep_share: 0.1 for the best tenth of each language)"
    )


def _report(options: argparse.Namespace) -> None:
    from curation.quality.model import POSITIVE, languages_of, load_card, open_classifier
    from curation.quality.report import evaluate, table
    from curation.quality.train import require_texts, score_all
    from curation.shards import file_sha256

    path = Path(options.model)
    if not path.is_file():
        raise UserError(f"{path}: no such file; python -m curation.quality train makes a model")
    card = load_card(path, file_sha256(path))
    label = options.label or (card.label if card else POSITIVE)
    classifier = open_classifier(path, label)
    with tempfile.TemporaryDirectory(prefix="open-curation-") as scratch:
        collection, sources = _collect(options, Path(scratch))
        asked = [options.language] if options.language else []
        languages = languages_of(card, asked, "--language")
        with collection:
            selection = collection.select(1, languages)
            require_texts(selection, 1)
            everything = selection.held_out(2.0)  # all of them
            report = evaluate(*score_all(selection, everything, classifier))
    _warn(report)
    next_command = f"python -m curation.run INPUT --workspace {options.workspace} --filters"
    next_command += f" '{{quality: {{model: {options.model}, min_score: 0.5}}}}'"
    if options.json:
        facts = {**selection.facts(), "sources": sources}
        print(json.dumps({"model": options.model, "label": label, **report.as_dict(), **facts, "next": next_command}))
        return
    print(
        f"{options.model} on texts in {', '.join(selection.languages)}\n{_left_out(selection, sources)}\n"
        f"{table(report)}\n\nnext: {next_command}"
    )


_COMMANDS = {"train": _train, "report": _report}

if __name__ == "__main__":
    sys.exit(main())
