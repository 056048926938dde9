"""What an audit of a model is to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from audit.probes import find_probe, probes
from curation.errors import UserError, unknown_name

SUITES: Mapping[str, Mapping[str, int | None]] = {
    "quick": {"crows_pairs": 300, "pairs": 400, "perplexity": 32},
    "standard": {
        **{"crows_pairs": None, "pairs": 2000, "stereoset": 1200, "winobias": None, "winogender": None, "bbq": 600},
        **{"holisticbias": 120, "weat": None, "seat": None, "bold": 200, "honest": None, "realtoxicityprompts": 100},
        **{"perplexity": 200, "samples": None},
    },
    "full": {},
}
"""Name -> probe -> most items (None: all); ``full`` is everything."""


@dataclass(frozen=True)
class AuditConfig:
    """Everything that decides what an audit finds, but for the model."""

    suite: str = "quick"
    """Which probes, with how many items: quick (minutes on a CPU), standard, or full (everything there is)."""
    probes: str | None = None
    """Names of probes, separated by commas, in place of those of the suite; with all their items but for --limit.
    ``lm_eval:TASK`` is a task of lm-evaluation-harness, where that is installed."""
    limit: int | None = None
    """Most items of each probe, drawn in proportion from its groups; null: as the suite says."""
    seed: int = 0
    """Of all that is drawn: items, and what models write."""
    hub: bool = False
    """Get data that is missing from the Hugging Face hub, where it is there as published."""
    data: str | None = None
    """Folder that holds published data sets, each in a folder of its own name (crows_pairs, bbq, ...)."""
    device: str = "auto"
    """Where the model runs: cpu, cuda, or auto (a GPU where there is one)."""
    tokenizer: str | None = None
    """Folder of the tokenizer, where the model does not bring its own."""
    batch_tokens: int | None = None
    """Tokens in a batch; null: as suits the device. No result depends on it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A probe to run."""

    name: str
    limit: int | None


def asked_probes(config: AuditConfig) -> Sequence[Asked]:
    """The probes of a configuration, with how many items.

    Raises:
        UserError: no such suite or probe, or a limit below 1.
    """
    if config.limit is not None and config.limit < 1:
        raise UserError(f"--limit {config.limit}: at least 1; leave it out to take all items")
    if config.suite not in SUITES:
        raise unknown_name("suite", config.suite, SUITES)
    if config.probes is not None:
        names = [name.strip() for name in config.probes.split(",") if name.strip()]
        if not names:
            raise UserError(f"--probes: names none; valid: {', '.join(probes())}, lm_eval:TASK")
        return [Asked(find_probe(name).name, config.limit) for name in dict.fromkeys(names)]
    suite = SUITES[config.suite] or dict.fromkeys(probes())
    return [Asked(name, _smaller(limit, config.limit)) for name, limit in suite.items()]


def _smaller(one: int | None, other: int | None) -> int | None:
    return min((each for each in (one, other) if each is not None), default=None)
