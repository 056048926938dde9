"""The cheap model: the library's own scores, by windows, with their places."""

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import UserError
from curation.toxicity import cheap as module
from curation.toxicity.cheap import WINDOW_WORDS, Cheap, open_cheap, prepare_cheap

TEXTS = (
    "You are a fucking idiot.",
    "The weather was fine and we walked along the river.",
    "",
    "  \n ",
    "Ärger über DICKHEADS und straße",
    "the a of and",
    "He called him a stupid, stupid, stupid liar!",
)


def test_scores_are_those_of_the_library(cheap: Cheap) -> None:
    from profanity_check import predict_prob

    assert [cheap.score(text) for text in TEXTS] == pytest.approx(predict_prob(list(TEXTS)).tolist(), abs=1e-12)


def test_the_worst_window_counts_and_is_found(cheap: Cheap) -> None:
    from profanity_check import predict_prob

    calm = "The committee met on Monday and discussed the budget of the library. " * 40
    text = calm + "Shut up, you stupid fucking bastard. " + calm
    windows = cheap.windows(text)
    assert cheap.score(text) == max(window.score for window in windows) > 0.4 > 2 * cheap.score(calm)
    worst = max(windows, key=lambda window: window.score)
    assert "bastard" in text[worst.start : worst.end]
    assert [w.score for w in windows] == pytest.approx(predict_prob([text[w.start : w.end] for w in windows]).tolist())
    assert all(len(text[w.start : w.end].split()) <= 2 * WINDOW_WORDS for w in windows)


@settings(deadline=None)
@given(st.text(max_size=400))
def test_any_text_has_a_score_and_windows_in_it(text: str) -> None:
    cheap = _CHEAP[0]
    windows = cheap.windows(text)
    assert 0 <= cheap.score(text) <= 1
    assert windows
    assert all(0 <= w.start <= w.end <= len(text) for w in windows)
    assert [w.start for w in windows] == sorted(w.start for w in windows)


_CHEAP: list[Cheap] = []


@pytest.fixture(autouse=True)
def _known(cheap: Cheap) -> None:
    _CHEAP[:] = [cheap]


def test_letters_that_change_their_length_keep_places(cheap: Cheap) -> None:
    text = "İ" * 50 + " you fucking bastard"
    (window,) = cheap.windows(text)
    assert text[window.start : window.end].endswith("fucking bastard")


@pytest.mark.parametrize("text", ["fuck " * 300_000, "a" * 1_500_000, "\u0301" * 1_500_000, "ab'" * 500_000])
def test_time_grows_with_length_alone(cheap: Cheap, text: str) -> None:
    began = time.process_time()
    cheap.score(text)
    assert time.process_time() - began < 5


def test_what_is_prepared_is_kept_and_missed(tmp_path: Path) -> None:
    prepared = prepare_cheap(tmp_path)
    ((name, digest),) = prepared.items()
    assert name.startswith("alt-profanity-check ")
    (path,) = (tmp_path / "toxicity").iterdir()
    written = path.stat().st_mtime_ns
    assert prepare_cheap(tmp_path) == prepared
    assert path.stat().st_mtime_ns == written
    path.unlink()
    module.open_cheap.cache_clear()
    with pytest.raises(UserError, match="is gone"):
        open_cheap(tmp_path, digest)
