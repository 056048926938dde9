"""Configurations on the command line: a dataclass of dataclasses, YAML presets of a package, dotted options.

What ``curation.config`` and ``training.options`` share. jsonargparse does the parsing.
"""

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_type_hints

from curation.errors import UserError, unknown_name

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

Config = TypeVar("Config")


def new_parser(prog: str, usage: str, description: str, epilog: str) -> "ArgumentParser":
    """A parser that raises its errors, and shows its examples as they stand."""
    from jsonargparse import (
        ArgumentParser,
        DefaultHelpFormatter,
        set_parsing_settings,
    )

    set_parsing_settings(docstring_parse_attribute_docstrings=True)  # the docstring under a field is its help

    class Formatter(DefaultHelpFormatter):
        """Keeps the line breaks of the examples."""

        def _fill_text(self, text: str, width: int, indent: str) -> str:
            return "".join(indent + line for line in text.splitlines(keepends=True))

    return ArgumentParser(
        prog=prog,
        usage=usage,
        description=description,
        epilog=epilog,
        formatter_class=Formatter,
        exit_on_error=False,
        allow_abbrev=False,
    )


def instantiate(parser: "ArgumentParser", options: Any, config: type[Config]) -> Config:
    """The configuration, of type ``config``, out of parsed options.

    Raises:
        UserError: a value left empty in YAML, which is null and which few fields can be (and options of filters).
    """
    names = [each.name for each in dataclasses.fields(config)]  # type: ignore[arg-type]
    plain = options.as_dict()
    nullable = _nullable(config)
    for name, value in _leaves({name: plain[name] for name in names}):
        if value is None and name not in nullable:
            raise UserError(f"{name}: has no value; give one, or leave the line out")
    values = parser.instantiate(options)
    return config(**{name: values[name] for name in names})


def _leaves(plain: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in plain.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        elif not (prefix.startswith("filters.") and value is None):
            yield f"{prefix}{key}", value


def _nullable(section: type, prefix: str = "") -> set[str]:
    """Dotted names of the fields that can be null."""
    found = set()
    for name, hint in get_type_hints(section).items():
        if dataclasses.is_dataclass(hint):
            found |= _nullable(hint, f"{prefix}{name}.")  # type: ignore[arg-type]
        elif NoneType in get_args(hint):
            found.add(f"{prefix}{name}")
    return found


def to_dict(config: Any) -> dict[str, Any]:
    """A configuration as plain JSON values."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))
    return plain


def from_dict(plain: Mapping[str, Any], config: type[Config]) -> Config:
    """The inverse of ``to_dict``, with every value checked.

    Raises:
        UserError: an unknown field or a wrong value.
    """
    from jsonargparse import ArgumentError, ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(config, None)
    try:
        return instantiate(parser, parser.parse_object(dict(plain)), config)
    except (ArgumentError, TypeError, ValueError) as error:
        raise UserError(f"configuration: {message(error, config)}") from error


_KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "tuple": "a list", "str": "text"}


def message(error: Exception, config: type) -> str:
    """What jsonargparse says of a wrong option, in one line that names the field and what it may be."""
    text = str(error)
    if found := re.match(r"Group '([\w.]*)' does not accept option '([\w.]+)'", text):
        return _unknown_field(config, *found.groups())
    if found := re.match(r"Option '([\w.]+)' is not accepted", text):
        return _unknown_field(config, "", found[1])
    if found := re.match(r"unrecognized arguments: (\S+)", text):
        return f"{found[1]}: there is no such option; --help lists those that there are"
    if " must be a mapping, not " in text:
        return "a section of the configuration has a single value; give its fields, indented below its name"
    text = re.sub(r"Parser key \"([^\"]+)\":", r"\1:", text)
    text = re.sub(r"Problem with given class_path '[\w.]*\.(\w+)':", r"\1:", text)
    text = re.sub(
        r"Expected a dot import path string: (.*)", r"expected an entry such as {name: value}, not '\1'", text
    )
    text = re.sub(r"Option '(\w+)' is not accepted", r"there is no field '\1'", text)
    text = re.sub(r"Expected a <class '(\w+)'>\. Got value: (.*)", _expected, text)
    text = re.sub(r"Does not validate against any of the Union .*?Given value: (.*)", _none_of, text, flags=re.DOTALL)
    return re.sub(r"\s*\n[\s-]*", " ", text).strip()


def _expected(found: re.Match[str]) -> str:
    return f"expected {_KINDS.get(found[1], found[1])}, not {found[2]!r}"


def _none_of(found: re.Match[str]) -> str:
    kinds = dict.fromkeys(re.findall(r"Expected a <class '(\w+)'>", found[0]))
    named = [_KINDS.get(kind, "null" if kind == "NoneType" else kind) for kind in kinds]
    return f"expected {' or '.join(named)}, not {found[1]!r}"


def _unknown_field(config: type, group: str, field: str) -> str:
    section: Any = config
    path = [*filter(None, group.split(".")), *field.split(".")]
    known = 0  # names of the path that there are
    while known < len(path) - 1 and path[known] in get_type_hints(section):
        section = get_type_hints(section)[path[known]]
        known += 1
    valid = sorted(get_type_hints(section))
    return f"{'.'.join(path)}: there is no such field; valid: {', '.join(valid)}"


def presets(package: str) -> dict[str, Path]:
    """Name -> file of the presets that ship with a package, in its folder ``configs``."""
    folder = Path(str(files(package) / "configs"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_config(name: str, package: str, option: str = "--config") -> Path:
    """The file of ``--config``, or of ``option``: a path, or the name of a preset, with or without ``.yaml`` and
    ``configs/`` or ``PACKAGE/configs/``.

    Raises:
        UserError: neither; the presets are listed.
    """
    path, known = Path(name), presets(package)
    if path.is_file():
        return path
    preset = known.get(name.removeprefix(f"{package}/").removeprefix("configs/").removesuffix(".yaml"))
    if preset is None:
        if path.suffix or "/" in name:
            raise UserError(f"{option} {name}: no such file; presets: {', '.join(known)}")
        raise unknown_name(f"preset for {option}", name, known)
    return preset


def with_preset(arguments: Sequence[str], package: str, default: str) -> tuple[list[str], bool]:
    """The command line with ``--config`` in front, so that options go beyond it wherever they stand, and its value made
    a path; and whether there was one. Where there was none it is ``default``.

    Raises:
        UserError: no such file or preset.
    """
    files: list[str] = []
    others: list[str] = []
    left = iter(arguments)
    for argument in left:
        name, equals, value = argument.partition("=")
        if name != "--config":
            others.append(argument)
            continue
        value = value if equals else next(left, "")
        if not value:
            raise UserError("--config: has no value; give a YAML file or the name of a preset")
        files += ["--config", str(find_config(value, package))]
    return [*(files or ["--config", str(find_config(default, package))]), *others], bool(files)
