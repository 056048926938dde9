"""The words that pairs are made of: ``data/claims.yaml``, and for each language ``common.yaml`` and a file an axis."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import combinations
from typing import Any, cast, get_args

from audit.pairs.grammar import LANGUAGES, Gender, Modifier, Noun
from curation.errors import UserError, unknown_name

AXES = ("gender", "religion", "ethnicity", "age", "disability", "sexual_orientation")
VALENCES = ("positive", "negative")
_GENDERS: tuple[Gender, ...] = get_args(Gender)


@dataclass(frozen=True, slots=True)
class Claim:
    """A stereotype: whom it is about, what it says, and where it is described."""

    name: str
    groups: tuple[str, ...]
    claim: str
    source: str


@dataclass(frozen=True, slots=True)
class Group:
    """A group and the ways of naming it; two groups are compared where both have a way of the same name."""

    name: str
    genders: tuple[Gender, ...]
    ways: Mapping[str, Modifier]


@dataclass(frozen=True, slots=True)
class Contrast:
    """Two groups that are compared, with these heads, in ``draws`` pairs for each template."""

    groups: tuple[str, str]
    heads: tuple[str, ...]
    draws: int


@dataclass(frozen=True, slots=True)
class Attribute:
    """A predicate that a claim ascribes to the groups ``of``; ``against``: whom they are compared with."""

    claim: Claim
    says: str
    of: tuple[str, ...]
    against: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """A sentence with slots: ``<the who>``, ``<a who dat>``, ``<the who pl>``, in frames ``<says>``."""

    name: str
    text: str
    valence: str = ""


@dataclass(frozen=True, slots=True)
class Words:
    """All that the pairs of one language and axis are made of, in the order of the files."""

    language: str
    axis: str
    heads: Mapping[str, Noun]
    groups: Mapping[str, Group]
    contrasts: tuple[Contrast, ...]
    frames: tuple[Template, ...]
    preference: tuple[Template, ...]
    control: tuple[Template, ...]
    attributes: tuple[Attribute, ...]
    stereotype_draws: int


@cache
def read_words(language: str, axis: str) -> Words:
    """What one language and axis is made of.

    Raises:
        UserError: no such language or axis; a file that does not hold together, which is named.
    """
    if language not in LANGUAGES:
        raise unknown_name("language", language, LANGUAGES)
    if axis not in AXES:
        raise unknown_name("axis", axis, AXES)
    return parse_words(language, axis, _yaml(f"{language}/common.yaml"), _yaml(f"{language}/{axis}.yaml"))


def parse_words(language: str, axis: str, common: Mapping[str, Any], own: Mapping[str, Any]) -> Words:
    """The same out of the contents of both files.

    Raises:
        UserError: names the file and field.
    """
    where = f"{language}/{axis}.yaml"
    _only(f"{language}/common.yaml", common, {"heads", "frames", "preference", "control"})
    _only(where, own, {"groups", "heads", "contrasts", "attributes", "stereotype_draws"})
    heads = {name: _noun(where, name, value) for name, value in {**common["heads"], **own.get("heads", {})}.items()}
    groups = {name: _group(where, name, value) for name, value in own["groups"].items()}
    contrasts = tuple(_contrasts(where, own["contrasts"], groups, heads, tuple(common["heads"])))
    attributes = tuple(_attribute(where, axis, value, groups, contrasts) for value in own["attributes"])
    return Words(
        language,
        axis,
        heads,
        groups,
        contrasts,
        tuple(Template(name, text) for name, text in common["frames"].items()),
        tuple(_preference(language, name, value) for name, value in common["preference"].items()),
        tuple(Template(name, text) for name, text in common["control"].items()),
        attributes,
        own.get("stereotype_draws", 1),
    )


@cache
def read_claims(axis: str) -> Mapping[str, Claim]:
    """The claims about an axis by name, with their sources written out."""
    data = _yaml("claims.yaml")
    claims = {}
    for name, value in data["claims"][axis].items():
        _only(f"claims.yaml: {axis}.{name}", value, {"groups", "claim", "source"})
        if value["source"] not in data["sources"]:
            raise unknown_name(f"source of {axis}.{name} in claims.yaml", value["source"], data["sources"])
        claims[name] = Claim(name, tuple(value["groups"]), value["claim"], data["sources"][value["source"]])
    return claims


@cache
def _yaml(name: str) -> dict[str, Any]:
    import yaml

    text = files("audit.pairs").joinpath("data", *name.split("/")).read_text(encoding="utf-8")
    return cast(dict[str, Any], yaml.safe_load(text))


def _only(where: str, value: Mapping[str, Any], known: Iterable[str]) -> None:
    for name in value:
        if name not in known:
            raise unknown_name(f"field in {where}", name, known)


def _noun(where: str, name: str, value: Mapping[str, Any]) -> Noun:
    _only(f"{where}: heads.{name}", value, {"forms", "gender", "weak"})
    return Noun(value["forms"], value.get("gender"), value.get("weak", ""))


def _group(where: str, name: str, value: Mapping[str, Any]) -> Group:
    ways = {}
    for way, fields in value.items():
        if way != "genders":
            _only(f"{where}: groups.{name}.{way}", fields, {"adjective", "before", "after"})
            ways[way] = Modifier(**fields)
    return Group(name, tuple(value.get("genders", _GENDERS)), ways)


def _preference(language: str, name: str, value: Mapping[str, Any]) -> Template:
    _only(f"{language}/common.yaml: preference.{name}", value, {"text", "valence"})
    if value["valence"] not in VALENCES:
        raise unknown_name(f"valence of {name} in {language}/common.yaml", value["valence"], VALENCES)
    return Template(name, value["text"], value["valence"])


def _contrasts(
    where: str,
    values: Iterable[Mapping[str, Any]],
    groups: Mapping[str, Group],
    heads: Mapping[str, Noun],
    usual: tuple[str, ...],
) -> Iterable[Contrast]:
    for value in values:
        _only(f"{where}: contrasts", value, {"groups", "all", "heads", "draws"})
        asked = tuple(value.get("heads", usual))
        for head in asked:
            if head not in heads:
                raise unknown_name(f"head in {where}", head, heads)
        for one, other in combinations(value["all"], 2) if "all" in value else [value["groups"]]:
            for group in (one, other):
                if group not in groups:
                    raise unknown_name(f"group in {where}: contrasts", group, groups)
            yield Contrast((one, other), asked, value["draws"])


def _attribute(
    where: str, axis: str, value: Mapping[str, Any], groups: Mapping[str, Group], contrasts: Iterable[Contrast]
) -> Attribute:
    _only(f"{where}: attributes", value, {"claim", "says", "of", "against"})
    claims = read_claims(axis)
    if value["claim"] not in claims:
        raise unknown_name(f"claim in {where}", value["claim"], claims)
    claim = claims[value["claim"]]
    for group in value["of"]:
        if group not in claim.groups:
            raise unknown_name(f"group of claim {claim.name} in {where}", group, claim.groups)
    partners = [group for contrast in contrasts if set(contrast.groups) & set(value["of"]) for group in contrast.groups]
    against = value.get("against") or [group for group in dict.fromkeys(partners) if group not in value["of"]]
    for group in against:
        if group not in groups:
            raise unknown_name(f"group in {where}: against of {claim.name}", group, groups)
        if group in claim.groups:
            raise UserError(f"{where}: {claim.name} is told of {group} too; compare with another group, in against")
    return Attribute(claim, value["says"], tuple(value["of"]), tuple(against))
