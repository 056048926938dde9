"""The command: what it prints, what it runs, and the exit code that it passes on."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from curation.demo import __main__ as demo
from curation.demo import site
from curation.demo.page import Page

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def small_site(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "build", lambda: {"/": Page("/", b"<p>hello</p>")})


def _curate_with(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr(demo, "CURATE", (sys.executable, "-c", program))


def test_the_crawl_is_handed_to_the_curation_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    _curate_with(monkeypatch, "import sys; print('curating', sys.argv[1:])")
    workspace = tmp_path / "my work"
    assert demo.main(["--workspace", str(workspace)]) == 0
    out, err = capfd.readouterr()
    warc = workspace / demo.WARC_NAME
    assert warc.is_file()
    lines = out.splitlines()
    assert lines[0].startswith("crawled 2 pages, 0.0 MB, into ")
    assert lines[1].startswith("$ python -c ")
    assert lines[2] == f"curating {[str(warc), '--workspace', str(workspace), '--config', demo.CONFIG]}"
    assert f"python -m curation.catalog status --workspace '{workspace}'" in out
    assert "crawling" in err


@pytest.mark.parametrize(("program", "code"), [("exit(1)", 1), ("exit(2)", 2), ("exit(130)", 130)])
def test_its_exit_code_is_passed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str, code: int) -> None:
    _curate_with(monkeypatch, program)
    assert demo.main(["--workspace", str(tmp_path)]) == code


def test_a_curation_killed_by_a_signal_is_no_success(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _curate_with(monkeypatch, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert demo.main(["--workspace", str(tmp_path)]) == 128 + signal.SIGKILL


def test_keep_curates_the_crawl_that_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _curate_with(monkeypatch, "pass")
    warc = tmp_path / demo.WARC_NAME
    assert demo.main(["--workspace", str(tmp_path), "--keep"]) == 0  # none there yet: it is made
    warc.write_bytes(b"mine")
    assert demo.main(["--workspace", str(tmp_path), "--keep"]) == 0
    assert warc.read_bytes() == b"mine"
    assert demo.main(["--workspace", str(tmp_path)]) == 0
    assert warc.read_bytes() != b"mine"


def test_a_workspace_that_cannot_be_written_is_a_usage_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("in the way")
    assert demo.main(["--workspace", str(blocker)]) == 2
    assert "choose another folder with --workspace" in capsys.readouterr().err


def test_ctrl_c_while_the_site_is_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupted() -> dict[str, Page]:
        raise KeyboardInterrupt

    monkeypatch.setattr(site, "build", interrupted)
    assert demo.main(["--workspace", str(tmp_path)]) == 130
    assert list(tmp_path.iterdir()) == []


def test_sigterm_reaches_the_curation(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    child = (
        "import pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))\n"
        f"pathlib.Path({str(ready)!r}).touch()\n"
        "time.sleep(60)"
    )
    program = (
        "import sys; from curation.demo import __main__ as demo\n"
        f"sys.exit(demo.run_shown([sys.executable, '-c', {child!r}]))"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT) as process:
        deadline = time.monotonic() + 30
        while not ready.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.terminate()
        assert process.wait(timeout=30) == 130
