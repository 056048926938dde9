"""Tasks of lm-evaluation-harness (https://github.com/EleutherAI/lm-evaluation-harness) as probes, where it is
installed: its documents, its requests and its metrics, our log-likelihoods and intervals."""

import difflib
import json
import math
import numbers
import random
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import numpy as np

from audit.estimates import Metric, mean, no_sums
from audit.items import Item, TooLong
from audit.probes.base import NEAR_TIE, Ask, Case, LikelihoodProbe, Response, Result
from audit.probes.reading import fingerprint
from curation.errors import UserError

if TYPE_CHECKING:
    from audit.places import Places

PREFIX = "lm_eval:"
"""Of the names of these probes; the name of the task follows."""
FOLDER = "lm_eval"
"""Of a data folder: YAML files of tasks of one's own."""
_VERSIONS = ">=0.4.10,<0.5"
INSTALL = f"pip install 'lm-eval{_VERSIONS}'"
_TYPES = ("loglikelihood", "multiple_choice")
"""Output types of tasks that ask for nothing but log-likelihoods of continuations."""
_SHARES = ("acc", "acc_norm", "acc_bytes", "acc_mutual_info", "exact_match")
"""Metrics that are 0 or 1 of a document."""
_UNKNOWN = Metric("any", "quality", None, "as the task's", "what the task measures", no_sums, relevant=1.0)
"""Before its data is there, a task does not say what it measures."""


def harness_probe(name: str) -> "HarnessTask":
    """The probe of a task, ``lm_eval:TASK``; whether there is such a task shows when its cases are read, since data
    folders may hold more.

    Raises:
        UserError: lm-evaluation-harness is missing, or of another version.
    """
    from packaging.specifiers import SpecifierSet

    try:
        installed = version("lm_eval")
    except PackageNotFoundError as error:
        raise UserError(f"{name}: needs lm-evaluation-harness, which is not installed: {INSTALL}") from error
    if installed not in SpecifierSet(_VERSIONS, prereleases=True):
        raise UserError(f"{name}: needs another lm-evaluation-harness than version {installed}: {INSTALL}")
    return HarnessTask(name)


class HarnessTask(LikelihoodProbe):
    """A task of lm-evaluation-harness, scored as its ``HFLM`` does with ``add_bos_token=False``.

    Args:
        name: ``lm_eval:TASK``.
        version: the task's own; it and ``measures`` are known once cases are read, or of an audit on record.
    """

    kind = "quality"
    source = "https://github.com/EleutherAI/lm-evaluation-harness"
    license = "as the task's data"
    too_long: ClassVar[TooLong] = "cut"

    def __init__(self, name: str, version: str = "unknown", measures: Sequence[str] = ()) -> None:
        self.name, self.version, self.measures = name, version, tuple(measures)
        self.task = name.removeprefix(PREFIX)
        self.title = f"{self.task} of lm-evaluation-harness"
        self.metrics = tuple(map(_metric, measures)) or (_UNKNOWN,)
        self._made: Any = None

    def cases(self, places: "Places") -> list[Case]:
        """A case a document, in the order of the task; few-shot examples are drawn by the audit's seed."""
        return self._cases(places.folders, places.download)

    def read(self, folder: Path) -> list[Case]:
        """The same, of a folder whose ``lm_eval/*.yaml`` are tasks."""
        return self._cases([folder], False)

    def _cases(self, folders: Sequence[Path], download: bool) -> list[Case]:
        own = tuple(folder / FOLDER for folder in folders if any((folder / FOLDER).glob("*.yaml")))
        with _drawn_by(self.seed), _online(download):
            made = self._load(own, folders)
            self._describe(made)
            made.set_fewshot_seed(self.seed)
            made.build_all_requests()
        self._made = made
        requests: dict[int, list[Any]] = {}
        for each in made.instances:
            requests.setdefault(each.doc_id, []).append(each)
        return [_case(made, number, sorted(each, key=lambda one: one.idx)) for number, each in requests.items()]

    def _load(self, own: tuple[Path, ...], folders: Sequence[Path]) -> Any:
        manager = _manager(own, False)
        if self.task not in manager.all_subtasks:
            manager = _manager(own, True)
        if self.task not in manager.all_subtasks:
            raise UserError(f"{self.name}: {_no_task(self.task, manager, folders)}")
        try:
            newer = hasattr(manager, "load")  # 0.4.11 and before have another name for it
            made = manager.load([self.task])["tasks"] if newer else manager.load_task_or_group([self.task])
        except Exception as error:  # what reads a data set raises whatever it likes
            _refuse(self.name, error)
        return next(iter(made.values()))

    def _describe(self, made: Any) -> None:
        """Take over what a task is. Raises UserError where it is none that can be run here."""
        from lm_eval.api.metrics import mean as their_mean

        why = None
        if made.OUTPUT_TYPE not in _TYPES:
            why = f"its output type is {made.OUTPUT_TYPE}, and only {' and '.join(_TYPES)} can be run here"
        elif getattr(made, "MULTIMODAL", False):
            why = "it shows the model images or sounds"
        elif getattr(made, "UNSAFE_CODE", False):
            why = "it runs code that it marks as unsafe"
        elif made.get_config("filter_list") is not None:
            why = "it filters answers (filter_list), which log-likelihoods have none of"
        aggregation = made.aggregation()
        measures = tuple(sorted(name for name, how in aggregation.items() if how is their_mean))
        left_out = sorted(aggregation.keys() - set(measures))
        if why is None and not measures:
            why = f"none of its metrics is the mean over documents: {', '.join(left_out)}"
        if why is not None:
            raise UserError(f"{self.name}: {why}; leave it out, and run it with lm_eval itself")
        self.version, self.measures, self.metrics = str(made.VERSION), measures, tuple(map(_metric, measures))
        self.caveat = "Contexts have no start token, and what the model cannot see of them is cut off on the left." + (
            f" Left out, since they are not means over documents: {', '.join(left_out)}." if left_out else ""
        )

    def result(self, case: Case, responses: tuple[Response, ...]) -> Result:
        """What the task makes of the log-likelihoods of a document."""
        given = self._made.process_results(case.facts["doc"], [(each.total, each.greedy) for each in responses])
        measures = {name: float(given[name]) for name in self.measures if _is_number(given.get(name))}
        missing = [name for name in self.measures if name not in measures]
        if missing:
            return Result(case, responses, None, None, why=f"the task gives no number for {', '.join(missing)}")
        best = sorted(each.total for each in responses)[-2:]
        return Result(case, responses, measures, None, len(best) == 2 and best[1] - best[0] < NEAR_TIE)


def _metric(name: str) -> Metric:
    if name in _SHARES:
        return Metric(name, "quality", None, "share", f"documents, {name}", mean(name), relevant=0.02, scale="share")
    return Metric(name, "quality", None, "as the task's", f"mean over documents, {name}", mean(name), relevant=1.0)


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real | np.bool_) and math.isfinite(float(value))


def _case(made: Any, number: int, requests: Sequence[Any]) -> Case:
    asks = []
    for each in requests:
        context, continuation = each.args
        asks.append(
            Ask(f"request {each.idx}", Item(context, continuation, "none" if context.strip() else "bos_or_eos"))
        )
    doc = requests[0].doc
    text = made.doc_to_text(doc)
    # few-shot examples are no part of what a document is; of some tasks its text is only the number of a choice
    asked = text if isinstance(text, str) else json.dumps(doc, sort_keys=True, default=str)
    unit = fingerprint("\0".join([asked, *(each.item.continuation for each in asks)]))
    return Case(f"{number}-{unit}", unit, tuple(asks), language="und", facts={"doc": doc})


# ---- tasks -----------------------------------------------------------------------------------------


@cache
def _manager(own: tuple[Path, ...], defaults: bool) -> Any:
    """The tasks of folders, and those that lm-evaluation-harness brings: reading its 13,000 files takes seconds."""
    try:
        from lm_eval.tasks import TaskManager
    except Exception as error:  # an older one than the transformers here, say, fails in ways of its own
        raise UserError(
            f"lm-evaluation-harness cannot be imported ({type(error).__name__}: {error}): "
            f"{INSTALL.replace('install', 'install --upgrade', 1)}"
        ) from error
    return TaskManager(include_path=[str(folder) for folder in own], include_defaults=defaults)


def _no_task(task: str, manager: Any, folders: Sequence[Path]) -> str:
    """Why a name is none of a task."""
    if task in manager.all_groups or task in manager.all_tags:
        near = [each for each in manager.all_subtasks if each.startswith(task)]
        return f"is a group of tasks; name tasks, with {PREFIX} before each" + (f": {_some(near)}" if near else "")
    near = difflib.get_close_matches(task, manager.all_subtasks, n=5)
    looked = ", ".join(str(folder / FOLDER / "*.yaml") for folder in folders)
    return (
        f"there is no such task{f', but {_some(near)}' if near else ''}; those of lm-evaluation-harness are listed at "
        f"{HarnessTask.source}/tree/main/lm_eval/tasks, and your own belong in {looked}"
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def _refuse(name: str, error: Exception) -> NoReturn:
    """A task that cannot be made: its data is not there, or it is malformed."""
    from audit.places import NotThere

    root: BaseException = error
    while root.__cause__ is not None:
        root = root.__cause__
    said = f"{type(root).__name__}: {' '.join(str(root).split())}"
    within = {frame.f_globals["__name__"].partition(".")[0] for frame, _ in traceback.walk_tb(error.__traceback__)}
    if isinstance(error, OSError) or "datasets" in within:
        raise NotThere(
            f"its data cannot be had ({said}): say --hub true, where it is on the Hugging Face hub, or mend "
            "dataset_path and dataset_kwargs in the task's YAML file"
        ) from error
    raise UserError(f"{name}: the task cannot be made ({said}); mend its YAML file") from error


@contextmanager
def _online(allowed: bool) -> Iterator[None]:
    """Let data sets come from the hub, or out of what was downloaded before alone."""
    import datasets
    import huggingface_hub

    switches: tuple[Any, ...] = (datasets.config, huggingface_hub.constants)
    before = [each.HF_HUB_OFFLINE for each in switches]
    try:
        for each in switches:
            each.HF_HUB_OFFLINE = each.HF_HUB_OFFLINE or not allowed
        yield
    finally:
        for each, value in zip(switches, before, strict=True):
            each.HF_HUB_OFFLINE = value


@contextmanager
def _drawn_by(seed: int) -> Iterator[None]:
    """Seed the generators that tasks draw from which shuffle choices, and put them back."""
    plain, arrays = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(plain)
        np.random.set_state(arrays)
