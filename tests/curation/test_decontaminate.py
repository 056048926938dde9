"""Items in documents: verbatim ones always, near copies nearly always, what only shares the topic never."""

# ruff: noqa: E501 (sentences are not wrapped)

import mmap
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.decontaminate.compiling import LONGEST_PIECE
from curation.decontaminate.edits import closest
from curation.decontaminate.index import Index
from curation.decontaminate.items import Item
from curation.decontaminate.matching import MOST_MATCHES
from curation.decontaminate.units import item_units
from curation.errors import UserError
from tests.curation import inputs
from tests.curation.commands import environment
from tests.curation.fixtures_text import SENTENCES
from tests.curation.items_in_texts import Change, changed, changed_at, embedded, index_of, matches
from tests.curation.real_items import published_items
from tests.curation.real_pages import english_texts

SIX = "Penguins seldom borrow their neighbours' umbrellas."
QUESTIONS = [
    SIX,
    "Which planet of the solar system has the shortest year?",
    "A train leaves the harbour at nine and meets the ferry twelve minutes later; how far apart were they?",
    "The nurse told the patient that her shift would be ending in an hour.",
    "The nurse told the patient that his shift would be ending in an hour.",
    "Explain why bread dough rises faster in a warm kitchen than in a cold cellar, and name the gas behind it.",
]
ITEMS = [Item("mine", f"q{number}", text) for number, text in enumerate(QUESTIONS)]
PROSE = "The museum opens at ten. Visitors leave their coats downstairs, and guides wait beside the old staircase. "


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """The items above."""
    return index_of(ITEMS, tmp_path_factory.mktemp("index"))


def names(index: Index, text: str, language: str = "eng_Latn") -> dict[str, str]:
    """item id -> how, best first."""
    return {each.item_id: each.how for each in matches(index, text, language)}


# ---- verbatim ---------------------------------------------------------------------------------


@pytest.mark.parametrize("item", ITEMS)
@pytest.mark.parametrize("around", [("", ""), (PROSE * 9, ""), ("", PROSE * 9), (PROSE * 40, PROSE * 40)])
def test_a_verbatim_item_is_found_wherever_it_stands(index: Index, item: Item, around: tuple[str, str]) -> None:
    text = f"{around[0]}{item.text} {around[1]}"
    best, *_ = matches(index, text)
    assert (best.item_id, best.how, best.overlap, best.exact) == (item.item_id, "whole", 1.0, True)
    assert text[best.begin : best.end].rstrip(".?") == item.text.rstrip(".?")


@pytest.mark.parametrize(
    "text",
    [
        "PENGUINS SELDOM BORROW THEIR NEIGHBOURS' UMBRELLAS",
        "penguins,\nseldom -- borrow\n\n\t their neighbours’ umbrellas",
        "* **Penguins** seldom *borrow* their “neighbours'” umbrellas!",
        "Penguins\u00a0seldom bor\u00adrow their neighbours' umbrellas.",
        "(Penguins seldom borrow their neighbours' umbrellas)",
        "Ｐｅｎｇｕｉｎｓ seldom borrow their neighbours' umbrellas",
    ],
)
def test_case_marks_and_line_breaks_make_no_difference(index: Index, text: str) -> None:
    assert names(index, PROSE + text + "\n" + PROSE) == {"q0": "whole"}


def test_contractions_are_found_whatever_language_the_document_is_taken_for(tmp_path: Path) -> None:
    text = "I can't say what l'eau and a well-known and/or mean, don't you?"
    index = index_of([Item("s", "1", text)], tmp_path)
    assert len(item_units(text)) > 2
    for language in ("eng_Latn", "fra_Latn", "deu_Latn", "nld_Latn", "rus_Cyrl", "und", "python"):
        assert names(index, f"{PROSE}{text} {PROSE}", language) == {"1": "whole"}


@settings(deadline=None, max_examples=150)
@given(before=st.text(max_size=80), after=st.text(max_size=80), item=st.sampled_from(ITEMS), repeats=st.integers(1, 60))
def test_a_verbatim_item_is_always_found(index: Index, before: str, after: str, item: Item, repeats: int) -> None:
    text = f"{before * repeats}\n{item.text}\n{after}"
    assert names(index, text)[item.item_id] == "whole"


# ---- near copies ------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["replace", "remove", "add", "any"])
def test_one_word_in_six_may_be_changed(index: Index, change: Change) -> None:
    """At every place of the shortest item, and at random places of all."""
    chance = random.Random(change)
    others = PROSE.split()
    for place in range(6):
        words = changed_at(SIX.split(), [place], others, change, chance)
        assert names(index, PROSE * 3 + " ".join(words) + " " + PROSE * 3), words
    found = 0
    for seed in range(300):
        item = ITEMS[seed % len(ITEMS)]
        words = changed(item.text.split(), others, change, chance)
        hit = matches(index, embedded(words, PROSE * 5, chance))
        found += bool(hit) and hit[0].overlap >= 0.75
    assert found >= 0.99 * 300


def test_two_words_of_six_are_too_many(index: Index) -> None:
    chance = random.Random(0)
    for places in ([0, 5], [1, 4], [2, 3], [0, 1]):
        words = changed_at(SIX.split(), places, PROSE.split(), "replace", chance)
        assert not matches(index, PROSE + " ".join(words) + " " + PROSE)


def test_of_a_template_the_verbatim_item_counts_else_the_closest(index: Index) -> None:
    his = PROSE + "The nurse told the patient that his shift would be ending in an hour. " + PROSE
    assert names(index, his) == {"q4": "whole"}
    assert names(index, his.replace("his", "their")) == {"q3": "near", "q4": "near"}
    assert names(index, his.replace("his", "her").replace("hour", "afternoon")) == {"q3": "near"}
    both = his + QUESTIONS[3]
    assert names(index, both) == {"q3": "whole", "q4": "whole"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Penguins are birds; they do not own umbrellas, and their neighbours do not lend them any.",
        "Umbrellas, neighbours, penguins: who borrows what, and how often, seldom matters to their keepers.",
        "Mercury needs 88 days for its way around the sun, the least of all planets in the solar system.",
        "The patient waited for the nurse. Her shift would be over soon, she told him, in about an hour.",
        "Dough rises because yeast gives off carbon dioxide. In a warm kitchen this is faster than in a cellar.",
        "umbrellas neighbours their borrow seldom penguins " * 20,
        "Which of the following is true? " * 100,
    ],
)
def test_what_only_shares_the_topic_is_not_flagged(index: Index, text: str) -> None:
    assert matches(index, PROSE + text + PROSE) == []


def test_thirteen_words_of_a_longer_item_are_enough(tmp_path: Path) -> None:
    words = [f"word{number}" for number in range(40)]
    index = index_of([Item("s", "long", " ".join(words))], tmp_path)
    (match,) = matches(index, " ".join(["other", *words[20:33], "else"]))
    assert (match.how, match.exact) == ("run", False)
    assert match.overlap == pytest.approx(1 / 28)
    assert not matches(index, " ".join(["other", *words[20:32], "else"]))


def test_a_run_that_many_items_share_needs_half_of_an_item(tmp_path: Path) -> None:
    rule = "Read the following passage with care and then choose the one answer that fits best from the list below"
    own = [[f"item{number}word{place}" for place in range(20)] for number in range(30)]
    index = index_of([Item("s", str(n), f"{rule} {' '.join(words)}") for n, words in enumerate(own)], tmp_path)
    assert not matches(index, f"{PROSE} {rule} {PROSE}")
    assert [each.item_id for each in matches(index, f"{PROSE} {rule} {' '.join(own[7])}")] == ["7"]
    assert [each.how for each in matches(index, f"{rule} {' '.join(own[7][:6])} {PROSE}")] == ["run"]


def test_long_items_are_found_changed_everywhere(tmp_path: Path) -> None:
    """Every sixth word, so that no run of six is left, of items of up to 20 pieces."""
    chance = random.Random(5)
    texts = [inputs.prose("en", seed, sentences) for seed, sentences in enumerate((12, 40, 180))]
    assert max(len(text.split()) for text in texts) > 15 * LONGEST_PIECE
    index = index_of([Item("long", str(n), text) for n, text in enumerate(texts)], tmp_path)
    for number, text in enumerate(texts):
        words = text.split()
        copy = changed_at(words, range(3, len(words), 6), inputs.WORDS["de"].split(), "any", chance)
        best, *_ = matches(index, f"{PROSE * 5} {' '.join(copy)} {PROSE * 5}")
        assert (best.item_id, best.how) == (str(number), "near")
        assert best.overlap > 0.75
        best, *_ = matches(index, f"{PROSE * 5} {text} {PROSE * 5}")
        assert (best.item_id, best.how, best.overlap) == (str(number), "whole", 1.0)


def test_an_item_in_the_middle_of_another_counts(tmp_path: Path) -> None:
    texts = [inputs.prose("en", 1, 40), inputs.prose("de", 2, 12)]
    index = index_of([Item("s", str(n), text) for n, text in enumerate([*texts, SIX])], tmp_path)
    words = texts[0].split()
    near = texts[1].replace("der ", "the ")
    text = " ".join([*words[:300], near, SIX.lower(), *words[300:]])
    assert set(names(index, text)) == {"0", "1", "2"}


def test_the_order_of_documents_says_nothing(index: Index) -> None:
    texts = [item.text + PROSE for item in ITEMS] + [PROSE, "", "字" * 50]
    before = [matches(index, text) for text in texts]
    assert [matches(index, text) for text in reversed(texts)] == before[::-1]


def test_closest_is_what_trying_all_parts_finds() -> None:
    chance = random.Random(0)
    for _ in range(300):
        pattern = [chance.randrange(4) for _ in range(chance.randint(1, 8))]
        text = [chance.randrange(4) for _ in range(chance.randint(0, 12))]
        least = (len(pattern), 0, 0)
        for begin in range(len(text) + 1):
            row = list(range(len(pattern) + 1))
            for end in range(begin, len(text)):
                above, row = row, [row[0] + 1]
                for place, unit in enumerate(pattern):
                    step = above[place] + (unit != text[end])
                    row.append(min(step, above[place + 1] + 1, row[place] + 1))
                least = min(least, (row[-1], end + 1, -begin))
        changes, begin, end = closest(pattern, text)
        assert (changes, end, -begin) == least


# ---- languages --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def languages(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """The first sentence of every language of the fixtures."""
    found = [Item("sentences", language, each[0]) for language, each in SENTENCES.items()]
    return index_of(found, tmp_path_factory.mktemp("languages"))


@pytest.mark.parametrize("language", sorted(SENTENCES))
def test_items_in_other_languages(languages: Index, language: str) -> None:
    item, *rest = SENTENCES[language]
    space = "" if language.endswith(("Hani", "Hans", "Jpan", "Thai")) else " "
    assert names(languages, space.join(rest), language) == {}
    for label in (language, "eng_Latn", "und"):
        assert names(languages, space.join([*rest, item, *rest]), label) == {language: "whole"}


WORDS = {
    "cmn_Hani": "昨天 下午 我们 在 图书馆 里 讨论 了 城市 交通 的 未来 ， 大家 都 认为 自行车 应该 有 自己 的 道路 。",
    "jpn_Jpan": "昨日 の 午後 、 私たち は 図書館 で 町 の 交通 の 未来 に ついて 話し合い 、 自転車 専用 の 道 が 必要 だ と 考えた 。",
    "tha_Thai": "เมื่อวาน ตอนบ่าย พวกเรา นั่ง คุยกัน ใน ห้องสมุด เรื่อง การเดินทาง ใน เมือง และ ทุกคน เห็นด้วย ว่า จักรยาน ควร มี ทาง ของ ตัวเอง",
    "spa_Latn": "Ayer por la tarde hablamos en la biblioteca sobre el futuro del transporte en nuestra ciudad y sus barrios.",
    "fra_Latn": "Hier après-midi nous avons parlé à la bibliothèque de l'avenir des transports dans notre ville et sa banlieue.",
    "deu_Latn": "Gestern Nachmittag sprachen wir in der Bibliothek über die Zukunft des Verkehrs in unserer Stadt und ringsum.",
    "arb_Arab": "تحدثنا أمس بعد الظهر في المكتبة عن مستقبل النقل في مدينتنا وعن الطرق التي تحتاجها الدراجات",
}
OTHERS = {
    "cmn_Hani": "苹果 喝 山 音乐 高兴".split(),
    "jpn_Jpan": "りんご 山 音楽 青い 飲む".split(),
    "tha_Thai": "แอปเปิล ภูเขา ดนตรี ดื่ม แมว".split(),
}


@pytest.mark.parametrize("language", sorted(WORDS))
def test_near_copies_in_other_languages(tmp_path: Path, language: str) -> None:
    words = WORDS[language].split()
    space = "" if language in OTHERS else " "
    index = index_of([Item("s", "1", space.join(words))], tmp_path)
    chance = random.Random(language)
    around = space.join(SENTENCES[language])
    found = 0
    for _ in range(100):
        copy = space.join(changed(words, OTHERS.get(language, PROSE.split()), "any", chance))
        found += names(index, around + space + copy + space + around, language) == {"1": "near"}
    assert found >= 95
    assert not matches(index, around, language)


# ---- published items --------------------------------------------------------------------------


def test_recall_on_items_that_we_did_not_write(shared: Path, tmp_path: Path) -> None:
    """In real pages; verbatim all of them, changed 95 %, in each set and each way."""
    found = [Item(*each) for each in published_items(shared / "datasets")]
    pages = [page for page in english_texts(shared / "crawl") if 300 < len(page) < 6000]
    others = [word for word in " ".join(pages[:20]).split() if word.isalpha()]
    chance = random.Random(1)
    by_set: dict[str, list[Item]] = {}
    for item in found:
        by_set.setdefault(item.item_set, []).append(item)
    chosen = [item for each in by_set.values() for item in chance.sample(each, min(len(each), 400))]
    index = index_of(chosen, tmp_path)
    tested = dict.fromkeys(by_set, 0)
    hits: dict[tuple[str, str], int] = {}
    named = 0
    for item in chosen:
        if len(item_units(item.text)[:1] and item_units(item.text)[0]) < 6 or tested[item.item_set] >= 60:
            continue
        tested[item.item_set] += 1
        (whole, *_) = matches(index, embedded([item.text], chance.choice(pages), chance))
        assert whole.exact
        for change in ("replace", "remove", "add"):
            words = changed(item.text.split(), others, change, chance)
            hit = matches(index, embedded(words, chance.choice(pages), chance))
            key = (item.item_set, change)
            hits[key] = hits.get(key, 0) + bool(hit)
            named += any(each.item_id == item.item_id and each.item_set == item.item_set for each in hit)
    assert len(tested) == 14
    assert sum(tested.values()) > 600
    for (name, change), count in hits.items():
        assert count >= 0.95 * tested[name], (name, change, count)
    assert named >= 0.95 * 3 * sum(tested.values())


def test_real_pages_hold_hardly_any_published_item(shared: Path, tmp_path: Path) -> None:
    """None verbatim, none of more than nine words; what is left are fragments such as "in the early stages of a"."""
    chance = random.Random(2)
    found = [Item(*each) for each in published_items(shared / "datasets")]
    chosen = chance.sample(found, 15_000)
    index = index_of(chosen, tmp_path)
    pages = sorted(set(english_texts(shared / "crawl")))
    assert len(pages) > 300
    by_name = {(item.item_set, item.item_id): item for item in chosen}
    hit = 0
    for page in pages:
        each = matches(index, page)
        hit += bool(each)
        for match in each:
            assert match.how == "near"
            assert len(item_units(by_name[match.item_set, match.item_id].text)[0]) < 10
    assert hit <= 0.02 * len(pages)


# ---- time -------------------------------------------------------------------------------------


def test_time_grows_with_length_for_hostile_documents(tmp_path: Path) -> None:
    """Items of one template, and documents that are nothing but what the template's items share."""
    first, second = inputs.WORDS["en"].split(), inputs.WORDS["de"].split()
    template = "What do you think of a {} {} in this town?"
    items = [Item("s", f"{a} {b}", template.format(a, b)) for a in sorted(set(first)) for b in sorted(set(second))]
    assert len(items) > 700
    index = index_of(items, tmp_path)
    chance = random.Random(0)
    texts = {
        "one": template.format("strange", "person") + " ",
        "start": "What do you think of a ",
        "all": " ".join(template.format(chance.choice(first), chance.choice(second)) for _ in range(50)) + " ",
        "words": " ".join([*first, *second, "what do you think of a in this town"]) + " ",
    }
    for name, text in texts.items():
        began = time.process_time()
        assert len(matches(index, text * (100_000 // len(text)))) <= MOST_MATCHES
        assert time.process_time() - began < 10, name


# ---- the index ------------------------------------------------------------------------------


def test_items_of_the_same_text_all_count(tmp_path: Path) -> None:
    index = index_of([Item("a", "1", SIX), Item("b", "1", SIX.upper()), Item("b", "2", "- " + SIX)], tmp_path)
    assert {(each.item_set, each.item_id) for each in matches(index, PROSE + SIX)} == {
        ("a", "1"),
        ("b", "1"),
        ("b", "2"),
    }


def test_min_words_may_be_lowered(tmp_path: Path) -> None:
    items = [Item("s", "4", "penguins borrow striped umbrellas"), Item("s", "2", "two words"), Item("s", "0", "...")]
    assert index_of(items, tmp_path).facts["short"] == {"s": [3, "4"]}
    index = index_of(items, tmp_path, min_words=4)
    assert index.facts["short"] == {"s": [2, "2"]}
    assert names(index, "Do penguins borrow striped umbrellas?") == {"4": "whole"}
    assert names(index, "Do penguins borrow plain umbrellas?") == {}


def test_the_index_is_mapped_and_the_same_however_often_it_is_made(tmp_path: Path) -> None:
    index = index_of(ITEMS, tmp_path)
    again = index_of(ITEMS, tmp_path)
    assert again.path == index.path  # named by its bytes
    base: Any = index.units_F.base
    assert isinstance(getattr(base, "obj", base), mmap.mmap)
    index.path.write_bytes(index.path.read_bytes()[:-1])
    with pytest.raises(UserError, match="cut short"):
        Index(index.path)
    index.path.unlink()
    with pytest.raises(UserError, match="is gone"):
        Index(index.path)


def test_importing_the_filter_loads_no_heavy_library() -> None:
    code = (
        "import sys, curation.decontaminate, curation.filters.decontaminate, curation.decontaminate.__main__; "
        "print({'datasketch', 'scipy', 'duckdb', 'pyarrow', 'fasttext'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True)
    assert done.stdout.strip() == "set()"
