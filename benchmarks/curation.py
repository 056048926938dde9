"""Our curation beside the stock recipe of datatrove, on the same WARCs: speed, memory, quality, survivors.

Usage: python benchmarks/curation.py [--crawl FOLDER] [--repeat 1,10,100] [--stock-repeat 1,10] [--recipes a,b]
                                     [--cache FOLDER] [--scratch FOLDER]

Baseline: datatrove's WarcReader, Trafilatura, LanguageFilter, GopherRepetition, GopherQuality, C4, FineWeb and the
four stages of MinHash (``parts/stock.py``), installed by pip as its users do, into an environment of its own that is
made once in the cache folder. Ours: ``python -m curation.run`` with its default preset, ``precise`` and ``fast``.
``*-same-work`` are ours without what the stock recipe does not do and that can be left out (personal data,
toxicity); what remains on top is every score of every filter, rejected texts, licences, and the catalog.
Both run with one worker on the crawl, and on the crawl repeated with edits (``parts/inputs.py``), so that fixed
costs (starting, loading models) and costs a page can be told apart; ours also with two workers. CPU time is that of
all processes together; peak memory is that of the largest one. F1 is that of word 4-grams of the extracted text
against ``ground_truth.jsonl``, where the folder has one. Pages are the responses in the input, whatever becomes of
them, for both sides. The defaults take about 45 minutes, of which the stock recipe on the tenfold crawl 7; it is
not run on the hundredfold one.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # before this folder, whose curation.py hides ours

from benchmarks.parts.commands import CACHE, ROOT, call, measure, part, stock_environment

SAME_WORK = ("--pii.action", "off", "--toxicity.model", "none")
OURS = {
    "precise": ("--extract.extractor", "precise"),
    "fast": ("--extract.extractor", "fast"),
    "precise-same-work": ("--extract.extractor", "precise", *SAME_WORK),
    "fast-same-work": ("--extract.extractor", "fast", *SAME_WORK),
}
"""Recipe -> options."""
RECIPES = ("stock", *OURS)


@dataclass(frozen=True)
class Measured:
    """One run of a recipe."""

    recipe: str
    workers: int
    times: int
    """How often the crawl is in the input."""
    pages: int
    kept: int
    """Survivors."""
    cpu_s: float
    wall_s: float
    peak_mb: float


# ---- recipes ----------------------------------------------------------------------------------


def stock_command(python: Path, crawl: Path, out: Path) -> list[str | Path]:
    """The stock recipe; -P keeps our modules out of its sight."""
    model = call([sys.executable, "-c", "from curation.language import packaged_model as m; print(m())"]).strip()
    return [python, "-P", ROOT / "benchmarks" / "parts" / "stock.py", crawl, out, model]


def run_stock(python: Path, crawl: Path, scratch: Path) -> tuple[dict[str, float], int]:
    """(figures, survivors) of the stock recipe with one worker."""
    with tempfile.TemporaryDirectory(dir=scratch) as out:
        figures = measure(stock_command(python, crawl, Path(out)), scratch)
        stages = json.loads((scratch / "log.txt").read_text("utf-8").splitlines()[-1])
    return figures, stages["kept"]


def run_ours(recipe: str, workers: int, crawl: Path, scratch: Path) -> tuple[dict[str, float], int]:
    """(figures, survivors) of our command."""
    with tempfile.TemporaryDirectory(dir=scratch) as workspace:
        where = ["--workspace", workspace]
        command = [sys.executable, "-m", "curation.run", crawl, *where, "--execution.workers", str(workers)]
        figures = measure([*command, *OURS[recipe]], scratch, accepted=(0, 1))
        sql = "SELECT coalesce(sum(documents), 0)::BIGINT AS kept FROM shard WHERE shard_kind = 'kept'"
        row = json.loads(call([sys.executable, "-m", "curation.catalog", "sql", sql, *where, "--format", "json"]))
    return figures, int(row["kept"])


def quality(recipes: Sequence[str], python: Path | None, crawl: Path, scratch: Path) -> dict[str, Any]:
    """Recipe -> F1 with its interval; empty where the crawl has no ground truth."""
    if not (crawl / "ground_truth.jsonl").exists():
        return {}
    found = {}
    for recipe in recipes:
        if python and recipe == "stock":
            with tempfile.TemporaryDirectory(dir=scratch) as out:
                call([*stock_command(python, crawl, Path(out)), "--extract"])
                (texts,) = Path(out).glob("texts/*.jsonl")
                found[recipe] = part("quality", crawl, texts)
        else:
            found[recipe] = part("quality", crawl, OURS[recipe][1])
    return found


# ---- figures ----------------------------------------------------------------------------------


def costs(runs: Sequence[Measured]) -> tuple[float, float]:
    """(CPU seconds of starting and ending, CPU milliseconds a page) from two runs of one recipe, 0 and the mean
    where there is only one."""
    small, large = runs[0], runs[-1]
    if small.pages == large.pages:
        return 0.0, 1000 * small.cpu_s / small.pages
    rate = (large.cpu_s - small.cpu_s) / (large.pages - small.pages)
    return small.cpu_s - rate * small.pages, 1000 * rate


def summarise(runs: Sequence[Measured], f1: dict[str, Any]) -> dict[str, Any]:
    """Recipe -> fixed and marginal cost on the sizes that the baseline ran on, ratio to it, growth, F1."""
    summary: dict[str, Any] = {}
    of = {name: [run for run in runs if run.recipe == name and run.workers == 1] for name in RECIPES}
    sizes = {run.times for run in of["stock"]}
    for name, measured in of.items():
        if not measured:
            continue
        fixed, rate = costs([run for run in measured if not sizes or run.times in sizes] or measured)
        row = {
            "fixed_cpu_s": round(fixed, 2),
            "cpu_ms_a_page": round(rate, 2),
            "pages_per_cpu_s": round(1000 / rate, 1),
        }
        row["cpu_ms_a_page_of_last_step"] = round(costs(measured[-2:])[1], 2)
        row["peak_mb"] = [round(run.peak_mb) for run in measured]
        row["kept_share"] = [round(run.kept / run.pages, 4) for run in measured]
        summary[name] = row | f1.get(name, {})
    if "stock" in summary:
        for row in summary.values():
            row["times_stock"] = round(summary["stock"]["cpu_ms_a_page"] / row["cpu_ms_a_page"], 2)
    return summary


def show(run: Measured) -> None:
    """A line of the first table."""
    print(
        f"{run.recipe:<18}{run.workers:>8}{run.times:>7}{run.pages:>9,}{run.kept:>9,}{run.cpu_s:>10.1f}{run.wall_s:>10.1f}"
        f"{run.pages / run.cpu_s:>14.1f}{run.pages / run.wall_s:>11.1f}{run.peak_mb:>9.0f}",
        flush=True,
    )


def show_summary(summary: dict[str, Any]) -> None:
    """The second table."""
    heads = ("fixed CPU s", 12), ("CPU ms/page", 13), ("pages/CPU-s", 13), ("x stock", 9), ("last step", 11), ("F1", 8)
    print(f"\n{'recipe':<18}" + "".join(f"{head:>{width}}" for head, width in heads))
    for name, row in summary.items():
        print(
            f"{name:<18}{row['fixed_cpu_s']:>12.1f}{row['cpu_ms_a_page']:>13.2f}{row['pages_per_cpu_s']:>13.1f}"
            f"{row.get('times_stock', float('nan')):>9.2f}{row['cpu_ms_a_page_of_last_step']:>11.2f}"
            f"{row.get('f1', float('nan')):>8.4f}"
        )
    print("CPU ms/page: marginal, between the sizes the stock recipe ran on; last step: between the two largest\n")


def parse() -> argparse.Namespace:
    """The command line."""

    def numbers(text: str) -> list[int]:
        return sorted(map(int, text.split(",")))

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = Path(os.environ.get("SHARED", ROOT.parent / "shared"))
    parser.add_argument("--crawl", type=Path, default=shared / "crawl", help="folder of *.warc.gz files")
    parser.add_argument("--repeat", type=numbers, default=[1, 10, 100], help="sizes of the input for ours")
    parser.add_argument("--stock-repeat", type=numbers, default=[1, 10], help="sizes of the input for the baseline")
    parser.add_argument("--recipes", type=lambda text: text.split(","), default=RECIPES, help=", ".join(RECIPES))
    parser.add_argument("--cache", type=Path, default=CACHE, help="keeps the environment")
    parser.add_argument("--scratch", type=Path, help="for inputs and outputs; about 10 MB a repeat of shared/crawl")
    options = parser.parse_args()
    if unknown := set(options.recipes) - set(RECIPES):
        parser.error(f"--recipes: unknown {', '.join(sorted(unknown))}; valid: {', '.join(RECIPES)}")
    if not list(options.crawl.glob("*.warc.gz")):
        parser.error(f"--crawl {options.crawl}: no *.warc.gz there; name a folder of WARC files")
    return options


def main() -> None:
    """Print both tables and the JSON line."""
    options = parse()
    crawl = options.crawl.resolve()
    python = stock_environment(options.cache.resolve()) if "stock" in options.recipes else None
    runs: list[Measured] = []
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        scratch = Path(folder)
        print(
            f"{'recipe':<18}{'workers':>8}{'times':>7}{'pages':>9}{'kept':>9}{'CPU s':>10}{'wall s':>10}"
            f"{'pages/CPU-s':>14}{'pages/s':>11}{'peak MB':>9}"
        )
        sizes = {name: options.stock_repeat if name == "stock" else options.repeat for name in options.recipes}
        for times in sorted({each for name in options.recipes for each in sizes[name]}):
            with tempfile.TemporaryDirectory(dir=scratch) as repeated:
                pages = part("inputs", crawl, repeated, str(times))["responses"]
                for recipe in options.recipes:
                    if times not in sizes[recipe]:
                        continue
                    for workers in (1,) if recipe == "stock" or times != sizes[recipe][-1] else (1, 2):
                        if python and recipe == "stock":
                            figures, kept = run_stock(python, Path(repeated), scratch)
                        else:
                            figures, kept = run_ours(recipe, workers, Path(repeated), scratch)
                        runs.append(Measured(recipe, workers, times, pages, kept, **figures))
                        show(runs[-1])
        summary = summarise(runs, quality(options.recipes, python, crawl, scratch))
    show_summary(summary)
    packages = call([python, "-m", "pip", "freeze"]).split() if python else []
    versions = [each for each in packages if each.startswith(("datatrove", "trafilatura", "spacy==", "lxml=="))]
    rows = [{k: round(v, 3) if isinstance(v, float) else v for k, v in asdict(run).items()} for run in runs]
    print(json.dumps({"benchmark": "curation", "stock_versions": versions, "runs": rows, "recipes": summary}))


if __name__ == "__main__":
    main()
