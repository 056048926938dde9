"""The contract of every set that is shipped, and of the checks that prove it."""

import hashlib
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.matching import Matcher
from audit.pairs.check import length_matched, measure_lengths, pair_faults, set_faults, token_lengths
from audit.pairs.grammar import LANGUAGES, words
from audit.pairs.make import KINDS, VERSION, Pair, all_pairs, differing_words, make, pairs
from audit.pairs.read import AXES, parse_words, read_claims, read_words
from audit.pairs.rules import slips
from curation.errors import UserError
from curation.terms import identity_terms
from curation.tokens.tokenizer import Tokenizer, from_json

SETS = [(language, axis) for language in LANGUAGES for axis in AXES]
every_set = pytest.mark.parametrize(("language", "axis"), SETS)


def digest(found: tuple[Pair, ...]) -> str:
    """What changes when an id, a sentence or a direction does."""
    lines = (
        "\t".join([pair.id, *pair.sentences, str(pair.stereotypical)]) for pair in sorted(found, key=lambda p: p.id)
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


@every_set
def test_a_set_has_no_faults(language: str, axis: str) -> None:
    assert set_faults(pairs(language, axis)) == []


@every_set
def test_sentences_differ_where_it_is_said_and_nowhere_else(language: str, axis: str) -> None:
    for pair in pairs(language, axis):
        first, second = pair.sentences
        assert len(words(first)) == len(words(second))
        kept = []
        for text, spans in zip(pair.sentences, pair.differing, strict=True):
            assert spans
            assert all(0 <= start < end <= len(text) for start, end in spans)
            kept.append("\0".join(text[start:end] for start, end in _between(len(text), spans)))
        assert kept[0] == kept[1]
        for one, other in zip(*pair.differing, strict=True):
            mine, yours = words(first[slice(*one)]), words(second[slice(*other)])
            assert len(mine) == len(yours)
            assert all(a != b for a, b in zip(mine, yours, strict=True)), pair.id


def _between(length: int, spans: tuple[tuple[int, int], ...]) -> list[tuple[int, int]]:
    edges = [0, *(edge for span in spans for edge in span), length]
    return list(zip(edges[::2], edges[1::2], strict=True))


@every_set
def test_templates_and_groups_are_balanced(language: str, axis: str) -> None:
    found = pairs(language, axis)
    for kind in KINDS:
        names = Counter(
            (pair.claim and (pair.claim, pair.groups), pair.template)[1] for pair in found if pair.kind == kind
        )
        assert len(set(names.values())) == 1, (kind, names)
    claimed = Counter(pair.claim for pair in found if pair.claim)
    assert max(claimed.values()) <= 0.2 * sum(claimed.values())
    valences = Counter(pair.valence for pair in found if pair.kind == "preference")
    assert valences["positive"] == valences["negative"]
    first = Counter(pair.groups[0] for pair in found)
    for group, n in Counter(group for pair in found for group in pair.groups).items():
        assert 0.3 < first[group] / n < 0.7, f"{group} mostly in one place"


@every_set
def test_persons_of_both_genders(language: str, axis: str) -> None:
    genders = Counter(pair.id.rpartition(".")[2] for pair in pairs(language, axis))
    if axis == "gender":
        assert abs(genders["mf"] - genders["fm"]) <= 0.1 * (genders["mf"] + genders["fm"])
    else:
        assert abs(genders["m"] - genders["f"]) <= 0.25 * genders.total()


@every_set
def test_ids_name_what_is_in_the_pair(language: str, axis: str) -> None:
    for pair in pairs(language, axis):
        parts = pair.id.split(".")
        assert parts[:3] == [language, axis, pair.kind]
        assert "-".join(pair.groups) in parts
        assert pair.template in parts
        if pair.stereotypical is not None:
            claim = read_claims(axis)[pair.claim]
            assert pair.groups[pair.stereotypical] in claim.groups
            assert claim.claim in pair.why
            assert claim.source in pair.why


def test_all_claims_and_sources_are_used() -> None:
    data = yaml.safe_load(Path("audit/pairs/data/claims.yaml").read_text(encoding="utf-8"))
    used = {(pair.axis, pair.claim) for pair in all_pairs() if pair.claim}
    assert used == {(axis, name) for axis, claims in data["claims"].items() for name in claims}
    assert {claim["source"] for claims in data["claims"].values() for claim in claims.values()} == set(data["sources"])


def test_ids_and_sentences_of_a_version_stay() -> None:
    """A change that alters what has been given out must raise VERSION and write the digests anew."""
    known = yaml.safe_load((Path(__file__).parent / "digests.yaml").read_text())
    found = {f"{language} {axis}": digest(pairs(language, axis)) for language, axis in SETS}
    assert {"version": VERSION, "digests": found} == known


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(SETS), st.integers(0, 200))
def test_a_line_more_or_less_leaves_the_other_pairs(asked: tuple[str, str], cut: int) -> None:
    """Ids that are given out stay true when templates, attributes or contrasts are added at the end."""
    whole = read_words(*asked)
    fewer = replace(
        whole,
        attributes=whole.attributes[: cut % len(whole.attributes) + 1],
        control=whole.control[: cut % len(whole.control) + 1],
        contrasts=whole.contrasts[: cut % len(whole.contrasts) + 1],
    )
    assert set(make(fewer)) <= set(pairs(*asked))


@pytest.mark.parametrize("axis", ["religion", "sexual_orientation"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_words_of_audits_of_data_find_the_groups(language: str, axis: str) -> None:
    """What is asked of models is what is looked for in their data."""
    matcher = Matcher(identity_terms(language))
    for pair in pairs(language, axis):
        for text, group, other in zip(pair.sentences, pair.groups, pair.groups[::-1], strict=True):
            named = {matcher.names[name] for name, _ in matcher.find(text)}
            assert f"{axis}:{other}" not in named, text
            if group != "straight" or language != "eng":  # "straight" mostly means something else
                assert f"{axis}:{group}" in named, text


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("eng", "A atheist guest was here."),
        ("eng", "An Hindu guest was here."),
        ("eng", "The muslim guest was here."),
        ("eng", "the Muslim guest was here."),
        ("eng", "The Muslim guest was here"),
        ("eng", "The Muslim  guest was here."),
        ("eng", "The {Muslim} guest was here."),
        ("spa", "La carta de el vecino llegó."),
        ("spa", "El mujer judía llegó."),
        ("spa", "La vecina judío llegó."),
        ("spa", "El hombre atea llegó."),
        ("spa", "Un vecina llegó."),
        ("fra", "La lettre de le voisin est ici."),
        ("fra", "Il parle à le voisin."),
        ("fra", "Le homme juif est ici."),
        ("fra", "Ce homme juif est ici."),
        ("fra", "Cet voisin juif est ici."),
        ("fra", "La voisine juif est ici."),
        ("fra", "Le voisin juive est ici."),
        ("fra", "Une voisin est ici."),
        ("fra", "On sait que une voisine est ici."),
        ("deu", "Ein Frau ist hier."),
        ("deu", "Ein jüdische Nachbar ist hier."),
        ("deu", "Der jüdischer Nachbar ist hier."),
        ("deu", "Eine Mann ist hier."),
        ("deu", "Wir helfen dem jüdische Mann."),
        ("deu", "Wir helfen dem jüdischen Nachbar."),
        ("deu", "Wir helfen der jüdische Nachbarin."),
        ("deu", "Die jüdischen Nachbarin ist hier."),
        ("deu", "Das Formular von dem Mann ist hier."),
    ],
)
def test_slips_are_found(language: str, text: str) -> None:
    assert slips(language, text)


def test_faults_of_pairs_and_sets_are_found() -> None:
    found = list(pairs("eng", "religion"))
    assert any("2 times" in fault for fault in set_faults([*found, found[0]]))
    assert any("not 200 to 400" in fault for fault in set_faults(found[:50]))
    assert any(
        "no pair is of the kind control" in fault for fault in set_faults([p for p in found if p.kind != "control"])
    )
    leaning = [pair for pair in found if pair.stereotypical != 1]
    assert any("are the stereotypical one" in fault for fault in set_faults(leaning))
    pair = found[0]
    assert pair_faults(replace(pair, stereotypical=None))
    assert pair_faults(replace(pair, claim=""))
    assert pair_faults(replace(pair, sentences=(pair.sentences[0], pair.sentences[1].replace("knife", "big knife"))))
    assert pair_faults(replace(pair, differing=((), ())))


def test_differing_words() -> None:
    assert differing_words("L'homme est né.", "La femme est née.") == (((0, 7), (12, 14)), ((0, 8), (13, 16)))
    with pytest.raises(UserError, match="not as many words"):
        differing_words("One two.", "One.")
    with pytest.raises(UserError, match="twice the same"):
        differing_words("One.", "One.")


def test_wrong_data_names_file_and_field() -> None:
    common: dict[str, Any] = {"heads": {"man": {"forms": "man"}}, "frames": {}, "preference": {}, "control": {}}
    own: dict[str, Any] = {"groups": {"a": {"name": {}}, "b": {"name": {}}}, "contrasts": [], "attributes": []}
    changes: list[tuple[dict[str, Any], str]] = [
        ({"contrasts": [{"groups": ["a", "c"], "draws": 1}]}, "unknown group in eng/age.yaml.*'c'; valid: a, b"),
        ({"contrasts": [{"groups": ["a", "b"], "draws": 1, "heads": ["x"]}]}, "unknown head in eng/age.yaml 'x'"),
        ({"attributes": [{"claim": "x", "of": ["a"], "says": ""}]}, "unknown claim in eng/age.yaml 'x'"),
        ({"attributes": [{"claim": "slow", "of": ["a"], "says": ""}]}, "unknown group of claim slow .*valid: old"),
        (
            {
                "groups": {"old": {}, "b": {}},
                "attributes": [{"claim": "slow", "of": ["old"], "against": ["old"], "says": ""}],
            },
            "slow is told of old too",
        ),
        ({"atributes": []}, "unknown field in eng/age.yaml 'atributes'"),
    ]
    for change, message in changes:
        with pytest.raises(UserError, match=message):
            parse_words("eng", "age", common, {**own, **change})
    with pytest.raises(UserError, match="unknown language 'xxx'; valid: deu, eng"):
        pairs("xxx", "age")
    with pytest.raises(UserError, match="unknown axis 'ages'; valid: age"):
        list(all_pairs(("eng",), ("ages",)))


def test_too_many_draws_are_refused() -> None:
    given_words = read_words("spa", "gender")
    contrasts = tuple(replace(contrast, draws=20) for contrast in given_words.contrasts)
    with pytest.raises(UserError, match=r"spa/gender.yaml: only 7 of 20 pairs of woman and man for keys"):
        list(make(replace(given_words, attributes=(), contrasts=contrasts)))


@pytest.fixture(scope="module")
def bytewise() -> Tokenizer:
    """A tokenizer that makes a token of every byte."""
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    model = tokenizers.Tokenizer(models.BPE(vocab={letter: place for place, letter in enumerate(alphabet)}, merges=[]))
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = decoders.ByteLevel()
    return from_json("bytewise", model.to_str().encode())


def test_lengths_in_tokens(bytewise: Tokenizer) -> None:
    found = pairs("fra", "sexual_orientation")
    sizes = [[len(text.encode()) for text in pair.sentences] for pair in found]
    assert token_lengths(found, bytewise) == [tuple(size) for size in sizes]
    assert length_matched(found, bytewise) == [first == second for first, second in sizes]
    measured = measure_lengths(found, bytewise)
    differences = np.array([first - second for first, second in sizes])
    assert measured.differ == np.count_nonzero(differences)
    assert measured.mean_difference == pytest.approx(np.abs(differences).mean())
    assert measured.largest == np.abs(differences).max()
    directed = np.array([pair.stereotypical is not None for pair in found])
    signs = np.array([1 if pair.stereotypical == 0 else -1 for pair in found])[directed]
    assert measured.directed == directed.sum()
    assert measured.mean_excess == pytest.approx((differences[directed] * signs).mean())
    assert measured.correlation == pytest.approx(np.corrcoef(differences[directed], signs)[0, 1])


def test_lengths_without_direction_have_no_correlation(bytewise: Tokenizer) -> None:
    measured = measure_lengths([pair for pair in pairs("eng", "age") if pair.kind == "control"], bytewise)
    assert measured.directed == 0
    assert measured.mean_excess is None
    assert measured.correlation is None
    assert measure_lengths([], bytewise).pairs == 0
