"""Take-down rules mean the same in SQL and in Python."""

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import UserError
from curation.tombstones import Tombstones, hide_condition, validate

DOCUMENTS = [
    ("d1", "http://example.com/a", "example.com"),
    ("d2", "http://sub.example.com/private/b?x=1", "sub.example.com"),
    ("d3", "http://notexample.com/a", "notexample.com"),
    ("d4", None, None),
    ("d5", "http://EXAMPLE.org/%20'; DROP TABLE x", "example.org"),
]
RULES = [
    ("id", "d4"),
    ("url", "http://example.com/a"),
    ("url", "http://example.com"),
    ("domain", "example.com"),
    ("domain", "com"),
    ("pattern", "/private/"),
    ("pattern", r"[?&]x=\d"),
    ("pattern", "(?i)example\\.ORG"),
    ("url", "http://EXAMPLE.org/%20'; DROP TABLE x"),
]


def hidden_in_sql(rules: list[tuple[str, str]]) -> set[str]:
    with duckdb.connect(":memory:") as connection:
        connection.execute("ATTACH ':memory:' AS c")
        connection.execute("CREATE TABLE c.tombstone (what VARCHAR, value VARCHAR)")
        connection.execute("CREATE TABLE d (id VARCHAR, url VARCHAR, domain VARCHAR)")
        if rules:
            connection.executemany("INSERT INTO c.tombstone VALUES (?, ?)", rules)
        connection.executemany("INSERT INTO d VALUES (?, ?, ?)", DOCUMENTS)
        shown = connection.execute(f"SELECT id FROM d WHERE {hide_condition('d')}").fetchall()
    return {document[0] for document in DOCUMENTS} - {row[0] for row in shown}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(RULES), max_size=4))
def test_sql_and_python_agree(rules: list[tuple[str, str]]) -> None:
    tombstones = Tombstones(tuple(rules))
    assert hidden_in_sql(rules) == {document[0] for document in DOCUMENTS if tombstones.hides(*document)}


@pytest.mark.parametrize(
    ("rule", "hidden"),
    [
        (("domain", "example.com"), {"d1", "d2"}),
        (("url", "http://example.com/a"), {"d1"}),
        (("pattern", "/private/"), {"d2"}),
        (("id", "d4"), {"d4"}),
    ],
)
def test_what_a_rule_hides(rule: tuple[str, str], hidden: set[str]) -> None:
    tombstones = Tombstones((rule,))
    assert {document[0] for document in DOCUMENTS if tombstones.hides(*document)} == hidden


@pytest.mark.parametrize(
    ("what", "value", "message"),
    [
        ("pattern", "(", "not a regular expression"),
        ("pattern", ".*", "every document"),
        ("url", "  ", "empty"),
        ("colour", "red", "valid: domain, id, pattern, url"),
    ],
)
def test_rules_that_make_no_sense_are_refused(what: str, value: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        validate(what, value)
