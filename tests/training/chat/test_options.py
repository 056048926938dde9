"""The command line of fine-tuning and its configuration."""

import ast
import dataclasses
import inspect
import re

import pytest
import yaml

from curation.errors import UserError
from curation.options import presets, to_dict
from training.chat import config as configs
from training.chat.config import FinetuneConfig
from training.chat.options import build_parser, from_dict, parse

FILES = ("--data.files", "[a.jsonl]")


def test_the_default_preset_states_every_default() -> None:
    plain = yaml.safe_load(presets("training")["finetune"].read_text())
    assert plain == to_dict(FinetuneConfig())


def test_presets_and_options_go_together() -> None:
    assert parse(FILES).config == dataclasses.replace(
        FinetuneConfig(), data=dataclasses.replace(FinetuneConfig().data, files=("a.jsonl",))
    )
    demo = parse(["--config", "demo-finetune", *FILES, "--batch.epochs", "9"]).config
    assert (demo.data.chat_template, demo.batch.epochs, demo.parallelism.data) == ("plain", 9, 2)


def test_a_configuration_survives_its_record() -> None:
    asked = parse([*FILES, "--batch.steps", "3", "--model.hidden_size", "64", "--optimizer.clip_grad", "null"]).config
    assert asked.model == {"hidden_size": 64}
    assert from_dict(to_dict(asked)) == asked


def test_every_field_is_documented_and_in_the_help() -> None:
    shown = build_parser().format_help()
    own = [each for each in vars(configs).values() if isinstance(each, type) and each.__module__ == configs.__name__]
    assert len(own) == 3
    for cls in own:
        body = ast.parse(inspect.getsource(cls)).body[0]
        assert isinstance(body, ast.ClassDef)
        for statement, following in zip(body.body, [*body.body[1:], None], strict=True):
            if isinstance(statement, ast.AnnAssign):
                name = ast.unparse(statement.target)
                assert isinstance(following, ast.Expr), f"{cls.__name__}.{name} has no docstring"
                assert re.search(rf"\b{name}\b", shown), name


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), r"data\.files, data\.datasets: neither"),
        ((*FILES, "--data.datasets", "[{dataset: a}]"), r"both are given"),
        (("--data.datasets", "[{dataset: a}]", "--data.validation_files", "[b.jsonl]"), r"data\.validation_files"),
        (("--data.datasets", "[{dataset: a}]", "--data.turns", "last"), r"data\.turns: is for chats"),
        (("--data.files", "[a.jsonl, a.jsonl]"), "there twice"),
        ((*FILES, "--base", ""), "base: is empty"),
        ((*FILES, "--resume", ""), "--resume: is empty"),
        ((*FILES, "--batch.epochs", "0"), r"batch\.epochs: 0 is below 1"),
        ((*FILES, "--batch.epochs", "many"), r"batch\.epochs: expected a whole number or null"),
        ((*FILES, "--data.packing", "maybe"), r"data\.packing: expected true or false"),
        ((*FILES, "--optimizer.warmup_steps", "9", "--batch.steps", "5"), r"optimizer\.warmup_steps"),
        ((*FILES, "--data.nothing", "1"), "there is no such"),
    ],
)
def test_wrong_options_are_named(arguments: tuple[str, ...], says: str) -> None:
    with pytest.raises(UserError, match=says):
        parse(arguments)
