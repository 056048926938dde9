"""Configurations: presets are complete and documented, wrong words are named, identity is what decides."""

import dataclasses
from typing import Any

import pytest
import yaml

from curation import config
from curation.config import CurationConfig, config_hash, differences, from_dict, to_dict
from curation.errors import UserError
from curation.filters import build_filters
from curation.options import find_config, presets


def leaves(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict) or prefix == "read.storage_options":
        return {prefix: value}
    found: dict[str, Any] = {}
    for key, inner in value.items():
        found |= leaves(inner, f"{prefix}.{key}" if prefix else key)
    return found


def test_the_web_preset_states_every_default() -> None:
    stated = leaves(yaml.safe_load(presets("curation")["web"].read_text()))
    defaults = to_dict(CurationConfig())
    defaults["filters"] = {each.name: dataclasses.asdict(each) for each in build_filters(defaults["filters"])}
    assert stated == leaves(defaults)


@pytest.mark.parametrize("name", sorted(presets("curation")))
def test_presets_are_valid(name: str) -> None:
    plain = yaml.safe_load(presets("curation")[name].read_text())
    assert to_dict(from_dict(plain))["seed"] == 0
    assert presets("curation")[name].read_text().startswith(f"# {name}: ")


def test_every_field_is_documented() -> None:
    import ast
    import inspect

    def check(cls: Any) -> None:
        tree = ast.parse(inspect.getsource(cls)).body[0]
        assert isinstance(tree, ast.ClassDef)
        for statement, following in zip(tree.body, [*tree.body[1:], None], strict=True):
            if isinstance(statement, ast.AnnAssign) and "ClassVar" not in ast.unparse(statement.annotation):
                documented = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
                assert documented, f"{cls.__name__}.{ast.unparse(statement.target)} has no docstring"

    check(CurationConfig)
    for field in dataclasses.fields(CurationConfig()):
        value = getattr(CurationConfig(), field.name)
        if dataclasses.is_dataclass(value):
            check(type(value))
    for each in build_filters(dict.fromkeys(__import__("curation.filters", fromlist=["registry"]).registry())):
        check(type(each))


def test_round_trip() -> None:
    plain = to_dict(CurationConfig())
    assert to_dict(from_dict(plain)) == plain


@pytest.mark.parametrize(
    "plain", [{"sead": 1}, {"language": {"treshold": 1}}, {"seed": "x"}, {"shards": {"max_text_bytes": None}}]
)
def test_wrong_words_and_values_are_named(plain: dict[str, Any]) -> None:
    key = next(iter(plain))
    with pytest.raises(UserError, match=key):
        from_dict(plain)


def test_workers_are_no_part_of_what_a_run_is() -> None:
    one, other = to_dict(CurationConfig()), to_dict(CurationConfig())
    other["execution"]["workers"] = 7
    assert config_hash(one) == config_hash(other)
    other["seed"] = 1
    assert config_hash(one) != config_hash(other)
    assert differences(config.identity(one), config.identity(other)) == ["seed: 0 -> 1"]


def test_the_order_of_filters_is_part_of_what_a_run_is() -> None:
    one = to_dict(CurationConfig(filters={"length": {}, "c4": {}}))
    other = to_dict(CurationConfig(filters={"c4": {}, "length": {}}))
    assert config_hash(one) != config_hash(other)
    (line,) = differences(config.identity(one), config.identity(other))
    assert line == 'filter_order: ["length", "c4"] -> ["c4", "length"]'


def test_null_turns_a_rule_of_a_filter_off() -> None:
    plain = {"filters": {"c4": {"min_sentences": None}}}
    (off,) = build_filters(to_dict(from_dict(plain))["filters"])
    assert off.reason({"lorem_ipsum": 0, "curly_brackets": 0, "sentences": 0}) is None


def test_presets_by_name_with_and_without_suffix(tmp_path: Any) -> None:
    assert find_config("web", "curation") == find_config("web.yaml", "curation") == presets("curation")["web"]
    (tmp_path / "mine.yaml").write_text("seed: 1\n")
    assert find_config(str(tmp_path / "mine.yaml"), "curation") == tmp_path / "mine.yaml"
    with pytest.raises(UserError, match="smoke, web"):
        find_config(str(tmp_path / "none.yaml"), "curation")
