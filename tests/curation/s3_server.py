"""A private S3 server on the loopback (moto's, which speaks to the real s3fs over HTTP)."""

import contextlib
import logging
import os
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

BUCKET = "corpus"


def environment(endpoint: str, home: Path) -> dict[str, str]:
    """What a user sets, and what keeps the library from asking anything outside this machine."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "a-key",
        "AWS_SECRET_ACCESS_KEY": "not-to-be-stored",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "NO_PROXY": "127.0.0.1",
        "OPEN_CURATION_HOME": str(home),
    }


@contextlib.contextmanager
def running() -> Iterator[str]:
    """A server with nothing in it; gives its endpoint."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        # What is stored belongs to the process, and outlives a server.
        urllib.request.urlopen(f"http://{host}:{port}/moto-api/reset", data=b"", timeout=10).close()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


class Bucket:
    """What a user of the bucket sees, through another library than ours."""

    def __init__(self, endpoint: str, env: Mapping[str, str], name: str = BUCKET) -> None:
        self.endpoint, self.env, self.name = endpoint, dict(env), name
        self.client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        )

    def keys(self, prefix: str = "") -> list[str]:
        """Names of all objects below a prefix."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        return [each["Key"] for page in pages for each in page.get("Contents", ())]

    def get(self, key: str) -> bytes:
        """The bytes of an object."""
        data: bytes = self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
        return data

    def put(self, key: str, data: bytes) -> None:
        """Store an object."""
        self.client.put_object(Bucket=self.name, Key=key, Body=data)

    def put_folder(self, folder: Path, prefix: str) -> None:
        """Store all files of a folder."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.put(f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes())

    def unfinished_uploads(self) -> list[str]:
        """Names of multipart uploads that were neither completed nor aborted."""
        return [each["Key"] for each in self.client.list_multipart_uploads(Bucket=self.name).get("Uploads", ())]

    def url(self, path: str) -> str:
        """The s3:// URL of a path."""
        return f"s3://{self.name}/{path}"


@contextlib.contextmanager
def bucket(home: Path) -> Iterator[Bucket]:
    """A server with an empty bucket; this process and its children have the environment to use it."""
    with running() as endpoint, pytest.MonkeyPatch.context() as patch:
        env = environment(endpoint, home)
        for name in [each for each in os.environ if each.startswith(("AWS_", "FSSPEC_"))]:
            patch.delenv(name)
        for name, value in env.items():
            patch.setenv(name, value)
        made = Bucket(endpoint, env)
        made.client.create_bucket(Bucket=made.name)
        yield made
