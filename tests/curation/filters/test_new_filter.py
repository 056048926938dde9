"""The filter in the README works as printed: found, tested by the contract, used by a run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.curation import inputs
from tests.curation.commands import ask, curate, environment, reasons

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def with_the_filter(tmp_path: Path) -> dict[str, str]:
    """An environment in whose processes the package of filters has one more file: the printed one.

    ``sitecustomize`` is imported by every Python process, those that a run forks and starts included.
    """
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = (code for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "class Shouting" in code)
    more = tmp_path / "more_filters"
    more.mkdir()
    (more / "shouting.py").write_text(block, encoding="utf-8")
    (tmp_path / "sitecustomize.py").write_text(
        f"import curation.filters\ncuration.filters.__path__.append({str(more)!r})\n", encoding="utf-8"
    )
    return {"PYTHONPATH": str(tmp_path)}


def test_the_contract_tests_find_it_and_pass(with_the_filter: dict[str, str]) -> None:
    path = os.pathsep.join([with_the_filter["PYTHONPATH"], str(ROOT)])
    contract = str(ROOT / "tests/curation/filters/test_contract.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-vv", "-p", "no:cacheprovider", "-k", "shouting", contract],
        env={**environment(), "PYTHONPATH": path},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"test_its_samples_are_decided_as_it_says\[shouting\] +PASSED", done.stdout), done.stdout


def test_a_run_uses_it(with_the_filter: dict[str, str], tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    (source / "calm.txt").write_text(inputs.prose("en", 1), encoding="utf-8")
    (source / "loud.txt").write_text(inputs.prose("en", 2).upper(), encoding="utf-8")
    chosen = "{length: {}, shouting: {max_upper_share: 0.4}}"
    arguments = ("--config", "smoke", "--language.threshold", 0, "--filters", chosen)
    curate(tmp_path / "w", source, *arguments, env=with_the_filter)
    assert reasons(tmp_path / "w") == {("kept", ""): 1, ("shouting", "capitals"): 1}
    (row,) = ask(tmp_path / "w", "SELECT shouting FROM document WHERE reason = 'capitals'")
    assert row["shouting"] == {"upper_share": 1.0}
