"""Association tests of sentences: words in the published templates."""

from pathlib import Path

from tests.audit.probes.samples import Planted, Sample
from tests.audit.probes.samples.weat import broken, vector, words_of, write_test


def write(folder: Path, times: int) -> None:
    """Two tests with 96 targets, three sentences of each word."""
    for number in range(2):
        sets = {
            name: [
                sentence
                for word in words
                for sentence in (f"This is a {word}.", f"The {word} is here.", f"They are {word}s.")
            ]
            * times
            for name, words in words_of(number).items()
        }
        write_test(folder / f"sent-weat{number + 1}.jsonl", sets)


SAMPLE = Sample(write, Planted(("effect_size",), vector=vector), broken("sent-weat1.jsonl"))
