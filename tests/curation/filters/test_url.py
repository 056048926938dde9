"""The filter ``url``: which list wins, in every part of a run, and decisions like datatrove's where they should be."""

import json
import random
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
from datatrove.data import Document
from hypothesis import given
from hypothesis import strategies as st

from curation.domains import BUILT_IN, find_source
from curation.errors import UserError
from curation.filters import build_filters, open_filters, prepare_filters
from tests.curation import inputs
from tests.curation.commands import ask, check, command, curate, digests, reasons

LISTS = {
    "block.txt": "bad.example\nhalf.example/bad\ngone.example\n",
    "more.txt": "worse.example\n",
    "allow.txt": "good.bad.example\nfine.example\ngone.example\n",
    "out.txt": "gone.example\nfine.example/private\nhttp://half.example/page?id=1\n",
}


def lists(folder: Path) -> dict[str, Any]:
    """Options of the filter, with their files written to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in LISTS.items():
        (folder / name).write_text(text)
    return {
        "block": [str(folder / "block.txt"), str(folder / "more.txt")],
        "allow": [str(folder / "allow.txt")],
        "opt_out": str(folder / "out.txt"),
    }


def opened(options: dict[str, Any], cache: Path) -> Any:
    named = {"url": options}
    (found,) = open_filters(named, cache, prepare_filters(named, cache))
    return found


def decide(each: Any, url: str | None) -> tuple[dict[str, Any], str | None]:
    scores = each.score(Document(text="some text", id="x", metadata={"url": url}))
    return scores, each.reason(scores)


CASES = [
    ("http://other.example/", None, "not_allowed"),
    ("http://bad.example/x", "blocked_domain", "blocked_domain"),
    ("http://www.worse.example/", "blocked_domain", "blocked_domain"),
    ("http://a.good.bad.example/", None, None),
    ("http://half.example/", None, "not_allowed"),
    ("http://half.example/bad/page", "blocked_url", "blocked_url"),
    ("http://half.example/page?id=1", "opted_out", "opted_out"),
    ("http://half.example/page?id=2", None, "not_allowed"),
    ("http://fine.example/public", None, None),
    ("http://fine.example/private/diary", "opted_out", "opted_out"),
    ("http://gone.example/", "opted_out", "opted_out"),
    ("mailto:a@bad.example", None, "not_allowed"),
    ("", None, "not_allowed"),
    (None, None, "not_allowed"),
]


def test_opt_out_beats_allow_beats_block(tmp_path: Path) -> None:
    options = lists(tmp_path)
    each = opened(options, tmp_path / "cache")
    strict = opened({**options, "allow_only": True}, tmp_path / "cache")
    for url, reason, reason_allow_only in CASES:
        assert decide(each, url)[1] == reason, url
        assert decide(strict, url)[1] == reason_allow_only, url


def test_scores_say_which_list_and_which_entry(tmp_path: Path) -> None:
    each = opened(lists(tmp_path), tmp_path / "cache")
    empty = {"opted_out": False, "allowed_by": "", "blocked_by": "", "blocked_entry": ""}
    assert decide(each, "http://other.example/")[0] == empty
    assert decide(each, "http://a.worse.example/")[0] == {
        **empty,
        "blocked_by": "more.txt",
        "blocked_entry": "worse.example",
    }
    assert decide(each, "http://half.example/bad/1")[0]["blocked_entry"] == "half.example/bad"
    everything = decide(each, "http://gone.example/")[0]
    assert everything == {
        **empty,
        "opted_out": True,
        "allowed_by": "allow.txt",
        "blocked_by": "block.txt",
        "blocked_entry": "gone.example",
    }


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The filter with the lists above."""
    folder = tmp_path_factory.mktemp("usual")
    return opened(lists(folder), folder / "cache")


@given(url=st.one_of(st.none(), st.text(), st.text(alphabet="htp:/@?#[]%.\\ \ud800ü", max_size=50)))
def test_any_url_gets_scores_as_declared(usual: Any, url: str | None) -> None:
    scores, _ = decide(usual, url)
    assert {name: type(value) for name, value in scores.items()} == dict(usual.scores)
    json.dumps(scores, ensure_ascii=False).encode()  # what is stored must be UTF-8


def test_wrong_options_name_themselves(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"filters\.url\.allow_only: nothing would stay"):
        build_filters({"url": {"allow_only": True}})
    (each,) = build_filters({"url": {"block": [str(tmp_path / "none.txt")]}})  # names and scores need no list
    with pytest.raises(UserError, match=r"filters\.url\.block: '.*none\.txt': no such file"):
        each.prepare(tmp_path)
    for folder in "ab":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "list").write_text("a.example\n")
    (twice,) = build_filters({"url": {"block": [str(tmp_path / "a" / "list"), str(tmp_path / "b" / "list")]}})
    with pytest.raises(UserError, match="two lists are called 'list'"):
        twice.prepare(tmp_path)


# ---- a run ------------------------------------------------------------------------------------


def flags(options: dict[str, Any]) -> tuple[str, ...]:
    return ("--config", "smoke", "--filters", json.dumps({"url": options, "length": {"min_characters": 40}}))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A document for each case, and a source file that has a URL."""
    path = tmp_path_factory.mktemp("source") / "lines.jsonl"
    rows = [{"text": inputs.prose("en", n), "url": url} for n, (url, _, _) in enumerate(CASES)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def curated(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run ``w`` and its ``lists``."""
    folder = tmp_path_factory.mktemp("curated")
    curate(folder / "w", source, *flags(lists(folder / "lists")))
    return folder


def test_a_run_rejects_and_says_why(curated: Path) -> None:
    found = ask(
        curated / "w",
        "SELECT url, reason, url_lists.blocked_by AS list, url_lists.blocked_entry AS entry FROM document "
        "WHERE step = 'url' ORDER BY record_offset",
    )
    assert [(row["url"], row["reason"]) for row in found] == [(url, why) for url, why, _ in CASES if why]
    assert found[0] | {"url": None} == {
        "url": None,
        "reason": "blocked_domain",
        "list": "block.txt",
        "entry": "bad.example",
    }
    assert reasons(curated / "w")[("url", "opted_out")] == 3
    check(curated / "w")


def test_a_run_records_what_its_lists_held(source: Path, curated: Path, tmp_path: Path) -> None:
    (row,) = ask(curated / "w", "SELECT config, config_hash FROM run")
    prepared = json.loads(row["config"])["prepared"]["url"]
    assert prepared.keys() == {"block block.txt", "block more.txt", "allow allow.txt", "opt_out out.txt"}
    block = curated / "lists" / "block.txt"
    assert prepared["block block.txt"] == find_source(str(block), "").digest()
    workspace = shutil.copytree(curated / "w", tmp_path / "w")
    (old,) = ask(workspace, "SELECT run_id FROM run")
    block.write_text("other.example\n")
    try:
        curate(workspace, "--from", old["run_id"], *flags(lists_as_they_are(curated)))
        curate(tmp_path / "full", source, *flags(lists_as_they_are(curated)))
        assert digests(workspace) == digests(tmp_path / "full")  # no score of the parent was taken over
        assert digests(workspace) != digests(curated / "w")
        hashes = {each["config_hash"] for each in ask(workspace, "SELECT config_hash FROM run")}
        assert len(hashes) == 2
    finally:
        block.write_text(LISTS["block.txt"])


def lists_as_they_are(folder: Path) -> dict[str, Any]:
    names = folder / "lists"
    return {
        "block": [str(names / "block.txt"), str(names / "more.txt")],
        "allow": [str(names / "allow.txt")],
        "opt_out": str(names / "out.txt"),
    }


def test_a_resume_with_a_changed_list_is_refused(source: Path, curated: Path, tmp_path: Path) -> None:
    workspace = shutil.copytree(curated / "w", tmp_path / "w")
    for end in workspace.glob("records/run_end/*"):
        end.unlink()
    (workspace / "catalog.duckdb").unlink()
    block = curated / "lists" / "block.txt"
    block.write_text("other.example\n")
    try:
        refused = command("curation.run", "--workspace", workspace, "--resume", "last")
    finally:
        block.write_text(LISTS["block.txt"])
    assert refused.returncode == 2
    assert "filters.url.block block.txt" in refused.stderr
    shutil.rmtree(workspace / "cache")
    curate(workspace, "--resume", "last")
    assert digests(workspace) == digests(curated / "w")


def test_a_missing_list_ends_the_run_before_it_begins(source: Path, tmp_path: Path) -> None:
    refused = command("curation.run", source, "--workspace", tmp_path / "w", *flags({"block": ["nowhere.txt"]}))
    assert refused.returncode == 2
    assert "filters.url.block: 'nowhere.txt': no such file" in refused.stderr
    assert not (tmp_path / "w" / "records").exists()


# ---- beside datatrove -------------------------------------------------------------------------


@pytest.mark.full
@pytest.mark.filterwarnings("ignore:The 'registered_domain' property")
def test_decisions_are_datatroves_on_its_own_list(tmp_path: Path) -> None:
    """On a thousand listed domains, URLs and their relatives, and as many others.

    Accepted differences, all of which datatrove keeps and we remove:

    - URLs of its list: it compares whole URLs, of which those of the list lack the scheme, so none ever matches.
    - Domains below a listed one that is not the registered domain (``a.b.c.example`` where ``b.c.example`` is listed).
    - Top-level domains (``xxx``, ``adult``): it compares registered domains and whole hosts only.
    - IP addresses: it compares none.
    - Blogs: without the private part of the suffix list datatrove takes ``blogspot.com`` for the registered domain,
      and so does not see ``name.blogspot.com`` in ``www.name.blogspot.com``.
    """
    pytest.importorskip("ahocorasick", reason="the extra `dev` is not installed")
    pytest.importorskip("fasteners", reason="the extra `dev` is not installed")
    tldextract = pytest.importorskip("tldextract", reason="the extra `dev` is not installed")
    from datatrove.pipeline.filters import URLFilter

    with tarfile.open(find_source(BUILT_IN, "").paths[0]) as archive:
        lines = {name: archive.extractfile(name).read().decode().split("\n")[:-1] for name in ("domains", "urls")}  # type: ignore[union-attr]
    theirs = URLFilter(extra_domains=lines["domains"], extra_urls=lines["urls"], use_integrated_lists=False)
    theirs.tldextractor = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    ours = opened({"block": [BUILT_IN]}, tmp_path)

    chance = random.Random(0)
    domains = chance.sample(lines["domains"], 1000)
    urls = [f"http://{each}/page" for each in domains]
    urls += [f"https://www.{each}/page?q=1" for each in domains]
    urls += [f"http://a.b.{each}:80/" for each in domains]
    urls += [f"http://x{each}/" for each in domains]
    urls += [f"http://{each}.example/" for each in domains]
    urls += [f"http://{each}" for each in chance.sample(lines["urls"], 200)]
    urls += [f"http://site{n}.example.{tld}/x/{n}" for n in range(200) for tld in ("org", "co.uk", "de", "xxx")]

    listed = set(lines["domains"])
    unlike: dict[str, int] = {"equal": 0}
    for url in urls:
        reason = decide(ours, url)[1]
        answer = theirs.filter(Document(text="", id="", metadata={"url": url}))
        if (reason is None) == (answer is True):
            unlike["equal"] += 1
            continue
        assert answer is True, url  # never keeps what they remove
        entry = decide(ours, url)[0]["blocked_entry"]
        host = url.split("/")[2].split(":")[0]
        if reason == "blocked_url":
            kind = "URL"
        elif "." not in entry:
            kind = "top-level domain"
        elif entry == host:
            kind = "IP address"
            assert theirs.tldextractor(url).fqdn == ""
        else:
            assert entry in listed
            assert host.endswith("." + entry)
            assert theirs.tldextractor(url).registered_domain != entry
            kind = "parent that is no registered domain"
        unlike[kind] = unlike.get(kind, 0) + 1
    # Most of the list are blogs, so that many differ where a subdomain of the listed one is asked for.
    assert unlike.keys() == {"equal", "URL", "top-level domain", "IP address", "parent that is no registered domain"}
    assert unlike["URL"] == unlike["top-level domain"] == 200
    assert unlike["equal"] > 3500
