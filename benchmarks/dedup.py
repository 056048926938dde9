"""Deduplication of planted near-duplicates: speed, memory, recall and precision, beside datatrove and datasketch.

Usage: python benchmarks/dedup.py [--sizes 5000,50000,200000] [--stock-sizes 5000,20000] [--recipes a,b]
                                  [--cache FOLDER] [--scratch FOLDER]

Input: documents with near-duplicates at known Jaccard similarities (``parts/planted.py``). All read them as JSONL,
write what they keep as JSONL, use 14 bands of 8 hash values over five-word shingles and a threshold of .7, and run
in one process each. Baseline: datatrove's four stages (``parts/dedup_stock.py``), installed by pip as its users do;
it does not look at true similarities. datasketch: one loop over ``MinHashLSH``, whose similarities are estimates.
Ours: ``parts/dedup_ours.py``, what a run does for deduplication; and ``command``, a whole ``python -m curation.run``
over the same lines, which also tells languages and writes catalogued Parquet, kept and removed documents alike.

A recall is the share of the planted pairs of which one document went; precision, the share of the removed documents
whose partner stayed and is truly as similar as the threshold. CPU time is that of all processes together, less the
cost of starting and ending where a recipe ran on several sizes. Ends with the speed of signatures alone, by the
libraries that make them. About 10 minutes, most of them for the baseline.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # before this folder, whose curation.py hides ours

from benchmarks.parts.commands import CACHE, ROOT, call, measure, stock_environment
from benchmarks.parts.planted import LEVELS, load_pairs, score, write
from curation.dedup.config import NearConfig
from curation.dedup.similarity import jaccard, shingles, signatures
from curation.words import Words

RECIPES = ("stock", "datasketch", "ours", "command")
THRESHOLD = NearConfig().threshold
Figures = dict[str, Any]


def run(recipe: str, corpus: Path, scratch: Path, python: Path | None) -> tuple[Figures, list[int], dict[str, float]]:
    """(cpu_s, wall_s and peak_mb; ids of removed documents; CPU seconds by step) of a recipe."""
    with tempfile.TemporaryDirectory(dir=scratch) as out:
        if recipe == "command":
            figures, removed = run_command(corpus, Path(out), scratch)
            return figures, removed, {}
        if recipe == "stock":
            script = ROOT / "benchmarks" / "parts" / "dedup_stock.py"
            figures = measure([python or "", "-P", script, corpus.parent, out], scratch)
        else:
            figures = measure([sys.executable, "-m", f"benchmarks.parts.dedup_{recipe}", corpus, out], scratch)
    told = json.loads((scratch / "log.txt").read_text("utf-8").splitlines()[-1])
    return figures, told["removed"], told.get("seconds", {})


def run_command(corpus: Path, workspace: Path, scratch: Path) -> tuple[Figures, list[int]]:
    """Our whole command, without filters and with every language, so that only deduplication removes."""
    where = ["--workspace", workspace]
    options = ["--config", "smoke", "--filters", "{}", "--language.threshold", "0", "--execution.workers", "1"]
    figures = measure([sys.executable, "-m", "curation.run", corpus, *where, *options], scratch)
    sql = "SELECT record_offset FROM document WHERE step = 'dedup'"
    found = call([sys.executable, "-m", "curation.catalog", "sql", sql, *where, "--format", "json"])
    return figures, ids_at(corpus, {json.loads(line)["record_offset"] for line in found.splitlines()})


def ids_at(corpus: Path, offsets: set[int]) -> list[int]:
    """Ids of the lines that begin at these offsets."""
    found, offset = [], 0
    with corpus.open("rb") as lines:
        for line in lines:
            if offset in offsets:
                found.append(json.loads(line)["id"])
            offset += len(line)
    return found


def signature_speed(documents: int = 1000) -> Figures:
    """Library -> microseconds a document for a signature from shingles, and the mean error of the similarities that
    it estimates."""
    from benchmarks.parts.planted import Texts

    texts = Texts()
    hashes = NearConfig().bands * NearConfig().rows
    words = [texts.original(n) if n % 2 else texts.copy(n - 1, 0.8) for n in range(1, documents + 1)]
    sets = [shingles(Words(text, "eng_Latn").normal_W, NearConfig().ngram) for text in words]
    flat = np.concatenate(sets)
    offsets = np.concatenate(([0], np.cumsum([len(each) for each in sets])))
    true = [jaccard(one, other) for one, other in zip(sets[::2], sets[1::2], strict=True)]

    def by_datasketch() -> Any:
        from datasketch import MinHash

        same = MinHash(num_perm=hashes, hashfunc=int)  # shingles are hashes already
        for each in sets:
            own = same.copy()
            own.clear()
            own.update_batch(each.tolist())
            yield own.hashvalues

    def by_numpy() -> Any:
        random = np.random.default_rng(0)
        a_K = random.integers(1, 2**61 - 1, hashes, dtype=np.uint64) | np.uint64(1)
        b_K = random.integers(0, 2**61 - 1, hashes, dtype=np.uint64)
        for each in sets:
            mixed = (each.astype(np.uint64)[:, None] * a_K + b_K) >> np.uint64(32)
            yield mixed.min(axis=0)

    libraries: dict[str, Callable[[], Any]] = {
        "rensa": lambda: signatures(flat, offsets, hashes),
        "NumPy": by_numpy,
        "datasketch": by_datasketch,
    }
    found: Figures = {}
    for name, work in libraries.items():
        list(work())
        began = time.process_time()
        made = np.array(list(work()))
        taken = time.process_time() - began
        estimates = (made[::2] == made[1::2]).mean(axis=1)
        error = float(np.abs(estimates - np.array(true)).mean())
        found[name] = {"us_a_document": round(1e6 * taken / documents, 1), "mean_error": round(error, 4)}
    return found


def marginal(rows: Sequence[Figures]) -> float:
    """CPU milliseconds a document between the smallest and the largest run of a recipe."""
    first, last = rows[0], rows[-1]
    if first is last:
        return float(1000 * first["cpu_s"] / first["documents"])
    return float(1000 * (last["cpu_s"] - first["cpu_s"]) / (last["documents"] - first["documents"]))


def parse() -> argparse.Namespace:
    """The command line."""

    def numbers(text: str) -> list[int]:
        return sorted(map(int, text.split(",")))

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=numbers, default=[5000, 50_000, 200_000], help="documents, for ours")
    parser.add_argument("--stock-sizes", type=numbers, default=[5000, 20_000], help="documents, for the baseline")
    parser.add_argument("--recipes", type=lambda text: text.split(","), default=RECIPES, help=", ".join(RECIPES))
    parser.add_argument("--cache", type=Path, default=CACHE, help="keeps the environment of the baseline")
    parser.add_argument("--scratch", type=Path, help="for inputs and outputs; about 10 kB a document")
    options = parser.parse_args()
    if unknown := set(options.recipes) - set(RECIPES):
        parser.error(f"--recipes: unknown {', '.join(sorted(unknown))}; valid: {', '.join(RECIPES)}")
    return options


def show(row: Figures) -> None:
    """A line of the first table."""
    quality = f"{row['recall_9']:>10.3f}{row['recall_threshold']:>9.3f}{row['precision']:>11.4f}{row['both']:>6}"
    print(
        f"{row['recipe']:<12}{row['documents']:>10,}{row['cpu_s']:>9.1f}{row['wall_s']:>9.1f}"
        f"{row['documents'] / row['cpu_s']:>12,.0f}{row['peak_mb']:>9.0f}{quality}{row['below_half']:>7}",
        flush=True,
    )


def main() -> None:
    """Print the tables and the JSON line."""
    options = parse()
    python = stock_environment(options.cache.resolve()) if "stock" in options.recipes else None
    sizes = {name: options.stock_sizes if name == "stock" else options.sizes for name in options.recipes}
    rows: list[Figures] = []
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        scratch = Path(folder)
        print(
            f"{'recipe':<12}{'documents':>10}{'CPU s':>9}{'wall s':>9}{'docs/CPU-s':>12}{'peak MB':>9}"
            f"{'recall .9':>10}{'at .7':>9}{'precision':>11}{'both':>6}{'< .5':>7}"
        )
        for size in sorted({each for wanted in sizes.values() for each in wanted}):
            with tempfile.TemporaryDirectory(dir=scratch) as made:
                corpus = Path(made) / "corpus.jsonl"
                write(corpus, size)
                pairs = load_pairs(corpus)
                for recipe in options.recipes:
                    if size in sizes[recipe]:
                        figures, removed, seconds = run(recipe, corpus, scratch, python)
                        quality = score(pairs, removed, THRESHOLD)
                        rows.append({"recipe": recipe, "documents": size, **figures, **quality, "seconds": seconds})
                        show(rows[-1])
    print("both: pairs of which nothing is left; < .5: removed, and less similar than .5 to anything\n")
    of = {name: [row for row in rows if row["recipe"] == name] for name in options.recipes}
    rates = {name: marginal(measured) for name, measured in of.items()}
    print(f"{'recipe':<12}{'CPU ms/doc':>11}{'docs/CPU-s':>12}{'x stock':>9}   recall by level")
    print(" " * 47 + "".join(f"{level:>6}" for level in LEVELS))
    ratios = {name: rates["stock"] / rate for name, rate in rates.items()} if "stock" in rates else {}
    for name, rate in rates.items():
        levels = of[name][-1]["recall_by_level"]
        shown = "".join(f"{levels.get(str(level), float('nan')):>6.2f}" for level in LEVELS)
        print(f"{name:<12}{rate:>11.3f}{1000 / rate:>12,.0f}{ratios.get(name, float('nan')):>9.1f}   {shown}")
    made_by = signature_speed()
    print(f"\n{'signatures by':<14}{'us/doc':>8}{'mean error':>12}")
    for name, row in made_by.items():
        print(f"{name:<14}{row['us_a_document']:>8.1f}{row['mean_error']:>12.4f}")
    summary = {
        name: {"cpu_ms_a_document": round(rate, 4), "times_stock": round(ratios[name], 2) if ratios else None}
        for name, rate in rates.items()
    }
    rounded = [{key: round(v, 3) if isinstance(v, float) else v for key, v in row.items()} for row in rows]
    print(json.dumps({"benchmark": "dedup", "runs": rounded, "recipes": summary, "signatures": made_by}))


if __name__ == "__main__":
    main()
