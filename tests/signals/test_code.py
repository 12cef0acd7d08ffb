"""Code inside a text, and the names in it."""

from __future__ import annotations

import pytest

from midb_ray.signals.code import is_statement, names, pieces


def test_blocks_inline_spans_and_bare_lines_are_found_and_prose_is_not() -> None:
    text = "Try this:\n```python\nfor item in items:\n    show(item)\n```\nThen call `save(item)` once.\ntotal = compute(3)\nDone."
    found = [piece.of(text) for piece in pieces(text)]
    assert found == ["for item in items:\n    show(item)\n", "save(item)", "total = compute(3)"]


def test_a_poem_in_a_fence_is_no_code() -> None:
    assert pieces("```\nThe sea is calm\nand so am I\n```") == []


@pytest.mark.parametrize(
    "line",
    ["SELECT name FROM users", '{"user": 3}', "</body>", "if (a > 3) {", "for file in *.txt; do", "    return total"],
)
def test_a_statement_by_itself_is_code(line: str) -> None:
    assert is_statement(line)


@pytest.mark.parametrize("line", ["Area = length x width", "<no input>", "For all of us, it rains.", "Cats (and dogs)"])
def test_a_formula_and_a_sentence_are_none(line: str) -> None:
    assert not is_statement(line)


def test_names_leave_out_strings_comments_and_the_text_between_tags() -> None:
    assert names('print("good morning")  # say it') == ["print"]
    assert set(names('<p class="note">Good morning</p>')) == {"class", "note"}
    assert set(names('{"user": "Ana"}')) == {"user"}
    assert set(names('item["price"] + tax')) == {"price", "item", "tax"}


def test_what_is_indented_below_a_statement_belongs_to_it() -> None:
    text = "func max(a int) int {\n\tgive a\n}\nThat is all."
    assert [piece.of(text) for piece in pieces(text)] == ["func max(a int) int {", "\tgive a", "}"]


def test_long_odd_input_ends_soon() -> None:
    for text in ("<a " * 20_000, "(" * 50_000 + "=", "```" * 20_000, '"' * 50_000):
        assert isinstance(pieces(text), list)
        assert isinstance(names(text), list)


def test_a_record_of_keys_and_values_is_code_and_a_list_of_facts_is_not() -> None:
    record = "Use this:\nstage: deploy\nretries: 3\nchecks:\n  - strict: true\n    only: [main]"
    assert [span.of(record) for span in pieces(record)] == record.split("\n")[1:]
    facts = "name: Ana\ncity: Porto\nhobby: chess and long walks"
    assert pieces(facts) == []


def test_a_declaration_and_a_class_by_itself_are_code() -> None:
    assert all(map(is_statement, ["  margin: 0 auto;", "class Boat", "module Harbour"]))
    assert not any(map(is_statement, ["class participation", "Note: bring water", "first: stir; then: rest"]))
