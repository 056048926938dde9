"""Token datasets of a workspace on object storage."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from curation.catalog.check import check
from curation.catalog.gc import collect
from curation.dataset import takedown
from curation.storage import open_workspace
from curation.tokens.encode import encode
from curation.tokens.read import open_token_dataset
from curation.workspace import Workspace
from tests.curation import s3_server
from tests.curation.s3_server import Bucket


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Bucket]:
    with s3_server.bucket(tmp_path / "home") as made:
        yield made


def test_the_same_as_in_a_folder(curated: Path, bucket: Bucket, tmp_path: Path) -> None:
    import shutil

    for folder in ("records", "shards", "models", "index"):
        for path in (curated / folder).rglob("*"):
            if path.is_file():
                bucket.put(f"w/{path.relative_to(curated).as_posix()}", path.read_bytes())
    there, here = open_workspace(bucket.url("w")), Workspace(shutil.copytree(curated, tmp_path / "w"))
    for workspace in (there, here):
        assert encode(workspace, "news", "small").dataset == "news-tokens@1"
    streams = [open_token_dataset(each, "news-tokens").stream("train") for each in (there, here)]
    read = [stream.read(0, stream.tokens) for stream in streams]
    assert np.array_equal(read[0], read[1])
    documents = [stream.documents(0, stream.tokens) for stream in streams]
    assert documents[0] == documents[1]
    assert sum(key.endswith(".ds") for key in bucket.keys("w/tokens/")) == len(
        open_token_dataset(here, "news-tokens").shards
    )
    victim = documents[0][3]
    takedown(there, "id", victim.document_id, "x")
    collect(there)
    assert check(there) == []
    stream = open_token_dataset(there, "news-tokens").stream("train")
    expected = read[1].copy()
    expected[victim.token_start : victim.token_end] = streams[1].eos_id
    assert np.array_equal(stream.read(0, stream.tokens), expected)
