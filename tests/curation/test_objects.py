"""Object stores as the rest of the code sees them: what a put and a listing promise, and what errors say."""

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from curation import objects
from curation.errors import UserError
from curation.objects import ObjectStore, changed_at, checked_url, refuse_secrets, stamp
from curation.sources.location import open_uri
from tests.curation import s3_server
from tests.curation.commands import environment
from tests.curation.s3_server import Bucket


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with s3_server.bucket(tmp_path_factory.mktemp("home")) as made:
        yield made


@pytest.mark.parametrize("prefix", ["plain", "with space/and more", "ümläut 日本", "odd*[x]?#&+%20"])
def test_names_of_every_kind(bucket: Bucket, prefix: str) -> None:
    store = ObjectStore(bucket.url(prefix))
    assert store.find("records") == {}
    store.put("records/run/a.json", b"1")
    store.put("records2/b.json", b"2")
    assert list(store.find("records")) == ["records/run/a.json"]
    assert set(store.find("")) == {"records/run/a.json", "records2/b.json"}
    assert bucket.get(f"{prefix}/records/run/a.json") == store.get("records/run/a.json") == b"1"
    assert dict(store.get_all(["records2/b.json", "gone"])) == {"records2/b.json": b"2"}
    with store.open("records2/b.json") as opened:
        assert opened.read() == b"2"
    store.remove(["records/run/a.json", "records2/b.json", "never was"])
    assert bucket.keys(prefix) == []


def test_what_others_put_is_seen_at_once(bucket: Bucket) -> None:
    store = ObjectStore(bucket.url("shared"))
    assert store.find("records") == {}
    bucket.put("shared/records/a", b"1")
    assert list(store.find("records")) == ["records/a"]
    before = store.info("records/a")
    bucket.put("shared/records/a", b"2")
    after = store.info("records/a")
    assert before is not None
    assert after is not None
    assert stamp(before) != stamp(after)
    assert stamp(after) == stamp(store.find("records")["records/a"])
    assert abs(changed_at(after) - time.time()) < 5
    assert store.info("records") is None  # a folder is no object
    with pytest.raises(FileNotFoundError, match="shared/records/b"):
        store.get("records/b")
    with pytest.raises(FileNotFoundError):
        store.open("records/b")


def test_create_leaves_what_is_there(bucket: Bucket) -> None:
    store = ObjectStore(bucket.url("create"))
    store.put("a", b"first", create=True)
    with pytest.raises(FileExistsError):
        store.put("a", b"second", create=True)
    assert bucket.get("create/a") == b"first"


def test_a_large_file_goes_in_parts_and_comes_back(bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(os.urandom(5 * objects.BLOCK_BYTES + 7))
    store = ObjectStore(bucket.url("large"))
    store.upload(tmp_path / "a", "a")
    assert bucket.client.head_object(Bucket=bucket.name, Key="large/a")["ETag"].endswith('-3"')  # of three parts
    store.download("a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == (tmp_path / "a").read_bytes()


def test_a_killed_upload_leaves_no_visible_object(bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(12 * objects.BLOCK_BYTES))
    code = (
        "import sys; from pathlib import Path; from curation.objects import ObjectStore; "
        "ObjectStore(sys.argv[1]).upload(Path(sys.argv[2]), 'a')"
    )
    line = [sys.executable, "-c", code, bucket.url("killed"), str(tmp_path / "a")]
    upload = subprocess.Popen(line, env=environment())
    while not bucket.unfinished_uploads():
        assert upload.poll() is None
        time.sleep(0.005)
    upload.kill()
    upload.wait()
    assert bucket.keys("killed") == []
    ObjectStore(bucket.url("killed")).upload(tmp_path / "a", "a")  # the same again is no trouble
    assert bucket.get("killed/a") == (tmp_path / "a").read_bytes()
    for each in bucket.client.list_multipart_uploads(Bucket=bucket.name)["Uploads"]:
        bucket.client.abort_multipart_upload(Bucket=bucket.name, Key=each["Key"], UploadId=each["UploadId"])


def test_a_forked_process_makes_its_own_connection(bucket: Bucket) -> None:
    store = ObjectStore(bucket.url("fork"))
    store.put("a", b"1")
    child = os.fork()
    if child == 0:
        store.put("b", store.get("a"))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert bucket.keys("fork") == ["fork/a", "fork/b"]


def test_a_busy_server_is_asked_again(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that breaks off in the middle of the work costs a moment, not the work."""
    relay = Relay(bucket.endpoint)
    monkeypatch.setenv("AWS_ENDPOINT_URL", relay.endpoint)
    store = ObjectStore(bucket.url("busy"))
    store.put("a", b"1")
    relay.broken = True
    threading.Timer(1.5, relay.mend).start()
    assert store.get("a") == b"1"
    relay.close()


def test_reading_input_goes_on_after_an_outage(bucket: Bucket) -> None:
    """Otherwise the rest of the file would be quarantined as unreadable."""
    data = os.urandom(12 * 2**20)
    bucket.put("input/a.bin", data)
    relay = Relay(bucket.endpoint)
    with open_uri(bucket.url("input/a.bin"), {"endpoint_url": relay.endpoint, "default_block_size": 2**20}) as opened:
        first = opened.read(3 * 2**20)
        relay.broken = True
        threading.Timer(1.5, relay.mend).start()
        assert first + opened.read() == data
    relay.close()


class Relay:
    """Passes connections on to a server, or breaks them off."""

    def __init__(self, endpoint: str) -> None:
        self.target = endpoint.removeprefix("http://").split(":")
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.broken = False
        self.open: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def mend(self) -> None:
        self.broken = False

    def close(self) -> None:
        self.socket.close()

    def _serve(self) -> None:
        while True:
            try:
                ours, _ = self.socket.accept()
            except OSError:
                return
            if self.broken:
                ours.close()
                continue
            theirs = socket.create_connection((self.target[0], int(self.target[1])))
            for source, sink in ((ours, theirs), (theirs, ours)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                if self.broken:
                    break
                sink.sendall(data)
        except OSError:
            pass
        for each in (source, sink):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


# ---- what is wrong with a store as a whole ----


def problem(url: str) -> tuple[str, float]:
    """What is said about a store, and after how many seconds."""
    began = time.monotonic()
    with pytest.raises(UserError) as caught:
        ObjectStore(url).find("records")
    return str(caught.value), time.monotonic() - began


def test_a_missing_bucket(bucket: Bucket) -> None:
    said, _ = problem("s3://not-there/x")
    assert said == f"s3://not-there/x: there is no bucket 'not-there' (endpoint {bucket.endpoint}); make it first"


def test_an_endpoint_that_refuses(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    said, seconds = problem(bucket.url("x"))
    assert "no answer" in said
    assert f"is the endpoint right (endpoint http://127.0.0.1:{port})" in said
    assert seconds < 10


def test_an_endpoint_that_never_answers(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "LOOK_SECONDS", 2.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        said, seconds = problem(bucket.url("x"))
    assert "no answer within 2 s" in said
    assert seconds < 6


def test_no_credentials(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    said, _ = problem(bucket.url("x"))
    assert said.endswith("no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE")


def unchecked_requests(bucket: Bucket, number: bytes) -> None:
    """After how many requests the server wants to know the key that it is asked with."""
    address = f"{bucket.endpoint}/moto-api/reset-auth"
    request = urllib.request.Request(address, data=number, method="POST", headers={"Content-Type": "text/plain"})
    urllib.request.urlopen(request, timeout=10).close()


def test_wrong_credentials(tmp_path: Path) -> None:
    with s3_server.bucket(tmp_path) as guarded:
        unchecked_requests(guarded, b"0")
        try:
            said, _ = problem(guarded.url("x"))
        finally:
            unchecked_requests(guarded, b"inf")
    assert "access denied" in said
    assert "AWS_ACCESS_KEY_ID" in said
    assert "not-to-be-stored" not in said


def test_a_missing_package(bucket: Bucket, tmp_path: Path) -> None:
    """In a process where s3fs cannot be imported."""
    (tmp_path / "s3fs.py").write_text("raise ImportError('not installed')\n")
    line = [sys.executable, "-m", "curation.catalog", "status", "--workspace", bucket.url("x")]
    env = environment({"PYTHONPATH": str(tmp_path)})
    done = subprocess.run(line, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {bucket.url('x')}: ")
    assert done.stderr.rstrip().endswith("do: pip install 'open-curation[s3]'")


@pytest.mark.parametrize("named", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "FSSPEC_S3_ENDPOINT_URL"])
def test_where_the_endpoint_can_be_named(bucket: Bucket, named: str) -> None:
    """In a fresh process: fsspec reads its variables once."""
    env = environment()
    del env["AWS_ENDPOINT_URL"]
    env[named] = bucket.endpoint
    code = "import sys; from curation.objects import ObjectStore; ObjectStore(sys.argv[1]).put('a', b'1')"
    subprocess.run([sys.executable, "-c", code, bucket.url(named)], env=env, check=True, timeout=60)
    assert bucket.get(f"{named}/a") == b"1"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://host/x", "no object store that writes a file in one stroke"),
        ("memory://x", "no object store"),
        ("simplecache::s3://b/x", "no object store"),
        ("s3://", "name a bucket"),
        ("s3:///x", "name a bucket"),
        ("s3://key:secret@bucket/x", "no credentials in a URL"),
    ],
)
def test_urls_that_are_refused(url: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        checked_url(url)
    assert "key:secret" not in str(caught.value)
    assert checked_url("s3://bucket/x/") == "s3://bucket/x"


def test_secrets_are_refused_in_options() -> None:
    refuse_secrets({"anon": True, "endpoint_url": "http://x", "client_kwargs": {"region_name": "eu"}, "token": "anon"})
    for options in (
        {"secret": "x"},
        {"client_kwargs": {"aws_session_token": "x"}},
        {"headers": {"Authorization": "x"}},
    ):
        with pytest.raises(UserError, match="secrets must not be"):
            refuse_secrets(options)
