"""Drawings of sweeps and range tests, as SVG; the same numbers give the same bytes."""

import importlib.util
import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.workspace import write_durably
from training.sweep.results import TrialResult, best_of, shown_values
from training.sweep.space import Space

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger("training")

_STYLES = {"done": ("o", "#1f5fa8"), "pruned": ("x", "#8a8a8a")}
"""Status -> (marker, colour): never colour alone."""
_ACROSS = 3


def can_draw() -> bool:
    """Whether matplotlib is there; else a warning says what to do."""
    if importlib.util.find_spec("matplotlib") is not None:
        return True
    log.warning("nothing is drawn, as matplotlib is missing; install it: pip install 'open-curation[training]'")
    return False


def draw_sweep(
    path: Path, space: Space, trials: Sequence[TrialResult], curves: Mapping[int, Sequence[tuple[int, float]]]
) -> None:
    """Losses of the trials as they came, against each parameter, and over their tokens.

    Args:
        curves: number of a trial -> (tokens, loss) of its validations.

    Raises:
        OSError: disk full.
    """
    figure, axes = _figure(2 + len(space.parameters) + ("mixture" in space.names))
    best = best_of(trials)
    _history(axes[0], trials)
    for trial in trials:
        curve = curves.get(trial.number, ())
        chosen = best is not None and trial.number == best.number
        colour = "#c4431a" if chosen else _STYLES.get(trial.status, _STYLES["pruned"])[1]
        if curve:
            axes[1].plot(*zip(*curve, strict=True), color=colour, marker=".", linewidth=2 if chosen else 1)
    axes[1].set(xlabel="tokens", ylabel="validation loss", title="as they learned (best: red)")
    logarithmic = {each.name: each for each in space.parameters if each.log}
    names = list(shown_values(space, trials[0].values)) if trials else []
    for axis, name in zip(axes[2:], names, strict=False):
        for status, (marker, colour) in _STYLES.items():
            found = [t for t in trials if t.status == status and t.value is not None]
            values = [shown_values(space, t.values)[name] for t in found]
            numeric = all(isinstance(each, int | float) and not isinstance(each, bool) for each in values)
            axis.scatter(
                values if numeric else list(map(str, values)),
                [t.value for t in found],
                marker=marker,
                color=colour,
                label=status,
            )
        if name in logarithmic:
            axis.set_xscale("log")
            axis.set_xlim(logarithmic[name].low / 1.2, logarithmic[name].high * 1.2)
        axis.set(xlabel=name, ylabel="validation loss")
    _save(figure, path)


def _history(axis: Any, trials: Sequence[TrialResult]) -> None:
    lowest: list[tuple[int, float]] = []
    for trial in trials:
        if trial.status == "done" and trial.value is not None:
            before = lowest[-1][1] if lowest else trial.value
            lowest.append((trial.number, min(before, trial.value)))
    if lowest:
        axis.step(*zip(*lowest, strict=True), where="post", color="#c4431a", label="best so far")
    for status, (marker, colour) in _STYLES.items():
        found = [(t.number, t.value) for t in trials if t.status == status and t.value is not None]
        if found:
            axis.scatter(*zip(*found, strict=True), marker=marker, color=colour, label=status)
    for trial in trials:
        if trial.status == "failed":
            axis.axvline(trial.number, color="#8a8a8a", linestyle=":", linewidth=1)
    axis.set(xlabel="trial (dotted: failed)", ylabel="validation loss", title="as they came")
    if lowest:
        axis.legend()


def draw_range(path: Path, points: Sequence[tuple[float, float, float]], marks: Mapping[str, float]) -> None:
    """The loss against a rising learning rate.

    Args:
        points: (learning rate, loss, smoothed loss).
        marks: name -> learning rate.

    Raises:
        OSError: disk full.
    """
    figure, axes = _figure(1)
    rates, losses, smoothed = zip(*points, strict=True)
    axes[0].plot(rates, losses, color="#b9c6d6", linewidth=1, label="loss")
    axes[0].plot(rates, smoothed, color="#1f5fa8", linewidth=2, label="smoothed")
    for style, (name, rate) in zip(("-", "--", ":"), marks.items(), strict=False):
        axes[0].axvline(rate, color="#c4431a", linestyle=style, label=f"{name}: {rate:.2g}")
    low, high = min(smoothed), max(smoothed[: max(1, len(smoothed) // 4)])
    axes[0].set_ylim(low - 0.1 * (high - low), high + 0.5 * (high - low) + 1e-6)
    axes[0].set(xscale="log", xlabel="learning rate", ylabel="training loss")
    axes[0].legend()
    _save(figure, path)


def _figure(count: int) -> tuple["Figure", list[Any]]:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "sweep"  # names inside the file do not change from time to time
    across = min(count, _ACROSS)
    down = -(-count // across)
    figure = Figure(figsize=(5 * across + (count == 1) * 2, 3.6 * down), layout="constrained")
    axes = [figure.add_subplot(down, across, place + 1) for place in range(count)]
    return figure, axes


def _save(figure: "Figure", path: Path) -> None:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, buffer.getvalue())
