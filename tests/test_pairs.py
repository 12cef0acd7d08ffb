"""The words for turns: rows of conversations are counted once, and what was said comes back."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midb_ray.pairs import TEXT, Turn, heard, rows_in, told, turn_row


def test_turns_of_a_conversation_are_one_row_of_the_input() -> None:
    turns = [turn_row("a.jsonl:12", turn) for turn in range(1, 13)]
    rows = [*turns, "a.jsonl:13", "b#1:1", "b#2:1", *[turn_row("b#2:2", turn) for turn in (1, 2)]]
    assert turns[1] == "a.jsonl:12#2"
    assert rows_in(pa.table({"row": pa.array(rows, TEXT)})) == 5
    assert rows_in(pa.table({"row": pa.array([], TEXT)})) == 0


@given(st.lists(st.tuples(st.text(), st.text())))
def test_what_was_said_comes_back(said: list[tuple[str, str]]) -> None:
    turns = [Turn(*one) for one in said]
    assert heard(told(turns)) == turns
    assert told([]) is None


@pytest.mark.parametrize(
    "odd", ["", "{}", "[1]", '[{"role": "user"}]', '[{"role": 1, "content": "a"}]', "[" * 100_000, "nul"]
)
def test_a_column_that_is_no_list_of_turns_says_nothing(odd: str) -> None:
    assert heard(odd) == []
    assert heard(json.dumps(odd)) == []
