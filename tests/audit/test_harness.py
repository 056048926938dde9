"""Tasks of lm-evaluation-harness as probes, held against what it finds itself; most need it (``pip install
'lm-eval>=0.4.10,<0.5'``), in an environment of its own if need be."""

import importlib.metadata
import json
import socket
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from audit import harness
from audit.compare import main as compare
from audit.config import AuditConfig, asked_probes
from audit.harness import INSTALL, HarnessTask
from audit.places import NotThere, Places, read_cases
from audit.probes import find_probe
from audit.recorded import find_audited, results_path
from audit.results import read_items
from audit.run import main
from curation.errors import EXIT_DONE, EXIT_SOME_FAILED, UserError
from curation.workspace import Workspace
from tests.audit.models import made_network, made_tokenizer, saved, tiny
from tests.curation.commands import ask, check

NAME = "lm_eval:our_colours"
_LONG = "Say in one word of which colour a thing is when most people see it by day. "
"""With examples behind it longer than the model's context."""
MEASURES = ("acc", "acc_norm", "exact_match")
_THINGS = (
    *("a ripe lemon", "fresh snow", "a clear sky", "grass in May", "coal", "a brick wall", "the sea at noon", "milk"),
    *("a frog", "an egg yolk", "a crow", "a tomato"),
)
_COLOURS = ("yellow", "white", "blue", "green", "black", "red", "blue", "white", "green", "yellow", "black", "red")


def _write(folder: Path, **changes: Any) -> Path:
    """A task of multiple choice with its data, in a data folder."""
    own = folder / "lm_eval"
    own.mkdir(parents=True)
    rows = []
    for number, (thing, colour) in enumerate(zip(_THINGS, _COLOURS, strict=True)):
        others = sorted(set(_COLOURS) - {colour})[number % 2 : number % 2 + 3]
        rows.append({"thing": thing, "choices": [*others[:2], colour, *others[2:]], "answer": 2, "right": colour})
    for name, several in (("test", rows), ("train", rows[::3])):
        (own / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in several))
    config = {
        "task": "our_colours",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {name: str(own / f"{name}.jsonl") for name in ("test", "train")}},
        "output_type": "multiple_choice",
        "test_split": "test",
        "doc_to_text": "The colour of {{thing}} is",
        "doc_to_choice": "choices",
        "doc_to_target": "answer",
        "metric_list": [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in MEASURES]
        + [{"metric": "mcc"}],
        "metadata": {"version": 3},
        **changes,
    }
    # JSON is YAML
    (own / "our_colours.yaml").write_text(json.dumps(config))
    return folder


# ---- without it ------------------------------------------------------------------------------------


def test_missing_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(harness, "version", missing)
    with pytest.raises(UserError, match="lm_eval:arc_easy: needs lm-evaluation-harness") as raised:
        asked_probes(AuditConfig(probes="crows_pairs,lm_eval:arc_easy"))
    assert "pip install 'lm-eval>=0.4.10,<0.5'" in str(raised.value)


@pytest.mark.parametrize(
    ("installed", "fits"), [("0.4.9", False), ("0.4.10", True), ("0.4.13", True), ("0.5.0", False)]
)
def test_names_and_versions(monkeypatch: pytest.MonkeyPatch, installed: str, fits: bool) -> None:
    monkeypatch.setattr(harness, "version", lambda name: installed)
    config = AuditConfig(probes="lm_eval:arc_easy, lm_eval:mine,lm_eval:arc_easy", limit=5)
    if fits:
        assert [(each.name, each.limit) for each in asked_probes(config)] == [
            ("lm_eval:arc_easy", 5),
            ("lm_eval:mine", 5),
        ]
        assert find_probe("lm_eval:mine").kind == "quality"
    else:
        with pytest.raises(UserError, match=installed):
            asked_probes(config)


def test_one_that_does_not_import_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval.tasks", None)
    with pytest.raises(
        UserError, match=r"cannot be imported \(ModuleNotFoundError.*install --upgrade 'lm-eval>=0.4.10"
    ):
        harness._manager((tmp_path,), True)


def test_no_suite_holds_its_tasks_and_the_list_names_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert not any(each.name.startswith("lm_eval:") for each in asked_probes(AuditConfig(suite="full")))
    assert main(["--list"]) == EXIT_DONE
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("lm_eval:TASK")]
    assert INSTALL in line


def test_the_extra_installs_what_the_error_says() -> None:
    import tomllib

    extras = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert extras["harness"] == [INSTALL.split("'")[1]]


def test_file_names_hold_no_colon(tmp_path: Path) -> None:
    path = results_path(Workspace(tmp_path), "RUN", "lm_eval:../x")
    assert path == tmp_path / "audits" / "RUN" / "lm_eval%3A..%2Fx.parquet"
    assert results_path(Workspace(tmp_path), "RUN", "bbq").name == "bbq.parquet"


# ---- with it ---------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data sets are cached in a folder of the test."""
    try:
        import datasets
    except ImportError:
        return
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture(scope="session")
def lm_eval() -> Any:
    return pytest.importorskip("lm_eval", reason=f"compares with lm-evaluation-harness: {INSTALL}")


def _theirs(lm_eval: Any, folder: Path, seed: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What lm-evaluation-harness finds with the same model: metrics, and documents."""
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    model = HFLM(pretrained=made_network(), tokenizer=made_tokenizer(), device="cpu", batch_size=4, add_bos_token=False)
    found = lm_eval.simple_evaluate(
        model=model,
        tasks=["our_colours"],
        task_manager=TaskManager(include_path=str(folder / "lm_eval"), include_defaults=False),
        bootstrap_iters=0,
        fewshot_random_seed=seed,
        random_seed=seed,
        numpy_random_seed=seed,
    )
    return found["results"]["our_colours"], found["samples"]["our_colours"]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_fewshot": 4, "training_split": "train", "fewshot_split": "train", "description": _LONG},
        {"doc_to_text": ""},  # nothing before the continuation
        {"doc_to_text": "Colour: {{thing}},  ", "target_delimiter": ""},  # ends with spaces
        {"metric_list": [{"metric": "acc_mutual_info"}, {"metric": "acc"}]},
        {
            "output_type": "loglikelihood",
            "doc_to_choice": None,
            "doc_to_target": " {{right}}",
            "metric_list": [{"metric": "acc"}, {"metric": "perplexity"}],
        },
    ],
    ids=("choices", "few-shot", "no context", "spaces", "mutual information", "one target"),
)
def test_finds_what_it_finds(lm_eval: Any, tmp_path: Path, changes: dict[str, Any]) -> None:
    folder = _write(tmp_path, **changes)
    seed = 7
    probe = find_probe(NAME).with_seed(seed)
    cases = read_cases(probe, Places((folder,)))
    results = probe.run(tiny(), cases)
    metrics, documents = _theirs(lm_eval, folder, seed)
    assert len(results) == len(documents) == len(_THINGS)
    for ours, theirs in zip(results, documents, strict=True):
        asked = [(each.prompt, each.response) for each in ours.responses]
        assert asked == [tuple(each) for each in theirs["arguments"]]
        for response, ((value, greedy),) in zip(ours.responses, theirs["resps"], strict=True):
            assert response.total == pytest.approx(float(value), abs=1e-3)
            assert response.greedy == greedy
        assert ours.measures == {name: theirs[name] for name in probe.measures}
    assert probe.measures
    assert probe.version == "3"
    for name in probe.measures:
        share = sum(each.measures[name] for each in results if each.measures) / len(results)
        assert share == pytest.approx(metrics[f"{name},none"])
    if changes.get("num_fewshot"):
        items = [ask.item for case in cases for ask in case.asks]
        assert any(each.cut for each in tiny().encoder.encode(items, "cut"))
    left_out = {each["metric"] for each in changes.get("metric_list", [{"metric": "mcc"}])} - set(probe.measures)
    assert all(f"over documents: {name}" in probe.caveat for name in left_out)


def test_few_shot_examples_follow_the_seed(lm_eval: Any, tmp_path: Path) -> None:
    folder = _write(tmp_path, num_fewshot=2, training_split="train", fewshot_split="train")
    contexts = []
    for seed in (1, 1, 2):
        cases = find_probe(NAME).with_seed(seed).cases(Places((folder,)))
        contexts.append([case.asks[0].item.context for case in cases])
        assert len({case.unit for case in cases}) == len(_THINGS)
    assert contexts[0] == contexts[1] != contexts[2]


def test_units_are_made_of_content(lm_eval: Any, tmp_path: Path) -> None:
    folder = _write(tmp_path)
    path = folder / "lm_eval" / "test.jsonl"
    path.write_text(path.read_text() * 3)
    cases = find_probe(NAME).cases(Places((folder,)))
    assert len(cases) == 3 * len({case.unit for case in cases}) == 3 * len(_THINGS)


def test_the_command_records_compares_and_goes_on(
    lm_eval: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _write(tmp_path / "sets")
    for number, name in enumerate("ab"):
        saved(tmp_path / name, hidden_size=32 + 16 * number)
        asked = ("--checkpoint", tmp_path / name, "--workspace", tmp_path / "W", "--data", folder, "--probes", NAME)
        assert main([*map(str, asked)]) == EXIT_DONE
    out = capsys.readouterr().out
    assert "acc_norm" in out
    assert "Left out" in out
    rows = ask(tmp_path / "W", "SELECT * FROM finding ORDER BY finding_id")
    assert {row["probe_id"] for row in rows} == {NAME}
    assert {row["metric"] for row in rows} == set(MEASURES)
    (meaning,) = ask(tmp_path / "W", "SELECT * FROM probe_metric WHERE metric = 'acc'")
    assert (meaning["version"], meaning["kind"], meaning["unit"], meaning["ideal"]) == ("3", "quality", "share", None)
    audited = find_audited(Workspace(tmp_path / "W"), "a")
    table = pq.read_table(audited.results[NAME]).to_pylist()
    value = next(row["value"] for row in rows if row["metric"] == "acc")
    assert value == pytest.approx(read_items(audited.results[NAME]).measures["acc"].mean())
    assert len(table) == 4 * len(_THINGS)
    assert not [path for path in (tmp_path / "W").rglob("*") if ":" in path.name]
    check(tmp_path / "W")

    monkeypatch.setattr(harness, "harness_probe", None)  # what is on record needs no lm-evaluation-harness
    assert audited.probe(NAME).measures == MEASURES
    assert compare(["a", "b", "--workspace", str(tmp_path / "W"), "--all"]) == EXIT_DONE
    assert "acc_norm" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"output_type": "generate_until", "doc_to_target": "right"}, "its output type is generate_until"),
        ({"output_type": "loglikelihood_rolling", "metric_list": [{"metric": "bits_per_byte"}]}, "rolling"),
        ({"metric_list": [{"metric": "f1", "aggregation": "f1", "higher_is_better": True}]}, "none of its metrics"),
        ({"doc_to_text": "{{thing"}, "mend its YAML file"),
        ({"unsafe_code": True}, "unsafe"),
    ],
)
def test_what_cannot_be_run_is_refused_with_the_reason(
    lm_eval: Any, tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    folder = _write(tmp_path, **changes)
    with pytest.raises(UserError, match=says) as raised:
        find_probe(NAME).cases(Places((folder,)))
    assert NAME in str(raised.value)
    assert not isinstance(raised.value, NotThere)


@pytest.mark.parametrize(
    ("name", "says"),
    [("our_colour", "our_colours"), ("arc_esy", "arc_easy"), ("mmlu", "is a group of tasks")],
)
def test_no_such_task_names_near_ones(lm_eval: Any, tmp_path: Path, name: str, says: str) -> None:
    folder = _write(tmp_path)
    with pytest.raises(UserError, match=says):
        find_probe(f"lm_eval:{name}").cases(Places((folder,)))


def test_data_that_is_missing_is_not_run_and_nothing_is_downloaded(
    lm_eval: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = _write(tmp_path / "sets", dataset_path="nobody-has-this/set-of-colours", dataset_kwargs={})
    tried: list[Any] = []

    def connect(*asked: Any, **named: Any) -> Any:
        tried.append(asked)
        raise OSError("no network in tests")

    monkeypatch.setattr(socket, "getaddrinfo", connect)
    with pytest.raises(NotThere, match="--hub true"):
        find_probe(NAME).cases(Places((folder,)))
    assert not tried
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # between two tries
    with pytest.raises(NotThere):
        find_probe(NAME).cases(Places((folder,), download=True))
    assert tried, "what was asked for is looked for"
    saved(tmp_path / "a")
    asked = ("--checkpoint", tmp_path / "a", "--workspace", tmp_path / "W", "--data", folder, "--probes", NAME)
    assert main([*map(str, asked)]) == EXIT_SOME_FAILED
    assert f"{NAME}: not run" in capsys.readouterr().out
    (row,) = ask(tmp_path / "W", "SELECT * FROM finding")
    assert (row["status"], row["value"]) == ("not_run", None)
    assert "--hub true" in row["why"]


def test_a_missing_local_file_is_named(lm_eval: Any, tmp_path: Path) -> None:
    folder = _write(tmp_path)
    (folder / "lm_eval" / "test.jsonl").unlink()
    with pytest.raises(NotThere, match=r"test\.jsonl"):
        find_probe(NAME).cases(Places((folder,)))


def test_what_is_no_number_is_not_scored(lm_eval: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    probe = find_probe(NAME)
    assert isinstance(probe, HarnessTask)
    cases = probe.cases(Places((_write(tmp_path),)))
    monkeypatch.setattr(probe._made, "process_results", lambda doc, given: {"acc": 1, "acc_norm": float("nan")})
    (result,) = probe.run(tiny(), cases[:1])
    assert result.measures is None
    assert result.why == "the task gives no number for acc_norm, exact_match"
