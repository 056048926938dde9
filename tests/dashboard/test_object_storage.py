"""The dashboard of a workspace on S3."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("streamlit", reason="the dashboard's packages are missing: pip install -e '.[dashboard]'")

import streamlit as st
from streamlit.testing.v1 import AppTest

from curation.storage import open_workspace
from tests.curation import s3_server
from tests.curation.s3_server import Bucket
from tests.dashboard.test_app import APP, texts, write_done


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Bucket]:
    with s3_server.bucket(tmp_path / "home") as made:
        yield made


def draw(monkeypatch: pytest.MonkeyPatch, url: str) -> AppTest:
    st.cache_data.clear()
    st.cache_resource.clear()
    monkeypatch.setattr(sys, "argv", [APP, "--workspace", url])
    return AppTest.from_file(APP, default_timeout=30).run()


def test_a_workspace_on_s3(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    url = bucket.url("w")
    empty = draw(monkeypatch, url)
    assert "There is no workspace here yet" in texts(empty)
    assert f"python -m curation.run INPUT --workspace {url}" in texts(empty)
    write_done(open_workspace(url))
    app = draw(monkeypatch, url)
    assert not app.exception
    assert f"workspace {url}" in texts(app)
    assert app.dataframe[0].value.to_dict("records")[0]["run"] == "R1"


def test_a_store_that_cannot_be_used(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    app = draw(monkeypatch, "s3://not-there/w")
    assert not app.exception
    assert "The workspace cannot be opened at the moment." in texts(app)
    assert "there is no bucket 'not-there'" in texts(app)
