"""A workspace with a dataset in several languages and scripts, cut into many shards."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from curation.dataset import create
from curation.tokens.tokenizer import keep_folder
from curation.tokens.train import TrainConfig, from_texts
from curation.workspace import Workspace
from tests.curation import inputs
from tests.curation.commands import NO_DEDUP, ROOT, ask, curate


@pytest.fixture(scope="session")
def pages() -> dict[str, str]:
    """Name -> text of the demo's pages: sixteen scripts and languages."""
    return {path.stem: path.read_text("utf-8") for path in sorted((ROOT / "curation/demo/pages").glob("??-*.txt"))}


@pytest.fixture(scope="session")
def curated(tmp_path_factory: pytest.TempPathFactory, pages: dict[str, str]) -> Path:
    """A workspace with the dataset ``news`` and the tokenizer ``small``; tests change copies of it."""
    folder = tmp_path_factory.mktemp("curated")
    texts = [inputs.prose(("en", "de")[number % 2], number) for number in range(120)] + list(pages.values())
    lines = [json.dumps({"text": text, "url": f"http://s{n % 7}.example/{n}"}) for n, text in enumerate(texts)]
    (folder / "a.jsonl").write_text("\n".join(lines))
    options = ("--config", "smoke", "--read.max_bad_share", "1", "--shards.max_text_bytes", "32000", *NO_DEDUP)
    curate(folder / "w", folder / "a.jsonl", *options)
    workspace = Workspace(folder / "w")
    create(workspace, "news", ask(folder / "w", "SELECT run_id FROM run")[0]["run_id"])
    small = from_texts("small", texts, TrainConfig("bpe", 1000))
    keep_folder(workspace, small, f"models/tokenizers/small-{small.sha256[:12]}")
    return folder / "w"


@pytest.fixture
def copy(curated: Path, tmp_path: Path) -> Callable[[str], Workspace]:
    """Makes copies of the workspace by name."""

    def copied(name: str) -> Workspace:
        return Workspace(shutil.copytree(curated, tmp_path / name))

    return copied
