"""Probes that let models write: what holds of all of them."""

import copy
from pathlib import Path
from typing import Any

import pytest

from audit.items import Generated, Start
from audit.places import Places, read_cases
from audit.probes import find_probe
from audit.probes.base import Case
from audit.probes.bold import Bold
from audit.probes.writing import GenerationProbe, prompt, toxicity
from curation.toxicity.cheap import packaged_model
from tests.audit.models import tiny
from tests.audit.probes.fakes import FakeModel

RUDE, CALM = "what a stupid idiot", "some bread and a lantern"


class Writer(FakeModel):
    """Goes on with given texts, in turn; remembers what it was asked."""

    def __init__(self, *texts: str) -> None:
        super().__init__(0)
        self.texts, self.asked = texts, []  # type: ignore[var-annotated]

    def generate(self, prompts: Any, start: Start, *args: Any, **options: Any) -> list[Generated]:
        self.asked.append((list(prompts), start, *args))
        found = []
        for number, each in enumerate(prompts):
            text = self.texts[sum(other == each for other in prompts[:number]) % len(self.texts)]
            found.append(Generated((1,), 1, 0, (5, 6), text, "length"))
        return found


def writer(*texts: str) -> Any:
    """For what asks for a model."""
    return Writer(*texts)


class Five(Bold):
    """Five samples of each prompt."""

    samples = 5


def cases(*texts: str) -> list[Case]:
    """Of the domain gender."""
    return [Case(f"{n}", text, prompt(text), ("gender:a",), facts={"domain": "gender"}) for n, text in enumerate(texts)]


def test_what_is_empty_is_not_scored_and_never_zero() -> None:
    probe = Five()
    (some,) = probe.run(writer(RUDE, "", "  \n", CALM, ""), cases("A"))
    assert [each.score is None for each in some.responses] == [False, True, True, False, True]
    assert [each.flagged for each in some.responses] == [True, False, False, False, False]
    assert (some.measures or {})["scored"] == 2
    assert (some.measures or {})["toxic"] == 1
    assert (some.measures or {})["toxicity"] == pytest.approx(toxicity(RUDE) + toxicity(CALM))
    assert some.score == toxicity(RUDE)
    (none,) = probe.run(writer("", " "), cases("A"))
    assert none.measures is None
    assert none.score is None
    assert "wrote nothing" in str(none.why)
    assert len(none.responses) == 5


def test_the_prompt_is_not_judged_and_loses_its_last_space() -> None:
    model = writer(CALM)
    (result,) = Bold().run(model, cases(f"{RUDE} "))
    assert result.score == toxicity(CALM)
    assert model.asked[0][0] == [RUDE]
    assert result.responses[0].prompt == RUDE


def test_how_it_asks() -> None:
    model = writer(CALM)
    Five().with_seed(7).run(model, cases("A", "B", "A"))
    ((prompts, start, most, temperature, seed, stop),) = model.asked
    assert prompts == ["A"] * 5 + ["B"] * 5, "a prompt that repeats is asked once, all its samples together"
    assert (start, most, temperature, seed, stop) == ("bos_or_eos", 30, 1.0, 7, ())


def test_a_real_model_writes_the_same_however_cases_are_split() -> None:
    class Short(Five):
        max_tokens = 6

    model, asked = tiny(), cases("one two", "three", "one two", "four five six")
    whole = Short().run(model, asked)
    parts = [result for case in reversed(asked) for result in Short().run(model, [case])][::-1]
    texts = [[each.response for each in result.responses] for result in whole]
    assert texts == [[each.response for each in result.responses] for result in parts]
    assert texts[0] == texts[2]
    assert len(set(texts[0])) > 1, "samples differ"
    other = Short().with_seed(1).run(model, asked)
    assert texts != [[each.response for each in result.responses] for result in other]


def test_a_prompt_that_leaves_no_room_is_not_scored() -> None:
    model = tiny()
    long, short = Bold().run(model, cases("word " * 90, "word"))
    assert long.measures is None
    assert "no room" in str(long.why)
    assert short.responses


def test_it_says_who_judged_and_how_much_is_computed() -> None:
    probe = find_probe("bold")
    assert isinstance(probe, GenerationProbe)
    model: Any = FakeModel(0)
    assert str(probe.scorer_of([])).startswith(f"{packaged_model()[0]}; vaderSentiment 3.")
    assert find_probe("realtoxicityprompts").scorer_of([]) == packaged_model()[0]
    assert probe.tokens(model, cases("a b c", "d")) == 3 + 30 + 1 + 30
    assert Five().tokens(model, cases("a b c")) == 5 * 33


@pytest.mark.full
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("name", "step"), [("bold", 1000), ("honest", 71), ("realtoxicityprompts", 32)])
def test_as_plain_transformers_write(name: str, step: int, shared: Path, tmp_path: Path) -> None:
    """The likeliest token each time, one prompt at a time, without a cache; scores out of the texts alone."""
    import torch

    from audit.model import load_model
    from curation.storage import open_workspace

    probe: Any = copy.copy(find_probe(name))
    probe.temperature, probe.max_tokens, probe.samples = 0.0, 10, 1
    model = load_model(open_workspace(str(tmp_path / "workspace")), "smollm2", "cpu")
    chosen = read_cases(probe, Places((shared / "datasets",)))[::step]
    assert len(chosen) >= 20
    for case, result in zip(chosen, probe.run(model, chosen), strict=True):
        ids = [model.tokenizer.bos_token_id, *model.tokenizer(case.text, add_special_tokens=False)["input_ids"]]
        begin, text = len(ids), ""
        while len(ids) < begin + 10 and ids[-1] != model.tokenizer.eos_token_id:
            with torch.no_grad():
                ids.append(int(model.network(torch.tensor([ids])).logits[0, -1, : model.tokens].argmax()))
            text = model.tokenizer.decode(ids[begin:], skip_special_tokens=True, clean_up_tokenization_spaces=False)
            if places := [text.find(stop) for stop in probe.stop if stop in text]:
                text = text[: min(places)]
                break
        (response,) = result.responses
        assert response.response == text
        assert response.score == (pytest.approx(toxicity(text)) if text.strip() else None)
        assert response.flagged == (toxicity(text) >= 0.5)
