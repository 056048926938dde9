"""What ``audit.model`` computes, held against plain forward passes of transformers, one item at a time."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import packing
from audit.items import Item, Score, Start
from audit.model import Model
from curation.errors import UserError
from tests.audit.models import LONGEST, made_network, made_tokenizer, tiny
from tests.audit.texts import ORDINARY

TEXTS = ORDINARY["eng"]
CLOSE = 2e-5


def plain(model: Model, ids: Sequence[int], first: int) -> tuple[list[float], list[bool]]:
    """Log-likelihoods of tokens from ``first`` on by one forward pass, and whether each is the likeliest."""
    with torch.no_grad():
        logits_SV = model.network(torch.tensor([list(ids)])).logits[0].double()
    log_SV = logits_SV.log_softmax(-1)
    places = range(first, len(ids))
    return [float(log_SV[at - 1, ids[at]]) for at in places], [int(log_SV[at - 1].argmax()) == ids[at] for at in places]


def plain_item(model: Model, item: Item) -> list[float]:
    """An item's log-likelihoods, tokens made anew: whole and context, nothing else."""
    bare = item.context.rstrip()
    continuation = item.context[len(bare) :] + item.continuation
    context, whole = (model.tokenizer.encode(text, add_special_tokens=False) for text in (bare, bare + continuation))
    start = {"none": [], "bos": [0], "eos": [1], "bos_or_eos": [0]}[item.start]
    ahead, scored = start + context, whole[len(context) :]
    if not ahead:
        ahead, scored = scored[:1], scored[1:]
    return plain(model, ahead + scored, len(ahead))[0]


def check(model: Model, items: Sequence[Item], scores: Sequence[Score]) -> None:
    assert len(scores) == len(items)
    for item, score in zip(items, scores, strict=True):
        np.testing.assert_allclose(score.log_likelihoods, plain_item(model, item), atol=CLOSE, rtol=0)


def choices() -> list[Item]:
    """Contexts with several continuations, sentences alone, pairs that differ in a word."""
    items = [Item(text, f" {name}", "none") for text in TEXTS[:4] for name in ("the nurse", "doctor", "a mechanic", "")]
    items = [item for item in items if item.continuation.strip()]
    items += [Item("", text, "bos_or_eos") for text in TEXTS]
    items += [Item("", text.replace("the", "a"), "eos") for text in TEXTS[:5]]
    items += [Item("", text.replace(".", " now."), "bos_or_eos") for text in TEXTS]
    return [*items, Item("", TEXTS[0], "none"), items[0]]


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("tied", [True, False])
def test_scores_are_those_of_plain_forward_passes(tied: bool, packed: bool) -> None:
    model = tiny(tied)
    check(model, choices(), model.log_likelihood(choices(), packed=packed))


def test_logits_in_parts_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = tiny().log_likelihood(choices())
    monkeypatch.setattr("audit.model.LOGITS_AT_ONCE", 7 * 410)
    for part, whole in zip(tiny().log_likelihood(choices()), wanted, strict=True):
        assert (part.encoded, part.greedy) == (whole.encoded, whole.greedy)
        np.testing.assert_allclose(part.log_likelihoods, whole.log_likelihoods, atol=CLOSE, rtol=0)


def test_one_text_divided_in_two_ways() -> None:
    model = tiny()
    items = [Item("The old", " mill and the river", "bos"), Item("The old mill and", " the river", "bos")]
    for order in (items, items[::-1]):
        check(model, order, model.log_likelihood(order))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_gives_the_same_numbers() -> None:
    model = tiny()
    other = Model(made_network().to("cuda"), model.tokenizer, model.source)
    for packed in (True, False):
        found, wanted = (each.log_likelihood(choices(), packed=packed) for each in (other, model))
        for one, two in zip(found, wanted, strict=True):
            np.testing.assert_allclose(one.log_likelihoods, two.log_likelihoods, atol=2e-4, rtol=0)
    pairs = zip(other.attentions(TEXTS[:3], "bos"), model.attentions(TEXTS[:3], "bos"), strict=True)
    for here, there in pairs:
        np.testing.assert_allclose(here.values, there.values, atol=2e-4)
    again = [other.generate(PROMPTS, "bos", 8, 1.0, seed=1) for _ in range(2)]
    assert again[0] == again[1]


def test_greedy_is_the_likeliest_token() -> None:
    model = tiny()
    prompt = "The river runs"
    (written,) = model.generate([prompt], "bos", 6)
    (score,) = model.log_likelihood([Item("", model.tokenizer.decode(written.token_ids), "bos")])
    items = choices()
    for item, found in zip(items, model.log_likelihood(items), strict=True):
        ids = found.encoded.context_ids + found.encoded.token_ids
        assert list(found.greedy) == plain(model, ids, len(found.encoded.context_ids))[1], item
    asked = [(written.prompt_ids + written.token_ids, len(written.prompt_ids))]
    assert model._score(asked, True)[0][1].all()
    assert score.is_greedy == all(score.greedy)


WORDS = st.sampled_from(["the", "a", "river", "nurse", "doctor", "Every", "bread", ".", "é"])
PHRASES = st.lists(WORDS, min_size=1, max_size=12).map(" ".join)
ITEMS = st.builds(
    Item,
    st.one_of(st.just(""), PHRASES, PHRASES.map(lambda text: f"{text}  ")),
    PHRASES.map(lambda text: f" {text} end"),
    st.sampled_from(["none", "bos", "eos", "bos_or_eos"]),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(ITEMS, min_size=1, max_size=12), st.integers(1, 400), st.booleans(), st.randoms())
def test_batches_order_and_packing_change_nothing(items: list[Item], tokens: int, packed: bool, chance: Any) -> None:
    model = tiny()
    other = Model(model.network, model.tokenizer, model.source, tokens)
    order = list(range(len(items)))
    chance.shuffle(order)
    wanted = model.log_likelihood(items, packed=False)
    found = other.log_likelihood([items[number] for number in order], packed=packed)
    for number, score in zip(order, found, strict=True):
        assert score.encoded == wanted[number].encoded
        np.testing.assert_allclose(score.log_likelihoods, wanted[number].log_likelihoods, atol=CLOSE, rtol=0)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 2), min_size=2, max_size=40).map(tuple), min_size=1, max_size=20, unique=True),
    st.booleans(),
)
def test_rows_hold_every_sequence_once(sequences: list[tuple[int, ...]], packed: bool) -> None:
    rows = packing.pack(sequences, packed)
    assert sorted(member for row in rows for member in row.members) == list(range(len(sequences)))
    for row in rows:
        batch = packing.laid_out([row])
        assert row.length <= sum(len(sequences[member]) - 1 for member in row.members)
        for member, branch, place in zip(row.members, row.branches, packing.places(row), strict=True):
            ids = sequences[member]
            assert row.shared + branch == ids
            assert tuple(batch.ids_BS[0, place]) == ids[:-1]
            if batch.mask_BSS is not None and batch.positions_BS is not None:
                assert list(batch.positions_BS[0, place]) == list(range(len(ids) - 1))
                for at, column in enumerate(place):  # sees all before it in its sequence, itself, and nothing else
                    assert set(np.flatnonzero(batch.mask_BSS[0, column])) == set(place[: at + 1])


def test_what_begins_alike_is_computed_once() -> None:
    model = tiny()
    items = [Item(TEXTS[3], f" the {name} went", "none") for name in ("nurse", "doctor", "baker", "clerk")]
    ids = [each.context_ids + each.token_ids for each in model.encoder.encode(items, "refuse")]
    (row,) = packing.pack(ids)
    assert len(row.branches) == 4
    assert row.length < sum(map(len, ids)) / 2


# ---- tokens ------------------------------------------------------------------------------------------


def test_start_tokens_are_written_down() -> None:
    model = tiny()
    rules: list[Start] = ["none", "bos", "eos", "bos_or_eos"]
    found = [model.log_likelihood([Item("", TEXTS[0], rule)])[0] for rule in rules]
    assert [each.encoded.start_token for each in found] == [None, 0, 1, 0]
    assert [each.encoded.unscored for each in found] == [1, 0, 0, 0]
    assert found[1].log_likelihoods == found[3].log_likelihoods
    assert found[1].encoded.token_ids == (*found[0].encoded.context_ids, *found[0].encoded.token_ids)
    assert found[1].total != pytest.approx(found[2].total, abs=1e-3)
    without = Model(model.network, made_tokenizer(bos=False), model.source)
    assert without.log_likelihood([Item("", TEXTS[0], "bos_or_eos")])[0].encoded.start_token == 1
    with pytest.raises(UserError, match="start bos: of bos and eos the tokenizer has eos"):
        without.log_likelihood([Item("", TEXTS[0], "bos")])


def test_spaces_that_end_a_context_begin_the_continuation() -> None:
    model = tiny()
    apart = model.log_likelihood([Item("The old ", "mill", "bos"), Item("The old", " mill", "bos")])
    assert apart[0].encoded == apart[1].encoded
    assert model.tokenizer.decode(apart[0].encoded.token_ids) == " mill"


def test_tokens_across_the_border_are_told() -> None:
    model = tiny()
    text = next(text for text in TEXTS for word in [text.split()[1]] if len(model.tokenizer.encode(f" {word}")) == 1)
    word = text.split()[1]
    (within,) = model.log_likelihood([Item(f"The {word[:-1]}", f"{word[-1]} goes", "bos")])
    (between,) = model.log_likelihood([Item(f"The {word}", " goes", "bos")])
    assert (within.encoded.joined, between.encoded.joined) == (True, False)


def test_long_contexts_are_refused_or_cut_on_the_left() -> None:
    model = tiny()
    item = Item(" ".join(TEXTS), " the end", "bos")
    with pytest.raises(UserError, match=r"item 0: \d+ tokens, and the model sees 96"):
        model.log_likelihood([item])
    (score,) = model.log_likelihood([item], too_long="cut")
    whole = [0, *model.tokenizer.encode(item.context + item.continuation)]
    kept = whole[-(LONGEST + 1) :]
    assert score.encoded.context_ids + score.encoded.token_ids == tuple(kept)
    assert (score.encoded.cut, score.encoded.start_token) == (len(whole) - len(kept), None)
    wanted, _ = plain(model, kept, len(score.encoded.context_ids))
    np.testing.assert_allclose(score.log_likelihoods, wanted, atol=CLOSE, rtol=0)
    with pytest.raises(UserError, match="item 0: its continuation of"):
        model.log_likelihood([Item("The", " ".join(TEXTS), "bos")], too_long="cut")


def test_totals() -> None:
    (score,) = tiny().log_likelihood([Item("", TEXTS[1], "bos")])
    assert score.total == pytest.approx(sum(score.log_likelihoods))
    assert score.mean == pytest.approx(sum(score.log_likelihoods) / len(score.log_likelihoods))


@pytest.mark.parametrize(
    ("item", "named"),
    [
        (Item("The", "", "bos"), "item 0: its continuation has no token"),
        (Item("", "a", "none"), "item 0: its continuation has no token"),
        (Item("", "a", "begin"), "unknown start 'begin'; valid: bos, bos_or_eos, eos, none"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_scored_is_named(item: Item, named: str) -> None:
    with pytest.raises(UserError, match=named):
        tiny().log_likelihood([item])
    with pytest.raises(UserError, match="unknown too_long 'drop'"):
        tiny().log_likelihood([replace(item, continuation="x")], too_long="drop")  # type: ignore[arg-type]


def test_nothing_is_scored_as_nothing() -> None:
    model = tiny()
    assert not [*model.log_likelihood([]), *model.text_log_likelihood([], "bos"), *model.generate([], "bos", 3)]
    assert not [*model.embeddings([], "bos"), *model.attentions([], "bos")]


# ---- long texts --------------------------------------------------------------------------------------


def windowed(model: Model, ids: Sequence[int], window: int, stride: int) -> list[float]:
    """Each token, conditioned on what its window holds, by a pass of its own."""
    found = []
    for at in range(1, len(ids)):
        further = max(0, -(-(at - window) // stride))
        end = min(len(ids), window + 1 + further * stride)
        begin = max(0, end - window - 1)
        found += plain(model, ids[begin : at + 1], at - begin)[0]
    return found


@pytest.mark.parametrize(("window", "stride"), [(None, None), (40, 40), (40, 13), (LONGEST, 1)])
def test_long_texts_in_windows(window: int | None, stride: int | None) -> None:
    model = tiny()
    texts = [" ".join(TEXTS), TEXTS[0], "é"]
    scores = model.text_log_likelihood(texts, "bos", window, stride)
    for text, score in zip(texts, scores, strict=True):
        ids = model.tokenizer.encode(text)
        assert score.token_ids == tuple(ids)
        wanted = windowed(model, [0, *ids], window or LONGEST, stride or window or LONGEST)
        np.testing.assert_allclose(score.log_likelihoods, wanted, atol=CLOSE, rtol=0)
        assert score.bits_per_byte == pytest.approx(-sum(wanted) / math.log(2) / len(text.encode()), rel=1e-5)
        assert score.perplexity == pytest.approx(math.exp(-sum(wanted) / len(ids)), rel=1e-4)
    (without,) = model.text_log_likelihood(texts[1:2], "none")
    assert len(without.log_likelihoods) == len(without.token_ids) - 1


@pytest.mark.parametrize(
    ("window", "stride", "text", "named"),
    [
        (LONGEST + 1, None, "x", "window 97: from 1 to 96"),
        (0, None, "x", "window 0"),
        (10, 11, "x", "stride 11: from 1 to the window of 10"),
        (10, 0, "x", "stride 0"),
        (10, 5, "", "text 0: has no token"),
    ],
)
def test_windows_that_do_not_fit_are_refused(window: int, stride: int | None, text: str, named: str) -> None:
    with pytest.raises(UserError, match=named):
        tiny().text_log_likelihood([text], "bos", window, stride)


# ---- generation --------------------------------------------------------------------------------------

PROMPTS = ["The river", "Every autumn the village brings", "A", "The river", "Nobody could"]


def test_greedy_generation_is_that_of_plain_forward_passes() -> None:
    model = tiny()
    for found in model.generate(PROMPTS, "bos", 12):
        ids = list(found.prompt_ids)
        for token in found.token_ids:
            with torch.no_grad():
                logits_V = model.network(torch.tensor([ids])).logits[0, -1]
            assert int(logits_V[: len(model.tokenizer)].argmax()) == token
            ids.append(token)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("tokens", [1, 60, 100_000])
def test_batches_and_order_change_no_generation(tokens: int, temperature: float) -> None:
    model = tiny()
    other = Model(model.network, model.tokenizer, model.source, tokens)
    wanted = model.generate(PROMPTS, "none", 10, temperature, seed=3)
    assert other.generate(PROMPTS, "none", 10, temperature, seed=3) == wanted
    order = [4, 0, 2, 3, 1]
    assert other.generate([PROMPTS[at] for at in order], "none", 10, temperature, seed=3) == [
        wanted[at] for at in order
    ]
    if temperature:
        assert wanted[0] != wanted[3]  # the same prompt again is another draw
        assert model.generate(PROMPTS, "none", 10, temperature, seed=4) != wanted
        assert model.generate(PROMPTS, "none", 10, temperature, seed=3) == wanted


def test_draws_follow_the_probabilities() -> None:
    model = tiny()
    draws = 3000
    found = model.generate(["The"] * draws, "bos", 1, temperature=2.0, seed=1)
    with torch.no_grad():
        logits_V = model.network(torch.tensor([list(found[0].prompt_ids)])).logits[0, -1, : len(model.tokenizer)]
    wanted_V = (logits_V.double() / 2).softmax(-1).numpy()
    counts_V = np.bincount([each.token_ids[0] for each in found], minlength=len(wanted_V))
    often = wanted_V * draws >= 5
    from scipy.stats import chisquare

    expected = np.append(wanted_V[often], wanted_V[~often].sum()) * draws
    assert chisquare(np.append(counts_V[often], counts_V[~often].sum()), expected).pvalue > 1e-3


def test_generation_ends_at_its_end() -> None:
    model = tiny()
    whole = model.generate(PROMPTS, "bos", 20, 1.0, seed=1)
    assert {each.ended for each in whole} <= {"length", "eos"}
    sought = whole[1].text[3:6]
    stopped = model.generate(PROMPTS, "bos", 20, 1.0, seed=1, stop=[sought])
    assert stopped[1].ended == "stop"
    assert stopped[1].text == whole[1].text.partition(sought)[0]
    assert stopped[1].token_ids == whole[1].token_ids[: len(stopped[1].token_ids)]
    ending = Model(model.network, model.tokenizer, model.source)
    ending.ending = frozenset(whole[0].token_ids[4:5])
    (ended, *_) = ending.generate(PROMPTS, "bos", 20, 1.0, seed=1)
    assert ended.ended == "eos"
    assert ended.token_ids == whole[0].token_ids[: whole[0].token_ids.index(whole[0].token_ids[4]) + 1]


def test_rows_without_a_token_are_never_drawn() -> None:
    model = tiny()
    found = model.generate(["The"] * 40, "bos", 20, 50.0)
    assert max(token for each in found for token in each.token_ids) < len(model.tokenizer) < 410


def test_prompts_that_do_not_fit() -> None:
    model, long = tiny(), " ".join(TEXTS)
    with pytest.raises(UserError, match=r"prompt 1: .* leave no room for 10"):
        model.generate(["A", long], "bos", 10)
    found = model.generate(["A", long], "bos", 10, too_long="cut")[1]
    assert len(found.prompt_ids) == LONGEST - 10
    assert (found.start_token, found.cut) == (None, len(model.tokenizer.encode(long)) + 1 - len(found.prompt_ids))
    for changes, named in (
        ({"max_tokens": LONGEST}, "max_tokens 96"),
        ({"temperature": -1.0}, "temperature -1.0"),
        ({"stop": [""]}, "stop: an empty text"),
        ({"prompts": [""], "start": "none"}, "prompt 0: has no token"),
    ):
        with pytest.raises(UserError, match=named):
            model.generate(**{"prompts": ["A"], "start": "bos", "max_tokens": 3, **changes})  # type: ignore[arg-type]


# ---- inside ------------------------------------------------------------------------------------------


def test_words_are_means_of_their_rows() -> None:
    model = tiny()
    words = ["river", "nurse"]
    spaced, bare = (model.word_vectors(words, leading_space=each) for each in (True, False))
    matrix_VE = model.network.model.embed_tokens.weight.detach().numpy()
    for found, prefix in ((spaced, " "), (bare, "")):
        for word, ids, vector_E in zip(words, found.token_ids, found.vectors_WE, strict=True):
            assert list(ids) == model.tokenizer.encode(prefix + word)
            np.testing.assert_allclose(vector_E, matrix_VE[list(ids)].mean(0), atol=1e-6)
    assert spaced.token_ids != bare.token_ids
    with pytest.raises(UserError, match="word ' '"):
        model.word_vectors([" "], leading_space=True)


@pytest.mark.parametrize("tokens", [1, 60, 10_000])
def test_embeddings_and_attentions_are_those_of_transformers(tokens: int) -> None:
    shared = tiny()
    model = Model(shared.network, shared.tokenizer, shared.source, tokens)
    texts = [TEXTS[2], "é", TEXTS[0]]
    pairs = zip(texts, model.embeddings(texts, "bos"), model.attentions(texts, "bos"), strict=True)
    for text, embedded, attended in pairs:
        ids = [0, *model.tokenizer.encode(text)]
        before = model.network.config._attn_implementation
        model.network.set_attn_implementation("eager")
        with torch.no_grad():
            wanted = model.network(torch.tensor([ids]), output_hidden_states=True, output_attentions=True)
        model.network.set_attn_implementation(before)
        assert embedded.token_ids == attended.token_ids == tuple(ids)
        hidden_LSE = torch.stack(wanted.hidden_states)[:, 0].numpy()
        np.testing.assert_allclose(embedded.values, hidden_LSE, atol=CLOSE, rtol=1e-5)
        weights_LHSS = torch.stack(wanted.attentions)[:, 0].numpy()
        assert attended.values.shape == (3, 4, len(ids), len(ids))
        np.testing.assert_allclose(attended.values, weights_LHSS, atol=CLOSE)
        np.testing.assert_allclose(attended.values.sum(-1), 1, atol=1e-5)
        assert not np.triu(attended.values, 1).any()
        assert embedded.offsets[0] == (0, 0)
        assert embedded.offsets[1][0] == 0
        assert embedded.offsets[-1][1] == len(text)
    assert shared.network.config._attn_implementation == "sdpa"


def test_single_layers() -> None:
    model = tiny()
    (whole,), (last,) = model.embeddings([TEXTS[0]], "none"), model.embeddings([TEXTS[0]], "none", [3, 0])
    np.testing.assert_array_equal(last.values, whole.values[[3, 0]])
    rows = model.network.model.embed_tokens.weight.detach().numpy()[list(whole.token_ids)]
    np.testing.assert_array_equal(whole.values[0], rows)
    (second,) = model.attentions([TEXTS[0]], "none", [2])
    np.testing.assert_array_equal(second.values[0], next(model.attentions([TEXTS[0]], "none")).values[1])
    for layers, named in (([4], "layer 4: from 0 to 3"), ([], "none is asked for")):
        with pytest.raises(UserError, match=named):
            next(model.embeddings([TEXTS[0]], "none", layers))
    with pytest.raises(UserError, match="layer 0: from 1 to 3"):
        next(model.attentions([TEXTS[0]], "none", [0]))
    with pytest.raises(UserError, match=r"text 0: .* the model sees 96"):
        next(model.embeddings([" ".join(TEXTS)], "none"))
