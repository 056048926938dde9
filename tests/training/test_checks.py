"""Wrong configurations, through the real command line: one clear error each, which names the field."""

import ast
import dataclasses
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from curation.errors import UserError
from curation.options import presets, to_dict
from training import config as configs
from training.checks import check
from training.config import PretrainConfig
from training.options import Request, build_parser, from_dict, parse

DATA = ("--data.datasets", "[{dataset: news}]")


def parsed(*options: str) -> Request:
    return parse([*DATA, *options])


def one_clear_line(error: pytest.ExceptionInfo[UserError], named: str) -> None:
    text = str(error.value)
    assert text.startswith(named), text
    assert len(text.splitlines()) == 1, text
    assert len(text) < 300, text
    assert "<class" not in text, text
    assert "Traceback" not in text


# options -> what the message starts with, and a word of what it says to do
WRONG: dict[str, tuple[str, str]] = {
    # sizes of the model
    "--model.hidden_size 250": ("model.num_attention_heads", "use 5 heads"),
    "--model.hidden_size 12 --model.num_attention_heads 4": ("model.num_attention_heads", "even"),
    "--model.num_key_value_heads 3": ("model.num_key_value_heads", "does not divide"),
    "--model.num_key_value_heads 8": ("model.num_key_value_heads", "use 4"),
    "--model.hidden_size 0": ("model.hidden_size", "below 1"),
    "--model.num_hidden_layers -1": ("model.num_hidden_layers", "below 1"),
    "--model.num_attention_heads 0": ("model.num_attention_heads", "below 1"),
    "--model.intermediate_size 0": ("model.intermediate_size", "below 1"),
    "--model.vocab_multiple 0": ("model.vocab_multiple", "below 1"),
    "--model.rope_theta 1": ("model.rope_theta", "above 1"),
    "--model.rms_norm_eps 0": ("model.rms_norm_eps", "above 0"),
    "--model.init_std -0.1": ("model.init_std", "above 0"),
    "--model.init_std .inf": ("model.init_std", "finite"),
    "--model.tie_word_embeddings 7": ("model.tie_word_embeddings", "true or false"),
    # parallelism
    "--parallelism.tensor 3": ("parallelism.tensor", "num_attention_heads"),
    "--parallelism.tensor 4 --model.num_key_value_heads 2": ("parallelism.tensor", "num_key_value_heads"),
    "--parallelism.tensor 4 --model.intermediate_size 702": ("parallelism.tensor", "intermediate_size"),
    "--parallelism.tensor 2 --parallelism.tensor_mode reduce_scatter --batch.sequence_length 255": (
        "parallelism.tensor",
        "batch.sequence_length",
    ),
    "--parallelism.pipeline 5": ("parallelism.pipeline", "num_hidden_layers is 4"),
    "--parallelism.pipeline 4 --batch.global_batch_size 8": ("parallelism.engine", "afab"),
    "--parallelism.data 0": ("parallelism.data", "below 1"),
    "--parallelism.data 3": ("batch.global_batch_size", "use 36"),
    "--parallelism.zero_stage 2": ("parallelism.zero_stage", "valid: 0, 1"),
    "--parallelism.zero_stage -1": ("parallelism.zero_stage", "below 0"),
    "--parallelism.engine gpipe": ("unknown parallelism.engine", "1f1b, afab"),
    "--parallelism.tensor_mode column": ("unknown parallelism.tensor_mode", "all_reduce, reduce_scatter"),
    # batches
    "--batch.micro_batch_size 64": ("batch.micro_batch_size", "lower it"),
    "--batch.micro_batch_size 0": ("batch.micro_batch_size", "below 1"),
    "--batch.global_batch_size 30": ("batch.global_batch_size", "use 32"),
    "--batch.sequence_length 0": ("batch.sequence_length", "below 1"),
    "--batch.steps -1": ("batch.steps", "below 0"),
    "--batch.steps 3000000000": ("batch.steps", "smaller"),
    "--batch.steps 1.5": ("batch.steps", "whole number"),
    "--batch.steps many": ("batch.steps", "whole number"),
    "--batch.steps true": ("batch.steps", "whole number"),
    # learning rate
    "--optimizer.learning_rate 0": ("optimizer.learning_rate", "above 0"),
    "--optimizer.learning_rate .nan": ("optimizer.learning_rate", "finite"),
    "--optimizer.learning_rate nan": ("optimizer.learning_rate", "expected a number"),
    "--optimizer.learning_rate .inf": ("optimizer.learning_rate", "finite"),
    "--optimizer.learning_rate 1e-5": ("optimizer.min_learning_rate", "lower it"),
    "--optimizer.min_learning_rate -1": ("optimizer.min_learning_rate", "at least 0"),
    "--optimizer.warmup_steps 201": ("optimizer.warmup_steps", "batch.steps 200"),
    "--optimizer.warmup_steps -1": ("optimizer.warmup_steps", "below 0"),
    "--optimizer.schedule linear": ("unknown optimizer.schedule", "cosine, exponential, wsd"),
    "--optimizer.decay_steps 10": ("optimizer.decay_steps", "leave it out"),
    "--optimizer.schedule wsd --optimizer.decay_steps 190": ("optimizer.decay_steps", "lower one"),
    "--optimizer.schedule wsd --optimizer.warmup_steps 180": ("optimizer.decay_steps", "lower one"),
    "--optimizer.schedule wsd --optimizer.decay_steps 0": ("optimizer.decay_steps", "below 1"),
    "--optimizer.weight_decay -0.1": ("optimizer.weight_decay", "at least 0"),
    "--optimizer.beta1 1": ("optimizer.beta1", "below 1"),
    "--optimizer.beta2 -0.5": ("optimizer.beta2", "at least 0"),
    "--optimizer.eps 0": ("optimizer.eps", "above 0"),
    "--optimizer.clip_grad 0": ("optimizer.clip_grad", "above 0"),
    "--optimizer.clip_grad .inf": ("optimizer.clip_grad", "finite"),
    "--optimizer.clip_grad high": ("optimizer.clip_grad", "a number or null"),
    # the rest
    "--validation.every -1": ("validation.every", "below 0"),
    "--validation.sequences 0": ("validation.sequences", "below 1"),
    "--checkpoints.every -1": ("checkpoints.every", "below 0"),
    "--checkpoints.keep_last 0": ("checkpoints.keep_last", "below 1"),
    "--checkpoints.keep_every 150": ("checkpoints.keep_every", "leave it out"),
    "--checkpoints.every 0 --checkpoints.keep_every 100": ("checkpoints.keep_every", "leave it out"),
    "--guard.spike_factor 1": ("guard.spike_factor", "above 1"),
    "--guard.spike_window 1": ("guard.spike_window", "below 2"),
    "--precision float16": ("unknown precision", "bfloat16, float32"),
    "--precision bf16": ("unknown precision", "bfloat16, float32"),
    "--seed -1": ("seed", "below 0"),
    "--modle.hidden_size 8": ("--modle.hidden_size", "--help"),
    "--model.hidden 8": ("--model.hidden", "--help"),
    "--config sweep": ("search", "valid: batch, checkpoints"),  # a preset of another command
    "--config nowhere": ("unknown preset for --config", "pretrain"),
    "--config nowhere/x.yaml": ("--config nowhere/x.yaml", "pretrain"),
    "--config": ("--config", "preset"),
    "--resume=": ("--resume", "auto"),
    "--initialise-from . --resume RUN": ("--initialise-from", "leave one"),
}


@pytest.mark.parametrize("options", WRONG)
def test_wrong_options_are_one_clear_error(options: str) -> None:
    named, remedy = WRONG[options]
    with pytest.raises(UserError) as error:
        parsed(*options.split())
    one_clear_line(error, named)
    assert remedy in str(error.value)


@pytest.mark.parametrize(
    ("datasets", "says"),
    [
        ("[]", "is empty"),
        ("null", "expected a list"),
        ("news", "expected a list"),
        ("[news]", "{name: value}"),
        ("[{dataset: ''}]", "empty name"),
        ("[{weight: 1}]", "required: dataset"),
        ("[{dataset: a, weight: 0}]", "above 0"),
        ("[{dataset: a, weight: -1}]", "above 0"),
        ("[{dataset: a, weight: .nan}]", "finite"),
        ("[{dataset: a, weight: .inf}]", "finite"),
        ("[{dataset: a, weight: much}]", "expected a number"),
        ("[{dataset: a}, {dataset: b}, {dataset: a}]", "2 times"),
        ("[{dataset: a, wieght: 1}]", "no field 'wieght'"),
    ],
)
def test_wrong_mixtures_are_one_clear_error(datasets: str, says: str) -> None:
    with pytest.raises(UserError) as error:
        parse(["--data.datasets", datasets])
    one_clear_line(error, "data.datasets")
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("plain", "named"),
    [
        ({"modle": {"hidden_size": 8}}, "modle.hidden_size"),
        ({"sead": 1}, "sead: there is no such field; valid: batch"),
        ({"optimizer": {"learning_rat": 1}}, "optimizer.learning_rat: there is no such field; valid: beta1"),
        ({"optimizer": {"learning_rate": None}}, "optimizer.learning_rate"),
        ({"batch": 3}, "a section"),
        ({"batch": {"steps": [1]}}, "batch.steps"),
        ({"data": {"datasets": [{"dataset": "a", "wait": 1}]}}, "data.datasets"),
    ],
)
def test_wrong_files_are_one_clear_error(tmp_path: Path, plain: dict[str, Any], named: str) -> None:
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(plain))
    with pytest.raises(UserError) as error:
        parsed("--config", str(tmp_path / "c.yaml"))
    one_clear_line(error, named)


@pytest.mark.parametrize("text", ["a: [", "- 1", "\x00"])
def test_files_that_are_no_configuration_are_one_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(UserError):
        parsed("--config", str(tmp_path / "c.yaml"))


@pytest.mark.parametrize(
    ("options", "world", "says"),
    [
        ("", 2, "--nproc-per-node 1"),
        ("--parallelism.data 2 --parallelism.pipeline 2", 1, "--nproc-per-node 4"),
        ("--parallelism.tensor 2", 8, "--nproc-per-node 2"),
    ],
)
def test_the_wrong_number_of_processes_names_the_command_that_fits(options: str, world: int, says: str) -> None:
    with pytest.raises(UserError) as error:
        check(parsed(*options.split()).config, world, 1000)
    one_clear_line(error, "parallelism")
    assert says in str(error.value)


def test_a_vocabulary_that_tensor_parallelism_does_not_divide_names_the_multiple() -> None:
    options = (
        "--model.num_attention_heads 12 --model.hidden_size 384 --parallelism.tensor 3 --model.intermediate_size 96"
    )
    request = parsed(*options.split())
    with pytest.raises(UserError) as error:
        check(request.config, 3, 1000)
    one_clear_line(error, "model.vocab_multiple")
    assert "use 192" in str(error.value)
    check(parsed(*options.split(), "--model.vocab_multiple", "192").config, 3, 1000)


def test_a_vocabulary_of_one_token_is_refused() -> None:
    with pytest.raises(UserError, match="nothing to predict"):
        check(parsed().config, 1, 1)


def test_right_ones_pass() -> None:
    for options, world in {
        "": 1,
        "--parallelism.data 2 --parallelism.tensor 2 --parallelism.pipeline 2": 8,
        "--parallelism.pipeline 4 --batch.global_batch_size 8 --parallelism.engine afab": 4,
        "--optimizer.schedule wsd --optimizer.decay_steps 180": 1,
        "--optimizer.clip_grad null --guard.spike_factor null --checkpoints.keep_every 200": 1,
        "--optimizer.min_learning_rate 0 --optimizer.warmup_steps 0 --precision bfloat16": 1,
    }.items():
        check(parsed(*options.split()).config, world, 1000)


@pytest.mark.parametrize("written", ["1e-3", "'1e-3'", "1E-3", "1.0e-3", "0.001"])
def test_numbers_with_exponents_are_numbers(tmp_path: Path, written: str) -> None:
    """PyYAML takes 1e-3 for a text."""
    (tmp_path / "c.yaml").write_text(f"optimizer: {{learning_rate: {written}}}\n")
    found = parsed("--config", str(tmp_path / "c.yaml")).config.optimizer.learning_rate
    assert (found, type(found)) == (1e-3, float)


def test_options_go_beyond_the_file_wherever_they_stand(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("batch: {steps: 30}\ndata: {datasets: [{dataset: a, weight: 2}]}\n")
    for argv in (
        ["--batch.steps", "40", "--config", str(tmp_path / "c.yaml")],
        [f"--config={tmp_path / 'c.yaml'}", "--batch.steps=40"],
    ):
        request = parse(argv)
        assert request.config.batch.steps == 40
        assert [(each.dataset, each.weight) for each in request.config.data.datasets] == [("a", 2.0)]


@pytest.mark.parametrize("name", ["pretrain", "pretrain.yaml", "training/configs/pretrain.yaml"])
def test_presets_by_name_and_by_path(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert parsed("--config", name).config == parsed().config
    monkeypatch.chdir(tmp_path)
    assert parsed("--config", name).config == parsed().config


def test_the_default_preset_states_every_default() -> None:
    plain = yaml.safe_load(presets("training")["pretrain"].read_text())
    assert plain == to_dict(PretrainConfig())
    assert presets("training")["pretrain"].read_text().startswith("# pretrain: ")


def test_a_configuration_survives_its_record() -> None:
    request = parsed("--optimizer.clip_grad", "null", "--model.intermediate_size", "128")
    assert from_dict(to_dict(request.config)) == request.config
    assert dataclasses.asdict(from_dict({})) == dataclasses.asdict(PretrainConfig())


def test_every_field_is_documented_and_in_the_help() -> None:
    shown = build_parser().format_help()
    for cls in [each for each in vars(configs).values() if isinstance(each, type) and dataclasses.is_dataclass(each)]:
        body = ast.parse(inspect.getsource(cls)).body[0]
        assert isinstance(body, ast.ClassDef)
        for statement, following in zip(body.body, [*body.body[1:], None], strict=True):
            if isinstance(statement, ast.AnnAssign):
                name = ast.unparse(statement.target)
                documented = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
                assert documented, f"{cls.__name__}.{name} has no docstring"
                assert cls.__name__ == "MixtureEntry" or re.search(rf"\b{name}\b", shown), name


def test_defaults_of_the_command() -> None:
    request = parsed()
    assert (request.resume, request.initialise_from, request.dry_run, request.workspace) == (
        "auto",
        None,
        False,
        "workspace",
    )
