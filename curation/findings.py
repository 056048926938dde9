"""Findings of an audit into the catalog: figures, and what each figure means."""

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol
from urllib.parse import quote

from curation.catalog import refresh
from curation.records import Finding, ProbeMetric, new_ulid
from curation.workspace import Workspace

LICENSE = "Apache-2.0"
"""Of the lists and methods of audits of data, which are part of this package."""


class Subject(Protocol):
    """What findings are about."""

    @property
    def kind(self) -> str:
        """``run``, ``dataset``, ``checkpoint``, or ``model`` (which is not in the workspace)."""

    @property
    def id(self) -> str:
        """Its id."""


@dataclass(frozen=True, slots=True)
class Metric:
    """What a figure means; findings of many metrics differ in the end of the name alone (the step, say)."""

    name: str
    unit: str
    ideal: float | None
    source: str


@dataclass(frozen=True, slots=True)
class Probe:
    """What makes findings."""

    id: str
    version: str
    metrics: Sequence[Metric]
    kind: str = "data"
    """``bias``, ``misuse``, ``quality`` or ``data``."""
    license: str = LICENSE
    """Of what it asks."""

    def metric(self, full_name: str) -> Metric:
        """The metric of ``removal_ratio c4/too_few_sentences`` is ``removal_ratio``."""
        return next(metric for metric in self.metrics if metric.name == full_name.split(" ", 1)[0])


class Findings:
    """Gathers the findings of one audit of one subject, then writes them."""

    def __init__(self, probe: Probe, subject: Subject, run_id: str) -> None:
        self.probe, self.subject, self.run_id = probe, subject, run_id
        self.found: list[Finding] = []

    def add(self, metric: str, value: float | None = None, **columns: Any) -> None:
        """One figure; without a value it is ``not_scored``, and ``why`` is among the columns. What is no number
        (NaN) or infinite is stored as null."""
        columns = {name: _finite(each) for name, each in columns.items()}
        value = _finite(value)
        self.found.append(
            Finding(
                finding_id=new_ulid(),
                run_id=self.run_id,
                subject_kind=self.subject.kind,
                subject_id=self.subject.id,
                probe_id=self.probe.id,
                version=self.probe.version,
                metric=metric,
                value=value,
                status="not_scored" if value is None else "scored",
                **columns,
            )
        )

    def not_run(self, metric: str, why: str) -> None:
        """A figure that was asked for and could not be looked for."""
        self.add(metric, why=why)
        self.found[-1] = replace(self.found[-1], status="not_run")

    def write(self, workspace: Workspace, name: str | None = None) -> None:
        """Metrics first, so that no finding is ever without its meaning. Raises OSError.

        Args:
            name: of the record, where a run writes several; what is there under it stays. What no file name should
                hold is percent-encoded.
        """
        for record in self._metrics(sorted({finding.metric for finding in self.found})):
            key = "\0".join((record.probe_id, record.version, record.metric))
            stem = f"{record.probe_id}-{record.version}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
            workspace.write([record], name=quote(stem, safe=""))  # an audit before this one may have written the same
        workspace.write(self.found, name=quote(name or self.run_id, safe=""))
        refresh(workspace)

    def _metrics(self, names: Iterable[str]) -> list[ProbeMetric]:
        metrics = []
        for name in names:
            metric = self.probe.metric(name)
            metrics.append(
                ProbeMetric(
                    probe_id=self.probe.id,
                    version=self.probe.version,
                    metric=name,
                    ideal=metric.ideal,
                    unit=metric.unit,
                    probe_kind=self.probe.kind,
                    source=metric.source,
                    license=self.probe.license,
                )
            )
        return metrics


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
