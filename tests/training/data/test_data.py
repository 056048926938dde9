"""The data of a run: micro-batches, held-out batches, and what is on record of it."""

import dataclasses

import numpy as np
import pytest

from curation.errors import UserError
from curation.workspace import Workspace
from tests.training.data.corpus import config
from training.config import MixtureEntry, ParallelismConfig, PretrainConfig
from training.data import TrainingData, open_data
from training.runs import describe_run, load_run, open_run_data


def with_data(names: list[str]) -> PretrainConfig:
    entries = tuple(MixtureEntry(name) for name in names)
    return dataclasses.replace(config(), data=dataclasses.replace(config().data, datasets=entries))


def test_replicas_share_a_step(corpus: Workspace) -> None:
    alone = open_data(corpus, config())
    two = open_data(corpus, dataclasses.replace(config(), parallelism=ParallelismConfig(data=2)))
    for step in (1, 40):
        whole = np.concatenate(list(alone.micro_batches(step, 0)))
        assert whole.shape == (8, 33)
        assert whole.dtype == np.int64
        parts = [list(two.micro_batches(step, replica)) for replica in (0, 1)]
        merged = np.concatenate([batch for pair in zip(*parts, strict=True) for batch in pair])
        assert np.array_equal(whole, merged)


def test_tokens_are_those_of_the_documents(corpus: Workspace) -> None:
    data = open_data(corpus, config())
    for sample in data.order.step_samples(7):
        stream = data.datasets[sample.dataset].stream("train")
        start = sample.sequence * 32
        assert np.array_equal(data.order.tokens([sample])[0], stream.read(start, start + 33))


@pytest.mark.parametrize("replicas", [1, 2, 3])
def test_held_out_batches_have_each_token_once(corpus: Workspace, replicas: int) -> None:
    """Whole batches, whatever the replicas: rows and places that nothing fills are masked."""
    changed = dataclasses.replace(config(), parallelism=ParallelismConfig(data=replicas))
    data = open_data(corpus, changed)
    assert [held.name for held in data.held_out] == ["a-tokens@1/eng_Latn", "b-tokens@1/eng_Latn"]
    for held in data.held_out:
        assert held.sequences == 5
        predicted = 0
        for replica in range(replicas):
            for ids_BT, mask_BT in data.held_out_batches(held, replica):
                assert ids_BT.shape == mask_BT.shape == (2, 33)
                assert (ids_BT[~mask_BT] == data.eos_id).all()
                predicted += int(mask_BT[:, 1:].sum())
        assert predicted == 5 * 32


def test_the_last_sequence_held_out_may_be_a_part(corpus: Workspace) -> None:
    plain = config(("a-tokens",), (1.0,))
    changed = dataclasses.replace(plain, validation=dataclasses.replace(plain.validation, sequences=10**6))
    data = open_data(corpus, changed)
    (held,) = data.held_out
    batches = list(data.held_out_batches(held, 0))
    predicted = sum(int(mask_BT[:, 1:].sum()) for _, mask_BT in batches)
    assert predicted == held.stream.tokens - 1
    assert (held.stream.tokens - 1) % 32
    tokens = np.concatenate([ids_BT[:, 1:][mask_BT[:, 1:]] for ids_BT, mask_BT in batches])
    assert np.array_equal(tokens, held.stream.read(1, held.stream.tokens))


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ([], "names no dataset"),
        (["a-tokens", "a-tokens@1"], "named twice"),
        (["a-tokens", "other-tokens"], "another tokenizer"),
        (["a"], "holds texts"),
        (["nowhere"], "a-tokens@1"),
    ],
)
def test_datasets_that_do_not_go_together_are_refused(corpus: Workspace, names: list[str], says: str) -> None:
    with pytest.raises(UserError, match=says):
        open_data(corpus, with_data(names))


def test_a_dataset_smaller_than_a_sequence_is_refused(corpus: Workspace) -> None:
    long = dataclasses.replace(config(), batch=dataclasses.replace(config().batch, sequence_length=100_000))
    with pytest.raises(UserError, match=r"batch\.sequence_length"):
        _ = open_data(corpus, long).order


def test_a_run_is_read_as_it_was_written(corpus: Workspace, run_id: str) -> None:
    run = load_run(corpus, run_id)
    data = open_run_data(corpus, run)
    assert isinstance(data, TrainingData)
    asked = config()
    assert dataclasses.replace(run.config, data=asked.data) == asked
    assert [entry.weight for entry in run.config.data.datasets] == [3.0, 1.0]
    assert [entry.dataset for entry in run.config.data.datasets] == [each.dataset_id for each in data.datasets]
    assert run.described == describe_run(run.config, data)
    assert run.described["vocab_size"] == 320  # 260 tokens, in rows of 64


def test_an_unknown_run_is_named_with_those_that_there_are(corpus: Workspace, run_id: str) -> None:
    with pytest.raises(UserError, match=run_id):
        load_run(corpus, "01XX")
