"""The layers are a line: curation <- training <- audit <- dashboard; importing a package does no work."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ["curation", "training", "audit", "dashboard"]
PACKAGES = [name for name in LAYERS if (ROOT / name).is_dir()]
HEAVY = {
    "torch",
    "transformers",
    "nanotron",
    "trafilatura",
    "duckdb",
    "pyarrow",
    "fasttext",
    "streamlit",
    "numpy",
}


def imported(path: Path) -> set[str]:
    """Dotted names of everything that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the full name"
            names.add(node.module or "")
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", PACKAGES)
def test_no_import_to_the_right(package: str) -> None:
    right = set(LAYERS[LAYERS.index(package) + 1 :])
    for path in sources(package):
        wrong = {name for name in imported(path) if name.split(".")[0] in right}
        assert not wrong, f"{path} imports {wrong}"


def test_records_import_nothing_of_ours() -> None:
    names = imported(ROOT / "curation" / "records.py")
    assert not {name for name in names if name.split(".")[0] in LAYERS}


def test_nanotron_only_in_the_engine() -> None:
    for package in PACKAGES:
        for path in sources(package):
            if path.is_relative_to(ROOT / "training" / "engine"):
                continue
            assert not {name for name in imported(path) if name.split(".")[0] == "nanotron"}, path


def test_modules_have_no_import_cycle() -> None:
    """Top-level imports among our modules form no cycle."""
    graph: dict[str, set[str]] = {}
    for package in PACKAGES:
        for path in sources(package):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            tree = ast.parse(path.read_text(encoding="utf-8"))
            names: set[str] = set()
            for node in tree.body:
                if isinstance(node, ast.ImportFrom):
                    names |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
                elif isinstance(node, ast.Import):
                    names |= {alias.name for alias in node.names}
            graph[module] = names - {module}
    graph = {module: names & graph.keys() for module, names in graph.items()}
    visiting: list[str] = []
    done: set[str] = set()

    def visit(module: str) -> None:
        assert module not in visiting, f"cycle: {' -> '.join([*visiting[visiting.index(module) :], module])}"
        if module in done:
            return
        visiting.append(module)
        for name in sorted(graph[module]):
            visit(name)
        visiting.pop()
        done.add(module)

    for module in sorted(graph):
        visit(module)


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_a_package_loads_nothing_heavy(package: str) -> None:
    code = f"import sys, {package}; print(sorted(m for m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = set(ast.literal_eval(done.stdout))
    assert not loaded & HEAVY
