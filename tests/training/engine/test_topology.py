"""The model's sizes, its division into stages, what cannot be divided, and the learning rate."""

import dataclasses
import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.errors import UserError
from training.checks import check_split
from training.config import BatchConfig, ModelConfig, OptimizerConfig, ParallelismConfig, PretrainConfig
from training.engine.schedule import learning_rate
from training.engine.topology import block_cost, micro_batches, stages
from training.sizes import model_sizes


def config(blocks: int = 4, pipeline: int = 1, **fields: int | str) -> PretrainConfig:
    return PretrainConfig(
        model=ModelConfig(hidden_size=64, num_hidden_layers=blocks, num_key_value_heads=2),
        parallelism=ParallelismConfig(pipeline=pipeline, **fields),  # type: ignore[arg-type]
        batch=BatchConfig(sequence_length=32, global_batch_size=16, micro_batch_size=2),
    )


def test_sizes_that_null_stands_for() -> None:
    sizes = model_sizes(ModelConfig(hidden_size=256, num_attention_heads=8))
    assert (sizes["intermediate_size"], sizes["num_key_value_heads"]) == (704, 8)
    assert model_sizes(ModelConfig(hidden_size=24))["intermediate_size"] == 64  # 8/3 of it is 64 exactly
    assert model_sizes(ModelConfig(intermediate_size=100))["intermediate_size"] == 100


@given(st.integers(1, 12), st.integers(1, 6), st.integers(2, 200_000))
def test_no_division_into_stages_is_faster(blocks: int, pipeline: int, vocabulary: int) -> None:
    if blocks < pipeline:
        with pytest.raises(UserError, match="use at most"):
            stages(config(blocks, pipeline), vocabulary)
        return
    cost, head = block_cost(config(blocks)), 64 * vocabulary

    def slowest(counts: list[int]) -> int:
        return max([*(count * cost for count in counts[:-1]), counts[-1] * cost + head])

    ours = stages(config(blocks, pipeline), vocabulary)
    assert sum(ours) == blocks
    assert len(ours) == pipeline
    assert min(ours) >= 1
    cuts = itertools.combinations(range(1, blocks), pipeline - 1)
    divisions = [[end - begin for begin, end in itertools.pairwise((0, *each, blocks))] for each in cuts]
    assert slowest(ours) == min(map(slowest, divisions))


def test_large_vocabulary_leaves_no_stage_empty() -> None:
    assert stages(config(4, 2), 512) == [2, 2]
    assert stages(config(4, 2), 128_000) == [3, 1]
    assert stages(config(7, 3), 16) == [2, 3, 2]


def test_stages_decide_where_nanotron_divides() -> None:
    """nanotron's rule, from ``build_model``, applied to the costs that our model gives it."""
    for blocks, pipeline in itertools.product(range(1, 10), range(1, 6)):
        if blocks < pipeline:
            continue
        counts = stages(config(blocks, pipeline), 30_000)
        ends = [sum(counts[: stage + 1]) - 1 for stage in range(pipeline - 1)]
        costs = [0, *(1 if index in ends else 0 for index in range(blocks)), 0, 0, 0, 0]
        rank, sums, placed = 0, list(itertools.accumulate(costs)), []
        for total in sums:
            placed.append(rank)
            if total > sums[-1] * ((rank + 1) / pipeline):
                rank += 1
        assert [placed[1 : blocks + 1].count(stage) for stage in range(pipeline)] == counts
        assert placed[0] == 0
        assert set(placed[blocks + 1 :]) == {pipeline - 1}


@pytest.mark.parametrize(
    ("changes", "vocabulary", "message"),
    [
        ({"data": 2}, 512, r"are 2 process\(es\), and there are 3"),
        ({"tensor": 3}, 512, "does not divide model.num_attention_heads, which is 4"),
        ({"tensor": 4}, 512, "does not divide model.num_key_value_heads, which is 2"),
        ({"data": 16}, 512, "is no multiple of parallelism.data 16 x batch.micro_batch_size 2 = 32"),
        ({"pipeline": 5}, 512, "5 stages, but model.num_hidden_layers is 4"),
        ({"pipeline": 4, "data": 8}, 512, "1f1b keeps 4 stages busy"),
    ],
)
def test_what_cannot_be_divided(changes: dict[str, int], vocabulary: int, message: str) -> None:
    wrong = config(**changes)
    split = wrong.parallelism
    size = split.data * split.tensor * split.pipeline if "there are 3" not in message else 3
    with pytest.raises(UserError, match=message):
        check_split(wrong, size, vocabulary)


def test_what_can_be_divided() -> None:
    divided = config(pipeline=2, tensor=2, data=2, tensor_mode="reduce_scatter")
    check_split(divided, 8, 512)
    assert micro_batches(divided) == 4
    short = dataclasses.replace(divided, batch=dataclasses.replace(divided.batch, sequence_length=31))
    with pytest.raises(UserError, match=r"does not divide batch\.sequence_length"):
        check_split(short, 8, 512)


@given(
    st.sampled_from(["cosine", "wsd"]),
    st.integers(1, 300),
    st.floats(0, 0.5),
    st.one_of(st.none(), st.floats(0, 0.5)),
)
def test_learning_rate(schedule: str, steps: int, warmup: float, decay: float | None) -> None:
    optimizer = OptimizerConfig(
        learning_rate=1e-2,
        min_learning_rate=1e-3,
        schedule=schedule,
        warmup_steps=int(warmup * steps),
        decay_steps=None if decay is None else int(decay * steps),
    )
    rates = [learning_rate(optimizer, BatchConfig(steps=steps), step) for step in range(1, steps + 1)]
    warm = optimizer.warmup_steps
    assert rates[:warm] == pytest.approx([1e-2 * step / warm for step in range(1, warm + 1)])
    assert all(later <= earlier + 1e-15 for earlier, later in itertools.pairwise(rates[max(0, warm - 1) :]))
    decays = steps > warm and (schedule == "cosine" or (steps // 5 if decay is None else optimizer.decay_steps))
    assert rates[-1] == pytest.approx(1e-3 if decays else 1e-2)
    assert learning_rate(optimizer, BatchConfig(steps=steps), steps + 5) == pytest.approx(1e-3)


def test_learning_rate_by_hand() -> None:
    cosine = OptimizerConfig(learning_rate=1.0, min_learning_rate=0.0, warmup_steps=2)
    batch = BatchConfig(steps=6)
    assert [learning_rate(cosine, batch, step) for step in range(1, 7)] == pytest.approx(
        [0.5, 1.0, (1 + math.cos(math.pi / 4)) / 2, 0.5, (1 - math.cos(math.pi / 4)) / 2, 0.0]
    )
    stable = dataclasses.replace(cosine, schedule="wsd", decay_steps=2)
    assert [learning_rate(stable, batch, step) for step in range(1, 7)] == [0.5, 1.0, 1.0, 1.0, 0.5, 0.0]
