"""What is searched: parameters, how they are drawn evenly, and the configuration of a trial made from their values.

Pure: neither optuna nor torch.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args, get_type_hints

from curation.errors import UserError, unknown_name
from curation.options import to_dict
from training.checks import check
from training.config import PretrainConfig
from training.options import from_dict
from training.sweep.sizes import with_depth, with_width

SPECIAL = ("depth", "epochs", "mixture", "warmup", "width")
_COMPARED = ("validation", "checkpoints", "parallelism")
"""Sections whose values trials share: they change what is compared, or nothing that is."""
_MOST_COUNTED = 10_000
_MOST_TRIED = 64
"""Configurations that are looked at before the first trial."""

Values = Mapping[str, Any]
"""Name of a parameter -> its value."""


@dataclass(frozen=True)
class Parameter:
    """One number, or one choice, that is searched."""

    name: str
    """Its field, or a special name; of a mixture ``mixture.DATASET``."""
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    """Whether its logarithm is spread evenly."""
    step: float | None = None
    """Values are ``low`` and multiples of this above it; null: any."""
    whole: bool = False
    """Whether it is a whole number."""
    choices: tuple[Any, ...] = ()
    """Values, where there is no range."""

    def at(self, place: float) -> Any:
        """The value at a place in [0, 1), even over the range."""
        if self.choices:
            return self.choices[int(place * len(self.choices))]
        if self.log:
            value = math.exp(math.log(self.low) + place * (math.log(self.high) - math.log(self.low)))
            return min(int(self.high), round(value)) if self.whole else min(self.high, max(self.low, value))
        if self.step is not None:
            value = self.low + int(place * (self.count or 1)) * self.step
            return int(value) if self.whole else value
        return self.low + place * (self.high - self.low)

    @property
    def count(self) -> int | None:
        """How many values there are; None: too many to count, or not alike."""
        if self.choices:
            return len(self.choices)
        if self.step is None or self.log:
            return None
        return int((self.high - self.low) / self.step + 1e-9) + 1

    def describe(self) -> str:
        """The range, for people."""
        if self.choices:
            return ", ".join(map(str, self.choices))
        step = f" in steps of {self.step:g}" if self.step and not (self.whole and self.step == 1) else ""
        return f"{self.low:g} to {self.high:g}{' (log)' if self.log else ''}{step}"


@dataclass(frozen=True)
class Space:
    """All parameters, and the configuration that trials begin with."""

    base: PretrainConfig
    """With the datasets of the mixture."""
    parameters: tuple[Parameter, ...]
    least_share: float = 0.0
    """Of each dataset of a searched mixture."""

    def with_datasets(self, names: Sequence[str]) -> "Space":
        """The same with other names for the datasets of ``base``, in their order."""
        entries = self.base.data.datasets
        renamed = {f"mixture.{entry.dataset}": f"mixture.{name}" for entry, name in zip(entries, names, strict=True)}
        made = tuple(dataclasses.replace(entry, dataset=name) for entry, name in zip(entries, names, strict=True))
        base = dataclasses.replace(self.base, data=dataclasses.replace(self.base.data, datasets=made))
        parameters = [dataclasses.replace(each, name=renamed.get(each.name, each.name)) for each in self.parameters]
        return dataclasses.replace(self, base=base, parameters=tuple(parameters))

    @property
    def names(self) -> set[str]:
        """What is searched, as written: ``mixture`` for all of its parameters."""
        return {"mixture" if each.name.startswith("mixture.") else each.name for each in self.parameters}

    @property
    def size(self) -> int | None:
        """How many different trials there can be; None: too many to count them."""
        counts = [each.count for each in self.parameters]
        if any(count is None for count in counts):
            return None
        size = math.prod(count for count in counts if count is not None)
        return size if size <= _MOST_COUNTED else None

    def grid(self) -> Iterator[dict[str, Any]]:
        """All of them, where there is a ``size``."""
        places = [[each.at((n + 0.5) / (each.count or 1)) for n in range(each.count or 1)] for each in self.parameters]
        for values in itertools.product(*places):
            yield {each.name: value for each, value in zip(self.parameters, values, strict=True)}

    def even(self, seed: int, count: int) -> list[dict[str, Any]]:
        """The first ``count`` points of a scrambled Sobol sequence: they fill the space more evenly than random ones
        (Bousquet et al. 2017, https://arxiv.org/abs/1706.03200)."""
        from scipy.stats import qmc

        sequence = qmc.Sobol(len(self.parameters), scramble=True, rng=seed)
        places_NP = sequence.random_base2(max(0, count - 1).bit_length())[:count]
        return [
            {each.name: each.at(float(place)) for each, place in zip(self.parameters, places_P, strict=True)}
            for places_P in places_NP
        ]

    def shares(self, values: Values) -> list[float]:
        """The mixture: weights that sum to 1.

        Even over all mixtures where the parameters are even over [0, 1]: the i-th of k datasets takes the share
        1 - (1 - u)^(1 / (k - i)) of what is left, a quantile of Beta(1, k - i) (Devroye 1986, Non-Uniform Random
        Variate Generation, XI.4, http://luc.devroye.org/rnbookindex.html).
        """
        entries, left, found = self.base.data.datasets, 1.0, []
        for place, entry in enumerate(entries[:-1], start=1):
            broken = left * (1 - (1 - values[f"mixture.{entry.dataset}"]) ** (1 / (len(entries) - place)))
            found.append(broken)
            left -= broken
        free = 1 - self.least_share * len(entries)
        return [self.least_share + free * share for share in (*found, left)]

    def configure(self, values: Values, sequences: Callable[[PretrainConfig], int]) -> PretrainConfig:
        """The configuration of a trial.

        What depends on a searched value and is not searched itself keeps its ratio to it: ``min_learning_rate`` to
        ``learning_rate``, ``warmup_steps`` and ``decay_steps`` to ``steps``; ``micro_batch_size`` becomes the largest
        that divides the batch and is not above ``base``'s.

        Args:
            sequences: how many sequences a configuration's datasets have, for ``epochs``.

        Raises:
            UserError: these values do not go together.
        """
        plain = to_dict(self.base)
        for name, value in values.items():
            if name not in SPECIAL and not name.startswith("mixture."):
                _put(plain, name, value)
        if "mixture" in self.names:
            for entry, share in zip(plain["data"]["datasets"], self.shares(values), strict=True):
                entry["weight"] = round(share, 6)
        if "width" in values:
            with_width(plain["model"], self.base.model, values["width"])
        if "depth" in values:
            with_depth(plain["model"], values["depth"])
        batch, optimizer = plain["batch"], plain["optimizer"]
        if "optimizer.learning_rate" in values and "optimizer.min_learning_rate" not in values:
            ratio = self.base.optimizer.min_learning_rate / self.base.optimizer.learning_rate
            optimizer["min_learning_rate"] = ratio * optimizer["learning_rate"]
        if "batch.global_batch_size" in values and "batch.micro_batch_size" not in values:
            batch["micro_batch_size"] = _micro(batch, self.base)
        if "epochs" in values:
            total = values["epochs"] * sequences(from_dict(plain))
            batch["steps"] = max(1, round(total / batch["global_batch_size"]))
        if batch["steps"] != self.base.batch.steps and self.base.batch.steps:
            ratio = batch["steps"] / self.base.batch.steps
            for name in ("warmup_steps", "decay_steps"):
                if f"optimizer.{name}" not in values and optimizer[name] is not None:
                    optimizer[name] = int(optimizer[name] * ratio)
        if "warmup" in values:
            optimizer["warmup_steps"] = round(values["warmup"] * batch["steps"])
        return from_dict(plain)

    def check(self, seed: int, sequences: Callable[[PretrainConfig], int], vocab_size: int) -> None:
        """Refuse a space of which no point can be trained.

        Raises:
            UserError: why the first point cannot be.
        """
        first: UserError | None = None
        for values in [*self._ends(), *self.even(seed, _MOST_TRIED)]:
            try:
                check(self.configure(values, sequences), vocab_size=vocab_size)
            except UserError as error:
                first = first or error
            else:
                return
        assert first is not None
        raise UserError(f"search: no trial could be trained; of the first: {first}")

    def _ends(self) -> Iterator[dict[str, Any]]:
        """Every choice and both ends of every range, each with the middle of all others."""
        middle = {each.name: each.at(0.5) for each in self.parameters}
        for each in self.parameters:
            for value in each.choices or (each.at(0.0), each.at(1 - 1e-9)):
                yield middle | {each.name: value}


def _put(plain: dict[str, Any], name: str, value: Any) -> None:
    *path, last = name.split(".")
    section = plain
    for each in path:
        section = section[each]
    section[last] = value


def _micro(batch: Mapping[str, Any], base: PretrainConfig) -> int:
    share = batch["global_batch_size"] // base.parallelism.data
    return max((n for n in range(1, base.batch.micro_batch_size + 1) if share % n == 0), default=1)


# ---- out of the configuration ----


def read_space(base: PretrainConfig, search: Mapping[str, Any]) -> Space:
    """The search space of a sweep's section ``search``.

    Raises:
        UserError: an unknown field, an empty or impossible range, or a field that trials must share.
    """
    parameters: list[Parameter] = []
    least = 0.0
    for name, asked in search.items():
        if not isinstance(asked, Mapping):
            raise UserError(f"search.{name}: is {asked!r}; give {{low: , high: }} or {{choices: [...]}}")
        if name == "mixture":
            base, made, least = _mixture(base, asked)
            parameters += made
        else:
            parameters.append(_parameter(base, name, asked))
    both = [("epochs", "batch.steps"), ("width", "model.hidden_size"), ("depth", "model.num_hidden_layers")]
    for special, field in [*both, ("warmup", "optimizer.warmup_steps")]:
        if special in search and field in search:
            raise UserError(f"search.{special}: sets {field}, which is searched as well; leave one of them out")
    return Space(base, tuple(parameters), least)


def _parameter(base: PretrainConfig, name: str, asked: Mapping[str, Any]) -> Parameter:
    kinds = {"epochs": (float,), "warmup": (float,), "width": (int,), "depth": (int,)}.get(name) or _kinds(name)
    _refuse_unknown(name, asked, ("choices", "high", "log", "low", "step"))
    if "choices" in asked:
        return _choice(base, name, asked)
    if not {int, float} & set(kinds):
        raise UserError(f"search.{name}: is no number; give {{choices: [...]}}")
    whole = int in kinds
    for end in ("low", "high"):
        if end not in asked:
            raise UserError(f"search.{name}.{end}: is missing; give both low and high, or choices")
    low, high = _number(name, "low", asked["low"], whole), _number(name, "high", asked["high"], whole)
    log = asked.get("log", False)
    if not isinstance(log, bool):
        raise UserError(f"search.{name}.log: {log!r} is neither true nor false")
    step: float | None = None
    if asked.get("step") is not None:
        step = _number(name, "step", asked["step"], whole)
    if not low < high:
        raise UserError(f"search.{name}: low {low:g} is not below high {high:g}; the range is empty")
    if log and low <= 0:
        raise UserError(f"search.{name}.low: {low:g} has no logarithm; give a number above 0, or leave log out")
    if step is not None and (log or not 0 < step <= high - low):
        why = "cannot be with log" if log else f"must be above 0 and at most {high - low:g}"
        raise UserError(f"search.{name}.step: {step:g} {why}; change it, or leave it out")
    if name == "width" and step is None:
        step = base.model.hidden_size // base.model.num_attention_heads
    elif whole and not log:
        step = step or 1
    _check_special(name, low, high)
    return Parameter(name, low, high, log, step, whole)


def _check_special(name: str, low: float, high: float) -> None:
    if name == "warmup" and not 0 <= low < high <= 1:
        raise UserError(f"search.warmup: {low:g} to {high:g}, but it is a share of the steps; stay within 0 and 1")
    if name in ("epochs", "width", "depth") and low <= 0:
        raise UserError(f"search.{name}.low: {low:g} is not above 0; raise it")


def _choice(base: PretrainConfig, name: str, asked: Mapping[str, Any]) -> Parameter:
    choices = asked["choices"]
    if len(asked) > 1:
        raise UserError(f"search.{name}: has choices and a range; leave one of them out")
    if not isinstance(choices, Sequence) or isinstance(choices, str) or not choices:
        raise UserError(f"search.{name}.choices: {choices!r} is no list of values; give at least one")
    if len({repr(each) for each in choices}) < len(choices):
        raise UserError(f"search.{name}.choices: {choices} names a value twice")
    if name in SPECIAL:
        whole = name in ("width", "depth")
        numbers = [_number(name, "choices", each, whole) for each in choices]
        choices = [int(each) for each in numbers] if whole else numbers
        _check_special(name, min(numbers), max(numbers) + (name == "warmup" and max(numbers) < 1) * 1e-9)
        return Parameter(name, choices=tuple(choices))
    read = []
    for each in choices:
        plain = to_dict(base)
        _put(plain, name, each)
        try:
            section: Any = from_dict(plain)
        except UserError as error:
            raise UserError(f"search.{name}.choices: {str(error).removeprefix('configuration: ')}") from error
        for part in name.split("."):
            section = getattr(section, part)
        read.append(section)
    return Parameter(name, choices=tuple(read))


def _kinds(name: str) -> tuple[type, ...]:
    """The types that a dotted field of a training configuration can have."""
    hint: Any = PretrainConfig
    for part in name.split("."):
        fields = get_type_hints(hint) if dataclasses.is_dataclass(hint) else {}
        if part not in fields:
            valid = [f"{name.rpartition('.')[0]}.{each}" if "." in name else each for each in fields]
            raise unknown_name("field in search", name, [*valid, *SPECIAL])
        hint = fields[part]
    section = name.split(".")[0]
    if section in _COMPARED or name == "seed":
        raise UserError(f"search.{name}: must be the same in all trials, which are compared; set it in base")
    if section == "data":
        raise UserError(f"search.{name}: is searched as mixture: {{}} (the weights of base's datasets)")
    if dataclasses.is_dataclass(hint):
        raise UserError(f"search.{name}: is a section; name one of its fields, such as {name}.{next(iter(_of(hint)))}")
    return get_args(hint) or (hint,)


def _of(section: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(section)]


def _mixture(base: PretrainConfig, asked: Mapping[str, Any]) -> tuple[PretrainConfig, list[Parameter], float]:
    """The base with the datasets of a mixture, a parameter for each but the last, and the least share."""
    _refuse_unknown("mixture", asked, ("datasets", "low"))
    names = asked.get("datasets") or [entry.dataset for entry in base.data.datasets]
    if not isinstance(names, Sequence) or isinstance(names, str) or not all(isinstance(each, str) for each in names):
        raise UserError(f"search.mixture.datasets: {names!r} is no list of names")
    if len(names) < 2:
        raise UserError(f"search.mixture: has {len(names)} dataset(s), and weights are relative; name two or more")
    least = _number("mixture", "low", asked.get("low", 0.01), False)
    if not 0 < least < 1 / len(names):
        raise UserError(
            f"search.mixture.low: {least:g} is no share that each of {len(names)} datasets can have; give a number "
            f"above 0 and below {1 / len(names):g}"
        )
    plain = to_dict(base)
    plain["data"]["datasets"] = [{"dataset": name, "weight": 1.0} for name in names]
    return from_dict(plain), [Parameter(f"mixture.{name}") for name in names[:-1]], least


def _refuse_unknown(name: str, asked: Mapping[str, Any], valid: Sequence[str]) -> None:
    for key in asked:
        if key not in valid:
            raise unknown_name(f"word in search.{name}", str(key), valid)


def _number(name: str, word: str, value: Any, whole: bool) -> float:
    """A number out of YAML, which takes 1e-3 for text."""
    try:
        if isinstance(value, bool):
            raise ValueError
        number = float(value)
    except (TypeError, ValueError):
        raise UserError(f"search.{name}.{word}: {value!r} is no number") from None
    if not math.isfinite(number) or (whole and number != int(number)):
        raise UserError(f"search.{name}.{word}: {value} is no {'whole' if whole else 'finite'} number")
    return number
