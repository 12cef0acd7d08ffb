"""ShareGPT and OpenAI conversations."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from midb_ray.formats import conversations
from midb_ray.pairs import Pair

Read = Callable[..., Any]

USER, ASSISTANT = {"role": "user", "content": "a"}, {"role": "assistant", "content": "c"}
SYSTEM = {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [USER, ASSISTANT]},
        {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "c"}]},
        {"conversations": [{"from": "User", "value": "a"}, {"from": "assistant", "value": "c"}]},
        {"Conversation": [USER, ASSISTANT]},
        {"messages": [USER, ASSISTANT], "conversations": [USER, ASSISTANT]},
        {"messages": [{**USER, "from": None, "value": None}, {**ASSISTANT, "tool_calls": None}], "conversations": None},
    ],
)
def test_one_question_and_one_answer_are_a_pair(read: Read, row: dict[str, Any]) -> None:
    pair = read(row, "conversations")
    assert (pair.instruction, pair.input, pair.response) == ("a", "", "c")
    assert json.loads(pair.extra or "{}") in ({}, {"conversations": None})


def test_parts_of_text_are_joined_line_by_line(read: Read) -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    assert (
        read({"messages": [{"role": "user", "content": parts}, ASSISTANT]}, "conversations").instruction == "one\ntwo"
    )


def test_a_part_that_is_no_text_is_a_dead_letter(refused: Read) -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "image_url", "image_url": {"url": "x"}}]
    letter = refused({"messages": [{"role": "user", "content": parts}, ASSISTANT]}, "conversations")
    assert letter.reason == "wrong_type"
    assert "image_url" in letter.detail


def test_system_turns_and_what_else_a_turn_carries_stay_in_the_rest(read: Read) -> None:
    row = {"id": 5, "language": "de", "messages": [SYSTEM, USER, {**ASSISTANT, "weight": 1}], "source": "web"}
    pair = read(row, "conversations")
    assert (pair.id, pair.language) == ("5", "de")
    assert json.loads(pair.extra) == {"messages": [SYSTEM, {"role": "assistant", "weight": 1}], "source": "web"}


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        ([ASSISTANT, USER], "turn_order"),
        ([USER, SYSTEM, ASSISTANT], "turn_order"),
        ([USER], "missing_response"),
        ([SYSTEM, ASSISTANT], "missing_instruction"),
        ([], "missing_instruction"),
        (None, "missing_instruction"),
        ([USER, {"role": "assistant", "content": None}], "empty_response"),
        ([{"role": "user", "content": []}, ASSISTANT], "empty_instruction"),
        ([USER, {"role": "tool", "content": "c"}], "missing_response"),
        ([USER, {"role": "narrator", "content": "c"}], "unknown_role"),
        ([USER, ASSISTANT, {"role": "narrator", "content": "c"}], "unknown_role"),
        ([USER, {"role": "tool", "content": "c"}, ASSISTANT], "turn_order"),
        ([USER, {**ASSISTANT, "content": "\0"}, USER], "empty_response"),
        ([{**USER, "content": " "}, ASSISTANT, USER], "empty_instruction"),
        ([USER, {**ASSISTANT, "content": {"text": "c"}}, USER, ASSISTANT], "wrong_type"),
        ([USER, {"content": "c"}], "unknown_role"),
        ([USER, {"role": 3, "content": "c"}], "unknown_role"),
        ([USER, "c"], "wrong_type"),
        ("a c", "wrong_type"),
        ([USER, {"role": "assistant", "content": {"text": "c"}}], "wrong_type"),
        ([USER, {"role": "assistant", "content": [3]}], "wrong_type"),
    ],
)
def test_what_holds_no_exchange_is_a_dead_letter(refused: Read, turns: Any, reason: str) -> None:
    assert refused({"messages": turns}, "conversations").reason == reason


def test_two_different_conversations_in_a_row_are_ambiguous(refused: Read) -> None:
    row = {"messages": [USER, ASSISTANT], "conversations": [USER, {**ASSISTANT, "content": "d"}]}
    assert refused(row, "conversations").reason == "ambiguous_field"


def test_a_pair_written_as_a_conversation_is_read_back_the_same(read: Read) -> None:
    pair = Pair(
        "r", "x", "s", "fr-CA", "a", "", "c", (), '{"messages":[{"role":"system","content":"Be brief."}],"n":1}'
    )
    row = conversations.to_row(pair)
    assert row["messages"] == [SYSTEM, USER, ASSISTANT]
    again = read(row, "conversations")
    assert again._replace(row="r", extra=None) == pair._replace(extra=None)
    assert json.loads(again.extra) == json.loads(pair.extra or "")


def test_an_input_follows_the_instruction_after_a_blank_line() -> None:
    row = conversations.to_row(Pair("r", None, None, "fr", "Traduisez.", "chat", "cat"))
    assert row == {
        "messages": [{"role": "user", "content": "Traduisez.\n\nchat"}, {"role": "assistant", "content": "cat"}],
        "language": "fr",
    }
