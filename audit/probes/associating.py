"""Association tests: whether of two sets of words one lies nearer to A than to B, when compared with the other.

The effect size of a test (Caliskan et al. 2017, https://doi.org/10.1126/science.aal4230) is made of one number for each
target w, ``s(w, A, B)``: its mean cosine to the attributes A less that to B. Targets are the items here, so that an
effect size is a function of sums like any other figure, and its interval says how much it depends on which targets
there happen to be. The publication's own test, a permutation, is a figure beside it.
"""

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from audit.estimates import DRAWS, Metric, Sums, Table, macro, no_sums
from audit.items import Item
from audit.probes.base import Ask, Case, Probe, Response, Result
from audit.probes.reading import Fields, Malformed, find_files, fingerprint, line_of, read_json

if TYPE_CHECKING:
    from audit.model import Model

Array = np.ndarray[Any, Any]

SETS = ("targ1", "targ2", "attr1", "attr2")
MOST_SPLITS = 100_000
"""Up to so many ways to split the targets of a test, all are looked at; of more, ``DRAWS`` random ones."""

_RELEVANT = 0.5
"""A medium effect in the terms of Cohen 1988, in which the publications speak of theirs."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """The vector of a word or sentence."""

    prompt: str
    """As the model saw it."""
    start_token: int | None
    tokens: tuple[int, ...]
    vector_E: Array
    """float64, of length 1; NaN where the model gives no direction."""


class AssociationProbe(Probe):
    """Tests in the format of sent-bias: an object with the sets targ1, targ2, attr1, attr2."""

    license = "CC-BY-NC-4.0"
    variants: ClassVar[tuple[str, ...]] = ("",)
    """Ways to make vectors; what is measured is named with them, ``s<variant>``."""
    also: ClassVar[tuple[str, ...]] = ()
    """Patterns of files that are read where they are there."""

    @abstractmethod
    def embed(self, model: "Model", texts: Sequence[str], variant: str) -> list[Embedded]:
        """The vector of each text."""

    @abstractmethod
    def drawn(self, text: str) -> str:
        """What a target is made of: targets of the same are one unit."""

    def read(self, folder: Path) -> list[Case]:
        """A case for each target of each test; what repeats within a set counts once."""
        assert self.data is not None
        paths = find_files(folder, self.data.files)
        paths += sorted(path for pattern in self.also for path in folder.glob(pattern))
        return [case for path in paths for case in self._test(path)]

    def _test(self, path: Path) -> list[Case]:
        one, other, *attributes = read_sets(path)
        load = 1 + sum(map(len, attributes)) / (len(one) + len(other))
        facts = {"attributes": tuple(attributes), "load": load}
        return [
            Case(
                id=f"{path.stem}:{name}:{text}",
                unit=fingerprint(self.drawn(text)),
                asks=(Ask(name, Item("", text, "none")),),
                groups=(f"test:{path.stem}",),
                stratum=path.stem,
                facts=facts,
            )
            for name, texts in zip(SETS[:2], (one, other), strict=True)
            for text in texts
        ]

    def tokens(self, model: "Model", cases: Sequence[Case]) -> int:
        """With each target its share of the test's attributes."""
        counts = map(len, model.encoder.ids([case.text for case in cases]))
        loads: list[float] = [case.facts["load"] for case in cases]
        return math.ceil(sum(count * load for count, load in zip(counts, loads, strict=True)))

    def run(self, model: "Model", cases: Sequence[Case]) -> list[Result]:
        """Each target by itself, with the attributes of its test, whose vectors are computed once."""
        needed = {case.text for case in cases} | {
            text for case in cases for texts in case.facts["attributes"] for text in texts
        }
        texts = sorted(needed)
        vectors = [dict(zip(texts, self.embed(model, texts, variant), strict=True)) for variant in self.variants]
        axes: dict[Any, list[Array]] = {}
        for case in cases:
            near, far = case.facts["attributes"]
            if (near, far) not in axes:
                axes[near, far] = [_center(of, near) - _center(of, far) for of in vectors]
        found = []
        for case in cases:
            embedded = [of[case.text] for of in vectors]
            values = [
                float(each.vector_E @ axis) for each, axis in zip(embedded, axes[case.facts["attributes"]], strict=True)
            ]
            found.append(self._result(case, embedded, values))
        return found

    def _result(self, case: Case, embedded: Sequence[Embedded], values: Sequence[float]) -> Result:
        first = float(case.asks[0].role == SETS[0])
        responses, measures = [], {"first": first}
        for variant, each, s in zip(self.variants, embedded, values, strict=True):
            score = s if math.isfinite(s) else None
            responses.append(Response(f"target{variant}", each.prompt, "", each.start_token, each.tokens, (), score))
            measures |= {f"s{variant}": s, f"s{variant}_first": s * first, f"s{variant}_squared": s * s}
        if not all(map(math.isfinite, values)):
            why = "its vector, or one of its attributes, has no direction"
            return Result(case, tuple(responses), None, None, why=why)
        return Result(case, tuple(responses), measures, values[0] if first else -values[0])


def measured(variants: Sequence[str]) -> tuple[str, ...]:
    """Names of what is measured of a target: whether it is of the first set, and s, s of the first set, s squared."""
    return ("first", *(f"s{variant}{part}" for variant in variants for part in ("", "_first", "_squared")))


def association_metrics(variant: str, of: str) -> tuple[Metric, Metric]:
    """Effect size and p-value of a variant.

    Args:
        of: which vectors, in words.
    """
    s = f"s{variant}"
    return (
        Metric(
            f"effect_size{variant}",
            "bias",
            0.0,
            "standard deviations",
            f"how much nearer targ1 lies to attr1, and targ2 to attr2: {of}; of several tests the mean",
            macro(effect_size(s)),
            relevant=_RELEVANT,
            scale="effect size",
        ),
        Metric(
            f"p_permutation{variant}",
            "quality",
            None,
            "probability",
            f"one-sided: how often targets that are split at random differ as much or more: {of}",
            no_sums,
            relevant=0.05,
            statistic=permutation(s),
        ),
    )


def read_sets(path: Path) -> list[tuple[str, ...]]:
    """The four sets of a test.

    Raises:
        UserError: a set is missing, empty or malformed, or a target stands on both sides.
    """
    row = read_json(path)
    if not isinstance(row, dict):
        raise Malformed(path, 1, f"a JSON {type(row).__name__}, where an object stands")
    found: list[tuple[str, ...]] = []
    for name in SETS:
        fields = Fields(path, line_of(path, name), row).within(name)
        fields.text("category")
        texts = tuple(dict.fromkeys(text.strip() for text in fields.texts("examples")))
        if not texts:
            raise fields.wrong("examples", "is empty")
        if name == SETS[1] and (both := set(texts) & set(found[0])):
            raise fields.wrong("examples", f"holds {min(both)!r}, which is in {SETS[0]}, too")
        found.append(texts)
    return found


def _center(vectors: dict[str, Embedded], texts: Sequence[str]) -> Array:
    """Mean of unit vectors: a product with it is a mean cosine."""
    found: Array = np.mean([vectors[text].vector_E for text in texts], axis=0)
    return found


def unit_vector(vector_E: Array) -> Array:
    """The direction of a vector, float64; NaN where it has none."""
    wide_E = vector_E.astype(np.float64)
    with np.errstate(invalid="ignore"):
        found: Array = wide_E / np.linalg.norm(wide_E)
    return found


# ---- figures ---------------------------------------------------------------------------------------


def effect_size(s: str) -> Callable[[Sums], Array]:
    """Caliskan et al. 2017: difference of the two sets' means of a measure, over its standard deviation (ddof 1, as
    May et al. 2019 compute it) in both together."""

    def combine(sums: Sums) -> Array:
        n, first = sums["items"].sum(-1), sums["first"].sum(-1)
        total, of_first, squared = (sums[name].sum(-1) for name in (s, f"{s}_first", f"{s}_squared"))
        apart = of_first / first - (total - of_first) / (n - first)
        variance = (squared - total**2 / n) / (n - 1)
        known = variance > 1e-12 * squared / n  # else it is rounding
        found: Array = np.where(known, apart / np.sqrt(np.where(known, variance, 1.0)), math.nan)
        return found

    return combine


def permutation(s: str) -> Callable[[Table], float]:
    """The one-sided p-value of Caliskan et al. 2017: the share of ways to split all targets into sets of these sizes
    that give an effect as large or larger.

    As May et al. 2019 do, ties count, and of random splits the observed one is one. Of several tests the mean effect
    is looked at, and targets are split within each.
    """

    def p_value(table: Table) -> float:
        strata = np.array(table.strata_N if table.strata_N is not None else [""] * len(table))
        first_N = table.columns["first"] > 0
        tests = []
        for stratum in sorted(set(strata.tolist())):
            here_N = strata == stratum
            values_N = np.sort(table.columns[s][here_N])  # in an order that is theirs alone
            observed, size = float(table.columns[s][here_N & first_N].sum()), int((here_N & first_N).sum())
            if 0 < size < len(values_N) and float(values_N.std()) > 0:
                tests.append((values_N, size, observed))
        if not tests:
            return math.nan
        if len(tests) == 1 and math.comb(len(tests[0][0]), tests[0][1]) <= MOST_SPLITS:
            values_N, size, observed = tests[0]
            sums_D = values_N[_splits(len(values_N), size)].sum(1)
            return float(np.mean(sums_D >= observed - 1e-12 * np.abs(values_N).sum()))
        random = np.random.default_rng(0)
        excess_D = np.zeros(DRAWS)
        for values_N, size, observed in tests:
            sums_D = np.concatenate([_drawn_sums(random, values_N, size, count) for count in _steps(DRAWS)])
            spread = float(values_N.std(ddof=1)) * size * (len(values_N) - size)
            excess_D += (sums_D - observed) * len(values_N) / spread
        return float((1 + np.sum(excess_D >= -1e-9)) / (1 + DRAWS))

    return p_value


@lru_cache(maxsize=8)
def _splits(n: int, size: int) -> Array:
    """Every way to take ``size`` of ``n``, int64 [D, size]."""
    return np.array(list(combinations(range(n), size)), dtype=np.int64)


def _drawn_sums(random: np.random.Generator, values_N: Array, size: int, draws: int) -> Array:
    drawn_DN = random.permuted(np.tile(values_N, (draws, 1)), axis=1)
    found: Array = drawn_DN[:, :size].sum(1)
    return found


def _steps(draws: int, step: int = 1000) -> list[int]:
    return [min(step, draws - begin) for begin in range(0, draws, step)]
