"""``training.finetune``: what it learns, how it is divided, what it leaves on record, and what it refuses."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from curation.catalog.check import check
from curation.errors import UserError
from curation.workspace import Workspace
from tests.training import launch
from tests.training.chat.conftest import chat, write_chats, write_model
from tests.training.chat.families import PIECES, TEMPLATES
from tests.training.chat.tokenizers_made import says
from tests.training.chat.tuning import SMALL, answer_losses, tune
from tests.training.small import run, write_documents
from training.batch import step_documents
from training.chat.options import parse
from training.finetune import prepare

pytest.importorskip("nanotron", reason="training needs nanotron: pip install nanotron==0.4")
transformers = pytest.importorskip("transformers")

SAME = 1e-5
SPLITS: dict[str, dict[str, Any]] = {
    "dp2": {"data": 2},
    "tp3": {"tensor": 3},
    "tp3 reduce_scatter": {"tensor": 3, "tensor_mode": "reduce_scatter", "recompute": True},
    "pp2": {"pipeline": 2},
    "pp2 afab recompute": {"pipeline": 2, "engine": "afab", "recompute": True},
    "pp3": {"pipeline": 3, "engine": "afab"},
    "dp2 pp2": {"data": 2, "pipeline": 2},
}


def write_mixed(path: Path) -> Path:
    """Plain lines, weights, and pairs."""
    draw = random.Random(5)
    lines = [chat(draw) for _ in range(14)]
    for number, line in enumerate(lines):
        if number < 8:
            line["pair"] = f"pair {number // 2}"
        elif number < 11:
            line["weight"] = 0.5 * (number - 6)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture(scope="module")
def mixed(model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """A workspace with a run of three steps in one process, its file of chats, and the run's id."""
    home = tmp_path_factory.mktemp("mixed")
    file = write_mixed(home / "mixed.jsonl")
    held = write_chats(home / "held.jsonl", 9, seed=77)
    done = tune(home / "W", model, [file], *MIXED, "--data.validation_files", f"[{held}]")
    return home, file, launch.run_of(done)


MIXED = ("--batch.steps", "3", "--data.pair_weight", "0.7", "--validation.every", "1")


def test_the_first_loss_is_that_of_transformers(mixed: tuple[Path, Path, str], model: Path) -> None:
    """Of chats computed one by one, without packing, weights and pairs put together afterwards."""
    home, file, run_id = mixed
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    loaded = transformers.AutoModelForCausalLM.from_pretrained(model).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    rows = step_documents(Workspace(home / "W"), run_id, 1)
    total = weights = 0.0
    pairs: dict[str, list[float]] = {}
    for row in rows:
        line = lines[row["line"] - 1]
        losses = answer_losses(loaded, tokenizer, PIECES["chatml"](line["messages"]))
        assert len(losses) == row["learned"]
        total += line.get("weight", 1.0) * float(losses.sum())
        weights += line.get("weight", 1.0) * len(losses)
        if "pair" in line:
            pairs.setdefault(line["pair"], []).append(float(losses.mean()))
    assert pairs
    assert len({row["line"] for row in rows}) > 5
    squares = [(first - second) ** 2 for first, second in pairs.values()]
    difference = sum(squares) / len(squares)
    seen = launch.metrics(home / "W" / "runs" / run_id)[1]
    assert seen["pair_difference"] == pytest.approx(difference, abs=SAME)
    assert seen["loss"] == pytest.approx(total / weights + 0.7 * difference, abs=SAME)


@pytest.mark.parametrize(
    "name", [each if each in ("dp2", "tp3", "pp2") else pytest.param(each, marks=pytest.mark.full) for each in SPLITS]
)
def test_any_topology_trains_as_one_process(name: str, mixed: tuple[Path, Path, str], model: Path) -> None:
    home, file, run_id = mixed
    split = SPLITS[name]
    processes = split.get("data", 1) * split.get("tensor", 1) * split.get("pipeline", 1)
    held = ("--data.validation_files", f"[{home / 'held.jsonl'}]", "--resume", "never")
    done = tune(home / "W", model, [file], *MIXED, *held, *launch.topology(**split), processes=processes)
    found, wanted = (launch.metrics(home / "W" / "runs" / each) for each in (launch.run_of(done), run_id))
    for step in (1, 2, 3):
        for value in ("loss", "grad_norm", "pair_difference", "validation/held"):
            assert found[step][value] == pytest.approx(wanted[step][value], abs=5 * SAME), (step, value)
        assert found[step]["tokens_seen"] == wanted[step]["tokens_seen"]


def test_pairs_are_drawn_together(model: Path, tmp_path: Path) -> None:
    file = write_mixed(tmp_path / "mixed.jsonl")
    left: dict[float, float] = {}
    for weight in (0.001, 30.0):
        options = ("--batch.epochs", "12", "--data.pair_weight", weight, "--validation.every", "0")
        run_id = launch.run_of(tune(tmp_path / "W", model, [file], *options))
        metrics = launch.metrics(tmp_path / "W" / "runs" / run_id)
        found = [row["pair_difference"] for row in metrics.values() if "pair_difference" in row]
        left[weight] = sum(found[-3:])
    assert left[30.0] < left[0.001] / 2


def test_it_learns_what_it_has_not_seen(model: Path, tmp_path: Path) -> None:
    file, held = write_chats(tmp_path / "a.jsonl", 60, 1), write_chats(tmp_path / "held.jsonl", 20, 2)
    options = ("--batch.epochs", "6", "--validation.every", "20", "--data.validation_files", f"[{held}]")
    run_id = launch.run_of(tune(tmp_path / "W", model, [file], *options))
    found = launch.metrics(tmp_path / "W" / "runs" / run_id)
    losses = [found[step]["validation/held"] for step in sorted(found) if "validation/held" in found[step]]
    assert min(found) == 0
    assert losses[-1] < losses[0] / 4
    asked = (f"{run_id}-{max(found):08d}", "How many cedar lamps hang at the mill?", "--workspace", tmp_path / "W")
    answer = run("training.sample", *asked, "--chat", "--temperature", "0")
    assert answer.startswith("The keeper of the ")
    assert answer.endswith(".\n")  # it stops, and what ends the turn is not shown


def test_without_a_step_logits_stay_as_they_were(model: Path, tmp_path: Path) -> None:
    file = write_chats(tmp_path / "a.jsonl", 9, 1)
    run_id = launch.run_of(tune(tmp_path / "W", model, [file], "--batch.steps", 0, "--batch.sequence_length", 64))
    run("training.export", f"{run_id}-00000000", tmp_path / "back", "--workspace", tmp_path / "W")
    theirs, back = (
        transformers.AutoModelForCausalLM.from_pretrained(each).eval() for each in (model, tmp_path / "back")
    )
    assert back.config.max_position_embeddings == 256
    assert back.config.vocab_size == theirs.config.vocab_size
    ids_BS = torch.randint(0, theirs.config.vocab_size, (2, 48), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(back(ids_BS).logits, theirs(ids_BS).logits, atol=1e-5, rtol=0)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "back")
    assert tokenizer.apply_chat_template(says("a", "b"), tokenize=False).startswith("<|im_start|>user\na<|im_end|>")


def test_what_came_from_what_is_on_record(mixed: tuple[Path, Path, str]) -> None:
    home, file, run_id = mixed
    workspace = Workspace(home / "W")
    sql = (
        "SELECT c.checkpoint_id, p.kind AS parent, d.name, f.uri, f.records FROM checkpoint c "
        "JOIN run r USING (run_id) JOIN run p ON p.run_id = r.parent_run_id "
        "JOIN run_dataset rd ON rd.run_id = r.run_id JOIN dataset d USING (dataset_id) "
        "JOIN dataset_shard USING (dataset_id) JOIN shard_source USING (shard_id) "
        f"JOIN raw_file f USING (raw_file_id) WHERE r.run_id = '{run_id}'"
    )
    (row,) = json.loads(
        "["
        + ",".join(run("curation.catalog", "sql", sql, "--format", "json", "--workspace", home / "W").split("\n")[:-1])
        + "]"
    )
    assert row == {
        "checkpoint_id": f"{run_id}-00000003",
        "parent": "import",
        "name": "mixed",
        "uri": str(file),
        "records": 14,
    }
    assert check(workspace) == []
    rows = step_documents(workspace, run_id, 2, text=True)
    for each in rows:
        sql = f"SELECT text FROM document WHERE id = '{each['document_id']}'"
        text = run("curation.catalog", "sql", sql, "--format", "json", "--workspace", home / "W")
        line = json.loads(file.read_text().splitlines()[each["line"] - 1])
        assert json.loads(text)["text"].endswith(line["messages"][-1]["content"])
        assert each["text"].startswith('{"messages"')
    assert len(workspace.rows("dataset")) == 1  # of all the runs on the same file


@pytest.mark.full
def test_precisions(model: Path, tmp_path: Path) -> None:
    """A model in one precision is trained in the other."""
    file = write_chats(tmp_path / "a.jsonl", 9, 1)
    half = tmp_path / "half"
    shutil.copytree(model, half)
    transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16).save_pretrained(half)
    losses = []
    for base, precision in ((model, "float32"), (half, "float32"), (model, "bfloat16")):
        options = ("--batch.steps", "2", "--validation.every", "0", "--precision", precision)
        run_id = launch.run_of(tune(tmp_path / "W", base, [file], *options))
        losses.append(launch.losses(tmp_path / "W" / "runs" / run_id))
    assert losses[1] == pytest.approx(losses[0], abs=3e-2)
    assert losses[2] == pytest.approx(losses[0], abs=3e-2)
    assert losses[1] != losses[0]


def test_a_checkpoint_is_fine_tuned_on(mixed: tuple[Path, Path, str], tmp_path: Path) -> None:
    """By its id; the run that made it is the parent, and its tokenizer and template go along."""
    home, file, run_id = mixed
    done = tune(home / "W", f"{run_id}-00000003", [file], "--batch.steps", "1", "--data.pair_weight", "0.7")
    workspace = Workspace(home / "W")
    second = launch.run_of(done)
    (row,) = [row for row in workspace.rows("run") if row["run_id"] == second]
    assert row["parent_run_id"] == run_id
    assert json.loads(row["config"])["base"]["checkpoint"] == f"{run_id}-00000003"
    first = launch.metrics(home / "W" / "runs" / run_id)
    assert launch.metrics(home / "W" / "runs" / second)[1]["loss"] < first[1]["loss"]


def test_it_goes_on_where_it_was_killed_in_another_topology(model: Path, tmp_path: Path) -> None:
    file = write_chats(tmp_path / "a.jsonl", 60, 1)
    workspace = tmp_path / "W"
    options = ("--batch.steps", "12", "--checkpoints.every", "2", "--validation.every", "0")
    whole = launch.run_of(tune(tmp_path / "V", model, [file], *options))
    listed = ("--base", model, "--data.files", f"[{file}]", *SMALL, *options, "--workspace", workspace)
    log = tmp_path / "log.txt"
    process = start("training.finetune", listed, log)
    launch.wait_for(launch.reached(workspace, 5), process, log)
    launch.kill_all(process)
    done = tune(workspace, model, [file], *options, *launch.topology(data=2), processes=2)
    folder = workspace / "runs" / launch.run_of(done)
    assert len(list(folder.glob("metrics-*.jsonl"))) == 2
    assert launch.losses(folder) == pytest.approx(launch.losses(tmp_path / "V" / "runs" / whole), abs=SAME)


def start(module: str, arguments: tuple[object, ...], log: Path) -> Any:
    import subprocess

    from tests.curation.commands import ROOT, environment

    with log.open("w") as file:
        line = launch.line(1, module, arguments)
        return subprocess.Popen(
            line, stdout=file, stderr=file, text=True, env=environment(), cwd=ROOT, start_new_session=True
        )


def test_wrong_lines_cost_themselves(model: Path, tmp_path: Path) -> None:
    file = write_chats(tmp_path / "a.jsonl", 12, 1)
    wrong = ["", "{", "[]", '{"prompt": "a"}', json.dumps({"messages": says("only a question")})]
    with file.open("a") as out:
        out.write("\n".join(wrong) + "\n")
    done = tune(tmp_path / "W", model, [file], code=1)
    table = dict(
        line.rsplit(maxsplit=1) for line in done.stdout.splitlines() if line[:5] in ("lines", "used ", "refus")
    )
    counts = {name.strip(): int(count) for name, count in table.items()}
    assert counts.pop("lines") == 17
    assert counts.pop("used") == 12
    assert sum(counts.values()) == 5
    assert f"{file}:13: the line is blank" in done.stderr
    run_id = launch.run_of(done)
    report = (tmp_path / "W" / "runs" / run_id / "refused.jsonl").read_text().splitlines()
    assert [json.loads(line)["line"] for line in report] == [13, 14, 15, 16, 17]
    (end,) = [row for row in Workspace(tmp_path / "W").rows("run_end") if row["run_id"] == run_id]
    assert (end["status"], end["exit_code"]) == ("done", 1)
    two = tune(tmp_path / "W", model, [file], *launch.topology(data=2), "--resume", "never", processes=2, code=1)
    (end,) = [row for row in Workspace(tmp_path / "W").rows("run_end") if row["run_id"] == launch.run_of(two)]
    assert (end["status"], end["exit_code"]) == ("done", 1)


@pytest.mark.parametrize(
    ("arguments", "says_so"),
    [
        (("--data.files", "[none.jsonl]"), "none.jsonl: no such file"),
        (("--data.files", "[WRONG]"), "none of 2 lines can be learned from (not_json 2)"),
        (("--data.files", "[EMPTY]"), "it is empty"),
        (("--data.files", "[]"), "neither is given"),
        (("--data.chat_template", "nope"), "chatml, plain"),
        (("--data.turns", "first"), "all, last"),
        (("--base", "nowhere"), "nowhere"),
        (("--model.hidden_size", "64"), "model.hidden_size: 64, but"),
        (("--parallelism.tensor", "2"), "model.num_attention_heads"),
        (("--parallelism.data", "2"), "there are 1"),
        (("--batch.epochs", "2", "--batch.steps", "2"), "leave one out"),
        (("--batch.sequence_length", "4"), "none of 9 lines"),
        (("--batch.micro_batch_size", "3"), "batch.global_batch_size"),
        (("--batch.nothing", "3"), "there is no such"),
        (("--data.pair_weight", "-1"), "data.pair_weight"),
        (("--data.pair_weight", "1"), "no two lines"),
    ],
)
def test_what_cannot_work_is_refused(arguments: tuple[str, str], says_so: str, model: Path, tmp_path: Path) -> None:
    """Before any process group starts."""
    file = write_chats(tmp_path / "a.jsonl", 9, 1)
    (tmp_path / "wrong.jsonl").write_text("{\n}\n")
    (tmp_path / "empty.jsonl").write_text("")
    named = {"[WRONG]": f"[{tmp_path / 'wrong.jsonl'}]", "[EMPTY]": f"[{tmp_path / 'empty.jsonl'}]"}
    given = [
        str(each) for each in ("--base", model, "--data.files", f"[{file}]", *SMALL, "--workspace", tmp_path / "W")
    ]
    with pytest.raises(UserError) as caught:
        prepare(parse([*given, *[named.get(each, each) for each in arguments]]))
    assert says_so in str(caught.value)


def test_an_error_is_one_line_and_exit_code_2(model: Path, tmp_path: Path) -> None:
    done = tune(tmp_path / "W", model, [tmp_path / "none.jsonl"], code=2)
    assert "none.jsonl: no such file" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_tokenizer_without_a_template(tmp_path: Path) -> None:
    bare = write_model(tmp_path / "bare", template=None)
    file = write_chats(tmp_path / "a.jsonl", 9, 1)
    done = tune(tmp_path / "W", bare, [file], code=2)
    assert "data.chat_template: the tokenizer has none; name a Jinja file" in done.stderr
    run_id = launch.run_of(tune(tmp_path / "W", bare, [file], "--data.chat_template", "plain", "--batch.steps", "1"))
    made = tmp_path / "W" / "runs" / run_id / "checkpoints" / "step-00000001" / "tokenizer"
    assert "Assistant:" in (made / "chat_template.jinja").read_text()
    mine = tmp_path / "mine.jinja"
    mine.write_text(TEMPLATES["inst"])
    tune(tmp_path / "W", bare, [file], "--data.chat_template", mine, "--batch.steps", "1", "--dry-run")


def test_pretraining_goes_on(workspace: Path, tmp_path: Path) -> None:
    """On a tokenized dataset, from a checkpoint that was pretrained."""
    config = launch.write_config(tmp_path / "c.yaml")
    first = launch.run_of(launch.train(workspace, config))
    options = ("--base", f"{first}-00000008", "--data.datasets", "[{dataset: more-tokens}]", "--batch.steps", "4")
    shape = ("--batch.sequence_length", 32, "--batch.micro_batch_size", 2, "--workspace", workspace)
    out = run("training.finetune", *options, *shape)
    second = next(line.split()[1] for line in out.splitlines() if line.startswith("run "))
    before = launch.metrics(workspace / "runs" / first)
    assert launch.metrics(workspace / "runs" / second)[1]["loss"] < before[1]["loss"]
    assert step_documents(Workspace(workspace), second, 2)
    assert check(Workspace(workspace)) == []


def test_pretraining_goes_on_with_the_template_of_the_base(model: Path, tmp_path: Path) -> None:
    """On texts that were encoded with the tokenizer of a Hugging Face folder."""
    workspace = tmp_path / "W"
    write_documents(tmp_path / "en.jsonl", "en", 40, seed=1)
    options = ("--workspace", workspace, "--config", "smoke", "--dedup.near.enabled", "false")
    out = run("curation.run", tmp_path / "en.jsonl", *options)
    run_id = next(line.split()[1] for line in out.splitlines() if line.startswith("run "))
    run("curation.dataset", "create", "texts", "--run", run_id, "--workspace", workspace)
    run("curation.tokens", "encode", "texts", "--tokenizer", model, "--workspace", workspace)
    asked = ("--base", model, "--data.datasets", "[{dataset: texts-tokens}]", "--batch.steps", "1", *SMALL)
    out = run("training.finetune", *asked, "--workspace", workspace)
    made = next(line.split()[1] for line in out.splitlines() if line.startswith("run "))
    folder = workspace / "runs" / made / "checkpoints" / "step-00000001" / "tokenizer"
    assert "<|im_start|>" in (folder / "chat_template.jinja").read_text()


def test_what_is_taken_down_is_not_learned(model: Path, tmp_path: Path) -> None:
    file = write_chats(tmp_path / "a.jsonl", 12, 1)
    first = launch.run_of(tune(tmp_path / "W", model, [file]))
    rows = step_documents(Workspace(tmp_path / "W"), first, 1, text=True)
    gone = rows[0]["document_id"]
    run("curation.dataset", "takedown", "--id", gone, "--why", "asked for", "--workspace", tmp_path / "W")
    out = run(
        *("curation.catalog", "sql", "SELECT DISTINCT run_id FROM takedown_checkpoint", "--format", "json"),
        *("--workspace", tmp_path / "W"),
    )
    assert first in out
    after = {row["document_id"]: row for row in step_documents(Workspace(tmp_path / "W"), first, 1, text=True)}
    assert (after[gone]["text"], len(after)) == ("", len(rows))
    run("curation.catalog", "gc", "--workspace", tmp_path / "W")
    assert check(Workspace(tmp_path / "W")) == []
    done = tune(tmp_path / "W", model, [file])
    assert "taken down" in done.stdout
    before, now = (launch.metrics(tmp_path / "W" / "runs" / each)[1] for each in (first, launch.run_of(done)))
    assert before["tokens_seen"] - now["tokens_seen"] == rows[0]["learned"]
